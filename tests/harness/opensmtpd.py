# SPDX-License-Identifier: GPL-3.0-or-later
"""
Debian's OpenSMTPD as a private next hop: relays all to `next_hop`, (address, port).

The one of Debian 12 (6.8.0p2) offers STARTTLS and can't do it: with OpenSSL 3 its server ends each handshake with
an alert (OpenSMTPD's issues 1171, 1239).
"""
from harness.places import PEERS
from harness.rooted import Rooted

PACKAGE = "opensmtpd"
USERS = {"opensmtpd": 6125, "opensmtpq": 6126, "_smtpd": 6127, "_smtpq": 6128}

CONF = """
pki "server" cert "/etc/server.crt"
pki "server" key "/etc/server.key"
listen on {host} port {port} tls pki "server" hostname opensmtpd.example
action "out" relay host smtp://{next_host}:{next_port} helo opensmtpd.example
match from any for any action "out"
"""


def is_there():
    return (PEERS / PACKAGE / "library-path").exists()


def opensmtpd(next_hop, certificate, key):
    """Running. `certificate`, `key`: files."""
    made = Rooted(PACKAGE, ["/usr/sbin/smtpd", "/usr/sbin/smtpctl"], USERS)
    made.write("/etc/smtpd.conf", CONF.format(host=made.host, port=made.port, next_host=next_hop[0],
                                              next_port=next_hop[1]))
    made.write("/etc/server.crt", certificate.read_text())
    made.write("/etc/server.key", key.read_text(), 0o600)
    made.folder("/var/spool/smtpd", 0o711)
    made.folder("/var/lib/opensmtpd/empty")
    return made.start("/usr/sbin/smtpd", "-d", "-f", "/etc/smtpd.conf")
