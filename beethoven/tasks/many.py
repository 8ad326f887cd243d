"""Waiting for many tasks at once: for all of them, or for whichever ends first."""

import select
from collections import deque
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Final

from beethoven import clock
from beethoven.errors import ProcessExited
from beethoven.runtime.reference import DEFAULT_TIMEOUT, check_timeout
from beethoven.supervision.checks import check_word, refuse
from beethoven.tasks.results import Exited, TaskResult
from beethoven.tasks.task import Task
from beethoven.vocabulary import BRUTAL_KILL

# Longer waits do not fit into what the kernel takes.
_LONGEST_WAIT: Final = 86_400.0


class OnLate(StrEnum):
    """What becomes of tasks that have not ended when time is over."""

    NOTHING = "nothing"
    IGNORE = "ignore"
    KILL_TASK = "kill_task"


class Crowd:
    """
    Tasks of this process, to be taken one by one as they end.

    Attributes:
        pending: Those whose results have not been taken.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        self.pending = dict.fromkeys(tasks)
        for task in self.pending:
            if not isinstance(task, Task):
                refuse("tasks", "each", "a Task", got=task)
        self._poll = select.poll()
        self._by_descriptor: dict[int, Task] = {}
        self._ready: deque[Task] = deque()
        for task in self.pending:
            task.check_owner()
            self._watch(task)

    def _watch(self, task: Task) -> None:
        descriptor = -1 if task.request is None else task.request.fileno()
        if descriptor < 0:
            self._ready.append(task)
        else:
            self._by_descriptor[descriptor] = task
            self._poll.register(descriptor, select.POLLIN)

    def next(self, timeout: float | None) -> tuple[Task, TaskResult] | None:
        """
        Take the result of whichever task ends first.

        Args:
            timeout: Seconds; None waits for ever.

        Returns:
            The task and its result, or None if none has ended in time, or none is left.
        """
        deadline = None if timeout is None else clock.monotonic() + timeout
        while True:
            while self._ready:
                task = self._ready.popleft()
                if (found := self._taken(task)) is not None:
                    return task, found
            if not self._by_descriptor or not self._wait(deadline):
                return None

    def _taken(self, task: Task) -> TaskResult | None:
        was_over = task.request is None
        task.peek(0.0)
        result = task.take()
        if result is not None:
            del self.pending[task]
        elif not was_over:
            # Only a part of the result has arrived.
            self._watch(task)
        return result

    def _wait(self, deadline: float | None) -> bool:
        left = _LONGEST_WAIT if deadline is None else deadline - clock.monotonic()
        ready = self._poll.poll(min(max(left, 0.0), _LONGEST_WAIT) * 1000)
        for descriptor, _ in ready:
            self._poll.unregister(descriptor)
            self._ready.append(self._by_descriptor.pop(descriptor))
        return bool(ready) or deadline is None or left > _LONGEST_WAIT


def first_result(
    tasks: Iterable[Task], timeout: float | None = DEFAULT_TIMEOUT
) -> tuple[Task, TaskResult] | None:
    """
    Take the result of whichever task ends first.

    Args:
        tasks: Tasks of the caller.
        timeout: Seconds; None waits for ever.

    Returns:
        The task and its result, or None if none has ended in time, or there is none to wait for.

    Raises:
        NotOwner: Another process has started one of them.
    """
    check_timeout(timeout, "tasks")
    return Crowd(tasks).next(timeout)


def await_many(tasks: Iterable[Task], timeout: float | None = DEFAULT_TIMEOUT) -> list[Any]:
    """
    Wait for the end of all tasks and return what they have returned, in the order of the tasks.

    Args:
        tasks: Tasks of the caller.
        timeout: Seconds for all of them together; None waits for ever.

    Raises:
        TaskTimeout: One has not ended in time; the results of all that are left are given up.
        ProcessExited: One has failed; at once, and the results of the others are given up.
        NotOwner: Another process has started one of them.
    """
    check_timeout(timeout, "tasks")
    wanted = list(tasks)
    crowd = Crowd(wanted)
    deadline = None if timeout is None else clock.monotonic() + timeout
    values: dict[Task, Any] = {}
    try:
        while crowd.pending:
            left = None if deadline is None else max(deadline - clock.monotonic(), 0.0)
            found = crowd.next(left)
            if found is None:
                raise next(iter(crowd.pending)).late(timeout or 0.0)
            task, result = found
            if isinstance(result, Exited):
                raise ProcessExited(target=str(task), reason=result.reason)
            values[task] = result.value
    finally:
        for task in crowd.pending:
            task.give_up()
    return [values[task] for task in wanted]


def yield_many(
    tasks: Iterable[Task],
    timeout: float | None = DEFAULT_TIMEOUT,
    *,
    on_timeout: OnLate | str = OnLate.NOTHING,
    limit: int | None = None,
) -> list[tuple[Task, TaskResult | None]]:
    """
    Wait for the ends of tasks and return what there is when time is over.

    Args:
        tasks: Tasks of the caller.
        timeout: Seconds for all of them together; None waits for ever.
        on_timeout: What becomes of those that have not ended when time is over: "nothing",
            "ignore" (they run on, their results are dropped) or "kill_task".
        limit: How many results are enough; then nothing happens to the others. None wants all.

    Returns:
        The tasks in their order, each with `Ok`, `Exited`, or None if it has not ended.

    Raises:
        NotOwner: Another process has started one of them.
        SpecError: An option is wrong.
    """
    check_timeout(timeout, "tasks")
    action = check_word("tasks", "on_timeout", OnLate, on_timeout)
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        refuse("tasks", "limit", "an integer >= 1 or None", got=limit)
    wanted = list(tasks)
    crowd = Crowd(wanted)
    deadline = None if timeout is None else clock.monotonic() + timeout
    results: dict[Task, TaskResult | None] = {}
    while crowd.pending and (limit is None or len(results) < limit):
        found = crowd.next(None if deadline is None else max(deadline - clock.monotonic(), 0.0))
        if found is None:
            results |= _end_late(list(crowd.pending), action)
            break
        results[found[0]] = found[1]
    return [(task, results.get(task)) for task in wanted]


def _end_late(late: list[Task], action: OnLate) -> dict[Task, TaskResult | None]:
    match action:
        case OnLate.IGNORE:
            return {task: task.ignore() for task in late}
        case OnLate.KILL_TASK:
            return kill_all(late)
    return {}


def kill_all(tasks: Iterable[Task]) -> dict[Task, TaskResult | None]:
    """Do `shutdown("brutal_kill")` to tasks, and wait for all of them together."""
    told = [(task, task.tell_to_end(BRUTAL_KILL)) for task in tasks]
    return {
        task: task.wait_for_end(BRUTAL_KILL) if was_told else task.take() for task, was_told in told
    }
