"""The log of a tree without a node: what its processes write to standard error."""

import os
import re
from typing import Any

import pytest

from tests.processes import wait_until

_STDERR = 2
_FIELD = re.compile(r'(?P<key>[^ =]+)=(?P<value>"(?:[^"\\]|\\.)*"|[^ ]*)')


class LogLines:
    """
    What has been logged since the test began, before any tree was started.

    Args:
        capfd: pytest's, which has standard error be a file of this test.
    """

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert capfd

    def read(self) -> str:
        """
        Return all of it; of a line that is being written nothing.

        `readouterr` loses what is written while it empties the file.
        """
        data = os.pread(_STDERR, os.fstat(_STDERR).st_size, 0)
        return data[: data.rfind(b"\n") + 1].decode()

    def of(self, event: str, **fields: object) -> list[dict[str, str]]:
        """Return the fields of the records of an event that have these fields."""
        found = []
        for line in self.read().splitlines():
            words = line.split(maxsplit=3)
            if len(words) > 3 and words[2] == event:
                have = {each["key"]: _plain(each["value"]) for each in _FIELD.finditer(words[3])}
                have["level"] = words[1]
                if all(have.get(key) == str(value) for key, value in fields.items()):
                    found.append(have)
        return found

    def wait_for(self, event: str, **fields: object) -> dict[str, str]:
        """Return the one record of an event, as soon as it is there."""
        wait_until(lambda: self.of(event, **fields))
        found = self.of(event, **fields)
        assert len(found) == 1, found
        return found[0]


def _plain(value: str) -> str:
    if not value.startswith('"'):
        return value
    text: Any = re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], value[1:-1])
    return str(text)
