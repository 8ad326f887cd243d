"""
Waiting for answers with `await`. Imported, like asyncio, only by who does.

The event loop reads from those connections of its thread on which such answers are due.
"""

import asyncio

from beethoven.runtime.line import Connection
from beethoven.runtime.poller import Callback, HasFileno
from beethoven.runtime.watch import Watch


class _Readers:
    """The connections that an event loop reads from."""

    def __init__(self, events: asyncio.AbstractEventLoop) -> None:
        self._events = events

    def register(self, source: HasFileno, on_readable: Callback) -> None:
        self._events.add_reader(source.fileno(), on_readable)

    def unregister(self, source: HasFileno) -> None:
        self._events.remove_reader(source.fileno())


# One for each event loop in which somebody waits.
_watches: dict[asyncio.AbstractEventLoop, Watch] = {}


class Arrival:
    """What a coroutine waits for: it is told when the answer to a request is there."""

    def __init__(self) -> None:
        self._events = asyncio.get_running_loop()
        self._over = self._events.create_future()
        self._line: Connection | None = None

    async def come(self, line: Connection) -> None:
        """Return when the answer is there, which comes on that connection."""
        self._line = line
        _watches.setdefault(self._events, Watch(_Readers(self._events))).add(line)
        try:
            await self._over
        finally:
            self._leave()

    def _leave(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            watch = _watches[self._events]
            watch.remove(line)
            if watch.is_idle:
                del _watches[self._events]

    def finish(self, _request: object) -> None:
        """The answer is there."""
        self._leave()
        if not self._over.done():
            self._over.set_result(None)

    def forget(self, _request: object) -> None:
        """The request was abandoned, and so is whoever waits for it."""
        self._leave()
        self._over.cancel()
