# SPDX-License-Identifier: GPL-3.0-or-later
"""
An SMTP next hop whose every word is scripted: what it does at each stage of a session is data.

    with Server(stages={"rcpt": {"no@b.example": "550 5.1.1 unknown"},
                        "dot": ["451 4.3.0 later", "250 2.0.0 taken"]}) as peer:
        ...deliver to peer.host, peer.port...
        peer.messages, peer.sessions, peer.faults

Stages: connect greeting ehlo helo starttls handshake auth mail rcpt data body dot rset noop quit.
What stands at a stage is
    an action                  what is done every time;
    a list of actions          one a time over all sessions, the last one repeats;
    a dict {address: action}   at mail and rcpt: by address, None for all others;
    a function (session, argument) -> action.
An action is None (the usual reply), a str (one reply line), a list of str inside a tuple (a reply of
several lines), or one of the classes below: Silence, Deaf, Drop, Raw, Slow, Endless, Sequence, Hold.
A str with a 2xx or 3xx code moves the session on as such a reply does.

The peer is strict: what a client must not do (bare CR or LF, a dot that was not doubled, a declared SIZE
that was too small, eight bits without BODY=8BITMIME, pipelining that was not offered) is written down
in `faults`, and a test asserts that there are none.
"""
import asyncio
import base64
import collections
import dataclasses
import hashlib
import hmac
import re
import socket
import ssl
import struct
import subprocess
import threading
import time

BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
STUFFED = re.compile(rb"(?:^|\r\n)\.(?!\.)")
PATH = re.compile(rb"(?:FROM|TO):\s*<([^>]*)>(.*)", re.IGNORECASE | re.DOTALL)
EXTENSIONS = ("PIPELINING", "SIZE 0", "8BITMIME", "ENHANCEDSTATUSCODES")


# ---- actions --------------------------------------------------------------------------------------

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


# ---- what was seen --------------------------------------------------------------------------------

@dataclasses.dataclass
class Message:
    """One transaction that came to its final dot."""
    session: object
    sender: str
    parameters: str            # of MAIL, as sent
    recipients: list           # those that were accepted, in order
    refused: list
    data: bytes                # dots taken off again, CRLF line ends
    when: float                # time.monotonic() at the final dot
    accepted: bool = False     # 2xx was said to the dot


@dataclasses.dataclass
class Session:
    number: int
    client: tuple              # address and port the client came from
    started: float
    commands: list = dataclasses.field(default_factory=list)  # (time.monotonic(), line)
    messages: list = dataclasses.field(default_factory=list)
    logins: list = dataclasses.field(default_factory=list)    # (mechanism, login, password)
    helo: str = None
    tls: object = None         # (version, SNI) once encrypted
    pipelined: int = 0         # commands behind which more had come before they were answered
    ended: float = None
    end: str = None            # "quit", "closed" (by the client), "dropped" (by us)

    def verbs(self):
        return [line.split(b" ")[0].split(b":")[0].upper().decode(errors="replace")
                for when, line in self.commands]

    def lines(self):
        return [line.decode(errors="replace") for when, line in self.commands]


class Dropped(Exception):
    """The session ends here, by us."""


class Closed(Exception):
    """The client has gone."""


class Wire:
    """A connection with a buffer of its own: lines, bodies, and an end that can be waited for."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.buffer = bytearray()

    async def more(self):
        block = await self.reader.read(1 << 17)
        if not block:
            raise Closed
        self.buffer += block

    async def line(self, limit=1 << 16):
        """One line without its CRLF; a lone LF does not end it."""
        while (at := self.buffer.find(b"\r\n")) < 0:
            if len(self.buffer) > limit:
                raise Closed
            await self.more()
        line = bytes(self.buffer[:at])
        del self.buffer[:at + 2]
        return line

    async def body(self):
        """All up to the final dot, dots still doubled."""
        at = 0
        while True:
            if self.buffer.startswith(b".\r\n"):
                del self.buffer[:3]
                return b""
            at = self.buffer.find(b"\r\n.\r\n", max(0, at - 4))
            if at >= 0:
                raw = bytes(self.buffer[:at + 2])
                del self.buffer[:at + 5]
                return raw
            at = len(self.buffer)
            await self.more()

    async def at_least(self, count):
        while len(self.buffer) < count:
            await self.more()

    async def write(self, octets):
        self.writer.write(octets)
        await self.writer.drain()

    async def until_closed(self):
        while True:
            await self.more()
            self.buffer.clear()

    def closed(self):
        return self.reader.at_eof() or self.writer.is_closing()

    def drop(self, reset=False):
        if reset:
            raw = self.writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        else:
            self.writer.close()


# ---- the peer -------------------------------------------------------------------------------------

class Peer:
    """The sessions of one listening socket, on whatever asyncio loop runs them."""

    def __init__(self, stages=None, extensions=EXTENSIONS, hostname="peer.example", tls=None,
                 implicit_tls=False, logins=None, on_message=None, keep=True):
        self.stages = dict(stages or {})
        self.extensions = tuple(extensions)
        self.hostname = hostname
        self.tls, self.implicit_tls = tls, implicit_tls
        self.logins = logins        # {login: password}: AUTH is offered
        self.on_message = on_message
        self.keep = keep            # sessions and messages, or only their counts
        self.sessions, self.messages, self.faults = [], [], []
        self.session_count = self.message_count = 0
        self.open = self.most_open = 0
        self.used = collections.Counter()
        self.server = None
        self.tasks = set()

    def offers(self, name):
        return any(word.split(" ")[0].upper() == name for word in self.extensions)

    def fault(self, session, what):
        self.faults.append(f"session {session.number}: {what}")

    def action(self, stage, session, argument=""):
        """What the script says for this stage now."""
        action = self.stages.get(stage)
        if isinstance(action, dict):
            action = action.get(argument, action.get(None))
        if isinstance(action, list):
            at = min(self.used[stage, id(action)], len(action) - 1)
            self.used[stage, id(action)] += 1
            action = action[at]
        if callable(action) and not hasattr(action, "play"):
            action = action(session, argument)
        return action

    async def say(self, wire, session, stage, usual, argument=""):
        """Play the stage; True when it was answered as a yes (2xx, 3xx)."""
        action = self.action(stage, session, argument)
        if action is None:
            action = usual
        if action is None:
            return True
        await play(action, wire)
        code = action_code(action)
        if code == 421:
            wire.drop()
            raise Dropped
        return code is not None and code < 400

    def start(self, listening):
        async def begin():
            self.server = await asyncio.start_server(
                self.accepted, sock=listening, backlog=512,
                ssl=self.tls if self.implicit_tls else None)
        return begin()

    async def accepted(self, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = writer.get_extra_info("peername")
        session = Session(self.session_count, client[:2] if client else None, time.monotonic())
        self.session_count += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        if self.keep:
            self.sessions.append(session)
        wire = Wire(reader, writer)
        try:
            await self.converse(wire, session)
            session.end = "quit"
        except Dropped:
            session.end = "dropped"
        except (Closed, ConnectionError, ssl.SSLError, TimeoutError):
            session.end = "closed"
        except asyncio.CancelledError:
            session.end = "dropped"
        except Exception as why:  # a mistake in the script: the test has to hear of it
            session.end = "dropped"
            self.fault(session, f"the peer failed: {why!r}")
        finally:
            self.tasks.discard(task)
            self.open -= 1
            session.ended = time.monotonic()
            writer.close()

    async def converse(self, wire, session):
        await self.say(wire, session, "connect", None)
        if self.implicit_tls:
            session.tls = encryption(wire)
        if not await self.say(wire, session, "greeting", f"220 {self.hostname} ESMTP"):
            await wire.until_closed()
        state = Transaction()
        while True:
            line = await wire.line()
            session.commands.append((time.monotonic(), line))
            if BARE.search(line):
                self.fault(session, f"a bare CR or LF in the command {line!r}")
            verb, _, argument = line.partition(b" ")
            verb = verb.upper().decode(errors="replace")
            session.pipelined += bool(wire.buffer)
            if not self.offers("PIPELINING") and wire.buffer:
                self.fault(session, f"pipelining was not offered: {bytes(wire.buffer[:40])!r} after {line!r}")
            handler = getattr(self, "do_" + verb.lower(), None)
            if handler is None:
                await wire.write(b"502 5.5.1 not known here\r\n")
            elif await handler(wire, session, state, argument) == "quit":
                return

    async def do_ehlo(self, wire, session, state, argument):
        lines = [self.hostname, *self.extensions]
        if self.tls and not session.tls:
            lines.append("STARTTLS")
        if self.logins is not None:
            lines.append("AUTH PLAIN LOGIN CRAM-MD5")
        usual = tuple(f"250{'-' if at < len(lines) - 1 else ' '}{line}" for at, line in enumerate(lines))
        if await self.say(wire, session, "ehlo", usual):
            session.helo = argument.decode(errors="replace")
            state.reset()

    async def do_helo(self, wire, session, state, argument):
        if await self.say(wire, session, "helo", f"250 {self.hostname}"):
            session.helo = argument.decode(errors="replace")
            state.reset()

    async def do_mail(self, wire, session, state, argument):
        found = PATH.match(argument)
        address = found[1].decode(errors="replace") if found else ""
        parameters = found[2].decode(errors="replace").strip() if found else ""
        usual = "250 2.1.0 sender ok"
        if not found:
            usual = "501 5.5.4 no path there"
        elif state.sender is not None:
            usual = "503 5.5.1 there is a sender already"
        elif session.helo is None:
            usual = "503 5.5.1 EHLO first"
        if await self.say(wire, session, "mail", usual, address):
            state.reset()
            state.sender, state.parameters = address, parameters

    async def do_rcpt(self, wire, session, state, argument):
        found = PATH.match(argument)
        address = found[1].decode(errors="replace") if found else ""
        usual = "250 2.1.5 recipient ok"
        if state.sender is None:
            usual = "503 5.5.1 MAIL first"
        elif not found:
            usual = "501 5.5.4 no path there"
        if await self.say(wire, session, "rcpt", usual, address):
            state.recipients.append(address)
        else:
            state.refused.append(address)

    async def do_data(self, wire, session, state, argument):
        usual = "354 go ahead" if state.recipients else "554 5.5.1 no valid recipients"
        if not await self.say(wire, session, "data", usual):
            return
        body = self.action("body", session)
        if body is not None:
            await wire.at_least(getattr(body, "after", 0))
            await play(body, wire)
        raw = await wire.body()
        self.check_body(session, state, raw)
        data = raw.replace(b"\r\n.", b"\r\n")
        if data.startswith(b"."):
            data = data[1:]
        message = Message(session, state.sender, state.parameters, list(state.recipients),
                          list(state.refused), data, time.monotonic())
        self.message_count += 1
        if self.keep:
            session.messages.append(message)
            self.messages.append(message)
        state.reset()
        action = self.action("dot", session, message.sender) or f"250 2.0.0 taken as {self.message_count}"
        code = action_code(action)
        message.accepted = code is not None and code < 300
        if message.accepted and self.on_message:
            self.on_message(message)
        await play(action, wire)
        if code == 421:
            wire.drop()
            raise Dropped

    def check_body(self, session, state, raw):
        if BARE.search(raw):
            self.fault(session, "a bare CR or LF in the body")
        if STUFFED.search(raw):
            self.fault(session, "a dot at the start of a line was not doubled")
        words = state.parameters.upper().split()
        if any(octet > 127 for octet in raw) and "BODY=8BITMIME" not in words:
            self.fault(session, "eight bits without BODY=8BITMIME")
        if "BODY=8BITMIME" in words and not self.offers("8BITMIME"):
            self.fault(session, "BODY was not offered")
        for word in words:
            if word.startswith("SIZE="):
                if not self.offers("SIZE"):
                    self.fault(session, "SIZE was not offered")
                if int(word[5:]) < len(raw) - len(re.findall(rb"(?:^|\r\n)\.", raw)):
                    self.fault(session, f"{word}, but the message has {len(raw)} octets")

    async def do_rset(self, wire, session, state, argument):
        if await self.say(wire, session, "rset", "250 2.0.0 forgotten"):
            state.reset()

    async def do_noop(self, wire, session, state, argument):
        await self.say(wire, session, "noop", "250 2.0.0 ok")

    async def do_quit(self, wire, session, state, argument):
        await self.say(wire, session, "quit", "221 2.0.0 good bye")
        return "quit"

    async def do_starttls(self, wire, session, state, argument):
        usual = "220 2.0.0 go ahead" if self.tls and not session.tls else "502 5.5.1 not here"
        if not await self.say(wire, session, "starttls", usual):
            return
        handshake = self.action("handshake", session)
        if handshake is not None:
            await play(handshake, wire)
        if wire.buffer:
            self.fault(session, "bytes after STARTTLS, before the handshake")
            wire.buffer.clear()
        if self.tls is None:
            return  # a promise that is not kept
        await wire.writer.start_tls(self.tls)
        session.tls = encryption(wire)
        session.helo = None
        state.reset()

    async def do_auth(self, wire, session, state, argument):
        mechanism, _, initial = argument.decode(errors="replace").partition(" ")
        action = self.action("auth", session, mechanism)
        if action is not None:
            await play(action, wire)
            return
        try:
            login, good = await self.exchange(wire, session, mechanism.upper(), initial)
        except ValueError:
            await wire.write(b"501 5.5.2 not understood\r\n")
            return
        await wire.write(b"235 2.7.0 welcome\r\n" if good else b"535 5.7.8 no such login\r\n")

    async def ask(self, wire, text):
        await wire.write(b"334 " + base64.b64encode(text) + b"\r\n")
        return base64.b64decode(await wire.line(), validate=True)

    async def exchange(self, wire, session, mechanism, initial):
        known = self.logins or {}
        if mechanism == "PLAIN":
            answer = base64.b64decode(initial, validate=True) if initial else await self.ask(wire, b"")
            login, password = (part.decode() for part in answer.split(b"\0")[1:3])
        elif mechanism == "LOGIN":
            login = (base64.b64decode(initial) if initial else await self.ask(wire, b"Username:")).decode()
            password = (await self.ask(wire, b"Password:")).decode()
        elif mechanism == "CRAM-MD5":
            challenge = f"<{time.monotonic_ns()}@{self.hostname}>".encode()
            login, _, digest = (await self.ask(wire, challenge)).decode().rpartition(" ")
            right = hmac.new(known.get(login, "").encode(), challenge, hashlib.md5).hexdigest()
            password = known.get(login) if hmac.compare_digest(right, digest) else None
        else:
            raise ValueError(mechanism)
        session.logins.append((mechanism, login, password))
        return login, password is not None and known.get(login) == password


class Transaction:
    def __init__(self):
        self.reset()

    def reset(self):
        self.sender = None
        self.parameters = ""
        self.recipients, self.refused = [], []


def encryption(wire):
    tls = wire.writer.get_extra_info("ssl_object")
    return tls.version(), getattr(tls, "name_asked_for", None)


# ---- in a test ------------------------------------------------------------------------------------

class Background:
    """One asyncio loop in a thread, for all peers of a process."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="peers", daemon=True).start()

    def run(self, coroutine, seconds=30):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(seconds)


background = None


def run(coroutine):
    global background
    background = background or Background()
    return background.run(coroutine)


def bound(host, port=0, receive_buffer=None):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if receive_buffer:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    listening.bind((host, port))
    return listening


class Server(Peer):
    """
    A peer that listens from here on; `up=False`: the port is kept and refuses until go_up(). With a small
    `receive_buffer` the kernel does not take a whole message in the peer's place.
    """

    def __init__(self, stages=None, host="127.0.0.1", up=True, receive_buffer=None, **options):
        super().__init__(stages, **options)
        self.host, self.receive_buffer = host, receive_buffer
        self.kept = bound(host, receive_buffer=receive_buffer)
        self.port = self.kept.getsockname()[1]
        if up:
            self.go_up()

    def go_up(self):
        listening, self.kept = self.kept, None
        run(self.start(listening))

    def go_down(self):
        """Refuse connections, cut those that stand; the port stays ours."""
        run(self.end())
        self.kept = bound(self.host, self.port, self.receive_buffer)

    async def end(self):
        if self.server is not None:
            self.server.close()
            for task in list(self.tasks):
                task.cancel()
            while self.tasks:
                await asyncio.sleep(0.005)
            self.server = None

    def stop(self):
        run(self.end())
        if self.kept is not None:
            self.kept.close()
            self.kept = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def taken(self):
        """The messages that got their 2xx."""
        return [message for message in self.messages if message.accepted]


class Blackhole:
    """A port that answers no SYN: its backlog is full, so that connecting takes until a timeout."""

    def __init__(self, host="127.0.0.1"):
        self.host = host
        self.listening = bound(host)
        self.listening.listen(0)
        self.port = self.listening.getsockname()[1]
        self.fillers = []
        while len(self.fillers) < 64:
            filler = socket.socket(self.listening.family, socket.SOCK_STREAM)
            filler.settimeout(0.3)
            self.fillers.append(filler)
            try:
                filler.connect((host, self.port))
            except TimeoutError:
                return
        raise OSError("the backlog does not fill")

    def stop(self):
        for each in [*self.fillers, self.listening]:
            each.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def certificate(folder, names=("peer.example",), days=2):
    """A self-signed certificate and key for `names`, and a server context that shows it."""
    place = folder / "peer.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                    "-nodes", "-days", str(days), "-subj", f"/CN={names[0]}",
                    "-addext", "subjectAltName=" + ",".join(f"DNS:{name}" for name in names),
                    "-keyout", str(place), "-out", str(place) + ".crt"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(place) + ".crt", str(place))

    def name_asked(tls, name, _):
        tls.name_asked_for = name

    context.sni_callback = name_asked
    return context, str(place) + ".crt"
