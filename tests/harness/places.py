# SPDX-License-Identifier: GPL-3.0-or-later
"""
Where the programs under test are, and where what was fetched for the tests lies. From the environment:
RELAYD, TMAIL (absolute paths), BUILD_DIR, PEERS_DIR; without it a build in the source tree or in ./build.
"""
import os
import pathlib

TESTS = pathlib.Path(__file__).resolve().parent.parent
ROOT = TESTS.parent


def build():
    if os.environ.get("BUILD_DIR"):
        return pathlib.Path(os.environ["BUILD_DIR"]).resolve()
    return next((place for place in (pathlib.Path("build"), ROOT / "build", ROOT)
                 if (place / "relayd/relayd").exists()), pathlib.Path("build")).resolve()


BUILD = build()
RELAYD = pathlib.Path(os.environ.get("RELAYD") or BUILD / "relayd/relayd")
TMAIL = pathlib.Path(os.environ.get("TMAIL") or BUILD / "console/tmail")
PEERS = pathlib.Path(os.environ.get("PEERS_DIR") or BUILD / "peers")
CORPUS = pathlib.Path(os.environ.get("CORPUS_DIR") or PEERS / "corpus")


def is_sanitized():
    """Whether the program under test carries AddressSanitizer: slower, and larger."""
    try:
        return b"__asan_init" in RELAYD.read_bytes()
    except FileNotFoundError:
        return False


SANITIZED = is_sanitized()
# How long a condition may take to come true, in seconds, before a test fails: never a measure.
PATIENCE = 240 if SANITIZED else 90
