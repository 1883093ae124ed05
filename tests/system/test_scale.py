# SPDX-License-Identifier: GPL-3.0-or-later
"""
More routes than fit in a page: the list line by line with what needs care in it, the same after a restart
and after a checkpoint and kill -9; mail is served while a checkpoint is written. Figures are the bench's.
"""
from harness.control import Control
from harness.latency import Probe, Sink

COUNT = 12000
COMMENTS = ["plain", "with \"quotes\" and \\ and \\n", "é€😀", "\",\"lines\":\"", "{}[]:,", "x" * 1000]


def route(number):
    return {"destination": f"customer{number}.example", "remote_host": f"mx{number % 50}.example.net",
            "comment": COMMENTS[number % len(COMMENTS)]}


def fill(relayd):
    with Control(relayd.socket) as control:
        for first in range(1, COUNT + 1, 4000):
            control.call("routes.add", routes=[route(number) for number in range(first, first + 4000)])


def expected():
    return "".join(f"{number} - Destination host: customer{number}.example - Prority: 1 - Local IPs: default - "
                   f"Remote host: mx{number % 50}.example.net:25 - Comment: {COMMENTS[number % len(COMMENTS)]}\n"
                   for number in range(1, COUNT + 1))


def test_list_of_many(make_relayd):
    relayd = make_relayd(log_level="debug")
    fill(relayd)
    assert relayd.tmail("routes", "list") == expected()
    relayd.restart()
    assert relayd.tmail("routes", "list") == expected()
    # A checkpoint by itself, and what came behind it.
    relayd.tmail("routes", "add", "-d", "behind.example", "-rh", "mx.example.net")
    relayd.wait_log(r"routes-checkpoint revision=4")
    relayd.tmail("routes", "del", COUNT + 1)
    relayd.kill()
    relayd.start()
    assert relayd.tmail("routes", "list") == expected()


def test_mail_during_a_checkpoint(make_relayd):
    relayd = make_relayd(log_level="debug")
    fill(relayd)
    with Sink() as sink:
        relayd.tmail("routes", "add", "-d", "probe.example", "-rh", sink.host, "-rp", sink.port)
        with Probe(relayd.host, relayd.port, "b@probe.example") as probe:
            relayd.wait_log(r"routes-checkpoint revision=4")
            sent = probe.end()
        relayd.wait_empty()
        arrived = sink.end()
    assert sent and {one.number for one in sent} == set(arrived)
