# SPDX-License-Identifier: GPL-3.0-or-later
"""
Debian's Postfix as a private instance: configuration, queue and data in a folder of its own, on loopback,
from the unpacked package (tests/peers/fetch); nothing of it is installed. And its test tools, smtp-source
and smtp-sink.

Postfix's master has to be root. The accounts `news` and `uucp`, which every Debian has and nothing here
uses, stand in for `postfix` and `postdrop`.
"""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

from harness.daemon import own_address
from harness.places import PATIENCE, PEERS
from harness.waiting import until

UNPACKED = PEERS / "postfix"
OWNER, GROUP = "news", "uucp"

SERVICES = """
cleanup   unix  n  -  n  -     0    cleanup
qmgr      unix  n  -  n  300   1    qmgr
rewrite   unix  -  -  n  -     -    trivial-rewrite
bounce    unix  -  -  n  -     0    bounce
defer     unix  -  -  n  -     0    bounce
trace     unix  -  -  n  -     0    bounce
flush     unix  n  -  n  1000? 0    flush
proxymap  unix  -  -  n  -     -    proxymap
smtp      unix  -  -  n  -     -    smtp
error     unix  -  -  n  -     -    error
retry     unix  -  -  n  -     -    error
scache    unix  -  -  n  -     1    scache
anvil     unix  -  -  n  -     1    anvil
showq     unix  n  -  n  -     -    showq
tlsmgr    unix  -  -  n  1000? 1    tlsmgr
postlog   unix-dgram n - n -   1    postlogd
"""


def is_there():
    return (UNPACKED / "library-path").exists()


def environment():
    path = (UNPACKED / "library-path").read_text().strip()
    return dict(os.environ, LD_LIBRARY_PATH=path)


def sasl_path():
    """Where the mechanisms of Cyrus SASL are: of the packages that were fetched, and of this system."""
    places = [*PEERS.glob("libsasl2-modules*/usr/lib/*/sasl2"), *UNPACKED.glob("usr/lib/*/sasl2"),
              *pathlib.Path("/usr/lib").glob("*/sasl2")]
    return ":".join(map(str, places))


def tool(name):
    return str(UNPACKED / "usr/sbin" / name)


def answers(address):
    try:
        with socket.create_connection(address, 5) as probe:
            probe.settimeout(PATIENCE)
            return probe.recv(4).startswith(b"220")
    except OSError:
        return False


class Postfix:
    """An instance that relays everything to `next_hop`, (address, port)."""

    def __init__(self, next_hop, **settings):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="postfix-test-"))
        self.folder.chmod(0o755)
        self.host, self.port = own_address(), 2525
        self.process = None
        self.log_file = self.folder / "log"
        daemons = UNPACKED / "usr/lib/postfix/sbin"
        self.settings = {
            "compatibility_level": "3.6",
            "queue_directory": self.folder / "queue",
            "data_directory": self.folder / "data",
            "command_directory": UNPACKED / "usr/sbin",
            "daemon_directory": daemons,
            "shlib_directory": UNPACKED / "usr/lib/postfix",
            "meta_directory": self.folder / "conf",
            "mail_owner": OWNER,
            "setgid_group": GROUP,
            "default_privs": "nobody",
            "import_environment": "MAIL_CONFIG LD_LIBRARY_PATH",
            "maillog_file": self.log_file,
            "maillog_file_prefixes": self.folder,
            "myhostname": "postfix.example",
            "mydestination": "",
            "mynetworks": "127.0.0.0/8",
            "relayhost": f"[{next_hop[0]}]:{next_hop[1]}",
            "inet_interfaces": "all",
            "inet_protocols": "ipv4",
            "alias_maps": "",
            "local_recipient_maps": "",
            "smtpd_relay_restrictions": "permit_mynetworks, reject",
            "smtpd_peername_lookup": "no",
            "smtpd_client_connection_count_limit": "0",
            "disable_dns_lookups": "yes",
            "smtputf8_enable": "no",
            "message_size_limit": "0",
            # Nothing of a message is to be changed: what the tests compare is what was sent.
            "message_drop_headers": "",
            "local_header_rewrite_clients": "",
            "disable_mime_input_processing": "yes",
            "disable_mime_output_conversion": "yes",
            "header_size_limit": "10000000",
            "smtp_line_length_limit": "0",
            **settings,
        }

    def write(self):
        (self.folder / "conf").mkdir(exist_ok=True)
        lines = [f"{key} = {value}" for key, value in self.settings.items()]
        (self.folder / "conf/main.cf").write_text("\n".join(lines) + "\n")
        service = f"{self.host}:{self.port} inet n - n - - smtpd\n"
        (self.folder / "conf/master.cf").write_text(service + SERVICES.lstrip())
        data = self.folder / "data"
        data.mkdir(mode=0o755)
        shutil.chown(data, OWNER)
        queue = self.folder / "queue"
        queue.mkdir(mode=0o755)
        for name in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private",
                     "saved", "trace"):
            (queue / name).mkdir(mode=0o700)
            shutil.chown(queue / name, OWNER)
        for name, mode in (("maildrop", 0o1730), ("public", 0o2710)):
            (queue / name).mkdir()
            shutil.chown(queue / name, OWNER, GROUP)
            (queue / name).chmod(mode)
        (queue / "pid").mkdir(mode=0o755)

    def add_logins(self, logins, mechanisms):
        """{login: password} for its clients, by Cyrus SASL; before start()."""
        # Debian's Postfix looks there.
        database, folder = self.folder / "sasldb2", self.folder / "conf/sasl"
        for login, password in logins.items():
            subprocess.run([str(PEERS / "sasl2-bin/usr/sbin/saslpasswd2"), "-p", "-c", "-f", str(database),
                            "-u", "postfix.example", login], input=password, text=True, check=True,
                           capture_output=True, env=dict(environment(), SASL_PATH=sasl_path()))
        shutil.chown(database, OWNER)
        folder.mkdir(parents=True)
        (folder / "smtpd.conf").write_text(
            f"pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {database}\nmech_list: {mechanisms}\n")
        self.settings.update({
            "smtpd_sasl_auth_enable": "yes", "smtpd_tls_auth_only": "yes",
            "smtpd_sasl_local_domain": "postfix.example", "smtpd_sasl_security_options": "noanonymous",
            "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
            "import_environment": "MAIL_CONFIG LD_LIBRARY_PATH SASL_PATH",
        })

    def add_tls(self, certificate, key):
        """Wanted of every client; before start()."""
        self.settings.update({"smtpd_tls_security_level": "encrypt", "smtpd_tls_cert_file": certificate,
                              "smtpd_tls_key_file": key, "smtpd_tls_loglevel": "1",
                              "smtpd_tls_received_header": "yes"})

    def start(self):
        self.write()
        master = str(UNPACKED / "usr/lib/postfix/sbin/master")
        with (self.folder / "output").open("wb") as out:
            self.process = subprocess.Popen([master, "-d", "-c", str(self.folder / "conf")], stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=out, start_new_session=True,
                                            env=dict(environment(), SASL_PATH=sasl_path()))
        until(lambda: answers((self.host, self.port)), self.said, alive=self.assert_alive)
        return self

    def said(self):
        return "".join(path.read_text(errors="replace") for path in (self.folder / "output", self.log_file)
                       if path.exists())

    def assert_alive(self):
        assert self.process.poll() is None, self.said()

    def queued(self):
        return sum(1 for name in ("incoming", "active", "deferred", "maildrop")
                   for path in (self.folder / "queue" / name).rglob("*") if path.is_file())

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            # master takes its children with it.
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


class SmtpSink:
    """smtp-sink, which writes each message it gets to a file (folder) or counts them alone."""

    def __init__(self, folder=None, sessions=400, options=()):
        self.host, self.port = own_address(), 2526
        self.folder = folder
        keep = ["-d", "message.%M."] if folder else []
        if os.getuid() == 0:
            keep += ["-u", OWNER]
            if folder:
                shutil.chown(folder, OWNER)
        command = [tool("smtp-sink"), *keep, *options, "-m", str(sessions), f"{self.host}:{self.port}", "1000"]
        self.process = subprocess.Popen(command, cwd=folder, env=environment(), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        until(lambda: answers((self.host, self.port)), "smtp-sink listens", alive=self.assert_alive)

    def assert_alive(self):
        assert self.process.poll() is None, self.process.stderr.read()

    def stop(self):
        self.process.terminate()
        self.process.communicate(timeout=PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
