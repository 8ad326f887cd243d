"""
How fast Azure's metadata service is asked: by each question, and in all. Pure.

Azure allows 5 questions in a second to everything that runs on a machine, and asks whoever gets 410
to try again for up to 70 s.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from beethoven.cloud.azure_events import seconds_since_1970

# Leaves one to whatever else runs on the machine.
MOST_PER_SECOND: Final = 4

# While the service is gone for now (410): how long at most in all, and the longest pause.
GONE_PATIENCE: Final = 70.0
_GONE_PAUSE: Final = 10.0

_FIRST_PAUSE: Final = 0.25
# After 429 nobody comes back sooner.
_THROTTLED_PAUSE: Final = 1.0
# Whoever answers decides how long we wait, but not for how long we are deaf.
_LONGEST_RETRY_AFTER: Final = 120.0


class Limiter:
    """Lets no more than `MOST_PER_SECOND` questions begin within any second."""

    def __init__(self) -> None:
        self._begun: deque[float] = deque(maxlen=MOST_PER_SECOND)

    def next_at(self) -> float:
        """Return from when on the next one may begin."""
        is_full = len(self._begun) == MOST_PER_SECOND
        # A little more than a second: rounding must not let one through.
        return self._begun[0] + 1.001 if is_full else float("-inf")

    def spend(self, *, now: float) -> None:
        """Note that one has begun, which `next_at` allowed."""
        self._begun.append(now)


@dataclass(slots=True, eq=False)
class Line:
    """
    One kind of question: when it is due, and how often it has failed.

    Attributes:
        purpose: What it is called.
        longest_pause: Between two attempts, however often it has failed and whatever the service
            wishes, in seconds: nobody is to be deaf for as long as a machine may have.
        due_at: When it is to be asked; None as long as there is nothing to ask.
        asked_at: Since when it is under way; None if it is not.
        failures: How often it has failed since it last went well.
        gone_since: Since when the answer has been 410 only.
        problem: What fails, in words; empty if nothing does.
    """

    purpose: str
    longest_pause: float
    due_at: float | None = None
    asked_at: float | None = None
    failures: int = 0
    gone_since: float | None = None
    problem: str = ""

    def next_at(self) -> float | None:
        """Return when to ask it; None while it is under way, and if there is nothing to ask."""
        return self.due_at if self.asked_at is None else None

    def begin(self, *, now: float) -> None:
        """Note that it is asked."""
        self.due_at, self.asked_at = None, now

    def succeed(self) -> None:
        """Note that it went well."""
        self.failures, self.gone_since, self.problem = 0, None, ""

    def fail(self, *, now: float, retry_after: float = 0.0, is_throttled: bool = False) -> None:
        """
        Have it asked again after a pause, which doubles from failure to failure.

        Args:
            now: Monotonic time in seconds.
            retry_after: How long the service wants to be left alone, in seconds.
            is_throttled: Whether it was asked too often.
        """
        first = _THROTTLED_PAUSE if is_throttled else _FIRST_PAUSE
        pause = min(self.longest_pause, first * 2.0 ** min(self.failures, 16))
        self.failures += 1
        self.gone_since = None
        self.due_at = now + max(pause, min(retry_after, self.longest_pause))

    def await_return(self, *, now: float, retry_after: float = 0.0) -> bool:
        """
        Have a question asked again that got 410.

        Returns:
            Whether patience is not over: it is no failure yet.
        """
        since = now if self.gone_since is None else self.gone_since
        left = since + GONE_PATIENCE - now
        if left <= 0:
            self.fail(now=now, retry_after=retry_after)
            self.gone_since = since
            return False
        pause = min(_GONE_PAUSE, _FIRST_PAUSE * 2.0 ** min(self.failures, 16))
        self.failures += 1
        self.gone_since = since
        self.due_at = now + max(min(pause, left), min(retry_after, self.longest_pause))
        return True


def retry_after(text: str, *, wall: float) -> float:
    """
    Return how long the header `Retry-After` asks for, in seconds; 0 if it does not.

    Args:
        text: A number of seconds or a moment, as RFC 9110 §10.2.3 has it.
        wall: Seconds since 1970-01-01 UTC.
    """
    if text.isascii() and text.isdigit():
        return min(_LONGEST_RETRY_AFTER, float(text[:9]))
    moment = seconds_since_1970(text)
    return 0.0 if moment is None else min(_LONGEST_RETRY_AFTER, max(0.0, moment - wall))
