# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's side of AUTH in a scripted peer: SCRAM-SHA-256 (RFC 5802, 7677), PLAIN, LOGIN, CRAM-MD5."""
import base64
import hashlib
import hmac
import secrets

from peer.actions import action_code, play
from peer.wire import Dropped

MECHANISMS = ("SCRAM-SHA-256", "PLAIN", "LOGIN", "CRAM-MD5")
ITERATIONS = 4096


def decoded(text):
    return base64.b64decode(text, validate=True)


async def ask(wire, text):
    """A challenge, its answer. ValueError: the client gave up, or sent what is no base64."""
    await wire.write(b"334 " + base64.b64encode(text) + b"\r\n")
    answer = await wire.line()
    if answer == b"*":
        raise ValueError("the client has cancelled")
    return decoded(answer)


async def exchange(peer, wire, session, mechanism, initial):
    """Who has logged in, or None. All that was tried is in session.logins."""
    known = peer.logins or {}
    if mechanism == "SCRAM-SHA-256":
        return await scram(peer, wire, session, initial)
    first = None if not initial else b"" if initial == "=" else decoded(initial)
    if mechanism == "PLAIN":
        answer = await ask(wire, b"") if first is None else first
        login, password = (part.decode() for part in answer.split(b"\0")[1:3])
    elif mechanism == "LOGIN":
        login = (await ask(wire, b"Username:") if first is None else first).decode()
        password = (await ask(wire, b"Password:")).decode()
    elif mechanism == "CRAM-MD5":
        challenge = f"<{secrets.token_hex(8)}@{peer.hostname}>".encode()
        login, _, digest = (await ask(wire, challenge)).decode().rpartition(" ")
        right = hmac.new(known.get(login, "").encode(), challenge, hashlib.md5).hexdigest()
        password = known.get(login) if hmac.compare_digest(right, digest) else None
    else:
        raise ValueError(mechanism)
    session.logins.append((mechanism, login, password))
    return login if password is not None and known.get(login) == password else None


def fields(message):
    return dict(part.split("=", 1) for part in message.split(","))


def hmac256(key, text):
    return hmac.digest(key, text.encode(), "sha256")


async def instead(peer, wire, session, stage, heard):
    """Whether the script has something else to say than the usual; the client's answer to it."""
    action = peer.action(stage, session, heard)
    if action is None:
        return False, None
    await play(action, wire)
    code = action_code(action)
    if code is None or code >= 400:
        raise Dropped
    return True, await wire.line()


async def scram(peer, wire, session, initial):
    first = (decoded(initial) if initial else await ask(wire, b"")).decode()
    binding, _, bare = first.split(",", 2)
    if binding not in ("n", "y"):
        raise ValueError("no channel binding here")
    login = fields(bare)["n"].replace("=2C", ",").replace("=3D", "=")
    password = (peer.logins or {}).get(login)
    session.logins.append(("SCRAM-SHA-256", login, None))
    changed, answer = await instead(peer, wire, session, "scram_first", bare)
    if changed:
        return None
    salt, nonce = secrets.token_bytes(12), fields(bare)["r"] + secrets.token_urlsafe(12)
    server_first = f"r={nonce},s={base64.b64encode(salt).decode()},i={ITERATIONS}"
    final = (await ask(wire, server_first.encode())).decode()
    without, _, proof = final.rpartition(",p=")
    if fields(without)["r"] != nonce or decoded(fields(without)["c"]).decode() != binding + ",,":
        raise ValueError("another nonce or binding than was sent")
    salted = hashlib.pbkdf2_hmac("sha256", (password or "").encode(), salt, ITERATIONS)
    told = f"{bare},{server_first},{without}"
    key = hmac256(salted, "Client Key")
    signature = hmac256(hashlib.sha256(key).digest(), told)
    right = bytes(a ^ b for a, b in zip(key, signature))
    if password is None or not hmac.compare_digest(right, decoded(proof)):
        return None
    changed, answer = await instead(peer, wire, session, "scram_final", told)
    if changed:
        return login if answer == b"" else None
    verifier = b"v=" + base64.b64encode(hmac256(hmac256(salted, "Server Key"), told))
    if await ask(wire, verifier) != b"":
        raise ValueError("an answer where there is nothing to say")
    return login
