# SPDX-License-Identifier: GPL-3.0-or-later
"""
Real messages, and some that are hard, go client -> relayd -> a real Postfix, a real smtp-sink and our
own strict peer, and arrive byte for byte as sent apart from the Received fields; none twice, none lost.
The real ones come from Debian packages (tests/corpus/fetch), Postfix from its own (tests/peers/fetch).
"""
import re
import threading

import pytest

from harness import corpus, messages, postfix
from harness.places import PATIENCE, SANITIZED
from harness.talk import Talk
from harness.waiting import until

CLIENTS = 4
# Of the large collection: every so-manieth.
EVERY = 24 if SANITIZED else 12


@pytest.fixture(scope="session")
def everything():
    """[(name, octets)]: at least 200 of them real."""
    real = corpus.messages(EVERY)
    assert len(real) >= 200
    return real + messages.hard() + [("20 MB", messages.large(20 << 20))]


@pytest.fixture
def unpacked():
    if not postfix.is_there():
        pytest.fail(f"Debian's postfix is not in {postfix.UNPACKED}: run tests/peers/fetch")


def numbered(everything):
    return [(number, octets) for number, (name, octets) in enumerate(everything)]


def submit(host, port, some, domains):
    """Send each message once, to N@DOMAIN of each domain, over several connections at once."""
    left, failures = list(some), []

    def work():
        try:
            with Talk(host, port) as talk:
                talk.ehlo()
                while left:
                    number, octets = left.pop()
                    reply = talk.message(messages.stuffed(octets), "sender@a.example",
                                         [f"{number}@{domain}" for domain in domains], " BODY=8BITMIME")
                    assert reply == 250, (number, reply)
        except Exception as why:
            failures.append(why)

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not failures and not left, failures


def arrived(peer):
    """{number: octets} of what a strict peer took; it fails for one that came twice."""
    found = {}
    for message in peer.taken:
        for recipient in message.recipients:
            number = int(recipient.split("@")[0])
            assert number not in found, f"message {number} came twice"
            found[number] = message.data
    return found


def compare(everything, found, added):
    """All are there and as sent; returns the numbers of those that are not."""
    assert sorted(found) == list(range(len(everything)))
    return [number for number, octets in found.items()
            if messages.without_trace(octets, added) != everything[number][1]]


def test_to_a_strict_peer(everything, relayd, make_peer):
    peer = make_peer()
    relayd.route(to=peer)
    submit(relayd.host, relayd.port, numbered(everything), ["b.example"])
    relayd.wait_empty()
    assert not compare(everything, arrived(peer), 1)


def dumped(folder):
    """{number: octets with LF line ends} of smtp-sink's files."""
    found = {}
    for path in folder.iterdir():
        head, own, rest = re.match(rb"((?:X-[^\n]*\n)+)(Received: [^\n]*\n(?:\t[^\n]*\n)+)(.*)", path.read_bytes(),
                                   re.DOTALL).groups()
        assert b"by smtp-sink" in own
        for recipient in re.findall(rb"X-Rcpt-Args: <(\d+)@", head):
            assert int(recipient) not in found, f"message {int(recipient)} came twice"
            assert rest.endswith(b"\n"), "smtp-sink puts an empty line behind each message"
            found[int(recipient)] = rest[:-1]
    return found


def test_to_smtp_sink(everything, unpacked, relayd):
    folder = relayd.folder / "dumped"
    folder.mkdir()
    with postfix.SmtpSink(folder) as sink:
        relayd.route(to=sink)
        submit(relayd.host, relayd.port, numbered(everything), ["b.example"])
        relayd.wait_empty()
    found = dumped(folder)
    assert sorted(found) == list(range(len(everything)))
    for number, octets in found.items():
        name, sent = everything[number]
        came = messages.without_trace(octets.replace(b"\n", b"\r\n"))
        assert came == sent, name


def test_to_postfix(everything, unpacked, root, relayd, make_peer):
    """What Postfix itself changes (it ends a header that has no end) it changes in the direct way too."""
    behind = make_peer()
    with postfix.Postfix((behind.host, behind.port)) as mta:
        relayd.route(to=mta)
        submit(relayd.host, relayd.port, numbered(everything), ["b.example"])
        relayd.wait_empty()
        until(lambda: mta.queued() == 0, mta.said, alive=mta.assert_alive)
        through = arrived(behind)
        changed = compare(everything, through, 2)
        assert len(changed) < len(everything) // 20
        behind.messages.clear()
        submit(mta.host, mta.port, [one for one in numbered(everything) if one[0] in changed], ["b.example"])
        until(lambda: mta.queued() == 0, mta.said, alive=mta.assert_alive)
        direct = arrived(behind)
    for number in changed:
        name = everything[number][0]
        assert messages.without_trace(through[number], 2) == messages.without_trace(direct[number], 1), name


def test_to_two_next_hops_at_once(everything, relayd, make_peer):
    """One message, two groups of recipients: each next hop gets it once."""
    first, second = make_peer(), make_peer()
    relayd.route("-d", "one.example", to=first)
    relayd.route("-d", "two.example", to=second)
    some = numbered(everything)[-60:-1]
    submit(relayd.host, relayd.port, some, ["one.example", "two.example"])
    relayd.wait_empty()
    for peer in (first, second):
        found = arrived(peer)
        assert sorted(found) == [number for number, octets in some]
        assert all(messages.without_trace(found[number]) == octets for number, octets in some)
