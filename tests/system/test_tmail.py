# SPDX-License-Identifier: GPL-3.0-or-later
"""
tmail against a running relayd: the reference's commands word for word, what is printed where, exit
codes, formats, passwords and where they can be seen, terminals (questions, prompts, colour), signals,
closed pipes, a daemon that is absent, silent or forbidden, long lists with flat memory.
"""
import csv
import io
import json
import os
import pathlib
import pwd
import re
import resource
import shlex
import signal
import socket
import subprocess
import time

import pexpect
import pytest

from harness.places import PATIENCE, SANITIZED, TMAIL
from harness.waiting import until

EMPTY = "There is no routes configurated, all mails are routed following MX records\n"
WARNING = ("warning: a password on the command line is visible to ps and in your shell history; "
           "use -rpwd - or -rpwd @FILE")


def shell(relayd, line, status=0, **environment):
    """A line as a person types it, `tmail` being the program under test. (stdout, stderr)"""
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=PATIENCE,
                          cwd=relayd.folder, env=surroundings(relayd, **environment))
    assert done.returncode == status, (line, done)
    return done.stdout, done.stderr


def surroundings(relayd, **environment):
    """The environment of a tmail that finds itself in PATH, and its daemon."""
    around = {**relayd.environment, "TMAIL_SOCKET": str(relayd.socket), **environment}
    around["PATH"] = f"{TMAIL.parent}:{around['PATH']}"
    return around


def terminal(relayd, line, **environment):
    """The same on a terminal."""
    around = surroundings(relayd, **{"TERM": "xterm", "NO_COLOR": "", **environment})
    return pexpect.spawn("bash", ["-c", line], env=around, encoding="utf-8", timeout=PATIENCE,
                         cwd=str(relayd.folder), dimensions=(24, 100))


def ended(child):
    """What else it wrote, and its exit status as a shell has it."""
    child.expect(pexpect.EOF)
    child.close()
    status = child.exitstatus if child.signalstatus is None else 128 + child.signalstatus
    return child.before.replace("\r\n", "\n"), status


def rpc(relayd, method, params, answer=True):
    """One request by hand."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(relayd.socket))
        line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        sock.sendall(line.encode() + b"\n")
        return json.loads(sock.makefile().readline()) if answer else None


def fill(relayd, count):
    for first in range(0, count, 10000):
        routes = [{"destination": f"d{number}.example", "remote_host": f"relay{number % 7}.example",
                   "comment": "made by a test"} for number in range(first, min(first + 10000, count))]
        assert "result" in rpc(relayd, "routes.add", {"routes": routes})


# ---- the reference ---------------------------------------------------------------------------------

REFERENCE = [
    ("tmail routes add -d tmail.io -rh mail.tmail.io",
     "Destination host: tmail.io - Prority: 1 - Local IPs: default - Remote host: mail.tmail.io:25"),
    ("tmail routes add -d tmail.io -rh mail.tmail.io -rp 2525 ",
     "Destination host: tmail.io - Prority: 1 - Local IPs: default - Remote host: mail.tmail.io:2525"),
    ("tmail route add -d tmail.io -rh mail.tmail.io -rp 587 -rl login -rpwd passwd",
     "Destination host: tmail.io - Prority: 1 - Local IPs: default - "
     "Remote host: login:********@mail.tmail.io:587"),
    ("tmail route add -rh premium.tmail.io -u toorop@tmail.io",
     "Destination host: * - if user: toorop@tmail.io - Prority: 1 - Local IPs: default - "
     "Remote host: premium.tmail.io:25"),
    ("tmail route add -rh in.mailjet.com -u tmail.io -rl mailjet_login -rpwd mailjet_passwd",
     "Destination host: * - if user: tmail.io - Prority: 1 - Local IPs: default - "
     "Remote host: mailjet_login:********@in.mailjet.com:25"),
    (" tmail route add -rh in.mailjet.com -u tmail.io -f tmail.io -rl mailjet_login -rpwd mailjet_passwd",
     "Destination host: * - if user: tmail.io - if mail from: tmail.io - Prority: 1 - "
     "Local IPs: default - Remote host: mailjet_login:********@in.mailjet.com:25"),
    ("tmail route add -d tmail.io -rh big.smtp.tmail.io",
     "Destination host: tmail.io - Prority: 1 - Local IPs: default - Remote host: big.smtp.tmail.io:25"),
    ("tmail route add -d tmail.io -rh big.smtp.tmail.io",
     "Destination host: tmail.io - Prority: 1 - Local IPs: default - Remote host: big.smtp.tmail.io:25"),
    ("tmail route add -d tmail.io -rh alt2.smtp.tmail.io -p 3",
     "Destination host: tmail.io - Prority: 3 - Local IPs: default - Remote host: alt2.smtp.tmail.io:25"),
    ("tmail routes add --\"remote host\" a.tmail.io --remotePort 26 --priority 2 --localIp 192.0.2.1 "
     "--smtpUser Joe --mailFrom joe@tmail.io --remoteLogin l --remotePasswd p --destination tmail.io",
     "Destination host: tmail.io - if user: joe - if mail from: joe@tmail.io - Prority: 2 - "
     "Local IPs: 192.0.2.1 - Remote host: l:********@a.tmail.io:26"),
    ("tmail routes add -d b.example --rh b --rp 27 --rl l --rpwd p -l '192.0.2.1&2001:DB8::1'",
     "Destination host: b.example - Prority: 1 - Local IPs: 192.0.2.1&2001:db8::1 - "
     "Remote host: l:********@b:27"),
]


def test_reference(relayd):
    assert shell(relayd, "tmail routes list") == (EMPTY, "")
    lines = ""
    for number, (command, line) in enumerate(REFERENCE, 1):
        out, err = shell(relayd, command)
        assert out == f"{number} - {line}\n"
        assert err == ""
        lines += out
    assert shell(relayd, "tmail routes list") == (lines, "")
    assert shell(relayd, "tmail routes list | grep in.mailjet.com")[0].count("\n") == 2
    assert shell(relayd, "tmail routes del 2") == ("", "")
    lines = "".join(line for line in lines.splitlines(True) if not line.startswith("2 - "))
    assert shell(relayd, "tmail route list") == (lines, "")
    relayd.restart()
    assert shell(relayd, "tmail routes list") == (lines, "")
    # An id is never used again.
    highest = len(REFERENCE)
    shell(relayd, f"tmail routes del {highest}")
    relayd.restart()
    assert shell(relayd, "tmail routes add -rh a -o id")[0] == f"{highest + 1}\n"


def test_help_of_add(relayd):
    out, err = shell(relayd, "tmail routes add --help")
    for flag in ("--destination", "-d", '--"remote host"', "-rh", "--remotePort", "-rp", "--priority", "-p",
                 "--localIp", "-l", "--smtpUser", "-u", "--mailFrom", "-f", "--remoteLogin", "-rl",
                 "--remotePasswd", "-rpwd"):
        assert flag in out
    assert err == ""


def test_optional_parts(relayd):
    relayd.tmail("routes", "add", "-d", "*.B.example", "-rh", "[2001:db8::1]", "-w", 3, "--tls", "require",
                 "--comment", "own limit")
    assert relayd.tmail("routes", "list") == (
        "1 - Destination host: .b.example - Prority: 1 - Local IPs: default - "
        "Remote host: [2001:db8::1]:25 - TLS: require - Weight: 3 - Comment: own limit\n")


# ---- formats ---------------------------------------------------------------------------------------

def test_formats(relayd):
    relayd.tmail("routes", "add", "-d", "b.example", "-rh", "a", "--comment", 'say "x", or y', "-rl", "l",
                 "-rpwd", "geheim")
    relayd.tmail("routes", "add", "-rh", "b", "-rp", 26, "-o", "json")
    document = relayd.tmail_json("routes", "list")
    assert (document["schema"], document["revision"]) == ("tmail.routes/1", 2)
    first, second = document["routes"]
    assert first == {"id": 1, "destination": "b.example", "user": None, "mail_from": None, "priority": 1,
                     "weight": 1, "remote_host": "a", "remote_port": 25, "local_ips": None,
                     "remote_login": "l", "has_password": True, "tls": None, "enabled": True,
                     "comment": 'say "x", or y', "group_rank": 1, "shared_with": [], "state": "unknown",
                     "rate_1m": 0, "deferred_1h": None, "revision": 1,
                     "changed_by": pwd.getpwuid(os.getuid()).pw_name}
    lines = [json.loads(line) for line in relayd.tmail("routes", "list", "-o", "jsonl").splitlines()]
    assert lines == [first, second]
    for name, dialect in (("csv", {}), ("tsv", {"delimiter": "\t"})):
        text = relayd.tmail("-o", name, "routes", "list")
        rows = list(csv.DictReader(io.StringIO(text, newline=""), **dialect))
        assert [row["id"] for row in rows] == ["1", "2"]
        assert rows[0]["comment"] == first["comment"] and rows[1]["remote_port"] == "26"
        assert rows[1]["user"] == ""
    table = relayd.tmail("routes", "list", "-o", "table").splitlines()
    assert table[0].split() == ["ID", "DESTINATION", "USER", "MAIL", "FROM", "PRI", "REMOTE", "LOCAL",
                                "IPS", "STATE"]
    assert len(table) == 3 and "\x1b" not in "".join(table)
    assert relayd.tmail("routes", "list", "-o", "id") == "1\n2\n"
    for name in ("text", "table", "wide", "json", "jsonl", "csv", "tsv", "id"):
        assert "geheim" not in relayd.tmail("routes", "list", "-o", name)
    assert relayd.tmail_json("status")["routes"] == 2


def test_empty_formats(relayd):
    assert relayd.tmail_json("routes", "list") == {"schema": "tmail.routes/1", "revision": 0, "routes": []}
    assert relayd.tmail_json("queue", "list") == {"schema": "tmail.queue/1", "messages": []}
    assert relayd.tmail("queue", "list") == "There is no message in queue.\n"
    assert relayd.tmail("queue", "count") == "0\n"
    assert relayd.tmail("routes", "list", "-o", "id") == ""
    assert relayd.tmail("routes", "list", "-o", "csv").startswith("id,destination,")


def test_table_fits(relayd):
    relayd.tmail("routes", "add", "-d", "a-rather-long-destination.with.many.labels.example", "-rh",
                 "another-rather-long-name-of-a-relay.example", "-u", "someone@somewhere.example")
    for columns in (60, 80, 200):
        out = relayd.tmail("routes", "list", "-o", "table", COLUMNS=str(columns))
        assert max(map(len, out.splitlines())) <= columns
        assert ("~" in out) == (columns < 200)
    wide = relayd.tmail("routes", "list", "-o", "wide", COLUMNS="60")
    assert "another-rather-long-name-of-a-relay.example:25" in wide and "~" not in wide


def test_queue(relayd):
    with socket.socket() as closed:
        closed.bind((relayd.host, 0))
        relayd.tmail("routes", "add", "-rh", relayd.host, "-rp", closed.getsockname()[1])
        first = relayd.send(sender="a@a.example", recipients=["b@b.example", "c@c.example"])
        second = relayd.send(sender="", recipients=["d@d.example"])
        for queue_id, address in ((first, "b@b.example"), (second, "d@d.example")):
            relayd.fate(queue_id, address, "deferred")
    when = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000"
    rest = rf"Status: Scheduled - Added: {when} - Next delivery process scheduled at: {when}"
    head, *lines = until(lambda: "Scheduled" in (out := relayd.tmail("queue", "list", TZ="UTC"))
                         and "progress" not in out and out).splitlines()
    assert head == "2 messages in queue."
    for line, (queue_id, sender, recipient) in zip(lines, (
            (first, "a@a.example", "b@b.example"), (first, "a@a.example", "c@c.example"),
            (second, "<>", "d@d.example")), strict=True):
        assert re.fullmatch(rf"{queue_id} - From: {sender} - To: {recipient} - {rest}", line), line
    assert relayd.tmail("queue", "count") == "2\n"
    messages = relayd.tmail_json("queue", "list")["messages"]
    assert [message["id"] for message in messages] == [int(first), int(second)]
    assert messages[0]["attempts"] == 1 and messages[0]["status"] == "scheduled"
    assert "refused" in messages[0]["recipients"][0]["last_reply"].lower()
    assert relayd.tmail("queue", "list", "-o", "id") == f"{first}\n{second}\n"


def test_status(relayd):
    words = dict(line.split(None, 1) for line in relayd.tmail("status").splitlines())
    assert words["hostname"] == "relay.example"
    assert words["routes"] == "0, revision 0"
    assert words["queue"] == "0 messages, 0 being delivered"
    status = relayd.tmail_json("status")
    assert status["schema"] == "tmail.status/1" and status["pid"] == relayd.pid
    version = relayd.tmail_json("version")
    assert version["tmail"] == version["relayd"] == status["version"]


# ---- errors ----------------------------------------------------------------------------------------

def failure(relayd, status, *words, **options):
    done = relayd.tmail(*words, status=None, **options)
    assert (done.returncode, done.stdout) == (status, ""), done
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_errors_change_nothing(relayd):
    relayd.tmail("routes", "add", "-rh", "a")
    before = relayd.tmail_json("routes", "list")
    assert failure(relayd, 2, "routes", "ad", "-d", "x") == (
        "tmail: unknown command 'routes ad'. Did you mean 'routes add'?\n")
    assert failure(relayd, 5, "routes", "add", "-d", "gmail.com", "-rh", "out9", "-rp", "70000") == (
        "tmail: -rp 70000: the port must be 1-65535\n")
    assert failure(relayd, 3, "routes", "del", "42") == "tmail: no route 42\n"
    assert failure(relayd, 3, "routes", "del", "1", "42") == "tmail: no route 42\n"
    assert failure(relayd, 3, "routes", "add", "-rh", "a", "-rl", "l", "-rpwd", "@route:9") == (
        "tmail: no route 9 to copy a password from\n")
    assert failure(relayd, 5, "routes", "add", "-rh", "a", "-rl", "l", "-rpwd", "@route:1") == (
        "tmail: route 1 has no password\n")
    assert failure(relayd, 5, "routes", "add", "-rh", "a b") .startswith("tmail: -rh a b: ")
    assert json.loads(failure(relayd, 3, "-o", "json", "routes", "del", "42")) == {
        "error": "not_found", "code": 3, "message": "no route 42", "hint": "tmail routes list -o id"}
    assert relayd.tmail_json("routes", "list") == before


def test_absent_daemon(relayd):
    socket_path = str(relayd.socket)
    missing = str(relayd.folder / "nothing.sock")
    assert failure(relayd, 7, "-s", missing, "routes", "list") == (
        f"tmail: no daemon at {missing}: No such file or directory; "
        "start relayd or name its socket with -s\n")
    assert shell(relayd, f"tmail -s {socket_path} routes list", TMAIL_SOCKET=missing) == (EMPTY, "")
    assert shell(relayd, "tmail status", 7, TMAIL_SOCKET=missing)[1].startswith("tmail: no daemon at ")
    relayd.kill()
    assert failure(relayd, 7, "routes", "add", "-rh", "a").startswith(
        f"tmail: no daemon at {socket_path}: Connection refused; ")
    relayd.start()


def test_denied(relayd, root):
    nobody = pwd.getpwnam("nobody")

    def become():
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)

    done = subprocess.run([str(TMAIL), "-s", str(relayd.socket), "routes", "list"], capture_output=True,
                          text=True, timeout=PATIENCE, preexec_fn=become, cwd="/")
    if done.returncode == 126 or "cannot execute" in done.stderr:
        pytest.skip("nobody can't run the program from where it is")
    assert (done.returncode, done.stdout) == (6, ""), done
    assert done.stderr == f"tmail: not allowed on {relayd.socket}: Permission denied\n"


def test_silent_daemon(relayd):
    """It may have been done: and it is, as soon as the daemon wakes up."""
    os.kill(relayd.pid, signal.SIGSTOP)
    try:
        err = failure(relayd, 8, "--timeout", "0.3", "routes", "add", "-rh", "late.example")
        assert err.startswith("tmail: no answer from relayd within 0.3 s; the change may have been made")
        assert failure(relayd, 8, "--timeout", "0.3", "status") == (
            "tmail: no answer from relayd within 0.3 s\n")
    finally:
        os.kill(relayd.pid, signal.SIGCONT)
    until(lambda: "late.example" in relayd.tmail("routes", "list"))


def test_wrong_configuration_is_refused(relayd):
    good = relayd.conf.read_text()
    relayd.conf.write_text(good + "\nlog_level = \"loud\"\n")
    err = failure(relayd, 5, "reload")
    assert "relayd.conf:" in err and "loud" in err
    relayd.conf.write_text(good)
    assert relayd.tmail("reload") == ""


def test_standard_output_is_full(relayd):
    relayd.tmail("routes", "add", "-rh", "a")
    _, err = shell(relayd, "tmail routes list >/dev/full", 10)
    assert err == "tmail: standard output: No space left on device\n"


# ---- passwords -------------------------------------------------------------------------------------

def test_password_forms(relayd):
    """Each is stored as it was meant: the stored file is looked at."""
    secret = relayd.folder / "secret"
    secret.write_text("from-file\nsecond line\n")
    secret.chmod(0o600)
    run = shlex.quote
    shell(relayd, "tmail routes add -rh a -rl l -rpwd from-argv")
    shell(relayd, "printf '@from-stdin' | tmail routes add -rh a -rl l -rpwd -")
    shell(relayd, f"tmail routes add -rh a -rl l -rpwd @{run(str(secret))}")
    shell(relayd, "tmail routes add -rh a -rl l -rpwd @fd:3 3<<<from-fd")
    shell(relayd, f"tmail routes add -rh a -rl l --remote-passwd-file {run(str(secret))}")
    shell(relayd, "tmail routes add -rh a -rl l -rpwd @route:2")
    secret.chmod(0o640)
    _, err = shell(relayd, f"tmail routes add -rh a -rl l -rpwd @{run(str(secret))}", 2)
    assert err == f"tmail: -rpwd {secret}: others can read this file: do chmod 600 on it\n"
    _, err = shell(relayd, "tmail routes add -rh a -rl l -rpwd - </dev/null", 2)
    assert err == "tmail: -rpwd -: there is no password in the first line\n"
    out = relayd.tmail("routes", "list")
    assert out.count(":********@a:25") == 6 and "from" not in out
    journal = b"".join(path.read_bytes() for path in relayd.state_dir.glob("routes.*"))
    for word, least in (("from-argv", 1), ("@from-stdin", 2), ("from-file", 2), ("from-fd", 1)):
        assert journal.count(word.encode()) >= least
    assert b"second line" not in journal
    assert "from-" not in relayd.log()


def test_password_is_taken_out_of_argv(relayd):
    os.kill(relayd.pid, signal.SIGSTOP)
    tmail = subprocess.Popen([str(TMAIL), "-s", str(relayd.socket), "routes", "add", "-rh", "a", "-rl", "l",
                              "-rpwd", "geheim"], stdout=subprocess.PIPE, text=True)
    try:
        # It waits for an answer by now.
        until(lambda: "poll" in pathlib.Path(f"/proc/{tmail.pid}/wchan").read_text()
              or pathlib.Path(f"/proc/{tmail.pid}/stat").read_text().split()[2] == "S")
        words = pathlib.Path(f"/proc/{tmail.pid}/cmdline").read_bytes()
        assert b"-rpwd" in words and b"geheim" not in words
    finally:
        os.kill(relayd.pid, signal.SIGCONT)
    assert "l:********@a:25" in tmail.communicate(timeout=PATIENCE)[0]


# ---- terminals -------------------------------------------------------------------------------------

def test_words_on_a_terminal(relayd):
    line = "1 - Destination host: * - Prority: 1 - Local IPs: default - Remote host: a:25\n"
    assert ended(terminal(relayd, "tmail routes add -rh a")) == (line + "route 1 added (revision 1)\n", 0)
    assert ended(terminal(relayd, "tmail -q routes add -rh b")) == ("", 0)
    assert ended(terminal(relayd, "tmail routes add -rh c -o id")) == ("3\nroute 3 added (revision 3)\n", 0)
    assert ended(terminal(relayd, "tmail routes del -y 2 3")) == (
        "route 2 deleted (revision 4)\nroute 3 deleted (revision 4)\n", 0)
    # The list is the same everywhere.
    assert ended(terminal(relayd, "tmail routes list")) == (line, 0)


def test_warning_on_a_terminal(relayd):
    out, status = ended(terminal(relayd, "tmail routes add -rh a -rl l -rpwd geheim"))
    assert out.startswith(WARNING + "\n1 - ") and status == 0
    for line in ("tmail routes add -rh a -rl l -rpwd geheim", "tmail routes add -rh a -rl l -rpwd @route:1"):
        out, status = ended(terminal(relayd, line, TMAIL_NO_ARGV_WARNING="1" if "geheim" in line else "0"))
        assert "warning" not in out and status == 0


def test_prompt_does_not_echo(relayd):
    child = terminal(relayd, "tmail routes add -rh a -rl l -rpwd -")
    child.expect_exact("Password for l@a: ")
    child.waitnoecho()
    child.sendline("geheim")
    out, status = ended(child)
    assert status == 0 and "geheim" not in out and "route 1 added" in out
    assert any(b"geheim" in path.read_bytes() for path in relayd.state_dir.glob("routes.*"))


def test_interrupted_prompt(relayd):
    """The terminal gets its echo back, nothing is changed, and a shell sees 130."""
    child = terminal(relayd, "trap : INT; tmail routes add -rh a -rl l -rpwd -; echo status $?; stty -a")
    child.expect_exact("Password for l@a: ")
    child.waitnoecho()
    child.sendintr()
    child.expect(r"status (\d+)")
    assert child.match[1] == "130"
    out, _ = ended(child)
    assert " echo " in out
    assert relayd.tmail("routes", "list") == EMPTY


def test_question_before_a_deletion(relayd):
    relayd.tmail("routes", "add", "-rh", "a")
    relayd.tmail("routes", "add", "-rh", "b")
    for answer in ("n", "", "yesterday"):
        child = terminal(relayd, "tmail routes del 1")
        child.expect_exact("Remote host: a:25")
        child.expect_exact("Delete this route? [y/N] ")
        child.sendline(answer)
        out, status = ended(child)
        assert status == 1 and out.endswith("tmail: nothing was deleted\n")
    child = terminal(relayd, "tmail routes del 1 2")
    child.expect_exact("Remote host: a:25")
    child.expect_exact("Remote host: b:25")
    child.expect_exact("Delete these 2 routes? [y/N] ")
    child.sendline("y")
    out, status = ended(child)
    assert status == 0 and "route 2 deleted (revision 3)" in out
    assert relayd.tmail("routes", "list") == EMPTY
    # Nothing to ask about.
    out, status = ended(terminal(relayd, "tmail routes del 42"))
    assert (out, status) == ("tmail: no route 42\n", 3)


def test_colour(relayd):
    relayd.tmail("routes", "add", "-rh", "a")
    table = "tmail routes list -o table"
    assert "\x1b[1m" in ended(terminal(relayd, table))[0]
    assert "\x1b" not in ended(terminal(relayd, table, NO_COLOR="1"))[0]
    assert "\x1b" not in ended(terminal(relayd, table, TERM="dumb"))[0]
    assert "\x1b" not in ended(terminal(relayd, table + " --color=never"))[0]
    assert "\x1b" not in ended(terminal(relayd, "tmail routes list; tmail status; tmail routes list -o json"))[0]
    assert "\x1b[1m" in shell(relayd, table + " --color=always", NO_COLOR="1")[0]
    assert "\x1b" not in shell(relayd, table)[0]


def test_interrupt(relayd):
    os.kill(relayd.pid, signal.SIGSTOP)
    try:
        tmail = subprocess.Popen([str(TMAIL), "-s", str(relayd.socket), "status"], stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True)
        until(lambda: pathlib.Path(f"/proc/{tmail.pid}/stat").read_text().split()[2] == "S")
        tmail.send_signal(signal.SIGINT)
        out, err = tmail.communicate(timeout=PATIENCE)
    finally:
        os.kill(relayd.pid, signal.SIGCONT)
    # As the system's own doing: a shell makes 130 of it, and stops its script.
    assert (tmail.returncode, out, err) == (-signal.SIGINT, "", "")


# ---- long lists ------------------------------------------------------------------------------------

def test_closed_pipe(relayd):
    fill(relayd, 20000)
    out, err = shell(relayd, "tmail routes list | head -n 1; echo ${PIPESTATUS[0]}")
    assert out.splitlines()[1:] == ["141"] and out.startswith("1 - ") and err == ""
    # A parent that ignores SIGPIPE.
    out, err = shell(relayd, "trap '' PIPE; { tmail routes list; echo $? >&2; } | head -n 1")
    assert err == "141\n"


def peak_kib(command, environment, cwd):
    """Run it, its output to nowhere; the peak of its memory."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd=cwd) as child:
        count = sum(chunk.count(b"\n") for chunk in iter(lambda: child.stdout.read(1 << 20), b""))
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    return count, usage.ru_maxrss


@pytest.mark.skipif(SANITIZED, reason="sanitizers have memory of their own")
def test_flat_memory(relayd):
    environment = surroundings(relayd)
    fill(relayd, 10000)
    small = {name: peak_kib([str(TMAIL), "routes", "list", "-o", name], environment, relayd.folder)
             for name in ("text", "json", "csv", "table")}
    fill(relayd, 90000)
    for name, (few, little) in small.items():
        many, much = peak_kib([str(TMAIL), "routes", "list", "-o", name], environment, relayd.folder)
        assert many - few == 90000
        assert much < little + 4096, f"{name}: {little} KiB for 10,000 routes, {much} for 100,000"


def test_change_during_a_list(relayd):
    """Pages are made one by one; a route that is there all the time is in the list exactly once."""
    fill(relayd, 12000)
    with subprocess.Popen([str(TMAIL), "-s", str(relayd.socket), "routes", "list", "-o", "id"],
                          stdout=subprocess.PIPE, text=True) as tmail:
        first = tmail.stdout.readline()
        assert rpc(relayd, "routes.del", {"ids": list(range(6000, 6100))})["result"]["revision"] == 3
        ids = [int(line) for line in (first + tmail.stdout.read()).split()]
    assert tmail.returncode == 0
    assert ids == sorted(set(ids))
    assert set(range(1, 12001)) - set(ids) <= set(range(6000, 6100))
