# SPDX-License-Identifier: GPL-3.0-or-later
"""An SMTP client that sends exactly the octets it is given, for what no well-behaved client would say."""
import re
import socket

from harness.places import PATIENCE


class Reply:
    def __init__(self, code, lines):
        self.code, self.lines = code, lines
        self.text = "\n".join(lines)
        found = re.match(r"([245]\.\d{1,3}\.\d{1,3}) ", lines[0])
        self.status = found[1] if found else None

    def __repr__(self):
        return f"{self.code} {self.text!r}"

    def __eq__(self, other):
        """Against 250 or "550 5.7.1"."""
        if isinstance(other, int):
            return self.code == other
        if isinstance(other, str):
            return f"{self.code} {self.status}" == other
        return NotImplemented

    @property
    def queue_id(self):
        return int(re.search(r"\b(\d+)\b(?!.*\b\d+\b)", self.text[6:])[1])


class Talk:
    def __init__(self, host, port, source=None, greet=True):
        self.socket = socket.create_connection((host, port), PATIENCE, (source, 0) if source else None)
        # What is said in several writes is not to wait for the other side's acknowledgement.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = b""
        self.greeting = self.reply() if greet else None

    def send(self, octets):
        self.socket.sendall(octets if isinstance(octets, bytes) else octets.encode())

    def line(self):
        while b"\r\n" not in self.input:
            block = self.socket.recv(65536)
            if not block:
                raise EOFError(f"closed after {self.input!r}")
            self.input += block
        line, _, self.input = self.input.partition(b"\r\n")
        return line.decode()

    def reply(self):
        lines = []
        while True:
            line = self.line()
            assert re.match(r"[2-5][0-9][0-9]([ -]|$)", line), line
            assert len(line) <= 510, "RFC 5321 4.5.3.1.5"
            lines.append(line[4:])
            if line[3:4] != "-":
                return Reply(int(line[:3]), lines)

    def say(self, line):
        """One command, its reply."""
        self.send((line if isinstance(line, bytes) else line.encode()) + b"\r\n")
        return self.reply()

    def ehlo(self, name="client.example"):
        reply = self.say(f"EHLO {name}")
        assert reply == 250, reply
        return reply

    def envelope(self, sender="a@a.example", recipients=("b@b.example",), parameters=""):
        reply = self.say(f"MAIL FROM:<{sender}>{parameters}")
        assert reply == 250, reply
        for recipient in recipients:
            reply = self.say(f"RCPT TO:<{recipient}>")
            assert reply == 250, reply

    def message(self, data, sender="a@a.example", recipients=("b@b.example",), parameters=""):
        """A whole transaction; `data` goes as it is, dots and all, with the final dot after it."""
        self.envelope(sender, recipients, parameters)
        reply = self.say("DATA")
        assert reply == 354, reply
        self.send(data)
        return self.say(".")

    def ended(self):
        """Whether the other side has closed (waits for it); what still came is kept in `input`."""
        while True:
            try:
                block = self.socket.recv(65536)
            except ConnectionError:
                return True
            if not block:
                return True
            self.input += block

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
