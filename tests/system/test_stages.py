# SPDX-License-Identifier: GPL-3.0-or-later
"""
Every stage of a session with a next hop, and what can go wrong there: a refusal for now and for good, 421,
silence, a drop, a reset, a malformed and an endless reply, a reply that comes octet by octet, and what
only TLS and logins can do. Each ends in the fate that relayd-routes(7) gives it, within its timeout, and
none of them stops other mail.

All cases of a stage run at one time in one relayd: a domain each, whose first route leads to the peer that
fails and whose second leads to a good one, and another domain that has the first route alone.
"""
import itertools
from typing import NamedTuple

import pytest

from harness import messages
from harness.places import SANITIZED
from peer.scripted import (Blackhole, Challenges, Clear, Deaf, Drop, Endless, Raw, Sequence, Silence, Slow)
from peer.tls import Authority, self_signed

SECONDS = 6 if SANITIZED else 3
# What the machine may add when it is busy: a timeout that does not work takes minutes.
SLACK = 8 * SECONDS
# Where a good peer has much to read, it may take long, too.
LONGER = {"body": 4 * SECONDS}
# More than the kernel's buffers take while the other side does not read.
LARGE = 6 << 20
LARGE_MESSAGE = messages.large(LARGE)
LOGIN = ("-rl", "me", "-rpwd", "secret")
GARBAGE = bytes(range(256)) * 4
ALERT = b"\x15\x03\x03\x00\x02\x02\x28"  # handshake_failure
# Lines and octets that keep coming, each well within the timeout.
DRIP = Endless(b"250-x\r\n", seconds=0.2)
CRUMBS = Endless(b"2", seconds=0.2)


class Case(NamedTuple):
    stages: dict
    # next: the second route's peer has it; here: this peer has it after all; failed: a bounce;
    # deferred: nobody may be asked in this attempt.
    fate: str = "next"
    status: str = ""          # how the enhanced status code begins, where there is no next
    timeouts: int = 0         # how many have to pass
    options: dict = {}        # of the peer
    route: tuple = ()
    octets: int = 0
    kind: str = "scripted"


def replies(stage, **options):
    """What can be wrong with a reply, at any stage."""
    return [
        Case({stage: "421 4.3.2 not now"}, **options),
        Case({stage: "450 4.3.2 not now"}, **options),
        Case({stage: ("450-4.3.2 not", "450 4.3.2 now")}, **options),
        Case({stage: Drop()}, **options),
        Case({stage: Drop(reset=True)}, **options),
        Case({stage: Silence()}, timeouts=1, **options),
        Case({stage: Raw(b"what?\r\n")}, **options),
        Case({stage: Raw(b"999 what\r\n")}, **options),
        Case({stage: Raw(b"\r\n")}, **options),
        Case({stage: Raw(b"2" * 70000 + b"\r\n")}, **options),
        Case({stage: Sequence(Raw(b"250-half\r\n"), Drop())}, **options),
        Case({stage: Sequence(Raw(b"250-one\r\n450 other\r\n"), Drop())}, **options),
        Case({stage: Endless()}, **options),
        Case({stage: Endless(b"x" * 4096)}, **options),
        Case({stage: DRIP}, timeouts=1, **options),
        Case({stage: CRUMBS}, timeouts=1, **options),
    ]


def fails(stage, *texts):
    return [Case({stage: text}, fate="failed", status=status) for text, status in texts]


def both_hellos(action):
    return {"ehlo": action, "helo": action}


CONNECT = [
    Case({}, kind="refused"),
    Case({}, kind="blackhole", timeouts=1),
    Case({"connect": Drop()}),
    Case({"connect": Drop(reset=True)}),
    Case({"connect": Silence()}, timeouts=1),
    Case({"connect": Deaf()}, timeouts=1),
]

GREETING = replies("greeting") + [
    Case({"greeting": "554 5.3.2 never"}),
    Case({"greeting": "354 what"}),
    Case({"greeting": Raw(b"SSH-2.0-OpenSSH_9.2p1\r\n")}),
    Case({"greeting": Raw(b"220")}, timeouts=1),
    Case({"greeting": Raw(b"220 a\0b\r\n550 no\r\n")}, fate="any"),
]

HELLO = replies("ehlo")[3:] + [
    Case({"ehlo": "421 4.3.2 not now"}),
    Case(both_hellos("450 4.7.1 neither")),
    Case(both_hellos("550 5.7.1 neither")),
    Case({"ehlo": "502 5.5.1 what"}, fate="here"),
    Case({"ehlo": "502 5.5.1 what", "helo": Silence()}, timeouts=1),
    Case({"ehlo": "502 5.5.1 what", "helo": Drop()}),
    Case({"ehlo": "502 5.5.1 what", "helo": "421 4.3.2 not now"}),
    Case({"ehlo": "502 5.5.1 what", "helo": Endless()}),
]

MAIL = replies("mail") + fails("mail", ("550 5.7.1 not you", "5.7.1"), ("552 5.3.4 too big", "5.3.4"),
                               ("501 no enhanced code", "5."))
RCPT = replies("rcpt") + fails("rcpt", ("550 5.1.1 no such user", "5.1.1"), ("553 5.1.3 bad", "5.1.3")) + [
    Case({"rcpt": "452 4.5.3 too many"}),
]
DATA = replies("data") + fails("data", ("554 5.7.1 no", "5.7.1")) + [
    Case({"data": Raw(b"250 not what was asked\r\n")}),
]
BODY = [
    Case({"body": Drop(after=1000)}, octets=LARGE),
    Case({"body": Drop(after=1000, reset=True)}, octets=LARGE),
    Case({"body": Sequence(Raw(b"452 4.3.1 full\r\n"), Drop())}, octets=LARGE),
    Case({"body": Deaf()}, timeouts=1, octets=LARGE),
]
# Lost or without a sense after the final dot: it may have been accepted, so there is no second copy now.
DOT = [case._replace(fate="deferred", status="4.", timeouts=2 * case.timeouts) for case in replies("dot")[3:]] + [
    Case({"dot": "421 4.3.2 not now"}),
    Case({"dot": "451 4.3.0 not now"}),
    Case({"dot": ("452-4.3.1 full", "452 4.3.1 up")}),
    Case({"dot": Slow("250 2.0.0 taken", seconds=0.01)}, fate="here"),
] + fails("dot", ("554 5.6.0 spam", "5.6.0"), (("550-5.7.1 first", "550 5.7.1 second"), "5.7.1"))
QUIT = [case._replace(fate="here", timeouts=0) for case in replies("quit")] + [
    Case({"quit": "500 5.5.1 stay"}, fate="here"),
]


def over_tls(cases, policy="require", **changes):
    """The peers offer STARTTLS, the route asks for it."""
    return [case._replace(options=dict({"tls": "good"}, **case.options), route=("--tls", policy, *case.route),
                          **changes) for case in cases]


BROKEN_STARTTLS = replies("starttls") + [
    Case({"starttls": "454 4.7.0 not now"}),
    Case({"starttls": "501 5.5.4 no"}),
    Case({"starttls": "554 5.7.3 never"}),
]
BROKEN_HANDSHAKE = [Case({stage: action}, timeouts=timeouts)
                    for stage in ("handshake", "hello", "half")
                    for action, timeouts in ((Drop(), 0), (Drop(reset=True), 0), (Silence(), 1), (Raw(GARBAGE), 0),
                                             (Raw(b"220 go on\r\n"), 0), (Raw(ALERT), 0), (Endless(GARBAGE), 0))]
NOT_OFFERED = Case({}, options={"tls": None})

# With `require` the next entry, with `may` once more on the same address, in the clear.
STARTTLS = over_tls(BROKEN_STARTTLS + [NOT_OFFERED]) + over_tls(
    [case for case in BROKEN_STARTTLS if "421" not in str(case.stages)], "may", fate="here") + [
    NOT_OFFERED._replace(route=("--tls", "may"), fate="here"),
    NOT_OFFERED._replace(route=("--tls", "none"), fate="here"),
    Case({}, fate="here", options={"tls": "good"}, route=("--tls", "none")),
]
# What comes behind the 220, whatever it is, ends the try, if it is there when the handshake is to begin.
HANDSHAKE = over_tls(BROKEN_HANDSHAKE) + [
    case._replace(fate="any" if isinstance(case.stages.get("handshake"), (Raw, Endless)) else "here")
    for case in over_tls(BROKEN_HANDSHAKE, "may")]
# The certificate: whoever verifies wants a good one, `require` and `may` take any.
BAD_CERTIFICATES = ("other name", "expired", "unknown authority", "self-signed")
CERTIFICATE = [
    Case({}, fate="here" if policy in ("require", "may") else "next", route=("--tls", policy),
         options={"tls": certificate, "implicit_tls": policy == "implicit"})
    for policy in ("verify", "implicit", "require", "may") for certificate in BAD_CERTIFICATES
] + [Case({}, fate="here", route=("--tls", policy), options={"tls": "good", "implicit_tls": policy == "implicit"})
     for policy in ("verify", "implicit", "require", "may")]
IMPLICIT = [case._replace(options={"tls": "good", "implicit_tls": True}, route=("--tls", "implicit"))
            for case in BROKEN_HANDSHAKE] + [
    # One that speaks in the clear there.
    Case({}, options={"tls": None}, route=("--tls", "implicit")),
]
# What was said in the clear counts for nothing once TLS is asked for: neither is it taken for an answer.
INJECTED = [Raw(b"220 go\r\n250 more\r\n"), Raw(b"220 go\r\n" + b"250-x\r\n250 y\r\n" * 3),
            Raw(b"220-go\r\n220 go\r\n\x16\x03"), Raw(b"220 go\r\n2")]
INJECTION = over_tls([Case({"starttls": action}) for action in INJECTED]) + over_tls(
    [Case({"starttls": action}) for action in INJECTED], "verify")

HELLO_OVER_TLS = over_tls(replies("ehlo_tls")[3:] + [
    Case({"ehlo_tls": "421 4.3.2 not now"}),
    Case({"ehlo_tls": "550 5.7.1 neither", "helo": "550 5.7.1 neither"}),
    Case({"ehlo_tls": "450 4.7.1 neither", "helo": "450 4.7.1 neither"}),
    Case({"secured": Drop()}),
    Case({"secured": Drop(reset=True)}),
    Case({"secured": Silence()}, timeouts=1),
    Case({"secured": Clear(b"250 in the clear\r\n")}),
    Case({"secured": Clear(ALERT)}),
])


def with_login(cases, policy="verify", mechanisms=("PLAIN",)):
    return over_tls([case._replace(options={"logins": {"me": "secret"}, "mechanisms": mechanisms, **case.options},
                                   route=LOGIN) for case in cases], policy)


AUTH = with_login(replies("auth") + [
    Case({"auth": "535 5.7.8 wrong"}),
    Case({"auth": "504 5.5.4 not this one"}),
    Case({"auth": "454 4.7.0 not now"}),
    Case({"auth": "534 5.7.9 too weak"}),
    Case({"auth": Challenges(b"more")}),
    Case({"auth": Endless(b"334 \r\n")}),
    Case({"auth": Raw(b"334 this is no base64!\r\n")}),
    Case({"auth": "334 " + "A" * 60000}),
    Case({}, options={"logins": {"me": "another"}}),
    Case({}, options={"logins": {"you": "secret"}}),
    Case({}, options={"logins": None}),
    Case({}, options={"mechanisms": ("GSSAPI", "XOAUTH2")}),
    Case({}, options={"mechanisms": ()}),
    Case({}, fate="here"),
]) + with_login([Case({}, options={"mechanisms": (name,)}, fate="here") for name in
                 ("SCRAM-SHA-256", "LOGIN", "CRAM-MD5")]) + with_login([
    # In the clear only by --tls none or may; these have no TLS.
    Case({}, options={"tls": None}, fate="here"),
], "none") + with_login([Case({}, options={"tls": None}, fate="here")], "may")
V_WRONG = "334 " + "dj1BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE9"  # v=AAA...
SCRAM = with_login([
    Case({"scram_final": V_WRONG}),
    Case({"scram_final": "235 2.7.0 believe me"}),
    Case({"scram_final": "334 ZT1pbnZhbGlkLXByb29m"}),  # e=invalid-proof
    Case({"scram_first": "235 2.7.0 no need for a proof"}),
    Case({"scram_first": "334 "}),
    Case({"scram_first": "334 cj1mb3JlaWduLHM9QUFBQSxpPTQwOTY="}),  # r=foreign,s=AAAA,i=4096
    Case({"scram_first": "535 5.7.8 no"}),
    Case({"scram_final": "535 5.7.8 no"}),
    Case({"scram_first": Silence()}, timeouts=1),
    Case({"scram_final": Drop()}),
], mechanisms=("SCRAM-SHA-256",))

TABLE = {
    "connect": CONNECT, "greeting": GREETING, "hello": HELLO, "starttls": STARTTLS, "injection": INJECTION,
    "handshake": HANDSHAKE, "certificate": CERTIFICATE, "implicit": IMPLICIT, "hello over TLS": HELLO_OVER_TLS,
    "auth": AUTH, "scram": SCRAM, "mail": MAIL, "rcpt": RCPT, "data": DATA, "body": BODY, "dot": DOT, "quit": QUIT,
}


class Bench:
    """One relayd and the peers of all cases of a stage."""

    def __init__(self, make_relayd, make_peer, folder, stage):
        self.make_peer, self.folder = make_peer, folder
        self.cases, self.seconds = TABLE[stage], LONGER.get(stage, SECONDS)
        self.authority = Authority(folder)
        self.contexts = {None: None}
        some_tls = any(case.options.get("tls") for case in self.cases)
        self.relayd = make_relayd(timeouts={"connect": f"{self.seconds}s", "remote_command": f"{self.seconds}s"},
                                  tls={"ca": self.authority.file} if some_tls else None)
        self.good, self.reports = make_peer(), make_peer()
        self.holes = []

    def context(self, what):
        if what not in self.contexts:
            self.contexts[what] = {
                "good": lambda: self.authority.server("127.0.0.1"),
                "other name": lambda: self.authority.server("127.0.0.2", "example.com"),
                "expired": lambda: self.authority.server("127.0.0.1", days=-1),
                "unknown authority": lambda: Authority(self.folder).server("127.0.0.1"),
                "self-signed": lambda: self_signed(self.folder, "127.0.0.1")[0],
            }[what]()
        return self.contexts[what]

    def peer(self, case):
        if case.kind == "blackhole":
            self.holes.append(Blackhole())
            return self.holes[-1]
        options = dict(case.options, tls=self.context(case.options.get("tls")))
        return self.make_peer(case.stages, up=case.kind != "refused", receive_buffer=65536 if case.octets else None,
                              **options)

    def stop(self):
        for hole in self.holes:
            hole.stop()


@pytest.fixture
def bench(make_relayd, make_peer, tmp_path, stage):
    made = Bench(make_relayd, make_peer, tmp_path, stage)
    yield made
    made.stop()


def named(case):
    words = [f"{stage}={getattr(action, '__dict__', action)!s:.50} ({type(action).__name__})"
             for stage, action in case.stages.items()]
    return " ".join(map(str, [*words, case.kind, case.options or "", *case.route]))


def routes_of(number, case, bad, good):
    """Both ways, in the words of routes.add."""
    policy = dict(zip(case.route[::2], case.route[1::2]))
    first = {"remote_host": bad.host, "remote_port": bad.port, "tls": policy.get("--tls")}
    if "-rl" in policy:
        first.update(remote_login=policy["-rl"], remote_password=policy["-rpwd"])
    both, alone = f"both{number}.example", f"alone{number}.example"
    return [dict(first, destination=both, priority=1), dict(first, destination=alone),
            {"destination": both, "priority": 2, "remote_host": good.host, "remote_port": good.port}]


def verdict(case, fate, port, alone, seconds):
    """What is wrong with this fate; None: nothing."""
    expected = case.fate
    event = {"next": "deferred" if alone else "delivered", "here": "delivered"}.get(expected, expected)
    if expected == "any":
        event = fate.event
    if fate.event != event:
        return f"{event} was expected"
    if fate["attempt"] != "1":
        return "one attempt was to be enough"
    if event == "delivered" and expected != "any" and fate["remote"].rpartition(":")[2] != str(port):
        return f"port {port} was expected"
    if not fate["status"].startswith(case.status if expected == "failed" else {"deferred": "4."}.get(event, "")):
        return "another status was expected"
    waited = int(fate["delay_ms"]) / 1000
    if waited < case.timeouts * seconds * 0.9:
        return f"{case.timeouts} timeouts were to pass"
    if waited > case.timeouts * seconds + SLACK:
        return f"it took longer than {case.timeouts} timeouts"
    return None


@pytest.mark.parametrize("stage", TABLE)
def test_stage(bench, stage):
    relayd, cases = bench.relayd, bench.cases
    peers = [bench.peer(case) for case in cases]
    with relayd.control() as control:
        routes = itertools.chain.from_iterable(
            routes_of(number, case, peer, bench.good) for number, (case, peer) in enumerate(zip(cases, peers)))
        rest = {"remote_host": bench.good.host, "remote_port": bench.good.port}
        control.call("routes.add", routes=[*routes, dict(rest, destination="other.example"), {
            "destination": "a.example", "remote_host": bench.reports.host, "remote_port": bench.reports.port}])
    sent = []
    for number, case in enumerate(cases):
        octets = LARGE_MESSAGE if case.octets else b"Subject: x\r\n\r\n"
        two = [f"one@both{number}.example", f"two@both{number}.example"]
        sent.append((relayd.send(octets, recipients=two), two,
                     relayd.send(octets, recipients=[f"x@alone{number}.example"]),
                     relayd.send(recipients=["y@other.example"])))
    wrong, deferred, failed = [], 0, 0
    for number, (case, peer, (first, two, second, other)) in enumerate(zip(cases, peers, sent)):
        port = bench.good.port if case.fate in ("next", "any") else peer.port
        for queue_id, address, alone in ((first, two[0], False), (first, two[1], False),
                                         (second, f"x@alone{number}.example", True)):
            fate = relayd.fate(queue_id, address)
            what = verdict(case, fate, port, alone, bench.seconds)
            if what:
                wrong.append(f"{named(case)}: {what}: {fate.event} {fate.fields}")
            failed += fate.event == "failed"
        deferred += relayd.fate(first, two[0]).event == "deferred"
        deferred += relayd.fate(second, f"x@alone{number}.example").event == "deferred"
        # Mail for others did not wait for any of it.
        waited = int(relayd.fate(other, "y@other.example")["delay_ms"])
        if waited > bench.seconds * 1000:
            wrong.append(f"{named(case)}: other mail took {waited} ms")
        if case.fate == "next" and any(message.accepted for message in getattr(peer, "messages", ())):
            wrong.append(f"{named(case)}: that peer has it, too")
    assert not wrong, "\n".join(wrong)
    relayd.wait(lambda: relayd.queued() == deferred, f"{deferred} messages wait")
    # Each recipient has one fate, each message with a recipient that failed one report.
    assert len(relayd.fates()) == len(cases) * 4 + len(bench.reports.taken)
    assert sum(message.sender == "" for message in bench.reports.taken) == failed * 2 // 3
    assert all(len(message.recipients) == 2 or message.recipients == ["y@other.example"]
               for message in bench.good.taken), "both recipients in one transaction"
