# SPDX-License-Identifier: GPL-3.0-or-later
"""
An SMTP next hop whose every word is scripted: what it does at each stage of a session is data.

    with Server(stages={"rcpt": {"no@b.example": "550 5.1.1 unknown"},
                        "dot": ["451 4.3.0 later", "250 2.0.0 taken"]}) as peer:
        ...deliver to peer.host, peer.port...
        peer.messages, peer.sessions, peer.faults

Stages: connect greeting ehlo helo starttls handshake auth mail rcpt data body dot rset noop quit; and, for
what breaks TLS and logins,
    hello              the ClientHello has come, nothing is answered
    half               half of the answer to it is sent
    secured            TLS stands
    ehlo_tls           EHLO after STARTTLS; where it is not given: ehlo
    scram_first, scram_final   in place of the two server's messages of SCRAM; their argument is what the
                       client has sent
What stands at a stage is
    an action                  what is done every time;
    a list of actions          one a time over all sessions, the last one repeats;
    a dict {address: action}   at mail and rcpt: by address, None for all others; at auth: by mechanism;
    a function (session, argument) -> action.
An action is None (the usual reply), a str (one reply line), a list of str inside a tuple (a reply of
several lines), or one of the classes of peer/actions.py: Silence, Deaf, Drop, Raw, Slow, Endless, Sequence,
Hold, Challenges, Clear.
A str with a 2xx or 3xx code moves the session on as such a reply does.

The peer is strict: what a client must not do (bare CR or LF, a dot that was not doubled, a declared SIZE
that was too small, eight bits without BODY=8BITMIME, pipelining that was not offered, more behind STARTTLS)
is written down in `faults`, and a test asserts that there are none.
"""
import asyncio
import collections
import dataclasses
import re
import socket
import ssl
import threading
import time

from peer import login
# A test takes its peer and the actions from one place.
from peer.actions import (Challenges, Clear, Deaf, Drop, Endless, Hold, Raw, Sequence, Silence, Slow,  # noqa: F401
                          action_code, play)
from peer.wire import Closed, Dropped, Wire

BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
STUFFED = re.compile(rb"(?:^|\r\n)\.(?!\.)")
PATH = re.compile(rb"(?:FROM|TO):\s*<([^>]*)>(.*)", re.IGNORECASE | re.DOTALL)
EXTENSIONS = ("PIPELINING", "SIZE 0", "8BITMIME", "ENHANCEDSTATUSCODES")


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
    server: tuple              # ... and to which
    started: float
    commands: list = dataclasses.field(default_factory=list)  # (time.monotonic(), line)
    messages: list = dataclasses.field(default_factory=list)
    logins: list = dataclasses.field(default_factory=list)    # (mechanism, login, password)
    login: str = None          # who has logged in
    helo: str = None
    tls: object = None         # (version, SNI) once encrypted
    resumed: bool = False      # ... by a session from before
    tls_failure: str = None    # why there was no TLS
    pipelined: int = 0         # commands behind which more had come before they were answered
    ended: float = None
    end: str = None            # "quit", "closed" (by the client), "dropped" (by us)

    def verbs(self):
        return [line.split(b" ")[0].split(b":")[0].upper().decode(errors="replace")
                for when, line in self.commands]

    def lines(self):
        return [line.decode(errors="replace") for when, line in self.commands]


# ---- the peer -------------------------------------------------------------------------------------

class Peer:
    """The sessions of one listening socket, on whatever asyncio loop runs them."""

    def __init__(self, stages=None, extensions=EXTENSIONS, hostname="peer.example", tls=None,
                 implicit_tls=False, logins=None, mechanisms=login.MECHANISMS, on_message=None, keep=True,
                 strict=True):
        self.stages = dict(stages or {})
        self.extensions = tuple(extensions)
        self.hostname = hostname
        self.tls, self.implicit_tls = tls, implicit_tls
        self.logins = logins        # {login: password}: AUTH is offered
        self.mechanisms = tuple(mechanisms)
        self.on_message = on_message
        self.keep = keep            # sessions and messages, or only their counts
        self.strict = strict        # False: a script of nonsense, to which no client can do everything right
        self.sessions, self.messages, self.faults = [], [], []
        self.session_count = self.message_count = 0
        self.open = self.most_open = 0
        self.used = collections.Counter()
        self.server = None
        self.tasks = set()

    def offers(self, name):
        return any(word.split(" ")[0].upper() == name for word in self.extensions)

    def fault(self, session, what):
        if self.strict:
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
            self.server = await asyncio.start_server(self.accepted, sock=listening, backlog=512)
        return begin()

    async def accepted(self, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = writer.get_extra_info("peername")
        session = Session(self.session_count, client[:2] if client else None,
                          writer.get_extra_info("sockname")[:2], time.monotonic())
        self.session_count += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        if self.keep:
            self.sessions.append(session)
        wire = Wire(reader, writer)
        try:
            await self.converse(wire, session)
            session.end = "quit"
            await wire.good_bye()
        except Dropped:
            session.end = "dropped"
        except (Closed, ConnectionError, TimeoutError):
            session.end = "closed"
        except ssl.SSLError as why:
            session.end, session.tls_failure = "closed", str(why)
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
            await self.secure(wire, session)
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
            lines.append(" ".join(("AUTH", *self.mechanisms)))
        usual = tuple(f"250{'-' if at < len(lines) - 1 else ' '}{line}" for at, line in enumerate(lines))
        stage = "ehlo_tls" if session.tls and "ehlo_tls" in self.stages else "ehlo"
        if await self.say(wire, session, stage, usual):
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
        if wire.buffer:
            self.fault(session, "bytes after STARTTLS, before the handshake")
            wire.buffer.clear()
        await self.secure(wire, session)
        session.helo = None
        state.reset()

    async def secure(self, wire, session):
        def at(stage):
            action = self.action(stage, session)
            return (lambda: play(action, wire)) if action is not None else None

        before, after = at("handshake"), at("secured")
        if before:
            await before()
        if self.tls is None:
            return  # a promise that is not kept
        await wire.secure(self.tls, at("hello"), at("half"))
        session.tls, session.resumed = wire.facts(), wire.tls.session_reused
        if after:
            await after()

    async def do_auth(self, wire, session, state, argument):
        mechanism, _, initial = argument.decode(errors="replace").partition(" ")
        action = self.action("auth", session, mechanism)
        if action is not None:
            await play(action, wire)
            code = action_code(action)
            if code == 421:
                wire.drop()
                raise Dropped
            return
        try:
            who = await login.exchange(self, wire, session, mechanism.upper(), initial)
        except ValueError:
            await wire.write(b"501 5.5.2 not understood\r\n")
            return
        session.login = who
        await wire.write(b"235 2.7.0 welcome\r\n" if who else b"535 5.7.8 no such login\r\n")


class Transaction:
    def __init__(self):
        self.reset()

    def reset(self):
        self.sender = None
        self.parameters = ""
        self.recipients, self.refused = [], []


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

    def __init__(self, stages=None, host="127.0.0.1", port=0, up=True, receive_buffer=None, **options):
        super().__init__(stages, **options)
        self.host, self.receive_buffer = host, receive_buffer
        self.kept = bound(host, port, receive_buffer)
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
