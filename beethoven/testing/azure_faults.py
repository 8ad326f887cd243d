"""What goes wrong with a metadata service: which request meets which fault. Decisions only."""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from beethoven.testing.arguments import expect
from beethoven.testing.azure_requests import HttpAnswer


class Fault(StrEnum):
    """
    What happens instead of the right answer.

    `GONE`, `THROTTLED` and `FAILING` are 410, 429 and 500. `HANG` never answers; `RESET` ends the
    connection without an answer. `TRUNCATED` is half of the right body, as if it were the whole;
    `CUT_OFF` is half of the right body, where the whole was promised. `DRIP` sends the right body,
    a byte each second. `PORTAL` is the page of a captive proxy: 200 and HTML. `GARBAGE` is no HTTP.
    `ENDLESS` is a body without an end (64 MiB).
    """

    GONE = "410"
    THROTTLED = "429"
    FAILING = "500"
    HANG = "hang"
    RESET = "reset"
    TRUNCATED = "truncated"
    CUT_OFF = "cut off"
    DRIP = "drip"
    PORTAL = "portal"
    GARBAGE = "garbage"
    ENDLESS = "endless"


# Those that come before any answer.
UNANSWERED: Final = frozenset({Fault.HANG, Fault.RESET, Fault.GARBAGE})
_ANSWERS: Final[dict[Fault, HttpAnswer]] = {
    Fault.GONE: HttpAnswer(410, b'{"error": "Gone. Retry after some time"}'),
    Fault.THROTTLED: HttpAnswer(429, b'{"error": "Too many requests"}'),
    Fault.FAILING: HttpAnswer(500, b'{"error": "Internal server error. Retry after some time"}'),
    Fault.PORTAL: HttpAnswer(
        200,
        b"<!DOCTYPE html><html><title>Sign in to the guest network</title></html>",
        {"Content-Type": "text/html"},
    ),
}


def answer_of(fault: Fault | HttpAnswer) -> HttpAnswer | None:
    """Return what a fault answers; None if it is done to the connection, or to the right answer."""
    return fault if isinstance(fault, HttpAnswer) else _ANSWERS.get(fault)


@dataclass(slots=True)
class _Injection:
    fault: Fault | HttpAnswer
    path: str
    left: int | None


class Injections:
    """The faults that requests are still to meet; the oldest that fits a path comes first."""

    def __init__(self) -> None:
        self._waiting: list[_Injection] = []

    def add(self, fault: Fault | HttpAnswer, *, path: str, count: int | None) -> None:
        """
        Let requests meet a fault.

        Args:
            fault: What they meet.
            path: Theirs, or above theirs; `/` is above all.
            count: So many of them, >= 1; None is all that are to come.

        Raises:
            ValueError: There is no such fault, `count` is no number >= 1, or `path` does not begin
                with a slash.
        """
        is_fault = isinstance(fault, HttpAnswer) or fault in list(Fault)
        expect("fault", "a Fault or an HttpAnswer", fault, holds=is_fault)
        is_count = count is None or (isinstance(count, int) and count >= 1)
        expect("count", "a whole number >= 1 or None", count, holds=is_count)
        is_path = isinstance(path, str) and path.startswith("/")
        expect("path", "a text that begins with '/'", path, holds=is_path)
        meant = fault if isinstance(fault, HttpAnswer) else Fault(fault)
        self._waiting.append(_Injection(meant, path.rstrip("/"), count))

    def take(self, path: str) -> Fault | HttpAnswer | None:
        """Return what a request to a path meets, and count it; None if nothing."""
        for each in self._waiting:
            if path == each.path or path.startswith(f"{each.path}/"):
                if each.left is not None:
                    each.left -= 1
                    if not each.left:
                        self._waiting.remove(each)
                return each.fault
        return None

    def clear(self) -> None:
        """Forget all."""
        self._waiting.clear()


class Limiter:
    """
    Admits so many requests within any second, and refuses the others.

    Args:
        per_second: How many; None is any number.

    Raises:
        ValueError: It is no number >= 0.
    """

    def __init__(self, per_second: int | None = None) -> None:
        self.limit(per_second)
        self._admitted: deque[float] = deque()

    def limit(self, per_second: int | None) -> None:
        """
        Admit so many from now on; None is any number.

        Raises:
            ValueError: It is no number >= 0.
        """
        is_count = per_second is None or (isinstance(per_second, int) and per_second >= 0)
        expect("per_second", "a whole number >= 0 or None", per_second, holds=is_count)
        self._per_second = per_second

    def admits(self, now: float) -> bool:
        """Return whether a request is admitted now, and count it if so."""
        while self._admitted and now - self._admitted[0] >= 1:
            self._admitted.popleft()
        if self._per_second is not None and len(self._admitted) >= self._per_second:
            return False
        self._admitted.append(now)
        return True
