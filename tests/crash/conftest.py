# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixtures of harness/fixtures.py for the tests of this folder."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from harness.fixtures import *  # noqa: E402,F401,F403
