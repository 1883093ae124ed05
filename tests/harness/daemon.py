# SPDX-License-Identifier: GPL-3.0-or-later
"""
The real relayd as a test holds it: its own folder, its own loopback address, its own DNS; started,
stopped, killed and asked by tmail. What it logs is in a file, read by log(), lines(), fates().
"""
import itertools
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile

from harness import logline
from harness.control import Control
from harness.messages import stuffed
from harness.places import PATIENCE, RELAYD, TMAIL
from harness.talk import Talk
from harness.waiting import until

FINDING = re.compile(r"ERROR: \w+Sanitizer|runtime error:|WARNING: \w+Sanitizer|\.c:\d+: .*Assertion|^==\d+== [^ ]",
                     re.MULTILINE)
DEFAULTS = {
    "hostname": "relay.example",
    "retry": ["1h"],
    "shutdown_grace": "20s",
}

counter = itertools.count()


def own_address():
    """An address in 127/8 for one daemon: no port of another process can be in the way."""
    while True:
        number = os.getpid() * 251 + next(counter) * 7919
        address = f"127.{64 + number // 62500 % 64}.{number // 250 % 250 + 1}.{number % 250 + 2}"
        with socket.socket() as probe:
            try:
                probe.bind((address, 2525))
            except OSError:
                continue
            return address


def conf_value(value):
    """A value in libconfuse's words; a float stands for itself."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "{" + ", ".join(conf_value(one) for one in value) + "}"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def conf_text(settings, listeners):
    """relayd.conf: a dict becomes a section."""
    lines = []
    for key, value in settings.items():
        if value is None:
            continue
        if isinstance(value, dict):
            inside = "  ".join(f"{name} = {conf_value(one)}" for name, one in value.items())
            lines.append(f"{key} {{ {inside} }}")
        else:
            lines.append(f"{key} = {conf_value(value)}")
    lines += [f'listen "{listener}" {{}}' for listener in listeners]
    return "\n".join(lines) + "\n"


class Ended(AssertionError):
    """The daemon went away by itself."""


class Relayd:
    def __init__(self, dns=None, command=(), environment=None, listeners=(), owner=None, **settings):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="relayd-test-"))
        self.folder.chmod(0o755)
        self.host, self.port = own_address(), 2525
        self.state_dir = self.folder / "state"
        self.socket = self.folder / "control.sock"
        self.conf = self.folder / "relayd.conf"
        self.log_file = self.folder / "log"
        self.dns = dns
        # What to run relayd under; RELAYD_UNDER (valgrind and its options) is for tests/soak.
        self.command = list(command) or shlex.split(os.environ.get("RELAYD_UNDER", ""))
        self.arguments = []            # more of them for relayd
        self.environment = dict(os.environ, **(environment or {}))
        # The test's own terminal settings must not decide what is printed.
        for name in ("NOTIFY_SOCKET", "JOURNAL_STREAM", "RELAYD_CONF", "TMAIL_SOCKET"):
            if name not in (environment or {}):
                self.environment.pop(name, None)
        self.listeners = [f"{self.host}:{self.port}", *listeners]
        self.settings = dict(DEFAULTS, **settings)
        self.process = None
        self.expected_end = False
        self.log_file.touch()
        self.write_conf()

    # ---- configuration ----

    def write_conf(self, **settings):
        """Write relayd.conf anew, with these settings changed (None: left out)."""
        self.settings.update(settings)
        self.conf.write_text(self.conf_text())

    def conf_text(self):
        fixed = {"state_dir": self.state_dir, "control_socket": self.socket}
        if self.dns is not None:
            fixed["dns_servers"] = [self.dns.address]
        return conf_text({**fixed, **self.settings}, self.listeners)

    # ---- life ----

    def spawn(self):
        """Start it, and wait for nothing."""
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, str(RELAYD), "-f", str(self.conf), *self.arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment,
                cwd=self.folder, start_new_session=True)
        return self

    def start(self):
        self.spawn()
        until(self.listens, lambda: f"relayd listens; its log:\n{self.log()}", alive=self.assert_alive)
        return self

    def listens(self):
        try:
            with socket.create_connection((self.host, self.port), 5) as probe:
                probe.settimeout(PATIENCE)
                return probe.recv(4).startswith(b"220")
        except (ConnectionError, socket.timeout, TimeoutError):
            return False

    @property
    def pid(self):
        return self.process.pid

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def assert_alive(self):
        if not self.is_running():
            raise Ended(f"relayd ended with {self.process and self.process.returncode}:\n{self.log()}")

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait_end(self, seconds=None):
        return self.process.wait(seconds or PATIENCE)

    def stop(self):
        """SIGTERM, and it must end with 0 and no finding of a sanitizer."""
        if self.process is None:
            return
        if self.is_running():
            self.terminate()
        try:
            status = self.wait_end()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"relayd did not end after SIGTERM:\n{self.log()[-4000:]}") from None
        self.process = None
        self.assert_clean()
        assert status == 0, f"relayd ended with {status}:\n{self.log()[-4000:]}"

    def kill(self):
        """SIGKILL, now."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def restart(self):
        self.stop()
        return self.start()

    def close(self):
        """At the end of a test."""
        try:
            self.stop()
            self.assert_clean()
        finally:
            if self.dns is not None:
                self.dns.stop()
            shutil.rmtree(self.folder, ignore_errors=True)

    def assert_clean(self):
        found = FINDING.search(self.log())
        assert not found, self.log()[max(0, found.start() - 200):found.start() + 6000]

    # ---- the log ----

    def log(self):
        return self.log_file.read_text(errors="backslashreplace")

    def lines(self, event=None, queue_id=None):
        """Its log lines as values, in order."""
        every = filter(None, map(logline.read, self.log().splitlines()))
        return [line for line in every if event in (None, line.event) and queue_id in (None, line.id)]

    def wait_log(self, regex):
        return until(lambda: re.search(regex, self.log(), re.MULTILINE),
                     lambda: f"{regex!r} in the log:\n{self.log()[-6000:]}", alive=self.assert_alive)

    def wait(self, condition, what=None, seconds=None):
        return until(condition, lambda: f"{what or condition}; the log:\n{self.log()[-6000:]}",
                     seconds, alive=self.assert_alive)

    def fates(self, queue_id=None):
        """What became of recipients: the lines delivered, failed and deferred."""
        return [line for line in self.lines(queue_id=queue_id)
                if line.event in ("delivered", "failed", "deferred")]

    def fate(self, queue_id, address, event=None):
        """Wait for the first fate of one recipient (or its first `event`)."""
        def there():
            return next((line for line in self.fates(queue_id)
                         if line["to"] == address and event in (None, line.event)), None)

        return self.wait(there, f"a fate ({event or 'any'}) of {address} in {queue_id}")

    # ---- mail ----

    def smtp(self, **options):
        return smtplib.SMTP(self.host, self.port, options.pop("local_hostname", "client.example"),
                            PATIENCE, **options)

    def talk(self, **options):
        return Talk(self.host, self.port, **options)

    def send(self, data=b"Subject: test\r\n\r\nhello\r\n", sender="a@a.example",
             recipients=("b@b.example",), parameters=""):
        """Submit one message (CRLF lines); returns its queue id."""
        recipients = [recipients] if isinstance(recipients, str) else recipients
        with self.talk() as talk:
            talk.ehlo()
            reply = talk.message(stuffed(data), sender, recipients, parameters)
            assert reply == 250, reply
            talk.say("QUIT")
            return reply.queue_id

    # ---- tmail ----

    def tmail(self, *words, input=None, status=0, **environment):
        """Run tmail; its standard output. `status` None: the CompletedProcess, whatever came."""
        done = subprocess.run([str(TMAIL), *map(str, words)], input=input, capture_output=True, text=True,
                              timeout=PATIENCE, cwd=self.folder,
                              env=dict(self.environment, TMAIL_SOCKET=str(self.socket), **environment))
        assert not FINDING.search(done.stderr), done.stderr
        if status is None:
            return done
        assert done.returncode == status, f"tmail {' '.join(map(str, words))}: {done}"
        return done.stdout

    def tmail_json(self, *words):
        return json.loads(self.tmail(*words, "-o", "json"))

    def control(self):
        """The control socket, without tmail in between."""
        return Control(self.socket)

    def route(self, *words, to=None):
        """Add a route, to a peer if one is given; its id."""
        if to is not None:
            words = (*words, "-rh", to.host, "-rp", to.port)
        return int(self.tmail("routes", "add", *words, "-o", "id"))

    def queued(self):
        """How many messages are in the queue."""
        return int(re.search(r"\d+", self.tmail("queue", "count"))[0])

    def wait_empty(self, seconds=None):
        return self.wait(lambda: self.queued() == 0, "the queue is empty", seconds)

    def spool_files(self):
        return sorted(path for path in (self.state_dir / "spool").rglob("*") if path.is_file())
