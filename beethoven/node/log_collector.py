"""
The log collector: one thread of the root that turns the output of all processes into one stream.

Every line is written whole, with its origin; so nothing interleaves, and a process that dies leaves
its last words here. The thread never waits for a slow reader of the stream: while too much waits to
be read it takes nothing more. Processes that print have to wait then, and log records are dropped
and counted, so that supervision goes on. docs/operations.md tells operators.
"""

import os
import socket
import threading
from typing import Final

from beethoven import clock
from beethoven.log import LineLog, format_for, get_log, send_to
from beethoven.node.log_sink import LogSink
from beethoven.node.settings import LogSettings
from beethoven.runtime.output import STREAMS, Origin, RecordPipe, record_pair
from beethoven.runtime.poller import Poller
from beethoven.runtime.unixsocket import close_quietly, listen, peer

# The largest record that a socket takes is smaller, and must be read in one go.
_READ_SIZE: Final = 262_144
# Longer lines are cut, in bytes.
LONGEST_LINE: Final = 65_536
_RECORDS, _STDOUT, _STDERR = STREAMS

log = get_log("log_collector")


class _Source:
    """One stream of one process."""

    def __init__(self, descriptor: int, origin: Origin, stream: str) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._origin = origin
        self._stream = stream
        self._rest = b""

    def fileno(self) -> int:
        return self._descriptor

    def read(self, log: LineLog) -> list[bytes] | None:
        """Return the lines of the log that are complete now; None at the end."""
        try:
            data = os.read(self._descriptor, _READ_SIZE)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            rest, self._rest = self._rest, b""
            return self._shown(rest, log) if rest else None
        *whole, rest = (self._rest + data).split(b"\n")
        lines = [shown for line in whole for shown in self._shown(line, log)]
        while len(rest) > LONGEST_LINE and self._stream != _RECORDS:
            part, rest = _cut(rest)
            lines.append(self._printed(part, log, cut=True))
        self._rest = rest
        return lines

    def _shown(self, line: bytes, log: LineLog) -> list[bytes]:
        if self._stream == _RECORDS:
            return [line]
        lines = []
        while len(line) > LONGEST_LINE:
            part, line = _cut(line)
            lines.append(self._printed(part, log, cut=True))
        return [*lines, self._printed(line.removesuffix(b"\r"), log)]

    def _printed(self, line: bytes, log: LineLog, **fields: object) -> bytes:
        origin = self._origin
        return log.printed(
            line, stream=self._stream, **fields, process=origin.process, pid=origin.pid
        )


def _cut(line: bytes) -> tuple[bytes, bytes]:
    """Return the longest line at the front, splitting no character, and the rest."""
    end = LONGEST_LINE
    while end > LONGEST_LINE - 4 and line[end] & 0xC0 == 0x80:
        end -= 1
    return line[:end], line[end:]


class LogCollector:
    """Collects until it is closed."""

    def __init__(self, folder: str, settings: LogSettings, descriptor: int) -> None:
        """
        Prepare to collect.

        Args:
            folder: The private folder of the tree.
            settings: The level of what is printed, and the format.
            descriptor: Where the lines go; stays open.
        """
        self._socket = f"{folder}/log.s"
        self._level = settings.level
        self._format = format_for(settings.format, terminal=os.isatty(descriptor))
        self._lines = LineLog(self._format)
        self._poller = Poller()
        self._sink = LogSink(descriptor, self._poller, self._read_all)
        self._listener = listen(self._socket)
        self._listener.setblocking(False)
        self._sources: set[_Source] = set()
        self._own: list[socket.socket | int] = []
        self._end, self._ended = socket.socketpair()
        self._deadline: float | None = None
        self._poller.register(self._listener, self._accept)
        self._poller.register(self._ended, lambda: self._poller.unregister(self._ended))
        self._thread = threading.Thread(target=self._run, name="log-collector", daemon=True)

    def context(self) -> dict[str, str]:
        """Return what the processes of the tree must know to find the collector."""
        return {"socket": self._socket, "level": self._level, "format": self._format}

    def begin(self, process: str) -> int:
        """
        Begin to collect, from this process too.

        Returns:
            A descriptor that may be written to from a signal handler: it never blocks.
        """
        origin = Origin(process, os.getpid())
        records, writer = record_pair()
        reader, words = os.pipe()
        os.set_blocking(words, False)
        self._own = [writer, words]
        self._add(_Source(records.detach(), origin, _RECORDS))
        self._add(_Source(reader, origin, _STDERR))
        send_to(
            RecordPipe(writer),
            level=self._level,
            format=self._format,
            process=process,
            pid=origin.pid,
        )
        self._thread.start()
        return words

    def close(self, timeout: float) -> None:
        """Collect what is left of processes that have ended, then end, after `timeout` at most."""
        self._deadline = clock.monotonic() + timeout
        for own in self._own:
            if isinstance(own, int):
                os.close(own)
            else:
                own.close()
        self._end.close()
        # A write to a stopped terminal can hold the thread up; it ends with the process then.
        self._thread.join(timeout + 0.5)

    def _run(self) -> None:
        while not self._is_done():
            left = None if self._deadline is None else self._deadline - clock.monotonic()
            try:
                self._poller.poll(left)
            except Exception as error:
                log.error("log_collector_failed", reason=repr(error))
        for source in self._sources:
            os.close(source.fileno())
        close_quietly(self._listener)
        close_quietly(self._ended)
        self._poller.close()

    def _is_done(self) -> bool:
        if self._deadline is None:
            return False
        if clock.monotonic() >= self._deadline:
            return True
        return not self._sources and self._sink.is_empty

    def _accept(self) -> None:
        try:
            stream, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            # Too many open files: go on when something has been closed.
            self._poller.unregister(self._listener)
            log.error("log_collector_failed", reason=repr(error))
            return
        if peer(stream)[1] != os.geteuid():
            stream.close()
            return
        stream.setblocking(False)
        self._poller.register(stream, lambda: self._take_streams(stream))

    def _take_streams(self, stream: socket.socket) -> None:
        """Take what a process hands over: its origin and the reading ends of its streams."""
        self._poller.unregister(stream)
        descriptors: list[int] = []
        try:
            with stream:
                data, descriptors, _, _ = socket.recv_fds(stream, 4096, len(STREAMS))
            origin = Origin.parse(data.decode())
            sources = [
                _Source(descriptor, origin, name)
                for descriptor, name in zip(descriptors, STREAMS, strict=True)
            ]
        except (OSError, ValueError):
            for descriptor in descriptors:
                os.close(descriptor)
            return
        for source in sources:
            self._add(source)

    def _add(self, source: _Source) -> None:
        self._sources.add(source)
        if not self._sink.is_full:
            self._poller.register(source, lambda: self._read(source))

    def _read(self, source: _Source) -> None:
        lines = source.read(self._lines)
        if lines is None:
            self._poller.unregister(source)
            os.close(source.fileno())
            self._sources.discard(source)
            self._poller.register(self._listener, self._accept)
            return
        self._sink.write(b"".join(line + b"\n" for line in lines))
        if self._sink.is_full:
            for each in self._sources:
                self._poller.unregister(each)

    def _read_all(self) -> None:
        """Go on reading, once the sink has room again."""
        for source in self._sources:
            self._add(source)
