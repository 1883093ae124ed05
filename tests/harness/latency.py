# SPDX-License-Identifier: GPL-3.0-or-later
"""
How long single messages take through a relay, one every few milliseconds: Probe sends them, Sink is the
next hop that notes when each has arrived. Processes of their own, so that neither waits for a test's other
work; the clock is time.time(), which the daemon's log has too.
"""
import collections
import multiprocessing
import re
import socket
import threading
import time

from harness.daemon import own_address
from harness.places import PATIENCE

PERIOD = 0.005
fork = multiprocessing.get_context("fork")

# number, when the dot went out, when its 250 came
Sent = collections.namedtuple("Sent", "number sent accepted")


class Sink:
    """Takes everything; end() gives {number: time of arrival}."""

    def __init__(self):
        self.host, self.port = own_address(), 2526
        self.listener = socket.create_server((self.host, self.port))
        self.ours, theirs = fork.Pipe()
        self.process = fork.Process(target=self.serve, args=(theirs,), daemon=True)

    def serve(self, pipe):
        arrived = {}

        def talk(peer):
            with peer, peer.makefile("rb") as lines:
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                peer.sendall(b"220 sink.example\r\n")
                for line in lines:
                    word = line[:4].upper()
                    if word == b"DATA":
                        peer.sendall(b"354 go on\r\n")
                        number = -1
                        for text in lines:
                            if text == b".\r\n":
                                break
                            if text.startswith(b"Subject: "):
                                number = int(text[9:])
                        arrived.setdefault(number, time.time())
                        peer.sendall(b"250 taken\r\n")
                    elif word == b"QUIT":
                        peer.sendall(b"221 bye\r\n")
                        return
                    else:
                        peer.sendall(b"250 sink.example\r\n")

        def accept():
            while True:
                threading.Thread(target=talk, args=(self.listener.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        pipe.recv()
        pipe.send(arrived)

    def end(self):
        self.ours.send("end")
        return self.ours.recv()

    def __enter__(self):
        self.process.start()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.join()
        self.listener.close()


class Probe:
    """Sends until end(), which gives [Sent]."""

    def __init__(self, host, port, recipient):
        self.host, self.port, self.recipient = host, port, recipient
        self.ours, theirs = fork.Pipe()
        self.process = fork.Process(target=self.send, args=(theirs,), daemon=True)

    def send(self, pipe):
        sent = []
        with socket.create_connection((self.host, self.port), PATIENCE) as relay, relay.makefile("rb") as replies:
            relay.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def ask(text, code):
                if text is not None:
                    relay.sendall(text)
                while True:
                    line = replies.readline()
                    assert re.match(code, line), (text, line)
                    if line[3:4] != b"-":
                        return

            ask(None, b"220")
            ask(b"EHLO probe.example\r\n", b"250")
            while not pipe.poll():
                due = time.time() + PERIOD
                ask(b"MAIL FROM:<a@a.example>\r\n", b"250")
                ask(f"RCPT TO:<{self.recipient}>\r\n".encode(), b"250")
                ask(b"DATA\r\n", b"354")
                dot = time.time()
                ask(f"Subject: {len(sent)}\r\n\r\nhello\r\n.\r\n".encode(), b"250")
                accepted = time.time()
                sent.append(Sent(len(sent), dot, accepted))
                time.sleep(max(0, due - time.time()))
        pipe.send(sent)

    def end(self):
        self.ours.send("end")
        return self.ours.recv()

    def __enter__(self):
        self.process.start()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.join()
