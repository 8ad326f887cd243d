"""The processes that stand for a virtual machine: held, let go on, and killed, all at once."""

import contextlib
import os
import signal
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Final

from beethoven.testing.arguments import expect
from beethoven.testing.azure_events_state import Deed

# A process that is just being stopped may have started another one.
_MOST_ROUNDS: Final = 10
_LAST_PID: Final = 2**31 - 1


class VirtualMachine:
    """
    What a cloud does to a machine, done to processes of this computer.

    Each of the arguments is an attribute too, and may be set at any time; None does nothing.

    Args:
        processes: Returns their pids, whenever something is done to them. Those that have ended do
            no harm.
        on_evicted: Called right after the processes were killed.
        on_returned: Called when the machine has come back: starts what runs on it.

    Raises:
        ValueError: One of them cannot be called.
    """

    def __init__(
        self,
        processes: Callable[[], Iterable[int]] | None = None,
        on_evicted: Callable[[], object] | None = None,
        on_returned: Callable[[], object] | None = None,
    ) -> None:
        given = {"processes": processes, "on_evicted": on_evicted, "on_returned": on_returned}
        for name, function in given.items():
            expect(name, "a function", function, holds=function is None or callable(function))
        self.processes = processes
        self.on_evicted = on_evicted
        self.on_returned = on_returned
        # Reentrant: `processes` may close the machine.
        self._lock = threading.RLock()
        self._frozen: list[int] = []
        self._is_released = False
        # Also a program that ends without closing it leaves no process stopped.
        weakref.finalize(self, _let_go_on, self._frozen, os.getpid())

    def perform(self, deed: Deed) -> None:
        """
        Do something to the machine.

        Raises:
            ValueError: `processes` named something else than other processes.
            PermissionError: They belong to somebody else.
        """
        match deed:
            case Deed.FREEZE:
                self._freeze()
            case Deed.THAW:
                self._thaw()
            case Deed.EVICT:
                self._evict()
            case Deed.BRING_BACK:
                if self.on_returned is not None:
                    self.on_returned()

    def release(self) -> None:
        """Let go on whatever is frozen, for good."""
        with self._lock:
            self._is_released = True
        self._thaw()

    def _freeze(self) -> None:
        with self._lock:
            if not self._is_released:
                self._hold_all()

    def _thaw(self) -> None:
        with self._lock:
            for pid in self._frozen:
                _signal(pid, signal.SIGCONT)
            self._frozen.clear()

    def _evict(self) -> None:
        with self._lock:
            if self._is_released:
                return
            # Held first, so that none of them sees another one end.
            self._hold_all()
            for pid in self._frozen:
                _signal(pid, signal.SIGKILL)
            self._frozen.clear()
        if self.on_evicted is not None:
            self.on_evicted()

    def _hold_all(self) -> None:
        for _ in range(_MOST_ROUNDS):
            pids = () if self.processes is None else self.processes()
            found = [pid for pid in pids if pid not in self._frozen]
            if not found or self._is_released:
                return
            for pid in found:
                is_pid = isinstance(pid, int) and 1 < pid <= _LAST_PID and pid != os.getpid()
                expect("processes", "pids of others", pid, holds=is_pid)
            for pid in found:
                _signal(pid, signal.SIGSTOP)
                self._frozen.append(pid)

    def __repr__(self) -> str:
        return f"VirtualMachine(frozen={self._frozen})"


def _let_go_on(frozen: list[int], owner: int) -> None:
    if os.getpid() == owner:
        for pid in frozen:
            _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
