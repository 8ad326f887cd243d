"""
A role that writes down its life, for the checker.

Each instance appends `start NODE ROLE PID TIME` to one file, and `stop …` when it stops in good
order. As long as it lives it holds a lock for its node and its role, which the system lets go at
the very moment of its end: whoever starts while another one lives cannot get it, and writes
`overlap`.
"""

import fcntl
import os
import threading
from pathlib import Path
from typing import Any

from beethoven import Caller, ExitReason, Role, clock
from beethoven.runtime.here import here


class LedgerRole(Role):
    """
    Does nothing else.

    Args of `init`, a mapping:
        folder: Where the ledger lies.
        role: The name of the role.
        slow: How long a stop takes, in seconds.
    """

    trap_exit = True

    def init(self, args: Any) -> None:
        self._ledger = Path(args["folder"], "ledger")
        self._slow = float(args.get("slow", 0))
        node = str(here.context["node"])
        self._who = f"{node} {args['role']} {os.getpid()}"
        path = Path(args["folder"], f"{node}.{args['role']}.alive")
        self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._write("overlap")
        self._write("start")

    def _write(self, word: str) -> None:
        """Append a line, in one piece."""
        line = f"{word} {self._who} {clock.elapsed():.6f}\n"
        with self._ledger.open("ab", buffering=0) as file:
            file.write(line.encode())

    def handle_call(self, request: Any, caller: Caller) -> Any:
        return self._who

    def terminate(self, reason: ExitReason) -> None:
        if self._slow:
            threading.Event().wait(self._slow)
        self._write("stop")
