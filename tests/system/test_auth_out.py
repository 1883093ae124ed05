# SPDX-License-Identifier: GPL-3.0-or-later
"""
Logins at next hops: which mechanism is taken, never in the clear unless the route says so by name, one
connection for each login, what a refused one leads to, and that a password is seen by nobody but the peer.
What breaks at which step is in test_stages.py.
"""
import itertools
import pathlib
import resource
import signal

import pytest

from harness.places import PATIENCE
from peer.login import MECHANISMS
from peer.tls import Authority, self_signed

LOGIN = ("-rl", "me", "-rpwd", "s3cr3t word")
KNOWN = {"me": "s3cr3t word"}


@pytest.fixture
def secure(make_relayd, make_peer, tmp_path):
    """relayd, and a maker of peers with TLS and logins."""
    authority = Authority(tmp_path)
    context = authority.server("127.0.0.1")

    def make(stages=None, **options):
        return make_peer(stages, **{"tls": context, "logins": KNOWN, **options})

    return make_relayd(tls={"ca": authority.file}), make


OFFERS = [offer for count in range(1, 5) for offer in itertools.combinations(reversed(MECHANISMS), count)]
BEST_FIRST = ("SCRAM-SHA-256", "PLAIN", "LOGIN", "CRAM-MD5")


def test_the_strongest_that_is_offered(secure):
    """Whatever the order of the offer, over TLS that was verified."""
    relayd, make = secure
    peers = [make(mechanisms=offer) for offer in OFFERS]
    for number, peer in enumerate(peers):
        relayd.route("-d", f"b{number}.example", *LOGIN, to=peer)
    for number in range(len(OFFERS)):
        relayd.send(recipients=f"x@b{number}.example")
    relayd.wait_empty()
    for peer, offer in zip(peers, OFFERS):
        session, = peer.sessions
        assert session.login == "me" and session.tls, offer
        (mechanism, _, _), = session.logins
        assert mechanism == next(name for name in BEST_FIRST if name in offer), offer


def test_where_the_server_is_not_known(secure, tmp_path):
    """Without a certificate that was checked, the password itself is the last thing to give away."""
    relayd, make = secure
    order = ("SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "LOGIN")
    stranger, _ = self_signed(tmp_path, "127.0.0.1")
    peers = [make(mechanisms=offer, tls=stranger) for offer in OFFERS]
    for number, peer in enumerate(peers):
        relayd.route("-d", f"b{number}.example", "--tls", "require", *LOGIN, to=peer)
    for number in range(len(OFFERS)):
        relayd.send(recipients=f"x@b{number}.example")
    relayd.wait_empty()
    for peer, offer in zip(peers, OFFERS):
        assert peer.sessions[0].logins[0][0] == next(name for name in order if name in offer), offer


@pytest.mark.parametrize("offer", [" ".join(MECHANISMS), "login plain", "=PLAIN LOGIN"])
def test_offers_as_they_are_written(secure, offer):
    relayd, make = secure
    if offer.startswith("="):
        # The way of some old servers.
        peer = make({"ehlo": lambda session, _: ("250-peer.example", "250 AUTH=PLAIN LOGIN") if session.tls else None})
    else:
        peer = make(mechanisms=(offer,))
    relayd.route(*LOGIN, to=peer)
    queue_id = relayd.send()
    fate = relayd.fate(queue_id, "b@b.example")
    if offer.startswith("="):
        assert fate.event in ("delivered", "deferred")
    else:
        assert fate.event == "delivered", fate


def test_never_in_the_clear_unless_the_route_says_so(secure):
    relayd, make = secure
    cases = [((), None, False), (("--tls", "require"), None, False), (("--tls", "may"), None, True),
             (("--tls", "none"), None, True)]
    peers = [make(tls=tls) for _, tls, _ in cases]
    for number, ((words, _, _), peer) in enumerate(zip(cases, peers)):
        relayd.route("-d", f"b{number}.example", *words, *LOGIN, to=peer)
    sent = [relayd.send(recipients=f"x@b{number}.example") for number in range(len(cases))]
    for number, ((words, _, good), peer) in enumerate(zip(cases, peers)):
        fate = relayd.fate(sent[number], f"x@b{number}.example")
        assert fate.event == ("delivered" if good else "deferred"), (words, fate)
        assert bool(peer.sessions[0].logins) == good


def test_with_may_and_tls_that_fails_it_is_as_the_route_says(secure):
    """`may` by name: the second connection, in the clear, logs in, too."""
    relayd, make = secure
    peer = make({"starttls": "454 4.7.0 not now"})
    relayd.route("--tls", "may", *LOGIN, to=peer)
    assert relayd.fate(relayd.send(), "b@b.example").event == "delivered"
    assert peer.sessions[-1].login == "me" and not peer.sessions[-1].tls


def test_each_login_has_connections_of_its_own(secure):
    relayd, make = secure
    peer = make(logins={"me": "s3cr3t word", "you": "other"})
    relayd.route("-d", "me.example", *LOGIN, to=peer)
    relayd.route("-d", "you.example", "-rl", "you", "-rpwd", "other", to=peer)
    relayd.route("-d", "nobody.example", "--tls", "verify", to=peer)
    for turn in range(3):
        for name in ("me", "you", "nobody"):
            relayd.send(recipients=f"x@{name}.example")
        relayd.wait_empty()
    assert len(peer.taken) == 9
    for message in peer.taken:
        assert message.session.login == {"x@me.example": "me", "x@you.example": "you"}.get(message.recipients[0])


def test_a_password_that_was_changed_is_used(secure):
    """A session of the old login is no session of the new one."""
    relayd, make = secure
    peer = make()
    old = relayd.route(*LOGIN, to=peer)
    relayd.send()
    relayd.wait_empty()
    peer.logins = {"me": "changed"}
    relayd.route("-rl", "me", "-rpwd", "changed", to=peer)
    relayd.tmail("routes", "del", old)
    relayd.send()
    relayd.wait_empty()
    assert [session.login for session in peer.sessions if session.messages] == ["me", "me"]


def test_a_refused_login_leads_on(secure):
    relayd, make = secure
    bad, good = make(logins={"me": "another"}), make()
    route = relayd.route("-p", 1, *LOGIN, to=bad)
    relayd.route("-p", 2, *LOGIN, to=good)
    queue_id = relayd.send()
    fate = relayd.fate(queue_id, "b@b.example")
    assert fate.event == "delivered" and fate["attempt"] == "1" and fate["remote"].endswith(f":{good.port}")
    assert "MAIL" not in bad.sessions[0].verbs()
    warnings = [line for line in relayd.lines() if line.level == "warning" and line["route"] == str(route)]
    assert warnings, relayd.log()


def test_nobody_else_sees_the_password(secure, tmp_path):
    """Neither the log at any level nor any list, nor a reply of the peer that repeats it; files are private."""
    relayd, make = secure
    relayd.stop()
    relayd.write_conf(log_level="debug")
    relayd.start()
    # A peer that says back what it was told.
    def echo(session, mechanism):
        return "535 5.7.8 AUTH PLAIN AG1lAHMzY3IzdCB3b3Jk is wrong"

    relayd.route("-d", "b.example", *LOGIN, to=make())
    relayd.route("-d", "echo.example", *LOGIN, to=make({"auth": echo}, mechanisms=("PLAIN",)))
    queue_id = relayd.send(recipients=["b@b.example", "b@echo.example"])
    relayd.fate(queue_id, "b@b.example", "delivered")
    relayd.fate(queue_id, "b@echo.example", "deferred")
    said = relayd.log() + relayd.tmail("queue", "list") + relayd.tmail("status")
    for form in ("text", "json", "csv", "table", "wide", "jsonl", "commands"):
        done = relayd.tmail("routes", "list", "-o", form, status=None)
        said += done.stdout + done.stderr
    for words in (["log"], ["explain", "b@b.example"], ["health"], ["stats"], ["get", "1"], ["export"]):
        done = relayd.tmail("routes", *words, status=None)
        said += done.stdout + done.stderr
    assert "s3cr3t" not in said and "czNjcjN0" not in said
    # base64 of \\0me\\0s3cr3t word
    assert "AG1lAHMzY3IzdCB3b3Jk" not in relayd.tmail("routes", "list")
    for path in relayd.state_dir.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_no_password_in_a_core_dump(secure):
    """Where the kernel writes one."""
    pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if pattern.startswith(("|", "/")):
        pytest.skip("core dumps go elsewhere on this machine")
    relayd, make = secure
    relayd.route(*LOGIN, to=make())
    relayd.fate(relayd.send(), "b@b.example", "delivered")
    try:
        resource.prlimit(relayd.pid, resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (PermissionError, ValueError):
        return  # an ordinary user: it has given up the right to write one
    relayd.process.send_signal(signal.SIGABRT)
    relayd.process.wait(PATIENCE)
    relayd.process = None
    for core in relayd.folder.glob("core*"):
        octets = core.read_bytes()
        assert b"s3cr3t word" not in octets, f"{octets.count(b's3cr3t word')} times"
