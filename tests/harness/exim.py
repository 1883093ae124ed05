# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's Exim (exim4-daemon-light) as a private next hop: relays all to `next_hop`, (address, port)."""
from harness.places import PEERS
from harness.rooted import Rooted

PACKAGE = "exim4-daemon-light"
USER = {"Debian-exim": 6025}

CONF = """
primary_hostname = exim.example
exim_user = Debian-exim
log_selector = +tls_cipher +tls_certificate_verified
log_file_path = /var/spool/exim4/%slog
spool_directory = /var/spool/exim4
local_interfaces = {host}
daemon_smtp_ports = {port}
tls_advertise_hosts = *
tls_certificate = /etc/server.crt
tls_privatekey = /etc/server.key
auth_advertise_hosts = ${{if def:tls_in_cipher {{*}}{{}}}}
acl_smtp_rcpt = acl_rcpt
acl_smtp_data = acl_data
host_lookup =
rfc1413_hosts =
queue_only = false
keep_environment =
begin acl
acl_rcpt:
  accept authenticated = *
  deny message = authenticate first
acl_data:
  accept
begin routers
out:
  driver = manualroute
  route_list = * {next_host}
  transport = out
  self = send
begin transports
out:
  driver = smtp
  port = {next_port}
  allow_localhost
  hosts_avoid_tls = *
begin retry
* * F,1h,1m
begin authenticators
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${{if eq{{$auth1}}{{me}}{{secret}}fail}}
  server_set_id = $auth1
"""


def is_there():
    return (PEERS / PACKAGE / "library-path").exists()


def exim(next_hop, certificate, key):
    """Running; wants TLS, and a login by CRAM-MD5: me, with secret. `certificate`, `key`: files."""
    made = Rooted(PACKAGE, ["/usr/sbin/exim4"], USER)
    number = USER["Debian-exim"]
    made.write("/etc/exim4/exim4.conf", CONF.format(host=made.host, port=made.port, next_host=next_hop[0],
                                                    next_port=next_hop[1]))
    (made.root / "usr/sbin/exim4").chmod(0o4755)
    made.write("/etc/server.crt", certificate.read_text(), owner=number)
    made.write("/etc/server.key", key.read_text(), 0o600, number)
    made.folder("/var/spool/exim4", owner=number)
    # -bdf: in the foreground.
    return made.start("/usr/sbin/exim4", "-bdf")
