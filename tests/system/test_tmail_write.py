# SPDX-License-Identifier: GPL-3.0-or-later
"""
The verbs of tmail routes that write: set, move, enable, disable, add with a place or --if-absent, del,
batch, export, import and diff against a running relayd. As text and as JSON, what is told on a terminal,
exit codes, conflicts, all or nothing, places of what is wrong, passwords, quoting, unicode, round trips
of random tables, also after a restart and into an empty daemon.
"""
import csv
import io
import json
import os
import random
import subprocess
import threading

import pytest

from harness.places import PATIENCE, SANITIZED, TMAIL


class Tmail:
    def __init__(self, relayd):
        self.relayd = relayd

    def run(self, *words, stdin=None, **options):
        around = {**self.relayd.environment, "TMAIL_SOCKET": str(self.relayd.socket)}
        return subprocess.run([str(TMAIL), *map(str, words)], input=stdin, capture_output=True,
                              text=True, timeout=PATIENCE, env=around, cwd=self.relayd.folder,
                              **options)

    def __call__(self, *words, status=0, **options):
        """Standard output of `tmail routes WORDS`, which ends with that status."""
        done = self.run("routes", *words, **options)
        assert done.returncode == status, (words, done)
        if status == 0:
            assert done.stderr == "", (words, done)
        return done.stdout

    def refused(self, status, *words, **options):
        """What it says on standard error; standard output stays empty."""
        done = self.run("routes", *words, **options)
        assert (done.returncode, done.stdout) == (status, ""), (words, done)
        return done.stderr

    def json(self, *words, **options):
        return json.loads(self(*words, "-o", "json", **options))

    def table(self):
        """{id: fields}, of what a route is; not of what it does."""
        volatile = {"group_rank", "shared_with", "state", "rate_1m", "deferred_1h", "revision",
                    "changed_by"}
        return {row["id"]: {name: value for name, value in row.items() if name not in volatile}
                for row in self.json("list")["routes"]}

    def priorities(self):
        return {number: row["priority"] for number, row in self.table().items()}

    def revision(self):
        return self.json("list")["revision"]


@pytest.fixture
def tmail(relayd):
    return Tmail(relayd)


def group(tmail, *priorities, destination="gmail.com"):
    for number, priority in enumerate(priorities):
        tmail("add", "-q", "-d", destination, "-rh", f"out{number}.example", "-p", priority)


def written(reply):
    """{id: {field: (from, to)}} of a difference."""
    return {change["id"]: {field["field"]: (field["from"], field["to"]) for field in change["fields"]}
            for change in reply["changes"]}


# ---- set, enable, disable, del -------------------------------------------------------------------------

def test_set_changes_what_it_names(tmail):
    tmail("add", "-d", "a.org", "-rh", "x", "-rl", "l", "-rpwd", "p", "--comment", "one")
    assert tmail("set", 1, "-rp", 587, "-u", "Lea@B.org", "-p", 3) == ""
    row = tmail.table()[1]
    assert (row["remote_port"], row["user"], row["priority"], row["comment"], row["has_password"]) == \
        (587, "lea@b.org", 3, "one", True)
    reply = tmail.json("set", 1, "--clear", "user,comment", "-rp", 25)
    assert reply["schema"] == "tmail.difference/1" and reply["revision"] == 3
    assert written(reply) == {1: {"user": ("lea@b.org", None), "comment": ("one", None),
                                  "remote_port": (587, 25)}}
    # With the login goes its password; a password never shows.
    reply = tmail.json("set", 1, "--clear", "remote-login")
    assert written(reply)[1] == {"remote_login": ("l", None), "remote_password": ("********", None)}
    assert "already" not in tmail("set", 1, "-rp", 25)
    assert tmail.revision() == 4, "what is so already is no change"


@pytest.mark.parametrize("words, status, text", [
    (["set", "9", "-rp", "25"], 3, "no route 9"),
    (["set", "x", "-rp", "25"], 2, "x: a route id is a number"),
    (["set", "1"], 2, "set 1: there is nothing to set"),
    (["set", "1", "-rp", "0"], 5, "-rp 0: the port must be 1-65535"),
    (["set", "1", "-l", "192.0.2.1&192.0.2.2|192.0.2.3"], 5, "never both"),
    (["set", "1", "-rl", "login"], 5, "password"),
    (["set", "1", "--clear", "commen"], 2, "Did you mean 'comment'?"),
    (["set", "1", "--clear", "rh"], 2, "a route needs a remote host"),
    (["set", "1", "--clear", "comment", "--comment", "c"], 2, "the same command sets it"),
    (["set", "1", "--prority", "3"], 2, "Did you mean"),
    (["set", "1", "-rp", "26", "--expect-revision", "7"], 4, "revision 1"),
    (["enable", "1", "9"], 3, "no route 9"),
    (["move", "1"], 2, "where to?"),
    (["move", "1", "--up", "--down"], 2, "--up and --down: only one place is possible"),
    (["move", "1", "--before", "1"], 5, "beside itself"),
    (["move", "1", "--share", "9"], 3, "no route 9"),
    (["move", "9", "--first"], 3, "no route 9"),
    (["mov", "1", "--first"], 2, "Did you mean 'routes move'?"),
    (["add", "-rh", "h", "-p", "2", "--last"], 2, "only one of them says where the route goes"),
    (["add", "-rh", "h", "--before", "1"], 5, "not in the same group"),
    (["del", "-y", "1", "7"], 3, "no route 7"),
    (["batch", "nofile"], 2, "nofile: No such file"),
    (["import", "nofile"], 2, "nofile: No such file"),
    (["import", "--format", "xml", "-"], 2, "json, jsonl, csv or tsv"),
])
def test_refusals(tmail, words, status, text):
    tmail("add", "-d", "a.org", "-rh", "x")
    said = tmail.refused(status, *words)
    assert said.startswith("tmail: ") and text in said and said.count("\n") == 1
    problem = json.loads(tmail.refused(status, *words, "-o", "json"))
    assert problem["code"] == status and text in problem["message"]
    assert tmail.revision() == 1 and len(tmail.table()) == 1


def test_enable_disable_del(tmail):
    group(tmail, 1, 2, 3)
    tmail("disable", 1, 3)
    assert [row["enabled"] for row in tmail.table().values()] == [False, True, False]
    assert written(tmail.json("enable", 1, 2)) == {1: {"enabled": (False, True)}}
    assert tmail("add", "-d", "x.org", "-rh", "h", "--disabled").endswith(" - disabled\n")
    assert tmail("del", "-y", 1, 4, 1) == ""
    assert sorted(tmail.table()) == [2, 3]


def test_dry_run_changes_nothing(tmail):
    group(tmail, 1, 2)
    assert tmail("set", 1, "-p", 7, "--dry-run") == "~ route 1: priority 1 -> 7\n"
    assert tmail("del", 1, "--dry-run").startswith("- route 1: ")
    assert tmail("move", 2, "--first", "--dry-run") == \
        "~ route 1: priority 1 -> 2\n~ route 2: priority 2 -> 1\n"
    assert tmail("batch", "-", "--dry-run", stdin="del 1\nadd -rh h\n").splitlines()[0] == \
        "+ route 3: remote_host h"
    assert tmail.priorities() == {1: 1, 2: 2} and tmail.revision() == 2


# ---- order ---------------------------------------------------------------------------------------------

def test_move_writes_few(tmail):
    group(tmail, 10, 20, 30)
    assert written(tmail.json("move", 3, "--before", 2)) == {3: {"priority": (30, 15)}}
    assert written(tmail.json("move", 3, "--share", 1)) == {3: {"priority": (15, 10)}}
    assert written(tmail.json("move", 3, "--alone")) == {3: {"priority": (10, 15)}}
    assert written(tmail.json("move", 1, "--last")) == {1: {"priority": (10, 21)}}
    assert written(tmail.json("move", 1, "--last")) == {}
    tmail("set", 1, "-p", 1), tmail("set", 2, "-p", 2), tmail("set", 3, "-p", 3)
    assert written(tmail.json("move", 3, "--up")) == {3: {"priority": (3, 2)}, 2: {"priority": (2, 3)}}
    # The disabled one keeps its place, and others swap with it.
    tmail("disable", 3)
    assert written(tmail.json("move", 1, "--down")) == {1: {"priority": (1, 2)}, 3: {"priority": (2, 1)}}


def test_add_at_a_place(tmail):
    group(tmail, 1, 2)
    line = tmail("add", "-d", "gmail.com", "-rh", "new", "--first")
    assert line.startswith("3 - ") and line.count("\n") == 1, "its own line, not those of the others"
    assert tmail.priorities() == {1: 2, 2: 3, 3: 1}
    assert tmail("add", "-d", "gmail.com", "-rh", "last", "--last", "-o", "id") == "4\n"
    assert tmail.json("add", "-d", "gmail.com", "-rh", "y", "--share", 2)["routes"][0]["priority"] == 3
    assert tmail("add", "-d", "none.org", "-rh", "y", "--last").startswith("6 - Destination host: none")


def test_if_absent(tmail):
    line = tmail("add", "-d", "a.org", "-rh", "x", "-rl", "l", "-rpwd", "p")
    again = ["add", "-d", "A.ORG", "-rh", "x", "-rl", "l", "-rpwd", "other", "--if-absent"]
    assert tmail(*again) == line and tmail(*again, "-o", "id") == "1\n" and tmail(*again, "-q") == ""
    assert tmail.revision() == 1
    assert tmail(*again, "-p", 2).startswith("2 - ")


def test_a_move_beside_other_changes(tmail):
    """Each finds the table as the one before left it."""
    group(tmail, *range(1, 9))
    threads = [threading.Thread(target=tmail, args=("move", number, "--first")) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(tmail.priorities().values())) == 8


# ---- on a terminal -------------------------------------------------------------------------------------

def test_words_on_a_terminal(tmail, relayd):
    import pexpect

    def typed(line):
        child = pexpect.spawn("bash", ["-c", line], encoding="utf-8", timeout=PATIENCE, dimensions=(24, 120),
                              env={**relayd.environment, "TMAIL_SOCKET": str(relayd.socket), "TERM": "xterm",
                                   "PATH": f"{TMAIL.parent}:{os.environ['PATH']}"})
        child.expect(pexpect.EOF)
        child.close()
        return child.before.replace("\r\n", "\n")

    group(tmail, 1, 2)
    assert typed("tmail routes move 2 --up") == ("~ route 1: priority 1 -> 2 (revision 3)\n"
                                                 "~ route 2: priority 2 -> 1 (revision 3)\n")
    assert typed("tmail routes move 2 --up") == "it is so already: nothing was changed\n"
    assert typed("tmail routes disable -q 2") == ""
    assert "route 1 is there already" in \
        typed("tmail routes add -d gmail.com -rh out0.example -p 2 --if-absent")


# ---- batch ---------------------------------------------------------------------------------------------

def test_batch_is_one_change(tmail, relayd):
    secret = relayd.folder / "secret"
    secret.write_text("pass word\n")
    secret.chmod(0o600)
    out = tmail("batch", "-", "--note", "ticket 8841", stdin=f"""
        # routes for gmail
        tmail routes add -d gmail.com -rh a -rl 'my login' -rpwd @{secret}
        route add -d gmail.com -rh b -rl l -rpwd @route:+1 --first --comment "it's \\"quoted\\" # no comment"  # one

        set +1 -rp=587
        move +2 --after +1
        add -d xn--exmple-cua.fr -rh "b\u00fccher.example" --comment 'a, b'
        disable +3
        add -rh gone
        del +4\r
    """)
    assert [line.split(" - ")[0] for line in out.splitlines()] == ["1", "2", "3"]
    table = tmail.table()
    assert sorted(table) == [1, 2, 3]
    assert table[1]["remote_login"] == "my login" and table[1]["remote_port"] == 587
    assert table[2]["has_password"] and table[2]["comment"] == 'it\'s "quoted" # no comment'
    assert table[1]["priority"] < table[2]["priority"]
    assert table[3]["remote_host"] == "xn--bcher-kva.example" and not table[3]["enabled"]
    assert tmail.revision() == 1


BAD_BATCH = """add -d x.org -rh a -rp 70000
ad -d x.org
  add -d x.org -rh a -rl l -rpwd -
set 1 -rp 25 --note x
add -d 'x.org -rh a
list
add -d x.org
del 1 x
add -rh a -o json
"""


def test_batch_names_the_place(tmail, relayd):
    tmail("add", "-rh", "x")
    (relayd.folder / "bad").write_text(BAD_BATCH)
    said = tmail.refused(5, "batch", "bad").splitlines()
    assert [line.split(" ")[0] for line in said[:-1]] == [
        "bad:1:24:", "bad:2:1:", "bad:3:34:", "bad:4:14:", "bad:5:8:", "bad:6:1:", "bad:7:1:", "bad:8:7:",
        "bad:9:11:"]
    assert "Did you mean 'routes add'?" in said[1]
    assert "@FILE" in said[2] and "@fd:N" in said[2]
    assert said[-1] == "tmail: 9 lines are wrong; nothing was changed"

    (relayd.folder / "worse").write_text("del 1\nset 42 -rp 25\ndel 1\nadd -rh y\nmove +1 --before 1\n")
    said = tmail.refused(3, "batch", "worse").splitlines()
    assert said[:3] == ["worse:2:5: no route 42", "worse:3:5: no route 1", "worse:5:18: no route 1"]
    problem = json.loads(tmail.refused(3, "batch", "worse", "-o", "json"))
    assert [(row["line"], row["column"]) for row in problem["failures"]] == [(2, 5), (3, 5), (5, 18)]
    assert list(tmail.table()) == [1] and tmail.revision() == 1


def test_commands_recreate_the_table(tmail, make_relayd):
    tmail("add", "-d", "a.org", "-rh", "x", "--comment", "it's \"so\" # $HOME `x` \\ and é", "-u", "it's.me")
    tmail("add", "-d", "a.org", "-rh", "[2001:db8::1]", "-l", "192.0.2.1|192.0.2.2", "--tls", "none", "-w", 3)
    tmail("disable", 1)
    other = Tmail(make_relayd())
    other("batch", "-", stdin=tmail("export", "-o", "commands"))
    assert other.table() == tmail.table()


# ---- export, import, diff ------------------------------------------------------------------------------

WORDS = ["plain", "with space", "com,ma", 'quo"te', "it's", "tab-less", "été", "日本", "𝒳", "\\n", "=1+1", " lead",
         "trail ", "'", '""', "a\u00a0b", "-x", "@y", "#z"]


def random_row(dice):
    row = {"destination": dice.choice(["*", f"d{dice.randrange(99)}.example", ".sub.example", "exämple.fr",
                                       "[192.0.2.1]", "[IPv6:2001:db8::1]"]),
           "remote_host": dice.choice(["out.example", "192.0.2.9", "2001:db8::9", "bücher.example"]),
           "remote_port": dice.randrange(1, 65536), "priority": dice.randrange(1, 65536),
           "weight": dice.randrange(1, 1001)}
    if dice.random() < 0.3:
        row["local_ips"] = dice.choice(["192.0.2.1", "192.0.2.1|2001:db8::2", "192.0.2.1&192.0.2.2"])
    if dice.random() < 0.3:
        row["user"] = dice.choice(["lea", "lea@example.org", "example.org", "müller", "it's me"])
    if dice.random() < 0.3:
        row["mail_from"] = dice.choice(["Lea@example.org", "example.org", '"a b"@example.org'])
    if dice.random() < 0.3:
        row["remote_login"] = dice.choice(WORDS).strip() or "l"
        row["remote_password"] = dice.choice(WORDS)
    if dice.random() < 0.3:
        row["tls"] = dice.choice(["none", "may", "require", "verify", "implicit"])
    if dice.random() < 0.2:
        row["enabled"] = False
    if dice.random() < 0.5:
        row["comment"] = dice.choice(WORDS)
    return row


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "tsv"])
def test_round_trip(tmail, relayd, form):
    """Export, change everything, import: as it was, passwords and all."""
    dice = random.Random(form)
    rows = [random_row(dice) for _ in range(300 if SANITIZED else 5000)]
    tmail("import", "-", stdin="\n".join(json.dumps(row) for row in rows))
    table = tmail.table()
    assert len(table) == len(rows)
    assert [row["has_password"] for row in table.values()] == ["remote_login" in row for row in rows]
    text = tmail("export", "-o", form)
    kept = relayd.folder / "kept"
    kept.write_text(text, newline="")
    assert tmail("diff", kept) == ""
    revision = tmail.revision()
    assert tmail("import", kept) == "" and tmail.revision() == revision, "nothing to do"
    # What can be compared of the passwords: what the daemon keeps.
    ids = sorted(table)
    tmail("del", "-y", *dice.sample(ids[:100], 20), 1)
    tmail("disable", *[number for number in ids[100:200] if table[number]["enabled"]])
    tmail("import", "-", stdin="remote_host\nanother.example\n")
    tmail.run("routes", "diff", kept)
    with_login = [number for number, row in table.items() if row["has_password"]]
    here = set(tmail.table())
    again = tmail.refused(5, "import", "--prune", kept) if set(with_login) - here else ""
    assert "there is no password for the login" in again or not again
    # Those that were deleted with their password need it again.
    for number in set(with_login) - here:
        row = {name: value for name, value in rows[number - 1].items()}
        tmail("import", "-", stdin=json.dumps({"id": number, **row}))
    tmail("import", "--prune", kept)
    assert tmail.table() == table
    assert tmail("diff", kept) == ""
    relayd.restart()
    assert tmail.table() == table


def test_import_into_an_empty_daemon(tmail, make_relayd):
    """The ids come along, holes and all, and are not given out again."""
    group(tmail, *range(1, 30))
    tmail("del", "-y", 1, 5, 6, 20, 29)
    other = make_relayd()
    there = Tmail(other)
    there("import", "-", stdin=tmail("export"))
    assert there.table() == tmail.table()
    assert there("add", "-rh", "new", "-o", "id") == "29\n"
    table = there.table()
    other.kill()
    other.start()
    assert there.table() == table
    assert there("add", "-rh", "new", "-o", "id") == "30\n"


def test_import_sets_what_it_gives(tmail):
    tmail("add", "-d", "a.org", "-rh", "x", "--comment", "kept", "-rl", "l", "-rpwd", "p")
    reply = json.loads(tmail("import", "-", "-o", "json", stdin="remote_host,id,state,priority\r\ny,1,up,\r\nz,,,4"))
    assert (reply["schema"], reply["revision"]) == ("tmail.import/1", 2)
    assert (reply["added"], reply["changed"], reply["deleted"]) == (1, 1, 0)
    assert written(reply)[1] == {"remote_host": ("x", "y")}
    table = tmail.table()
    assert (table[1]["comment"], table[1]["has_password"], table[2]["priority"]) == ("kept", True, 4)
    # null is the default; a route that is not in the file stays but for --prune.
    tmail("import", "-", stdin=json.dumps([{"id": 1, "remote_host": "y", "comment": None}]))
    assert tmail.table()[1]["comment"] is None and 2 in tmail.table()
    tmail("import", "--prune", "-", stdin='{"routes": [{"id": 1, "remote_host": "y"}], "schema": "x"}')
    assert list(tmail.table()) == [1]
    assert tmail("import", "--prune", "--dry-run", "-", stdin="[]").startswith("- route 1: ")
    tmail("import", "--prune", "-", stdin="[]")
    assert tmail.table() == {}


def test_import_passwords(tmail, relayd):
    secret = relayd.folder / "secret"
    secret.write_text("from a file\n")
    secret.chmod(0o600)
    rows = [{"remote_host": "a", "remote_login": "l", "remote_password_from": f"@{secret}"},
            {"remote_host": "b", "remote_login": "l", "remote_password": "in clear"}]
    tmail("import", "-", stdin=json.dumps(rows))
    tmail("import", "-", stdin="remote_host,remote_login,remote_password_from\nc,l,@route:1\nd,l,2\n")
    assert all(row["has_password"] for row in tmail.table().values())
    secret.chmod(0o644)
    said = tmail.refused(2, "import", "-", stdin=json.dumps(rows))
    assert said.startswith("standard input:1:") and "others can read this file" in said
    said = tmail.refused(5, "import", "-", stdin="remote_host,remote_login\ne,l\n")
    assert "there is no password for the login" in said
    said = tmail.refused(3, "import", "-", stdin="remote_host,remote_login,remote_password_from\ne,l,77\n")
    assert "2:5: remote_password_from 77: no route 77 to copy a password from" in said
    for form in ("json", "jsonl", "csv", "tsv", "commands"):
        assert "from a file" not in tmail("export", "-o", form)


BAD_FILES = [
    ("id,destinatio,remote_host\n1,a,b\n", 2, "1:4: a route has no member 'destinatio'. Did you mean 'destination'?"),
    ("id,id,remote_host\n", 2, "1:4: the column id comes twice"),
    ("id,destination\n1,a\n", 2, "1:1: there is no column remote_host"),
    ("", 2, "1:1: there is no header"),
    ("remote_host,comment\nx,\"a\n", 2, "2:3: the quotes are not closed"),
    ("remote_host,comment\nx,\"a\"b\n", 2, "2:6: something follows the quotes"),
    ("remote_host,comment\nx\n", 2, "2:1: 1 values for 2 columns"),
    ("remote_host,comment\nx,y,z\n", 2, "2:5: more values than columns"),
    ("remote_host,comment\nx,\"a\nb\"\n", 5, "2:3: comment must be one line"),
    ("remote_host,comment\nx,é\x07\n", 5, "2:3: comment must be one line"),
    ("comment,remote_host,remote_port\né,x,70000\n", 5, "2:5: remote_port 70000: the port must be 1-65535"),
    ("remote_host\n\"\"\n", 5, "2:1: remote_host: a route needs a remote host"),
    ("id,remote_host\n3,x\n4,x\n3,y\n", 5, "4:1: id 3: the id 3 comes twice"),
    ("id,remote_host\nx,y\n", 5, "2:1: id x: a route id is a number"),
    ("remote_host,remote_password\ny,geheim\n", 5, "2:1: "),
    ('[{"remote_host":"x","prioity":3}]', 2, "1:21: a route has no member 'prioity'. Did you mean 'priority'?"),
    ('[{"remote_host":"x","priority":true}]', 2, "1:32: priority: a value of the wrong type"),
    ('[{"remote_host":"x","comment":{}}]', 2, "1:31: comment: a value of the wrong type"),
    ('[{"remote_host":"x",\n "priority":0}]', 5, "2:13: priority 0: the priority must be 1-65535"),
    ('[{"remote_host":"x"}', 2, "1:21: not JSON"),
    ('[{"remote_host":"x"}] x', 2, "1:23: something follows"),
    ('{"routes":[{"remote_host":"x"}]', 2, "not JSON"),
    ('{"remote_host":"x"}\n{"remote_host":"x" "id":1}\n', 2, "2:20: not JSON"),
    ('[{"destination":"x"}]', 5, "1:2: "),
    ('[{"remote_host":"x","remote_host":"y"}]', 2, "1:21: remote_host comes twice"),
    ('[{"remote_host":"x\\ud800"}]', 2, "not JSON: half a character"),
]


@pytest.mark.parametrize("text, status, said", BAD_FILES)
def test_bad_files(tmail, relayd, text, status, said):
    (relayd.folder / "f").write_text(text, newline="")
    problem = tmail.refused(status, "import", "f")
    assert said in problem and problem.startswith("f:"), problem
    assert problem.endswith("tmail: 1 row is wrong; nothing was changed\n")
    assert "geheim" not in problem
    assert tmail.refused(status, "diff", "f") == problem
    assert tmail.revision() == 0


def test_all_that_is_wrong_in_a_file(tmail, relayd):
    lines = ["remote_host,remote_port,comment"]
    for number in range(60):
        lines.append(f"x,{70000 if number % 2 else 25},{'a' + chr(7) if number % 10 == 4 else 'b'}")
    (relayd.folder / "f").write_text("\n".join(lines))
    said = tmail.refused(5, "import", "f").splitlines()
    places = [tuple(map(int, line.split(":")[1:3])) for line in said[:-1]]
    assert len(places) == 20 and places == sorted(places)
    assert places[:4] == [(3, 3), (5, 3), (6, 6), (7, 3)]
    assert said[-1] == "tmail: 36 rows are wrong, the first 20 of them are shown; nothing was changed"


def test_diff(tmail):
    tmail("add", "-d", "a.org", "-rh", "x")
    tmail("add", "-d", "b.org", "-rh", "x")
    text = "id,destination,remote_host\n1,a.org,y\n,c.org,z\n"
    assert tmail("diff", "-", status=1, stdin=text) == (
        "~ route 1: remote_host x -> y\n+ new route: destination c.org, remote_host z\n"
        "- route 2: destination b.org, remote_host x\n")
    reply = json.loads(tmail("diff", "-", "-o", "json", status=1, stdin=text))
    assert [(change["what"], change["id"]) for change in reply["changes"]] == [
        ("set", 1), ("add", None), ("delete", 2)]
    assert tmail("diff", "-q", "-", status=1, stdin=text) == ""
    assert tmail("diff", "-", stdin=tmail("export")) == ""
    assert tmail.revision() == 2


def test_a_long_difference_comes_in_pages(tmail):
    count = 3000 if SANITIZED else 25000
    text = "remote_host\n" + "".join(f"h{number}\n" for number in range(count))
    assert tmail("diff", "-", status=1, stdin=text).count("\n") == count
    tmail("import", "-", stdin=text)
    reply = json.loads(tmail("import", "--prune", "-", "-o", "json", stdin="[]"))
    assert reply["deleted"] == count and len(reply["changes"]) == 1000
    assert reply["left_out"] == count - 1000


def test_csv_of_others(tmail):
    """What spreadsheets write: a byte order mark, CRLF, everything quoted, empty lines."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerows([["remote_host", "comment"], ["x", 'a "b", c'], ["y", "日本"]])
    tmail("import", "-", stdin="\ufeff" + text.getvalue() + "\r\n\r\n")
    assert [row["comment"] for row in tmail.table().values()] == ['a "b", c', "日本"]


def test_import_while_the_table_changes(tmail):
    """One change beside the others: each is whole, and the import takes nothing back that it does not name."""
    tmail("add", "-rh", "first")
    count = 2000 if SANITIZED else 60000
    text = "destination,remote_host\n" + "".join(f"d{number}.org,h\n" for number in range(count))
    thread = threading.Thread(target=tmail, args=("import", "-"), kwargs={"stdin": text})
    thread.start()
    for number in range(30):
        tmail("set", 1, "--comment", f"c{number}")
    thread.join()
    assert len(tmail.json("list")["routes"]) == count + 1
    assert tmail.revision() == 32
    assert tmail.json("get", 1)["routes"][0]["comment"] == "c29"


def test_an_import_that_is_given_up(tmail, relayd):
    """Pieces of it have come when the console goes: nothing is changed."""
    import socket
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(relayd.socket))
        lines = "".join(f"h{number}\n" for number in range(20000))
        for _ in range(3):
            request = {"jsonrpc": "2.0", "id": 1, "method": "routes.import",
                       "params": {"columns": ["remote_host"], "lines": lines, "more": True}}
            sock.sendall(json.dumps(request).encode() + b"\n")
        assert sock.recv(1)
    tmail("add", "-rh", "x")
    assert len(tmail.table()) == 1


def test_help_of_each_verb(tmail):
    for verb in ("add", "set", "del", "move", "enable", "disable", "batch", "export", "import", "diff"):
        text = tmail(verb, "--help")
        assert text.startswith(f"tmail routes {verb} - ") and text.count(f"  tmail routes {verb} ") >= 1
        assert "Exit codes:" in text and max(map(len, text.splitlines())) <= 80
