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

from beethoven.log import send_to
from beethoven.runtime.unixsocket import connect

STREAMS: Final = ("records", "stdout", "stderr")


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


class RecordPipe:
    """The writing end of a pipe for log records: a text stream that never blocks."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._dropped = 0

    def write(self, text: str) -> int:
        """Write a line, or drop it if nobody reads."""
        if self._dropped:
            text = f"{text.rstrip()} dropped_before={self._dropped}\n"
        try:
            os.write(self._descriptor, text.encode(errors="backslashreplace"))
            self._dropped = 0
        except OSError:
            self._dropped += 1
        return len(text)

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
            send_to(sys.stderr, level="warning", process=process, pid=os.getpid())
        return
    records = _hand_over(settings["socket"], Origin(process, os.getpid()))
    send_to(
        RecordPipe(records),
        level=settings["level"],
        format=settings["format"],
        process=process,
        pid=os.getpid(),
    )


def _hand_over(path: str, origin: Origin) -> int:
    """Give the reading ends of three pipes to the collector; return where records are written."""
    readers, writers = zip(*(os.pipe() for _ in STREAMS), strict=True)
    try:
        with connect(path) as stream:
            socket.send_fds(stream, [origin.text().encode()], list(readers))
        os.dup2(writers[1], 1)
        os.dup2(writers[2], 2)
    finally:
        for descriptor in (*readers, *writers[1:]):
            os.close(descriptor)
    records: int = writers[0]
    return records
