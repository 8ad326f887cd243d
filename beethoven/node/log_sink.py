"""
Where the log goes: a file, a pipe, a socket or a terminal that somebody reads, or does not.

It is written to only when it can take something, and in pieces small enough that it takes them
whole; so a reader that stops reading holds nobody up. The descriptor is shared with other programs
and therefore stays in blocking mode.
"""

import os
import select
from collections.abc import Callable
from typing import Final

from beethoven.runtime.poller import Poller

# What may wait to be read before no more is taken, in bytes.
_MOST: Final = 1_048_576
# A pipe that is ready takes this much without blocking.
_PIECE: Final = select.PIPE_BUF


class LogSink:
    """
    Writes what it gets as soon as that does not block.

    Args:
        descriptor: Where to write; stays open.
        poller: Drives the writing.
        on_room: Called when a full sink has room again.
    """

    def __init__(self, descriptor: int, poller: Poller, on_room: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._poller = poller
        self._on_room = on_room
        self._waiting = bytearray()
        self._is_broken = False
        self.is_full = False

    @property
    def is_empty(self) -> bool:
        """Whether everything has been written."""
        return not self._waiting

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data: bytes) -> None:
        """Take data; it is written before anything that comes later."""
        if self._is_broken or not data:
            return
        was_empty = self.is_empty
        self._waiting += data
        if was_empty:
            try:
                self._poller.register_writer(self, self._write_piece)
            except PermissionError:
                # A file on a disk cannot be waited for, and need not be.
                self._write_all()
        self.is_full = len(self._waiting) > _MOST

    def _write_all(self) -> None:
        try:
            while self._waiting:
                written = os.write(self._descriptor, self._waiting)
                del self._waiting[:written]
        except OSError as error:
            self._lose(error)

    def _write_piece(self) -> None:
        try:
            with memoryview(self._waiting) as view, view[:_PIECE] as piece:
                written = os.write(self._descriptor, piece)
            del self._waiting[:written]
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
        if self.is_empty:
            self._poller.unregister_writer(self)
        if self.is_full and len(self._waiting) < _MOST // 2:
            self.is_full = False
            self._on_room()

    def _lose(self, error: OSError) -> None:
        """Go on without what could not be written; for ever if nobody reads any more."""
        self._is_broken = isinstance(error, BrokenPipeError)
        self._waiting.clear()
