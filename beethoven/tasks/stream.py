"""
Streams: a function applied to many items, each in a task of its own, a few at a time.

What to do when is decided in `stream_state`; here it is done, while somebody asks for results.
"""

import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypedDict, Unpack

from beethoven import clock
from beethoven.errors import TaskTimeout
from beethoven.runtime import kernel, start
from beethoven.runtime.exit_signals import Effect, effect_of
from beethoven.runtime.reason import ExitReason, ReasonKind
from beethoven.supervision.checks import refuse
from beethoven.tasks.many import first_result, kill_all
from beethoven.tasks.results import Exited, ExitedItem, Ok, TaskResult
from beethoven.tasks.stream_state import (
    Deliver,
    Finished,
    OnTimeout,
    Pull,
    StreamOptions,
    StreamState,
    Wait,
)
from beethoven.tasks.task import Task
from beethoven.tasks.work import pack

_TIMEOUT: Final = ExitReason(ReasonKind.OTHER, "timeout")

# What is left of a stream that ends early has so long to end before it is killed, in seconds.
_GRACE: Final = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class TaskStream:
    """
    The results of a function for many items; made by `async_stream`.

    Nothing happens until somebody iterates over it: then the tasks are those of whoever iterates,
    in whichever process of the tree that is. Every iteration begins anew, as far as the source
    can. Whatever ends an iteration early ends the tasks that still run: a `break`, an exception,
    `close()` of the iterator. Use each iterator in one thread.

    Attributes:
        source: The items; only as many are taken as are needed.
        start: Starts the task of an item.
        is_linked: Whether the failure of a task ends whoever iterates, as links do.
        options: How the tasks are treated.
    """

    source: Iterable[Any]
    start: Callable[[Any], Task]
    is_linked: bool
    options: StreamOptions

    def __iter__(self) -> Generator[TaskResult, None, None]:
        run = _Run(self)
        try:
            while True:
                match run.state.next_step():
                    case Deliver(result):
                        yield result
                    case Pull():
                        run.start_next()
                    case Wait(until):
                        run.wait(until)
                    case Finished():
                        return
        finally:
            run.end()


class _Run:
    """One iteration over a stream: the tasks that run."""

    def __init__(self, stream: TaskStream) -> None:
        self.state = StreamState(stream.options, cores=kernel.cores())
        self._stream = stream
        self._source: Iterator[Any] = iter(stream.source)
        self._positions: dict[Task, int] = {}
        self._items: dict[int, Any] = {}
        self._pid = os.getpid()

    def start_next(self) -> None:
        """Start the task of the next item, if there is one."""
        try:
            item = next(self._source)
        except StopIteration:
            self.state.exhausted()
            return
        task = self._stream.start(item)
        position = self._positions[task] = self.state.started(clock.monotonic())
        if self._stream.options.zip_input_on_exit:
            self._items[position] = item

    def wait(self, until: float | None) -> None:
        """
        Wait for the end of any task; deal with those that take too long if there is none.

        Raises:
            TaskTimeout: One took too long, which is to end the stream.
        """
        timeout = None if until is None else max(0.0, until - clock.monotonic())
        found = first_result(self._positions, timeout)
        if found is not None:
            self._heed(*found)
            self._note(*found)
            return
        overdue = self.state.overdue(clock.monotonic())
        late = [task for task, position in self._positions.items() if position in overdue]
        if late and self._stream.options.on_timeout is OnTimeout.EXIT:
            raise TaskTimeout(target=str(late[0]), timeout=self._stream.options.timeout or 0.0)
        for task, result in kill_all(late).items():
            # What was there at the last moment is worth more than the rule.
            self._note(task, result if isinstance(result, Ok) else Exited(_TIMEOUT))

    def _heed(self, task: Task, result: TaskResult) -> None:
        """Let a failure act as the end of a linked process does, but leave no message behind."""
        process = start.current.process
        if process is None or task.ref is None:
            return
        if isinstance(result, Exited) and self._stream.is_linked:
            effect = effect_of(result.reason, traps_exits=process.trap_exit, from_parent=False)
            if effect is Effect.DIE:
                process.leave(result.reason)
        process.unlink(task.ref)

    def _note(self, task: Task, result: TaskResult) -> None:
        position = self._positions.pop(task)
        item = self._items.pop(position, None)
        if isinstance(result, Exited) and self._stream.options.zip_input_on_exit:
            result = ExitedItem(result.reason, item)
        self.state.ended(position, result)

    def end(self) -> None:
        """
        End what still runs, and the source.

        Not in a forked copy of the process; nor where a program ends, for then its tree ends too.
        """
        if os.getpid() != self._pid or sys.is_finalizing():
            return
        try:
            told = [task for task in self._positions if task.tell_to_end(_GRACE)]
            deadline = clock.monotonic() + _GRACE
            for task in told:
                task.wait_for_end(max(0.0, deadline - clock.monotonic()))
        finally:
            close = getattr(self._source, "close", None)
            if close is not None and self._source is not self._stream.source:
                close()


def async_stream(
    iterable: Iterable[Any],
    function: Callable[[Any], Any],
    *,
    max_concurrency: int | None = None,
    ordered: bool = True,
    timeout: float | None = 5.0,
    on_timeout: OnTimeout | str = OnTimeout.EXIT,
    zip_input_on_exit: bool = False,
) -> TaskStream:
    """
    Apply a function to every item, each in a task of its own, and return the results lazily.

    The tasks are linked to the process that iterates, as those of `Task.async_` are.

    Args:
        iterable: The items; may be infinite. Each must be such that it can be pickled.
        function: Called with one item; for more arguments use `functools.partial`.
        max_concurrency: How many tasks may run at the same time; None is one for each core.
        ordered: Whether results come in the order of the items, else in that of completion.
        timeout: Seconds that each task may take, measured while somebody waits for results; a
            result that is there counts. None is no limit.
        on_timeout: What becomes of one that takes longer: "exit" raises `TaskTimeout` where the
            results are asked for and ends the stream; "kill_task" ends that task, and its result
            is `Exited` with the reason `timeout`.
        zip_input_on_exit: Whether tasks that end without a result give an `ExitedItem`, which has
            the item, instead of an `Exited`.

    Returns:
        An iterable of `Ok(value)` and `Exited(reason)`.

    Raises:
        SpecError: An option is wrong, or another process cannot find the function. While
            iterating: an item cannot be pickled.
    """
    pack(function, (), {})
    return stream_of(
        iterable,
        partial(Task.async_, function),
        linked=True,
        max_concurrency=max_concurrency,
        ordered=ordered,
        timeout=timeout,
        on_timeout=on_timeout,
        zip_input_on_exit=zip_input_on_exit,
    )


class StreamKeywords(TypedDict, total=False):
    """The options of `async_stream`."""

    max_concurrency: int | None
    ordered: bool
    timeout: float | None
    on_timeout: OnTimeout | str
    zip_input_on_exit: bool


def stream_of(
    iterable: Iterable[Any],
    start_one: Callable[[Any], Task],
    *,
    linked: bool,
    **options: Unpack[StreamKeywords],
) -> TaskStream:
    """
    Return the stream of the tasks that `start_one` starts for each item.

    Raises:
        SpecError: An option is wrong, or there are no items.
    """
    if not isinstance(iterable, Iterable) and not hasattr(iterable, "__getitem__"):
        refuse("stream", "items", "an iterable", got=iterable)
    return TaskStream(iterable, start_one, linked, StreamOptions(**options))
