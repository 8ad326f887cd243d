"""
A function applied to many items, each on some node, a few at a time.

What to do when is decided in `stream_state`; here it is done, while somebody asks for results.
"""

import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from typing import Any, Final, TypeVar

from beethoven import clock
from beethoven.cluster.task_placement import fitting
from beethoven.node.errand import Errand, Terms, end_all, ready_among
from beethoven.node.progress import progress_bar
from beethoven.node.task_starts import GLANCE
from beethoven.remote.way import Way
from beethoven.supervision.checks import refuse
from beethoven.tasks.portable import portable_work
from beethoven.tasks.stream_state import (
    Deliver,
    Finished,
    Pull,
    StreamOptions,
    StreamState,
    Wait,
)

# On a node that does not tell how many cores it has.
_FEW_CORES: Final = 2
# How long it may take to learn which nodes there are, in seconds.
_PATIENCE: Final = 5.0

T = TypeVar("T")


class MapOptions(StreamOptions):
    """How many run at a time, and in which order their results come."""

    __slots__ = ()
    what = "map"


def map_over(
    way: Way,
    function: Callable[[Any], T],
    iterable: Iterable[Any],
    terms: Terms,
    options: StreamOptions,
    *,
    progress: bool,
) -> Generator[T, None, None]:
    """
    Return the results lazily; see `ClusterHandle.map`.

    Args:
        way: How nodes are reached.
        function: Called with one item.
        iterable: The items.
        terms: How each is run.
        options: How many at a time, and in which order they come back.
        progress: Whether to show a bar.

    Raises:
        SpecError: Another node cannot find the function, or there are no items.
    """
    if not isinstance(iterable, Iterable) and not hasattr(iterable, "__getitem__"):
        refuse("task", "items", "an iterable", got=iterable)
    label = portable_work(function, (), {}).label
    total = len(iterable) if isinstance(iterable, Sized) else None
    mapping = _Mapping(way, function, iterable, terms, options)
    return mapping.results(label, total, is_shown=progress)


class _Mapping:
    """One pass over the items."""

    def __init__(
        self,
        way: Way,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        terms: Terms,
        options: StreamOptions,
    ) -> None:
        self._way = way
        self._function = function
        self._items = items
        self._source: Iterator[Any] = iter(items)
        self._terms = terms
        self._options = options
        self._running: dict[Errand, int] = {}
        self._pid = os.getpid()

    def results(
        self, label: str, total: int | None, *, is_shown: bool
    ) -> Generator[Any, None, None]:
        """Yield what the function has returned; raise what it has raised."""
        state = StreamState(self._options, cores=self._capacity())
        try:
            with progress_bar(label, total, is_wanted=is_shown) as advance:
                while True:
                    match state.next_step():
                        case Deliver(end):
                            if end.error is not None:
                                raise end.error
                            yield end.value
                        case Pull():
                            self._start_next(state)
                        case Wait():
                            self._wait(state, advance)
                        case Finished():
                            return
        finally:
            self._end()

    def _capacity(self) -> int:
        """Return how many cores the nodes have that may run it."""
        nodes = fitting(self._way.directory(_PATIENCE).nodes, self._terms.where)
        return sum(each.cpus or _FEW_CORES for each in nodes) or 1

    def _start_next(self, state: StreamState) -> None:
        try:
            item = next(self._source)
        except StopIteration:
            state.exhausted()
            return
        work = portable_work(self._function, (item,), {}, self._terms.limit)
        errand = Errand(self._way, work, self._terms)
        self._running[errand] = state.started(clock.monotonic())

    def _wait(self, state: StreamState, advance: Callable[[], None]) -> None:
        """Wait until something has come of at least one of those that run."""
        # If nobody is ready it is time to look whether they are still there.
        for errand in ready_among(self._running, GLANCE) or list(self._running):
            if (end := errand.look()) is not None:
                state.ended(self._running.pop(errand), end)
                advance()

    def _end(self) -> None:
        """End what still runs, and the source; not in a copy of the process, nor at its end."""
        if os.getpid() != self._pid or sys.is_finalizing():
            return
        try:
            mine = [each for each in self._running if each.is_mine]
            for other in self._running.keys() - mine:
                other.give_up()
            end_all(mine)
        finally:
            close = getattr(self._source, "close", None)
            if close is not None and self._source is not self._items:
                close()
