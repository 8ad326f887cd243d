"""
Where the output of a process goes: to its tree's log collector, if the tree has one.

What is printed, by Python or by anything else in the process or started by it, goes through two
pipes to the collector, which writes whole lines with their origin; log records go through a third.
Records never wait for the collector: a process that must not block drops them instead.
"""

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from beethoven.log import LogFormat, format_for, get_log, send_to
from beethoven.runtime.unixsocket import connect

STREAMS: Final = ("records", "stdout", "stderr")

log = get_log("output")


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose output it is."""

    process: str
    pid: int

    def text(self) -> str:
        """Return the form that `parse` reads."""
        return f"{self.pid} {self.process}"

    @classmethod
    def parse(cls, text: str) -> "Origin":
        """Read what `text` wrote."""
        pid, _, process = text.partition(" ")
        return cls(process, int(pid))


def record_pair() -> tuple[socket.socket, socket.socket]:
    """Return the reading and the writing end of a pipe that passes each record whole, or not."""
    try:
        reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError:
        # Where there are no such sockets a record is whole unless the pipe is nearly full.
        reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    writer.setblocking(False)
    return reader, writer


class RecordPipe:
    """The writing end of a pipe for log records: a text stream that never blocks."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._dropped = 0
        self._is_telling = False

    def write(self, text: str) -> int:
        """Write a record, or drop it if nobody reads; how many were dropped is told later."""
        if self._dropped and not self._is_telling:
            self._tell()
        try:
            self._stream.send(text.encode(errors="backslashreplace"))
        except OSError:
            self._dropped += 1
        return len(text)

    def _tell(self) -> None:
        count, self._dropped, self._is_telling = self._dropped, 0, True
        log.warning("records_dropped", count=count)
        self._is_telling = False
        if self._dropped:
            self._dropped = count

    def flush(self) -> None:
        """Nothing is kept back."""


def redirect(context: Mapping[str, Any], process: str) -> None:
    """
    Send what this process prints and logs to where its tree wants it.

    Args:
        context: May have `log`: `{"socket": path, "level": …, "format": …}`. Without it, output
            stays where the program's goes, and warnings are written to standard error.
        process: What to call this process.
    """
    settings = context.get("log")
    if settings is None:
        if sys.stderr is not None:
            chosen = format_for(LogFormat.TEXT, terminal=sys.stderr.isatty())
            origin = {"process": process, "pid": os.getpid()}
            send_to(sys.stderr, level="warning", format=chosen, **origin)
        return
    records = _hand_over(settings["socket"], Origin(process, os.getpid()))
    send_to(
        RecordPipe(records),
        level=settings["level"],
        format=settings["format"],
        process=process,
        pid=os.getpid(),
    )


def _hand_over(path: str, origin: Origin) -> socket.socket:
    """Give the reading ends of three pipes to the collector; return where records are written."""
    records, writer = record_pair()
    readers, writers = zip(os.pipe(), os.pipe(), strict=True)
    try:
        with records, connect(path) as stream:
            socket.send_fds(stream, [origin.text().encode()], [records.fileno(), *readers])
        os.dup2(writers[0], 1)
        os.dup2(writers[1], 2)
    finally:
        for descriptor in (*readers, *writers):
            os.close(descriptor)
    return writer
