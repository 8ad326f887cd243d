"""
The courier: hands messages to many processes of this node without waiting for any of them.

What a process does not take at once is kept for it, up to a bound.
"""

import socket
from collections import deque
from collections.abc import Callable
from typing import Final

from beethoven.log import get_log
from beethoven.runtime.names import socket_path
from beethoven.runtime.poller import Poller
from beethoven.runtime.unixsocket import close_quietly, connect

# More than that is not kept for a process that does not read, in bytes; one message always is.
_MOST_UNSENT: Final = 16 * 1024 * 1024
_READ_SIZE: Final = 64 * 1024

log = get_log("groups")


class _Line:
    """The connection to one process, and what is still to be sent over it."""

    def __init__(self, stream: socket.socket, poller: Poller, on_end: Callable[[], object]) -> None:
        stream.setblocking(False)
        self._stream, self._poller, self._on_end = stream, poller, on_end
        self._unsent: deque[memoryview] = deque()
        self._size = 0
        self.is_full = False
        poller.register(stream, self._read)

    def post(self, frame: bytes) -> bool:
        """Send a frame, now or later. Return whether there is room for it."""
        if self._size and self._size + len(frame) > _MOST_UNSENT:
            return False
        was_empty = not self._size
        self._unsent.append(memoryview(frame))
        self._size += len(frame)
        if was_empty:
            self._write()
        return True

    def close(self) -> None:
        """Send nothing more."""
        self._poller.unregister(self._stream)
        close_quietly(self._stream)

    def _write(self) -> None:
        try:
            while self._unsent:
                sent = self._stream.send(self._unsent[0])
                self._size -= sent
                self._unsent[0] = self._unsent[0][sent:]
                if not self._unsent[0]:
                    self._unsent.popleft()
        except BlockingIOError:
            self._poller.register_writer(self._stream, self._write)
        except OSError:
            self._on_end()
        else:
            self.is_full = False
            self._poller.unregister_writer(self._stream)

    def _read(self) -> None:
        """Hear that the process has ended: it says nothing else."""
        try:
            if self._stream.recv(_READ_SIZE):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._on_end()


class Courier:
    """
    Hands messages to processes of one tree.

    Args:
        folder: The private folder of the tree.
        poller: Says when they take more.
    """

    def __init__(self, folder: str, poller: Poller) -> None:
        self._folder, self._poller = folder, poller
        self._lines: dict[str, _Line] = {}

    def post(self, identity: str, frame: bytes) -> None:
        """Hand a frame to a process; one that is gone, or far behind, does not get it."""
        line = self._line(identity)
        if line is None or line.post(frame) or line.is_full:
            return
        line.is_full = True
        log.warning("group_member_behind", member=identity, size=len(frame))

    def close(self) -> None:
        """Send nothing more to anybody."""
        for identity in list(self._lines):
            self._drop(identity)

    def _line(self, identity: str) -> _Line | None:
        if identity not in self._lines:
            try:
                stream = connect(socket_path(self._folder, identity), 0.0)
            except OSError:
                return None
            self._lines[identity] = _Line(stream, self._poller, lambda: self._drop(identity))
        return self._lines[identity]

    def _drop(self, identity: str) -> None:
        if (line := self._lines.pop(identity, None)) is not None:
            line.close()
