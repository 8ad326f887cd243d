"""
Performs what a partition supervisor's state decides, and tells all how many partitions are in use.

No policy here, but for the order in which a change of size takes effect.
"""

from collections.abc import Callable
from typing import Any, Final

from beethoven import errors
from beethoven.runtime import published
from beethoven.runtime.process import Process
from beethoven.runtime.reason import ExitReason
from beethoven.supervision import events
from beethoven.supervision.checks import check_count, refuse
from beethoven.supervision.runner import Asker, Runner, State

_RUNS_ALREADY: Final = (errors.ChildRunning, errors.ChildRestarting)


class _Change:
    """
    A change of size under way; it collects the answers about each partition that it concerns.

    Args:
        awaited: How many answers there will be.
        done: Told in the end which of them was an error, if any.
    """

    def __init__(self, awaited: int, done: Callable[[object | None], None]) -> None:
        self._awaited = awaited
        self._done = done
        self._error: object | None = None

    def reply(self, answer: tuple[str, Any]) -> None:
        outcome, value = answer
        if outcome == "error" and not isinstance(value, _RUNS_ALREADY):
            self._error = value
        self._awaited -= 1
        if not self._awaited:
            self._done(self._error)


class PartitionRunner(Runner):
    """A partition supervisor at work."""

    def __init__(self, process: Process, state: State, name: str, *, partitions: int) -> None:
        super().__init__(process, state, name)
        self._name = name
        self._most = partitions
        self._size = partitions
        self._latest: _Change | None = None

    def run(self) -> ExitReason:
        """Supervise until the end."""
        self._spread(self._most)
        return super().run()

    def _spread(self, size: int) -> None:
        self._size = size
        ref = self._process.ref
        published.publish(ref.folder, ref.identity, f"{size} {self._name}")

    def _take_request(self, caller: Asker, value: Any) -> None:
        match value:
            case ("resize", size):
                self._resize(caller, size)
            case _:
                super()._take_request(caller, value)

    def _resize(self, caller: Asker, size: object) -> None:
        subject, rule = f"partition supervisor {self._name!r}", f"an integer from 0 to {self._most}"
        try:
            count = check_count(subject, "partitions", size, rule)
            if count > self._most:
                refuse(subject, "partitions", rule, got=size)
        except errors.SpecError as error:
            caller.reply(("error", error))
            return
        self._change(caller, count)

    def _change(self, caller: Asker, size: int) -> None:
        before = self._size
        begun, ended = range(before, size), range(size, self._most)

        def done(error: object | None) -> None:
            if error is not None:
                caller.reply(("error", error))
                return
            if self._latest is change and size != self._size:
                self._spread(size)
            caller.reply(("ok", before))

        change = self._latest = _Change(1 + len(begun) + len(ended), done)
        if size < before:
            self._spread(size)
        for number in begun:
            self._handle(events.RestartChildRequested(change, str(number)))
        for number in reversed(ended):
            self._handle(events.TerminateChildRequested(change, str(number)))
        change.reply(("ok", None))
