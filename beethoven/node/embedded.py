"""
A node that a program has started within itself, seen from the node: what the root runs.

It is told its settings through the *control*, a socket to the program, says there that it runs or
why it does not, and stops when it is told to. The control is its lifeline: whatever ends the
program, the node learns of it and ends at once. Nothing else of the program is touched: the node is
a session of its own, which no interrupt at a terminal reaches.
"""

import contextlib
import fcntl
import os
import pickle
import select
import signal
import socket
from collections.abc import Callable
from typing import Final, NoReturn

from beethoven.errors import BeethovenError, NodeError
from beethoven.node.checking import check
from beethoven.node.root import run_node
from beethoven.node.settings import NodeSettings
from beethoven.node.signals import EndNow, Signals
from beethoven.runtime import framing
from beethoven.runtime.poller import Poller

# From the program: the settings and what they are called, then at most one stop.
SETTINGS: Final = 1
STOP: Final = 2
# From the node: its name, or the error that kept it from starting.
RUNNING: Final = 3
FAILED: Final = 4

_STANDARD: Final = 3


class ProgramSignals(Signals):
    """Takes the signals of the node, and what its program says on the control."""

    def __init__(self, control: socket.socket) -> None:
        super().__init__()
        self._control = control

    def deliver_to(
        self, poller: Poller, *, on_stop: Callable[[], object], on_child: Callable[[], object]
    ) -> None:
        """Let a loop handle them; from here on the node can be found and asked."""
        super().deliver_to(poller, on_stop=on_stop, on_child=on_child)
        _end_with(self._control, wanted=False)
        poller.register(self._control, self._heed)
        self._control.sendall(framing.pack(RUNNING, 0, b""))

    def _heed(self) -> None:
        try:
            is_gone = not self._control.recv(64)
        except OSError:
            is_gone = True
        if is_gone:
            # As a terminal that has gone would tell.
            raise EndNow(signal.SIGHUP)
        self._stop(signal.SIGTERM)


def main(control: int, log: int) -> NoReturn:
    """
    Be the root of a node.

    Args:
        control: The node's end of the control.
        log: Where its log goes.
    """
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    control, log = _moved(control), _moved(log)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, source in enumerate((_moved(nothing), log, log)):
        os.dup2(source, number)
    with socket.socket(fileno=control) as program:
        code = _run(program)
    # The interpreter's own end takes a while, and nothing is left for it to do.
    os._exit(code)


def _moved(descriptor: int) -> int:
    """Give a descriptor a number that is no standard stream's; a program may have closed those."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _STANDARD)
    if descriptor >= _STANDARD:
        os.close(descriptor)
    return moved


def _run(program: socket.socket) -> int:
    """Run the node; return its exit code."""
    try:
        settings, file = _told(program)
        _end_with(program, wanted=True)
        check(settings, file, os.environ)
        return run_node(settings, ProgramSignals(program))
    except framing.StreamEnded:
        return 1
    except BeethovenError as error:
        return _fail(program, error)
    except OSError as error:
        return _fail(program, NodeError(str(error)))


def _told(program: socket.socket) -> tuple[NodeSettings, str]:
    """Return the settings, and what the configuration is called."""
    reader = framing.FrameReader()
    while not (frames := reader.receive(program)):
        continue
    told: tuple[NodeSettings, str] = pickle.loads(frames[0][2])
    return told


def _end_with(program: socket.socket, *, wanted: bool) -> None:
    """
    Have the kernel end this process if the program does; from now on, or not any more.

    For as long as there is no loop that would notice, while roles are imported for instance.

    Raises:
        StreamEnded: It has ended.
    """
    fcntl.fcntl(program, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(program, fcntl.F_GETFL) & ~os.O_ASYNC
    fcntl.fcntl(program, fcntl.F_SETFL, flags | os.O_ASYNC if wanted else flags)
    if wanted and select.select([program], [], [], 0)[0]:
        raise framing.StreamEnded


def _fail(program: socket.socket, error: BeethovenError) -> int:
    _end_with(program, wanted=False)
    with contextlib.suppress(OSError):
        program.sendall(framing.pack(FAILED, 0, pickle.dumps(error, 5)))
    return 1
