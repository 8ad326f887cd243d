"""How long exchanges took: the loops of every client, and what is told of them."""

import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

from scripts.benchmarks.figures import percentile

_WARM_UPS: Final = 3
_GLANCE: Final = 0.0005


class Samples(NamedTuple):
    """When a client began and ended, and how long each exchange took: nanoseconds, monotonic."""

    begin: int
    end: int
    taken: list[int]


def pings(ping: Callable[[bytes], Any], payload: bytes, count: int, seconds: float) -> Samples:
    """
    Make exchanges until there are `count` of them, or `seconds` are over.

    Raises:
        AssertionError: What came back is not what was sent.
    """
    now = time.monotonic_ns
    taken = []
    begin = before = now()
    last = begin + int(seconds * 1e9)
    for _ in range(count):
        got = ping(payload)
        after = now()
        taken.append(after - before)
        if len(got) != len(payload):
            raise AssertionError(f"expected {len(payload)} bytes back, got: {len(got)}")
        del got
        if after > last:
            break
        before = now()
    return Samples(begin, now(), taken)


async def async_pings(
    ping: Callable[[bytes], Awaitable[Any]], payload: bytes, count: int, seconds: float
) -> Samples:
    """Make exchanges in an event loop; else as `pings`."""
    now = time.monotonic_ns
    taken = []
    begin = before = now()
    last = begin + int(seconds * 1e9)
    for _ in range(count):
        got = await ping(payload)
        after = now()
        taken.append(after - before)
        if len(got) != len(payload):
            raise AssertionError(f"expected {len(payload)} bytes back, got: {len(got)}")
        del got
        if after > last:
            break
        before = now()
    return Samples(begin, now(), taken)


def warm_ups(size: int) -> int:
    """Return how many exchanges with so many bytes come before the measured ones."""
    return _WARM_UPS if size > 100_000 else 20 * _WARM_UPS


def summary(clients: Sequence[Samples]) -> dict[str, float]:
    """Return p50 and p99 in µs, exchanges in a second over all clients, and how many there were."""
    taken = [each / 1000 for client in clients for each in client.taken]
    span = max(client.end for client in clients) - min(client.begin for client in clients)
    return {**shares(taken), "rate": len(taken) / (span / 1e9)}


def shares(samples: Sequence[float]) -> dict[str, float]:
    """Return p50 and p99 of samples, and how many there were."""
    return {
        "p50": percentile(samples, 0.5),
        "p99": percentile(samples, 0.99),
        "count": len(samples),
    }


def flood(
    cast: Callable[[bytes], Any],
    taken: Callable[[], int],
    payload: bytes,
    count: int,
    seconds: float,
) -> float:
    """
    Send messages without replies for at most `seconds`; `taken` waits until they are handled.

    Returns:
        How many were sent and handled in a second.

    Raises:
        AssertionError: Not as many were handled as were sent.
    """
    begin = time.monotonic()
    sent = 0
    while sent < count and time.monotonic() - begin < seconds:
        cast(payload)
        sent += 1
    handled = taken()
    rate = sent / (time.monotonic() - begin)
    if handled != sent:
        raise AssertionError(f"expected {sent} messages to be handled, got: {handled}")
    return rate


def milliseconds(action: Callable[[], object]) -> float:
    """Return how long something takes."""
    begin = time.monotonic()
    action()
    return (time.monotonic() - begin) * 1000


def until_answers(ask: Callable[[], object], patience: float = 30.0) -> None:
    """
    Ask until there is an answer that is true.

    Raises:
        TimeoutError: There is none in `patience` seconds.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            if ask():
                return
        except Exception as error:
            refusal: object = error
        else:
            refusal = "another answer"
        if time.monotonic() > deadline:
            raise TimeoutError(f"expected an answer within {patience} s, got: {refusal!r}")
        threading.Event().wait(_GLANCE)
