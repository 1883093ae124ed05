# SPDX-License-Identifier: GPL-3.0-or-later
"""
Messages for tests, and the question whether one came through as it was sent: byte for byte, apart from
the Received fields that were added at its top.
"""
import random
import re

# To the end of its date: a message whose first line begins with a blank would look like more of it.
RECEIVED = re.compile(rb"Received: from .{,2000}?;\s*\w{3}, +\d+ \w{3} \d{4} [\d:]+ [+-]\d{4}( \(\w+\))?\r\n",
                      re.DOTALL)


def crlf(octets):
    """Any line ends to CRLF, as a mail program does before it sends; one at the end."""
    octets = re.sub(rb"\r\n|\r|\n", b"\r\n", octets)
    return octets if not octets or octets.endswith(b"\r\n") else octets + b"\r\n"


def stuffed(octets):
    """With its dots doubled, as it goes over the wire."""
    octets = octets.replace(b"\r\n.", b"\r\n..")
    return b"." + octets if octets.startswith(b".") else octets


def without_trace(octets, added=1):
    """`octets` less the `added` Received fields at its top; None where they are not there."""
    for _ in range(added):
        found = RECEIVED.match(octets)
        if not found:
            return None
        octets = octets[found.end():]
    return octets


def stamped(octets, number):
    """With a field at the very top by which the copies that arrive can be told."""
    return b"X-Test-Number: %d\r\n" % number + octets


def stamp_of(octets):
    """The number that stamped() gave it."""
    found = re.search(rb"^X-Test-Number: (\d+)\r$", octets[:65536], re.MULTILINE)
    return int(found[1]) if found else None


def plain(number, size=200):
    """A small message of its own."""
    text = b"Subject: message %d\r\nFrom: <a@a.example>\r\n\r\n" % number
    line = b"%08d " % number + b"x" * 60 + b"\r\n"
    return stamped(text + line * max(1, size // len(line)), number)


def large(size, seed=1):
    """About `size` octets in lines that never repeat, of any length up to 998."""
    source = random.Random(seed)
    letters = bytes(range(33, 127))
    lines, so_far = [b"Subject: large\r\n\r\n"], 20
    while so_far < size:
        block = bytes(source.choices(letters, k=97))
        line = (block * 11)[:source.choice((0, 1, 60, 76, 200, 997, 998))]
        lines.append(line + b"\r\n")
        so_far += len(line) + 2
    return b"".join(lines)


def hard():
    """(name, octets): messages that are easy to get wrong. All have CRLF line ends and none over 998."""
    head = b"From: <a@a.example>\r\nSubject: hard\r\n"
    dots = [b".", b"..", b"...", b".x", b". ", b".\t", b"x.", b". .", b".." * 400]
    every = bytes(c for c in range(256) if c not in b"\r\n")
    return [
        ("a dot alone", head + b"\r\n.\r\n"),
        ("a dot first of all", b".From: <a@a.example>\r\n\r\ntext\r\n"),
        ("dots at line starts", head + b"\r\n" + b"\r\n".join(dots) + b"\r\n"),
        ("dots at line starts of the header", head + b".X: 1\r\n\r\n.\r\n.\r\n"),
        ("nothing but dots", b".\r\n" * 3000),
        ("eight bits", head + b"\r\n" + "Grüße an alle, żółć, 日本語\r\n".encode() * 50),
        ("every octet", head + b"\r\n" + (every + b"\r\n") * 4),
        ("a NUL", head + b"\r\nno\0thing\r\n"),
        ("lines of 998", head + b"\r\n" + b"".join(b"%c" % (65 + n) * 998 + b"\r\n" for n in range(20))),
        ("a dot before 997", head + b"\r\n" + (b"." + b"y" * 997 + b"\r\n") * 20),
        ("a long header", head + b"X-Long: " + b"\r\n ".join(b"w" * 70 for _ in range(1200)) + b"\r\n\r\n.\r\n"),
        ("many fields", head + b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(2000)) + b"\r\ntext\r\n"),
        ("many Received", b"Received: from x by y; Mon, 1 Jan 2024 00:00:00 +0000\r\n" * 40 + head + b"\r\n"),
        ("an empty body", head + b"\r\n"),
        ("no empty line", head),
        ("no header", b"\r\nonly text\r\n"),
        ("a body of empty lines", head + b"\r\n" + b"\r\n" * 500),
        ("blanks at line ends", head + b"\r\n" + b"x \r\n \r\n\t\r\n" * 100),
        ("From at a line start", head + b"\r\nFrom here on\r\n>From there\r\n"),
        ("256 KiB", (head + b"\r\n" + (b"0123456789abcdef" * 4 + b"\r\n") * 4000)[:262144 - 2] + b"\r\n"),
    ]
