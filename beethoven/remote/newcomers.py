"""
Newcomers: processes that this thread has no connection to yet, each spoken to in a short thread.

So one that does not answer holds up nobody but itself. What its thread has opened is kept for the
thread that has asked.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar

from beethoven.errors import CallTimeout
from beethoven.runtime import connection
from beethoven.runtime.line import Connection
from beethoven.runtime.reference import Reference

# The threads give up at the same moment as who waits for them, and may be a little later, seconds.
_GRACE: Final = 0.05

T = TypeVar("T")


class Newcomer(Generic[T]):
    """
    A process that is spoken to from now on, in a thread that ends with it.

    Args:
        target: Which process.
        speak: Connects to it and speaks with it; may block, but not for ever.
    """

    __slots__ = ("_error", "_line", "_speak", "_thread", "_values", "target")

    def __init__(self, target: Reference, speak: Callable[[Reference], T]) -> None:
        self.target = target
        self._speak = speak
        self._values: list[T] = []
        self._error: BaseException | None = None
        self._line: Connection | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._values.append(self._speak(self.target))
        except BaseException as error:
            self._error = error.with_traceback(None)
        self._line = connection.release(self.target)

    def finish(self, timeout: float | None) -> T:
        """
        Return what came of it, and use its connection in this thread from now on.

        Raises:
            CallTimeout: Nothing did within `timeout` seconds. Else what speaking has raised.
        """
        self._thread.join(None if timeout is None else timeout + _GRACE)
        if self._thread.is_alive():
            raise CallTimeout(target=str(self.target), timeout=timeout or 0.0)
        line, self._line = self._line, None
        error, self._error = self._error, None
        if line is not None:
            connection.keep(self.target, line)
        if error is None:
            return self._values[0]
        try:
            raise error
        finally:
            # Its traceback leads here: a circle would keep the connection.
            del error


def newcomers_among(
    found: Mapping[str, Reference], speak: Callable[[Reference], T]
) -> tuple[dict[str, Newcomer[T]], dict[str, Reference]]:
    """Begin to speak to those of some processes that are not connected; return them, and others."""
    known = {node: each for node, each in found.items() if connection.is_connected(each)}
    new = {node: Newcomer(each, speak) for node, each in found.items() if node not in known}
    return new, known
