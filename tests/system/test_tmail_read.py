# SPDX-License-Identifier: GPL-3.0-or-later
"""
The verbs of `tmail routes` that read the table: list with filters, sorting and a bound; get; every output
format; stats and health after real deliveries; check, of the table and of files.
"""
import csv
import io
import json
import random

import pytest

from harness.control import Refused

RECORD = ["id", "destination", "user", "mail_from", "priority", "weight", "remote_host", "remote_port",
          "local_ips", "remote_login", "has_password", "tls", "enabled", "comment", "group_rank", "shared_with",
          "state", "rate_1m", "deferred_1h", "revision", "changed_by"]

ROUTES = [
    ("-d", "gmail.com", "-rh", "out1.relay.net", "-rp", "587", "-rl", "relay1", "-rpwd", "s3cret"),
    ("-d", "gmail.com", "-rh", "out2.relay.net", "-p", "2", "-l", "127.0.0.1&127.0.0.2", "--comment", "it's own"),
    ("-d", "gmail.com", "-rh", "out3.relay.net", "-p", "2", "-w", "3"),
    ("-rh", "10.0.0.8", "-u", "joe@tmail.io", "-f", "tmail.io"),
    ("-d", ".fr", "-rh", "[2001:db8::1]", "--tls", "require", "--disabled"),
]


@pytest.fixture
def filled(relayd):
    for words in ROUTES:
        relayd.route(*words)
    return relayd


def ids(relayd, *words):
    return [int(line) for line in relayd.tmail("routes", "list", "-o", "id", *words).split()]


# ---- list ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("text, expected", [
    ("", [1, 2, 3, 4, 5]),
    ("gmail", [1, 2, 3]),
    ("gmail out2", [2]),
    ("to:gmail.com via:out2*", [2]),
    ("to:*.fr|gmail.com -prio=2", [1, 5]),
    ("via:out1.relay.net:587", [1]),
    ("login:relay1 | user:joe@*", [1, 4]),
    ("local:127.0.0.2", [2]),
    ("prio>1 weight>=3", [3]),
    ("off", [5]),
    ("state:off|unknown", [1, 2, 3, 4, 5]),
    ("-off -gmail", [4]),
    ('"it\'s own"', [2]),
    ("tls:verify", [1]),
    ("from:tmail.io", [4]),
    ("to:", [4]),
    ("nothing", []),
])
def test_filter(filled, text, expected):
    assert ids(filled, "--", text) == expected


def test_filter_of_many_words(filled):
    assert ids(filled, "gmail", "prio>1") == [2, 3]
    # What is no flag is a term.
    assert ids(filled, "-off", "-prio=2") == [1, 4]
    assert ids(filled, "-to:gmail.com", "-sort", "-id") == [5, 4]
    for wrong in ("-gmail", "--off", "--to:x"):
        assert "unknown flag" in filled.tmail("routes", "list", wrong, status=None).stderr
    assert "no such key" in filled.tmail("routes", "list", "-limt=5", status=None).stderr


@pytest.mark.parametrize("text, place", [("colour:red", 1), ("gmail prio>x", 12), ("a |", 3), ('"a', 1)])
def test_wrong_filter(filled, text, place):
    done = filled.tmail("routes", "list", text, status=None)
    assert done.returncode == 2 and done.stdout == ""
    assert f"at character {place}:" in done.stderr
    done = filled.tmail("routes", "list", text, "-o", "json", status=None)
    assert json.loads(done.stderr)["code"] == 2 and done.stdout == ""


@pytest.mark.parametrize("columns, expected", [
    ("-id", [5, 4, 3, 2, 1]),
    ("-priority,id", [2, 3, 1, 4, 5]),
    ("prio,-weight,-id", [5, 4, 1, 3, 2]),
    ("destination,-id", [4, 5, 3, 2, 1]),
    ("remote_host", [4, 5, 1, 2, 3]),
    ("-user", [4, 1, 2, 3, 5]),
    ("enabled", [5, 1, 2, 3, 4]),
    ("state,-id", [5, 4, 3, 2, 1]),
])
def test_sort(filled, columns, expected):
    assert ids(filled, "--sort", columns) == expected
    assert ids(filled, "--sort", columns, "--limit", "2") == expected[:2]
    assert ids(filled, "--sort", columns, "gmail") == [one for one in expected if one <= 3]


def test_sort_wrong(filled):
    done = filled.tmail("routes", "list", "--sort", "colour", status=None)
    assert done.returncode == 2 and "'colour'" in done.stderr


def test_many_pages(relayd):
    """More than a page of everything, sorted and not, with a bound that falls inside of a page."""
    source = random.Random(7)
    with relayd.control() as control:
        control.call("routes.add", routes=[
            {"destination": f"d{source.randrange(100)}.example", "remote_host": f"r{number}.example"}
            for number in range(6000)])
    assert ids(relayd) == list(range(1, 6001))
    assert ids(relayd, "--limit", "1234") == list(range(1, 1235))
    assert len(relayd.tmail("routes", "list", "--limit", "2500").splitlines()) == 2500
    rows = relayd.tmail_json("routes", "list", "--sort", "destination,-id")["routes"]
    assert [(row["destination"], -row["id"]) for row in rows] == sorted((row["destination"], -row["id"])
                                                                        for row in rows)
    assert len(rows) == 6000
    lines = relayd.tmail("routes", "list", "--sort", "-id").splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(6000, 0, -1))
    found = relayd.tmail_json("routes", "list", "to:d7.example")["routes"]
    assert found and {row["destination"] for row in found} == {"d7.example"}
    assert len(found) == sum(row["destination"] == "d7.example" for row in rows)


def test_a_cursor_is_read_once(filled):
    with filled.control() as control:
        page = control.call("routes.list", sort="-id", limit=2)
        assert [row["id"] for row in page["routes"]] == [5, 4] and page["next"] == 2
        # What changes meanwhile does not change the list.
        control.call("routes.del", ids=[1])
        rest = control.call("routes.list", cursor=page["cursor"], after=2, limit=10)
        assert [row["id"] for row in rest["routes"]] == [3, 2, 1] and rest["next"] is None
        with pytest.raises(Refused) as why:
            control.call("routes.list", cursor=page["cursor"], after=2)
        assert why.value.args[0]["code"] == 4
        # Lists that nobody reads on make room for others.
        for _ in range(40):
            assert control.call("routes.list", sort="id", limit=1)["next"] == 1


def test_sorted_list_of_the_past(filled):
    before = filled.tmail("routes", "list").splitlines()
    filled.tmail("routes", "del", "-y", "1", "3")
    filled.tmail("routes", "set", "2", "-rh", "elsewhere.example")
    assert ids(filled, "--at", "5", "--sort", "-id") == [5, 4, 3, 2, 1]
    assert ids(filled, "--at", "5", "--sort", "prio,-id", "--limit", "3", "-off") == [4, 1, 3]
    document = filled.tmail_json("routes", "list", "--at", "5", "--sort", "-id")
    assert document["revision"] == 5 and all(list(row) == RECORD for row in document["routes"])
    assert filled.tmail("routes", "list", "--at", "5", "--sort", "id").splitlines() == before
    assert filled.tmail("routes", "list", "--at", "99", "--sort", "id", status=None).returncode == 3
    assert filled.tmail("routes", "list", "--at", "5", "--sort", "colour", status=None).returncode == 2
    assert [list(row) for row in filled.tmail_json("routes", "list", "--at", "5")["routes"]] == [RECORD] * 5


# ---- get -------------------------------------------------------------------------------------------

def test_get(filled):
    fields = dict((line[:15].strip(), line[15:]) for line in filled.tmail("routes", "get", "3").splitlines())
    assert fields["id"] == "3" and fields["destination"] == "gmail.com" and fields["weight"] == "3"
    assert fields["rank in group"] == "2, shared at random with 2"
    assert fields["remote"] == "out3.relay.net:25" and fields["tls"] == "may (the default)"
    assert fields["state"] == "unknown" and fields["revision"] == "3" and fields["changed by"]
    assert "s3cret" not in filled.tmail("routes", "get", "1")
    assert "********" in filled.tmail("routes", "get", "1")
    assert "none: it is disabled" in filled.tmail("routes", "get", "5")


def test_get_as_data(filled):
    filled.tmail("routes", "set", "2", "-p", "3", "--note", "ticket 8841")
    document = filled.tmail_json("routes", "get", "2")
    record, = document["routes"]
    assert document["schema"] == "tmail.routes/1" and document["revision"] == 6
    assert list(record) == RECORD
    assert record["revision"] == 6 and record["changed_by"]
    assert record["group_rank"] == 3 and record["shared_with"] == []
    # Lists have the same, also after a restart.
    assert record in filled.tmail_json("routes", "list")["routes"]
    filled.restart()
    again = filled.tmail_json("routes", "list")["routes"]
    assert [one["revision"] for one in again] == [1, 6, 3, 4, 5] and record in again
    assert record["comment"] == "it's own" and record["local_ips"] == "127.0.0.1&127.0.0.2"


def test_get_exists(filled):
    assert filled.tmail("routes", "get", "--exists", "1") == ""
    done = filled.tmail("routes", "get", "--exists", "99", status=None)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    assert filled.tmail("routes", "get", "99", status=None).returncode == 3


# ---- formats ---------------------------------------------------------------------------------------

def test_records(filled):
    rows = filled.tmail_json("routes", "list")["routes"]
    assert all(list(row) == RECORD for row in rows)
    assert [row["group_rank"] for row in rows] == [1, 2, 2, 1, None]
    assert [row["shared_with"] for row in rows] == [[], [3], [2], [], []]
    assert [row["state"] for row in rows] == ["unknown"] * 4 + ["off"]
    assert rows[0]["rate_1m"] == 0 and rows[0]["deferred_1h"] is None
    lines = filled.tmail("routes", "list", "-o", "jsonl").splitlines()
    assert [json.loads(line) for line in lines] == rows
    table = list(csv.DictReader(io.StringIO(filled.tmail("routes", "list", "-o", "csv"))))
    assert list(table[0]) == RECORD and table[1]["shared_with"] == "[3]"
    assert "s3cret" not in filled.tmail("routes", "list", "-o", "json")


def test_template(filled):
    text = filled.tmail("routes", "list", "-o", r"template={id}\t{remote_host}:{remote_port} {{{comment}}}\n")
    assert text.splitlines()[:2] == ["1\tout1.relay.net:587 {}", "2\tout2.relay.net:25 {it's own}"]
    for wrong, said in ((r"{di}\n", "Did you mean {id}?"), ("{id", "not closed"), (r"\q", "backslash")):
        done = filled.tmail("routes", "list", "-o", f"template={wrong}", status=None)
        assert done.returncode == 2 and said in done.stderr and done.stdout == ""
    assert filled.tmail("queue", "list", "-o", "template={sender}") == ""
    assert filled.tmail("reload", "-o", "template={id}", status=None).returncode == 2


def test_commands_make_the_same_routes(filled):
    before = filled.tmail("routes", "list").splitlines()
    text = filled.tmail("routes", "list", "-o", "commands")
    assert "-rpwd @route:1" in text and "s3cret" not in text
    filled.tmail("routes", "batch", "-", input=text)
    after = filled.tmail("routes", "list").splitlines()
    assert [line.split(" - ", 1)[1] for line in after[5:]] == [line.split(" - ", 1)[1] for line in before]
    assert filled.tmail("queue", "list", "-o", "commands", status=None).returncode == 2


def test_wide_has_more(filled):
    table, wide = (filled.tmail("routes", "list", "-o", form, COLUMNS="80") for form in ("table", "wide"))
    assert max(map(len, table.splitlines())) <= 80
    assert "WEIGHT" in wide and "it's own" in wide and "WEIGHT" not in table


# ---- stats and health ------------------------------------------------------------------------------

def test_stats_and_health(relayd, make_peer):
    good = make_peer({"rcpt": {"no@a.example": "550 5.1.1 unknown", "later@a.example": "450 4.2.0 later"}})
    gone = make_peer()
    gone.go_down()
    relayd.route("-d", "a.example", to=good)
    relayd.route("-d", "b.example", "-l", "127.0.0.1", to=gone)
    relayd.route("-d", "c.example", to=good)
    assert relayd.tmail("routes", "health") == "Every remote address that was tried could be reached.\n"
    # Its bounce goes by no route.
    relayd.send(sender="s@z.example", recipients=["yes@a.example", "no@a.example", "later@a.example"])
    relayd.send(recipients="x@b.example")
    relayd.wait(lambda: len(relayd.tmail_json("routes", "stats")["routes"]) == 2, "both routes were tried")
    relayd.wait(lambda: relayd.lines("deferred"), "both are done")
    first, second = relayd.tmail_json("routes", "stats")["routes"]
    assert [first[name] for name in ("id", "attempts", "delivered", "deferred", "failed")] == [1, 3, 1, 1, 1]
    assert first["state"] == "slow" and first["deferred_1h"] == pytest.approx(1 / 3, abs=0.001)
    assert first["rate_1m"] == pytest.approx(0.6) and first["last_used"].endswith("Z")
    assert (second["id"], second["attempts"], second["deferred"], second["state"]) == (2, 1, 1, "down")
    # The same where routes are listed.
    assert ids(relayd, "state:down") == [2] and ids(relayd, "defer>50%") == [2] and ids(relayd, "rate>0.5") == [1]
    assert ids(relayd, "--sort", "-deferred_1h") == [2, 1, 3]
    assert "down" in relayd.tmail("routes", "list", "-o", "table", "2")
    assert len(relayd.tmail_json("routes", "stats", "--all")["routes"]) == 3
    assert [row["id"] for row in relayd.tmail_json("routes", "stats", "state:slow")["routes"]] == [1]
    table = relayd.tmail("routes", "stats", COLUMNS="80").splitlines()
    assert table[0].split()[0] == "ID" and len(table) == 3

    pair, = relayd.tmail_json("routes", "health")["pairs"]
    assert pair["remote"] == f"{gone.host}:{gone.port}" and pair["local"] == "127.0.0.1"
    assert pair["suspended"] is True and pair["failures"] == 1 and "refused" in pair["last_error"]
    assert pair["since"] <= pair["last_failure"] < pair["until"]
    assert f"{gone.host}:{gone.port}" in relayd.tmail("routes", "health")
    assert any(row["check"] == "group_down" for row in json.loads(
        relayd.tmail("routes", "check", "-o", "json", status=1))["findings"])


# ---- check -----------------------------------------------------------------------------------------

def findings(relayd, *words, status=1):
    rows = json.loads(relayd.tmail("routes", "check", *words, "-o", "json", status=status))["findings"]
    return [(row["severity"], row["id"], row["check"], row["other"]) for row in rows]


def test_check_of_a_clean_table(relayd):
    assert relayd.tmail("routes", "check") == ""
    relayd.route("-d", "a.example", "-rh", "b.example")
    relayd.route("-d", "a.example", "-rh", "127.0.0.9", "-l", "127.0.0.1&127.0.0.2", "-rl", "me", "-rpwd", "x")
    relayd.route("-d", "a.example", "-rh", "127.0.0.9", "-l", "192.0.2.1", "--disabled")
    assert relayd.tmail("routes", "check") == ""
    assert findings(relayd, status=0) == []


def test_check(relayd):
    relayd.route("-d", "a.example", "-rh", "b.example")
    relayd.route("-d", "a.example", "-rh", "b.example")
    relayd.route("-d", "a.example", "-rh", "b.example", "-p", "9")
    relayd.route("-d", "c.example", "-rh", "b.example", "-l", "192.0.2.77|127.0.0.1")
    relayd.route("-d", "d.example", "-rh", "b.example", "-l", "192.0.2.77")
    relayd.route("-d", "e.example", "-rh", "2001:db8::1", "-l", "127.0.0.1")
    relayd.route("-d", "f.example", "-rh", relayd.host, "-rp", relayd.port)
    relayd.route("-d", "g.example", "-rh", "relay.example", "-rp", relayd.port)
    relayd.route("-d", "h.example", "-rh", "b.example", "-rl", "me", "-rpwd", "x", "--tls", "may")
    relayd.route("-d", "i.example", "-rh", "b.example", "-rl", "me", "-rpwd", "x", "--tls", "require")
    relayd.route("-d", "j.example", "-rh", "b.example", "-rl", "me", "-rpwd", "x")
    relayd.route("-d", "j.example", "-rh", "b.example", "-rl", "me", "-rpwd", "y")
    assert findings(relayd) == [
        ("notice", 2, "twin", 1), ("warning", 3, "never_tried", 1), ("warning", 4, "no_local_ip", None),
        ("warning", 5, "no_local_ip", None), ("error", 5, "no_local_ip_at_all", None),
        ("error", 6, "no_family", None), ("error", 7, "ourselves", None), ("error", 8, "ourselves", None),
        ("warning", 9, "clear_login", None), ("notice", 10, "unverified_login", None)]
    text = relayd.tmail("routes", "check", status=1).splitlines()
    assert text[0] == "notice: route 2: it is a twin: they count as one route of a greater weight (route 1)"
    assert relayd.tmail("routes", "check", "-o", "id", status=1).split()[:3] == ["2", "3", "4"]


def test_check_of_a_file(relayd):
    relayd.route("-d", "a.example", "-rh", "b.example")
    file = relayd.folder / "routes.csv"
    file.write_text("id,destination,remote_host,local_ips,remote_login\n"
                    ",a.example,b.example,,\n1,a.example,b.example,192.0.2.77,me\n,a.example,b.example,,\n")
    text = relayd.tmail("routes", "check", file, status=1).splitlines()
    assert text[-1] == f"notice: {file}:4: it is a twin: they count as one route of a greater weight (line 2)"
    assert findings(relayd, file)[0] == ("warning", 1, "no_local_ip", None)
    exported = relayd.folder / "routes.json"
    exported.write_text(relayd.tmail("routes", "export"))
    assert relayd.tmail("routes", "check", exported) == ""
    file.write_text("destination,remote_host,remote_port\na.example,b.example,70000\n")
    done = relayd.tmail("routes", "check", file, status=None)
    assert done.returncode == 5 and f"{file}:2: remote_port: the port must be 1-65535" in done.stderr
    assert relayd.tmail("routes", "check", relayd.folder / "none", status=None).returncode == 2
