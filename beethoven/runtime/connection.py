"""
One caller's side of a conversation with one process.

A caller connects once and keeps the connection, one for each thread, so that no lock lies in the
path of a call and a reply can only go to who asked. A call costs one send and one receive; the
kernel keeps the deadline.
"""

import os
import pickle
import select
import socket
import threading
from typing import Any, Final, Protocol
from weakref import WeakValueDictionary

from beethoven import clock
from beethoven.errors import (
    CallTimeout,
    NoProcess,
    Overloaded,
    ProcessExited,
    ReplyNotPicklable,
    RequestRefused,
)
from beethoven.runtime import deaths, framing
from beethoven.runtime.names import socket_path
from beethoven.runtime.reason import ExitReason, ReasonKind
from beethoven.runtime.unixsocket import close_quietly, connect, limit_wait

# A cast waits at most so long for a receiver that does not drain its messages.
CAST_TIMEOUT = 5.0
_REASON_TIMEOUT: Final = 2.0
_PRUNE_EVERY: Final = 64
# Longer waits do not fit into what the kernel takes, in seconds.
_LONGEST_WAIT: Final = 86_400.0
# No message has this number.
_NOBODY: Final = -1


class Target(Protocol):
    """The process that is spoken to; printed in errors."""

    @property
    def identity(self) -> str: ...
    @property
    def folder(self) -> str: ...


class Waiter(Protocol):
    """Who waits for an answer while its thread does something else."""

    def take(self, frame: framing.Frame | None) -> None:
        """Get the answer: once. None means that there is none, for the process has ended."""


class Connection:
    """
    A connection to one process, used by one thread.

    Attributes:
        stream: The socket.
        waiters: Who waits for the answer to which message. Whoever is garbage waits no more.
        reason: Why the process ended, if it has said so, or somebody has found out.
    """

    __slots__ = ("_number", "_reader", "_receive_limit", "reason", "stream", "waiters")

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self.waiters: WeakValueDictionary[int, Waiter] = WeakValueDictionary()
        self._reader = framing.FrameReader()
        self._number = 0
        self._receive_limit: float | None = None
        self.reason: ExitReason | None = None

    def send(self, kind: int, payload: bytes, timeout: float | None) -> int:
        """
        Hand over one message.

        Returns:
            The number of the message, by which a reply refers to it.

        Raises:
            BlockingIOError: The receiver took nothing of it for `timeout` seconds. The frame may be
                cut: nothing can follow it on this connection.
            ConnectionError: The receiver is gone.
        """
        self._number = number = self._number + 1 & 0xFFFFFFFF
        if len(payload) < framing.LARGE:
            self._send(framing.HEADER.pack(len(payload), number, kind) + payload, timeout)
        else:
            self._send(framing.HEADER.pack(len(payload), number, kind), timeout)
            self._send(payload, timeout)
        return number

    def _send(self, data: bytes, timeout: float | None) -> None:
        try:
            sent = self.stream.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._send_rest(memoryview(data)[sent:], timeout)

    def _send_rest(self, rest: memoryview, timeout: float | None) -> None:
        """Send, and take in meanwhile: the receiver may wait until its replies are taken."""
        poll = select.poll()
        poll.register(self.stream, select.POLLIN | select.POLLOUT)
        deadline = _deadline(timeout)
        while rest:
            remaining = _remaining(deadline)
            wait = None if remaining is None else min(remaining, _LONGEST_WAIT) * 1000
            ready = poll.poll(wait)
            if not ready:
                if remaining is not None and remaining > _LONGEST_WAIT:
                    continue
                raise BlockingIOError
            if ready[0][1] & select.POLLIN:
                self.take_in()
            try:
                rest = rest[self.stream.send(rest, socket.MSG_DONTWAIT) :]
                deadline = _deadline(timeout)
            except BlockingIOError:
                continue

    def receive(self, number: int, timeout: float | None) -> framing.Frame:
        """
        Wait for the answer to a message; answers to others go to who waits for them, if anybody.

        Raises:
            BlockingIOError: None arrived in time.
            StreamEnded: The process is gone and left no reason here.
        """
        deadline = _deadline(timeout)
        while True:
            frame = self._hand_out(self._read(timeout), number)
            if frame is not None:
                return frame
            timeout = _remaining(deadline)

    def take_in(self, timeout: float | None = 0.0) -> bool:
        """
        Read once, and hand out what has arrived to who waits for it.

        Returns:
            Whether anything, or the end, arrived within `timeout` seconds.
        """
        try:
            self._hand_out(self._read(timeout), _NOBODY)
        except BlockingIOError:
            return False
        except framing.StreamEnded:
            return True
        return True

    def _read(self, timeout: float | None) -> list[framing.Frame]:
        try:
            if timeout is not None and timeout <= 0:
                return self._reader.receive(self.stream, socket.MSG_DONTWAIT)
            if timeout != self._receive_limit:
                limit_wait(self.stream, socket.SO_RCVTIMEO, timeout)
                self._receive_limit = timeout
            return self._reader.receive(self.stream)
        except BlockingIOError:
            raise
        except framing.StreamEnded:
            self._end()
            raise
        except BaseException:
            # Something may have been read and lost: the frames that follow cannot be found.
            self.reason = ExitReason(ReasonKind.OTHER, "was interrupted while it answered")
            _disuse(self)
            self._end()
            raise

    def _hand_out(self, frames: list[framing.Frame], number: int) -> framing.Frame | None:
        """Give each answer to who waits for it; return the one to `number`, or the end."""
        mine: framing.Frame | None = None
        for frame in frames:
            if frame[1] == number:
                mine = mine or frame
            elif frame[0] == framing.EXIT:
                mine = mine or frame
                self.reason = pickle.loads(frame[2])
                self._end()
            elif (waiter := self.waiters.pop(frame[1], None)) is not None:
                waiter.take(frame)
        return mine

    def _end(self) -> None:
        waiters = list(self.waiters.values())
        self.waiters.clear()
        for waiter in waiters:
            waiter.take(None)

    def explain(self, target: Target) -> ExitReason:
        """Return why the process ended; if it has not said so, wait a little for its burial."""
        if self.reason is None:
            known = deaths.wait_for(target.folder, target.identity, _REASON_TIMEOUT)
            self.reason = known or ExitReason(ReasonKind.OTHER, "closed its connection")
        return self.reason

    def __del__(self) -> None:
        # The thread that used it has ended.
        close_quietly(self.stream)


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else clock.monotonic() + timeout


def _remaining(deadline: float | None) -> float | None:
    return None if deadline is None else max(deadline - clock.monotonic(), 0.0)


class _Connections(threading.local):
    """The connections of one thread, by identity."""

    def __init__(self) -> None:
        self.by_identity: dict[str, Connection] = {}
        self.opened = 0


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
        return known
    try:
        stream = connect(socket_path(target.folder, target.identity), timeout)
    except BlockingIOError:
        raise
    except OSError as error:
        raise NoProcess(target=str(target)) from error
    _connections.opened += 1
    if _connections.opened % _PRUNE_EVERY == 0:
        _prune()
    connection = _connections.by_identity[target.identity] = Connection(stream)
    return connection


def _prune() -> None:
    """Close the connections whose other side is gone."""
    poll = select.poll()
    identities = {}
    for identity, connection in _connections.by_identity.items():
        identities[connection.stream.fileno()] = identity
        poll.register(connection.stream, select.POLLHUP)
    for descriptor, _ in poll.poll(0):
        drop(identities[descriptor])


def _take_last_words(identity: str) -> None:
    """Hand out what a process has left behind, before anybody hears that it is gone."""
    connection = _connections.by_identity.get(identity)
    while connection is not None and connection.waiters and connection.take_in():
        pass


def drop(identity: str) -> None:
    """Use the connection to a process no more, if there is one. Who waits on it may go on."""
    connection = _connections.by_identity.pop(identity, None)
    if connection is not None and not connection.waiters:
        close_quietly(connection.stream)


def _disuse(connection: Connection) -> None:
    """Send nothing more over a connection on which something may have been lost."""
    known = _connections.by_identity
    for identity in [each for each, line in known.items() if line is connection]:
        del known[identity]


def _hand_over(
    target: Target, kind: int, payload: bytes, timeout: float | None
) -> tuple[Connection, int]:
    """
    Send a message; return the connection on which its answer will come, and its number there.

    Raises:
        NoProcess, Overloaded: See `errors`.
    """
    try:
        connection = _connect(target, timeout)
        return connection, connection.send(kind, payload, timeout)
    except BlockingIOError:
        drop(target.identity)
        raise Overloaded(target=str(target), timeout=timeout or 0.0) from None
    except (NoProcess, ConnectionError):
        _take_last_words(target.identity)
        drop(target.identity)
        raise NoProcess(target=str(target)) from None
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


def begin(target: Target, payload: bytes, waiter: Waiter, timeout: float) -> tuple[Connection, int]:
    """
    Hand over a call whose answer somebody will take later.

    Returns:
        The connection on which the answer will come, and its number there.

    Raises:
        NoProcess, Overloaded: See `errors`.
    """
    connection, number = _hand_over(target, framing.CALL, payload, timeout)
    connection.waiters[number] = waiter
    return connection, number


def request(target: Target, kind: int, payload: bytes, timeout: float | None) -> Any:
    """
    Hand over a message and return the reply to it.

    Raises:
        NoProcess, CallTimeout, ProcessExited, RequestRefused, ReplyNotPicklable: See `errors`.
    """
    try:
        connection, number = _hand_over(target, kind, payload, timeout)
        del payload
        kind, _, body = connection.receive(number, timeout)
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


def open_answer(target: Target, kind: int, body: bytes | bytearray) -> Any:
    """
    Return the reply in an answer.

    Raises:
        ProcessExited, RequestRefused, ReplyNotPicklable: The answer is none; see `errors`.
    """
    if kind == framing.REPLY:
        try:
            return pickle.loads(body)
        except (Exception, SystemExit) as error:
            cause = f"{type(error).__name__}: {error}"
            raise ReplyNotPicklable(
                target=str(target), type_name="unreadable", cause=cause
            ) from error
    answer = pickle.loads(body)
    if kind == framing.EXIT:
        drop(target.identity)
        raise ProcessExited(target=str(target), reason=answer)
    if answer[0] == "request":
        raise RequestRefused(target=str(target), cause=answer[1])
    raise ReplyNotPicklable(target=str(target), type_name=answer[1], cause=answer[2])
