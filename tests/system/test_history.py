# SPDX-License-Identifier: GPL-3.0-or-later
"""
The changes of routes, as whole programs keep and show them: log, undo, list --at, conditions, timed
changes, each across kill -9 and restarts; more than ten thousand changes, and an import of many
routes; no password anywhere; damage to the history costs no route.
"""
import json
import random
import threading
import time

import pytest

from harness.control import Refused
from harness.waiting import until

SECRET = "correct horse"


def said(relayd, *words, status):
    """What tmail says when it fails with that code; standard output stays empty."""
    done = relayd.tmail("routes", *words, status=None)
    assert done.returncode == status, done
    assert done.stdout == ""
    return done.stderr


def log_of(relayd, *words):
    return relayd.tmail_json("routes", "log", *words)["changes"]


def remotes(relayd, *words):
    return [route["remote_host"] for route in relayd.tmail_json("routes", "list", *words)["routes"]]


def got(relayd, route_id):
    [route] = relayd.tmail_json("routes", "get", route_id)["routes"]
    return route


def history(relayd):
    return sorted(relayd.state_dir.glob("routes.history.*"))


def kill_and_start(relayd):
    relayd.kill()
    relayd.start()


# ---- log, undo, at ---------------------------------------------------------------------------------

def test_log_undo_and_at(relayd):
    relayd.tmail("routes", "add", "-d", "a.example", "-rh", "one.example", "--note", "ticket 8841")
    relayd.tmail("routes", "set", "1", "-p", "3")
    relayd.tmail("routes", "add", "-d", "b.example", "-rh", "two.example", "-rl", "me", "-rpwd", "-", input=SECRET)
    relayd.tmail("routes", "del", "1")
    text = relayd.tmail("routes", "log")
    assert [line.split(" - ")[0] for line in text.splitlines() if not line.startswith("  ")] == ["4", "3", "2", "1"]
    assert "  ~ route 1: priority 1 -> 3\n" in text
    assert " - ticket 8841\n" in text
    assert [change["revision"] for change in log_of(relayd, "1")] == [4, 2, 1]
    assert [change["revision"] for change in log_of(relayd, "--limit", "2")] == [4, 3]
    assert log_of(relayd)[2]["changes"] == [
        {"what": "set", "id": 1, "fields": [{"field": "priority", "from": 1, "to": 3}]}]

    for _ in range(2):
        assert remotes(relayd, "--at", "0") == []
        assert remotes(relayd, "--at", "2") == ["one.example"]
        assert remotes(relayd, "--at", "3") == ["one.example", "two.example"]
        assert remotes(relayd, "--at", "3", "to:b.example") == ["two.example"]
        assert remotes(relayd, "--at", "3", "--limit", "1") == ["one.example"]
        assert remotes(relayd, "--at", "3", "--sort", "-id") == ["two.example", "one.example"]
        assert relayd.tmail("routes", "list", "--at", "3", "-o", "id") == "1\n2\n"
        assert "there is no revision 99 yet" in said(relayd, "list", "--at", "99", status=3)
        kill_and_start(relayd)

    # The route comes back under its id, with the field that it had; then the field goes back, too.
    relayd.tmail("routes", "undo", "4")
    assert relayd.tmail("routes", "list").splitlines()[0].startswith("1 - Destination host: a.example - Prority: 3")
    assert log_of(relayd, "--limit", "1")[0]["note"] == "undo of 4"
    relayd.tmail("routes", "undo", "2", "--note", "not so")
    assert got(relayd, 1)["priority"] == 1
    assert log_of(relayd, "--limit", "1")[0]["note"] == "not so"
    assert "route 1 has changed since in priority" in said(relayd, "undo", "2", status=4)
    assert "no revision 77 yet" in said(relayd, "undo", "77", status=3)
    # Without a number: the last one. Dry: nothing.
    assert relayd.tmail("routes", "undo", "--dry-run") == "~ route 1: priority 1 -> 3\n"
    relayd.tmail("routes", "undo")
    assert got(relayd, 1)["priority"] == 3


def test_no_password_is_shown(relayd):
    relayd.tmail("routes", "add", "-rh", "a.example", "-rl", "me", "-rpwd", "-", input=SECRET)
    relayd.tmail("routes", "set", "1", "-rpwd", "-", input=SECRET + " battery")
    relayd.tmail("routes", "del", "1")
    shown = []
    for _ in range(2):
        for form in "text", "table", "wide", "json", "jsonl", "csv":
            shown.append(relayd.tmail("routes", "log", "-o", form))
            shown.append(relayd.tmail("routes", "list", "--at", "2", "-o", form))
        shown.append(relayd.tmail("routes", "undo", "--dry-run", "-o", "json"))
        relayd.wait(lambda: history(relayd), "a history")
        kill_and_start(relayd)
    assert SECRET not in "".join(shown) + relayd.log()
    assert "********" in shown[0]
    for path in history(relayd):
        assert path.stat().st_mode & 0o777 == 0o600
    # And it is there again.
    relayd.tmail("routes", "undo")
    assert got(relayd, 1)["has_password"] is True


def test_refusals_say_who(relayd):
    relayd.tmail("routes", "add", "-rh", "a.example")
    relayd.tmail("routes", "add", "-rh", "b.example")
    relayd.tmail("routes", "del", "1")
    for words in ("del", "1"), ("get", "1"), ("set", "1", "-p", "2"), ("enable", "1"), ("move", "1", "--first"):
        message = said(relayd, *words, status=3)
        assert "no route 1 (deleted by " in message, message
        assert " in rev 3; 'tmail routes undo 3' brings it back)" in message, message
    assert said(relayd, "del", "9", status=3).strip() == "tmail: no route 9"
    message = said(relayd, "set", "2", "-p", "2", "--expect-revision", "1", status=4)
    assert "at revision 3, not 1: revision 2 by " in message and "(route 1)" in message
    relayd.tmail("routes", "set", "2", "-p", "2", "--expect-revision", "3")


# ---- timed changes ---------------------------------------------------------------------------------

@pytest.mark.parametrize("checkpointed", [False, True])
def test_undone_while_nobody_was_there(relayd, checkpointed):
    relayd.tmail("routes", "add", "-rh", "stays.example")
    relayd.tmail("routes", "add", "-rh", "goes.example", "--confirm-within", "3s")
    status = relayd.tmail_json("status")
    assert status["confirm_revision"] == 2 and status["confirm_by"]
    assert "to confirm   revision 2 until " in relayd.tmail("status")
    assert "revision 2 waits to be confirmed" in said(relayd, "add", "-rh", "x.example", "--confirm-within", "1h",
                                                      status=4)
    relayd.tmail("routes", "set", "1", "--comment", "made meanwhile")
    if checkpointed:
        relayd.wait(lambda: (relayd.state_dir / "routes.gdbm").exists(), "a checkpoint")
    kill_and_start(relayd)
    assert remotes(relayd) == ["stays.example", "goes.example"]
    relayd.kill()
    time.sleep(3)           # the time it is about
    relayd.start()
    assert remotes(relayd) == ["stays.example"]
    assert got(relayd, 1)["comment"] == "made meanwhile"
    last = log_of(relayd, "--limit", "1")[0]
    assert (last["user"], last["undoes"]) == ("relayd", 2)
    assert relayd.tmail_json("status")["confirm_revision"] is None
    assert "no change waits" in said(relayd, "confirm", status=3)
    kill_and_start(relayd)
    assert remotes(relayd) == ["stays.example"]


def test_undone_at_its_time_or_kept(relayd):
    relayd.tmail("routes", "add", "-rh", "goes.example", "--confirm-within", "1s")
    until(lambda: remotes(relayd) == [], "the route has gone")
    relayd.tmail("routes", "add", "-rh", "stays.example", "--confirm-within", "2s")
    relayd.tmail("routes", "confirm")
    relayd.kill()
    time.sleep(2)
    relayd.start()
    assert remotes(relayd) == ["stays.example"]
    assert "is a time like" in said(relayd, "add", "-rh", "x.example", "--confirm-within", "soon", status=2)


# ---- many ------------------------------------------------------------------------------------------

def set_comments(relayd, route_id, numbers):
    """One connection's share: a change for each number."""
    with relayd.control() as control:
        control.call_many("routes.set", [{"id": route_id, "route": {"comment": f"c{number}"}, "note": f"n{number}"}
                                         for number in numbers])


def comments_at(changes, revision, now):
    """What list --at has to show: the present comments, and the changes behind that revision taken back."""
    comments = dict(now)
    for change in changes:
        if change["revision"] > revision:
            [step] = change["changes"]
            comments[step["id"]] = step["fields"][0]["from"]
    return comments


def listed_comments(relayd, *words):
    return {route["id"]: route["comment"] for route in relayd.tmail_json("routes", "list", *words)["routes"]}


def test_more_than_ten_thousand_changes(relayd):
    """Twice as many as have to be kept, from eight consoles at a time, with checkpoints between."""
    routes, rounds, share = 8, 7, 400
    for number in range(routes):
        relayd.tmail("routes", "add", "-rh", f"r{number}.example")
    last = routes
    for number in range(rounds):
        threads = [threading.Thread(target=set_comments, args=(relayd, route_id, range(number * share, (number + 1) * share)))
                   for route_id in range(1, routes + 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        last += routes * share
        relayd.wait(lambda: (relayd.state_dir / "routes.journal").stat().st_size < 1000, "the journal is cut")
    for _ in range(2):
        kill_and_start(relayd)
        changes = log_of(relayd)
        revisions = [change["revision"] for change in changes]
        assert revisions == list(range(last, last - len(changes), -1))
        assert len(changes) >= 10_000
        assert len(history(relayd)) <= 4
        assert revisions[-1] > routes + 1, "the oldest ones are not kept"
        # Each console's own changes are in the order in which it made them.
        for route_id in range(1, routes + 1):
            notes = [change["note"] for change in changes if change["changes"][0]["id"] == route_id]
            assert notes == [f"n{number}" for number in range(rounds * share - 1, rounds * share - 1 - len(notes), -1)]
        now = listed_comments(relayd)
        assert set(now.values()) == {f"c{rounds * share - 1}"}
        for revision in (last, last - 1, last - 5_000, last - 10_000, revisions[-1] - 1):
            assert listed_comments(relayd, "--at", str(revision)) == comments_at(changes, revision, now)
    assert "is not kept any more" in said(relayd, "list", "--at", "3", status=3)
    assert "is not kept any more" in said(relayd, "undo", "9", status=3)
    # What an old change touched was changed since.
    assert "has changed since in comment" in said(relayd, "undo", str(last - 9_000), status=4)
    relayd.tmail("routes", "undo")
    assert sorted(set(listed_comments(relayd).values())) == [f"c{rounds * share - 2}", f"c{rounds * share - 1}"]


def test_an_import_and_its_undo(relayd, tmp_path):
    many = 50_000
    rows = tmp_path / "routes.csv"
    rows.write_text("destination,remote_host\n" + "".join(f"d{n}.example,r{n % 7}.example\n" for n in range(many)))
    relayd.tmail("routes", "add", "-rh", "there.before")
    relayd.tmail("routes", "import", rows, "--timeout", "60")
    relayd.wait(lambda: (relayd.state_dir / "routes.journal").stat().st_size < 1000, "the journal is cut", 120)
    assert sum(path.stat().st_size for path in history(relayd)) < 20 * many
    change = log_of(relayd, "--limit", "1")[0]
    assert (change["added"], len(change["changes"]), change["left_out"]) == (many, 20, many - 20)
    assert f"  {many} added\n" in relayd.tmail("routes", "log", "--limit", "1")
    assert remotes(relayd, "--at", "1") == ["there.before"]
    relayd.tmail("routes", "undo", "2", "--timeout", "60")
    assert remotes(relayd) == ["there.before"]
    relayd.tmail("routes", "undo", "--timeout", "60")
    assert len(remotes(relayd)) == many + 1
    assert len(relayd.tmail("routes", "list", "--at", "2").splitlines()) == many + 1
    kill_and_start(relayd)
    assert len(remotes(relayd, "--at", "2")) == many + 1
    assert remotes(relayd, "--at", "3") == ["there.before"]


# ---- kill -9 ---------------------------------------------------------------------------------------

class Writer(threading.Thread):
    """Adds, sets and deletes until the daemon goes; what was reported as done, by revision."""

    def __init__(self, relayd, seed):
        super().__init__()
        self.control = relayd.control()
        self.random = random.Random(seed)
        self.done = {}
        self.ids = []

    def run(self):
        try:
            while True:
                self.change()
        except (EOFError, ConnectionError, OSError):
            pass

    def change(self):
        what = self.random.choice(["add", "set", "del"]) if self.ids else "add"
        if what == "add":
            result = self.control.call("routes.add", route={"remote_host": "new.example"})
            self.ids.append(result["routes"][0]["id"])
            self.done[result["revision"]] = ("add", self.ids[-1])
            return
        route_id = self.random.choice(self.ids)
        if what == "set":
            host = f"h{self.random.randrange(10**9)}.example"
            result = self.control.call("routes.set", id=route_id, route={"remote_host": host})
        else:
            result = self.control.call("routes.del", ids=[route_id])
            self.ids.remove(route_id)
        self.done[result["revision"]] = ({"set": "set", "del": "delete"}[what], route_id)


def test_nothing_reported_is_missing_after_a_kill(relayd):
    """Killed at moments of its checkpoints, too: each reported change is in the log, once, and can be gone back
    behind."""
    done, ids = {}, []
    for seed in range(8):
        writer = Writer(relayd, seed)
        writer.ids = ids
        writer.start()
        time.sleep(random.Random(seed).uniform(0.3, 3.2))     # a checkpoint comes 2 s after a change
        relayd.kill()
        writer.join()
        done.update(writer.done)
        relayd.start()
        present = {route["id"] for route in relayd.tmail_json("routes", "list")["routes"]}
        # One change may have been made without having been reported.
        assert len(present ^ set(ids)) <= 1
        ids = sorted(present)
        changes = {change["revision"]: change for change in log_of(relayd)}
        first, last = min(changes), max(changes)
        assert len(changes) == last - first + 1
        assert len(changes) >= min(last, 10_000)
        for revision, (what, route_id) in done.items():
            if revision < first:
                continue
            [step] = changes[revision]["changes"]
            assert (step["what"], step["id"]) == (what, route_id)
        # Ten changes back, and as far as it goes.
        there = present
        for revision in range(last, first - 1, -1):
            [step] = changes[revision]["changes"]
            if step["what"] == "delete":
                there = there | {step["id"]}
            elif step["what"] == "add":
                there = there - {step["id"]}
            if revision in (first, last - 9):
                done_at = relayd.tmail("routes", "list", "--at", revision - 1, "-o", "json", status=None)
                # A checkpoint may have dropped the oldest since the log was read.
                if done_at.returncode == 3 and last - revision >= 10_000:
                    continue
                at = json.loads(done_at.stdout)["routes"]
                assert {route["id"] for route in at} == there


def test_damage_to_the_history_costs_no_route(relayd):
    for number in range(5):
        relayd.tmail("routes", "add", "-rh", f"r{number}.example")
    relayd.stop()
    [path] = history(relayd)
    octets = bytearray(path.read_bytes())
    octets[len(octets) // 2] ^= 1
    path.write_bytes(octets)
    relayd.start()
    assert len(remotes(relayd)) == 5
    [line] = relayd.lines("routes-history-set-aside")
    assert str(path) in line["file"] and "is damaged at offset" in line["why"]
    assert path.with_suffix(path.suffix + ".aside").exists()
    assert "no change is kept" in said(relayd, "undo", status=3)
    relayd.tmail("routes", "add", "-rh", "later.example")
    relayd.tmail("routes", "undo")
    assert len(remotes(relayd)) == 5


def test_a_full_disk_loses_no_history(relayd):
    """The history can't be written: the journal is kept until it can."""
    relayd.tmail("routes", "add", "-rh", "a.example")
    blocker = relayd.state_dir / "routes.history.new"
    blocker.mkdir()
    relayd.tmail("routes", "add", "-rh", "b.example")
    relayd.wait_log("routes-history-failed")
    journal = relayd.state_dir / "routes.journal"
    assert b"b.example" in journal.read_bytes()
    assert len(log_of(relayd)) == 2
    blocker.rmdir()
    relayd.restart()
    assert len(log_of(relayd)) == 2
    with pytest.raises(Refused, match="no change waits"), relayd.control() as control:
        control.call("routes.confirm")
