# SPDX-License-Identifier: GPL-3.0-or-later
"""Log lines of relayd as values: time, level, queue id, event, fields."""
import re
from typing import NamedTuple, Optional

LINE = re.compile(r"^(?P<time>\S+Z) (?P<level>debug|info|notice|warning|error) (?P<id>\d+|-) (?P<event>\S+)"
                  r"(?P<fields>( [a-z_0-9]+=(\"(\\.|[^\"\\])*\"|[^\" ]*))*)$")
FIELD = re.compile(r" ([a-z_0-9]+)=(\"(?:\\.|[^\"\\])*\"|[^\" ]*)")


class LogLine(NamedTuple):
    time: str
    level: str
    id: Optional[int]
    event: str
    fields: dict

    def __getitem__(self, name):
        return self.fields.get(name) if isinstance(name, str) else tuple.__getitem__(self, name)


def unquoted(value):
    if not value.startswith('"'):
        return value
    return re.sub(r"\\(x[0-9a-f]{2}|.)",
                  lambda found: chr(int(found[1][1:], 16)) if len(found[1]) == 3 else found[1], value[1:-1])


def read(line):
    """None for a line that relayd's log did not write."""
    found = LINE.match(line)
    if not found:
        return None
    fields = {key: unquoted(value) for key, value in FIELD.findall(found["fields"])}
    return LogLine(found["time"], found["level"], None if found["id"] == "-" else int(found["id"]),
                   found["event"], fields)
