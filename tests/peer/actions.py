# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scripted peer can do at a stage instead of the usual."""
import asyncio
import base64
import dataclasses
import re
import threading

from peer.wire import Dropped


class Silence:
    """Not a word; the client has to give up."""
    code = None

    async def play(self, wire):
        await wire.until_closed()


class Deaf:
    """Neither a word nor an ear: what the client sends fills its own buffers."""
    code = None

    async def play(self, wire):
        wire.writer.transport.pause_reading()
        await asyncio.Event().wait()  # until the peer is stopped


@dataclasses.dataclass
class Drop:
    """Close the connection; with `reset` by RST; at the stage body after so many octets of it."""
    reset: bool = False
    after: int = 0
    code = None

    async def play(self, wire):
        wire.drop(self.reset)
        raise Dropped


@dataclasses.dataclass
class Raw:
    """These very octets, which may be no reply at all."""
    octets: bytes

    @property
    def code(self):
        return reply_code(self.octets)

    async def play(self, wire):
        await wire.write(self.octets)


@dataclasses.dataclass
class Slow:
    """A reply in pieces of `size` octets, with a pause before each."""
    text: object
    seconds: float = 0.01
    size: int = 1

    @property
    def code(self):
        return reply_code(reply_octets(self.text))

    async def play(self, wire):
        octets = reply_octets(self.text)
        for at in range(0, len(octets), self.size):
            await asyncio.sleep(self.seconds)
            await wire.write(octets[at:at + self.size])


@dataclasses.dataclass
class Endless:
    """The same octets again and again until the client has gone."""
    octets: bytes = b"250-and so on\r\n"
    seconds: float = 0.0
    code = None

    async def play(self, wire):
        block = self.octets * max(1, 4096 // len(self.octets)) if not self.seconds else self.octets
        while True:
            await wire.write(block)
            await asyncio.sleep(self.seconds)


@dataclasses.dataclass
class Challenges:
    """At the stage auth: to every answer one more challenge, for ever."""
    text: bytes = b""
    code = None

    async def play(self, wire):
        while True:
            await wire.write(b"334 " + base64.b64encode(self.text) + b"\r\n")
            await wire.line()


@dataclasses.dataclass
class Clear:
    """These octets past TLS, in the clear."""
    octets: bytes
    code = None

    async def play(self, wire):
        await wire.write_clear(self.octets)


class Sequence:
    """One action after the other: Sequence("421 4.3.2 good bye", Drop())."""

    def __init__(self, *actions):
        self.actions = actions

    @property
    def code(self):
        return next((code for code in map(action_code, self.actions) if code), None)

    async def play(self, wire):
        for action in self.actions:
            await play(action, wire)


class Hold:
    """Wait until the test calls release(), then do `action`. `reached` is set when a session waits."""

    def __init__(self, action):
        self.action = action
        self.reached = threading.Event()
        self.released = threading.Event()

    @property
    def code(self):
        return action_code(self.action)

    def release(self):
        self.released.set()

    async def play(self, wire):
        self.reached.set()
        while not self.released.is_set():
            if wire.closed():
                raise Dropped
            await asyncio.sleep(0.005)
        await play(self.action, wire)


def reply_octets(reply):
    """A reply's lines on the wire: "250 one", or ("250-one", "250 two")."""
    lines = [reply] if isinstance(reply, (str, bytes)) else reply
    return b"".join((line.encode() if isinstance(line, str) else line) + b"\r\n" for line in lines)


def reply_code(octets):
    found = re.match(rb"([2-5][0-9][0-9])[ -]", octets)
    return int(found[1]) if found else None


def action_code(action):
    if isinstance(action, (str, tuple)):
        return reply_code(reply_octets(action))
    return action.code


async def play(action, wire):
    if isinstance(action, (str, tuple)):
        await wire.write(reply_octets(action))
    else:
        await action.play(wire)
