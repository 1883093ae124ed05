# SPDX-License-Identifier: GPL-3.0-or-later
"""
SIGTERM in a loop under the same load as the kills of test_kill.py: a stop in order loses nothing and
repeats nothing, not even what was in flight.
"""
import os
import random
import time

from harness import messages
from harness.places import SANITIZED
from test_kill import Changes, Clients, check_routes

ROUNDS = 4 if SANITIZED else 10


def test_restart(make_relayd, make_peer):
    seed = os.environ.get("CRASH_SEED") or str(random.SystemRandom().randrange(1 << 32))
    print(f"CRASH_SEED={seed}")
    source = random.Random(seed)
    relayd = make_relayd(retry=["1s"], limits={"connections_per_client": 2000})
    peer = make_peer()
    relayd.route("-d", "b.example", to=peer)
    clients, changes = Clients(relayd, source), Changes(relayd, source)
    try:
        for _ in range(ROUNDS):
            time.sleep(source.uniform(0, 0.5))
            relayd.restart()
    finally:
        clients.join()
        changes.join()
    assert not clients.failures and not changes.failures, (clients.failures, changes.failures)
    relayd.wait_empty()
    check_routes(relayd, changes)
    came = sorted(messages.stamp_of(message.data) for message in peer.taken)
    assert len(came) == len(set(came)), "some came twice"
    assert set(came) == clients.kept
