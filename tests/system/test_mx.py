# SPDX-License-Identifier: GPL-3.0-or-later
"""
Mail for which there is no route goes to the mail exchangers of its domain, at port 25: preference and
failover, equal preferences, implicit MX, null MX (RFC 7505), names that do not exist or can't be asked
for, ourselves among them. A scripted DNS answers; the exchangers listen on addresses in 127/8.
"""
import pytest


def serve(relayd, domain, *exchangers):
    """exchangers: (preference, peer)."""
    names = []
    for number, (preference, peer) in enumerate(exchangers):
        name = f"mx{number}.{domain}"
        relayd.dns.set(name, a=[peer.host])
        names.append((preference, name))
    relayd.dns.set(domain, mx=names)


def test_by_preference_and_failover(relayd, exchanger):
    last, first, second = exchanger(), exchanger(up=False), exchanger({"greeting": "421 4.3.2 no"})
    serve(relayd, "b.example", (30, last), (10, first), (20, second))
    queue_id = relayd.send()
    relayd.wait_empty()
    fate = relayd.fate(queue_id, "b@b.example")
    assert (fate["route"], fate["attempt"]) == ("mx", "1")
    assert len(last.taken) == 1 and second.sessions
    tried = [line["remote"].split("[")[0] for line in relayd.lines("tried", queue_id)]
    assert tried == ["mx1.b.example", "mx2.b.example"]


def test_equal_preferences_share(relayd, exchanger):
    peers = exchanger(), exchanger()
    serve(relayd, "b.example", *((10, peer) for peer in peers))
    with relayd.talk() as talk:
        talk.ehlo()
        for _ in range(100):
            assert talk.message(b"x\r\n") == 250
    relayd.wait_empty()
    assert min(len(peer.taken) for peer in peers) >= 20


def test_implicit_mx(relayd, exchanger):
    """RFC 5321 5.1: without MX records the domain itself, if it has an address."""
    peer = exchanger()
    relayd.dns.set("b.example", a=[peer.host])
    relayd.send()
    relayd.wait_empty()
    assert len(peer.taken) == 1


def test_an_alias_is_followed(relayd, exchanger):
    peer = exchanger()
    serve(relayd, "real.example", (10, peer))
    relayd.dns.set("b.example", cname="real.example")
    relayd.send()
    relayd.wait_empty()
    assert len(peer.taken) == 1


def test_a_route_goes_before_mx(relayd, exchanger, make_peer):
    peer, routed = exchanger(), make_peer()
    serve(relayd, "b.example", (10, peer))
    relayd.route("-d", "b.example", to=routed)
    relayd.send()
    relayd.wait_empty()
    assert len(routed.taken) == 1 and not peer.sessions and not relayd.dns.asked("b.example")


@pytest.mark.parametrize("what, status", [("null MX", "5.1.10"), ("NXDOMAIN", "5.1.2"), ("no address", "5.1.2"),
                                          ("ourselves", "5.4.6")])
def test_failures_for_good(relayd, make_peer, what, status):
    if what == "null MX":
        relayd.dns.set("b.example", mx=[(0, ".")])
    elif what == "no address":
        relayd.dns.set("b.example")
    elif what == "ourselves":
        relayd.dns.set("b.example", mx=[(10, "relay.example")])
        relayd.dns.set("relay.example", a=["127.0.0.1"])
    reports = make_peer()
    relayd.route("-d", "a.example", to=reports)
    queue_id = relayd.send()
    fate = relayd.fate(queue_id, "b@b.example")
    assert (fate.event, fate["status"]) == ("failed", status), fate
    relayd.wait_empty()
    assert len(reports.taken) == 1


@pytest.mark.parametrize("how", ["SERVFAIL", "REFUSED", "silence"])
def test_failures_for_now(relayd, how):
    relayd.dns.fail("b.example", how)
    queue_id = relayd.send()
    fate = relayd.fate(queue_id, "b@b.example")
    assert fate.event == "deferred" and fate["status"].startswith("4.4")


def test_only_what_is_nearer_than_we_are(relayd, exchanger):
    """We are a backup: those with our own preference or worse are not for us."""
    near, far = exchanger(up=False), exchanger()
    serve(relayd, "b.example", (10, near), (30, far))
    relayd.dns.set("b.example", mx=[(10, "mx0.b.example"), (20, "relay.example"), (30, "mx1.b.example")])
    queue_id = relayd.send()
    assert relayd.fate(queue_id, "b@b.example").event == "deferred"
    assert not far.sessions


def test_an_address_literal(relayd, exchanger):
    peer = exchanger()
    relayd.send(recipients=[f"x@[{peer.host}]"])
    relayd.wait_empty()
    assert len(peer.taken) == 1 and not relayd.dns.queries


def test_an_exchanger_without_an_address_leads_on(relayd, exchanger):
    peer = exchanger()
    serve(relayd, "b.example", (20, peer))
    relayd.dns.set("b.example", mx=[(10, "nowhere.b.example"), (20, "mx0.b.example")])
    relayd.send()
    relayd.wait_empty()
    assert len(peer.taken) == 1
