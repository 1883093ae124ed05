# SPDX-License-Identifier: GPL-3.0-or-later
"""
Programs that people send mail with submit without a complaint, and what they sent arrives: swaks, curl,
msmtp, Python's smtplib, Postfix's smtp-source.
"""
import email.message
import shutil
import subprocess

import pytest

from harness import messages, postfix
from harness.places import PATIENCE

TEXT = ("Subject: from a client\r\nFrom: a@a.example\r\nTo: b@b.example\r\n\r\n"
        "Grüße\r\n.\r\n..two\r\n.three\r\nlast\r\n")


@pytest.fixture
def peer(relayd, make_peer):
    peer = make_peer()
    relayd.route(to=peer)
    return peer


def client(name):
    path = shutil.which(name)
    if path is None:
        pytest.fail(f"{name} is not installed: the tests need it")
    return path


def run(*words, input=None, **options):
    done = subprocess.run(list(map(str, words)), input=input, capture_output=True, timeout=PATIENCE, **options)
    said = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode == 0, said
    return said


def only(relayd, peer):
    """The one message that arrived, less its trace."""
    relayd.wait_empty()
    message, = peer.taken
    return messages.without_trace(message.data)


def test_swaks(relayd, peer):
    said = run(client("swaks"), "--server", f"{relayd.host}:{relayd.port}", "--from", "a@a.example", "--to",
               "b@b.example,c@b.example", "--ehlo", "client.example", "--data", "-", input=TEXT.encode())
    assert " ** " not in said and "queued as" in said
    # It adds an empty line of its own.
    assert only(relayd, peer).rstrip() == TEXT.encode().rstrip()
    assert peer.taken[0].recipients == ["b@b.example", "c@b.example"]


def test_swaks_pipelining(relayd, peer):
    said = run(client("swaks"), "--server", f"{relayd.host}:{relayd.port}", "--from", "a@a.example", "--to",
               ",".join(f"b{n}@b.example" for n in range(50)), "--ehlo", "client.example", "--pipeline")
    assert "**" not in said
    relayd.wait_empty()
    assert len(peer.taken[0].recipients) == 50


def test_curl(relayd, peer, tmp_path):
    (tmp_path / "mail").write_bytes(TEXT.encode())
    said = run(client("curl"), "-sS", "--url", f"smtp://{relayd.host}:{relayd.port}/client.example", "--mail-from",
               "a@a.example", "--mail-rcpt", "b@b.example", "--mail-rcpt", "c@b.example", "--upload-file",
               tmp_path / "mail")
    assert said == ""
    assert only(relayd, peer) == TEXT.encode()
    assert peer.taken[0].recipients == ["b@b.example", "c@b.example"]


def test_curl_two_in_one_session(relayd, peer, tmp_path):
    (tmp_path / "mail").write_bytes(TEXT.encode())
    one = ["--url", f"smtp://{relayd.host}:{relayd.port}", "--mail-from", "a@a.example", "--mail-rcpt", "b@b.example",
           "--upload-file", tmp_path / "mail"]
    run(client("curl"), "-sS", *one, "--next", *one)
    relayd.wait_empty()
    assert [messages.without_trace(message.data) for message in peer.taken] == [TEXT.encode()] * 2


def test_msmtp(relayd, peer, tmp_path):
    conf = tmp_path / "msmtprc"
    conf.write_text(f"account default\nhost {relayd.host}\nport {relayd.port}\nfrom a@a.example\nauth off\ntls off\n"
                    "domain client.example\nset_from_header off\nset_date_header off\nset_msgid_header off\n")
    said = run(client("msmtp"), "-C", conf, "--", "b@b.example", input=TEXT.replace("\r\n", "\n").encode())
    assert said == ""
    assert only(relayd, peer) == TEXT.encode()


def test_smtplib(relayd, peer):
    message = email.message.EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@a.example", "b@b.example, c@b.example", "Grüße"
    message.set_content("Ein Text mit Umlauten: äöü\n.\n..\n", cte="8bit")
    message.add_attachment(bytes(range(256)) * 100, maintype="application", subtype="octet-stream", filename="x.bin")
    with relayd.smtp() as smtp:
        assert smtp.send_message(message) == {}
        assert smtp.verify("a")[0] == 252 and smtp.noop()[0] == 250 and smtp.help()
    relayd.wait_empty()
    got = email.message_from_bytes(peer.taken[0].data, policy=email.policy.default)
    assert got["Subject"] == "Grüße" and not got.defects
    assert next(got.iter_attachments()).get_content() == bytes(range(256)) * 100
    assert peer.taken[0].recipients == ["b@b.example", "c@b.example"]


@pytest.mark.parametrize("options, count", [
    (("-s", "1", "-m", "20"), 20),
    (("-s", "10", "-m", "200", "-l", "4000"), 200),
    (("-s", "5", "-m", "50", "-r", "7"), 50),
    (("-d", "-s", "5", "-m", "100"), 100),
])
def test_smtp_source(relayd, peer, options, count):
    if not postfix.is_there():
        pytest.fail(f"Debian's postfix is not in {postfix.UNPACKED}: run tests/peers/fetch")
    said = run(postfix.tool("smtp-source"), *options, "-f", "a@a.example", "-t", "b@b.example",
               f"{relayd.host}:{relayd.port}", env=postfix.environment())
    assert said == ""
    relayd.wait_empty()
    assert len(peer.taken) == count
    assert not [line for line in relayd.lines("refused")]
