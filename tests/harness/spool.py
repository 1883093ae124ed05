# SPDX-License-Identifier: GPL-3.0-or-later
"""
A spool (relayd-files(5)) written by a test, for mail that no client could submit in this way: of a client that
has authenticated, or many thousands at once.
"""
import shutil
import struct
import time

POLYNOMIAL = 0x82F63B78


def table():
    entries = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)
        entries.append(value)
    return entries


TABLE = table()


def crc32c(octets):
    crc = 0xFFFFFFFF
    for octet in octets:
        crc = TABLE[(crc ^ octet) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def field(tag, octets):
    return struct.pack("<HI", tag, len(octets)) + octets


def envelope(number, sender, recipients, login, size, arrived_ms):
    fields = [field(1, struct.pack("<Q", number)), field(2, struct.pack("<Q", arrived_ms)),
              field(3, struct.pack("<Q", size)), field(4, b"\0"), field(5, sender.encode())]
    if login is not None:
        fields.append(field(6, login.encode()))
    return b"".join(fields + [field(7, recipient.encode()) for recipient in recipients])


def write(state_dir, mails, first=1, mark=0x1122334455667788):
    """
    A new spool in place of what is there, with these mails: (login or None, sender, [recipients]). Their queue ids
    count from `first`; their bodies say no more than that.
    """
    shutil.rmtree(state_dir / "spool", ignore_errors=True)
    folder = state_dir / "spool"
    folder.mkdir(mode=0o700, parents=True)
    (folder / "large").mkdir(mode=0o700)
    (folder / "0000000000.gone").touch(0o600)
    header = b"RLYSEGM1" + struct.pack("<QQQQI", 1, mark, 0, first + len(mails), 0)
    blocks = [header + struct.pack("<I", crc32c(header))]
    offset, now = 48, int(time.time() * 1000)
    for number, (login, sender, recipients) in enumerate(mails, first):
        body = b"Subject: %d\r\n" % number
        meta = envelope(number, sender, recipients, login, len(body), now)
        head = struct.pack("<QQQQIIIHH", mark, number, offset, len(body), crc32c(body), len(meta), crc32c(meta), 1, 0)
        head += struct.pack("<I", crc32c(struct.pack("<Q", offset) + head))
        blocks += [head, meta, body]
        offset += len(head) + len(meta) + len(body)
    segment = folder / "0000000001.seg"
    segment.touch(0o600)
    segment.write_bytes(b"".join(blocks))
