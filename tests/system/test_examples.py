# SPDX-License-Identifier: GPL-3.0-or-later
"""doc/examples.md is what comes out today: the script that wrote it writes the same, but for numbers and times."""
import collections
import math
import os
import re
import subprocess
import sys

import pytest

from harness.places import BUILD, RELAYD, ROOT, SANITIZED, TESTS, TMAIL

pytestmark = [pytest.mark.usefixtures("root"), pytest.mark.skipif(SANITIZED, reason="once is enough")]


def without_numbers(text):
    return re.sub(r"[ \t]+", " ", re.sub(r"\d+", "#", text))


def counts(text):
    """For each section: {host: messages}, added up."""
    found = []
    for section in text.split("\n## ")[1:]:
        found.append(collections.Counter())
        for block in re.findall(r"came to\n\n```\n(.*?)```", section, re.DOTALL):
            for name, count in re.findall(r"^(\S+) +(\d+)$", block, re.MULTILINE):
                found[-1][name.partition(".")[0]] += int(count)
    return found


def test_the_examples_are_true():
    done = subprocess.run([sys.executable, str(TESTS / "examples/run")], capture_output=True, text=True,
                          env=dict(os.environ, BUILD_DIR=str(BUILD), RELAYD=str(RELAYD), TMAIL=str(TMAIL)))
    assert done.returncode == 0, done.stderr
    written = (ROOT / "doc/examples.md").read_text()
    assert without_numbers(done.stdout) == without_numbers(written), "tests/examples/run >doc/examples.md"
    round_robin, failover, both = counts(done.stdout)
    total = failover["main"]
    # Without `big` all go to `small`; six standard deviations are no chance.
    assert abs(round_robin["big"] - total * 2 / 3) < 6 * math.sqrt(total * 2 / 9)
    assert round_robin["small"] == 2 * total - round_robin["big"]
    assert failover == {"main": total, "alt1": total, "alt2": total}
    assert both["alt1"] + both["alt2"] == total and abs(both["alt1"] - total / 2) < 6 * math.sqrt(total / 4)
