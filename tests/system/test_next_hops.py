# SPDX-License-Identifier: GPL-3.0-or-later
"""
Other mail servers as next hops, with TLS and logins: Postfix (SCRAM-SHA-256, PLAIN; Cyrus SASL), Exim (CRAM-MD5,
GnuTLS), OpenSMTPD (whose TLS does not work). Each relays on to a peer of the tests, where the message has to
come as it was.
"""
import contextlib
import re

import pytest

from harness import exim as exims
from harness import messages
from harness import opensmtpd as opensmtpds
from harness import postfix as postfixes
from harness.exim import exim
from harness.opensmtpd import opensmtpd
from harness.places import PEERS
from harness.postfix import Postfix
from harness.waiting import until
from peer.tls import RSA, Authority

pytestmark = pytest.mark.usefixtures("root")

TEXT = b"Subject: through all\r\nFrom: <a@a.example>\r\n\r\n.dots\r\n..\r\n" + b"line\r\n" * 1000


@pytest.fixture
def authority(tmp_path):
    tmp_path.chmod(0o755)
    return Authority(tmp_path)


def served_by(where):
    if not where.is_there():
        pytest.skip("tests/peers/fetch has not brought it")


def route(relayd, domain, hop, *words):
    """By a name, so that there is a name to verify."""
    relayd.dns.set(f"hop.{domain}", a=[hop.host])
    return int(relayd.tmail("routes", "add", "-d", domain, "-rh", f"hop.{domain}", "-rp", hop.port, *words, "-o", "id"))


def came(peer, hop, address):
    """The message for that recipient, as it came out at the other end."""
    return until(lambda: next((message for message in peer.taken if message.recipients == [address]), None),
                 lambda: hop.said())


def check(message):
    """Whole, below what the hops have added at its top."""
    assert message.data.endswith(TEXT), message.data[:2000]
    assert not messages.RECEIVED.match(message.data) or b"by relay.example" in message.data


@pytest.mark.parametrize("mechanisms", ["SCRAM-SHA-256 PLAIN LOGIN", "PLAIN LOGIN"])
def test_postfix(make_relayd, make_peer, authority, mechanisms):
    served_by(postfixes)
    if not (PEERS / "sasl2-bin/library-path").exists():
        pytest.skip("tests/peers/fetch has not brought sasl2-bin")
    relayd, peer = make_relayd(tls={"ca": authority.file}), make_peer()
    postfix = Postfix((peer.host, peer.port))
    postfix.add_logins({"me": "secret"}, mechanisms)
    postfix.add_tls(*authority.certificate("hop.b.example"))
    with postfix:
        route(relayd, "b.example", postfix, "-rl", "me@postfix.example", "-rpwd", "secret")
        queue_id = relayd.send(TEXT)
        fate = relayd.fate(queue_id, "b@b.example")
        assert fate.event == "delivered" and fate["tls"].startswith("TLSv1.3"), (fate, postfix.said())
        message = came(peer, postfix, "b@b.example")
        check(message)
        assert b"using TLSv1.3" in message.data
        said = postfix.said()
        assert f"sasl_method={mechanisms.split()[0]}, sasl_username=me@postfix.example" in said, said
        # A password that is wrong: a try that failed, said as a warning with the route, never with the password.
        wrong = int(relayd.tmail("routes", "add", "-d", "wrong.example", "-rh", "hop.b.example", "-rp", postfix.port,
                                 "-rl", "me@postfix.example", "-rpwd", "sesame1", "-o", "id"))
        queue_id = relayd.send(TEXT, recipients="x@wrong.example")
        assert relayd.fate(queue_id, "x@wrong.example").event == "deferred"
        warnings = [line for line in relayd.lines() if line.level == "warning" and line["route"] == str(wrong)]
        assert warnings and "sesame1" not in relayd.log()


@contextlib.contextmanager
def running(hop):
    try:
        yield hop
    finally:
        hop.stop()


def test_exim(make_relayd, make_peer, authority):
    served_by(exims)
    relayd, peer = make_relayd(tls={"ca": authority.file}), make_peer()
    with running(exim((peer.host, peer.port), *authority.certificate("hop.b.example"))) as hop:
        route(relayd, "b.example", hop, "-rl", "me", "-rpwd", "secret")
        queue_id = relayd.send(TEXT)
        fate = relayd.fate(queue_id, "b@b.example")
        assert fate.event == "delivered" and fate["tls"], (fate, hop.said())
        check(came(peer, hop, "b@b.example"))
        assert re.search(r"P=esmtpsa X=TLS1\.[23].* A=cram:me", hop.said()), hop.said()


def test_opensmtpd_offers_tls_and_cannot(make_relayd, make_peer, authority):
    """Where TLS may be, the mail goes in the clear then; where it must be, nowhere."""
    served_by(opensmtpds)
    relayd, peer = make_relayd(tls={"ca": authority.file}), make_peer()
    with running(opensmtpd((peer.host, peer.port), *authority.certificate("hop.b.example", kind=RSA))) as hop:
        route(relayd, "b.example", hop)
        route(relayd, "must.example", hop, "--tls", "require")
        queue_id = relayd.send(TEXT)
        must = relayd.send(TEXT, recipients="b@must.example")
        fate = relayd.fate(must, "b@must.example")
        # Another release may have it right.
        if fate.event == "deferred":
            assert fate["status"].startswith("4.7") and "SSL routines::EVP lib" in hop.said()
        assert relayd.fate(queue_id, "b@b.example").event == "delivered"
        check(came(peer, hop, "b@b.example"))
