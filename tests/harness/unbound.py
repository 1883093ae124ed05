# SPDX-License-Identifier: GPL-3.0-or-later
"""
Debian's unbound as a private resolver on loopback, from the unpacked package (tests/peers/fetch). It has the
whole tree of names in one zone of the test's and asks nobody else, but for names that are forwarded to an
address at which nobody answers.
"""
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile

import dnslib

from harness.daemon import own_address
from harness.places import PATIENCE, PEERS
from harness.waiting import until

UNPACKED = PEERS / "unbound"

CONF = """
server:
    interface: {host}@{port}
    access-control: 127.0.0.0/8 allow
    directory: "{folder}"
    chroot: ""
    username: ""
    pidfile: ""
    logfile: "{folder}/log"
    use-syslog: no
    verbosity: 1
    log-queries: yes
    log-time-ascii: no
    do-daemonize: no
    do-not-query-localhost: no
    do-ip6: no
    module-config: "iterator"
    num-threads: 1
    edns-buffer-size: 1232
    max-udp-size: 1232
    # Names of tests are under .example, which unbound would keep to itself.
    local-zone: "example." nodefault
remote-control:
    control-enable: no
auth-zone:
    name: "."
    zonefile: "{folder}/zone"
    for-downstream: no
    for-upstream: yes
    fallback-enabled: no
"""
FORWARD = """
forward-zone:
    name: "{name}"
    forward-addr: {where}
"""


def is_there():
    return (UNPACKED / "library-path").exists()


class Unbound:
    """`zone`: lines of a zone file for the root; `forwarded`: {name: "address@port"}."""

    def __init__(self, zone, forwarded=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="unbound-test-"))
        self.folder.chmod(0o755)
        self.host, self.port = own_address(), 5353
        self.address = f"{self.host}@{self.port}"
        head = "$TTL 3600\n. IN SOA ns. root. 1 60 60 60 60\n. IN NS ns.\nns. IN A 127.0.0.1\n"
        (self.folder / "zone").write_text(head + "\n".join(zone) + "\n")
        conf = CONF.format(host=self.host, port=self.port, folder=self.folder)
        for name, where in (forwarded or {}).items():
            conf += FORWARD.format(name=name, where=where)
        (self.folder / "conf").write_text(conf)
        self.process = None

    def start(self):
        environment = dict(os.environ)
        path = (UNPACKED / "library-path").read_text().strip()
        if path:
            environment["LD_LIBRARY_PATH"] = path
        with (self.folder / "output").open("wb") as out:
            self.process = subprocess.Popen([str(UNPACKED / "usr/sbin/unbound"), "-d", "-c", str(self.folder / "conf")],
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment)
        until(self.answers, self.said, alive=self.assert_alive)
        return self

    def said(self):
        return "".join(path.read_text(errors="replace") for path in (self.folder / "output", self.folder / "log")
                       if path.exists())

    def assert_alive(self):
        assert self.process.poll() is None, self.said()

    def answers(self):
        try:
            reply = dnslib.DNSRecord.question("ns", "A").send(self.host, self.port, timeout=1)
        except (OSError, socket.timeout):
            return False
        return bool(dnslib.DNSRecord.parse(reply).rr)

    def asked(self, name, kind):
        """How often a client has asked for that."""
        name = re.escape(name.rstrip(".") + ".")
        return len(re.findall(rf"info: \S+ {name} {kind} IN$", self.said(), re.MULTILINE))

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
