"""
The root of an embedded node, as its program sees it: born, told when to stop, buried.

The program holds one end of the *control*; see `embedded` for the other. The control ends with the
root, so a wait for its end needs no signal, and a copy of the program made by `os.fork` lets go of
it, or the node would outlive the program.
"""

import contextlib
import os
import pickle
import select
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from multiprocessing import util
from typing import IO, Any, Final
from weakref import WeakSet

from beethoven import clock
from beethoven.errors import BeethovenError, NodeError
from beethoven.node.embedded import FAILED, RUNNING, SETTINGS, STOP
from beethoven.node.settings import NodeSettings
from beethoven.runtime import birth, framing
from beethoven.runtime.reason import NORMAL, ExitReason, ReasonKind, from_wait_status
from beethoven.runtime.unixsocket import close_quietly

# Where the log of a node goes: a descriptor, an open file, the path of a file, or nowhere.
Log = int | IO[Any] | str | os.PathLike[str] | None

# How long a root may take to end that has lost its program, in seconds.
_LAST_GRACE: Final = 2.0


class NodeProcess:
    """
    The root of an embedded node.

    Attributes:
        pid: Its number.
        is_own: Whether this process has started it; a copy made by `os.fork` has not.
    """

    def __init__(self, settings: NodeSettings, file: str, log: Log) -> None:
        """
        Start it.

        Raises:
            OSError: The log cannot be opened, or there can be no more processes.
        """
        self._control, theirs = socket.socketpair()
        self._lock = threading.Lock()
        self._was_asked = False
        self._end: ExitReason | None = None
        self.is_own = True
        try:
            with theirs, _log_descriptor(log) as descriptor:
                self.pid = _spawn(theirs.fileno(), descriptor)
        except BaseException:
            self._control.close()
            raise
        _processes.add(self)
        with contextlib.suppress(OSError):
            told = pickle.dumps((settings, file), 5)
            self._control.sendall(framing.pack(SETTINGS, 0, told))

    def wait_running(self, deadline: float) -> None:
        """
        Return when the node can be found and asked.

        Args:
            deadline: Until when that is waited for, by `clock.monotonic`.

        Raises:
            BeethovenError: What kept it from starting; it has ended.
            NodeError: It has ended without a word, or has not come to that in time.
        """
        reader = framing.FrameReader()
        frames: list[framing.Frame] = []
        while not frames:
            if not self._is_readable(deadline - clock.monotonic()):
                raise NodeError("the node has not started in time")
            try:
                frames = reader.receive(self._control)
            except (framing.StreamEnded, OSError):
                self.wait(None)
                raise NodeError(f"the node could not start: {self._end}") from None
        kind, _, payload = frames[0]
        if kind == FAILED:
            self.wait(None)
            error = pickle.loads(payload)
            assert isinstance(error, BeethovenError)
            raise error
        assert kind == RUNNING

    @property
    def end(self) -> ExitReason | None:
        """Why it has ended; None while it runs."""
        self.wait(0.0)
        return self._end

    def ask_to_stop(self) -> None:
        """Have the node stop in good order; asked again it goes on as it does."""
        with self._lock:
            if not self._was_asked and self._end is None:
                self._was_asked = True
                with contextlib.suppress(OSError):
                    self._control.sendall(framing.pack(STOP, 0, b""))

    def wait(self, timeout: float | None) -> bool:
        """Return whether it ends within `timeout` seconds; None waits for ever."""
        if self._end is None and self._is_readable(timeout):
            with self._lock:
                if self._end is None:
                    self._end = self._buried()
                    _processes.discard(self)
                    close_quietly(self._control)
        return self._end is not None

    def kill(self) -> None:
        """End the node at once, with all that belongs to it."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)
        if not self.wait(_LAST_GRACE):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.wait(None)

    def _is_readable(self, timeout: float | None) -> bool:
        poll = select.poll()
        try:
            poll.register(self._control, select.POLLIN)
        except ValueError:
            # Another thread has buried it meanwhile.
            return True
        return bool(poll.poll(None if timeout is None else max(0.0, timeout) * 1000))

    def _buried(self) -> ExitReason:
        """Reap the root, which has closed the control and so is about to end."""
        try:
            status = os.waitpid(self.pid, 0)[1]
        except ChildProcessError:
            return ExitReason(ReasonKind.OTHER, "ended, and somebody else has reaped it")
        return NORMAL if status == 0 else from_wait_status(status)

    def forget(self) -> None:
        """Be a copy of the program, whose node this is not."""
        self.is_own = False
        self._lock = threading.Lock()
        close_quietly(self._control)


@contextlib.contextmanager
def _log_descriptor(log: Log) -> Iterator[int]:
    """Give the descriptor that a log is written to; what is opened for it is closed again."""
    match log:
        case int():
            yield log
        case None | str() | os.PathLike():
            path = os.devnull if log is None else log
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            try:
                yield descriptor
            finally:
                os.close(descriptor)
        case _:
            log.flush()
            yield log.fileno()


def _spawn(control: int, log: int) -> int:
    call = f"from beethoven.node.embedded import main;main({control},{log})"
    command, path = birth.new_interpreter(call)
    try:
        inherited = sorted({control, log, path})
        return util.spawnv_passfds(os.fsencode(sys.executable), command, inherited)
    finally:
        os.close(path)


_processes: WeakSet[NodeProcess] = WeakSet()


def _forget_all() -> None:
    for each in list(_processes):
        each.forget()
    _processes.clear()


os.register_at_fork(after_in_child=_forget_all)
