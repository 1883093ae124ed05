# SPDX-License-Identifier: GPL-3.0-or-later
"""
SIGTERM while the control socket is busy with requests of every kind, those that wait for the disk, for names and
for next hops among them: it ends in order each time, and whatever was reported is there at the next start.
"""
import os
import random
import threading
import time

from harness.control import Control, Refused
from harness.places import PATIENCE, SANITIZED
from peer.scripted import Blackhole, Silence

ROUNDS = 4 if SANITIZED else 5
THREADS = 8


def requests(ids, silent, hole):
    """(method, params) of everything that takes its time."""
    route = {"destination": "new.example", "remote_host": "192.0.2.1"}
    return [
        ("routes.add", {"route": route}), ("routes.add", {"route": route, "confirm_within_ms": 3600000}),
        ("routes.add", {"routes": [route] * 200, "dry_run": True}), ("routes.confirm", {}), ("routes.undo", {}),
        ("routes.set", {"id": ids[0], "route": {"comment": "x"}}), ("routes.move", {"id": ids[1], "to": "last"}),
        ("routes.batch", {"commands": [{"verb": "add", "route": route}] * 20}),
        ("routes.list", {"limit": 10000}), ("routes.list", {"at": 1}), ("routes.list", {"sort": "destination"}),
        ("routes.list", {"filter": "prio>0 -state:down"}), ("routes.log", {"limit": 1000}), ("routes.check", {}),
        ("routes.explain", {"recipient": "r@silent.example"}), ("routes.explain", {"recipient": "r@by-name.example"}),
        ("routes.probe", {"ids": [silent, hole]}), ("routes.stats", {}), ("routes.health", {}),
        ("server.status", {}), ("server.reload", {}), ("queue.list", {}),
    ]


class Busy:
    """Threads that ask one thing after the other, until the daemon goes."""

    def __init__(self, relayd, source, asked):
        self.relayd, self.asked = relayd, asked
        self.failures, self.highest = [], 0
        self.threads = [threading.Thread(target=self.work, args=(random.Random(source.random()),))
                        for _ in range(THREADS)]
        for thread in self.threads:
            thread.start()

    def work(self, source):
        try:
            with Control(self.relayd.socket) as control:
                while True:
                    method, params = source.choice(self.asked)
                    try:
                        answer = control.call(method, **params)
                    except Refused:
                        continue
                    if method in ("routes.add", "routes.set", "routes.batch") and not params.get("dry_run"):
                        self.highest = max(self.highest, answer["revision"])
        except (EOFError, OSError):
            pass
        except Exception as why:
            self.failures.append(why)

    def join(self):
        for thread in self.threads:
            thread.join(PATIENCE)
        assert not self.failures, self.failures


def test_stop_amid_requests(make_relayd, make_peer):
    seed = os.environ.get("CRASH_SEED") or str(random.SystemRandom().randrange(1 << 32))
    print(f"CRASH_SEED={seed}")
    source = random.Random(seed)
    relayd = make_relayd(shutdown_grace="1s")
    relayd.dns.fail("silent.example", "silence")
    relayd.dns.fail("silent-host.example", "silence")
    peer = make_peer({"greeting": Silence()})
    with Blackhole() as hole:
        ids = [relayd.route("-d", f"d{number}.example", "-rh", "192.0.2.1") for number in range(3)]
        silent, away = relayd.route("-d", "peer.example", to=peer), relayd.route("-d", "hole.example", to=hole)
        relayd.route("-d", "by-name.example", "-rh", "silent-host.example")
        for _ in range(ROUNDS):
            busy = Busy(relayd, source, requests(ids, silent, away))
            time.sleep(source.uniform(0.02, 0.3))  # the moment of the stop is any
            relayd.stop()
            busy.join()
            relayd.start()
            with relayd.control() as control:
                assert control.call("routes.list", limit=1)["revision"] >= busy.highest
