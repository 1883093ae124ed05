# SPDX-License-Identifier: GPL-3.0-or-later
"""The control socket (relayd-control(7)) without tmail in between: for many changes in a short time."""
import itertools
import json
import socket
import threading

from harness.places import PATIENCE


class Refused(Exception):
    """The daemon answered, and said no."""


class Control:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(str(path))
        self.input = self.socket.makefile("rb")
        self.numbers = itertools.count(1)

    def call(self, method, **params):
        """The result; EOFError when the daemon goes before it answers."""
        return self.answer(self.send(method, params))

    def call_many(self, method, many):
        """The results for each of many parameters, asked for without waiting in between."""
        sender = threading.Thread(target=lambda: [self.send(method, params) for params in many])
        first = next(self.numbers) + 1
        sender.start()
        results = [self.answer(number) for number in range(first, first + len(many))]
        sender.join()
        return results

    def send(self, method, params):
        number = next(self.numbers)
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        return number

    def answer(self, number):
        line = self.input.readline()
        if not line.endswith(b"\n"):
            raise EOFError("no answer")
        reply = json.loads(line)
        assert reply["id"] == number, reply
        if "error" in reply:
            raise Refused(reply["error"])
        return reply["result"]

    def close(self):
        self.input.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
