"""
Several nodes in one terminal: a cluster to try things out with.

Each node is a program of its own, exactly as if it had been started in a terminal of its own. All
of them end with the program that plays them, whatever ends that one.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import IO, Final

from beethoven import clock
from beethoven.cli.output import print_error
from beethoven.cluster.addresses import host_numbers
from beethoven.errors import NodeError
from beethoven.node.addresses import network
from beethoven.node.log_sink import LogSink
from beethoven.node.settings import NodeSettings
from beethoven.node.signals import EndNow, Signals
from beethoven.runtime import kernel
from beethoven.runtime.poller import Poller

_STDOUT: Final = 1
_STDERR: Final = 2
# A longer piece without an end of line is passed on as if it were a line.
_LONGEST: Final = 1_048_576
# How long what ended nodes have written may take to be passed on, in seconds.
_FAREWELL: Final = 2.0


def run_nodes(settings: NodeSettings, count: int, variables: Mapping[str, str]) -> int:
    """
    Run nodes of one configuration until all of them have ended.

    What they write is passed on line by line, each with the number of its node in front; to a line
    of JSON it is added as `from_node`. A signal that asks to stop stops all in good order; a second
    interrupt kills them.

    Args:
        settings: What the configuration says. If it fixes a name, the nodes are called NAME-1 and
            so on.
        count: How many.
        variables: `BEETHOVEN_*` variables that count more than the environment's.

    Returns:
        The worst of their exit codes; 128 and the number of a signal that ended one; 130 if they
        were killed by a second interrupt.

    Raises:
        NodeError: The network has not so many addresses on this machine.
    """
    _check_room(settings, count)
    with Signals() as signals:
        players = Players()
        try:
            signals.deliver_to(players.poller, on_stop=players.stop, on_child=players.look)
            for number in range(1, count + 1):
                own = {"BEETHOVEN_NAME": f"{settings.name}-{number}"} if settings.name else {}
                players.start(number, str(settings.path), {**os.environ, **variables, **own})
            return players.wait()
        except EndNow as end:
            return 128 + end.signal
        finally:
            players.close()


def _check_room(settings: NodeSettings, count: int) -> None:
    net = network(settings)
    room = len(host_numbers(net)) if net.is_loopback and settings.bind is None else 1
    if count > room:
        fix = "set cluster_net_mask to a smaller number" if net.is_loopback else "use loopback"
        raise NodeError(
            f"--nodes: {net} has room for {room} nodes on this machine, got: {count}; {fix}"
        )


class Players:
    """The nodes that run, and the way of their output."""

    def __init__(self) -> None:
        self.poller = Poller()
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._worst = 0
        self._is_stopping = False
        self._streams: set[_Stream] = set()
        self._sinks = [
            LogSink(descriptor, self.poller, self._listen) for descriptor in (_STDOUT, _STDERR)
        ]

    def start(self, number: int, file: str, environ: Mapping[str, str]) -> None:
        """Start a node, unless all are to stop already."""
        if self._is_stopping:
            return
        # Its lines have times, also where ours go to a journal that adds its own.
        environ = {name: environ[name] for name in environ if name != "JOURNAL_STREAM"}
        launcher = os.getpid()
        node = subprocess.Popen(
            [sys.executable, "-m", "beethoven", "run", file],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
            start_new_session=True,
            preexec_fn=lambda: _end_with(launcher),  # noqa: PLW1509 (there is no other thread)
        )
        self._running[number] = node
        for pipe, sink in zip((node.stdout, node.stderr), self._sinks, strict=True):
            assert pipe is not None
            self._streams.add(_Stream(pipe, number, sink))
        self._listen()

    def wait(self) -> int:
        """Return the worst exit code, once all nodes have ended and their output is passed on."""
        while self._running:
            self.poller.poll(None)
        deadline = clock.monotonic() + _FAREWELL
        while self._is_writing() and (left := deadline - clock.monotonic()) > 0:
            self.poller.poll(left)
        return self._worst

    def _is_writing(self) -> bool:
        return bool(self._streams) or not all(sink.is_empty for sink in self._sinks)

    def stop(self) -> None:
        """Tell every node to stop in good order."""
        self._is_stopping = True
        for node in self._running.values():
            node.terminate()

    def look(self) -> None:
        """See which nodes have ended."""
        for number, node in list(self._running.items()):
            code = node.poll()
            if code is None:
                continue
            del self._running[number]
            self._worst = max(self._worst, code if code >= 0 else 128 - code)
            if code:
                print_error(f"node {number} has ended, {_described(code)}")

    def close(self) -> None:
        """Kill the nodes that still run."""
        for node in self._running.values():
            node.kill()
        for node in self._running.values():
            node.wait()
        for stream in list(self._streams):
            self._forget(stream)
        self.poller.close()

    def _listen(self) -> None:
        """Read from all nodes whose sink has room."""
        for stream in self._streams:
            if not stream.sink.is_full:
                self.poller.register(stream, self._reader(stream))

    def _reader(self, stream: "_Stream") -> Callable[[], None]:
        def read() -> None:
            if not stream.read():
                self._forget(stream)
            elif stream.sink.is_full:
                for each in self._streams:
                    if each.sink is stream.sink:
                        self.poller.unregister(each)

        return read

    def _forget(self, stream: "_Stream") -> None:
        self.poller.unregister(stream)
        self._streams.discard(stream)
        stream.close()


class _Stream:
    """What one node writes to one of its standard streams."""

    def __init__(self, pipe: IO[bytes], number: int, sink: LogSink) -> None:
        self._pipe = pipe
        self._number = number
        self._rest = b""
        self.sink = sink

    def fileno(self) -> int:
        return self._pipe.fileno()

    def read(self) -> bool:
        """Pass on what can be read; return whether there may be more."""
        data = os.read(self.fileno(), 65536)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if self._rest and (not data or len(self._rest) > _LONGEST):
            lines.append(self._rest)
            self._rest = b""
        self.sink.write(b"".join(_marked(line, self._number) for line in lines))
        return bool(data)

    def close(self) -> None:
        self._pipe.close()


def _marked(line: bytes, number: int) -> bytes:
    """Return a line that tells whose it is."""
    if line.startswith(b'{"'):
        return b'{"from_node": %d, %b\n' % (number, line[1:])
    return b"%d| %b\n" % (number, line)


def _end_with(launcher: int) -> None:
    """Prepare a node's process, between its fork and its program."""
    kernel.die_with_parent()
    # The launcher may have died before that.
    if os.getppid() != launcher:
        os._exit(1)


def _described(code: int) -> str:
    if code > 0:
        return f"exit code {code}"
    name = f"signal {-code}"
    with suppress(ValueError):
        name = signal.Signals(-code).name
    return f"killed by {name}"
