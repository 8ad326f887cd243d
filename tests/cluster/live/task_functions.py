"""Functions that tests have run somewhere in a cluster."""

import os
import threading
from pathlib import Path
from typing import Any

from beethoven import Role


class Unlucky(Exception):
    """Can be pickled."""


def square(number: int) -> int:
    return number * number


def told(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


def node() -> str:
    """Return on which node this is, by a variable that the test has set."""
    return os.environ["PLACE"]


def fail(text: str) -> None:
    raise Unlucky(text)


def wait(folder: str, seconds: float = 60.0) -> str:
    """Say that it is at work, and by which process; then wait."""
    Path(folder, f"at-work-{os.getpid()}").touch()
    threading.Event().wait(seconds)
    return node()


def wait_once_done(folder: str) -> str:
    """Return at once if this is the first, else wait."""
    try:
        Path(folder, "first").touch(exist_ok=False)
    except FileExistsError:
        return wait(folder)
    return "first"


def wait_for(folder: str, name: str) -> str:
    """Say that it is at work; return where when a file is there."""
    Path(folder, f"at-work-{os.getpid()}").touch()
    while not Path(folder, name).exists():
        threading.Event().wait(0.02)
    return node()


def fail_where(place: str, folder: str) -> str:
    """Die on one node, work on others."""
    Path(folder, f"tried-{node()}").touch()
    if node() == place:
        os._exit(3)
    return node()


def let_nobody_run(_: Any = None) -> int:
    """Hold the interpreter's lock for a long time."""
    return sum(range(10**12))


def large(size: int) -> bytes:
    return bytes(size)


class Boss(Role):
    """Has functions run."""

    def handle_call(self, request: Any, caller: Any) -> Any:
        match request:
            case ("run", number):
                return self.node.run(square, number).result(20)
            case ("begin", folder):
                self.future = self.node.run(wait, folder)
                return self.future.node
            case ("map", count):
                return list(self.node.map(square, range(count)))
        return super().handle_call(request, caller)


class AsyncBoss(Role):
    """The same with `await`."""

    async def handle_call(self, request: Any, caller: Any) -> Any:
        match request:
            case ("run", number):
                return await self.node.run(square, number)
            case ("fail", text):
                return await self.node.run(fail, text)
        return super().handle_call(request, caller)
