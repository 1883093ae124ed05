# SPDX-License-Identifier: GPL-3.0-or-later
"""
What the disk does to us: full (452, and the daemon lives on), a sync that fails (451), a torn tail
(cut), damage elsewhere (named by file and offset, nothing touched, no start). What got a 250, and what
tmail reported as done, is there after a kill.
"""
import hashlib
import os
import pathlib
import re
import subprocess

import pytest

from harness import messages
from harness.places import PATIENCE, RELAYD, SANITIZED
from harness.waiting import until


def refused_start(relayd):
    done = subprocess.run([str(RELAYD), "-f", str(relayd.conf)], capture_output=True, text=True, timeout=PATIENCE,
                          env=relayd.environment)
    assert done.returncode == 1, done
    return done.stderr


def digests(folder):
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.rglob("*") if path.is_file() and path.name not in ("relayd.lock", "lock")}


def assert_refused(relayd, name, place=r"offset \d+"):
    """It names the file and the place, and leaves everything as it was."""
    before = digests(relayd.state_dir)
    said = refused_start(relayd)
    assert name in said, said
    assert re.search(place, said), said
    assert digests(relayd.state_dir) == before
    return said


# ---- damaged routes --------------------------------------------------------------------------------

def with_routes(relayd, count=40):
    for number in range(count):
        relayd.tmail("routes", "add", "-d", f"d{number}.example", "-rh", f"hop{number}.example", "--comment", "c" * 200)
    return relayd.tmail("routes", "list")


@pytest.mark.parametrize("damage", ["header", "cut", "middle", "empty"])
def test_damaged_checkpoint(make_relayd, damage):
    relayd = make_relayd()
    with_routes(relayd)
    relayd.stop()
    path = relayd.state_dir / "routes.gdbm"
    octets = bytearray(path.read_bytes())
    if damage == "header":
        octets[0:16] = b"\xff" * 16
    elif damage == "cut":
        del octets[len(octets) // 2:]
    elif damage == "empty":
        octets.clear()
    else:
        at = octets.index(b"hop20.example")
        octets[at:at + 5] = b"what\0"
    path.write_bytes(octets)
    # GDBM itself says no more of a file that it can't open.
    assert_refused(relayd, str(path), r"key|record|offset" if damage == "middle" else r"routes\.gdbm is damaged: \w+")


def test_a_checkpoint_that_is_gone_is_not_an_empty_table(make_relayd):
    relayd = make_relayd()
    with_routes(relayd, 2)
    relayd.kill()
    until(lambda: not relayd.is_running(), "killed")
    relayd.start()
    assert len(relayd.tmail("routes", "list").splitlines()) == 2


def journal_of_changes(make_relayd, count=6):
    """A daemon that was killed with `count` changes in its journal."""
    relayd = make_relayd()
    listed = with_routes(relayd, count)
    relayd.process.kill()
    relayd.process.wait()
    relayd.process = None
    return relayd, listed, relayd.state_dir / "routes.journal"


def test_damaged_journal(make_relayd):
    """A change that was reported and does not check any more, with others behind it."""
    for _ in range(10):
        relayd, listed, path = journal_of_changes(make_relayd)
        octets = bytearray(path.read_bytes())
        if b"hop1.example" in octets and b"hop5.example" in octets:
            break
    else:
        pytest.fail("every kill came after the checkpoint")
    at = octets.index(b"hop1.example")
    octets[at] ^= 0x20
    path.write_bytes(octets)
    said = assert_refused(relayd, str(path))
    assert re.search(r"\d+", said.replace(str(path), ""))


@pytest.mark.parametrize("torn", ["an octet", "most of a record", "zeroes"])
def test_torn_journal(make_relayd, torn):
    """Half a record at the end was never reported as done: it is cut, and what comes after it is kept."""
    relayd, listed, path = journal_of_changes(make_relayd)
    octets = path.read_bytes()
    path.write_bytes(octets + {"an octet": b"\x01", "most of a record": octets[-40:-7], "zeroes": b"\0" * 4096}[torn])
    relayd.start()
    assert relayd.tmail("routes", "list") == listed
    assert re.search("torn|cut", relayd.log())
    relayd.tmail("routes", "add", "-rh", "after.example")
    listed = relayd.tmail("routes", "list")
    relayd.kill()
    relayd.start()
    assert relayd.tmail("routes", "list") == listed


def test_ids_are_never_reused(make_relayd):
    relayd = make_relayd()
    ids = [relayd.route("-rh", "x.example") for _ in range(3)]
    relayd.tmail("routes", "del", ids[-1])
    relayd.restart()
    assert relayd.route("-rh", "x.example") == ids[-1] + 1
    relayd.kill()
    relayd.start()
    assert relayd.route("-rh", "x.example") == ids[-1] + 2


# ---- damaged spool ---------------------------------------------------------------------------------

def with_mail(make_relayd, make_peer, count=3, **settings):
    relayd = make_relayd(**settings)
    relayd.route(to=make_peer(up=False))
    ids = [relayd.send(b"Subject: number %d\r\n\r\n" % number + b"text\r\n" * 100) for number in range(count)]
    relayd.wait(lambda: len(relayd.fates()) >= count, "all were tried")
    return relayd, ids


def segment_with(relayd, octets):
    for path in relayd.spool_files():
        at = path.read_bytes().find(octets)
        if at >= 0:
            return path, at
    raise AssertionError(f"{octets!r} is nowhere")


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_damaged_segment(make_relayd, make_peer, how):
    relayd, ids = with_mail(make_relayd, make_peer)
    getattr(relayd, how)()
    path, at = segment_with(relayd, b"Subject: number 1")
    octets = bytearray(path.read_bytes())
    octets[at] ^= 1
    path.write_bytes(octets)
    assert_refused(relayd, path.name)
    octets[at] ^= 1
    path.write_bytes(octets)
    relayd.start()
    assert relayd.queued() == len(ids)


def test_a_segment_that_is_gone(make_relayd, make_peer):
    relayd, ids = with_mail(make_relayd, make_peer)
    relayd.restart()
    relayd.send()
    relayd.stop()
    path, at = segment_with(relayd, b"Subject: number 1")
    octets = path.read_bytes()
    path.unlink()
    if len(list(path.parent.glob("*.seg"))):
        said = refused_start(relayd)
        assert path.name in said or path.stem.lstrip("0") in said, said
    path.write_bytes(octets)
    relayd.start()
    assert relayd.queued() == len(ids) + 1


def test_a_large_body_that_is_gone(make_relayd, make_peer):
    relayd = make_relayd()
    relayd.route(to=make_peer(up=False))
    queue_id = relayd.send(messages.large(1 << 20))
    relayd.fate(queue_id, "b@b.example")
    relayd.stop()
    path, = [path for path in relayd.spool_files() if path.stat().st_size > 1 << 20 or path.parent.name == "large"]
    octets = path.read_bytes()
    path.unlink()
    assert_refused(relayd, str(path), "missing")
    path.write_bytes(octets)
    relayd.start()
    assert relayd.queued() == 1


def test_torn_tail(make_relayd, make_peer):
    """What was being written when the power went: cut, logged, and nothing that got a 250 is lost."""
    relayd, ids = with_mail(make_relayd, make_peer)
    relayd.kill()
    for torn in (b"\x01", b"garbage that is no record" * 10, b"\0" * 5000):
        path = max(relayd.spool_files(), key=lambda path: (path.suffix == ".seg", path.name))
        octets = path.read_bytes()
        path.write_bytes(octets + torn)
        relayd.start()
        assert relayd.queued() == len(ids)
        relayd.kill()


def test_a_tail_cut_short(make_relayd, make_peer):
    """The last record lost some octets: only what it said is gone, and the daemon starts."""
    relayd, ids = with_mail(make_relayd, make_peer, 5)
    relayd.kill()
    path = max(relayd.spool_files(), key=lambda path: (path.suffix == ".seg", path.name))
    octets = path.read_bytes()
    path.write_bytes(octets[:-3])
    relayd.start()
    assert relayd.queued() >= len(ids) - 1


# ---- full, failing ---------------------------------------------------------------------------------

def on_a_small_disk(make_relayd, size="3m", **settings):
    """The state directory on a file system of its own, seen by the daemon alone."""
    relayd = make_relayd(start=False, **settings)
    relayd.state_dir.mkdir(mode=0o700)
    who = [] if os.getuid() == 0 else ["-r"]
    mount = 'mount -t tmpfs -o size="$1",mode=700 none "$2" && shift 2 && exec "$@"'
    command = ["unshare", *who, "-m", "sh", "-c", mount, "sh", size, str(relayd.state_dir)]
    if subprocess.run([*command, "true"], capture_output=True).returncode != 0:
        pytest.skip("no mount namespace can be had here")
    relayd.command = [*command, *relayd.command]
    relayd.start()
    return relayd, pathlib.Path(f"/proc/{relayd.pid}/root{relayd.state_dir}")


def fill(disk):
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as out:
        for size in (65536, 4096, 512, 1):
            while True:
                try:
                    out.write(b"x" * size)
                except OSError:
                    break
    return filler


def compiled(tmp_path):
    source = pathlib.Path(__file__).with_name("failing_disk.c")
    made = tmp_path / "failing_disk.so"
    if not made.exists():
        subprocess.run(["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", str(made), str(source)], check=True)
    return made


def on_a_failing_disk(make_relayd, tmp_path, **settings):
    """failing_disk.c stands between the daemon and its disk; returns it and the file that says what fails."""
    trouble = tmp_path / "trouble"
    options = os.environ.get("ASAN_OPTIONS", "")
    relayd = make_relayd(start=False, environment={
        "FAILING_DISK": str(trouble),
        "ASAN_OPTIONS": f"{options}{':' if options else ''}verify_asan_link_order=0"}, **settings)
    # For the daemon alone, not for tmail.
    relayd.command = ["env", f"LD_PRELOAD={compiled(tmp_path)}", *relayd.command]
    return relayd.start(), trouble


def accepted_again(relayd, kept):
    with relayd.talk() as talk:
        talk.ehlo()
        reply = talk.message(b"Subject: after\r\n\r\n")
        if reply == 250:
            kept.append(reply.queue_id)
        return reply == 250


@pytest.mark.parametrize("disk", ["small", "failing"])
def test_a_full_disk(make_relayd, make_peer, tmp_path, disk):
    if disk == "small":
        relayd, disk = on_a_small_disk(make_relayd)
        fill_it, empty_it = lambda: fill(disk), lambda: (disk / "filler").unlink()
    else:
        relayd, trouble = on_a_failing_disk(make_relayd, tmp_path)
        fill_it, empty_it = lambda: trouble.write_text("full"), trouble.unlink
    relayd.route(to=make_peer(up=False))
    kept = [relayd.send(b"Subject: before\r\n\r\n")]
    fill_it()
    with relayd.talk() as talk:
        talk.ehlo()
        codes = set()
        for _ in range(20):
            reply = talk.message(b"Subject: during\r\n\r\n" + b"0123456789\r\n" * 1000)
            codes.add(reply.code)
            if reply == 250:
                kept.append(reply.queue_id)
        assert 452 in codes and codes <= {250, 452}, codes
        assert talk.message(messages.stuffed(messages.large(1 << 20))).code == 452, "a large one too"
        assert talk.say("NOOP") == 250
    # A change of routes that can't be made durable is not made.
    listed = relayd.tmail("routes", "list")
    done = relayd.tmail("routes", "add", "-rh", "y.example", "--comment", "x" * 900, status=None)
    if done.returncode != 0:
        assert done.returncode == 10, done
        assert relayd.tmail("routes", "list") == listed
    assert re.search(r"No space left on device", relayd.log())
    empty_it()
    relayd.wait(lambda: accepted_again(relayd, kept), "mail is taken again")
    relayd.route("-d", "z.example", "-rh", "z.example")
    assert relayd.queued() == len(kept), "what got a 250 is there, and nothing else"


def test_a_full_disk_leaves_nothing_half_kept(make_relayd, make_peer):
    """The large bodies that were refused are gone from the disk."""
    relayd, disk = on_a_small_disk(make_relayd, size="2m")
    relayd.route(to=make_peer(up=False))
    with relayd.talk() as talk:
        talk.ehlo()
        for _ in range(3):
            assert talk.message(messages.stuffed(messages.large(4 << 20))).code == 452
        assert talk.message(messages.stuffed(messages.large(1 << 19))) == 250
    relayd.wait(lambda: len(list((disk / "spool/large").glob("*"))) <= 1, "what was refused is gone")


def test_a_full_disk_while_mail_is_delivered(make_relayd, make_peer, tmp_path):
    """Outcomes can't be written: mail goes on, the failure is said, and no recipient is lost."""
    relayd, trouble = on_a_failing_disk(make_relayd, tmp_path, retry=["1s"])
    peer = make_peer({"rcpt": ["450 4.2.0 later"] * 5 + [None]})
    relayd.route(to=peer)
    ids = [relayd.send(recipients=[f"b{number}@b.example"]) for number in range(5)]
    trouble.write_text("full")
    relayd.wait(lambda: len(relayd.lines("delivered")) == 5, "all are delivered")
    trouble.unlink()
    relayd.wait_empty()
    relayd.kill()
    relayd.start()
    relayd.wait_empty()
    assert {message.recipients[0] for message in peer.taken} == {f"b{number}@b.example" for number in range(5)}
    assert {line.id for line in relayd.lines("delivered")} == set(ids)


def test_a_sync_that_fails(make_relayd, make_peer, tmp_path):
    """Nothing is acknowledged that may not be on the disk; the next one goes to another segment."""
    relayd, trouble = on_a_failing_disk(make_relayd, tmp_path)
    relayd.route(to=make_peer(up=False))
    kept = [relayd.send()]
    trouble.write_text("sync")
    with relayd.talk() as talk:
        talk.ehlo()
        for _ in range(5):
            assert talk.message(b"Subject: lost\r\n\r\n").code in (451, 452)
    done = relayd.tmail("routes", "add", "-rh", "y.example", status=None)
    assert done.returncode == 10, done
    assert "y.example" not in relayd.tmail("routes", "list")
    trouble.unlink()
    relayd.wait(lambda: accepted_again(relayd, kept), "mail is taken again")
    relayd.wait(lambda: relayd.tmail("routes", "add", "-rh", "z.example", status=None).returncode == 0, "so are routes")
    assert relayd.queued() == len(kept)
    relayd.kill()
    relayd.start()
    assert relayd.queued() == len(kept)
    assert "y.example" not in relayd.tmail("routes", "list")


def test_memory_does_not_grow_with_the_message(make_relayd, make_peer):
    relayd = make_relayd(message_size="300M", environment={
        "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"})
    peer = make_peer(keep=False)
    relayd.route(to=peer)
    relayd.send(messages.large(1 << 20))
    relayd.wait_empty()

    def resident():
        return int(re.search(r"VmHWM:\s+(\d+)", open(f"/proc/{relayd.pid}/status").read())[1]) >> 10

    before = resident()
    octets = messages.large(4 << 20) * (10 if SANITIZED else 25)
    relayd.send(octets)
    relayd.wait_empty()
    assert peer.message_count == 2
    assert resident() - before < (24 if not SANITIZED else 40), "MiB"
