# SPDX-License-Identifier: GPL-3.0-or-later
"""
kill -9 in a loop, at random moments, also while it starts: 8 clients submit, another one adds, changes and
deletes routes alongside.

    every message that got a 250 is delivered, whole;
    every route change that was reported is there, no id is given twice, each revision is in the log once;
    a message that is delivered again was in flight at a kill.

CRASH_ROUNDS and CRASH_SEED (environment) change how long and repeat what was.
"""
import datetime
import os
import random
import threading
import time

from harness import messages
from harness.control import Control, Refused
from harness.places import PATIENCE, SANITIZED
from harness.talk import Talk

ROUNDS = int(os.environ.get("CRASH_ROUNDS", 20 if SANITIZED else 50))
CLIENTS = 8
# An outcome is written in the background: how old one may be that a kill undoes.
WRITE_BEHIND_S = 5.0 if SANITIZED else 1.0


def expect(reply, code):
    """A daemon that stops in order says 421 between transactions: for the client that is the end."""
    if reply == 421:
        raise EOFError(reply)
    assert reply == code, reply


class Clients:
    """Threads that submit messages, each with a number of its own, whatever the daemon goes through."""

    def __init__(self, relayd, source):
        self.relayd = relayd
        self.seeds = [source.random() for _ in range(CLIENTS)]
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.number = 0
        self.sent = {}      # number: size
        self.kept = set()   # numbers that got a 250
        self.failures = []
        self.threads = [threading.Thread(target=self.work, args=(seed,)) for seed in self.seeds]
        for thread in self.threads:
            thread.start()

    def work(self, seed):
        source = random.Random(seed)
        while not self.stop.is_set():
            try:
                with Talk(self.relayd.host, self.relayd.port) as talk:
                    expect(talk.say("EHLO client.example"), 250)
                    while not self.stop.is_set():
                        self.submit(talk, source)
            except (OSError, EOFError):
                # Killed: come again. Not at once, which would leave no time for anything else.
                self.stop.wait(0.01)
            except Exception as why:
                self.failures.append(why)
                return

    def submit(self, talk, source):
        with self.lock:
            self.number += 1
            number = self.number
        size = source.choice((100, 200, 1000, 20000, 300, 3000, 400000))
        octets = messages.plain(number, size)
        self.sent[number] = size
        expect(talk.say(f"MAIL FROM:<s{number}@a.example>"), 250)
        expect(talk.say(f"RCPT TO:<r{number}@b.example>"), 250)
        expect(talk.say("DATA"), 354)
        talk.send(octets)
        expect(talk.say("."), 250)
        self.kept.add(number)

    def join(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(PATIENCE)


class Changes:
    """One thread that adds, changes and deletes routes, and knows what was reported and what is in doubt."""

    def __init__(self, relayd, source):
        self.relayd, self.source = relayd, random.Random(source.random())
        self.stop = threading.Event()
        self.there = {}       # id: destination, reported as added
        self.gone = set()     # ids reported as deleted
        self.priorities = {}  # id: those it may have, more than one after a change without an answer
        self.doubtful = set()  # destinations and ids of changes without an answer
        self.ids = []
        self.failures = []
        self.number = 0
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def work(self):
        while not self.stop.is_set():
            try:
                with Control(self.relayd.socket) as control:
                    while not self.stop.is_set():
                        self.change(control)
            except (OSError, EOFError, ValueError):
                self.stop.wait(0.01)
            except Exception as why:
                self.failures.append(why)
                return

    def change(self, control):
        choice = self.source.random()
        if self.there and choice < 0.3:
            route = self.source.choice(sorted(self.there))
            priority = self.source.randrange(1, 65536)
            self.priorities[route].add(priority)
            control.call("routes.set", id=route, route={"priority": priority})
            self.priorities[route] = {priority}
        elif self.there and choice < 0.5:
            route = self.source.choice(sorted(self.there))
            destination = self.there.pop(route)
            self.doubtful.add(destination)
            try:
                control.call("routes.del", ids=[route])
            except Refused:
                raise AssertionError(f"route {route} was reported, and is not there") from None
            self.doubtful.discard(destination)
            self.gone.add(route)
        else:
            self.number += 1
            destination = f"d{self.number}.example"
            self.doubtful.add(destination)
            answer = control.call("routes.add", route={"destination": destination, "remote_host": "192.0.2.1"})
            route = answer["routes"][0]["id"]
            self.doubtful.discard(destination)
            self.ids.append(route)
            self.priorities[route] = {1}
            self.there[route] = destination

    def join(self):
        self.stop.set()
        self.thread.join(PATIENCE)


def logged(relayd):
    """{recipient: [when each "delivered" was logged, as time.time()]}"""
    found = {}
    for line in relayd.lines("delivered"):
        when = datetime.datetime.fromisoformat(line.time.replace("Z", "+00:00")).timestamp()
        found.setdefault(line["to"], []).append(when)
    return found


def loop(relayd, source):
    """The kills. Returns when each was, as time.time()."""
    kills = []
    for _ in range(ROUNDS):
        if source.random() < 0.2:
            time.sleep(source.uniform(0, 0.05))  # while it starts
        else:
            relayd.wait(relayd.listens, "it listens again")
            time.sleep(source.uniform(0, 0.3 if source.random() < 0.9 else 1.5))
        relayd.kill()
        kills.append(time.time())
        relayd.spawn()
    relayd.wait(relayd.listens, "it listens again")
    return kills


def test_kill(make_relayd, make_peer):
    seed = os.environ.get("CRASH_SEED") or str(random.SystemRandom().randrange(1 << 32))
    print(f"CRASH_SEED={seed} CRASH_ROUNDS={ROUNDS}")
    source = random.Random(seed)
    relayd = make_relayd(retry=["1s"], limits={"connections_per_client": 2000})
    peer = make_peer()
    relayd.route("-d", "b.example", to=peer)
    clients, changes = Clients(relayd, source), Changes(relayd, source)
    try:
        kills = loop(relayd, source)
    finally:
        clients.join()
        changes.join()
    assert not clients.failures and not changes.failures, (clients.failures, changes.failures)
    relayd.wait_empty()
    check_routes(relayd, changes)
    check_messages(relayd, peer, clients, kills)


def check_routes(relayd, changes):
    listed = relayd.tmail_json("routes", "list")
    now = {route["id"]: route["destination"] for route in listed["routes"]}
    priorities = {route["id"]: route["priority"] for route in listed["routes"]}
    for route, destination in changes.there.items():
        assert now.get(route) == destination, f"route {route} was reported, and is not there"
        assert priorities[route] in changes.priorities[route], f"route {route} is not as it was reported"
    assert not changes.gone & now.keys(), "a deleted route is there again"
    assert len(changes.ids) == len(set(changes.ids)), "an id was given twice"
    known = {*changes.there.values(), "b.example"}
    assert {destination for destination in now.values() if destination not in known} <= changes.doubtful
    check_history(relayd, listed["revision"])
    print(f"routes: {len(changes.ids)} added, {len(changes.gone)} deleted, {len(changes.doubtful)} without an answer")


def check_history(relayd, revision):
    """From the last revision down to the first, or to the oldest of at least 10,000."""
    told = []
    with relayd.control() as control:
        while told[-1:] != [1]:
            page = control.call("routes.log", limit=1000, **({"after": told[-1]} if told else {}))["changes"]
            if not page:
                break
            told += [entry["revision"] for entry in page]
    assert told == list(range(revision, revision - len(told), -1)), told
    assert len(told) >= min(revision, 10000)


def check_messages(relayd, peer, clients, kills):
    copies = {}
    for message in peer.taken:
        number = messages.stamp_of(message.data)
        copies.setdefault(number, []).append(message)
    lost = clients.kept - copies.keys()
    assert not lost, f"{len(lost)} messages got a 250 and never came: {sorted(lost)[:10]}"
    for number, came in copies.items():
        for message in came:
            assert messages.without_trace(message.data) == messages.plain(number, clients.sent[number]), number
            assert message.recipients == [f"r{number}@b.example"]
    times = logged(relayd)
    repeated = {number: came for number, came in copies.items() if len(came) > 1}
    oldest = 0.0
    for number, came in repeated.items():
        # Each copy but the last was undone by a kill: its line, if there is one, is younger than that.
        lines = times.get(f"r{number}@b.example", [])
        for line in lines[:-1]:
            kill = min((kill for kill in kills if kill >= line - 0.002), default=None)
            assert kill is not None, f"message {number} came again without a kill"
            oldest = max(oldest, kill - line)
        assert len(came) <= 1 + len(kills)
    print(f"messages: {len(clients.kept)} got a 250, {len(copies)} came, {len(repeated)} of them more than once; "
          f"the oldest outcome that a kill undid was {oldest * 1000:.0f} ms old")
    assert oldest <= WRITE_BEHIND_S
