# SPDX-License-Identifier: GPL-3.0-or-later
"""
A connection as a scripted peer holds it: a buffer of its own, lines, bodies, an end that can be waited
for, and TLS that is done here, over memory, so that it can be broken at any point.
"""
import socket
import ssl
import struct


class Dropped(Exception):
    """The session ends here, by us."""


class Closed(Exception):
    """The client has gone."""


class Wire:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.buffer = bytearray()
        self.tls = None
        self.incoming = self.outgoing = None

    # ---- reading ----

    async def more(self):
        block = await self.reader.read(1 << 17)
        if not block:
            raise Closed
        if self.tls is None:
            self.buffer += block
            return
        self.incoming.write(block)
        await self.decrypt()

    async def decrypt(self):
        """What has come, as far as it is whole."""
        try:
            while block := self.tls.read(1 << 17):
                self.buffer += block
            raise Closed
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            raise Closed from None
        await self.flush()

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

    async def until_closed(self):
        while True:
            block = await self.reader.read(1 << 17)
            if not block:
                raise Closed

    # ---- writing ----

    async def write(self, octets):
        if self.tls is None:
            await self.write_clear(octets)
        else:
            self.tls.write(octets)
            await self.flush()

    async def write_clear(self, octets):
        """Past TLS."""
        self.writer.write(octets)
        await self.writer.drain()

    async def flush(self, most=None):
        if self.outgoing.pending:
            await self.write_clear(self.outgoing.read(most) if most else self.outgoing.read())

    # ---- TLS ----

    async def secure(self, context, hello=None, half=None):
        """
        The server's part of a handshake. `hello` is awaited when the ClientHello has come and nothing is
        answered yet, `half` when half of the answer is sent. ssl.SSLError: it failed.
        """
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.incoming.write(self.buffer)
        self.buffer.clear()
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                await self.flush()  # the alert
                raise
            if self.outgoing.pending:
                if hello:
                    await hello()
                if half:
                    await self.flush(self.outgoing.pending // 2)
                    await half()
                hello = half = None
                await self.flush()
            block = await self.reader.read(1 << 17)
            if not block:
                raise Closed
            self.incoming.write(block)
        await self.flush()
        self.tls = tls
        await self.decrypt()

    def facts(self):
        """(version, SNI), as a Session keeps them."""
        return self.tls.version(), getattr(self.tls, "name_asked_for", None)

    # ---- the end ----

    def closed(self):
        return self.reader.at_eof() or self.writer.is_closing()

    def drop(self, reset=False):
        """Without a word, as far as TLS goes."""
        if reset:
            raw = self.writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        else:
            self.writer.close()

    async def good_bye(self):
        """close_notify, where there is TLS."""
        if self.tls is None or self.writer.is_closing():
            return
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass
        await self.flush()
