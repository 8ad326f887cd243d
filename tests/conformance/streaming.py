"""
What tasks and consumers of streams do in tests.

Children import this module, so it imports little.
"""

import atexit
import contextlib
import ctypes
import os
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from beethoven import (
    BeethovenError,
    Down,
    Ref,
    Stop,
    TaskStream,
    TaskSupervisorRef,
    async_stream,
    callers,
)
from beethoven.errors import TaskTimeout
from beethoven.runtime import start
from tests.integration.roles import Puppet


def double(item: int) -> int:
    return 2 * item


def double_and_end_late(item: int, seconds: float) -> int:
    """Double an item, in a process that takes so long to end when that has been told."""
    atexit.register(threading.Event().wait, seconds)
    return double(item)


def power(exponent: int, item: int) -> int:
    return int(item**exponent)


def pid(_item: Any = None) -> int:
    return os.getpid()


def wait_for_ever(_item: Any = None) -> None:
    threading.Event().wait()


def double_first(item: int) -> int:
    """Return what the first item is doubled; work on the others for ever."""
    if item:
        wait_for_ever()
    return double(item)


def note_and_wait(folder: str, item: Any) -> None:
    """Leave a file named for this process, and never return."""
    Path(folder, str(os.getpid())).touch()
    wait_for_ever(item)


def note_and_hold_the_interpreter(folder: str, _item: Any) -> None:
    """Leave a file named for this process, and be stuck where no other thread can run."""
    Path(folder, str(os.getpid())).touch()
    ctypes.PyDLL(None).usleep(60_000_000)


def note_and_double_all_but(folder: str, late: int, item: int) -> int:
    """Leave a file named for this process; for one item never return."""
    Path(folder, str(os.getpid())).touch()
    if item == late:
        wait_for_ever()
    return double(item)


def double_all_but(late: int, item: int) -> int:
    """Double an item; for one of them never return."""
    if item == late:
        wait_for_ever()
    return double(item)


def double_after_the_others(folder: str, others: int, item: int) -> int:
    """Double an item, the item 0 only after so many others have done so."""
    if item:
        Path(folder, str(item)).touch()
    else:
        wait_for_files(folder, others)
    return double(item)


def wait_for_files(folder: str, number: int) -> None:
    """Return when there are so many files in a folder."""
    while len(list(Path(folder).iterdir())) < number:
        threading.Event().wait(0.01)


def die_on_odd(item: int) -> int:
    """Double an even item; end otherwise."""
    if item % 2:
        raise Stop(f"odd {item}")
    return double(item)


def fail(item: Any = None) -> None:
    raise ValueError(f"failed on {item}")


def leave(_item: Any = None) -> None:
    raise SystemExit(3)


def stop_with(reason: Any) -> None:
    raise Stop(reason)


def who_asked(_item: Any = None) -> tuple[Ref, ...]:
    return callers()


def stream_in_a_task(_item: Any = None) -> list[Any]:
    """Return what tasks of this task say of who asked."""
    return list(async_stream([0], who_asked))


def collect(role: Puppet, stream: TaskStream, most: int | None = None) -> list[Any]:
    """Return the results of a stream, or the first ones of them."""
    return list(islice(stream, most))


def collect_amid_forgeries(role: Puppet, stream: TaskStream) -> list[Any]:
    """Return the results of a stream while the mailbox is full of lies."""
    for number in range(20):
        role.ref.send(Down(number, role.ref, ValueError("forged")))  # type: ignore[arg-type]
    return list(stream)


def await_first(role: Puppet, stream: TaskStream, folder: str, number: int) -> Any:
    """Return the first result of a stream, when so many files are in a folder."""
    results = iter(stream)
    first = next(results)
    wait_for_files(folder, number)
    results.close()
    return first


def ties(role: Puppet) -> list[str]:
    """Return to whom a process is linked, and whom it has started."""
    process = role._process
    return sorted([*process._links, *process._children, *map(str, process._monitors.values())])


class Source:
    """Items, and whether whoever took them has finished with them."""

    def __init__(self, *items: Any) -> None:
        self.items = items
        self.taken: list[Any] = []
        self.is_closed = False

    def __iter__(self) -> Iterator[Any]:
        try:
            for item in self.items:
                self.taken.append(item)
                yield item
        finally:
            self.is_closed = True


def collect_or_catch(role: Puppet, stream: TaskStream) -> str:
    """Return how a stream failed."""
    try:
        list(stream)
    except BeethovenError as error:
        return type(error).__name__
    return "nothing"


def who_asked_and_whose_child() -> tuple[tuple[Ref, ...], Ref | None]:
    """Return who asked for this task, and the process that has started it."""
    process = start.current.process
    assert process is not None
    return callers(), process.parent


def write_who_asked(path: str) -> None:
    Path(path).write_text(" ".join(each.identity for each in callers()), "utf-8")


def start_and_watch(role: Puppet, tasks: TaskSupervisorRef, kind: str, *work: Any) -> Any:
    """Start a task, be told of its end, and return its process."""
    task = getattr(tasks, kind)(*work)
    role.kept[:] = [task]
    role.monitor(task.ref)
    return task.ref


def start_and_give_up(role: Puppet, tasks: TaskSupervisorRef, *work: Any) -> Any:
    """Wait for a task for no time at all, and return its process."""
    task = tasks.async_nolink(*work)
    with contextlib.suppress(TaskTimeout):
        task.await_(timeout=0)
        raise AssertionError("there was a result already")
    return task.ref


def start_for_its_effects(role: Puppet, tasks: TaskSupervisorRef, *work: Any) -> Any:
    return tasks.start_child(*work)


def await_kept(role: Puppet) -> Any:
    return role.kept[0].await_()


def yield_kept(role: Puppet) -> Any:
    return role.kept[0].yield_()
