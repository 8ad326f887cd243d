"""
The doorkeeper: takes in whoever connects to a process.

While the process has no descriptor left, callers wait. Whoever goes makes room for one; and as
descriptors may come free in other ways, the doorkeeper looks again by itself after a moment.
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Final

from beethoven.log import get_log
from beethoven.runtime.poller import Poller

# How long callers wait until one is tried to be taken in again, in seconds.
_PAUSE: Final = 0.2

log = get_log("process")


class Doorkeeper:
    """
    Takes callers in from a listening socket.

    Args:
        listener: Where they connect.
        poller: Says when there is one.
        take: Makes a caller of a connection, which it closes if it cannot.
        wake: Has `open` called by the loop of the process; called in another thread.
    """

    def __init__(
        self,
        listener: socket.socket,
        poller: Poller,
        take: Callable[[socket.socket], object],
        wake: Callable[[], object],
    ) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._poller = poller
        self._take = take
        self._wake = wake
        # Whoever has been taken from the listener is a caller before the end is told to all.
        self._lock = threading.RLock()
        self._is_open = self._has_told = False
        self.open()

    def open(self) -> None:
        """Look for callers, unless that goes on already."""
        if not self._is_open and self._listener.fileno() >= 0:
            self._is_open = True
            self._poller.register(self._listener, self.accept)

    def accept(self) -> None:
        """Take in all who wait; a process that ends takes none."""
        with self._lock:
            try:
                while self._listener.fileno() >= 0:
                    stream, _ = self._listener.accept()
                    self._take(stream)
                    self._has_told = False
            except BlockingIOError:
                return
            except OSError as error:
                self._pause(error)

    def _pause(self, error: OSError) -> None:
        if not self._has_told:
            self._has_told = True
            log.warning("callers_refused", cause=str(error))
        if self._is_open:
            self._is_open = False
            self._poller.unregister(self._listener)
        timer = threading.Timer(_PAUSE, self._wake)
        timer.daemon = True
        # Without a thread whoever goes next makes room all the same.
        with contextlib.suppress(RuntimeError):
            timer.start()
