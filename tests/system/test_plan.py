# SPDX-License-Identifier: GPL-3.0-or-later
"""
The attempt plan, as its next hops see it: local IPs in the order written or at random, of the family of
the remote address, without those this host has not; remotes that could not be connected to are left out
for a while, and tried all the same when nothing else is left; a second connection for one that is slow
in coming. Shares are in test_balance.py, what leads from one try to the next in test_stages.py.
"""
import contextlib
import random
import socket

import pytest

from harness.waiting import until

ABSENT = "198.51.100.77"  # of a documentation network: no host has it


def clients(peer):
    """The addresses that its sessions came from, in their order."""
    return [session.client[0] for session in peer.sessions]


@contextlib.contextmanager
def black_hole(host, port):
    """An address that answers no attempt to connect: its backlog is full."""
    with contextlib.ExitStack() as stack:
        def new():
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            return sock

        listener = new()
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(4):
            with contextlib.suppress(BlockingIOError):
                new().connect((host, port))
        yield


def unused_host():
    return f"127.{random.randrange(200, 250)}.{random.randrange(256)}.{random.randrange(1, 255)}"


def closed(make_peer):
    """A peer's address at which nobody listens any more."""
    peer = make_peer()
    peer.stop()
    return peer


# ---- local IPs -------------------------------------------------------------------------------------

def test_in_the_order_written(relayd, make_peer):
    """Each remote address from the first that works; what is left open goes on from the next."""
    peer = make_peer({"rcpt": lambda session, address: "450 4.2.0 not from there"
                      if session.client[0] == "127.0.0.31" else None})
    relayd.route("-l", "127.0.0.31&127.0.0.32&127.0.0.33", to=peer)
    queue_id = relayd.send()
    relayd.wait_empty()
    assert clients(peer) == ["127.0.0.31", "127.0.0.32"]
    assert relayd.fate(queue_id, "b@b.example")["local"] == "127.0.0.32"


def test_at_random(relayd, make_peer):
    """One after the other, too: all three are tried for the one that none of them may deliver."""
    peer = make_peer({"mail": "450 4.2.0 not now"})
    relayd.route("-l", "127.0.0.31|127.0.0.32|127.0.0.33", to=peer)
    orders = set()
    for turn in range(1, 25):
        queue_id = relayd.send()
        assert relayd.fate(queue_id, "b@b.example").event == "deferred"
        orders.add(tuple(line["local"] for line in relayd.lines("tried", queue_id)))
    assert all(sorted(order) == ["127.0.0.31", "127.0.0.32", "127.0.0.33"] for order in orders)
    assert len(orders) >= 3


def test_the_family_decides(make_relayd, make_peer):
    try:
        peer = make_peer(host="::1")
    except OSError:
        pytest.skip("no IPv6 on this host")
    same_port = make_peer(host=unused_host(), port=peer.port)
    relayd = make_relayd(local_ips="127.0.0.41&::1")
    relayd.dns.set("both.example", a=[same_port.host], aaaa=["::1"])
    for domain, local in (("four", "127.0.0.31"), ("six", "::1"), ("default", None)):
        relayd.tmail("routes", "add", "-d", f"{domain}.example", "-rh", "both.example", "-rp", peer.port,
                     *(["-l", local] if local else []))
    fates = {}
    for domain in ("four", "six", "default"):
        queue_id = relayd.send(recipients=f"x@{domain}.example")
        fates[domain] = relayd.fate(queue_id, f"x@{domain}.example")
    assert {domain: fate["local"] for domain, fate in fates.items()} == {
        "four": "127.0.0.31", "six": "::1", "default": "::1"}
    assert clients(same_port) == ["127.0.0.31"] and set(clients(peer)) == {"::1"}


def test_one_that_this_host_has_not(relayd, make_peer):
    """The next one is tried; whoever runs the host is told, but not for every mail."""
    peer = make_peer()
    relayd.route("-l", f"{ABSENT}&127.0.0.31", to=peer)
    for _ in range(5):
        relayd.send()
    relayd.wait_empty()
    assert len(peer.taken) == 5 and set(clients(peer)) == {"127.0.0.31"}
    warning, = relayd.lines("local-ip-absent")
    assert warning["local"] == ABSENT and warning.level == "warning"
    # It says nothing of the remote host, which is well.
    assert not relayd.lines("remote-suspended")


def test_nothing_but_such(make_relayd, make_peer):
    peer = make_peer()
    relayd = make_relayd(local_ips=ABSENT, retry=["1s"])
    relayd.route(to=peer)
    queue_id = relayd.send()
    fate = relayd.fate(queue_id, "b@b.example")
    assert fate.event == "deferred" and ABSENT in fate["reply"]
    # The next attempt has what the route has by then.
    relayd.tmail("routes", "add", "-rh", peer.host, "-rp", peer.port, "-l", "127.0.0.31", "-d", "b.example")
    relayd.wait_empty()
    assert clients(peer) == ["127.0.0.31"]


# ---- what could not be connected to ----------------------------------------------------------------

def test_left_out_for_a_while(relayd, make_peer):
    dead, alive = closed(make_peer), make_peer()
    relayd.route("-p", 1, to=dead)
    relayd.route("-p", 2, to=alive)
    for _ in range(6):
        relayd.send()
        relayd.wait_empty()
    assert len(alive.taken) == 6
    assert [line["remote"].rpartition(":")[2] for line in relayd.lines("tried")] == [str(dead.port)]
    suspended, = relayd.lines("remote-suspended")
    assert suspended["remote"] == f"{dead.host}:{dead.port}" and 27 <= int(suspended["for"].rstrip("s")) <= 33


def test_by_local_ip(relayd, make_peer):
    """A pair is sick, not a remote host: from another local IP it is tried."""
    dead = closed(make_peer)
    relayd.tmail("routes", "add", "-d", "one.example", "-rh", dead.host, "-rp", dead.port, "-l", "127.0.0.31")
    relayd.tmail("routes", "add", "-d", "two.example", "-rh", dead.host, "-rp", dead.port,
                 "-l", "127.0.0.31&127.0.0.32")
    assert relayd.fate(relayd.send(recipients="x@one.example"), "x@one.example")["local"] == "127.0.0.31"
    queue_id = relayd.send(recipients="x@two.example")
    assert relayd.fate(queue_id, "x@two.example")["local"] == "127.0.0.32"
    assert [line["local"] for line in relayd.lines("tried", queue_id)] == ["127.0.0.32"]


def test_tried_all_the_same_when_nothing_else_is_left(make_relayd, make_peer):
    relayd = make_relayd(retry=["1s"])
    dead = closed(make_peer)
    relayd.route(to=dead)
    queue_id = relayd.send()
    assert relayd.fate(queue_id, "b@b.example").event == "deferred"
    back = make_peer(host=dead.host, port=dead.port)
    relayd.wait_empty(10)
    assert len(back.taken) == 1
    assert relayd.lines("remote-suspended") and relayd.lines("remote-recovered")


def test_the_same_by_another_name(relayd, make_peer):
    """Two routes that lead to one address: what refused by one name is not asked by the other."""
    peer, last = make_peer({"mail": "451 4.3.0 busy"}), make_peer()
    for name in ("one.example", "two.example"):
        relayd.dns.set(name, a=[peer.host])
        relayd.tmail("routes", "add", "-rh", name, "-rp", peer.port, "-p", 1 if name == "one.example" else 2)
    relayd.route("-p", 3, to=last)
    relayd.send()
    relayd.wait_empty()
    assert len(peer.sessions) == 1 and len(last.taken) == 1


# ---- races -----------------------------------------------------------------------------------------

# A name's addresses come in an order that changes from one lookup to the next.

def test_a_second_connection_when_the_first_is_slow(make_relayd, make_peer):
    """The first address does not answer, and may take a minute: the second has the mail, once."""
    relayd = make_relayd(timeouts={"connect": "1m"})
    peer = make_peer(host=unused_host())
    hole = unused_host()
    relayd.dns.set("both.example", a=[hole, peer.host])
    relayd.tmail("routes", "add", "-rh", "both.example", "-rp", peer.port)
    sent = 0

    def raced():
        nonlocal sent
        relayd.send()
        sent += 1
        relayd.wait_empty()
        return [line for line in relayd.lines("delivered") if int(line["delay_ms"]) >= 240]

    with black_hole(hole, peer.port):
        line = until(raced, "the address that does not answer to be tried first")[0]
    assert line["remote"] == f"both.example[{peer.host}]:{peer.port}" and int(line["delay_ms"]) < 30000
    assert len(peer.taken) == len(peer.messages) == sent
    assert not relayd.lines("deferred") and not relayd.lines("tried")


def test_the_slow_one_is_found_to_be_sick(make_relayd, make_peer):
    relayd = make_relayd(timeouts={"connect": "1s"})
    peer = make_peer(host=unused_host())
    hole = unused_host()
    relayd.dns.set("both.example", a=[hole, peer.host])
    relayd.tmail("routes", "add", "-rh", "both.example", "-rp", peer.port)

    def given_up():
        relayd.send()
        relayd.wait_empty()
        return relayd.lines("remote-suspended")

    with black_hole(hole, peer.port):
        suspended = until(given_up, "the slower address to be given up")[0]
    assert suspended["remote"] == f"{hole}:{peer.port}" and "timed out" in suspended["reason"]
    assert len(peer.taken) == len(peer.messages) and not relayd.lines("deferred")


def test_races_keep_to_the_limits(make_relayd, make_peer):
    relayd = make_relayd(limits={"outbound": 4, "outbound_per_host": 2}, timeouts={"connect": "2s"})
    peer = make_peer(host=unused_host())
    hole = unused_host()
    relayd.dns.set("both.example", a=[hole, peer.host])
    relayd.tmail("routes", "add", "-rh", "both.example", "-rp", peer.port)
    with black_hole(hole, peer.port):
        with relayd.talk() as talk:
            talk.ehlo()
            for _ in range(40):
                assert talk.message(b"x\r\n") == 250
        relayd.wait_empty()
    assert len(peer.taken) == 40 and peer.most_open <= 2
