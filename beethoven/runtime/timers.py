"""Timers of one process: which messages are due when. Pure; time is a number."""

import heapq
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Timers:
    """
    Messages to be delivered later.

    Invariant: every number in `_messages` is in `_heap` exactly once; what is only in `_heap` was
    cancelled.
    """

    _heap: list[tuple[float, int]] = field(default_factory=list)
    _messages: dict[int, Any] = field(default_factory=dict)
    _last: int = 0

    def set(self, at: float, message: Any) -> int:
        """Deliver `message` at a moment of the monotonic clock; return the timer's number."""
        self._last += 1
        heapq.heappush(self._heap, (at, self._last))
        self._messages[self._last] = message
        return self._last

    def cancel(self, number: int) -> bool:
        """Forget a timer. Return whether it was still to come."""
        return self._messages.pop(number, None) is not None

    def next_at(self) -> float | None:
        """Return when the next timer is due, or None."""
        while self._heap and self._heap[0][1] not in self._messages:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[Any]:
        """Remove and return the messages whose time has come, earliest first."""
        messages = []
        while (at := self.next_at()) is not None and at <= now:
            _, number = heapq.heappop(self._heap)
            messages.append(self._messages.pop(number))
        return messages
