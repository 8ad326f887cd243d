"""
The journal of a scope: a file of what the processes of its node want, for its successor.

It lies in the private folder of the tree, and goes with it. A wish is written before it is told to
anybody, so whoever was answered is not forgotten.
"""

import json
import os
from pathlib import Path
from typing import Final

from beethoven.groups.events import Join, Leave, Unwatch, Watch, Wish
from beethoven.log import get_log
from beethoven.runtime.reference import Ref

_FILE: Final = "groups"
_WORDS: Final[dict[str, type[Wish]]] = {
    "join": Join,
    "leave": Leave,
    "watch": Watch,
    "unwatch": Unwatch,
}
# So many lines that lead to nothing are not worth a new file.
_MOST_DEAD: Final = 4096

log = get_log("groups")


class Journal:
    """
    What is written down on one node.

    Args:
        folder: The private folder of the tree.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._path = Path(folder, _FILE)
        self._lines = 0
        self._file: int | None = None
        self._is_broken = False

    def read(self) -> list[Wish]:
        """Return what was written down; what cannot be read any more is left out."""
        try:
            lines = self._path.read_text("utf-8").splitlines()
        except (OSError, ValueError):
            return []
        self._lines = len(lines)
        return [wish for line in lines if (wish := self._parse(line)) is not None]

    def add(self, wish: Wish) -> None:
        """Write down a wish."""
        self._lines += 1
        try:
            if self._file is None:
                self._file = os.open(self._path, _APPENDING, 0o600)
            os.write(self._file, _line(wish))
        except OSError as error:
            self._complain(error)

    def is_overgrown(self, living: int) -> bool:
        """Return whether a new file would be much smaller; `living` wishes would be in it."""
        return self._lines > 2 * living + _MOST_DEAD

    def replace(self, wishes: list[Wish]) -> None:
        """Write down these wishes and no others."""
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_bytes(b"".join(map(_line, wishes)))
            fresh.replace(self._path)
        except OSError as error:
            self._complain(error)
            return
        self._lines = len(wishes)
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _parse(self, line: str) -> Wish | None:
        try:
            word, number, group, identity, pid, name = json.loads(line)
            return _WORDS[word](number, group, Ref(identity, self._folder, pid, name))
        except (ValueError, KeyError, TypeError):
            # The last line of one that was killed while it wrote.
            return None

    def _complain(self, error: OSError) -> None:
        if not self._is_broken:
            log.warning("groups_unwritable", problem=error.strerror)
        self._is_broken = True


_APPENDING: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


def _line(wish: Wish) -> bytes:
    word = type(wish).__name__.lower()
    ref = wish.ref
    fields = (word, wish.number, wish.group, ref.identity, ref.pid, ref.name)
    return (json.dumps(fields) + "\n").encode()
