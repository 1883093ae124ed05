# SPDX-License-Identifier: GPL-3.0-or-later
"""
Where mail goes: routes by destination, order within a group (shares: test_balance.py), local IPs as the peer
sees them, names looked up, changes that take effect with the next attempt.
"""
import socket

import pytest

from harness.waiting import until


def recipients(peer):
    return sorted(recipient for message in peer.taken for recipient in message.recipients)


# ---- which rule ------------------------------------------------------------------------------------

def test_by_destination(relayd, make_peer):
    exact, longest, suffix, literal, rest = (make_peer(hostname=name) for name in
                                             ("exact", "longest", "suffix", "literal", "rest"))
    relayd.route("-d", "b.example", to=exact)
    relayd.route("-d", ".sub.b.example", to=longest)
    relayd.route("-d", "*.b.example", to=suffix)
    relayd.route("-d", "[192.0.2.1]", to=literal)
    relayd.route("-d", "*", to=rest)
    where = {exact: ["x@B.Example", "y@b.example"], longest: ["x@y.sub.b.example", "x@z.y.sub.b.example"],
             suffix: ["x@sub.b.example", "x@y.b.example"], literal: ["x@[192.0.2.1]"],
             rest: ["x@[192.0.2.2]", "x@bb.example", "x@example"]}
    sent = [address for addresses in where.values() for address in addresses]
    queue_id = relayd.send(recipients=sent)
    relayd.wait_empty()
    for peer, addresses in where.items():
        assert recipients(peer) == sorted(address.lower() for address in addresses)
        assert len(peer.taken) == 1, "recipients of one group share a transaction"
    assert len(relayd.fates(queue_id)) == len(sent)


def test_idn_destination(relayd, make_peer):
    peer, rest = make_peer(), make_peer()
    relayd.route("-d", "exämple.example", to=peer)
    relayd.route(to=rest)
    assert "xn--exmple-cua.example" in relayd.tmail("routes", "list")
    relayd.send(recipients=["x@xn--exmple-cua.example"])
    relayd.wait_empty()
    assert len(peer.taken) == 1 and not rest.messages


def test_a_route_for_authenticated_clients_is_not_for_others(relayd, make_peer):
    """Lines 1 to 6 of the table: nobody has logged in here, so none of them may match."""
    private, public = make_peer(), make_peer()
    relayd.route("-u", "a@a.example", to=private)
    relayd.route("-f", "a.example", to=private)
    relayd.route("-d", "b.example", "-u", "a.example", "-f", "a@a.example", to=private)
    relayd.route(to=public)
    relayd.send()
    relayd.wait_empty()
    assert len(public.taken) == 1 and not private.sessions


def test_disabled_and_deleted_routes_never_match(relayd, make_peer):
    first, second = make_peer(), make_peer()
    gone = relayd.route("-d", "b.example", to=first)
    relayd.route(to=second)
    relayd.send(b"1\r\n")
    relayd.wait_empty()
    relayd.tmail("routes", "del", gone)
    relayd.send(b"2\r\n")
    relayd.wait_empty()
    assert len(first.taken) == len(second.taken) == 1


def test_a_change_holds_for_the_next_attempt(make_relayd, make_peer):
    """Mail that is already in the queue follows the new routes."""
    relayd = make_relayd(retry=["1s"])
    down, good = make_peer(up=False), make_peer()
    old = relayd.route(to=down)
    queue_id = relayd.send()
    assert relayd.fate(queue_id, "b@b.example").event == "deferred"
    relayd.route("-d", "b.example", to=good)
    relayd.tmail("routes", "del", old)
    assert relayd.fate(queue_id, "b@b.example", "delivered")["remote"].endswith(f":{good.port}")


# ---- in which order --------------------------------------------------------------------------------

def test_priority_is_failover(relayd, make_peer):
    third, first, second = make_peer(), make_peer(up=False), make_peer({"greeting": "554 5.3.2 no"})
    relayd.route("-p", 3, to=third)
    relayd.route("-p", 1, to=first)
    relayd.route("-p", 2, to=second)
    queue_id = relayd.send()
    relayd.wait_empty()
    assert len(third.taken) == 1 and second.sessions
    tried = [line["remote"] for line in relayd.lines("tried", queue_id)]
    assert [int(remote.rpartition(":")[2]) for remote in tried] == [first.port, second.port]
    assert relayd.fate(queue_id, "b@b.example")["attempt"] == "1", "all in one attempt"


def test_the_first_alone_is_used_while_it_works(relayd, make_peer):
    first, second = make_peer(), make_peer()
    relayd.route("-p", 1, to=first)
    relayd.route("-p", 2, to=second)
    for _ in range(20):
        relayd.send()
    relayd.wait_empty()
    assert len(first.taken) == 20 and not second.sessions


def test_round_robin_falls_over_to_the_other(relayd, make_peer):
    down, up = make_peer(up=False), make_peer()
    for _ in range(3):
        relayd.route(to=down)
    relayd.route(to=up)
    ids = [relayd.send() for _ in range(20)]
    relayd.wait_empty()
    assert len(up.taken) == 20
    for queue_id in ids:
        tried = [line["remote"] for line in relayd.lines("tried", queue_id)]
        assert len(tried) == len(set(tried)), "a hop that failed is not tried again in the same attempt"


# ---- from where ------------------------------------------------------------------------------------

def clients(peer):
    return [session.client[0] for session in peer.sessions if session.messages]


def test_local_ips_failover(relayd, make_peer):
    """192.0.2.1 is not ours: the next one, in the order written, and the log says so."""
    peer = make_peer()
    relayd.route("-l", "192.0.2.1&127.0.0.15&127.0.0.14", to=peer)
    ids = [relayd.send() for _ in range(5)]
    relayd.wait_empty()
    assert set(clients(peer)) == {"127.0.0.15"}
    assert relayd.fate(ids[0], "b@b.example")["local"] == "127.0.0.15"
    relayd.wait_log("192.0.2.1")


def test_local_ips_of_the_configuration(make_relayd, make_peer):
    relayd = make_relayd(local_ips="127.0.0.16")
    peer, own = make_peer(), make_peer()
    relayd.route(to=peer)
    relayd.route("-d", "own.example", "-l", "127.0.0.17", to=own)
    relayd.send()
    relayd.send(recipients="x@own.example")
    relayd.wait_empty()
    assert clients(peer) == ["127.0.0.16"] and clients(own) == ["127.0.0.17"]


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="this host has no ::1")
def test_local_ips_of_the_other_family_do_not_count(make_relayd, make_peer):
    relayd = make_relayd()
    peer = make_peer(host="::1")
    relayd.route("-d", "b.example", "-l", "127.0.0.11", "-rh", "[::1]", "-rp", peer.port)
    queue_id = relayd.send()
    assert relayd.fate(queue_id, "b@b.example").event == "deferred"
    assert not peer.sessions
    relayd.route("-d", "c.example", "-l", "127.0.0.11&::1", "-rh", "::1", "-rp", peer.port)
    relayd.send(recipients="b@c.example")
    until(lambda: peer.taken, "delivered over IPv6")
    assert clients(peer) == ["::1"]


# ---- by name ---------------------------------------------------------------------------------------

def test_a_remote_by_name(relayd, make_peer):
    """Every address of the name is tried; A/AAAA are asked for, never MX; an alias is followed."""
    peer = make_peer(host="127.0.0.21")
    relayd.dns.set("hop.b.example", a=["127.0.0.20", "127.0.0.21"], mx=[(1, "wrong.b.example")])
    relayd.dns.set("alias.b.example", cname="hop.b.example")
    relayd.route("-d", "b.example", "-rh", "hop.b.example", "-rp", peer.port)
    relayd.route("-d", "c.example", "-rh", "alias.b.example", "-rp", peer.port)
    relayd.send()
    relayd.send(recipients="b@c.example")
    relayd.wait_empty()
    assert recipients(peer) == ["b@b.example", "b@c.example"]
    assert not relayd.dns.asked("hop.b.example", "MX") and not relayd.dns.asked("wrong.b.example")


@pytest.mark.parametrize("how", ["NXDOMAIN", "SERVFAIL", "REFUSED"])
def test_a_remote_whose_name_fails_leads_on(relayd, make_peer, how):
    peer = make_peer()
    if how != "NXDOMAIN":
        relayd.dns.fail("hop.b.example", how)
    relayd.route("-p", 1, "-rh", "hop.b.example", "-rp", 2525)
    relayd.route("-p", 2, to=peer)
    queue_id = relayd.send()
    relayd.wait_empty()
    assert len(peer.taken) == 1 and relayd.fate(queue_id, "b@b.example")["attempt"] == "1"


def test_the_answers_are_kept_for_their_ttl(relayd, make_peer):
    peer = make_peer()
    relayd.dns.set("hop.b.example", a=["127.0.0.1"], ttl=3600)
    relayd.route("-rh", "hop.b.example", "-rp", peer.port)
    for _ in range(10):
        relayd.send()
        relayd.wait_empty()
    assert relayd.dns.asked("hop.b.example", "A") == 1
