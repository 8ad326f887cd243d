"""Roles that nodes of tests run, as `tests.integration.node_roles:Name`."""

import ctypes
import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from beethoven import Caller, ExitReason, NoReply, Role, Stop


class Obedient(Role):
    """Does what a word tells it to."""

    trap_exit = True

    def init(self, args: Any) -> None:
        self.args = args

    def handle_call(self, request: Any, caller: Caller) -> Any:
        match request:
            case "pid":
                return os.getpid()
            case "session":
                return os.getsid(0)
            case "environment":
                return dict(os.environ)
            case "folder":
                return str(Path.cwd())
            case "args":
                return self.args
            case "silence":
                return NoReply
            case "raise":
                raise ValueError("as told\nin two lines")
            case "exit":
                os._exit(7)
            case "segfault":
                ctypes.string_at(0)
            case "bytes":
                return b"\0"
            case "lambda":
                return lambda: None
            case "nan":
                return float("nan")
            case "half":
                return "\ud800"
            case "child":
                return subprocess.Popen(["sleep", "1000"], start_new_session=True).pid
            case ("print", *lines):
                return sys.stdout.write("\n".join([*lines, ""]))
            case ("write", text):
                return os.write(1, bytes(text, "latin-1"))
            case ("stop", reason):
                raise Stop(reason, reply="stopping")
        return f"got {request!r}"

    def handle_cast(self, request: Any) -> None:
        match request:
            case ("fill", int(size)):
                os.write(1, b"x" * size + b"\n")

    def terminate(self, reason: ExitReason) -> None:
        match self.args:
            case {"slow": float(delay)}:
                threading.Event().wait(delay)
            case {"stuck": True}:
                threading.Event().wait()


class Printer(Role):
    """Prints many long lines at once."""

    def init(self, args: Any) -> None:
        self.args = args
        self.continue_with("print")

    def handle_continue(self, argument: Any) -> None:
        mark, width = self.args["mark"], self.args["width"]
        for number in range(self.args["count"]):
            sys.stdout.write(f"{mark} {number} {mark * width} end\n")


class Journal(Role):
    """
    Writes down when it starts and stops, and holds a lock while it lives.

    A second instance at the same time writes `overlap` too.
    """

    trap_exit = True

    def init(self, args: Any) -> None:
        self.args = args
        self.lock = os.open(f"{args['file']}.{args['role']}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.note("overlap")
        self.note("start")

    def note(self, word: str) -> None:
        line = f"{word} {self.args['role']} {os.getpid()} {time.monotonic():.6f}\n"
        with Path(self.args["file"]).open("a", encoding="utf-8") as file:
            file.write(line)

    def handle_call(self, request: Any, caller: Caller) -> Any:
        return os.getpid()

    def terminate(self, reason: ExitReason) -> None:
        self.note("stop")


class RaisesInInit(Role):
    """Cannot start."""

    def init(self, args: Any) -> None:
        raise RuntimeError("no database")


class HangsInInit(Role):
    """Never starts."""

    def init(self, args: Any) -> None:
        threading.Event().wait()


class CrashesAtOnce(Role):
    """Starts, and ends by an exception."""

    def init(self, args: Any) -> None:
        self.continue_with("crash")

    def handle_continue(self, argument: Any) -> None:
        raise KeyError("lost")


class PrintsAndDies(Role):
    """Says something on both streams, without a line's end, and is gone."""

    def init(self, args: Any) -> None:
        self.continue_with("die")

    def handle_continue(self, argument: Any) -> None:
        os.write(1, b"first\nlast words")
        os.write(2, b"complaint")
        os.kill(os.getpid(), 9)
