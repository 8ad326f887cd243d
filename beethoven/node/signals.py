"""
The signals of a node's root: what an operator can tell it without a connection.

A handler does nothing; the number of each signal that arrives is a byte to read in the root's loop.
So signals that come before the loop runs are not lost. docs/operations.md lists them.
"""

import faulthandler
import signal
import socket
from collections.abc import Callable
from typing import Final, Self

from beethoven.log import get_log
from beethoven.runtime.poller import Poller

log = get_log("root")

_STDERR: Final = 2
_STOP: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_RESERVED: Final = (signal.SIGHUP, signal.SIGUSR2)
_HANDLED: Final = (*_STOP, *_RESERVED, signal.SIGCHLD)


class EndNow(Exception):
    """A second interrupt: whoever sent it wants no orderly stop any more."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number)
        self.signal = number


class Signals:
    """Takes the signals of this process, as a context manager; they are ignored afterwards."""

    def __init__(self) -> None:
        self._arrived, self._wake = socket.socketpair()
        self._times_asked = 0
        self._dumps = -1
        self._on_stop: Callable[[], object] = bool
        self._on_child: Callable[[], object] = bool

    def __enter__(self) -> Self:
        self._arrived.setblocking(False)
        self._wake.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in _HANDLED:
            signal.signal(number, lambda *_: None)
        self.dump_to(_STDERR)
        return self

    def __exit__(self, *_: object) -> None:
        faulthandler.unregister(signal.SIGUSR1)
        for number in (*_STOP, *_RESERVED, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        self._arrived.close()
        self._wake.close()

    def dump_to(self, descriptor: int) -> None:
        """Have SIGUSR1 write the stacks of all threads there."""
        self._dumps = descriptor
        faulthandler.register(signal.SIGUSR1, descriptor, all_threads=True)

    def deliver_to(
        self, poller: Poller, *, on_stop: Callable[[], object], on_child: Callable[[], object]
    ) -> None:
        """
        Let a loop handle the signals, also those that have arrived already.

        Args:
            poller: The loop's; `EndNow` is raised through it.
            on_stop: Called for each signal that asks to stop.
            on_child: Called when children have ended.
        """
        self._on_stop, self._on_child = on_stop, on_child
        poller.register(self._arrived, lambda: self._take(self._arrived.recv(64)))

    def _take(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGCHLD:
                self._on_child()
            elif number in _RESERVED:
                log.warning("signal_reserved", signal=signal.Signals(number).name)
            elif number in _STOP:
                self._stop(signal.Signals(number))

    def _stop(self, number: signal.Signals) -> None:
        log.info("stop_requested", signal=number.name)
        if number == signal.SIGQUIT:
            faulthandler.dump_traceback(self._dumps, all_threads=True)
        self._times_asked += 1
        if self._times_asked > 1 and number == signal.SIGINT:
            raise EndNow(number)
        self._on_stop()
