# SPDX-License-Identifier: GPL-3.0-or-later
"""
kill -9 at every system call of changes to the routes, of the checkpoint that follows them, and of the stop
(tests/crash/stepper.c): after the next start the table is the one before a change or the one after it, whole;
what was reported is there; the log of changes says the same as the table.

The steps are dealt to some tests, which go through theirs several at a time: most of a run is waiting for the
checkpoint. STEPS_EVERY (environment): only every so-manieth step.
"""
import concurrent.futures
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from harness.control import Refused
from harness.daemon import Ended, Relayd
from harness.places import SANITIZED
from peer.dns import Dns

DEALS = 2
AT_ONCE = 12
EVERY = int(os.environ.get("STEPS_EVERY", 7 if SANITIZED else 1))
UNKNOWN = -32601  # the method: of a daemon that has no such change

STORED = ("id", "destination", "user", "mail_from", "priority", "weight", "remote_host", "remote_port", "local_ips",
          "remote_login", "has_password", "tls", "enabled", "comment")

# What is done to the table, in its order: (method, parameters).
CHANGES = [
    ("routes.add", {"route": {"destination": "one.example", "remote_host": "192.0.2.9", "remote_login": "me",
                              "remote_password": "secret"}}),
    ("routes.add", {"routes": [{"destination": f"many{number}.example", "remote_host": "192.0.2.8", "weight": number}
                               for number in range(1, 6)]}),
    ("routes.del", {"ids": [2, 4, 6]}),
    ("routes.set", {"id": 1, "route": {"priority": 7, "comment": "moved"}}),
    ("routes.disable", {"ids": [3, 5]}),
    ("routes.batch", {"commands": [
        {"verb": "add", "route": {"destination": "batch.example", "remote_host": "192.0.2.6"}},
        {"verb": "set", "id": "+1", "route": {"comment": "the new one"}}, {"verb": "del", "ids": [1, 5]},
        {"verb": "move", "id": 3, "to": "last"}]}),
    ("routes.undo", {}),
    ("routes.add", {"route": {"destination": "timed.example", "remote_host": "192.0.2.7"},
                    "confirm_within_ms": 600000}),
    ("routes.confirm", {}),
]


@pytest.fixture(scope="module")
def stepper(tmp_path_factory):
    program = tmp_path_factory.mktemp("stepper") / "stepper"
    source = pathlib.Path(__file__).with_name("stepper.c")
    subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", "-O1", "-o", str(program), str(source)], check=True)
    if subprocess.run([str(program), "0", "true"], capture_output=True).returncode != 0:
        pytest.skip("ptrace is not allowed here")
    return program


def fields(routes):
    """What is stored of them; nothing that only describes."""
    return [{name: route[name] for name in STORED} for route in routes]


def snapshot(control):
    """The table."""
    listed = control.call("routes.list", limit=1000)
    return listed["revision"], fields(listed["routes"])


def make_template(folder):
    """A state directory with a checkpoint and a journal behind it."""
    relayd = Relayd(dns=Dns(), log_level="debug").start()
    try:
        with relayd.control() as control:
            control.call("routes.add", routes=[{"destination": f"old{number}.example", "remote_host": "192.0.2.1"}
                                               for number in range(5)])
            relayd.wait_log(" routes-checkpoint ")
            control.call("routes.add", route={"destination": "old.example", "remote_host": "192.0.2.2"})
        relayd.kill()
        shutil.copytree(relayd.state_dir, folder)
    finally:
        relayd.close()


def prepared(template, **options):
    relayd = Relayd(dns=Dns(), log_level="debug", **options)
    shutil.copytree(template, relayd.state_dir)
    return relayd


def known_states(template):
    """What the table is before the changes and after each; and the changes that this daemon can do."""
    relayd = prepared(template).start()
    try:
        with relayd.control() as control:
            states, changes = [snapshot(control)], []
            for method, params in CHANGES:
                try:
                    control.call(method, **params)
                except Refused as why:
                    assert why.args[0]["code"] == UNKNOWN, why
                    continue
                changes.append((method, params))
                states.append(snapshot(control))
        return changes, states
    finally:
        relayd.close()


def killed_at(relayd, changes):
    """
    Make the changes while the stepper counts, wait for the checkpoint, stop; returns how many were reported, and
    whether it was killed.
    """
    reported = 0
    try:
        with relayd.control() as control:
            relayd.process.send_signal(signal.SIGUSR1)
            for method, params in changes:
                control.call(method, **params)
                reported += 1
        relayd.wait_log(r" routes-checkpoint ")
        relayd.terminate()
    except (EOFError, ConnectionError, Ended):
        pass
    status = relayd.wait_end()
    assert status in (0, 128 + signal.SIGKILL), relayd.log()
    return reported, status != 0


def check_history(control, now, states):
    """Each revision is told once, and the table can be seen as it was at each."""
    try:
        told = [entry["revision"] for entry in control.call("routes.log", limit=1000)["changes"]]
    except Refused as why:
        assert why.args[0]["code"] == UNKNOWN, why
        return
    assert told == list(range(now, 0, -1)), told
    for revision, routes in states:
        if revision <= now:
            then = control.call("routes.list", at=revision, limit=1000)["routes"]
            assert fields(then) == routes, f"at revision {revision}"


def step(template, stepper, changes, states, number):
    """One life, killed at step `number`; False: it did not come to that."""
    # LeakSanitizer traces by itself: it can't while another one does.
    relayd = prepared(template, command=[str(stepper), str(number)],
                      environment={"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"})
    try:
        relayd.start()
        reported, killed = killed_at(relayd, changes)
        relayd.process, relayd.command = None, []
        relayd.start()
        with relayd.control() as control:
            now = snapshot(control)
            assert now in states[reported:reported + 2], (
                f"step {number}: {reported} changes were reported, and now the table is {now}")
            check_history(control, now[0], states)
            # It goes on from there: no id is given again.
            added = control.call("routes.add", route={"destination": "new.example", "remote_host": "192.0.2.3"})
            assert added["revision"] == now[0] + 1
            assert added["routes"][0]["id"] > max(route["id"] for route in now[1])
        left = {path.name for path in relayd.state_dir.iterdir() if path.name.endswith(".new")}
        assert not left, f"step {number}: {left}"
        return killed
    finally:
        relayd.close()


@pytest.mark.parametrize("deal", range(DEALS))
def test_killed_at_every_step(tmp_path, stepper, deal):
    template = tmp_path / "template"
    make_template(template)
    changes, states = known_states(template)
    number = 1 + deal * EVERY
    done = 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        while True:
            numbers = range(number, number + AT_ONCE * DEALS * EVERY, DEALS * EVERY)
            number = numbers.stop
            results = list(pool.map(lambda one: step(template, stepper, changes, states, one), numbers))
            done += sum(results)
            if not all(results):
                break
    print(f"{done} kills, {len(changes)} changes; steps up to {number}")
    assert done >= 10 // EVERY
