# SPDX-License-Identifier: GPL-3.0-or-later
"""
A DNS server for tests, on one loopback port by UDP and TCP, that answers from a table and from nothing
else: what is not in the table does not exist.

    with Dns() as dns:
        dns.set("example.org", mx=[(10, "mx.example.org")])
        dns.set("mx.example.org", a=["127.0.0.2"], aaaa=["::1"], ttl=60)
        dns.set("nomail.example", mx=[(0, ".")])            # RFC 7505
        dns.set("alias.example", cname="example.org")
        dns.fail("broken.example", "SERVFAIL")              # or REFUSED, NXDOMAIN, ...
        dns.fail("deaf.example", "silence")
        ... dns_servers = {dns.address} ...
        dns.queries                                          # (name, type, "udp" or "tcp")

It plays the resolver that a forwarder asks: CNAMEs are followed within the table, RA is set.
Names under .test and .invalid are of no use in a test: resolvers keep those for themselves.
"""
import socket
import socketserver
import struct
import threading

import dnslib
from dnslib import QTYPE, RCODE, RR

TTL = 60


class Dns:
    def __init__(self, host="127.0.0.1"):
        self.records = {}   # (name, type) -> [RR]
        self.names = set()
        self.failures = {}  # name -> RCODE word or "silence"
        self.queries = []
        self.lock = threading.Lock()
        self.udp, self.tcp = self.servers(host)
        self.port = self.udp.server_address[1]
        self.address = f"{host}@{self.port}"
        for server in (self.udp, self.tcp):
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def servers(self, host):
        """Both protocols on one number."""
        for _ in range(50):
            udp = Udp((host, 0), UdpHandler)
            udp.dns = self
            try:
                tcp = Tcp((host, udp.server_address[1]), TcpHandler)
            except OSError:
                udp.server_close()
                continue
            tcp.dns = self
            return udp, tcp
        raise OSError("no port that is free for UDP and TCP")

    def set(self, name, a=(), aaaa=(), mx=(), cname=None, ttl=TTL):
        """All that is known of a name; what was known before is forgotten."""
        name = name.rstrip(".").lower()
        records = {"A": [RR(name, QTYPE.A, ttl=ttl, rdata=dnslib.A(ip)) for ip in a],
                   "AAAA": [RR(name, QTYPE.AAAA, ttl=ttl, rdata=dnslib.AAAA(ip)) for ip in aaaa],
                   "MX": [RR(name, QTYPE.MX, ttl=ttl, rdata=dnslib.MX(host, preference))
                          for preference, host in mx],
                   "CNAME": [RR(name, QTYPE.CNAME, ttl=ttl, rdata=dnslib.CNAME(cname))] if cname else []}
        with self.lock:
            self.names.add(name)
            self.failures.pop(name, None)
            for kind, some in records.items():
                self.records[name, kind] = some

    def fail(self, name, how):
        with self.lock:
            self.failures[name.rstrip(".").lower()] = how

    def asked(self, name, kind=None):
        """How often a name was asked for."""
        name = name.rstrip(".").lower()
        return sum(1 for query in self.queries if query[0] == name and kind in (None, query[1]))

    def answer(self, packet, protocol):
        """The reply's octets, or None for silence."""
        try:
            request = dnslib.DNSRecord.parse(packet)
        except dnslib.DNSError:
            return None
        reply = request.reply(ra=1, aa=0)
        name = str(request.q.qname).rstrip(".").lower()
        kind = QTYPE.get(request.q.qtype)
        with self.lock:
            self.queries.append((name, kind, protocol))
            for _ in range(16):
                how = self.failures.get(name)
                if how == "silence":
                    return None
                if how is not None:
                    reply.header.rcode = getattr(RCODE, how)
                    break
                if name not in self.names:
                    reply.header.rcode = RCODE.NXDOMAIN
                    break
                alias = self.records[name, "CNAME"]
                if not alias or kind == "CNAME":
                    reply.add_answer(*self.records.get((name, kind), ()))
                    break
                reply.add_answer(*alias)
                name = str(alias[0].rdata.label).rstrip(".").lower()
            if not reply.rr or reply.rr[-1].rtype == QTYPE.CNAME != request.q.qtype:
                self.add_authority(reply, name)
        octets = reply.pack()
        if protocol == "udp" and len(octets) > 1232:
            octets = reply.truncate().pack()
        return octets

    @staticmethod
    def add_authority(reply, name):
        zone = name.partition(".")[2] or "."
        reply.add_auth(RR(zone, QTYPE.SOA, ttl=TTL,
                          rdata=dnslib.SOA("ns.example", "root.example", (1, 60, 60, 60, 1))))

    def stop(self):
        for server in (self.udp, self.tcp):
            server.shutdown()
            server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Udp(socketserver.ThreadingMixIn, socketserver.UDPServer):
    daemon_threads = True
    block_on_close = False


class Tcp(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False


class UdpHandler(socketserver.BaseRequestHandler):
    def handle(self):
        packet, reply_to = self.request
        octets = self.server.dns.answer(packet, "udp")
        if octets is not None:
            reply_to.sendto(octets, self.client_address)


class TcpHandler(socketserver.StreamRequestHandler):
    timeout = 30

    def handle(self):
        try:
            while len(head := self.rfile.read(2)) == 2:
                packet = self.rfile.read(struct.unpack("!H", head)[0])
                octets = self.server.dns.answer(packet, "tcp")
                if octets is None:
                    self.rfile.read()
                    return
                self.wfile.write(struct.pack("!H", len(octets)) + octets)
        except (TimeoutError, socket.timeout, ConnectionError):
            return
