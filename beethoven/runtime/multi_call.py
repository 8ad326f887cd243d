"""Calls and casts to several processes at once."""

import contextlib
from collections.abc import Iterable
from typing import Any, TypeVar

from beethoven import clock
from beethoven.errors import CallError, CallTimeout, Overloaded, SpecError
from beethoven.runtime.connection import CAST_TIMEOUT
from beethoven.runtime.reference import DEFAULT_TIMEOUT, Target, cast, check_timeout
from beethoven.runtime.request_collection import RequestCollection
from beethoven.runtime.requests import Reply, Request

T = TypeVar("T", bound=Target)


def multi_call(
    targets: Iterable[T], request: Any, timeout: float | None = DEFAULT_TIMEOUT
) -> tuple[dict[T, Any], dict[T, CallError]]:
    """
    Call several processes at once, and wait for all of them together.

    Args:
        targets: References or names. One that occurs twice is called once.
        request: Any value that can be pickled.
        timeout: Seconds to wait for all replies; None waits for ever. Replies that come later are
            dropped.

    Returns:
        The replies by target, and for every other target the error that `call` would have raised.

    Raises:
        SpecError: The request cannot be pickled, the timeout is none, or the targets are only one.
    """
    check_timeout(timeout, "multi_call")
    deadline = None if timeout is None else clock.monotonic() + timeout
    replies: dict[T, Any] = {}
    errors: dict[T, CallError] = {}
    requests = RequestCollection()
    for target in dict.fromkeys(_several("multi_call", targets)):
        remaining = _remaining(deadline)
        patience = CAST_TIMEOUT if remaining is None else min(remaining, CAST_TIMEOUT)
        requests.add(Request(target, request, patience), target)
    while len(requests):
        found = requests.wait_response(_remaining(deadline))
        if found is None:
            break
        response, target = found
        if isinstance(response, Reply):
            replies[target] = response.value
        else:
            errors[target] = response.error
    for late, target in requests:
        errors[target] = CallTimeout(target=str(late.target), timeout=timeout or 0.0)
        late.abandon()
    return replies, errors


def _remaining(deadline: float | None) -> float | None:
    return None if deadline is None else max(deadline - clock.monotonic(), 0.0)


def _several(subject: str, targets: Iterable[T]) -> Iterable[T]:
    """Return the targets; a single name would be taken for one target for each letter."""
    if isinstance(targets, str) or not isinstance(targets, Iterable):
        rule = "an iterable of references and names"
        raise SpecError(subject=subject, field="targets", expected=rule, got=targets)
    return targets


def abcast(targets: Iterable[Target], request: Any) -> None:
    """
    Cast to several processes by reference or name.

    It never fails: nothing happens for one that is not there, or takes nothing for 5 s.

    Raises:
        SpecError: The request cannot be pickled, or the targets are only one.
    """
    for target in _several("abcast", targets):
        with contextlib.suppress(Overloaded):
            cast(target, request)
