"""
A role that counts what it does for a message, and the program that makes it work.

What is counted depends on no clock: Python functions that are called, and, under `strace`, system
calls between two marks that both sides set.
"""

import os
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from beethoven import Caller, Role, on

REQUEST = b"r" * 100
# A system call that nothing else makes, and that changes nothing.
BEGIN, END = "/beethoven-counts-from-here", "/beethoven-counts-to-here"


class Calls:
    """Counts the functions of Beethoven that are called in this thread, by name."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()

    def start(self) -> None:
        sys.setprofile(self._note)

    def stop(self) -> Counter[str]:
        sys.setprofile(None)
        return self.counted

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and str(frame.f_globals.get("__name__")).startswith("beethoven."):
            self.counted[frame.f_code.co_qualname] += 1


def mark(path: str) -> None:
    """Set a mark that `strace` sees."""
    os.access(path, os.F_OK)


class Counted(Role):
    """Echoes, takes casts, and counts what that takes."""

    def init(self, args: Any) -> None:
        self.gate = args
        self.taken = 0

    def handle_call(self, request: Any, caller: Caller) -> Any:
        match request:
            case "start":
                self.calls = Calls()
                self.calls.start()
                return None
            case "stop":
                return self.calls.stop()
            case ("mark", path):
                mark(path)
                return None
        return request

    def handle_cast(self, request: Any) -> None:
        if request == "hold":
            # Until the sender says that it has sent everything.
            Path(self.gate).read_bytes()
        self.taken += 1

    @on.call
    def echo(self, value: bytes) -> bytes:
        return value

    @on.cast
    def take(self, value: bytes) -> None:
        self.taken += 1


def work(kind: str, count: int, gate: str) -> None:
    """Start a role, and make so many calls or casts between two marks."""
    role = Counted.start_link(gate)
    send = getattr(role, kind)
    send(REQUEST)
    role.call(("mark", BEGIN))
    if kind == "cast":
        role.cast("hold")
    mark(BEGIN)
    for _ in range(count):
        send(REQUEST)
    mark(END)
    if kind == "cast":
        Path(gate).write_bytes(b"")
    role.call(("mark", END))
    role.stop()


if __name__ == "__main__":
    from tests.integration import counted_roles

    counted_roles.work(sys.argv[1], int(sys.argv[2]), sys.argv[3])
