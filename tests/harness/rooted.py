# SPDX-License-Identifier: GPL-3.0-or-later
"""
A mail program of Debian's in a root directory of its own: the unpacked package (tests/peers/fetch), the shared
libraries it needs, its users, its configuration where it looks for it. For programs that know their places and
their users when they are compiled. Needs root, for chroot(2).
"""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

from harness.daemon import own_address
from harness.places import PATIENCE, PEERS
from harness.postfix import answers
from harness.waiting import until

PASSWD = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n"
GROUP = "root:x:0:\nnogroup:x:65534:\n"


def libraries(program, path):
    """The files that the loader takes for it."""
    told = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True,
                          env=dict(os.environ, LD_LIBRARY_PATH=path)).stdout
    return re.findall(r"^\s*(?:\S+ => )?(/.+) \(0x", told, re.MULTILINE)


class Rooted:
    """
    `program`: its place in the package. `users`: {name: number}. Files (text by place) are written before it
    starts. It is spoken to at `host` and `port`.
    """

    def __init__(self, package, programs, users):
        self.unpacked = PEERS / package
        self.root = pathlib.Path(tempfile.mkdtemp(prefix=f"{package}-test-"))
        self.root.chmod(0o755)
        self.host, self.port = own_address(), 2525
        self.process = None
        for program in programs:
            self.copy_in(self.unpacked / program.lstrip("/"), program)
        for place in ("etc", "dev", "tmp", "run", "var/run", "var/spool", "var/empty", "root", "usr/libexec"):
            (self.root / place).mkdir(parents=True, exist_ok=True)
        self.write("/etc/passwd", PASSWD + "".join(f"{name}:x:{number}:{number}::/var/empty:/usr/sbin/nologin\n"
                                                   for name, number in users.items()))
        self.write("/etc/group", GROUP + "".join(f"{name}:x:{number}:\n" for name, number in users.items()))
        self.write("/etc/hosts", "127.0.0.1 localhost\n")
        self.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")
        for name, number in (("null", 3), ("urandom", 9)):
            os.mknod(self.root / "dev" / name, 0o20666, os.makedev(1, number))
            (self.root / "dev" / name).chmod(0o666)

    def copy_in(self, source, place):
        """A program, at its place, and the libraries it needs, at theirs."""
        target = self.root / place.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        for library in libraries(source, (self.unpacked / "library-path").read_text().strip()):
            # The loader in the new root searches the places of the system alone.
            inside = self.root / library.lstrip("/").removeprefix(str(self.unpacked).lstrip("/") + "/")
            if not inside.exists():
                inside.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(library, inside)

    def write(self, place, text, mode=0o644, owner=None):
        path = self.root / place.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        if owner:
            os.chown(path, owner, owner)

    def folder(self, place, mode=0o755, owner=0, group=None):
        path = self.root / place.lstrip("/")
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
        os.chown(path, owner, owner if group is None else group)

    def run(self, *command):
        """A command inside, to its end; its output."""
        done = subprocess.run(["chroot", str(self.root), *command], capture_output=True, text=True, timeout=PATIENCE)
        return done.stdout + done.stderr

    def start(self, *command):
        with (self.root / "output").open("wb") as out:
            self.process = subprocess.Popen(["chroot", str(self.root), *command], stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=out, start_new_session=True)
        until(lambda: answers((self.host, self.port)), self.said, alive=self.assert_alive)
        return self

    def said(self):
        places = [self.root / "output", *(self.root / "var").rglob("*log")]
        return "".join(path.read_text(errors="replace") for path in places if path.is_file())

    def assert_alive(self):
        assert self.process.poll() is None, self.said()

    def stop(self):
        """It and its children, which are its process group."""
        if self.process is not None:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(PATIENCE)
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        shutil.rmtree(self.root, ignore_errors=True)
