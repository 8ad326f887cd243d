"""The clocks of a simulated cloud: that of the machine, and one that goes only when it is told."""

import threading
from collections.abc import Callable
from typing import Final, Protocol, runtime_checkable

from beethoven import clock
from beethoven.testing.arguments import expect_seconds

# Moments are written with four digits for the year.
_LATEST: Final = 1e11


@runtime_checkable
class FabricClock(Protocol):
    """Where a simulated cloud has its time from, and how it waits."""

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start; they never decrease."""

    def wall(self) -> float:
        """Return seconds since 1970-01-01 UTC, as answers show them."""

    def wait(self, condition: threading.Condition, until: float | None) -> None:
        """
        Wait until somebody notifies, or a moment has come. May return early.

        Args:
            condition: Held by the caller, as for its own `wait`.
            until: By `monotonic`; None is for ever.
        """


class RealClock:
    """The clock of the operating system."""

    __slots__ = ()

    def monotonic(self) -> float:
        return clock.monotonic()

    def wall(self) -> float:
        return clock.wall()

    def wait(self, condition: threading.Condition, until: float | None) -> None:
        condition.wait(None if until is None else max(0.0, until - clock.monotonic()))

    def __repr__(self) -> str:
        return "RealClock()"


class ManualClock:
    """
    Virtual time: it stands still until `advance`, so that no test waits for what takes minutes.

    Args:
        wall: What `wall` begins with, in seconds since 1970-01-01 UTC. `monotonic` begins with 0.

    Raises:
        ValueError: `wall` is no number from 0 to 1e11.
    """

    def __init__(self, wall: float = 1_800_000_000.0) -> None:
        expect_seconds("wall", wall, most=_LATEST)
        self._lock = threading.Lock()
        self._start = wall
        self._now = 0.0
        self._waiting: list[threading.Condition] = []
        self._followers: list[Callable[[], None]] = []

    def monotonic(self) -> float:
        with self._lock:
            return self._now

    def wall(self) -> float:
        return self._start + self.monotonic()

    def advance(self, seconds: float) -> None:
        """
        Let time pass. Whatever has become due meanwhile is done when this returns.

        Args:
            seconds: >= 0; with 0, this only waits for what is due already.

        Raises:
            ValueError: `seconds` is no number from 0 to 1e9.
            TimeoutError: What is due was not done within 10 s of real time.
        """
        expect_seconds("seconds", seconds)
        with self._lock:
            self._now += seconds
            waiting, followers = list(self._waiting), list(self._followers)
        for condition in waiting:
            with condition:
                condition.notify_all()
        for follower in followers:
            follower()

    def wait(self, condition: threading.Condition, until: float | None) -> None:
        with self._lock:
            self._waiting.append(condition)
            is_due = until is not None and self._now >= until
        # Whoever advances from now on notifies, and cannot before this gives up the condition.
        try:
            if not is_due:
                condition.wait()
        finally:
            with self._lock:
                self._waiting.remove(condition)

    def follow(self, settle: Callable[[], None]) -> None:
        """Have a function called at the end of each `advance`, in the thread that advances."""
        with self._lock:
            self._followers.append(settle)

    def unfollow(self, settle: Callable[[], None]) -> None:
        """Call it no more."""
        with self._lock:
            self._followers.remove(settle)

    def __repr__(self) -> str:
        return f"ManualClock(monotonic={self.monotonic():g})"
