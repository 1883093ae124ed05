# SPDX-License-Identifier: GPL-3.0-or-later
"""A next hop at every address of 127/8, and what came to which: the address stands for the remote host."""
import collections
import re

from peer import scripted

NUMBER = re.compile(rb"Subject: (\d+)\r\n")


class Everywhere(scripted.Server):
    """
    Takes every message that harness/spool.py has written; `dead_port` is one at which nobody listens, at no
    address.
    """

    def __init__(self, stages=None, **options):
        self.came = collections.defaultdict(list)  # queue id: [address it came to]
        self.at = collections.Counter()            # (recipient's domain, address it came to)
        self.by = collections.Counter()            # (recipient's domain, address it came from)
        self.dead = scripted.bound("0.0.0.0")
        self.dead_port = self.dead.getsockname()[1]
        super().__init__(stages, host="0.0.0.0", on_message=self.note, keep=False, **options)

    def note(self, message):
        found = NUMBER.match(message.data)
        if not found:
            return  # a report of a failure
        domain = message.recipients[0].rpartition("@")[2]
        self.came[int(found[1])].append(message.session.server[0])
        self.at[domain, message.session.server[0]] += 1
        self.by[domain, message.session.client[0]] += 1

    def stop(self):
        super().stop()
        self.dead.close()
