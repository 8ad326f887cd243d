"""Pace: how many things may be begun now, so that not too many are begun in a second."""

from typing import Final

# How many may be begun at once after a rest. A small network is asked in one go.
BURST: Final = 64
# Waking up for each single one would cost more than the thing itself.
_BATCH: Final = 32


class Pace:
    """
    An allowance that grows with time, up to a burst.

    Args:
        per_second: How fast it grows.
        now: Monotonic time.
    """

    # Invariant: 0 <= _allowance <= BURST
    def __init__(self, per_second: float, *, now: float) -> None:
        self._per_second = per_second
        self._allowance = float(BURST)
        self._counted_at = now

    def allows(self, *, now: float) -> int:
        """Return how many may be begun now."""
        grown = self._allowance + (now - self._counted_at) * self._per_second
        self._allowance, self._counted_at = min(float(BURST), grown), now
        return int(self._allowance)

    def spend(self) -> None:
        """Note that one was begun, which `allows` allowed."""
        self._allowance -= 1

    def next_at(self) -> float:
        """Return when a batch may be begun."""
        missing = max(0.0, _BATCH - self._allowance)
        return self._counted_at + missing / self._per_second
