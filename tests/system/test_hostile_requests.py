# SPDX-License-Identifier: GPL-3.0-or-later
"""
The control socket, every method with params of any kind: each request is answered once, by a result or by one
of the documented errors, never by "an error of relayd"; the table stays one that the daemon starts with.

HOSTILE_REQUESTS and HOSTILE_SEED (environment) change how long and repeat what was.
"""
import os
import random

from harness.control import Refused
from harness.places import SANITIZED

REQUESTS = int(os.environ.get("HOSTILE_REQUESTS", 1500 if SANITIZED else 4000))
# relayd-control(7), Errors; 70 is a bug.
KNOWN = {2, 3, 4, 5, 10, -32602}

CHANGE = ("note", "expected_revision", "dry_run", "confirm_within_ms")
METHODS = {
    "queue.count": (), "queue.list": ("after", "limit"),
    "routes.add": ("route", "routes", "if_absent", "to", "other", *CHANGE), "routes.batch": ("commands", *CHANGE),
    "routes.confirm": (), "routes.del": ("ids", *CHANGE), "routes.diff": ("columns", "lines", "more", "prune", "from"),
    "routes.disable": ("ids", *CHANGE), "routes.enable": ("ids", *CHANGE),
    "routes.explain": ("recipient", "sender", "login"), "routes.get": ("id",),
    "routes.import": ("columns", "lines", "more", "prune", *CHANGE),
    "routes.list": ("after", "limit", "form", "filter", "sort", "cursor", "at"),
    "routes.log": ("id", "after", "limit"), "routes.move": ("id", "to", "other", *CHANGE),
    "routes.set": ("id", "route", *CHANGE), "routes.check": ("after", "limit", "routes"),
    "routes.stats": ("after", "limit", "filter", "all"), "routes.health": (), "routes.undo": ("revision", *CHANGE),
    "server.status": (), "server.version": (), "server.nothing": ("x",), "": (),
}
MEMBERS = ("id", "destination", "user", "mail_from", "priority", "weight", "remote_host", "remote_port", "local_ips",
           "remote_login", "remote_password", "remote_password_from", "tls", "enabled", "comment", "state", "nonsense")
WORDS = [
    "", "*", "a.example", ".example", "*.example", "[192.0.2.1]", "[IPv6:::1]", "192.0.2.1", "::1", "x" * 300,
    "ä.example", "a\nb", "\x1b[2J", "me@x.example", "@", "<>", "-1", "0", "1", "25", "65536", "1e3",
    "99999999999999999999", "first", "last", "before", "after", "share", "alone", "up", "down", "none", "verify",
    "implicit", "lines", "objects", "to:*.example via:out* -user:x prio>2", "prio>", "(((", "|", "-",
    "rate>1 defer>5%", "id,-priority", "id\tremote_host", "1\ta.example\n2\tb.example\n", "\x1a", "+1",
    "127.0.0.1|127.0.0.2", "127.0.0.1&127.0.0.2|127.0.0.3", "%s%n", "\ud7ff",
]
NUMBERS = [0, 1, 2, 3, 25, -1, 1000, 65535, 65536, 2**31, 2**53, 2**63 - 1, -2**63, 1.5, -0.0, 1e300]


def anything(source, deep=0):
    kind = source.random()
    if kind < 0.35:
        return source.choice(WORDS)
    if kind < 0.65:
        return source.choice(NUMBERS)
    if kind < 0.75:
        return source.choice([None, True, False])
    if deep > 3:
        return []
    if kind < 0.87:
        return [anything(source, deep + 1) for _ in range(source.choice((0, 1, 2, 5)))]
    return {source.choice([*MEMBERS, *WORDS]): anything(source, deep + 1) for _ in range(source.choice((0, 1, 3)))}


def route(source):
    """Often one that is good."""
    made = {"remote_host": "192.0.2.1"} if source.random() < 0.8 else {}
    for name in source.sample(MEMBERS, source.choice((0, 1, 2, 3))):
        made[name] = anything(source) if source.random() < 0.5 else source.choice(WORDS + NUMBERS)
    return made


def likely(source, name):
    """A value of the kind that is wanted, most times."""
    if source.random() < 0.25:
        return anything(source)
    if name == "route":
        return route(source)
    if name == "routes":
        return [route(source) for _ in range(source.choice((0, 1, 2, 5)))]
    if name == "commands":
        return [{"verb": source.choice(("add", "set", "del", "move", "enable", "disable", "undo", 7)),
                 **{key: likely(source, key) for key in source.sample(("route", "id", "ids", "to", "other"), 2)}}
                for _ in range(source.choice((0, 1, 3)))]
    if name == "ids":
        return [source.choice((1, 2, 3, 4, 5, "+1", 10**9)) for _ in range(source.choice((0, 1, 2)))]
    if name in ("id", "other", "revision", "at", "after", "limit"):
        return source.choice((1, 2, 3, 5, *NUMBERS))
    if name == "columns":
        return source.sample(MEMBERS, source.choice((0, 1, 3)))
    if name in ("more", "prune", "dry_run", "if_absent", "all"):
        return source.choice((True, False))
    return source.choice(WORDS)


def test_hostile_requests(relayd):
    seed = os.environ.get("HOSTILE_SEED") or str(random.SystemRandom().randrange(1 << 32))
    print(f"HOSTILE_SEED={seed}")
    source = random.Random(seed)
    good = 0
    with relayd.control() as control:
        control.call("routes.add", routes=[{"destination": f"d{n}.example", "remote_host": "192.0.2.1"}
                                           for n in range(5)])
        for _ in range(REQUESTS):
            method = source.choice(list(METHODS))
            names = METHODS[method]
            params = {name: likely(source, name) for name in names if source.random() < 0.6}
            if source.random() < 0.05:
                params[source.choice(WORDS)] = anything(source)
            # No change that waits for its time: the test would have to wait, too.
            params.pop("confirm_within_ms", None) if source.random() < 0.9 else None
            try:
                control.call(method, **params)
                good += 1
            except Refused as why:
                code = why.args[0]["code"]
                assert code in KNOWN or (code == -32601 and method in ("server.nothing", "")), (method, params, why)
                assert why.args[0]["message"], (method, params)
        lines = control.call("routes.list", limit=10000, form="lines")
    assert good > REQUESTS // 20
    relayd.kill()
    relayd.start()
    with relayd.control() as control:
        now = control.call("routes.list", limit=10000, form="lines")
        assert (now["revision"], now["lines"]) == (lines["revision"], lines["lines"])
    print(f"{good} of {REQUESTS} were answered by a result")
