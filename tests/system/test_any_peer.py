# SPDX-License-Identifier: GPL-3.0-or-later
"""
Next hops that do anything at any stage, TLS and logins among it, drawn at random: every recipient gets its one
fate in time, whoever says 2xx to the final dot has the message whole, and good mail goes on.

PEERS_SEED and PEERS_COUNT (environment) repeat what was and change how many.
"""
import base64
import os
import random

from harness import messages
from harness.places import SANITIZED
from peer.login import MECHANISMS
from peer.scripted import Challenges, Clear, Drop, Endless, Raw, Sequence, Silence, Slow
from peer.tls import Authority, self_signed

COUNT = int(os.environ.get("PEERS_COUNT", 60 if SANITIZED else 150))
SECONDS = 4 if SANITIZED else 2
STAGES = ("connect", "greeting", "ehlo", "helo", "starttls", "handshake", "hello", "half", "secured", "ehlo_tls",
          "auth", "scram_first", "scram_final", "mail", "rcpt", "data", "body", "dot", "rset", "quit")
CODES = (200, 220, 221, 235, 250, 251, 334, 354, 421, 450, 451, 454, 500, 501, 503, 504, 535, 550, 554, 199, 600, 999)


def octets(source, most=300):
    return bytes(source.choices(range(256), k=source.randint(0, most)))


def text(source):
    words = ["", "2.0.0 ok", "4.3.0 later", "5.7.1 no", "STARTTLS", "AUTH PLAIN LOGIN SCRAM-SHA-256", "SIZE 10",
             "SIZE x", "PIPELINING", "8BITMIME", base64.b64encode(octets(source, 40)).decode(),
             "x" * source.choice((10, 500, 3000))]
    return source.choice(words)


def reply(source):
    """One that may be well formed."""
    code = source.choice(CODES)
    lines = [f"{code}-{text(source)}" for _ in range(source.choice((0, 0, 1, 3)))]
    if lines and source.random() < 0.1:
        lines[0] = f"{source.choice(CODES)}-other"
    return (*lines, f"{code}{source.choice((' ', ' ', ' ', '', chr(9)))}{text(source)}")


def action(source):
    kind = source.random()
    if kind < 0.45:
        return reply(source)
    if kind < 0.60:
        return Raw(octets(source) + source.choice((b"", b"\r\n", b"\n", b"\r")))
    return source.choice([
        Drop(), Drop(reset=True), Silence(), Endless(), Endless(octets(source) + b"x"), Challenges(octets(source)),
        Slow(reply(source), seconds=0.001, size=3), Clear(octets(source)), Sequence(Raw(octets(source)), Drop()),
        Sequence(reply(source), reply(source))])


def peer_of(source, make_peer, contexts):
    stages = {stage: action(source) if source.random() < 0.7 else [action(source), None]
              for stage in source.sample(STAGES, source.choice((0, 1, 1, 2, 4)))}
    extensions = [word for word in ("PIPELINING", "SIZE 0", "8BITMIME", "ENHANCEDSTATUSCODES") if source.random() < 0.8]
    tls = source.choice(contexts)
    return make_peer(stages, extensions=extensions, tls=tls, implicit_tls=bool(tls) and source.random() < 0.2,
                     logins=source.choice((None, {"me": "secret"}, {"me": "other"})),
                     mechanisms=source.sample(MECHANISMS, source.randint(1, 4)), strict=False)


def test_any_peer(make_relayd, make_peer, tmp_path):
    seed = os.environ.get("PEERS_SEED") or str(random.SystemRandom().randrange(1 << 32))
    print(f"PEERS_SEED={seed}")
    source = random.Random(seed)
    authority = Authority(tmp_path)
    contexts = [None, None, authority.server("127.0.0.1"), self_signed(tmp_path, "127.0.0.1")[0]]
    relayd = make_relayd(timeouts={"connect": f"{SECONDS}s", "remote_command": f"{SECONDS}s"},
                         tls={"ca": authority.file})
    good = make_peer()
    peers = [peer_of(source, make_peer, contexts) for _ in range(COUNT)]
    routes = [{"destination": "good.example", "remote_host": good.host, "remote_port": good.port}]
    for number, peer in enumerate(peers):
        routes.append({"destination": f"d{number}.example", "remote_host": peer.host, "remote_port": peer.port, "tls":
                       source.choice((None, "none", "may", "require", "verify", "implicit"))})
        if source.random() < 0.5:
            routes[-1].update(remote_login="me", remote_password="secret")
    with relayd.control() as control:
        control.call("routes.add", routes=routes)
    sent = {}
    for number in range(COUNT):
        data = messages.plain(number, source.choice((100, 3000, 100000)))
        people = [f"r{n}@d{number}.example" for n in range(source.choice((1, 2, 5)))]
        sent[relayd.send(data, recipients=people)] = number, data, people
        relayd.send(recipients=["r@good.example"])
    relayd.wait(lambda: len(good.taken) == COUNT, "good mail is through")
    wanted = {(queue_id, address) for queue_id, (_, _, people) in sent.items() for address in people}
    relayd.wait(lambda: {(line.id, line["to"]) for line in relayd.fates()} >= wanted, "a fate for everybody")
    fates = {}
    for line in relayd.fates():
        fates.setdefault(line.id, []).append(line)
    for queue_id, (number, data, people) in sent.items():
        assert sorted(line["to"] for line in fates[queue_id]) == sorted(people)
        delivered = {line["to"] for line in fates[queue_id] if line.event == "delivered"}
        taken = {address for message in peers[number].messages for address in message.recipients}
        # Delivered is only what came to its dot there, and whole.
        assert delivered <= taken, (number, delivered, taken)
        for message in peers[number].messages:
            assert messages.without_trace(message.data) == data, number
        # Silence costs one timeout, two after the dot; nonsense costs none.
        assert max(int(line["delay_ms"]) for line in fates[queue_id]) < (3 * SECONDS + 20) * 1000
    print({event: sum(line.event == event for lines in fates.values() for line in lines)
           for event in ("delivered", "deferred", "failed")})
