"""
What `load.py` runs: a role that writes down what it executes, and clients that call it.

What is written is in the file as soon as it is written, whatever becomes of the role afterwards.
"""

import os
import struct
import threading
from collections.abc import Callable
from enum import IntEnum
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from beethoven import Caller, RequestCollection, Role, call, clock, connect, send_request
from beethoven.errors import CallTimeout, NoProcess, ProcessExited
from scripts.pair import VISITOR

ROLE: Final = "ledger"
RECORD: Final = struct.Struct("<II")

# No call takes so long, but for a defect.
_PATIENCE: Final = 30.0
# How many requests are under way at a time.
_UNDER_WAY: Final = 8
# Most requests are short, of changing lengths; some are too long for the buffer of a socket.
_LENGTHS: Final = 1009
_LONG: Final = 300_000
_LONG_EVERY: Final = 500

_Request: TypeAlias = tuple[int, int, bytes]


class Ledger(Role):
    """A role that appends who asked what to the file in its args, and replies with the request."""

    def init(self, args: Any) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(args, flags, 0o600)

    def handle_call(self, request: _Request, caller: Caller) -> _Request:
        client, number, _ = request
        os.write(self._file, RECORD.pack(client, number))
        return request


class Outcome(IntEnum):
    """What became of a call."""

    REPLIED = 1
    INTERRUPTED = 2
    LATE = 3
    WRONG = 4


class Told(NamedTuple):
    """The outcome of each call of a client, and how many reached nobody at first."""

    outcomes: bytes
    undelivered: int


def request_of(client: int, number: int) -> _Request:
    """Return a request that no other one equals."""
    length = _LONG if number % _LONG_EVERY == _LONG_EVERY - 1 else number % _LENGTHS
    return client, number, b"%d." % (client * number) + bytes(length)


def by_calls(client: int, count: int) -> Told:
    """Make calls to the name of the role in this tree, one after another."""
    return _one_by_one(client, count, lambda request: call(ROLE, request, _PATIENCE))


def by_nodes(client: int, count: int) -> Told:
    """Make calls to the role by its name in the cluster, by way of the node that has none."""
    with connect(node=VISITOR) as cluster:
        return _one_by_one(client, count, lambda each: cluster.call(ROLE, each, _PATIENCE))


def _one_by_one(client: int, count: int, ask: Callable[[_Request], Any]) -> Told:
    outcomes = bytearray(count)
    undelivered = 0
    for number in range(count):
        deadline = clock.monotonic() + _PATIENCE
        request = request_of(client, number)
        while not outcomes[number]:
            try:
                outcomes[number] = _outcome(partial(ask, request), request)
            except NoProcess:
                undelivered += 1
                _wait_for_a_successor(deadline)
    return Told(bytes(outcomes), undelivered)


def _outcome(ask: Callable[[], Any], request: _Request) -> Outcome:
    try:
        reply = ask()
    except ProcessExited:
        return Outcome.INTERRUPTED
    except CallTimeout:
        return Outcome.LATE
    return Outcome.REPLIED if reply == request else Outcome.WRONG


def by_requests(client: int, count: int) -> Told:
    """Make calls, several at a time, whose replies are taken in the order in which they come."""
    outcomes = bytearray(count)
    undelivered = 0
    waiting = RequestCollection()
    left = list(range(count - 1, -1, -1))
    deadline = clock.monotonic() + _PATIENCE
    while left or len(waiting):
        while left and len(waiting) < _UNDER_WAY:
            number = left.pop()
            waiting.add(send_request(ROLE, request_of(client, number)), number)
        answer = waiting.receive_response(_PATIENCE)
        if answer is None:
            break
        response, number = answer
        try:
            outcomes[number] = _outcome(response.unwrap, request_of(client, number))
            deadline = clock.monotonic() + _PATIENCE
        except NoProcess:
            undelivered += 1
            left.append(number)
            _wait_for_a_successor(deadline)
    return Told(bytes(outcome or Outcome.LATE for outcome in outcomes), undelivered)


def _wait_for_a_successor(deadline: float) -> None:
    if clock.monotonic() > deadline:
        raise TimeoutError(f"nobody held the name for {_PATIENCE} s")
    threading.Event().wait(0.001)
