# SPDX-License-Identifier: GPL-3.0-or-later
"""
Revisions, by random changes and a model of the table that knows nothing but what the daemon answered: each
revision can be listed as it was, also after kills; undo of any of them is its reverse, or a conflict that
leaves no trace; what only describes or fails makes none.
"""
import os
import random

from harness.control import Refused

CHANGES = int(os.environ.get("REVISIONS_CHANGES", 250))
CONFLICT, NOT_FOUND, REFUSED = 4, 3, 5
STORED = ("id", "destination", "user", "mail_from", "priority", "weight", "remote_host", "remote_port", "local_ips",
          "remote_login", "has_password", "tls", "enabled", "comment")


def stored(routes):
    return {route["id"]: {name: route[name] for name in STORED} for route in routes}


def table(control, **params):
    listed = control.call("routes.list", limit=10000, **params)
    return listed["revision"], stored(listed["routes"])


class Random:
    """One change after the other; what the table was at each revision."""

    def __init__(self, control, source):
        self.control, self.source = control, source
        revision, routes = table(control)
        self.at = {revision: routes}
        self.revision = revision
        self.conflicts = 0

    def some(self, most=4):
        ids = sorted(self.at[self.revision])
        return self.source.sample(ids, min(len(ids), self.source.randint(1, most)))

    def route(self):
        return {"destination": self.source.choice(["a.example", "b.example", "*"]), "remote_host": "192.0.2.1",
                "priority": self.source.randint(1, 4)}

    def change(self):
        """(method, parameters)"""
        ids = sorted(self.at[self.revision])
        kinds = ["add"] if len(ids) < 3 else ["add", "many", "set", "set", "del", "move", "enable", "disable", "batch",
                                                "undo", "undo", "wrong"]
        kind = self.source.choice(kinds)
        one = self.source.choice(ids) if ids else None
        if kind == "add":
            return "routes.add", {"route": self.route()}
        if kind == "many":
            return "routes.add", {"routes": [self.route() for _ in range(5)]}
        if kind == "set":
            return "routes.set", {"id": one, "route": self.source.choice([
                {"priority": self.source.randint(1, 9)}, {"comment": f"c{self.revision}"},
                {"remote_login": "me", "remote_password": "secret"}, {"weight": self.source.randint(1, 9)}])}
        if kind == "move":
            return "routes.move", {"id": one, "to": self.source.choice(["first", "last"])}
        if kind in ("del", "enable", "disable"):
            return f"routes.{kind}", {"ids": self.some()}
        if kind == "batch":
            return "routes.batch", {"commands": [
                {"verb": "add", "route": self.route()}, {"verb": "set", "id": one, "route": {"comment": "batch"}}]}
        if kind == "undo":
            return "routes.undo", {"revision": self.source.choice(sorted(self.at)[1:])}
        # Refused as a whole: the last of them is wrong.
        return "routes.add", {"routes": [self.route(), dict(self.route(), remote_port=0)]}

    def step(self):
        method, params = self.change()
        dry = self.source.random() < 0.15
        if dry:
            params["dry_run"] = True
        try:
            answer = self.control.call(method, **params)
        except Refused as why:
            assert why.args[0]["code"] in (CONFLICT, NOT_FOUND, REFUSED), (method, params, why)
            self.conflicts += why.args[0]["code"] == CONFLICT
            answer = None
        revision, routes = table(self.control)
        if answer is None or dry or revision == self.revision:
            assert (revision, routes) == (self.revision, self.at[self.revision]), (method, params)
            return
        assert revision == self.revision + 1 == answer["revision"], (method, params, answer)
        if method == "routes.undo":
            self.check_undo(params["revision"], routes)
        self.at[revision], self.revision = routes, revision

    def check_undo(self, undone, routes):
        """What that revision has changed is as it was before it; all else is as it is now."""
        now = self.at[self.revision]
        before, after = self.at[undone - 1], self.at[undone]
        for number in {*before, *after}:
            old, new = before.get(number), after.get(number)
            if old is None or new is None:
                if old != new:
                    assert routes.get(number) == old, (undone, number)
                continue
            for name in STORED:
                expected = old[name] if old[name] != new[name] else now[number][name] if number in now else None
                if number in now:
                    assert routes[number][name] == expected, (undone, number, name)
        for number in now:
            if number not in before and number not in after:
                assert routes[number] == now[number]


def test_every_revision_as_it_was(relayd):
    seed = os.environ.get("REVISIONS_SEED") or str(random.SystemRandom().randrange(1 << 32))
    print(f"REVISIONS_SEED={seed}")
    source = random.Random(seed)
    with relayd.control() as control:
        changes = Random(control, source)
        for _ in range(CHANGES):
            changes.step()
    relayd.kill()
    relayd.start()
    with relayd.control() as control:
        assert table(control) == (changes.revision, changes.at[changes.revision])
        for revision in sorted(changes.at):
            _, routes = table(control, at=revision)
            assert routes == changes.at[revision], f"at revision {revision}"
        told = []
        while told[-1:] != [1]:
            page = control.call("routes.log", after=told[-1] if told else 0)["changes"]
            told += [entry["revision"] for entry in page]
        assert told == sorted(changes.at, reverse=True)[:-1]
    print(f"{changes.revision} revisions, {changes.conflicts} conflicts")
    assert changes.revision > CHANGES // 4


def test_what_was_undone_by_hand_is_not_undone_again(relayd):
    """A timed change whose reverse somebody has made already: nothing waits for its time any more."""
    with relayd.control() as control:
        control.call("routes.add", route={"destination": "timed.example", "remote_host": "192.0.2.1"},
                     confirm_within_ms=1000)
        control.call("routes.undo")
        # The next one that is timed comes to its time behind the first.
        control.call("routes.add", route={"destination": "next.example", "remote_host": "192.0.2.2"},
                     confirm_within_ms=1500)
        relayd.wait(lambda: not control.call("routes.list")["routes"], "the second is undone")
        told = control.call("routes.log")["changes"]
    assert [entry["undoes"] for entry in told] == [3, None, 1, None]
