# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a condition: never for a length of time."""
import time

from harness.places import PATIENCE


def until(condition, what=None, seconds=None, alive=None):
    """The first true value of condition(); `alive` is asked meanwhile and may raise."""
    limit = time.monotonic() + (seconds or PATIENCE)
    pause = 0.002
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > limit:
            said = what() if callable(what) else what
            raise AssertionError(f"in {seconds or PATIENCE} s this did not happen: {said or condition}")
        if alive is not None:
            alive()
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
