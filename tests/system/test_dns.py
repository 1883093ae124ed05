# SPDX-License-Identifier: GPL-3.0-or-later
"""
The domain name system as it is: a real resolver (unbound) with a zone of the test's, its CNAMEs, its truncated
answers, its SERVFAIL; what relayd asks it, and how often. How MX records are used is in test_mx.py.
"""
import pytest

from harness import unbound
from harness.unbound import Unbound
from harness.waiting import until
from peer.dns import Dns

pytestmark = pytest.mark.skipif(not unbound.is_there(), reason="tests/peers/fetch has not brought unbound")

MANY = 120  # MX records: more than a UDP answer holds


def zone(good, down, busy):
    """Addresses of exchangers: one that takes mail, one that refuses connections, one that says 421."""
    many = [f"many.example. IN MX {100 + n} down-number-{n}.with-a-name-that-takes-some-room.example."
            for n in range(MANY)]
    return [
        f"good.example. IN A {good}", f"down.example. IN A {down}", f"busy.example. IN A {busy}",
        "order.example. IN MX 30 good.example.", "order.example. IN MX 10 down.example.",
        "order.example. IN MX 20 busy.example.",
        f"implicit.example. IN A {good}",
        "null.example. IN MX 0 .", f"null.example. IN A {good}",
        'text.example. IN TXT "neither address nor MX"',
        "ourselves.example. IN MX 10 relay.example.", "relay.example. IN A 127.0.0.1",
        "alias.example. IN CNAME alias2.example.", "alias2.example. IN CNAME order.example.",
        "to-alias.example. IN MX 10 good-alias.example.", "good-alias.example. IN CNAME good.example.",
        "to-nothing.example. IN CNAME nothing.example.",
        "loop.example. IN CNAME loop2.example.", "loop2.example. IN CNAME loop.example.",
        *many, "many.example. IN MX 1 good.example.",
        "half.example. IN MX 10 mx.broken.example.", "half.example. IN MX 20 good.example.",
        "all-broken.example. IN MX 10 mx.broken.example.",
        "*.wild.example. IN MX 10 good.example.",
        "short.example. 1 IN MX 10 good-short.example.", f"good-short.example. 1 IN A {good}",
    ]


# domain: what becomes of its mail; the status begins so.
FATES = {
    "order.example": ("delivered", "2."), "ORDER.Example": ("delivered", "2."), "implicit.example": ("delivered", "2."),
    "null.example": ("failed", "5.1.10"), "text.example": ("failed", "5.1.2"), "nothing.example": ("failed", "5.1.2"),
    "ourselves.example": ("failed", "5.4.6"), "alias.example": ("delivered", "2."),
    "to-alias.example": ("delivered", "2."), "to-nothing.example": ("failed", "5.1.2"),
    "loop.example": ("deferred", "4."),
    "many.example": ("delivered", "2."), "half.example": ("delivered", "2."), "all-broken.example": ("deferred", "4.4"),
    "broken.example": ("deferred", "4.4"), "silent.example": ("deferred", "4.4"), "a.wild.example": ("delivered", "2."),
}


@pytest.fixture
def served(make_relayd, make_peer, exchanger):
    """relayd that asks unbound; and the exchanger that takes mail."""
    upstream = Dns()
    for name in ("broken.example", "mx.broken.example"):
        upstream.fail(name, "SERVFAIL")
    upstream.fail("silent.example", "silence")
    good, down, busy = exchanger(), exchanger(up=False), exchanger({"greeting": "421 4.3.2 not now"})
    server = Unbound(zone(good.host, down.host, busy.host),
                     {"broken.example": upstream.address, "silent.example": upstream.address})
    relayd = make_relayd(dns=server.start())  # which stops it, too
    relayd.route("-d", "a.example", to=make_peer())
    yield relayd, good
    upstream.stop()


def test_every_kind_of_domain(served):
    relayd, good = served
    sent = {domain: relayd.send(recipients=[f"r@{domain}"]) for domain in FATES}
    wrong = []
    for domain, queue_id in sent.items():
        fate = relayd.fate(queue_id, f"r@{domain.lower()}")
        event, status = FATES[domain]
        if fate.event != event or not fate["status"].startswith(status) or fate["attempt"] != "1":
            wrong.append(f"{domain}: {event} {status} was expected: {fate.event} {fate.fields}")
    assert not wrong, "\n".join(wrong)
    came = sorted(message.recipients[0] for message in good.taken)
    assert came == sorted(f"r@{domain.lower()}" for domain, (event, _) in FATES.items() if event == "delivered")
    tried = [line["remote"].partition("[")[0] for line in relayd.lines("tried", sent["order.example"])]
    assert tried == ["down.example", "busy.example"]
    assert relayd.dns.asked("null.example", "A") == 0, "a domain that takes no mail is not looked for"


def test_answers_are_kept_for_their_ttl(served):
    relayd, good = served
    for turn in range(5):
        relayd.send(recipients=["r@order.example", "r@nothing.example"])
        relayd.wait_empty()
    for name, kind in (("order.example", "MX"), ("good.example", "A"), ("nothing.example", "MX")):
        assert relayd.dns.asked(name, kind) == 1, (name, kind)

    def again():
        relayd.send(recipients=["r@short.example"])
        relayd.wait_empty()
        return relayd.dns.asked("short.example", "MX") >= 2 and relayd.dns.asked("good-short.example", "A") >= 2

    until(again, "what lives for a second is asked for again")
    assert relayd.dns.asked("order.example", "MX") == 1


def test_a_server_that_is_down_leads_to_the_next(served, make_relayd):
    """dns_servers: the first of them does not answer."""
    first, good = served
    with Dns() as gone:
        address = gone.address
    relayd = make_relayd(start=False)
    relayd.write_conf(dns_servers=[address, first.dns.address])
    relayd.start()
    queue_id = relayd.send(recipients=["r@implicit.example"])
    assert relayd.fate(queue_id, "r@implicit.example", "delivered")
    assert len(good.taken) == 1
