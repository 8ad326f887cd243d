"""
What `chaos.py` runs: a role, and a program, that write down their lives.

Each appends `start node role pid time` and `stop …` to one file, and holds a lock for as long as it
lives, which the system lets go at the very moment of its end: whoever starts while another one
lives cannot get it, and says `overlap`.
"""

import fcntl
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any


class Diary:
    """The file, and the lock of one role."""

    def __init__(self, folder: str, node: str, role: str) -> None:
        self._path = Path(folder, "diary")
        self._who = f"{node} {role} {os.getpid()}"
        self._lock = os.open(Path(folder, f"{role}.alive"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.note("overlap")
        self.note("start")

    def note(self, word: str) -> None:
        """Append a line, in one piece."""
        line = f"{word} {self._who} {time.monotonic():.6f}\n"
        with self._path.open("ab", buffering=0) as file:
            file.write(line.encode())


def program() -> None:
    """Live until somebody says SIGTERM."""
    diary = Diary(*sys.argv[1:])
    # A child that leaves the session is the hardest to find again.
    if os.fork() == 0:
        os.setsid()
        signal.pause()
    signal.sigwait({signal.SIGTERM})
    diary.note("stop")


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    program()
else:
    from beethoven import Caller, ExitReason, Role

    class Instance(Role):
        """A role that does nothing else."""

        trap_exit = True

        def init(self, args: Any) -> None:
            self._diary = Diary(args["folder"], args["node"], args["role"])

        def handle_call(self, request: Any, caller: Caller) -> Any:
            return os.getpid()

        def terminate(self, reason: ExitReason) -> None:
            self._diary.note("stop")
