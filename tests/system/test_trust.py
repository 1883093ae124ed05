# SPDX-License-Identifier: GPL-3.0-or-later
"""
Whom relayd believes: the authorities of `tls { ca = ... }` or the system's; a file that changes is read
again on SIGHUP, one that can't be used changes nothing, and is refused at a start and by relayd -n.
"""
import subprocess

import pytest

from harness.places import RELAYD
from peer.tls import Authority


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def make_checked(make_relayd, make_peer):
    """A daemon, and its one next hop, whose certificate has to hold."""
    def make(tls, certified_by, **settings):
        peer = make_peer(tls=certified_by.server("127.0.0.1"), host="127.0.0.1")
        relayd = make_relayd(tls=tls, **settings)
        relayd.route("--tls", "verify", to=peer)
        return relayd, peer

    return make


def delivered(relayd, peer):
    queue_id = relayd.send()
    fate = relayd.fate(queue_id, "b@b.example")
    assert fate.event == "delivered", relayd.log()
    assert peer.sessions[-1].tls, "in the clear"


def refused(relayd, what):
    queue_id = relayd.send()
    assert relayd.fate(queue_id, "b@b.example").event == "deferred"
    relayd.wait_log(what)


def check(relayd):
    return subprocess.run([RELAYD, "-n", "-f", relayd.conf], capture_output=True, text=True, timeout=60)


def test_an_authority_of_ones_own(make_checked, authority):
    relayd, peer = make_checked({"ca": authority.file}, authority)
    delivered(relayd, peer)
    assert check(relayd).returncode == 0


def test_the_system_does_not_know_it(make_checked, authority):
    relayd, peer = make_checked({}, authority)
    refused(relayd, "certificate: its issuer is not known here")
    assert not peer.messages


def test_the_file_is_read_again(make_checked, authority, tmp_path):
    other = Authority(tmp_path, "another")
    file = tmp_path / "ca.pem"
    file.write_bytes(other.file.read_bytes())
    relayd, peer = make_checked({"ca": file}, authority, retry=["500ms"])
    refused(relayd, "certificate: its issuer is not known here")
    file.write_bytes(other.file.read_bytes() + authority.file.read_bytes())
    relayd.reload()
    relayd.wait_log(" reloaded ")
    relayd.wait_empty()
    delivered(relayd, peer)
    # who is believed no longer is not believed for what was verified before either
    file.write_bytes(other.file.read_bytes())
    relayd.reload()
    relayd.wait(lambda: len(relayd.lines("reloaded")) == 2, "the second reload")
    relayd.wait(lambda: not peer.open, "the idle session is gone")
    refused(relayd, "certificate: its issuer is not known here")


def test_a_bad_file_changes_nothing(make_checked, authority, tmp_path):
    file = tmp_path / "ca.pem"
    file.write_bytes(authority.file.read_bytes())
    relayd, peer = make_checked({"ca": file}, authority)
    for content, sentence in ((None, "No such file or directory"), (b"nothing in it\n", "")):
        refusals = len(relayd.lines("reload-refused"))
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
        relayd.reload()
        line = relayd.wait(lambda n=refusals: relayd.lines("reload-refused")[n:], "the reload is refused")[0]
        assert line["reason"].startswith(f"tls.ca: {file}: no certificates could be read: {sentence}")
        assert not relayd.lines("reloaded")
        done = check(relayd)
        assert done.returncode == 1 and f"{relayd.conf}: tls.ca: {file}: " in done.stderr
        delivered(relayd, peer)


def test_no_start_without_it(make_relayd, tmp_path):
    relayd = make_relayd(start=False, tls={"ca": tmp_path / "none.pem"})
    relayd.spawn()
    assert relayd.wait_end() == 1
    assert "tls.ca: " in relayd.log() and "No such file or directory" in relayd.log()
    relayd.process = None
