# SPDX-License-Identifier: GPL-3.0-or-later
"""
The tests' own peers: tests/peer/scripted.py at every stage, its faults, tests/peer/dns.py, and
tests/peer/sink as a program. A peer that let something pass would prove nothing.
"""
import base64
import hashlib
import hmac
import json
import re
import signal
import smtplib
import socket
import ssl
import struct
import subprocess
import threading
import time

import dnslib
import pytest

from harness.places import PATIENCE, TESTS
from harness.talk import Talk
from harness.waiting import until
from peer.dns import Dns
from peer.scripted import Blackhole, Challenges, Drop, Endless, Hold, Raw, Sequence, Silence, Slow
from peer.tls import Authority, self_signed


@pytest.fixture(scope="session", autouse=True)
def programs():
    """These tests need neither relayd nor tmail."""


def deliver(talk, data=b"x\r\n", sender="a@a.example", recipient="b@b.example"):
    talk.ehlo()
    return talk.message(data, sender, [recipient])


def test_records_sessions(make_peer):
    peer = make_peer()
    with Talk(peer.host, peer.port) as talk:
        assert deliver(talk, b"..dot\r\n...\r\n").code == 250
        assert talk.message(b"", "", ["c@c.example"], " SIZE=0").code == 250
        assert talk.say("QUIT") == 221
        client = talk.socket.getsockname()
    until(lambda: peer.sessions[0].ended, "the session has ended")
    first, second = peer.messages
    assert (first.sender, first.recipients, first.data) == ("a@a.example", ["b@b.example"], b".dot\r\n..\r\n")
    assert (second.sender, second.parameters, second.data) == ("", "SIZE=0", b"")
    session, = peer.sessions
    assert session.client == client and session.helo == "client.example" and session.end == "quit"
    assert session.verbs() == ["EHLO", "MAIL", "RCPT", "DATA", "MAIL", "RCPT", "DATA", "QUIT"]
    assert not peer.faults and peer.taken == [first, second]


STAGES = ("connect", "greeting", "ehlo", "helo", "starttls", "auth", "mail", "rcpt", "data", "body", "dot",
          "rset", "quit")


def up_to(stage, peer):
    """A client's way through a session; returns the reply that came at `stage`."""
    talk = Talk(peer.host, peer.port, greet=False)
    talk.socket.settimeout(0.5)
    try:
        reply = talk.reply()
        if stage in ("connect", "greeting"):
            return reply
        for verb, line in (("ehlo", "EHLO c.example"), ("helo", "HELO c.example"), ("starttls", "STARTTLS"),
                           ("auth", "AUTH PLAIN AGEAYg=="), ("mail", "MAIL FROM:<a@a.example>"),
                           ("rcpt", "RCPT TO:<b@b.example>"), ("data", "DATA")):
            if verb in ("starttls", "auth", "helo") and stage != verb:
                continue
            reply = talk.say(line)
            if stage == verb:
                return reply
        talk.send("x\r\n" * 1000)
        reply = talk.say(".")
        if stage in ("body", "dot"):
            return reply
        return talk.say(stage.upper())
    finally:
        talk.close()


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_can_fail(make_peer, stage):
    """13 stages: silence, drop, reset, a refusal, 421, an endless and a malformed reply, pieces."""
    for action, seen in ((Silence(), (TimeoutError, socket.timeout)), (Drop(), (EOFError, ConnectionError)),
                         (Drop(reset=True), (ConnectionResetError, BrokenPipeError)),
                         (Endless(), "more"), (Raw(b"what?\n\r\n"), AssertionError)):
        peer = make_peer({stage: action})
        if seen == "more":
            talk = Talk(peer.host, peer.port, greet=False)
            if stage in ("connect", "greeting"):
                assert len({talk.line() for _ in range(5000)}) == 1
            talk.close()
            peer.stop()
            continue
        with pytest.raises(seen):
            up_to(stage, peer)
        peer.stop()
    if stage in ("connect", "body"):
        return
    assert up_to(stage, make_peer({stage: Slow("250 2.0.0 well", size=3, seconds=0.001)})).code == 250
    assert up_to(stage, make_peer({stage: ("250-one", "250 two")})).lines == ["one", "two"]
    for text in ("421 4.3.2 bye", "450 4.0.0 no", "550 5.0.0 never"):
        assert up_to(stage, make_peer({stage: text})).code == int(text[:3])


def test_421_closes(make_peer):
    peer = make_peer({"mail": "421 4.3.2 bye"})
    with Talk(peer.host, peer.port) as talk:
        talk.ehlo()
        assert talk.say("MAIL FROM:<>") == 421
        assert talk.ended()
    until(lambda: peer.sessions[0].end == "dropped", "dropped")


def test_drop_in_the_body_after_some_octets(make_peer):
    peer = make_peer({"body": Drop(after=5000)})
    with Talk(peer.host, peer.port) as talk:
        talk.ehlo()
        talk.envelope()
        assert talk.say("DATA") == 354
        talk.send(b"x" * 998 + b"\r\n")
        assert until(lambda: peer.open == 1, "still there")
        for _ in range(5):
            talk.send(b"x" * 998 + b"\r\n")
        assert talk.ended()
    assert not peer.messages


def test_scripts_by_turn_by_address_and_by_function(make_peer):
    peer = make_peer({"dot": ["451 4.3.0 later", "250 2.0.0 now"],
                      "rcpt": {"no@b.example": "550 5.1.1 no such", None: "250 2.1.5 elsewhere"},
                      "mail": lambda session, sender: "550 5.7.1 not you" if sender == "bad@a.example" else None})
    with Talk(peer.host, peer.port) as talk:
        talk.ehlo()
        assert talk.say("MAIL FROM:<bad@a.example>") == 550
        assert talk.say("MAIL FROM:<a@a.example>") == 250
        assert talk.say("RCPT TO:<no@b.example>") == 550
        assert talk.say("RCPT TO:<yes@b.example>") == 250
        assert talk.say("DATA") == 354
        assert talk.say(".") == 451
        assert deliver(talk, recipient="yes@b.example") == 250
    refused, taken = peer.messages
    assert (refused.accepted, refused.refused, refused.recipients) == (False, ["no@b.example"], ["yes@b.example"])
    assert taken.accepted and peer.taken == [taken]


def test_hold_waits_for_the_test(make_peer):
    hold = Hold("250 2.0.0 at last")
    peer = make_peer({"dot": hold})
    with Talk(peer.host, peer.port) as talk:
        talk.ehlo()
        talk.envelope()
        talk.say("DATA")
        talk.send(".\r\n")
        assert hold.reached.wait(PATIENCE)
        talk.socket.settimeout(0.2)
        with pytest.raises((TimeoutError, socket.timeout)):
            talk.reply()
        talk.socket.settimeout(PATIENCE)
        hold.release()
        assert talk.reply() == 250


def test_sequence(make_peer):
    peer = make_peer({"ehlo": Sequence("250-half", Drop())})
    with Talk(peer.host, peer.port) as talk:
        talk.send("EHLO x\r\n")
        assert talk.line() == "250-half"
        assert talk.ended()


@pytest.mark.parametrize("words, options, fault", [
    (b"a\nb\r\n", {}, "bare CR or LF"),
    (b"a\rb\r\n", {}, "bare CR or LF"),
    (b"a\r\n.b\r\n", {}, "not doubled"),
    (b".b\r\n", {}, "not doubled"),
    ("ü\r\n".encode(), {}, "eight bits"),
])
def test_faults_of_a_body(make_peer, words, options, fault):
    peer = make_peer(**options)
    with Talk(peer.host, peer.port) as talk:
        deliver(talk, words)
    assert len(peer.faults) == 1 and fault in peer.faults.pop()


def test_faults_of_an_envelope(make_peer):
    peer = make_peer(extensions=["PIPELINING"])
    with Talk(peer.host, peer.port) as talk:
        talk.ehlo()
        talk.message("ü\r\n".encode(), parameters=" BODY=8BITMIME SIZE=3")
    assert [fault.split(": ")[1].split(" ")[0] for fault in peer.faults] == ["BODY", "SIZE", "SIZE=3,"]
    peer.faults.clear()
    plain = make_peer(extensions=[])
    with Talk(plain.host, plain.port) as talk:
        talk.ehlo()
        talk.send("NOOP\r\nNOOP\r\n")
        assert (talk.reply(), talk.reply()) == (250, 250)
    assert "pipelining" in plain.faults.pop()


def test_down_and_up_on_one_port(make_peer):
    peer = make_peer(up=False)
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            Talk(peer.host, peer.port)
        peer.go_up()
        with Talk(peer.host, peer.port) as talk:
            assert talk.greeting == 220
            peer.go_down()
            assert talk.ended()


def test_blackhole():
    with Blackhole() as hole:
        with pytest.raises((TimeoutError, socket.timeout)):
            socket.create_connection((hole.host, hole.port), 0.3)


def test_starttls_and_implicit_tls(make_peer, tmp_path):
    authority = Authority(tmp_path)
    trusting = ssl.create_default_context(cafile=authority.file)
    server = authority.server("peer.example")
    peer = make_peer(tls=server)
    with smtplib.SMTP(peer.host, peer.port, timeout=PATIENCE) as client:
        client._host = "peer.example"
        client.starttls(context=trusting)
        client.sendmail("a@a.example", ["b@b.example"], b"x\r\n" * 100000)
    assert peer.sessions[0].tls[1] == "peer.example" and len(peer.taken[0].data) == 300000
    peer = make_peer(tls=server, implicit_tls=True)
    raw = socket.create_connection((peer.host, peer.port), PATIENCE)
    with trusting.wrap_socket(raw, server_hostname="peer.example") as wrapped:
        assert wrapped.recv(4) == b"220 "
    for context in (authority.server("other.example"), authority.server("peer.example", days=-1),
                    self_signed(tmp_path, "peer.example")[0]):
        peer = make_peer(tls=context)
        with smtplib.SMTP(peer.host, peer.port, timeout=PATIENCE) as client, pytest.raises(ssl.SSLError):
            client._host = "peer.example"
            client.starttls(context=trusting)
        until(lambda: peer.sessions[0].tls_failure, "the alert was seen")


@pytest.mark.parametrize("stage", ["handshake", "hello", "half", "secured"])
def test_tls_can_break_at_every_step(make_peer, tmp_path, stage):
    server, ca = self_signed(tmp_path, "peer.example")
    trusting = ssl.create_default_context(cafile=ca)
    actions = [Drop(), Drop(reset=True), Silence()]
    if stage != "handshake":
        # smtplib forgets what comes with the 220.
        actions.append(Raw(b"\x15\x03\x01\x00\x02\x02\x28" * 20))
    for broken in actions:
        peer = make_peer({stage: broken}, tls=server)
        client = smtplib.SMTP(peer.host, peer.port, timeout=0.5)
        client._host = "peer.example"
        try:
            client.starttls(context=trusting)
            good = client.ehlo()[0] == 250 and client.noop() == (250, b"2.0.0 ok")
        except (OSError, smtplib.SMTPException):
            good = False
        client.close()
        assert not good


def test_auth(make_peer):
    peer = make_peer(logins={"me": "secret"})
    for mechanism in ("auth_plain", "auth_login", "auth_cram_md5"):
        for password in ("secret", "wrong"):
            with smtplib.SMTP(peer.host, peer.port, timeout=PATIENCE) as client:
                client.ehlo()
                client.user, client.password = "me", password
                name = mechanism[5:].replace("_", "-").upper()
                if password == "secret":
                    assert client.auth(name, getattr(client, mechanism))[0] == 235
                else:
                    with pytest.raises(smtplib.SMTPAuthenticationError):
                        client.auth(name, getattr(client, mechanism))
    assert [session.logins[0][0] for session in peer.sessions] == ["PLAIN"] * 2 + ["LOGIN"] * 2 + ["CRAM-MD5"] * 2


def scram_answer(talk, login, password):
    """A client's side of SCRAM-SHA-256; the reply to its proof, and the signature it has to see."""
    first = f"n={login},r=abc"
    challenge = talk.say("AUTH SCRAM-SHA-256 " + base64.b64encode(f"n,,{first}".encode()).decode())
    server_first = base64.b64decode(challenge.text).decode()
    salt, count = re.search(r"s=([^,]+),i=(\d+)", server_first).groups()
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(count))
    without = "c=biws,r=" + re.search(r"r=([^,]+)", server_first)[1]
    told = f"{first},{server_first},{without}".encode()
    key = hmac.digest(salted, b"Client Key", "sha256")
    signature = hmac.digest(hashlib.sha256(key).digest(), told, "sha256")
    proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature))).decode()
    verifier = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), told, "sha256")
    return talk.say(base64.b64encode(f"{without},p={proof}".encode())), b"v=" + base64.b64encode(verifier)


def test_scram(make_peer):
    peer = make_peer(logins={"me": "secret"})
    with Talk(peer.host, peer.port) as talk:
        talk.ehlo()
        assert scram_answer(talk, "me", "wrong")[0] == 535
        assert scram_answer(talk, "you", "secret")[0] == 535
        reply, verifier = scram_answer(talk, "me", "secret")
        assert reply == 334 and base64.b64decode(reply.text) == verifier
        assert talk.say("") == 235
    assert peer.sessions[0].login == "me"
    peer = make_peer({"auth": {"LOGIN": Challenges(b"more"), "PLAIN": "454 4.7.0 not now", None: None}},
                     logins={"me": "secret"})
    with Talk(peer.host, peer.port) as talk:
        talk.ehlo()
        assert talk.say("AUTH PLAIN AGEAYg==") == 454
        assert talk.say("AUTH LOGIN") == 334
        assert {talk.say("YQ==").text for _ in range(20)} == {"bW9yZQ=="}


# ---- DNS ------------------------------------------------------------------------------------------

def ask(dns, name, kind, tcp=False):
    query = dnslib.DNSRecord.question(name, kind)
    try:
        octets = query.send("127.0.0.1", dns.port, tcp=tcp, timeout=0.5)
    except (TimeoutError, socket.timeout):
        return "silence", []
    reply = dnslib.DNSRecord.parse(octets)
    return dnslib.RCODE.get(reply.header.rcode), [str(record.rdata) for record in reply.rr]


def test_dns_answers_from_its_table():
    with Dns() as dns:
        dns.set("example.org", mx=[(10, "mx.example.org"), (20, "mx2.example.org")])
        dns.set("mx.example.org", a=["127.0.0.2"], aaaa=["::1"], ttl=7)
        dns.set("alias.example", cname="example.org")
        dns.set("null.example", mx=[(0, ".")])
        dns.fail("broken.example", "SERVFAIL")
        dns.fail("deaf.example", "silence")
        assert ask(dns, "EXAMPLE.org", "MX") == ("NOERROR", ["10 mx.example.org.", "20 mx2.example.org."])
        assert ask(dns, "mx.example.org", "AAAA", tcp=True) == ("NOERROR", ["::1"])
        assert ask(dns, "example.org", "A") == ("NOERROR", [])
        assert ask(dns, "alias.example", "MX")[1] == ["example.org.", "10 mx.example.org.", "20 mx2.example.org."]
        assert ask(dns, "null.example", "MX")[1] == ["0 ."]
        assert ask(dns, "nothing.example", "A") == ("NXDOMAIN", [])
        assert ask(dns, "broken.example", "A") == ("SERVFAIL", [])
        assert ask(dns, "deaf.example", "A") == ("silence", [])
        assert dns.asked("example.org") == 2 and ("mx.example.org", "AAAA", "tcp") in dns.queries


def test_dns_truncates_by_udp():
    with Dns() as dns:
        dns.set("big.example", a=[f"127.0.1.{n}" for n in range(1, 200)])
        query = dnslib.DNSRecord.question("big.example", "A").pack()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.settimeout(PATIENCE)
            udp.sendto(query, ("127.0.0.1", dns.port))
            assert dnslib.DNSRecord.parse(udp.recv(65536)).header.tc
        with socket.create_connection(("127.0.0.1", dns.port), PATIENCE) as tcp:
            tcp.sendall(struct.pack("!H", len(query)) + query)
            octets = tcp.makefile("rb").read(struct.unpack("!H", tcp.recv(2))[0])
        assert len(dnslib.DNSRecord.parse(octets).rr) == 199


# ---- the sink -------------------------------------------------------------------------------------

@pytest.fixture
def sink():
    made = []

    def start(*arguments):
        process = subprocess.Popen([str(TESTS / "peer/sink"), *map(str, arguments)], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        made.append(process)
        ready = process.stdout.readline()
        host, port = re.match(r"ready (\S+):(\d+)\n", ready).groups()
        return process, host, int(port)

    yield start
    for process in made:
        process.kill()
        process.communicate()


def end(process, status=0):
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == status, err
    return out, err


def test_sink_prints(sink):
    process, host, port = sink("--print")
    with Talk(host, port) as talk:
        deliver(talk, b"Subject: \x1b[31mred\r\n\r\nhe\rllo\x07\r\n")
    out, err = end(process, 1)
    assert "MAIL FROM:<a@a.example>" in out and "RCPT TO:<b@b.example>" in out
    assert r"\x1b[31mred" in out and "\x1b" not in out and "bare CR" in out


def test_sink_stores_and_goes_on(sink, tmp_path):
    for turn in (1, 2):
        process, host, port = sink("--store", tmp_path / "got", "--listen", "[::1]:0" if turn == 2 else "127.0.0.1:0")
        with Talk(host.strip("[]"), port) as talk:
            deliver(talk, b"..x\r\n")
        until(lambda: (tmp_path / f"got/00000{turn}.json").exists(), "stored")
        assert (tmp_path / f"got/00000{turn}.eml").read_bytes() == b".x\r\n"
        envelope = json.loads((tmp_path / f"got/00000{turn}.json").read_text())
        assert envelope["recipients"] == ["b@b.example"] and envelope["helo"] == "client.example"
        end(process)


def test_sink_without_extensions(sink):
    process, host, port = sink("--without", "8BITMIME", "--without", "size")
    with Talk(host, port) as talk:
        offered = [line.split()[0] for line in talk.ehlo().lines[1:]]
        assert offered == ["PIPELINING", "ENHANCEDSTATUSCODES"]
    end(process)
    done = subprocess.run([str(TESTS / "peer/sink"), "--without", "HOPE"], capture_output=True, text=True)
    assert done.returncode == 2 and "HOPE" in done.stderr


def test_many_sessions_at_once(make_peer):
    peer = make_peer()

    def work(number):
        with Talk(peer.host, peer.port) as talk:
            talk.ehlo()
            for turn in range(20):
                assert talk.message(b"%d.%d\r\n" % (number, turn)) == 250

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({message.data for message in peer.taken}) == 400
    assert time.monotonic() - started < PATIENCE
