"""
The log collector: one thread of the root that turns the output of all processes into one stream.

Every line is written whole, with its origin; so nothing interleaves, and a process that dies leaves
its last words here. What a slow reader does to it, it does to nobody who must not wait.
"""

import os
import socket
import threading
from typing import Final

from beethoven.log import LineLog, send_to
from beethoven.node.settings import LogSettings
from beethoven.runtime.output import STREAMS, Origin, RecordPipe
from beethoven.runtime.poller import Poller
from beethoven.runtime.unixsocket import close_quietly, listen

_READ_SIZE: Final = 65536
_LONGEST_LINE: Final = 65536


class _Source:
    """One pipe of one process."""

    def __init__(self, descriptor: int, origin: Origin, stream: str) -> None:
        self._descriptor = descriptor
        self.origin = origin
        self.stream = stream
        self._rest = b""

    def fileno(self) -> int:
        return self._descriptor

    def printed(self, line: bytes, log: LineLog) -> bytes:
        """Return the record of a line that the process printed."""
        origin = self.origin
        return log.printed(line, stream=self.stream, process=origin.process, pid=origin.pid)

    def read_lines(self) -> list[bytes] | None:
        """Return the lines that are complete now; None at the end, once nothing is left."""
        data = os.read(self._descriptor, _READ_SIZE)
        if not data:
            rest, self._rest = self._rest, b""
            return [rest] if rest else None
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            lines.append(self._rest)
            self._rest = b""
        return lines


class LogCollector:
    """Collects until it is closed."""

    def __init__(self, folder: str, settings: LogSettings, descriptor: int) -> None:
        """
        Begin to collect.

        Args:
            folder: The private folder of the tree.
            settings: The level of what is printed, and the format.
            descriptor: Where the lines go; stays open.
        """
        self._socket = f"{folder}/log.s"
        self._settings = settings
        self._sink = descriptor
        self._lines = LineLog(settings.format)
        self._listener = listen(self._socket)
        self._poller = Poller()
        self._sources: set[_Source] = set()
        self._end, self._ended = socket.socketpair()
        self._is_ending = False
        self._poller.register(self._listener, self._accept)
        self._poller.register(self._ended, self._begin_end)
        self._thread = threading.Thread(target=self._run, name="log-collector", daemon=True)
        self._thread.start()

    def context(self) -> dict[str, str]:
        """Return what the processes of the tree must know to find the collector."""
        settings = self._settings
        return {"socket": self._socket, "level": settings.level, "format": settings.format}

    def take_own(self, process: str) -> None:
        """Collect the log records of this process too."""
        reader, writer = os.pipe()
        origin = Origin(process, os.getpid())
        self._own = writer
        self._add(_Source(reader, origin, STREAMS[0]))
        send_to(
            RecordPipe(writer),
            level=self._settings.level,
            format=self._settings.format,
            process=process,
            pid=origin.pid,
        )

    def close(self, timeout: float) -> None:
        """Collect what is left of processes that have ended, then end, after `timeout` at most."""
        os.close(self._own)
        self._end.close()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._is_ending or self._sources:
            self._poller.poll(None)
        close_quietly(self._listener)
        close_quietly(self._ended)
        self._poller.close()

    def _begin_end(self) -> None:
        self._is_ending = True
        self._poller.unregister(self._ended)

    def _accept(self) -> None:
        stream, _ = self._listener.accept()
        with stream:
            data, descriptors, _, _ = socket.recv_fds(stream, 4096, len(STREAMS))
        if len(descriptors) == len(STREAMS):
            origin = Origin.parse(data.decode())
            for descriptor, name in zip(descriptors, STREAMS, strict=True):
                self._add(_Source(descriptor, origin, name))

    def _add(self, source: _Source) -> None:
        self._sources.add(source)
        self._poller.register(source, lambda: self._read(source))

    def _read(self, source: _Source) -> None:
        lines = source.read_lines()
        if lines is None:
            self._poller.unregister(source)
            os.close(source.fileno())
            self._sources.discard(source)
        elif source.stream == STREAMS[0]:
            self._write(lines)
        else:
            self._write([source.printed(line, self._lines) for line in lines])

    def _write(self, lines: list[bytes]) -> None:
        view = memoryview(b"".join(line + b"\n" for line in lines))
        try:
            while view:
                view = view[os.write(self._sink, view) :]
        except OSError:
            # Nobody reads the log any more; the node goes on without.
            return
