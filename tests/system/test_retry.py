# SPDX-License-Identifier: GPL-3.0-or-later
"""
Messages that stay: the retry schedule, the lifetime in the queue, both across a restart; what is in the
queue as tmail shows it; reports of failure (RFC 3464) as Python's email package reads them; never a
report about a report.
"""
import datetime
import email
import email.policy
import re
import time

from harness import messages
from harness.waiting import until
from peer.scripted import Hold

LATER = "451 4.3.0 later"


def times(peer):
    """When each try came to MAIL."""
    return [when for session in peer.sessions for when, line in session.commands if line.startswith(b"MAIL")]


def test_the_schedule_is_kept_and_its_last_step_repeats(make_relayd, make_peer):
    relayd = make_relayd(retry=["1s", "2s"])
    peer = make_peer({"mail": [LATER] * 4 + [None]})
    relayd.route(to=peer)
    queue_id = relayd.send()
    relayd.wait_empty()
    tries = times(peer)
    gaps = [later - sooner for sooner, later in zip(tries, tries[1:])]
    assert len(gaps) == 4
    # Never early; late is the business of the machine.
    assert gaps[0] >= 0.9 and all(gap >= 1.9 for gap in gaps[1:])
    assert [line["attempt"] for line in relayd.fates(queue_id)] == ["1", "2", "3", "4", "5"]


def test_the_schedule_survives_a_restart(make_relayd, make_peer):
    relayd = make_relayd(retry=["1s", "1h"])
    peer = make_peer({"mail": LATER})
    relayd.route(to=peer)
    queue_id = relayd.send()
    relayd.wait(lambda: len(relayd.fates(queue_id)) == 2, "two attempts")
    before = relayd.tmail("queue", "list")
    relayd.restart()
    assert relayd.tmail("queue", "list") == before, "the next attempt is when it was"
    relayd.send(recipients="x@b.example")
    relayd.wait(lambda: len(relayd.fates()) >= 3, "another message is tried at once")
    assert len(relayd.fates(queue_id)) == 2, "this one still waits for its hour"
    relayd.stop()
    relayd.write_conf(retry=["1s"])
    relayd.start()


def test_an_attempt_that_was_due_during_a_stop_is_made_at_the_start(make_relayd, make_peer):
    relayd = make_relayd(retry=["2s"])
    peer = make_peer({"mail": [LATER, None]})
    relayd.route(to=peer)
    queue_id = relayd.send()
    assert relayd.fate(queue_id, "b@b.example").event == "deferred"
    relayd.stop()
    resume = times(peer)[0] + 2.5
    until(lambda: time.monotonic() > resume, "it is due")
    relayd.start()
    assert relayd.fate(queue_id, "b@b.example", "delivered")["attempt"] == "2"


def test_what_is_delivered_stays_so_across_a_restart(make_relayd, make_peer):
    """Of three recipients one is open: after a kill only that one is tried again."""
    relayd = make_relayd(retry=["1s"])
    peer = make_peer({"rcpt": {"late@b.example": [LATER, LATER, LATER, None], None: None}})
    relayd.route(to=peer)
    queue_id = relayd.send(recipients=["one@b.example", "late@b.example", "two@b.example"])
    relayd.wait(lambda: len(relayd.fates(queue_id)) >= 4, "one attempt and another")
    relayd.kill()
    relayd.start()
    relayd.fate(queue_id, "late@b.example", "delivered")
    relayd.wait_empty()
    assert [message.recipients for message in peer.taken] == [["one@b.example", "two@b.example"], ["late@b.example"]]


def test_lifetime_ends_in_a_report(make_relayd, make_peer):
    relayd = make_relayd(retry=["1s"], queue_lifetime="3s")
    peer, reports = make_peer({"rcpt": "450 4.2.1 mailbox busy"}), make_peer()
    relayd.route("-d", "b.example", to=peer)
    relayd.route("-d", "a.example", to=reports)
    queue_id = relayd.send()
    fate = relayd.fate(queue_id, "b@b.example", "failed")
    assert fate["status"] == "4.4.7" and "mailbox busy" in fate["reply"]
    relayd.wait_empty()
    tries = times(peer)
    assert 2 <= len(tries) <= 5 and tries[-1] - tries[0] >= 2.5
    status = report_parts(reports.taken[0])[1]
    assert status[1]["Status"] == "4.4.7" and status[1]["Action"] == "failed"


def test_lifetime_counts_from_the_arrival_across_restarts(make_relayd, make_peer):
    relayd = make_relayd(retry=["1s"], queue_lifetime="4s")
    reports = make_peer()
    relayd.route("-d", "b.example", to=make_peer(up=False))
    relayd.route("-d", "a.example", to=reports)
    started = time.monotonic()
    queue_id = relayd.send()
    relayd.restart()
    until(lambda: time.monotonic() > started + 2, "some of its life has gone")
    relayd.restart()
    relayd.fate(queue_id, "b@b.example", "failed")
    assert time.monotonic() - started >= 3.9
    relayd.wait_empty()
    assert len(reports.taken) == 1


# ---- as tmail shows it -----------------------------------------------------------------------------

def test_queue_list(make_relayd, make_peer):
    relayd = make_relayd(retry=["1h"])
    relayd.route(to=make_peer(up=False))
    assert relayd.tmail("queue", "list") == "There is no message in queue.\n"
    first = relayd.send(recipients=["x@b.example", "y@b.example"])
    second = relayd.send(sender="")
    relayd.wait(lambda: len(relayd.fates()) == 3, "all are deferred")
    lines = relayd.tmail("queue", "list").splitlines()
    assert lines[0] == "2 messages in queue."
    moment = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}"
    shape = re.compile(rf"(\d+) - From: (\S*) - To: (\S+) - Status: Scheduled - Added: ({moment}) - "
                       rf"Next delivery process scheduled at: ({moment})")
    found = [shape.fullmatch(line).groups() for line in lines[1:]]
    assert [(int(one[0]), one[2]) for one in found] == [(first, "x@b.example"), (first, "y@b.example"),
                                                         (second, "b@b.example")]
    for one in found:
        added, due = (datetime.datetime.strptime(text, "%Y-%m-%d %H:%M:%S %z") for text in one[3:])
        assert datetime.timedelta(minutes=59) < due - added < datetime.timedelta(minutes=62)
    assert relayd.queued() == 2


def test_queue_list_while_a_delivery_is_made(make_relayd, make_peer):
    hold = Hold("250 2.0.0 now")
    relayd = make_relayd()
    relayd.route(to=make_peer({"dot": hold}))
    relayd.send()
    assert hold.reached.wait(60)
    assert "Status: Delivery in progress" in relayd.tmail("queue", "list")
    hold.release()
    relayd.wait_empty()


# ---- reports ---------------------------------------------------------------------------------------

def report_parts(message):
    """The three parts of a report: text, [fields per message, fields per recipient...], headers."""
    report = email.message_from_bytes(messages.without_trace(message.data, 0), policy=email.policy.SMTP)
    assert not report.defects, report.defects
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    text, status, headers = report.iter_parts()
    assert text.get_content_type() == "text/plain"
    assert status.get_content_type() == "message/delivery-status"
    assert headers.get_content_type() in ("text/rfc822-headers", "message/rfc822")
    return text.get_content(), status.get_payload(), headers, report


REFUSAL = "550-5.1.1 The mailbox\r\n550 5.1.1 is not here"


def make_report(make_relayd, make_peer, octets, refusal=REFUSAL, **options):
    relayd = make_relayd()
    answers = {"gone@b.example": tuple(refusal.split("\r\n")), None: None}
    bad, reports = make_peer({"rcpt": answers}), make_peer(**options)
    relayd.route("-d", "b.example", to=bad)
    relayd.route("-d", "a.example", to=reports)
    queue_id = relayd.send(octets, recipients=["gone@b.example", "well@b.example"], parameters=" BODY=8BITMIME")
    relayd.wait_empty()
    report, = reports.taken
    return relayd, queue_id, bad, report


def test_a_report_is_rfc_3464(make_relayd, make_peer):
    octets = b"Subject: the original\r\nMessage-ID: <x.1@a.example>\r\nFrom: a@a.example\r\n\r\nsecret body\r\n"
    relayd, queue_id, bad, message = make_report(make_relayd, make_peer, octets)
    assert message.sender == "" and message.recipients == ["a@a.example"]
    text, (per_message, per_recipient), headers, report = report_parts(message)
    assert report["From"].addresses[0].addr_spec == "MAILER-DAEMON@relay.example"
    assert report["To"].addresses[0].addr_spec == "a@a.example"
    assert report["Auto-Submitted"] == "auto-replied" and report["MIME-Version"] == "1.0"
    assert report["Date"].datetime and report["Message-ID"] and report["Subject"]
    assert per_message["Reporting-MTA"] == "dns; relay.example"
    assert email.utils.parsedate_to_datetime(per_message["Arrival-Date"])
    assert per_recipient["Final-Recipient"].replace(" ", "").lower() == "rfc822;gone@b.example"
    assert per_recipient["Action"] == "failed" and per_recipient["Status"] == "5.1.1"
    assert per_recipient["Diagnostic-Code"].startswith("smtp; 550") and "is not here" in per_recipient["Diagnostic-Code"]
    assert per_recipient["Remote-MTA"] == f"dns; {bad.host}"
    assert "gone@b.example" in text and "is not here" in text and "well@b.example" not in text
    original = headers.get_payload(decode=True) or headers.get_payload(0).as_bytes()
    assert b"Subject: the original" in original and b"Message-ID: <x.1@a.example>" in original
    assert b"secret body" not in message.data


def test_a_report_is_seven_bits_with_short_lines(make_relayd, make_peer):
    """Whatever the original and the next hop said: a next hop without 8BITMIME has to take the report."""
    head = "Subject: Grüße\r\nX-Long: ".encode() + b"x" * 900 + b"\r\n" + b"X: y\r\n" * 3000 + b"\r\nbody\r\n"
    relayd, queue_id, bad, message = make_report(make_relayd, make_peer, head, "550 5.7.1 " + "ü" * 200,
                                                 extensions=[])
    assert message.data.isascii() and max(map(len, message.data.split(b"\r\n"))) <= 998
    text, status, headers, report = report_parts(message)
    assert status[1]["Status"] == "5.7.1"


def test_one_report_for_all_that_failed(make_relayd, make_peer):
    relayd = make_relayd()
    bad, reports = make_peer({"rcpt": "550 5.1.1 none"}), make_peer()
    relayd.route("-d", "b.example", to=bad)
    relayd.route("-d", "c.example", to=make_peer({"mail": "554 5.7.1 never"}))
    relayd.route("-d", "a.example", to=reports)
    everyone = ["x@b.example", "y@b.example", "z@c.example"]
    relayd.send(recipients=everyone)
    relayd.wait_empty()
    message, = reports.taken
    status = report_parts(message)[1]
    assert [one["Final-Recipient"].split(";")[1].strip() for one in status[1:]] == everyone
    assert [one["Status"] for one in status[1:]] == ["5.1.1", "5.1.1", "5.7.1"]


def test_no_report_about_a_report(relayd, make_peer):
    bad = make_peer({"rcpt": "550 5.1.1 none"})
    relayd.route(to=bad)
    queue_id = relayd.send(sender="")
    fate = relayd.fate(queue_id, "b@b.example")
    assert fate.event == "failed" and fate["report"] is None
    relayd.wait_empty()
    assert len(relayd.fates()) == 1


def test_a_report_that_can_not_be_delivered_ends(relayd, make_peer):
    bad = make_peer({"rcpt": "550 5.1.1 none"})
    relayd.route(to=bad)
    queue_id = relayd.send()
    report = int(relayd.fate(queue_id, "b@b.example")["report"])
    assert relayd.fate(report, "a@a.example").event == "failed"
    relayd.wait_empty()
    assert len(relayd.fates()) == 2 and len(bad.sessions) <= 2


def test_a_report_is_durable_before_the_original_goes(make_relayd, make_peer):
    """Killed at the moment its failure is logged: the report is there after the restart."""
    relayd = make_relayd(retry=["1s"])
    bad, reports = make_peer({"rcpt": "550 5.1.1 none"}), make_peer(up=False)
    relayd.route("-d", "b.example", to=bad)
    relayd.route("-d", "a.example", to=reports)
    queue_id = relayd.send()
    relayd.fate(queue_id, "b@b.example", "failed")
    relayd.kill()
    reports.go_up()
    relayd.start()
    until(lambda: reports.taken, "the report", alive=relayd.assert_alive)
    relayd.wait_empty()
