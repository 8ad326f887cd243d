"""Watching the connections on which answers are due."""

from typing import Protocol

from beethoven.runtime.line import Connection
from beethoven.runtime.poller import Callback, HasFileno


class Readers(Protocol):
    """What runs a callback whenever a connection can be read; a poller, or an event loop."""

    def register(self, source: HasFileno, on_readable: Callback, /) -> None: ...
    def unregister(self, source: HasFileno, /) -> None: ...


class Watch:
    """Has a poller read from connections for as long as answers are due on them."""

    def __init__(self, poller: Readers) -> None:
        self._poller = poller
        self._due: dict[Connection, int] = {}

    @property
    def is_idle(self) -> bool:
        """Whether no answer is due."""
        return not self._due

    def add(self, line: Connection | None) -> None:
        """One more answer is due on a connection."""
        if line is not None:
            if line not in self._due:
                self._poller.register(line.stream, line.take_in)
            self._due[line] = self._due.get(line, 0) + 1

    def remove(self, line: Connection | None) -> None:
        """One answer less is due on a connection."""
        if line is not None:
            self._due[line] -= 1
            if not self._due[line]:
                del self._due[line]
                self._poller.unregister(line.stream)
