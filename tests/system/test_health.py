# SPDX-License-Identifier: GPL-3.0-or-later
"""
Whose health is kept, and where (how the plan uses it: test_plan.py); which family is first where both answer.
"""
import pytest

from harness.waiting import until
from test_routing import has_ipv6


def health(relayd):
    """{remote: the line of routes.health}"""
    with relayd.control() as control:
        return {entry["remote"]: entry for entry in control.call("routes.health")["pairs"]}


def test_only_what_could_not_be_connected_to(relayd, make_peer):
    """A greeting or a reply that refuses is said by a host that is there."""
    busy, good = make_peer({"greeting": "421 4.3.2 not now"}), make_peer({"mail": ["451 4.3.0 not now", None]})
    relayd.route("-p", 1, to=busy)
    relayd.route("-p", 2, to=good)
    for turn in range(3):
        relayd.fate(relayd.send(), "b@b.example")
    assert health(relayd) == {}
    assert len(busy.sessions) == 3


def test_it_is_forgotten_with_the_process(relayd, make_peer):
    """Health is no part of what is kept on disk."""
    down = make_peer(up=False)
    relayd.route(to=down)
    relayd.fate(relayd.send(), "b@b.example", "deferred")
    assert health(relayd)
    relayd.restart()
    down.go_up()
    assert not [remote for remote, entry in health(relayd).items() if entry["failures"] > 1]


@pytest.mark.skipif(not has_ipv6(), reason="this host has no ::1")
def test_ipv6_is_first_where_both_answer(relayd, make_peer):
    six = make_peer(host="::1")
    four = make_peer(port=six.port)
    relayd.dns.set("hop.b.example", aaaa=["::1"], a=[four.host])
    relayd.route("-rh", "hop.b.example", "-rp", six.port)
    for _ in range(5):
        relayd.fate(relayd.send(), "b@b.example", "delivered")
    until(lambda: six.taken, "by IPv6")
    assert not four.messages
