"""
Time: the only caller of `time`.

Whoever waits or measures takes a `Clock`, so that a test can hand in its own. Decisions take a
number instead and never see a clock.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def monotonic(self) -> float:
        """
        Return seconds from an arbitrary start.

        They never decrease, and differences between them are durations.
        """

    def wall(self) -> float:
        """Return seconds since 1970-01-01 UTC, to be shown to people; it may jump either way."""


class SystemClock:
    """The clock of the operating system."""

    __slots__ = ()

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def __repr__(self) -> str:
        return "SystemClock()"


def utc(seconds: float) -> str:
    """
    Return a moment as text, such as `2026-11-22T21:09:00.123Z`.

    Args:
        seconds: Since 1970-01-01 UTC, as `Clock.wall` gives them; rounded to the millisecond.
    """
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{milliseconds:03d}Z"


def elapsed() -> float:
    """Return seconds from an arbitrary start, as `monotonic`; they also pass while we sleep."""
    return time.clock_gettime(_ELAPSED)


_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

monotonic = time.monotonic
wall = time.time
