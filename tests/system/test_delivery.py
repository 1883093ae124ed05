# SPDX-License-Identifier: GPL-3.0-or-later
"""
One attempt to deliver (what each answer leads to: test_stages.py): uncertain and early replies, what is
said on the wire (pipelining, SIZE, 8BITMIME, dots), connections kept and shared, and that every
recipient ends with exactly one fate and one log line.
"""
import json
import re

import pytest

from harness import messages
from harness.places import SANITIZED
from harness.waiting import until
from peer.scripted import Deaf, Drop, Endless, Hold, Raw, Sequence, Silence, Slow

# For what is silent; a peer that is only slow, because the machine is busy, has to be quicker.
QUICK = {"connect": "6s", "remote_command": "6s"} if SANITIZED else {"connect": "3s", "remote_command": "3s"}
# More than the kernel's buffers take while the other side does not read.
LARGE = 8 << 20


def fates_of(relayd, queue_id):
    return {line["to"]: line for line in relayd.fates(queue_id)}


# ---- the end of a try ------------------------------------------------------------------------------

def test_a_next_hop_that_stops_reading(make_relayd, make_peer):
    relayd = make_relayd(timeouts=QUICK)
    deaf, good = make_peer({"body": Deaf()}, receive_buffer=65536), make_peer()
    relayd.route("-p", 1, to=deaf)
    relayd.route("-p", 2, to=good)
    octets = messages.large(LARGE)
    relayd.send(octets)
    relayd.wait_empty()
    assert messages.without_trace(good.taken[0].data) == octets


@pytest.mark.parametrize("extensions", [["PIPELINING"], []])
def test_replies_that_come_too_early_deliver_nothing(make_relayd, make_peer, extensions):
    """A 250 that was sent before our final dot is no answer to it."""
    ahead = Sequence(Raw(b"250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n"), Drop())
    relayd = make_relayd(timeouts=QUICK)
    hasty, good = make_peer({"mail": ahead}, extensions=extensions), make_peer()
    relayd.route("-d", "b.example", "-p", 1, to=hasty)
    relayd.route("-d", "b.example", "-p", 2, to=good)
    queue_id = relayd.send()
    fate = relayd.fate(queue_id, "b@b.example")
    assert fate.event == "deferred" or fate["remote"].endswith(f":{good.port}"), fate


@pytest.mark.parametrize("stage", ["after", "silence", "malformed"])
def test_an_uncertain_end_is_deferred(make_relayd, make_peer, stage):
    """Lost after the final dot: it may have been accepted, so there is no second copy now."""
    relayd = make_relayd(timeouts=QUICK, retry=["1s"])
    action = {"after": Drop(), "silence": Silence(), "malformed": Sequence(Raw(b"25"), Drop())}[stage]
    unsure, never = make_peer({"dot": [action, None]}), make_peer()
    relayd.route("-p", 1, to=unsure)
    relayd.route("-p", 2, to=never)
    queue_id = relayd.send()
    assert relayd.fate(queue_id, "b@b.example").event == "deferred"
    assert not never.sessions
    assert relayd.fate(queue_id, "b@b.example", "delivered")["attempt"] == "2"
    relayd.wait_empty()
    assert len(unsure.messages) == 2 and len(unsure.taken) == 1


def test_helo_where_ehlo_is_refused(relayd, make_peer):
    peer = make_peer({"ehlo": "502 5.5.1 not implemented"})
    relayd.route(to=peer)
    relayd.send()
    relayd.wait_empty()
    assert peer.sessions[0].verbs()[:3] == ["EHLO", "HELO", "MAIL"] and peer.taken[0].parameters == ""


@pytest.mark.parametrize("stage", ["greeting", "ehlo", "mail", "rcpt", "data", "dot"])
def test_replies_in_pieces_and_in_many_lines(relayd, make_peer, stage):
    code = {"greeting": 220, "data": 354}.get(stage, 250)
    lines = tuple(f"{code}-line {n}" for n in range(30)) + (f"{code} end",)
    relayd.route(to=make_peer({stage: Slow(lines, size=7, seconds=0.002)}))
    relayd.send()
    relayd.wait_empty()
    assert len(relayd.lines("delivered")) == 1


def test_a_malformed_goodbye_does_no_harm(make_relayd, make_peer):
    relayd = make_relayd(timeouts=QUICK)
    for action in ("500 5.5.1 stay", Silence(), Drop(reset=True), Raw(b"x\r\n"), Endless()):
        peer = make_peer({"quit": action, "rset": action})
        relayd.tmail("routes", "add", "-d", f"x{peer.port}.example", "-rh", peer.host, "-rp", peer.port)
        relayd.send(recipients=[f"x@x{peer.port}.example"])
    relayd.wait_empty()
    assert len(relayd.lines("delivered")) == 5


# ---- several recipients ----------------------------------------------------------------------------

def test_each_recipient_has_its_own_fate(relayd, make_peer):
    """One message, five fates: each one line, and the next entry gets those that are open, no others."""
    answers = {"gone@b.example": "550 5.1.1 gone", "full@b.example": "452 4.2.2 full", None: None}
    first, second, reports = make_peer({"rcpt": answers}), make_peer({"rcpt": answers}), make_peer()
    relayd.route("-d", "b.example", "-p", 1, to=first)
    relayd.route("-d", "b.example", "-p", 2, to=second)
    relayd.route("-d", "a.example", to=reports)
    everyone = ["one@b.example", "gone@b.example", "two@b.example", "full@b.example"]
    queue_id = relayd.send(recipients=everyone)
    relayd.wait(lambda: len(relayd.fates(queue_id)) == 4, "four fates")
    until(lambda: reports.taken, "the report")
    fates = fates_of(relayd, queue_id)
    assert {address: line.event for address, line in fates.items()} == {
        "one@b.example": "delivered", "two@b.example": "delivered", "gone@b.example": "failed",
        "full@b.example": "deferred"}
    assert first.taken[0].recipients == ["one@b.example", "two@b.example"] and not second.messages
    assert [line for line in second.sessions[0].lines() if line.startswith("RCPT")] == ["RCPT TO:<full@b.example>"]
    assert len(relayd.fates(queue_id)) == 4


def test_many_recipients_are_one_transaction(relayd, make_peer):
    peer = make_peer()
    relayd.route(to=peer)
    everyone = [f"b{n}@b.example" for n in range(100)]
    relayd.send(recipients=everyone)
    relayd.wait_empty()
    message, = peer.taken
    assert message.recipients == everyone


def test_more_recipients_than_the_next_hop_takes(relayd, make_peer):
    """RFC 5321 4.5.3.1.10: 452 to some is no failure; they get another transaction, now or later."""
    state = {}

    def limited(session, address):
        key = id(session), len(session.messages)
        state[key] = state.get(key, 0) + 1
        return "452 4.5.3 too many recipients" if state[key] > 10 else None

    peers = [make_peer({"rcpt": limited}) for _ in range(2)]
    for number, peer in enumerate(peers):
        relayd.route("-p", number + 1, to=peer)
    everyone = [f"b{n}@b.example" for n in range(15)]
    queue_id = relayd.send(recipients=everyone)
    relayd.wait_empty()
    assert sorted(recipient for peer in peers for m in peer.taken for recipient in m.recipients) == sorted(everyone)
    assert len(relayd.fates(queue_id)) == 15


# ---- on the wire -----------------------------------------------------------------------------------

def test_what_is_said(relayd, make_peer):
    peer = make_peer()
    relayd.route(to=peer)
    relayd.send(b"Subject: x\r\n\r\n" + b"0123456789\r\n" * 100, sender="A.b@a.example",
                recipients=['"q r"@b.example', "Case@b.example"])
    relayd.wait_empty()
    session, = peer.sessions
    lines = session.lines()
    size = len(peer.messages[0].data)
    assert lines[:4] == ["EHLO relay.example", f"MAIL FROM:<A.b@a.example> SIZE={size}", 'RCPT TO:<"q r"@b.example>',
                         "RCPT TO:<Case@b.example>"]
    assert lines[4] == "DATA"


def test_nothing_is_said_that_was_not_offered(relayd, make_peer):
    peer = make_peer(extensions=[])
    relayd.route(to=peer)
    relayd.send(b"..\r\n", recipients=["x@b.example", "y@b.example"])
    relayd.send()
    relayd.wait_empty()
    assert [message.parameters for message in peer.taken] == ["", ""]


def test_pipelining_where_offered(relayd, make_peer):
    """MAIL, RCPT and DATA come without waiting for replies."""
    peer = make_peer()
    relayd.route(to=peer)
    relayd.send(recipients=["x@b.example", "y@b.example"])
    relayd.wait_empty()
    assert peer.sessions[0].pipelined >= 3


def test_size_limit_of_the_next_hop(relayd, make_peer):
    """What is too large for its SIZE is not sent there at all: for good, 5.3.4."""
    peer, reports = make_peer(extensions=["SIZE 10000"]), make_peer()
    relayd.route("-d", "b.example", to=peer)
    relayd.route("-d", "a.example", to=reports)
    queue_id = relayd.send(messages.large(20000))
    fate = relayd.fate(queue_id, "b@b.example")
    assert (fate.event, fate["status"]) == ("failed", "5.3.4")
    relayd.wait_empty()
    assert not peer.messages and len(reports.taken) == 1


def test_eight_bits_need_8bitmime(relayd, make_peer):
    eight = b"Subject: x\r\n\r\n" + "Grüße\r\n".encode()
    with_it, without, reports = make_peer(), make_peer(extensions=["SIZE 0"]), make_peer()
    relayd.route("-d", "with.example", to=with_it)
    relayd.route("-d", "without.example", to=without)
    relayd.route("-d", "a.example", to=reports)
    queue_id = relayd.send(eight, recipients=["x@with.example", "x@without.example"], parameters=" BODY=8BITMIME")
    plain = relayd.send(recipients=["x@without.example"])
    relayd.wait_empty()
    fates = fates_of(relayd, queue_id)
    assert fates["x@with.example"].event == "delivered"
    assert "BODY=8BITMIME" in with_it.taken[0].parameters
    assert (fates["x@without.example"].event, fates["x@without.example"]["status"]) == ("failed", "5.6.3")
    assert relayd.fate(plain, "x@without.example").event == "delivered"
    assert len(without.messages) == 1 and len(reports.taken) == 1
    assert b"Gr" not in without.messages[0].data


def test_every_hard_message_arrives_as_it_was(relayd, make_peer):
    peer = make_peer()
    relayd.route(to=peer)
    sent = {}
    for number, (name, octets) in enumerate(messages.hard()):
        sent[f"n{number}@b.example"] = name, octets
        relayd.send(octets, recipients=[f"n{number}@b.example"])
    relayd.wait_empty()
    assert len(peer.taken) == len(sent)
    for message in peer.taken:
        name, octets = sent[message.recipients[0]]
        assert messages.without_trace(message.data) == octets, name


def test_a_large_message(make_relayd, make_peer):
    relayd = make_relayd(log_level="debug")
    peer = make_peer()
    relayd.route(to=peer)
    octets = messages.large(20 << 20)
    relayd.send(octets)
    relayd.wait_empty()
    assert messages.without_trace(peer.taken[0].data) == octets


# ---- connections -----------------------------------------------------------------------------------

def test_a_connection_is_used_again(relayd, make_peer):
    peer = make_peer()
    relayd.route(to=peer)
    relayd.send()
    until(lambda: peer.taken, "the first")
    for _ in range(9):
        relayd.send()
    relayd.wait_empty()
    assert len(peer.taken) == 10
    assert peer.session_count < 10, "idle sessions take the next message"


def test_a_session_that_the_peer_ends_between_messages(relayd, make_peer):
    """Closed while idle, or 421 for the second message: nobody is deferred for that."""
    for action in (Drop(), Drop(reset=True), "421 4.4.2 idle for too long"):
        peer = make_peer({"mail": lambda session, sender: action if session.messages else None})
        relayd.tmail("routes", "add", "-d", f"x{peer.port}.example", "-rh", peer.host, "-rp", peer.port)
        for turn in range(5):
            relayd.send(recipients=[f"x@x{peer.port}.example"])
            relayd.wait_empty()
        assert len(peer.taken) == 5
        peer.stop()


def test_outbound_per_host(make_relayd, make_peer):
    """Never more at once than the limit, and as many as the limit when there is work for them."""
    relayd = make_relayd(limits={"outbound_per_host": 3})
    peer, other = make_peer({"dot": Slow("250 2.0.0 ok", seconds=0.05, size=100)}), make_peer()
    relayd.route("-d", "b.example", to=peer)
    relayd.route("-d", "other.example", to=other)
    with relayd.talk() as talk:
        talk.ehlo()
        for _ in range(60):
            assert talk.message(b"x\r\n") == 250
        assert talk.message(b"x\r\n", recipients=["b@other.example"]) == 250
    relayd.wait_empty()
    assert peer.most_open == 3 and len(peer.taken) == 60 and len(other.taken) == 1


def test_outbound_in_total(make_relayd, make_peer):
    relayd = make_relayd(limits={"outbound": 4, "outbound_per_host": 3})
    peers = [make_peer({"dot": Slow("250 2.0.0 ok", seconds=0.02, size=100)}) for _ in range(6)]
    for number, peer in enumerate(peers):
        relayd.route("-d", f"b{number}.example", to=peer)
    with relayd.talk() as talk:
        talk.ehlo()
        for turn in range(10):
            for number in range(6):
                assert talk.message(b"x\r\n", recipients=[f"b@b{number}.example"]) == 250
    relayd.wait_empty()
    assert [len(peer.taken) for peer in peers] == [10] * 6
    # Each message went out on a session that was counted; at no time were there more than four.
    edges = sorted([(s.started, 1) for p in peers for s in p.sessions] +
                   [(s.ended or float("inf"), -1) for p in peers for s in p.sessions])
    open_now = most = 0
    for when, step in edges:
        open_now += step
        most = max(most, open_now)
    assert most <= 4 + 1, "a session's end is seen here a little later than there"


def test_a_stuck_next_hop_stops_no_other_mail(make_relayd, make_peer):
    hold = Hold("250 2.0.0 at last")
    relayd = make_relayd()
    stuck, good = make_peer({"dot": hold}), make_peer()
    relayd.route("-d", "stuck.example", to=stuck)
    relayd.route("-d", "b.example", to=good)
    for number in range(20):
        relayd.send(recipients=[f"x{number}@stuck.example"])
    assert hold.reached.wait(60)
    for _ in range(20):
        relayd.send()
    relayd.wait(lambda: len(good.taken) == 20, "the others are through")
    assert not [line for line in relayd.lines("delivered") if line["to"].endswith("@stuck.example")]
    hold.release()
    relayd.wait_empty()
    assert sorted(m.recipients[0] for m in stuck.messages) == sorted(f"x{n}@stuck.example" for n in range(20))


# ---- the log ---------------------------------------------------------------------------------------

def test_hostile_replies_do_no_harm_in_the_log(relayd, make_peer):
    evil = 'x" status=2.0.0 to=<nobody> \x1b[2J\x07 \\ ü'
    peer, reports = make_peer({"rcpt": "550 5.1.1 " + evil, "greeting": "220 evil\x1b[31m"}), make_peer()
    relayd.route("-d", "b.example", to=peer)
    relayd.route("-d", "a.example", to=reports)
    queue_id = relayd.send()
    fate = relayd.fate(queue_id, "b@b.example")
    assert fate["status"] == "5.1.1" and fate["to"] == "b@b.example"
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", relayd.log())
    assert "\x1b" not in relayd.tmail("queue", "list")
    until(lambda: reports.taken, "the report")
    assert not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", reports.taken[0].data)


def test_a_life_in_the_log(make_relayd, make_peer):
    """grep ID tells it: accepted, each fate, finished."""
    relayd = make_relayd(retry=["1s"])
    peer = make_peer({"rcpt": ["450 4.2.0 later", None]})
    relayd.route(to=peer)
    queue_id = relayd.send()
    relayd.wait_empty()
    events = [line.event for line in relayd.lines(queue_id=queue_id)]
    assert [event for event in events if event != "tried"] == ["accepted", "deferred", "delivered", "finished"]
    for line in relayd.fates(queue_id):
        assert line["from"] == "a@a.example" and int(line["delay_ms"]) >= 0 and line["reply"]


def test_log_format_json(make_relayd, make_peer):
    relayd = make_relayd(log_format="json")
    relayd.route(to=make_peer())
    queue_id = relayd.send()
    relayd.wait_empty()
    lines = [json.loads(line) for line in relayd.log().splitlines()]
    fate, = [line for line in lines if line["event"] == "delivered"]
    assert fate["id"] == queue_id and fate["to"] == "b@b.example" and fate["level"] == "info"
