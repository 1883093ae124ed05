# SPDX-License-Identifier: GPL-3.0-or-later
"""
Thousands of messages with failures of every kind, on the way in and on the way out; then everything has
ended with one fate, the queue is empty, and open files, memory and the spool are as level as before.

LEVELS_MESSAGES (environment) is how many; tests/soak runs this under valgrind.
"""
import os
import random
import re
import threading

from harness import messages
from harness.places import PATIENCE, SANITIZED
from harness.talk import Talk
from peer.scripted import Drop, Endless, Raw, Sequence, Silence, Slow

COUNT = int(os.environ.get("LEVELS_MESSAGES", 1500 if SANITIZED else 10000))
PARTS = 4
CLIENTS = 8


def sometimes(source, *actions):
    """A third of the time one of these, else as usual."""
    return lambda session, argument: source.choice(actions) if source.random() < 0.33 else None


def next_hops(relayd, make_peer, source):
    """Every way a next hop can fail, each with a domain of its own; returns the domains."""
    scripts = {
        "good": {},
        "down": None,
        "connect": {"connect": sometimes(source, Drop(), Drop(reset=True))},
        "greeting": {"greeting": sometimes(source, "421 4.3.2 no", "554 5.3.2 no", Drop(), Raw(b"hello\r\n"))},
        "ehlo": {"ehlo": sometimes(source, Drop(), "421 4.3.2 no", "502 5.5.1 no",
                                   Sequence("250-x", Drop(reset=True)))},
        "mail": {"mail": sometimes(source, "451 4.3.0 no", "550 5.7.1 no", "421 4.3.2 no", Drop())},
        "rcpt": {"rcpt": sometimes(source, "450 4.2.0 no", "550 5.1.1 no", "421 4.3.2 no", Drop(reset=True))},
        "data": {"data": sometimes(source, "451 4.3.0 no", "554 5.6.0 no", Drop(), Raw(b"x\r\n"))},
        "body": {"body": sometimes(source, Drop(after=50), Drop(after=50, reset=True))},
        "dot": {"dot": sometimes(source, "451 4.3.0 no", "554 5.6.0 no", "421 4.3.2 no")},
        "after": {"dot": sometimes(source, Drop(), Drop(reset=True), Sequence(Raw(b"2"), Drop()))},
        "slow": {"dot": sometimes(source, Slow("250 2.0.0 ok", seconds=0.001))},
        "silent": {"mail": lambda session, sender: Silence() if source.random() < 0.003 else None},
        "endless": {"ehlo": lambda session, name: Endless() if source.random() < 0.01 else None},
        "quit": {"quit": sometimes(source, Silence(), Drop(), "500 no")},
    }
    for name, stages in scripts.items():
        peer = make_peer(stages, up=stages is not None, keep=False)
        relayd.tmail("routes", "add", "-d", f"{name}.example", "-rh", peer.host, "-rp", peer.port)
        if source.random() < 0.5:
            relayd.tmail("routes", "add", "-d", f"{name}.example", "-p", 2, "-rh", peer.host, "-rp", peer.port)
    relayd.dns.fail("servfail.example", "SERVFAIL")
    relayd.dns.set("null.example", mx=[(0, ".")])
    relayd.dns.set("unreachable.example", a=["127.0.0.9"])
    return [f"{name}.example" for name in scripts] + ["servfail.example", "null.example", "unreachable.example",
                                                      "nothing.example"]


class Load:
    """Clients that submit `count` messages in all, and misbehave in between."""

    def __init__(self, relayd, domains, count, seed):
        self.relayd, self.domains, self.left = relayd, domains, count
        self.lock = threading.Lock()
        self.accepted = []   # (queue id, how many recipients)
        self.failures = []
        threads = [threading.Thread(target=self.work, args=(random.Random(f"{seed} {n}"),)) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE * 10)
        assert not self.failures and self.left <= 0, self.failures

    def next(self):
        with self.lock:
            self.left -= 1
            return self.left >= 0

    def work(self, source):
        try:
            more = True
            while more:
                with Talk(self.relayd.host, self.relayd.port) as talk:
                    talk.ehlo()
                    for _ in range(source.choice((1, 5, 50))):
                        more = self.next()
                        if not more:
                            return
                        self.submit(talk, source)
                    self.misbehave(talk, source)
        except Exception as why:
            self.failures.append(why)

    def submit(self, talk, source):
        size = source.choice((10, 200, 2000, 20000) + ((300000,) if source.random() < 0.05 else ()))
        domains = source.choices(self.domains, k=source.choice((1, 1, 1, 2, 5)))
        recipients = [f"r{n}@{domain}" for n, domain in enumerate(domains)]
        sender = source.choice(("s@good.example", "s@rcpt.example", ""))
        reply = talk.message(messages.stuffed(messages.plain(0, size)), sender, recipients)
        assert reply == 250, reply
        self.accepted.append((reply.queue_id, len(recipients)))

    def misbehave(self, talk, source):
        way = source.randrange(6)
        if way == 0:
            talk.say("QUIT")
        elif way == 1:
            talk.message(b"bare\nLF\r\n")
        elif way == 2:
            for _ in range(50):
                try:
                    if talk.say("NONSENSE") == 421:
                        break
                except (EOFError, OSError):
                    break
        elif way in (3, 4):
            talk.envelope()
            talk.say("DATA")
            talk.send(b"half a message" * source.choice((1, 40000)))
            # ... and gone: by RST for the kernel has things of ours unread, or in order.
        else:
            talk.send("EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<x@good.example>\r\nDATA\r\nx\r\n.\r\nQ")


def open_files(relayd):
    return len(os.listdir(f"/proc/{relayd.pid}/fd"))


def resident_kib(relayd):
    return int(re.search(r"^Pss:\s+(\d+)", open(f"/proc/{relayd.pid}/smaps_rollup").read(), re.MULTILINE)[1])


def settled(relayd):
    """Wait until all is over: queue empty, no session in or out; returns its memory in KiB."""
    relayd.wait(lambda: relayd.queued() == 0, lambda: relayd.tmail("queue", "list")[-3000:], PATIENCE * 4)

    def quiet():
        status = relayd.tmail_json("status")
        return status["connections_in"] == status["connections_out"] == 0 == status["spool_messages"]

    relayd.wait(quiet, "every session has ended")
    return resident_kib(relayd)


def test_levels(make_relayd, make_peer):
    seed = os.environ.get("LEVELS_SEED") or str(random.SystemRandom().randrange(1 << 32))
    print(f"LEVELS_SEED={seed} LEVELS_MESSAGES={COUNT}")
    source = random.Random(seed)
    relayd = make_relayd(retry=["1s"], queue_lifetime="6s", timeouts={"connect": "2s", "remote_command": "2s"},
                         limits={"connections_per_client": 2000, "errors": 10})
    domains = next_hops(relayd, make_peer, source)
    reports = make_peer(keep=False)
    relayd.route("-d", "good.example", to=reports)
    accepted, files, memory = [], [], []
    for part in range(PARTS):
        accepted += Load(relayd, domains, COUNT // PARTS, f"{seed} {part}").accepted
        memory.append(settled(relayd))
        if part >= PARTS // 2:
            relayd.wait(lambda: open_files(relayd) <= max(files[:PARTS // 2]), f"open files come down to {files}")
        files.append(open_files(relayd))
    print(f"after each of {PARTS} parts: open files {files}, memory {memory} KiB")
    check_fates(relayd, accepted)
    check_spool(relayd)
    # Half of it is for the allocator to reach its level; what is lost for each message shows after that.
    if not SANITIZED and not relayd.command:
        grown = memory[-1] - memory[PARTS // 2 - 1]
        assert grown < 6144, f"{grown} KiB more after {COUNT // 2} messages"


def check_fates(relayd, accepted):
    """Each recipient ended once: delivered or failed; reports included."""
    ends, last = {}, set()
    for line in relayd.lines():
        if line.event in ("delivered", "failed"):
            key = line.id, line["to"]
            assert key not in ends, f"two fates for {key}"
            ends[key] = line.event
        elif line.event == "finished":
            assert line.id not in last
            last.add(line.id)
    counts = {}
    for queue_id, address in ends:
        counts[queue_id] = counts.get(queue_id, 0) + 1
    for queue_id, recipients in accepted:
        assert counts.get(queue_id) == recipients and queue_id in last, queue_id
    assert {"delivered", "failed"} == set(ends.values())


def check_spool(relayd):
    """What is done with is given back."""
    stored = sum(path.stat().st_size for path in relayd.spool_files())
    assert not [path for path in relayd.spool_files() if path.parent.name == "large"]
    relayd.wait(lambda: sum(path.stat().st_size for path in relayd.spool_files()) < 160 << 20,
                f"{stored >> 20} MiB in an empty spool")
