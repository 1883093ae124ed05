# SPDX-License-Identifier: GPL-3.0-or-later
"""
Fixtures of the whole-program tests (a conftest.py imports them all).

    relayd       a daemon with the default configuration of harness/daemon.py, running
    make_relayd  make_relayd(limits={"errors": 3}, ...): one more, running; start=False: only made
    make_peer    make_peer(stages={...}, ...): a scripted next hop; its faults fail the test
    at_port      at_port(465, stages, ...): a peer on that port of a loopback address of its own
    exchanger    exchanger(stages): the same on port 25
    root         skips the test for who is not root

At the end each daemon that still runs gets SIGTERM and has to end with 0, without a finding of a
sanitizer.
"""
import os
import random

import pytest

from harness.daemon import Relayd
from harness.places import RELAYD, TMAIL
from peer import scripted
from peer.dns import Dns


@pytest.fixture(scope="session", autouse=True)
def programs():
    for program in (RELAYD, TMAIL):
        if not os.access(program, os.X_OK):
            pytest.exit(f"{program} is not there: run make first, or set RELAYD and TMAIL", 3)


@pytest.fixture
def make_relayd():
    made = []

    def make(start=True, dns=None, **settings):
        relayd = Relayd(dns=dns or Dns(), **settings)
        made.append(relayd)
        return relayd.start() if start else relayd

    yield make
    failure = None
    for relayd in reversed(made):
        try:
            relayd.close()
        except AssertionError as why:
            failure = failure or why
    if failure:
        raise failure


@pytest.fixture
def relayd(make_relayd):
    return make_relayd()


@pytest.fixture
def make_peer():
    made = []

    def make(stages=None, **options):
        made.append(scripted.Server(stages, **options))
        return made[-1]

    yield make
    faults = []
    for peer in made:
        peer.stop()
        faults += peer.faults
    assert not faults, faults


@pytest.fixture
def at_port(make_peer):
    def make(port, stages=None, **options):
        source = random.Random(os.urandom(8))
        for _ in range(20):
            host = f"127.{source.randrange(130, 190)}.{source.randrange(256)}.{source.randrange(1, 255)}"
            try:
                return make_peer(stages, host=host, port=port, **options)
            except PermissionError:
                pytest.skip(f"this user may not listen on port {port}")
            except OSError:
                continue
        raise OSError("no free address")

    return make


@pytest.fixture
def exchanger(at_port):
    return lambda stages=None, **options: at_port(25, stages, **options)


@pytest.fixture
def root():
    if os.getuid() != 0:
        pytest.skip("only root can do this")
