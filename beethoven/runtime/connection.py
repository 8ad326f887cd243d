"""
One caller's side of a conversation with one process.

A caller connects once and keeps the connection, one for each thread, so that no lock lies in the
path of a call and a reply can only go to who asked.
"""

import os
import pickle
import select
import threading
from collections.abc import Iterable
from typing import Any, Final

from beethoven import clock
from beethoven.errors import (
    CallTimeout,
    NoProcess,
    Overloaded,
    ProcessExited,
    ReplyNotPicklable,
    RequestRefused,
)
from beethoven.runtime import framing
from beethoven.runtime.arriving import arriving
from beethoven.runtime.deadlines import call_by
from beethoven.runtime.line import Connection, Target, Waiter
from beethoven.runtime.reason import told_by
from beethoven.runtime.unixsocket import close_quietly

# A cast waits at most so long for a receiver that does not drain its messages.
CAST_TIMEOUT = 5.0
# Fewer connections than this are not worth a look whether their other sides are gone.
_FEW: Final = 64
# A call may take so much longer than its timeout, in seconds.
_TOLERANCE: Final = 0.002
_NEVER: Final = float("inf")
# The end of a connection over TCP is not seen as a hang-up.
_GONE: Final = select.POLLHUP | getattr(select, "POLLRDHUP", 0)


class _Connections(threading.local):
    """The connections of one thread, by identity."""

    def __init__(self) -> None:
        self.by_identity: dict[str, Connection] = {}
        self.prune_at = _FEW


_connections = _Connections()


def _forget_all() -> None:
    # The copy of a connection in a forked process must never be written to.
    for connection in _connections.by_identity.values():
        close_quietly(connection.stream)
    _connections.by_identity = {}


os.register_at_fork(after_in_child=_forget_all)


def _connect(target: Target, timeout: float | None) -> Connection:
    known = _connections.by_identity.get(target.identity)
    if known is not None:
        if not known.has_ended():
            return known
        drop(target.identity)
    connection = target.connect(timeout)
    keep(target, connection)
    return connection


def keep(target: Target, connection: Connection) -> None:
    """Use a connection to a process from now on, in this thread."""
    known = _connections.by_identity
    if len(known) >= _connections.prune_at:
        _prune()
        # So the looks at all of them stay few, however many there are.
        _connections.prune_at = 2 * len(known) + _FEW
    known[target.identity] = connection


def release(target: Target) -> Connection | None:
    """Return this thread's connection to a process, for another thread to `keep`."""
    return _connections.by_identity.pop(target.identity, None)


def is_connected(target: Target) -> bool:
    """Whether this thread has a connection to a process that can be used."""
    known = _connections.by_identity.get(target.identity)
    return known is not None and not known.has_ended()


def is_kept(identity: str) -> bool:
    """Whether this thread has a connection to a process, or had one that nobody has dropped."""
    return identity in _connections.by_identity


def reaches(target: Target, timeout: float) -> bool:
    """
    Return whether there is a connection to a process, or one can be made.

    Raises:
        Overloaded: It takes nobody in within `timeout` seconds.
    """
    try:
        _connect(target, timeout)
    except NoProcess:
        return False
    except BlockingIOError:
        raise Overloaded(target=str(target), timeout=timeout) from None
    return True


def _prune() -> None:
    """Close the connections whose other side is gone."""
    poll = select.poll()
    identities = {}
    for identity, connection in _connections.by_identity.items():
        identities[connection.stream.fileno()] = identity
        poll.register(connection.stream, _GONE)
    for descriptor, _ in poll.poll(0):
        drop(identities[descriptor])


def _take_last_words(identity: str) -> None:
    """Hand out what a process has left behind, before anybody hears that it is gone."""
    connection = _connections.by_identity.get(identity)
    while connection is not None and connection.waiters and connection.take_in():
        pass


def drop_lines(lines: Iterable[Connection]) -> None:
    """Use connections no more, those of them that are this thread's."""
    wanted = set(lines)
    for identity, connection in list(_connections.by_identity.items()):
        if connection in wanted:
            drop(identity)


def drop(identity: str) -> None:
    """Use the connection to a process no more, if there is one. Who waits on it may go on."""
    connection = _connections.by_identity.pop(identity, None)
    if connection is not None and not connection.waiters:
        close_quietly(connection.stream)


def _hand_over(
    target: Target,
    kind: int,
    payload: bytes,
    timeout: float | None,
    deadline: float | None = None,
    until: float = _NEVER,
) -> tuple[Connection, int]:
    """
    Send a message; return the connection on which its answer will come, and its number there.

    Args:
        target: To whom.
        kind: Which kind of frame.
        payload: What is in it.
        timeout: Seconds to wait for a process that does not read.
        deadline: Of a CALL_BY: when its work must not start any more, by this `clock.elapsed`.
        until: When all of it must have been sent, by `clock.monotonic`.

    Raises:
        NoProcess, Overloaded: See `errors`.
    """
    try:
        connection = _connections.by_identity.get(target.identity)
        if connection is None or connection.may_have_ended:
            connection = _connect(target, timeout)
        if deadline is not None:
            payload = call_by(connection.their_time(deadline), payload)
        return connection, connection.send(kind, payload, timeout, until)
    except BlockingIOError:
        drop(target.identity)
        raise Overloaded(target=str(target), timeout=timeout or 0.0) from None
    except (NoProcess, ConnectionError) as error:
        _take_last_words(target.identity)
        drop(target.identity)
        cause = error.cause if isinstance(error, NoProcess) else ""
        raise NoProcess(target=str(target), cause=cause) from None
    except BaseException:
        drop(target.identity)
        raise


def post(target: Target, kind: int, payload: bytes, timeout: float | None = None) -> bool:
    """
    Hand over a message that has no answer.

    Args:
        target: To whom.
        kind: Which kind of frame.
        payload: What is in it.
        timeout: Seconds to wait for a process that does not read; by default `CAST_TIMEOUT`.

    Returns:
        Whether somebody was there to take it.

    Raises:
        Overloaded: The process took nothing of it for `timeout` seconds.
    """
    try:
        _hand_over(target, kind, payload, CAST_TIMEOUT if timeout is None else timeout)
    except NoProcess:
        return False
    return True


def deliver(target: Target, kind: int, payload: bytes, timeout: float | None) -> None:
    """
    Hand over a message that has no answer; else as `post`.

    Raises:
        NoProcess: Nobody was there to take it.
        Overloaded: The process took nothing of it for `timeout` seconds.
    """
    _hand_over(target, kind, payload, timeout)


def begin(
    target: Target,
    payload: bytes,
    waiter: Waiter,
    timeout: float,
    deadline: float | None = None,
) -> tuple[Connection, int]:
    """
    Hand over a call whose answer somebody will take later.

    Args:
        target: To whom.
        payload: The pickled request.
        waiter: Who takes the answer.
        timeout: Seconds to wait for a process that does not read.
        deadline: When the work must not start any more, by `clock.elapsed`; None for never.

    Returns:
        The connection on which the answer will come, and its number there.

    Raises:
        NoProcess, Overloaded: See `errors`.
    """
    kind, until = framing.CALL, _NEVER
    if deadline is not None:
        kind, until = framing.CALL_BY, clock.monotonic() + deadline - clock.elapsed()
    connection, number = _hand_over(target, kind, payload, timeout, deadline, until)
    connection.waiters[number] = waiter
    return connection, number


def request(
    target: Target,
    kind: int,
    payload: bytes,
    timeout: float | None,
    deadline: float | None = None,
) -> Any:
    """
    Hand over a message and return the reply to it.

    Args:
        target: To whom.
        kind: Which kind of frame.
        payload: What is in it.
        timeout: Seconds for all of it, until the reply is there; None waits for ever.
        deadline: Of a CALL_BY: when its work must not start any more, by `clock.elapsed`.

    Raises:
        NoProcess, CallTimeout, ProcessExited, RequestRefused, ReplyNotPicklable: See `errors`.
    """
    began = clock.monotonic()
    try:
        until = _NEVER if timeout is None else began + timeout
        connection, number = _hand_over(target, kind, payload, timeout, deadline, until)
        del payload
        left = timeout
        if connection.took_time:
            connection.took_time = False
            left = _rest_of(timeout, began)
        kind, _, body = connection.receive(number, left)
    except (Overloaded, BlockingIOError):
        raise CallTimeout(target=str(target), timeout=timeout or 0.0) from None
    except framing.StreamEnded:
        drop(target.identity)
        raise ProcessExited(target=str(target), reason=connection.explain(target)) from None
    except NoProcess:
        raise
    except BaseException:
        drop(target.identity)
        raise
    return open_answer(target, kind, body)


def _rest_of(timeout: float | None, began: float) -> float | None:
    """Return what is left of a time: to connect and to send may have taken most of it."""
    if timeout is None:
        return None
    used = clock.monotonic() - began
    # The same limit as last time saves the kernel from being told a new one.
    return timeout if used < _TOLERANCE else max(0.0, timeout - used)


def open_answer(target: Target, kind: int, body: bytes | bytearray) -> Any:
    """
    Return the reply in an answer.

    Raises:
        ProcessExited, RequestRefused, ReplyNotPicklable: The answer is none; see `errors`.
    """
    if kind == framing.REPLY:
        arriving.source = target
        try:
            return pickle.loads(body)
        except (Exception, SystemExit) as error:
            cause = f"{type(error).__name__}: {told_by(error)}"
            raise ReplyNotPicklable(
                target=str(target), type_name="unreadable", cause=cause
            ) from error
        finally:
            arriving.source = None
    answer = pickle.loads(body)
    if kind == framing.EXIT:
        drop(target.identity)
        raise ProcessExited(target=str(target), reason=answer)
    if answer[0] == "request":
        raise RequestRefused(target=str(target), cause=answer[1])
    raise ReplyNotPicklable(target=str(target), type_name=answer[1], cause=answer[2])
