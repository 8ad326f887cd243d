"""
Theory of operation of a stream: many items, one task for each, a few of them at a time.

A stream is asked for one result after another and told what has happened since. Nothing here
waits, starts or ends anything; time is a number. The order of preference is Elixir's: what can be
delivered is delivered first, so that a consumer never waits for the source without need; then
free places are filled from the source; only then is there anything to wait for. A place is free
again when its task has ended, also if its result is still held back for the sake of the order.
"""

from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from beethoven.supervision.checks import check_number, check_word, refuse


class OnTimeout(StrEnum):
    """What becomes of a task that takes too long."""

    EXIT = "exit"
    KILL_TASK = "kill_task"


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """
    How a stream treats its tasks.

    Attributes:
        max_concurrency: How many tasks may run at the same time, >= 1; None is one for each core.
        ordered: Whether results come in the order of the items, else in that of completion.
        timeout: Seconds >= 0 that each task may take, from its own start; None is no limit.
        on_timeout: What becomes of one that takes longer: "exit" ends the whole stream with
            `TaskTimeout`; "kill_task" ends that task, and its result is `Exited` with the reason
            `timeout`.
        zip_input_on_exit: Whether the `Exited` of a task carries the item that it was for.

    Raises:
        SpecError: An option is wrong.

    Source:
        Elixir `Task.async_stream/3`.
    """

    # What an error calls them.
    what: ClassVar[str] = "stream"

    max_concurrency: int | None = None
    ordered: bool = True
    timeout: float | None = 5.0
    on_timeout: OnTimeout | str = OnTimeout.EXIT
    zip_input_on_exit: bool = False

    def __post_init__(self) -> None:
        most = self.max_concurrency
        is_count = isinstance(most, int) and not isinstance(most, bool)
        if most is not None and (not is_count or most < 1):
            refuse(self.what, "max_concurrency", "an integer >= 1 or None", got=most)
        for name in ("ordered", "zip_input_on_exit"):
            if not isinstance(getattr(self, name), bool):
                refuse(self.what, name, "True or False", got=getattr(self, name))
        if self.timeout is not None:
            check_number(self.what, "timeout", self.timeout, "seconds >= 0 or None")
        word = check_word(self.what, "on_timeout", OnTimeout, self.on_timeout)
        object.__setattr__(self, "on_timeout", word)


@dataclass(frozen=True, slots=True)
class Deliver:
    """Give the consumer a result; what follows is asked when it wants more."""

    result: Any


@dataclass(frozen=True, slots=True)
class Pull:
    """Take the next item from the source and start its task."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for the end of any task, at most until a moment, if there is one."""

    until: float | None


@dataclass(frozen=True, slots=True)
class Finished:
    """There is no more."""


Step = Deliver | Pull | Wait | Finished


class StreamState:
    """
    What a stream decides.

    Args:
        options: How it treats its tasks.
        cores: How many cores there are.
    """

    def __init__(self, options: StreamOptions, *, cores: int) -> None:
        self._options = options
        self._most = options.max_concurrency or cores
        self._has_source = True
        self._started = 0
        self._delivered = 0
        # Every task may take as long as every other: the one that began first is due first.
        self._running: OrderedDict[int, float] = OrderedDict()
        self._results: dict[int, Any] = {}

    def next_step(self) -> Step:
        """Return what to do now."""
        position = self._deliverable()
        if position is not None:
            self._delivered += 1
            return Deliver(self._results.pop(position))
        if self._has_source and len(self._running) < self._most:
            return Pull()
        if not self._running:
            return Finished()
        first = next(iter(self._running.values()))
        return Wait(None if self._options.timeout is None else first + self._options.timeout)

    def _deliverable(self) -> int | None:
        if not self._options.ordered:
            return next(iter(self._results), None)
        return self._delivered if self._delivered in self._results else None

    def started(self, now: float) -> int:
        """Note that the task of the next item begins. Return its position among the items."""
        position, self._started = self._started, self._started + 1
        self._running[position] = now
        return position

    def exhausted(self) -> None:
        """Note that the source has no more items."""
        self._has_source = False

    def ended(self, position: int, result: Any) -> None:
        """Note the result of a running task."""
        del self._running[position]
        self._results[position] = result

    def overdue(self, now: float) -> list[int]:
        """Return the running tasks that have taken too long, the oldest first."""
        limit = self._options.timeout
        if limit is None:
            return []
        return [each for each, since in self._running.items() if since + limit <= now]
