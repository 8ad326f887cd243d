"""Calls and casts to several processes at once."""

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from beethoven import clock
from beethoven.errors import CallError, CallTimeout, Overloaded, SpecError
from beethoven.runtime.connection import CAST_TIMEOUT
from beethoven.runtime.reference import DEFAULT_TIMEOUT, Target, cast, check_timeout
from beethoven.runtime.request_collection import RequestCollection
from beethoven.runtime.requests import Reply, Request

T = TypeVar("T", bound=Target)
K = TypeVar("K")


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
    requests = {}
    for target in dict.fromkeys(_several("multi_call", targets)):
        remaining = _remaining(deadline)
        patience = CAST_TIMEOUT if remaining is None else min(remaining, CAST_TIMEOUT)
        requests[Request(target, request, patience)] = target
    return gather(requests, timeout, deadline)


def gather(
    sent: Mapping[Request, K], timeout: float | None, deadline: float | None
) -> tuple[dict[K, Any], dict[K, CallError]]:
    """
    Wait for the answers to several requests.

    Args:
        sent: The requests, with labels that are unique.
        timeout: What the errors say of how long it took.
        deadline: Until when, monotonic; None waits for ever.

    Returns:
        The replies by label, and for every other label the error.
    """
    replies: dict[K, Any] = {}
    errors: dict[K, CallError] = {}
    requests = RequestCollection()
    for request, label in sent.items():
        requests.add(request, label)
    while len(requests):
        found = requests.wait_response(_remaining(deadline))
        if found is None:
            break
        response, label = found
        if isinstance(response, Reply):
            replies[label] = response.value
        else:
            errors[label] = response.error
    for late, label in requests:
        errors[label] = CallTimeout(target=str(late.target), timeout=timeout or 0.0)
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
