# SPDX-License-Identifier: GPL-3.0-or-later
"""The real messages that tests/corpus/fetch collects, as a mail program would send them."""
import fcntl
import re
import subprocess

from harness.messages import crlf
from harness.places import CORPUS, TESTS


def fetched():
    """The folder; fetched now if need be, by one process at a time."""
    if (CORPUS / "complete").exists():
        return CORPUS
    CORPUS.mkdir(parents=True, exist_ok=True)
    with (CORPUS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run([str(TESTS / "corpus/fetch"), str(CORPUS)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return CORPUS


def message(octets):
    """CRLF line ends; no mbox line before the header; no line longer than SMTP can carry."""
    octets = crlf(re.sub(rb"\A(?:>?From [^\n]*\n)", b"", octets))
    return None if not octets or max(map(len, octets.split(b"\r\n"))) > 998 else octets


def messages(every=1):
    """[(name, octets)]: all of the small collections, every so-manieth of the large one."""
    found = []
    for folder in sorted(path for path in fetched().iterdir() if path.is_dir()):
        files = sorted(path for path in folder.iterdir() if path.is_file())
        for path in files[::every if len(files) > 500 else 1]:
            octets = message(path.read_bytes())
            if octets is not None:
                found.append((f"{folder.name}/{path.name}", octets))
    return found
