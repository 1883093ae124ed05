# SPDX-License-Identifier: GPL-3.0-or-later
"""
The daemon's life: its options, wrong configurations named by line, detaching, SIGTERM with work in
flight, SIGHUP, sd_notify, the user it becomes, a second daemon on the same state directory.
"""
import fcntl
import os
import pwd
import re
import signal
import socket
import stat
import subprocess

import pytest

from harness.places import PATIENCE, RELAYD
from harness.waiting import until
from peer.scripted import Hold


def run(*arguments, **options):
    return subprocess.run([str(RELAYD), *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE,
                          **options)


# ---- options ---------------------------------------------------------------------------------------

def test_version():
    done = run("-V")
    assert done.returncode == 0 and re.fullmatch(r"relayd \d+\.\d+\.\d+\n", done.stdout) and not done.stderr


def test_wrong_options_print_the_usage():
    for words in (["-x"], ["-f"], ["word"]):
        done = run(*words)
        assert done.returncode == 2 and "usage: relayd" in done.stderr and not done.stdout


def test_check_of_a_good_configuration(make_relayd):
    relayd = make_relayd(start=False)
    done = run("-n", "-f", relayd.conf)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert run("-n", env=dict(os.environ, RELAYD_CONF=str(relayd.conf))).returncode == 0
    assert not relayd.state_dir.exists(), "a check makes nothing"


def test_the_least_configuration_is_enough(tmp_path):
    conf = tmp_path / "relayd.conf"
    conf.write_text(f'state_dir = "{tmp_path}/s"\ncontrol_socket = "{tmp_path}/c"\nlisten "127.0.0.1:2525" {{}}\n')
    done = run("-n", "-f", conf)
    assert done.returncode == 0, done.stderr


GOOD = '# a comment\nhostname = "relay.example"\nstate_dir = "/nonexistent"\ncontrol_socket = "/nonexistent/c"\n' \
       'listen "127.0.0.1:2525" {}\n'


# (a line that is added as line 6, what the message has to hold)
@pytest.mark.parametrize("line, words", [
    ('log_level = "loud"', "loud"),
    ('log_format = "xml"', "xml"),
    ('loglevel = "info"', "loglevel"),
    ('limits { conections = 3 }', "conections"),
    ('timeouts { command = "5 bananas" }', "5 bananas"),
    ('timeouts { command = "-5m" }', "-5m"),
    ('message_size = "50X"', "50X"),
    ('message_size = "0"', "0"),
    ('queue_lifetime = ""', "queue_lifetime"),
    ('retry = {"1m", "soon"}', "soon"),
    ('retry = {}', "retry"),
    ('relay_from = {"127.0.0.0/33"}', "127.0.0.0/33"),
    ('relay_from = {"everybody"}', "everybody"),
    ('relay_domains = {"b..example"}', "b..example"),
    ('dns_servers = {"nameserver@53"}', "nameserver"),
    ('local_ips = "127.0.0.1|127.0.0.2&127.0.0.3"', "127.0.0.1|127.0.0.2&127.0.0.3"),
    ('limits { connections = 0 }', "connections"),
    ('limits { outbound = -1 }', "outbound"),
    ('listen "127.0.0.1:99999" {}', "99999"),
    ('listen "127.0.0.1" {}', "127.0.0.1"),
    ('listen "127.0.0.1:2525" {}', "127.0.0.1:2525"),
    ('this is no configuration', ""),
    ('hostname = "un', ""),
])
def test_wrong_lines_are_named(tmp_path, line, words):
    conf = tmp_path / "relayd.conf"
    conf.write_text(GOOD + line + "\n")
    done = run("-n", "-f", conf)
    assert done.returncode == 1 and not done.stdout
    assert re.match(rf"relayd: {re.escape(str(conf))}:[6-8]: ", done.stderr), done.stderr
    assert words in done.stderr and done.stderr.count("\n") == 1
    started = run("-f", conf)
    assert started.returncode == 1 and started.stderr == done.stderr, "a start says the same"


@pytest.mark.parametrize("missing", ["state_dir", "listen"])
def test_what_is_missing_is_named(tmp_path, missing):
    conf = tmp_path / "relayd.conf"
    conf.write_text("".join(line + "\n" for line in GOOD.splitlines() if not line.startswith(missing)))
    done = run("-n", "-f", conf)
    if missing == "state_dir" and done.returncode == 0:
        return  # it has a default
    assert done.returncode == 1 and missing in done.stderr and str(conf) in done.stderr


def test_a_configuration_that_is_not_there(tmp_path):
    done = run("-f", tmp_path / "none.conf")
    assert done.returncode == 1 and "none.conf" in done.stderr and "No such file" in done.stderr


def test_an_address_that_is_taken_is_named(relayd, make_relayd):
    other = make_relayd(start=False)
    other.listeners = [f"{relayd.host}:{relayd.port}"]
    other.write_conf()
    done = run("-f", other.conf)
    assert done.returncode == 1 and f"{relayd.host}:{relayd.port}" in done.stderr and "in use" in done.stderr


def test_detach(make_relayd):
    """-d: the parent returns when mail can be taken; the child has no terminal and no parent."""
    relayd = make_relayd(start=False)
    with relayd.log_file.open("ab") as log:
        done = subprocess.run([str(RELAYD), "-d", "-f", str(relayd.conf)], stdin=subprocess.DEVNULL, stdout=log,
                              stderr=log, timeout=PATIENCE, env=relayd.environment)
    assert done.returncode == 0
    assert relayd.listens()
    lock = relayd.state_dir / "relayd.lock"
    pid = int(lock.read_text())
    try:
        with open(f"/proc/{pid}/stat") as stat_file:
            fields = stat_file.read().rpartition(")")[2].split()
        assert int(fields[3]) != os.getsid(0), "a session of its own"
        assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
    finally:
        os.kill(pid, signal.SIGTERM)

    def ended():
        with lock.open() as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                return False

    until(ended, "it has ended")
    assert "stopped" in relayd.log()


def test_detach_says_when_it_fails(make_relayd, relayd):
    other = make_relayd(start=False)
    other.listeners = [f"{relayd.host}:{relayd.port}"]
    other.write_conf()
    done = run("-d", "-f", other.conf)
    assert done.returncode == 1 and "in use" in done.stderr


# ---- SIGTERM ---------------------------------------------------------------------------------------

def refuses(relayd):
    try:
        socket.create_connection((relayd.host, relayd.port), 5).close()
        return False
    except ConnectionResetError:
        return False  # it was in the backlog when that was closed
    except ConnectionRefusedError:
        return True


def test_no_connection_is_taken_any_more(make_relayd):
    """Refused, so that a client goes elsewhere at once: not left waiting in the backlog."""
    relayd = make_relayd()
    with relayd.talk() as talk:
        talk.ehlo()
        talk.envelope()
        assert talk.say("DATA") == 354
        relayd.terminate()
        relayd.wait(lambda: refuses(relayd), "connections are refused", 10)
        talk.send(".\r\n")
        assert talk.reply() == 250


def test_sigterm_again_and_again(make_relayd):
    """The second one means "at once", and however many follow, the end is an orderly one."""
    relayd = make_relayd()
    with relayd.talk() as talk:
        talk.ehlo()
        while relayd.is_running():
            relayd.terminate()
    assert relayd.wait_end() == 0


def test_a_transaction_in_flight_is_completed(make_relayd, make_peer):
    relayd = make_relayd(retry=["1s"])
    relayd.route(to=make_peer(up=False))
    with relayd.talk() as busy, relayd.talk() as idle:
        busy.ehlo()
        busy.envelope()
        assert busy.say("DATA") == 354
        relayd.terminate()
        assert idle.reply() == "421 4.3.2"
        assert idle.ended()
        busy.send("Subject: in flight\r\n\r\nx\r\n.\r\n")
        assert busy.reply() == 250
        assert busy.reply() == "421 4.3.2"
        assert busy.ended()
    assert relayd.wait_end() == 0
    relayd.start()
    assert relayd.queued() == 1


def test_a_transaction_that_does_not_end_is_cut_after_the_grace(make_relayd):
    relayd = make_relayd(shutdown_grace="1s")
    with relayd.talk() as talk:
        talk.ehlo()
        talk.envelope()
        assert talk.say("DATA") == 354
        talk.send("half a mess")
        relayd.terminate()
        assert relayd.wait_end() == 0
        assert talk.ended()
    relayd.start()
    assert relayd.queued() == 0


def test_a_delivery_in_flight_is_completed(make_relayd, make_peer):
    hold = Hold("250 2.0.0 at last")
    peer = make_peer({"dot": hold})
    relayd = make_relayd()
    relayd.route(to=peer)
    queue_id = relayd.send()
    assert hold.reached.wait(PATIENCE)
    relayd.terminate()
    relayd.wait_log(" stopping ")
    hold.release()
    assert relayd.wait_end() == 0
    assert relayd.fates(queue_id)[0].event == "delivered"
    relayd.start()
    assert relayd.queued() == 0 and len(peer.messages) == 1


def test_sigint_is_as_good(make_relayd):
    relayd = make_relayd()
    relayd.process.send_signal(signal.SIGINT)
    assert relayd.wait_end() == 0


# ---- SIGHUP ----------------------------------------------------------------------------------------

def announced(relayd):
    with relayd.talk() as talk:
        return next(line for line in talk.ehlo().lines if line.startswith("SIZE"))


def test_a_good_reload(make_relayd):
    relayd = make_relayd(message_size="1M", relay_domains=["b.example"], relay_from=["192.0.2.0/24"])
    with relayd.talk() as talk:
        talk.ehlo()
        talk.envelope()
        relayd.write_conf(message_size="2M", relay_domains=["c.example"], hostname="new.example")
        relayd.reload()
        relayd.wait_log(" reloaded ")
        # The connection stands, its transaction too; what is decided from now on is decided anew.
        assert talk.say("RCPT TO:<c@c.example>") == 250
        assert talk.say("RCPT TO:<b2@b.example>") == "550 5.7.1"
        assert talk.say("DATA") == 354
        assert talk.say(".") == 250
    assert announced(relayd) == f"SIZE {2 << 20}"
    with relayd.talk() as talk:
        assert "new.example" in talk.greeting.text


def test_a_bad_reload_changes_nothing(make_relayd):
    relayd = make_relayd(message_size="1M")
    good = relayd.conf.read_text()
    with relayd.talk() as talk:
        relayd.conf.write_text(good.replace('"1M"', '"2M"') + 'log_level = "loud"\n')
        relayd.reload()
        line = relayd.wait_log(r" reload-refused .*")[0]
        assert "loud" in line and f"{relayd.conf}:{good.count(chr(10)) + 1}" in line
        assert talk.say("NOOP") == 250
    assert announced(relayd) == f"SIZE {1 << 20}"
    relayd.conf.unlink()
    relayd.reload()
    relayd.wait_log(r" reload-refused .*No such file")
    assert announced(relayd) == f"SIZE {1 << 20}"


def test_what_needs_a_restart_is_said(make_relayd):
    relayd = make_relayd()
    relayd.write_conf(control_socket=str(relayd.folder / "other.sock"))
    relayd.reload()
    assert "control_socket" in relayd.wait_log(" needs-restart .*")[0]
    relayd.tmail("status")


def test_reloads_under_load(make_relayd, make_peer):
    """Each one replaces every string and limit that sessions and attempts work with."""
    relayd = make_relayd(retry=["1s"])
    peer = make_peer({"rcpt": lambda session, address: "450 4.2.0 later" if session.number % 5 == 0 else None})
    relayd.route(to=peer)
    with relayd.talk() as talk:
        talk.ehlo()
        for number in range(300):
            assert talk.message(b"Subject: %d\r\n\r\n" % number) == 250
            if number % 10 == 0:
                relayd.write_conf(hostname=f"relay{number}.example", local_ips="127.0.0.1" if number % 20 else None,
                                  retry=["1s"] * (number % 3 + 1), relay_domains=[f"d{number}.example"])
                relayd.reload()
    relayd.wait_empty()
    assert len(peer.taken) == 300 and not relayd.lines("reload-refused")


def test_many_reloads(relayd):
    for _ in range(50):
        relayd.reload()
        relayd.assert_alive()
    relayd.wait_log(" reloaded ")
    relayd.tmail("status")


# ---- systemd ---------------------------------------------------------------------------------------

def test_sd_notify(make_relayd):
    relayd = make_relayd(start=False)
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(relayd.folder / "notify"))
    manager.settimeout(PATIENCE)
    relayd.environment["NOTIFY_SOCKET"] = str(relayd.folder / "notify")

    def said():
        return dict(line.split("=", 1) for line in manager.recv(4096).decode().splitlines())

    relayd.spawn()
    assert said()["READY"] == "1"
    assert relayd.listens(), "ready means ready"
    relayd.reload()
    message = said()
    assert message["RELOADING"] == "1" and int(message["MONOTONIC_USEC"]) > 0
    assert said()["READY"] == "1"
    relayd.conf.write_text("nonsense\n")
    relayd.reload()
    assert said()["RELOADING"] == "1" and said()["READY"] == "1", "a refused reload leaves it ready"
    relayd.terminate()
    assert said()["STOPPING"] == "1"
    assert relayd.wait_end() == 0
    manager.close()


# ---- users and files -------------------------------------------------------------------------------

def test_root_becomes_the_user(root, make_relayd, make_peer):
    """It binds a port below 1024, then is `user` and nothing else; the queue is taken up as that user."""
    user = pwd.getpwnam("nobody")
    relayd = make_relayd(start=False, user="nobody")
    relayd.folder.chmod(0o777)
    relayd.listeners.append(f"{relayd.host}:587")
    relayd.write_conf()
    relayd.start()
    with socket.create_connection((relayd.host, 587), PATIENCE) as low:
        assert low.recv(3) == b"220"
    with open(f"/proc/{relayd.pid}/status") as lines:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in lines if ":\t" in line)
    assert set(status["Uid"].split()) == {str(user.pw_uid)} and set(status["Gid"].split()) == {str(user.pw_gid)}
    assert "0" not in status["Groups"].split()
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0 and status["NoNewPrivs"] == "1"
    assert os.stat(f"/proc/{relayd.pid}/fd").st_uid == 0, "not dumpable: its memory has passwords in it"
    relayd.route(to=make_peer(up=False))
    relayd.send()
    for path in [relayd.state_dir, *relayd.state_dir.rglob("*")]:
        assert path.stat().st_uid == user.pw_uid, path
        assert not path.stat().st_mode & 0o007, path
    relayd.restart()
    assert relayd.queued() == 1
    assert len(relayd.tmail("routes", "list").splitlines()) == 1


def test_root_and_a_user_that_is_not_there(root, make_relayd):
    relayd = make_relayd(start=False, user="nobody-of-that-name")
    done = run("-f", relayd.conf)
    assert done.returncode == 1 and "nobody-of-that-name" in done.stderr


def test_modes(relayd):
    """Passwords lie in the state directory, and who may talk to the socket changes routes."""
    relayd.tmail("routes", "add", "-rh", "x.example", "-rl", "me", "-rpwd", "-", input="secret\n")
    relayd.send()
    assert stat.S_IMODE(relayd.state_dir.stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE(relayd.socket.stat().st_mode) == 0o660
    for path in relayd.state_dir.rglob("*"):
        assert not path.stat().st_mode & 0o007, path
    assert "secret" not in relayd.log() and "secret" not in relayd.tmail("routes", "list")


def test_a_second_daemon_is_refused_by_name(relayd, make_relayd):
    other = make_relayd(start=False)
    other.state_dir = relayd.state_dir
    other.write_conf()
    before = sorted(path.name for path in relayd.state_dir.rglob("*"))
    done = run("-f", other.conf)
    assert done.returncode == 1
    assert str(relayd.state_dir) in done.stderr and str(relayd.pid) in done.stderr
    assert sorted(path.name for path in relayd.state_dir.rglob("*")) == before
    assert relayd.send() and relayd.tmail("status")


def test_a_socket_left_by_a_kill_is_no_obstacle(make_relayd):
    relayd = make_relayd()
    relayd.kill()
    assert relayd.socket.exists()
    relayd.start()
    relayd.tmail("status")
    relayd.stop()
    assert not relayd.socket.exists()
    assert relayd.tmail("status", status=None).returncode == 7


def test_a_control_socket_in_use_is_not_taken_over(relayd, make_relayd):
    other = make_relayd(start=False)
    other.socket = relayd.socket
    other.write_conf()
    done = run("-f", other.conf)
    assert done.returncode == 1 and str(relayd.socket) in done.stderr
    relayd.tmail("status")


def test_status(relayd, make_peer):
    relayd.route(to=make_peer())
    relayd.send()
    relayd.wait_empty()
    text = relayd.tmail("status")
    assert "relay.example" in text and re.search(r"\d+\.\d+\.\d+", text)
    assert relayd.tmail_json("status")
    assert re.search(r"\d+\.\d+\.\d+", relayd.tmail("version"))
