# SPDX-License-Identifier: GPL-3.0-or-later
"""
SMTP as a client sees it from outside: verbs and their order, extensions, addresses, limits, strict line
ends, loops, who may relay, timeouts, limits on connections. What is accepted is in the queue; what is
refused is not, and the session goes on.
"""
import re
import smtplib
import threading
import time

import pytest

from harness.places import PATIENCE
from harness.talk import Talk
from harness.waiting import until

OUTSIDE = ["192.0.2.0/24"]  # nobody in this test: relaying for relay_domains alone


# ---- verbs ----------------------------------------------------------------------------------------

def test_greeting_and_ehlo(make_relayd):
    relayd = make_relayd(message_size="3M")
    with relayd.talk() as talk:
        assert talk.greeting == 220 and talk.greeting.text.startswith("relay.example ESMTP")
        reply = talk.ehlo()
        assert reply.lines[0].split()[0] == "relay.example"
        assert {"PIPELINING", f"SIZE {3 << 20}", "8BITMIME", "ENHANCEDSTATUSCODES"} <= set(reply.lines[1:])
        assert not any(line.startswith(("STARTTLS", "AUTH")) for line in reply.lines)
        assert len(talk.say("HELO x.example").lines) == 1


def test_verbs(relayd):
    with relayd.talk() as talk:
        assert talk.say("NOOP") == 250
        assert talk.say("HELP").code in (211, 214)
        assert talk.say("MAIL FROM:<a@a.example>") == 503
        talk.ehlo()
        assert talk.say("RCPT TO:<b@b.example>") == 503
        assert talk.say("DATA") == 503
        assert talk.say("VRFY somebody") == 252
        assert talk.say("NOOP with words") == 250
        assert talk.say("WHAT") == 500
        assert talk.say("EXPN list").code in (500, 502)
        assert talk.say("mail from:<a@a.example>") == 250
        assert talk.say("MAIL FROM:<a@a.example>") == 503
        assert talk.say("rcpt to:<b@b.example>") == 250
        assert talk.say("RSET") == 250
        assert talk.say("RCPT TO:<b@b.example>") == 503
        assert talk.say("QUIT") == 221
        assert talk.ended()


def test_ehlo_in_a_transaction_is_a_reset(relayd):
    with relayd.talk() as talk:
        talk.ehlo()
        talk.envelope()
        talk.ehlo()
        assert talk.say("DATA").code in (503, 554)


def test_several_messages_in_one_session(relayd):
    with relayd.talk() as talk:
        talk.ehlo()
        ids = [talk.message(b"x\r\n").queue_id for _ in range(5)]
    assert ids == sorted(set(ids)) == [line.id for line in relayd.lines("accepted")]


def test_a_whole_session_in_one_packet(relayd):
    with relayd.talk(greet=False) as talk:
        talk.send("EHLO c.example\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\n"
                  "RCPT TO:<c@b.example>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\n"
                  "MAIL FROM:<a@a.example>\r\nRSET\r\nNOOP\r\nQUIT\r\n")
        codes = [talk.reply().code for _ in range(11)]
        assert codes == [220, 250, 250, 250, 250, 354, 250, 250, 250, 250, 221]
    assert [line["nrcpt"] for line in relayd.lines("accepted")] == ["2"]


def test_octet_by_octet(relayd):
    with relayd.talk() as talk:
        for octet in b"EHLO c.example\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n":
            talk.send(bytes([octet]))
        assert [talk.reply().code for _ in range(4)] == [250, 250, 250, 354]
        for octet in b"..\r\n.x\r\n\r\n.\r\n":
            talk.send(bytes([octet]))
        assert talk.reply() == 250


# ---- addresses and parameters ---------------------------------------------------------------------

@pytest.mark.parametrize("path", [
    "<>", "<a@a.example>", '<"a b"@a.example>', '<"a\\"b"@a.example>', "<a@[192.0.2.1]>", "<a@[IPv6:2001:db8::1]>",
    "<a+b/c=d@a.example>", "<@x.example,@y.example:a@a.example>", "<" + "l" * 64 + "@a.example>",
])
def test_good_senders(relayd, path):
    with relayd.talk() as talk:
        talk.ehlo()
        assert talk.say(f"MAIL FROM:{path}") == 250


@pytest.mark.parametrize("path", [
    "a@a.example>", "<a@a.example", "<a@>", "<@a.example>", "<a b@a.example>", "<a@a..example>", "<a@-a.example>",
    "<a@a.example>x", "<" + "l" * 65 + "@a.example>", "<a@" + "d" * 64 + ".example>", "", "<a@[192.0.2.256]>",
    "<a\x01@a.example>",
])
def test_bad_senders(relayd, path):
    with relayd.talk() as talk:
        talk.ehlo()
        assert 500 <= talk.say(f"MAIL FROM:{path}").code <= 555
        assert talk.say("MAIL FROM:<a@a.example>") == 250


def test_recipients_need_an_address(relayd):
    with relayd.talk() as talk:
        talk.ehlo()
        assert talk.say("MAIL FROM:<>") == 250
        for path in ("<>", "<b>", "<b@>", "b@b.example>", ""):
            assert 500 <= talk.say(f"RCPT TO:{path}").code <= 555, path
        assert talk.say('RCPT TO:<"b c"@[127.0.0.1]>') == 250
        # RFC 5321 4.5.1: without a domain, for whoever answers for this host. Taken or refused, never lost.
        assert talk.say("RCPT TO:<Postmaster>").code in (250, 550, 501)


def test_parameters(make_relayd):
    relayd = make_relayd(message_size="1M")
    with relayd.talk() as talk:
        talk.ehlo()
        for words, code in (("SIZE=1048576", 250), ("SIZE=1048577", 552), ("SIZE=x", 501), ("SIZE=", 501),
                            ("BODY=8BITMIME", 250), ("BODY=7BIT", 250), ("body=8bitmime size=3", 250),
                            ("BODY=BINARYMIME", 501), ("NOVELTY=1", 555), ("SIZE=99999999999999999999", 552)):
            got = talk.say(f"MAIL FROM:<a@a.example> {words}")
            assert got.code == code or (code in (501, 555) and got.code in (501, 504, 555)), (words, got)
            talk.say("RSET")
        assert talk.say("MAIL FROM:<a@a.example> SIZE=3 SIZE=3").code in (501, 555)
        assert talk.say("MAIL FROM:<a@a.example>") == 250
        assert talk.say("RCPT TO:<b@b.example> NOVELTY=1").code in (501, 555)


# ---- limits ---------------------------------------------------------------------------------------

def test_message_size(make_relayd, make_peer):
    peer = make_peer()
    relayd = make_relayd(message_size="64K")
    relayd.route(to=peer)
    line = b"x" * 62 + b"\r\n"
    with relayd.talk() as talk:
        talk.ehlo()
        assert talk.message(line * 1025) == "552 5.3.4"
        assert talk.message(line * 1024) == 250
    assert relayd.lines("accepted")[0]["size"]
    until(lambda: peer.messages, "delivered")
    assert peer.messages[0].data.endswith(line * 1024)


def test_recipient_limit(make_relayd):
    relayd = make_relayd(limits={"recipients": 3})
    with relayd.talk() as talk:
        talk.ehlo()
        talk.envelope(recipients=[f"b{n}@b.example" for n in range(3)])
        assert talk.say("RCPT TO:<b4@b.example>") == "452 4.5.3"
        talk.say("DATA")
        reply = talk.say("x\r\n.")
        assert reply == 250
    assert relayd.lines("accepted", reply.queue_id)[0]["nrcpt"] == "3"


def test_at_least_100_recipients(relayd):
    with relayd.talk() as talk:
        talk.ehlo()
        assert talk.message(b"x\r\n", recipients=[f"b{n}@b.example" for n in range(1000)]) == 250


def test_command_line_limit(relayd):
    with relayd.talk() as talk:
        assert talk.say("EHLO c.example") == 250
        assert talk.say("NOOP " + "x" * 505) == 250, "512 octets with the CRLF"
        assert talk.say("NOOP " + "x" * 5000) == 500
        assert talk.say("NOOP") == 250
        # Without an end it can't grow, nor be taken for one when it comes.
        talk.send(b"NOOP " + b"x" * 3000000)
        reply = talk.say(b"")
        assert reply == 500
        assert talk.say("NOOP") == 250


def test_text_line_limit(relayd):
    with relayd.talk() as talk:
        talk.ehlo()
        assert talk.message(b"x" * 998 + b"\r\n") == 250
        assert talk.message(b"." + b"." + b"x" * 997 + b"\r\n") == 250
        reply = talk.message(b"x" * 70000 + b"\r\n")
        assert reply.code in (500, 550, 554), reply
        assert talk.say("NOOP") == 250


def test_errors_end_a_session(make_relayd):
    relayd = make_relayd(limits={"errors": 5})
    with relayd.talk() as talk:
        talk.ehlo()
        codes = []
        while not codes or codes[-1] != 421:
            codes.append(talk.say("NONSENSE").code)
        assert len(codes) <= 6 and set(codes[:-1]) == {500}
        assert talk.ended()


def test_connections_per_client(make_relayd):
    relayd = make_relayd(limits={"connections_per_client": 3})
    first = [relayd.talk() for _ in range(3)]
    with relayd.talk(greet=False) as late:
        assert late.reply() == "421 4.7.0"
        assert late.ended()
    with relayd.talk(source="127.0.0.77") as other:
        assert other.greeting == 220
    first.pop().close()

    def again():
        with relayd.talk(greet=False) as talk:
            return talk.reply() == 220

    relayd.wait(again, "a place is free again")
    for talk in first:
        assert talk.say("NOOP") == 250
        talk.close()


def test_connections_in_total(make_relayd):
    relayd = make_relayd(limits={"connections": 4})
    talks = [relayd.talk(source=f"127.0.0.{10 + n}") for n in range(4)]
    with relayd.talk(source="127.0.0.50", greet=False) as late:
        assert late.reply() == "421 4.7.0"
        assert late.ended()
    for talk in talks:
        talk.close()
    relayd.wait(lambda: relayd.listens(), "a place is free again")


# ---- strictness -----------------------------------------------------------------------------------

@pytest.mark.parametrize("command", [b"NOOP\n", b"NOOP\r", b"NO\rOP\r\n", b"NOOP x\ny\r\n",
                                     b"EHLO a\nMAIL FROM:<>\r\n"])
def test_bare_line_ends_in_commands(relayd, command):
    with relayd.talk() as talk:
        talk.ehlo()
        talk.send(command if command.endswith(b"\r\n") else command + b"NOOP\r\n")
        assert talk.reply() == "550 5.6.11"
        assert talk.say("NOOP") == 250


@pytest.mark.parametrize("body", [
    b"a\nb\r\n", b"a\rb\r\n", b"a\n.\nb\r\n", b"a\r\n.\nb\r\n", b"a\n.\r\nb\r\n", b"a\r\n.\rb\r\n", b"a\r.\r\nb\r\n",
    b"\n.\r\n", b"\r\r\n", b"a\n\r\n", b"a\r\n\r.\r\nb\r\n",
])
def test_bare_line_ends_in_data_never_end_a_message(relayd, make_peer, body):
    """SMTP smuggling: what follows such an end is text, and all of it is refused."""
    peer = make_peer()
    relayd.route(to=peer)
    with relayd.talk() as talk:
        talk.ehlo()
        smuggled = body + b"MAIL FROM:<evil@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\nsmuggled\r\n"
        assert talk.message(smuggled) == "550 5.6.11"
        assert talk.say("NOOP") == 250
        assert talk.message(b"good\r\n") == 250
    until(lambda: peer.messages, "the good one")
    relayd.wait_empty()
    message, = peer.messages
    assert message.data.endswith(b"good\r\n") and b"smuggled" not in message.data


def test_dots_are_undone(relayd, make_peer):
    peer = make_peer()
    relayd.route(to=peer)
    with relayd.talk() as talk:
        talk.ehlo()
        assert talk.message(b"..\r\n...\r\n..x\r\n.y\r\n") == 250
    until(lambda: peer.messages, "delivered")
    assert peer.messages[0].data.endswith(b"\r\n.\r\n..\r\n.x\r\ny\r\n")


def test_received(relayd, make_peer):
    peer = make_peer()
    relayd.route(to=peer)
    with relayd.talk() as talk:
        talk.ehlo("c.example")
        queue_id = talk.message(b"Subject: x\r\n\r\n").queue_id
    with relayd.talk() as talk:
        talk.say("HELO c.example")
        talk.message(b"Subject: x\r\n\r\n", recipients=["x@b.example", "y@b.example"])
    until(lambda: len(peer.messages) == 2, "delivered")
    one = next(m for m in peer.messages if len(m.recipients) == 1).data.decode()
    two = next(m for m in peer.messages if len(m.recipients) == 2).data.decode()
    one, two = (re.sub(r"\r\n[ \t]+", " ", text).split("\r\n")[0] for text in (one, two))
    assert re.match(r"Received: from c\.example \(.*\[127\.0\.0\.1\]\)", one)
    assert f"by relay.example with ESMTP id {queue_id} for <b@b.example>;" in one
    assert " with SMTP id " in two and " for " not in two, "no recipient learns of another one"
    assert re.search(r"; \w{3}, \d\d? \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", one)


def test_loop(relayd):
    head = b"Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n"
    with relayd.talk() as talk:
        talk.ehlo()
        assert talk.message(head * 50 + b"\r\nx\r\n") == 250
        assert talk.message(head * 51 + b"\r\nx\r\n") == "554 5.4.6"
        assert talk.message(b"Subject: x\r\n\r\n" + head * 60) == 250


# ---- who may relay --------------------------------------------------------------------------------

def test_no_open_relay(make_relayd, make_peer):
    peer = make_peer()
    relayd = make_relayd(relay_from=OUTSIDE, relay_domains=["ours.example", ".under.example"])
    relayd.route(to=peer)
    yes = ["b@ours.example", "b@OURS.example", "b@x.under.example", "b@y.x.under.example", '"b c"@ours.example']
    no = ["b@b.example", "b@sub.ours.example", "b@under.example", "b@notours.example", "b@ours.example.evil.example",
          '"b@ours.example"@b.example', "b%ours.example@b.example", "ours.example!b@b.example", "b@[127.0.0.1]",
          '"x\\"@ours.example"@b.example']
    with relayd.talk() as talk:
        talk.ehlo()
        assert talk.say("MAIL FROM:<b@ours.example>") == 250
        for address in no:
            assert talk.say(f"RCPT TO:<{address}>") == "550 5.7.1", address
        assert talk.say("DATA").code in (503, 554)
        talk.say("RSET")
        assert talk.say("MAIL FROM:<b@ours.example>") == 250
        for address in yes:
            assert talk.say(f"RCPT TO:<{address}>") == 250, address
        # A source route is of no account: the address is what counts.
        assert talk.say("RCPT TO:<@ours.example:b@b.example>").code >= 500
    assert relayd.queued() == 0


def test_relay_from(make_relayd):
    relayd = make_relayd(relay_from=["127.0.0.8/31"])
    for source, good in (("127.0.0.8", True), ("127.0.0.9", True), ("127.0.0.10", False)):
        with relayd.talk(source=source) as talk:
            talk.ehlo()
            talk.say("MAIL FROM:<>")
            assert (talk.say("RCPT TO:<b@b.example>") == 250) is good


def test_the_names_a_client_gives_itself_open_nothing(make_relayd):
    relayd = make_relayd(relay_from=OUTSIDE, relay_domains=["ours.example"])
    for helo in ("ours.example", "[192.0.2.1]", "relay.example", "localhost"):
        with relayd.talk() as talk:
            talk.ehlo(helo)
            talk.say("MAIL FROM:<b@ours.example>")
            assert talk.say("RCPT TO:<b@b.example>") == "550 5.7.1"


# ---- time -----------------------------------------------------------------------------------------

def test_command_timeout(make_relayd):
    relayd = make_relayd(timeouts={"command": "1s", "data": "1h"})
    with relayd.talk() as talk:
        talk.ehlo()
        started = time.monotonic()
        assert talk.reply() == "421 4.4.2"
        assert talk.ended()
        assert time.monotonic() - started > 0.9


def test_a_command_that_never_ends_times_out(make_relayd):
    """Each octet is no progress: the whole command has its time."""
    relayd = make_relayd(timeouts={"command": "2s"})
    with relayd.talk() as talk:
        stop = threading.Event()

        def drip():
            while not stop.wait(0.1):
                try:
                    talk.send(b"N")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert talk.reply() == "421 4.4.2"
        except ConnectionResetError:
            pass  # the reply was overtaken by our own octets
        finally:
            stop.set()
            dripping.join()


def test_data_timeout(make_relayd):
    relayd = make_relayd(timeouts={"command": "1h", "data": "1s"})
    with relayd.talk() as talk:
        talk.ehlo()
        talk.envelope()
        assert talk.say("DATA") == 354
        talk.send("Subject: never ends\r\n")
        assert talk.reply() == "421 4.4.2"
        assert talk.ended()
    assert relayd.queued() == 0 and not relayd.lines("accepted")


@pytest.mark.parametrize("where", ["greeting", "mail", "data", "half a dot"])
def test_a_client_that_goes_leaves_nothing(relayd, where):
    with relayd.talk() as talk:
        if where != "greeting":
            talk.ehlo()
            talk.envelope()
        if where in ("data", "half a dot"):
            talk.say("DATA")
            talk.send(b"x" * 100 + b"\r\n" + (b"." if where == "half a dot" else b""))
    with relayd.talk() as talk:
        assert talk.greeting == 220
    assert relayd.queued() == 0
    assert not relayd.lines("accepted")


def test_many_clients(relayd, make_peer):
    """30 sessions at once, 10 messages each: every queue id once, every message once."""
    peer = make_peer()
    relayd.route(to=peer)
    ids, failures = [], []

    def work(number):
        try:
            with Talk(relayd.host, relayd.port) as talk:
                talk.ehlo()
                for turn in range(10):
                    ids.append(talk.message(b"Subject: %d.%d\r\n\r\n" % (number, turn)).queue_id)
        except Exception as why:
            failures.append(why)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not failures and len(set(ids)) == 300
    relayd.wait(lambda: len(peer.messages) >= 300, "all are delivered")
    assert len({re.search(rb"Subject: (.*)\r", m.data)[1] for m in peer.messages}) == 300 == len(peer.messages)


def test_smtplib_sees_refusals(make_relayd):
    relayd = make_relayd(relay_from=OUTSIDE, relay_domains=["ours.example"])
    with relayd.smtp() as client:
        refused = client.sendmail("a@a.example", ["b@ours.example", "c@c.example"], b"Subject: x\r\n\r\nx\r\n")
        assert refused.keys() == {"c@c.example"} and refused["c@c.example"][0] == 550
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail("a@a.example", ["c@c.example"], b"x\r\n")
