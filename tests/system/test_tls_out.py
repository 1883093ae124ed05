# SPDX-License-Identifier: GPL-3.0-or-later
"""
TLS to next hops, as a peer sees it: the name asked for, the certificate checked against the route's name,
versions, sessions resumed and not shared, what is said in the log. Whom relayd believes is in test_trust.py,
what breaks at which step in test_stages.py.
"""
import ssl

import pytest

from harness import messages
from harness.waiting import until
from peer.scripted import Drop
from peer.tls import Authority, self_signed


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def named(relayd, name, peer, *words):
    """A route to a peer by a name."""
    relayd.dns.set(name, a=[peer.host])
    return relayd.tmail("routes", "add", "-rh", name, "-rp", peer.port, *words, "-o", "id").strip()


def test_what_is_negotiated(make_relayd, make_peer, authority):
    relayd = make_relayd(tls={"ca": authority.file})
    peer = make_peer(tls=authority.server("mx.b.example"))
    named(relayd, "mx.b.example", peer, "--tls", "verify")
    fate = relayd.fate(relayd.send(), "b@b.example")
    assert fate.event == "delivered" and fate["tls"].startswith("TLSv1.3"), fate
    assert fate["verified"] == "yes"
    session, = peer.sessions
    assert session.tls == ("TLSv1.3", "mx.b.example")
    assert session.verbs()[:4] == ["EHLO", "STARTTLS", "EHLO", "MAIL"]


def test_in_the_clear_nothing_is_claimed(relayd, make_peer):
    relayd.route(to=make_peer())
    fate = relayd.fate(relayd.send(), "b@b.example")
    assert fate["tls"] in (None, "no", "none") and fate["verified"] is None


def test_an_address_is_no_server_name(make_relayd, make_peer, authority):
    """RFC 6066 section 3: no SNI for an address; the certificate has to name the address."""
    relayd = make_relayd(tls={"ca": authority.file})
    peer = make_peer(tls=authority.server("127.0.0.1"))
    relayd.route("--tls", "verify", to=peer)
    assert relayd.fate(relayd.send(), "b@b.example").event == "delivered"
    assert peer.sessions[0].tls[1] is None


@pytest.mark.parametrize("names, good", [
    (["mx.b.example"], True), (["MX.B.Example"], True), (["*.b.example"], True),
    (["other.example", "mx.b.example"], True),
    (["b.example"], False), (["*.example"], False), (["mx.b.example.evil.example"], False), (["127.0.0.1"], False),
    (["*"], False), (["x.mx.b.example"], False),
])
def test_names_in_certificates(make_relayd, make_peer, authority, names, good):
    relayd = make_relayd(tls={"ca": authority.file})
    peer = make_peer(tls=authority.server(*names))
    named(relayd, "mx.b.example", peer, "--tls", "verify")
    fate = relayd.fate(relayd.send(), "b@b.example")
    assert fate.event == ("delivered" if good else "deferred"), fate
    if not good:
        assert not peer.messages and "MAIL" not in peer.sessions[0].verbs()
        assert fate["status"].startswith("4.7") and "certificate" in fate["reply"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version, good", [("TLSv1", False), ("TLSv1_1", False), ("TLSv1_2", True), ("TLSv1_3", True)])
def test_versions(make_relayd, make_peer, tmp_path, version, good):
    """1.2 and up, whatever the policy."""
    context, _ = self_signed(tmp_path, "peer.example")
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = getattr(ssl.TLSVersion, version)
    peer = make_peer(tls=context)
    relayd = make_relayd()
    relayd.route("--tls", "require", to=peer)
    assert relayd.fate(relayd.send(), "b@b.example").event == ("delivered" if good else "deferred")
    if good:
        assert peer.sessions[0].tls[0] == version.replace("_", ".")


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_sessions_are_resumed_with_the_same_peer_alone(make_relayd, make_peer, authority, version):
    """Each message is a connection: the second takes the session of the first, another route's does not."""
    relayd = make_relayd(tls={"ca": authority.file})
    context = authority.server("mx.b.example", "mx.c.example")
    context.maximum_version = getattr(ssl.TLSVersion, version)
    once = {"mail": lambda session, sender: "421 4.3.2 once is enough" if session.messages else None}
    peer, other = make_peer(once, tls=context), make_peer(once, tls=context)
    named(relayd, "mx.b.example", peer, "--tls", "verify")
    named(relayd, "mx.c.example", other, "-d", "c.example", "--tls", "verify")
    for turn in range(3):
        relayd.fate(relayd.send(), "b@b.example", "delivered")
        until(lambda: peer.open == 0 or relayd.send(), "the session has ended")
    relayd.wait_empty()
    sessions = [session for session in peer.sessions if session.messages]
    assert not sessions[0].resumed and any(session.resumed for session in sessions[1:]), [s.resumed for s in sessions]
    relayd.fate(relayd.send(recipients="x@c.example"), "x@c.example", "delivered")
    assert not other.sessions[0].resumed


def test_a_connection_is_shared_only_by_routes_of_one_policy(make_relayd, make_peer, tmp_path):
    """A session without a checked certificate serves no route that wants it checked."""
    context, _ = self_signed(tmp_path, "mx.b.example")
    relayd = make_relayd()
    peer = make_peer(tls=context)
    relayd.dns.set("mx.b.example", a=[peer.host])
    for domain, policy in (("may.example", "may"), ("require.example", "require"), ("verify.example", "verify"),
                           ("none.example", "none")):
        relayd.tmail("routes", "add", "-d", domain, "-rh", "mx.b.example", "-rp", peer.port, "--tls", policy)
    fates = {}
    for domain in ("may.example", "verify.example", "require.example", "none.example"):
        queue_id = relayd.send(recipients=f"x@{domain}")
        fates[domain] = relayd.fate(queue_id, f"x@{domain}")
    assert {domain: fate.event for domain, fate in fates.items()} == {
        "may.example": "delivered", "verify.example": "deferred", "require.example": "delivered",
        "none.example": "delivered"}
    for message in peer.taken:
        assert (message.session.tls is None) == (message.recipients == ["x@none.example"])


def test_implicit_tls_by_port_465(make_relayd, at_port, authority):
    """TLS from the first byte is the default of that port."""
    relayd = make_relayd(tls={"ca": authority.file})
    peer = at_port(465, tls=authority.server("mx.b.example"), implicit_tls=True)
    named(relayd, "mx.b.example", peer)
    fate = relayd.fate(relayd.send(), "b@b.example")
    assert fate.event == "delivered" and fate["verified"] == "yes"
    assert "STARTTLS" not in peer.sessions[0].verbs()


def test_a_large_message(make_relayd, make_peer, authority):
    relayd = make_relayd(tls={"ca": authority.file})
    peer = make_peer(tls=authority.server("127.0.0.1"), receive_buffer=8192)
    relayd.route("--tls", "verify", to=peer)
    octets = messages.large(20 << 20)
    relayd.send(octets)
    relayd.wait_empty()
    assert messages.without_trace(peer.taken[0].data) == octets


def test_a_peer_that_is_cut_off_within_tls(make_relayd, make_peer, authority):
    """A truncated stream is no end of TLS, and no reply: the next entry."""
    relayd = make_relayd(tls={"ca": authority.file})
    bad = make_peer({"data": Drop()}, tls=authority.server("127.0.0.1"))
    good = make_peer()
    relayd.route("-p", 1, "--tls", "verify", to=bad)
    relayd.route("-p", 2, to=good)
    assert relayd.fate(relayd.send(), "b@b.example")["remote"].endswith(f":{good.port}")
