"""
What tests have tasks do, and what they have the owners of tasks do.

Children import this module, so it imports little. Functions with a first argument `role` run in a
puppet (see `tests/integration/roles.py`).
"""

import atexit
import ctypes
import importlib
import os
import signal
import threading
from pathlib import Path
from typing import Any

from beethoven import Stop
from beethoven.runtime import start
from beethoven.runtime.reason import SHUTDOWN
from beethoven.tasks.many import await_many, yield_many
from beethoven.tasks.task import Task
from beethoven.tasks.work import callers
from tests.conformance.accounts import MuteError
from tests.integration.roles import Puppet


class Trapping:
    """What lives in a process that traps exits."""

    trap_exit = True


def double(value: Any) -> Any:
    return 2 * value


def greet(greeting: str, *, name: str) -> str:
    return f"{greeting}, {name}"


def crash(text: str = "boom") -> None:
    raise ValueError(text)


def fail_to_log_in(user: Any, *, password: str, options: Any = None) -> None:
    raise ValueError("no route")


def crash_slowly(value: Any) -> None:
    raise MuteError


def end(reason: Any = "normal") -> None:
    raise Stop(reason)


def hold() -> None:
    """Never return."""
    threading.Event().wait()


def crash_with_label(label: str) -> None:
    Task.set_label(label)
    crash()


def kill_oneself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def touch_and_hold(path: str) -> None:
    Path(path).touch()
    hold()


def touch_and_hold_the_interpreter(path: str) -> None:
    """Be stuck in C, with no other thread of this process running."""
    Path(path).touch()
    ctypes.PyDLL(None).usleep(60_000_000)


def trap_touch_and_hold(path: str) -> None:
    assert start.current.process is not None
    start.current.process.resident = Trapping
    touch_and_hold(path)


def touch(path: str) -> None:
    Path(path).touch()


def wait_for(path: str, value: Any = None) -> Any:
    """Return `value` as soon as there is such a file."""
    while not Path(path).exists():
        threading.Event().wait(0.01)
    return value


def crash_after(path: str, text: str = "boom") -> None:
    wait_for(path)
    crash(text)


def crash_at_first(path: str) -> None:
    """Crash, unless this has been tried before; leave a file for each time."""
    tries = len(list(Path(path).parent.glob("try-*")))
    Path(path).with_name(f"try-{tries}").touch()
    if not tries:
        crash()


def large(size: int) -> bytes:
    return bytes(size)


async def wait_awake() -> None:
    """Do nothing, as a coroutine does it."""


def lock() -> Any:
    """Return what cannot be pickled."""
    return threading.Lock()


def report_callers() -> tuple[Any, ...]:
    return callers()


def report_callers_to(path: str) -> None:
    Path(path).write_text(" ".join(each.identity for each in callers()), "utf-8")
    hold()


def report_callers_of_inner() -> tuple[Any, Any]:
    """Return this task's process and the callers of a task that this one starts."""
    assert start.current.process is not None
    return start.current.process.ref, Task.async_(report_callers).await_()


def await_crash() -> None:
    """Fail because a task has failed; the link must not be faster."""
    assert start.current.process is not None
    start.current.process.resident = Trapping
    Task.async_(crash).await_()


def double_in_inner(value: int) -> Any:
    return Task.async_(double, value).await_()


def answer_and_end(value: Any, how: str) -> Any:
    """Return a value, and have the process end in some other way than normally after that."""
    match how:
        case "abnormally":
            atexit.register(os._exit, 3)
        case "shutdown":
            assert start.current.process is not None
            atexit.register(start.current.process.leave, SHUTDOWN)
        case "killed":
            atexit.register(os.kill, os.getpid(), signal.SIGKILL)
    return value


class Method:
    """Has a method that a task can run."""

    def __init__(self, value: int) -> None:
        self.value = value

    def add(self, other: int) -> int:
        return self.value + other


def look_up(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


class FoundElsewhere:
    """A function of this process that is looked for under another name by all others."""

    def __init__(self, module: str, name: str) -> None:
        self.place = (module, name)

    def __call__(self) -> None:
        raise AssertionError("must not be called")

    def __reduce__(self) -> Any:
        return look_up, self.place


# What owners do.


def start_task(role: Puppet, function: Any, *arguments: Any) -> Any:
    """Start a task and keep it. Return its process."""
    role.kept.append(Task.async_(function, *arguments))
    return role.kept[-1].ref


def metadata(role: Puppet) -> tuple[Any, Any, str]:
    task = role.kept[-1]
    return task.ref, task.owner, task.label


def start_linked(role: Puppet, function: Any, *arguments: Any) -> Any:
    return Task.start_link(function, *arguments)


def start_unlinked(role: Puppet, function: Any, *arguments: Any) -> Any:
    return Task.start(function, *arguments)


def use_task(role: Puppet, method: str, *arguments: Any) -> Any:
    """Return the result of a method of the last task, or the error that it raises."""
    return use_other(role, role.kept[-1], method, *arguments)


def use_other(role: Puppet, task: Task, method: str, *arguments: Any) -> Any:
    try:
        return getattr(task, method)(*arguments)
    except Exception as error:
        return error


def give_away(role: Puppet) -> Task:
    task: Task = role.kept[-1]
    return task


def await_all(role: Puppet, timeout: float) -> Any:
    try:
        return await_many(role.kept, timeout)
    except Exception as error:
        return error


def yield_all(role: Puppet, timeout: float, on_timeout: str) -> list[Any]:
    return [result for _, result in yield_many(role.kept, timeout, on_timeout=on_timeout)]


def run_many(role: Puppet, count: int) -> tuple[int, int]:
    """Run tasks one after another in one callback. Return the open descriptors before and after."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for number in range(count):
        assert Task.async_(double, number).await_() == 2 * number
    return before, len(os.listdir("/proc/self/fd"))  # noqa: PTH208


async def await_in_coroutine(role: Puppet, function: Any, *arguments: Any) -> Any:
    return await Task.async_(function, *arguments)


async def await_what_a_coroutine_lets_go_on(role: Puppet, path: str) -> Any:
    """Return the result of a task that ends when another coroutine has had some turns."""
    import asyncio

    async def work() -> None:
        for _ in range(10):
            await asyncio.sleep(0.001)
        touch(path)

    beside = asyncio.get_running_loop().create_task(work())
    result = await Task.async_(wait_for, path, "done")
    await beside
    return result
