"""Timers of one process: which messages are due when. Pure; time is a number."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

# Fewer cancelled timers than this are not worth a sweep.
_FEW: Final = 64


def _nothing() -> None:
    """Nobody waits."""


@dataclass(slots=True)
class Timers:
    """
    Messages to be delivered later.

    Invariant: every number in `_pending` is in `_heap` exactly once, at the same moment; what is
    only in `_heap` was cancelled, and is swept out before it is most of the heap.

    Attributes:
        silence: What is to be delivered if nothing else has come by then, and when.
        next_at: When the next message is due, or None.
        on_set: Called when a message is set, for a loop that waits for the next one meanwhile.
    """

    _heap: list[tuple[float, int]] = field(default_factory=list)
    _pending: dict[int, tuple[float, Any]] = field(default_factory=dict)
    _last: int = 0
    silence: tuple[float, Any] | None = None
    next_at: float | None = None
    on_set: Callable[[], None] = _nothing

    def set(self, at: float, message: Any) -> int:
        """Deliver `message` at a moment of the monotonic clock; return the timer's number."""
        self._last += 1
        heapq.heappush(self._heap, (at, self._last))
        self._pending[self._last] = (at, message)
        self._look_ahead()
        self.on_set()
        return self._last

    def set_silence(self, at: float, message: Any) -> None:
        """Deliver `message` at a moment if nothing else has come by then; it replaces another."""
        self.silence = (at, message)
        self._look_ahead()
        self.on_set()

    def break_silence(self) -> None:
        """Something else has come."""
        self.silence = None
        self._look_ahead()

    def cancel(self, number: int) -> bool:
        """Forget a timer. Return whether it was still to come."""
        is_pending = self._pending.pop(number, None) is not None
        if len(self._heap) > 2 * len(self._pending) + _FEW:
            self._heap = [(at, number) for number, (at, _) in self._pending.items()]
            heapq.heapify(self._heap)
        self._look_ahead()
        return is_pending

    def at(self, number: int) -> float | None:
        """Return when a timer is due, or None if it is not to come (any more)."""
        at, _ = self._pending.get(number, (None, None))
        return at

    def _look_ahead(self) -> None:
        """Note when the next message is due."""
        self._forget_cancelled()
        moments = [] if self.silence is None else [self.silence[0]]
        if self._heap:
            moments.append(self._heap[0][0])
        self.next_at = min(moments, default=None)

    def _forget_cancelled(self) -> None:
        while self._heap and self._heap[0][1] not in self._pending:
            heapq.heappop(self._heap)

    def due(self, now: float, *, is_quiet: bool = True) -> list[Any]:
        """
        Remove and return the messages whose time has come, earliest first.

        Args:
            now: The moment.
            is_quiet: Whether nothing else has come.
        """
        messages = []
        self._forget_cancelled()
        while self._heap and self._heap[0][0] <= now:
            _, number = heapq.heappop(self._heap)
            messages.append(self._pending.pop(number)[1])
            self._forget_cancelled()
        if is_quiet and not messages and self.silence is not None and self.silence[0] <= now:
            messages.append(self.silence[1])
            self.silence = None
        self._look_ahead()
        return messages
