# SPDX-License-Identifier: GPL-3.0-or-later
"""
`tmail routes explain`, as text and as data: the rule and why the others lost, shares, addresses, local IPs, TLS,
logins, sick remotes, mail exchangers, no way out. `tmail routes probe` against peers that fail at each stage.
That explain and delivery agree on random tables is in test_agree.py.
"""
import json

import pytest

from harness.places import PATIENCE
from peer.dns import Dns
from peer.scripted import Silence
from peer.tls import Authority


def explain(relayd, *words, status=0):
    return json.loads(relayd.tmail("routes", "explain", *words, "-o", "json", status=status))


def lost(answer):
    """(line, reason, user, mail_from, destination) of each key, but those that only have no route."""
    return [(one["line"], one["reason"], one["user"], one["mail_from"], one["destination"])
            for one in answer["verdicts"] if one["reason"] != "no_route"]


# ---- the rule --------------------------------------------------------------------------------------

def test_rule(relayd):
    relayd.route("-u", "tmail.io", "-d", "b.example", "-rh", "127.0.0.8", "--disabled")
    relayd.route("-u", "joe@tmail.io", "-rh", "127.0.0.9")
    relayd.route("-rh", "127.0.0.7")
    answer = explain(relayd, "-u", "Joe@Tmail.io", "-f", "ann@a.example", "x@B.example")
    assert answer["line"] == 6 and answer["recipient"] == "x@b.example"
    assert lost(answer) == [(3, "disabled", "tmail.io", None, "b.example"), (6, "hit", "joe@tmail.io", None, "*")]
    assert answer["verdicts"][-1]["routes"] == [2] and answer["mx"] is None
    keys = [one for one in answer["verdicts"] if one["line"] == 1]
    assert [(one["user"], one["destination"]) for one in keys] == [
        ("joe@tmail.io", "b.example"), ("joe@tmail.io", ".example"), ("tmail.io", "b.example"),
        ("tmail.io", ".example"), (None, "b.example"), (None, ".example")]

    answer = explain(relayd, "b.example")
    assert answer["line"] == 8 and answer["sender"] == "" and answer["login"] is None
    assert [one["reason"] for one in answer["verdicts"][:6]] == ["no_login"] * 6
    assert explain(relayd, "-u", "joe@tmail.io", "x@b.example")["verdicts"][0]["reason"] == "no_sender"

    text = relayd.tmail("routes", "explain", "-u", "joe@tmail.io", "-f", "ann@a.example", "x@b.example")
    assert "   3  user, recipient                 tmail.io, to b.example: disabled (route 1)\n" in text
    assert "-> 6  user                            joe@tmail.io, to *: route 2\n" in text
    assert "-> 8  * (everything else)" in relayd.tmail("routes", "explain", "x@b.example")
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("words", [("a@@b",), ("a@b..c",), ("",), ("-f", "no address", "a@b.example")])
def test_wrong_words(relayd, words):
    done = relayd.tmail("routes", "explain", *words, status=None)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.startswith("tmail: ")


def test_international_names(relayd):
    relayd.route("-d", "exämple.fr", "-rh", "127.0.0.9")
    assert explain(relayd, "x@exämple.fr")["domain"] == "xn--exmple-cua.fr"
    assert explain(relayd, "x@exämple.fr")["line"] == 7


# ---- the plan --------------------------------------------------------------------------------------

def test_plan(make_relayd):
    dns = Dns()
    dns.set("big.example", a=["127.0.0.11", "127.0.0.12"])
    dns.set("six.example", aaaa=["::1"])
    relayd = make_relayd(dns=dns)
    for _ in range(2):
        relayd.route("-d", "b.example", "-rh", "big.example", "-rl", "me", "-rpwd", "s3cret")
    relayd.route("-d", "b.example", "-rh", "127.0.0.13", "-l", "127.0.0.1|127.0.0.2|127.0.0.3")
    relayd.route("-d", "b.example", "-rh", "six.example", "-l", "127.0.0.1", "-p", "2")
    relayd.route("-d", "b.example", "-rh", "none.example", "-p", "3")
    relayd.route("-d", "b.example", "-rh", "127.0.0.13", "-l", "192.0.2.1&127.0.0.9", "-p", "4")
    relayd.route("-d", "b.example", "-rh", "127.0.0.13", "-l", "127.0.0.9&127.0.0.2", "-p", "5")
    answer = explain(relayd, "x@b.example")
    big, small, six, none, absent, again = answer["plan"]
    assert (big["route"], big["routes"], big["priority"]) == (1, [1, 2], 1)
    assert big["share"] == pytest.approx(2 / 3, abs=0.0001) and small["share"] == pytest.approx(1 / 3, abs=0.0001)
    assert (big["tls"], big["login"], big["has_password"]) == ("verify", "me", True)
    assert big["lookup"]["status"] == "ok" and "s3cret" not in json.dumps(answer)
    assert sorted(one["remote"] for one in big["tries"]) == ["127.0.0.11:25", "127.0.0.12:25"]
    assert sorted(one["local"] for one in small["tries"]) == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    assert [one["state"] for one in six["tries"]] == ["no_family"] and six["share"] == 1
    assert none["lookup"]["status"] == "no_name" and none["tries"] == []
    assert [(one["local"], one["state"]) for one in absent["tries"]] == [
        ("192.0.2.1", "no_local_ip"), ("127.0.0.9", "try")]
    assert [one["state"] for one in again["tries"]] == ["failed_before", "failed_before"]
    assert answer["way_out"] is True and answer["then"]["fate"] == "deferred"
    assert answer["then"]["retry_s"] == [3600] and answer["then"]["lifetime_s"] == 432000

    text = relayd.tmail("routes", "explain", "x@b.example")
    assert "    1  66.7%  routes 1, 2  big.example:25  TLS verify  login me:********\n" in text
    assert "         no address: the name does not exist\n" in text
    assert "192.0.2.1  left out: this host has not that local IP\n" in text
    assert "tried again after 1h and so on; bounced after 5d" in text
    rows = relayd.tmail("routes", "explain", "x@b.example", "-o", "csv").splitlines()
    assert rows[0].startswith("priority,share,route,") and len(rows) == 1 + 2 + 3 + 1 + 1 + 2 + 2
    assert max(map(len, relayd.tmail("routes", "explain", "x@b.example", "-o", "table", COLUMNS="80").splitlines())) <= 80


def test_configured_local_ips(make_relayd):
    relayd = make_relayd(local_ips="127.0.0.4&127.0.0.5")
    relayd.route("-d", "b.example", "-rh", "127.0.0.9")
    assert [one["local"] for one in explain(relayd, "x@b.example")["plan"][0]["tries"]] == ["127.0.0.4", "127.0.0.5"]


def test_sick_remote(relayd, make_peer):
    gone, good = make_peer(), make_peer()
    gone.go_down()
    relayd.route("-d", "b.example", to=gone)
    relayd.send(recipients="x@b.example")
    relayd.wait(lambda: relayd.lines("deferred"), "it was tried")
    one, = explain(relayd, "x@b.example")["plan"][0]["tries"]
    assert one["state"] == "suspended_tried" and one["failures"] == 1 and "refused" in one["last_error"]
    text = relayd.tmail("routes", "explain", "x@b.example")
    assert "but there is nothing else: try\n" in text and "1 failure, the last one: " in text
    relayd.route("-d", "b.example", "-p", "2", to=good)
    first, second = explain(relayd, "x@b.example")["plan"]
    assert [one["state"] for one in (*first["tries"], *second["tries"])] == ["suspended", "try"]
    assert first["tries"][0]["suspended_until"].endswith("Z")
    # It was only looked at.
    assert good.sessions == []


# ---- line 9 ----------------------------------------------------------------------------------------

def test_exchangers(make_relayd):
    dns = Dns()
    dns.set("b.example", mx=[(20, "mx2.b.example"), (10, "mx1.b.example")])
    dns.set("mx1.b.example", a=["127.0.0.21"])
    dns.set("mx2.b.example", a=["127.0.0.22"])
    dns.set("implicit.example", a=["127.0.0.23"])
    dns.set("null.example", mx=[(0, ".")])
    dns.set("loop.example", mx=[(10, "relay.example"), (20, "mx2.b.example")])
    dns.set("empty.example", mx=[])
    dns.fail("broken.example", "SERVFAIL")
    relayd = make_relayd(dns=dns)

    answer = explain(relayd, "x@b.example")
    assert answer["line"] == 9 and answer["mx"]["status"] == "found"
    assert [(one["host"], one["preference"]) for one in answer["mx"]["hosts"]] == [
        ("mx1.b.example", 10), ("mx2.b.example", 20)]
    assert [(hop["route"], hop["remote_host"], hop["priority"], hop["tls"], hop["tries"][0]["remote"])
            for hop in answer["plan"]] == [(None, "mx1.b.example", 10, "may", "127.0.0.21:25"),
                                           (None, "mx2.b.example", 20, "may", "127.0.0.22:25")]
    assert "      10  mx1.b.example\n" in relayd.tmail("routes", "explain", "x@b.example")
    answer = explain(relayd, "x@implicit.example")
    assert answer["mx"]["status"] == "implicit" and answer["plan"][0]["tries"][0]["remote"] == "127.0.0.23:25"
    answer = explain(relayd, "x@[127.0.0.24]")
    assert answer["mx"]["status"] == "literal" and answer["plan"][0]["tries"][0]["remote"] == "127.0.0.24:25"

    for domain, status, fate, code in [("null.example", "null_mx", "bounced", "5.1.10"),
                                       ("nowhere.example", "no_domain", "bounced", "5.1.2"),
                                       ("loop.example", "loop", "bounced", "5.4.6"),
                                       ("broken.example", "unknown", "deferred", "4.4.3"),
                                       ("empty.example", "implicit", "bounced", "5.1.2")]:
        answer = explain(relayd, f"x@{domain}", status=1)
        assert answer["mx"]["status"] == status, domain
        assert answer["way_out"] is False
        assert (answer["then"]["fate"], answer["then"]["status"]) == (fate, code), domain
        done = relayd.tmail("routes", "explain", f"x@{domain}", status=None)
        assert done.returncode == 1 and "There is no way out\n" in done.stdout and done.stderr == ""


def test_silent_dns(make_relayd):
    """The answer comes in time, whatever the DNS does."""
    dns = Dns()
    dns.fail("deaf.example", "silence")
    relayd = make_relayd(dns=dns)
    relayd.route("-d", "b.example", "-rh", "deaf.example")
    relayd.route("-d", "b.example", "-rh", "127.0.0.9", "-p", "2")
    answer = explain(relayd, "x@b.example")
    assert answer["plan"][0]["lookup"]["status"] == "failed"
    assert answer["plan"][1]["tries"][0]["state"] == "try"
    assert explain(relayd, "x@deaf.example", status=1)["mx"]["status"] == "unknown"


def test_stopping_meanwhile(make_relayd):
    dns = Dns()
    dns.fail("deaf.example", "silence")
    relayd = make_relayd(dns=dns)
    with relayd.control() as control:
        control.socket.sendall(b'{"jsonrpc":"2.0","id":1,"method":"routes.explain",'
                               b'"params":{"recipient":"x@deaf.example"}}\n'
                               b'{"jsonrpc":"2.0","id":2,"method":"server.version"}\n')
        relayd.wait(lambda: dns.asked("deaf.example"), "the lookup is under way")
        relayd.stop()


# ---- probe -----------------------------------------------------------------------------------------

def probe(relayd, *words, status=0):
    return json.loads(relayd.tmail("routes", "probe", *words, "-o", "json", status=status))["probes"]


@pytest.fixture
def secure(make_relayd, make_peer, tmp_path):
    authority = Authority(tmp_path)
    context = authority.server("127.0.0.1")
    relayd = make_relayd(tls={"ca": authority.file})
    return relayd, lambda stages=None, **options: make_peer(
        stages, **{"tls": context, "logins": {"me": "s3cret"}, **options})


def test_probe_ok(secure, make_peer):
    relayd, make = secure
    peer, plain = make(), make_peer()
    relayd.route("-d", "b.example", "-rl", "me", "-rpwd", "s3cret", to=peer)
    relayd.route("-d", "c.example", "-l", "127.0.0.1|127.0.0.2", to=plain)
    one, = probe(relayd, "1")
    assert one["ok"] is True and one["stage"] is None and one["reply"] is None and one["ms"] >= 0
    assert one["remote"] == f"{peer.host}:{peer.port}" and one["local"] is None
    assert one["tls"].startswith("TLSv1.") and one["cipher"] and one["verified"] is True
    assert one["auth"] == "SCRAM-SHA-256"
    first, second = probe(relayd, "2")
    assert {first["local"], second["local"]} == {"127.0.0.1", "127.0.0.2"}
    assert (first["ok"], first["tls"], first["verified"], first["auth"]) == (True, None, None, None)
    relayd.wait(lambda: len(plain.sessions) == 2 and all("QUIT" in s.verbs() for s in plain.sessions),
                "both sessions were left politely")
    # No mail, and nothing in the books.
    assert not peer.messages and not plain.messages
    assert relayd.tmail_json("routes", "stats")["routes"] == []
    text = relayd.tmail("routes", "probe", "1", "2")
    assert text.startswith(f"route 1  {peer.host}:{peer.port}  ok, ") and ", verified, login by SCRAM-SHA-256\n" in text
    assert " ms, no TLS\n" in text
    assert len(probe(relayd, "--all")) == 3


@pytest.mark.parametrize("stages, words, stage", [
    ({"greeting": "554 5.7.1 go away"}, (), "greeting"),
    ({"ehlo": "502 5.5.1 no", "helo": "502 5.5.1 no"}, (), "EHLO"),
    ({"starttls": "454 4.7.0 not now"}, ("--tls", "require"), "STARTTLS"),
    ({"auth": "535 5.7.8 wrong\x1b[2J"}, ("-rl", "me", "-rpwd", "x"), "AUTH"),
])
def test_probe_fails(secure, stages, words, stage):
    relayd, make = secure
    peer = make(stages)
    relayd.route("-d", "b.example", *words, to=peer)
    one, = probe(relayd, "1", status=1)
    assert one["ok"] is False and one["stage"] == stage and one["reply"]
    done = relayd.tmail("routes", "probe", "1", status=None)
    assert done.returncode == 1 and f"FAILED {stage}: " in done.stdout and done.stderr == ""
    assert "\x1b" not in done.stdout
    assert relayd.tmail_json("routes", "health")["pairs"] == []


def test_probe_of_what_is_not_there(relayd, make_peer):
    gone, deaf = make_peer(), make_peer({"greeting": Silence()})
    gone.go_down()
    relayd.route("-d", "b.example", to=gone)
    relayd.route("-d", "c.example", "-rh", "none.example")
    relayd.route("-d", "d.example", "-rh", "127.0.0.9", "-l", "::1")
    relayd.route("-d", "e.example", to=deaf)
    relayd.route("-d", "f.example", "-rh", "127.0.0.9", "--disabled")
    stages = [one["stage"] for one in probe(relayd, "1", "2", "3", status=1)]
    assert stages == ["connect", "lookup", "address"]
    one, = probe(relayd, "--timeout", "3", "4", status=1)
    assert one["stage"] in ("greeting", "time")
    assert {one["route"] for one in probe(relayd, "--timeout", "3", "--all", status=1)} == {1, 2, 3, 4}
    assert relayd.tmail_json("routes", "health")["pairs"] == []
    assert relayd.tmail("routes", "probe", "99", status=None).returncode == 3
    assert relayd.tmail("routes", "probe", status=None).returncode == 2
    assert relayd.tmail("routes", "probe", "--all", "1", status=None).returncode == 2


def test_probe_of_an_empty_table(relayd):
    assert relayd.tmail("routes", "probe", "--all") == ""
    assert probe(relayd, "--all") == []


def test_stopping_while_probing(relayd, make_peer):
    deaf = make_peer({"greeting": Silence()})
    relayd.route("-d", "b.example", to=deaf)
    with relayd.control() as control:
        control.socket.sendall(b'{"jsonrpc":"2.0","id":1,"method":"routes.probe","params":{"ids":[1]}}\n')
        relayd.wait(lambda: deaf.sessions, "the session is under way", PATIENCE)
        relayd.stop()
