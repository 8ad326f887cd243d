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


class Target(Protocol):
    """The process that is spoken to; printed in errors."""

    @property
    def identity(self) -> str: ...
    @property
    def folder(self) -> str: ...


class Connection:
    """A connection to one process, used by one thread."""

    __slots__ = ("_number", "_reader", "_receive_limit", "_send_limit", "stream")

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self._reader = framing.FrameReader()
        self._number = 0
        self._send_limit: float | None = None
        self._receive_limit: float | None = None

    def send(self, kind: int, payload: bytes, timeout: float | None) -> int:
        """
        Hand over one message.

        Returns:
            The number of the message, by which a reply refers to it.

        Raises:
            BlockingIOError: The receiver did not take it in time. The connection must be dropped.
            ConnectionError: The receiver is gone.
        """
        if timeout != self._send_limit:
            limit_wait(self.stream, socket.SO_SNDTIMEO, timeout)
            self._send_limit = timeout
        self._number = number = self._number + 1 & 0xFFFFFFFF
        if len(payload) < framing.LARGE:
            self.stream.sendall(framing.HEADER.pack(len(payload), number, kind) + payload)
        else:
            self.stream.sendall(framing.HEADER.pack(len(payload), number, kind))
            self.stream.sendall(payload)
        return number

    def receive(self, number: int, timeout: float | None) -> framing.Frame:
        """
        Wait for the answer to a message; older answers, too late for their callers, are dropped.

        Raises:
            BlockingIOError: None arrived in time.
            StreamEnded: The process is gone and left no reason here.
        """
        deadline = None if timeout is None else clock.monotonic() + timeout
        while True:
            if timeout != self._receive_limit:
                limit_wait(self.stream, socket.SO_RCVTIMEO, timeout)
                self._receive_limit = timeout
            for frame in self._reader.receive(self.stream):
                if frame[1] == number or frame[0] == framing.EXIT:
                    return frame
            if deadline is not None:
                timeout = deadline - clock.monotonic()
                if timeout <= 0:
                    raise BlockingIOError

    def __del__(self) -> None:
        # The thread that used it has ended.
        close_quietly(self.stream)


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


def _connect(target: Target) -> Connection:
    known = _connections.by_identity.get(target.identity)
    if known is not None:
        return known
    try:
        stream = connect(socket_path(target.folder, target.identity))
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


def drop(identity: str) -> None:
    """Close the connection to a process, if there is one."""
    connection = _connections.by_identity.pop(identity, None)
    if connection is not None:
        close_quietly(connection.stream)


def post(target: Target, kind: int, payload: bytes, timeout: float | None = None) -> bool:
    """
    Hand over a message that has no answer.

    Args:
        target: To whom.
        kind: Which kind of frame.
        payload: What is in it.
        timeout: How long to wait for a process that does not read; by default `CAST_TIMEOUT`.

    Returns:
        Whether somebody was there to take it.

    Raises:
        Overloaded: The process did not take it within `timeout` seconds.
    """
    timeout = CAST_TIMEOUT if timeout is None else timeout
    try:
        _connect(target).send(kind, payload, timeout)
    except BlockingIOError:
        drop(target.identity)
        raise Overloaded(target=str(target), timeout=timeout) from None
    except (NoProcess, ConnectionError):
        drop(target.identity)
        return False
    except BaseException:
        drop(target.identity)
        raise
    return True


def request(target: Target, kind: int, payload: bytes, timeout: float | None) -> Any:
    """
    Hand over a message and return the reply to it.

    Raises:
        NoProcess, CallTimeout, ProcessExited, RequestRefused, ReplyNotPicklable: See `errors`.
    """
    is_sent = False
    try:
        connection = _connect(target)
        number = connection.send(kind, payload, timeout)
        is_sent = True
        del payload
        kind, _, body = connection.receive(number, timeout)
    except BlockingIOError:
        if not is_sent:
            # The frame may be cut: nothing can follow it on this connection.
            drop(target.identity)
        raise CallTimeout(target=str(target), timeout=timeout or 0.0) from None
    except ConnectionError:
        drop(target.identity)
        raise NoProcess(target=str(target)) from None
    except framing.StreamEnded:
        drop(target.identity)
        reason = deaths.wait_for(target.folder, target.identity, _REASON_TIMEOUT)
        unknown = ExitReason(ReasonKind.OTHER, "closed its connection")
        raise ProcessExited(target=str(target), reason=reason or unknown) from None
    except NoProcess:
        raise
    except BaseException:
        drop(target.identity)
        raise
    return _open_answer(target, kind, body)


def _open_answer(target: Target, kind: int, body: bytes | bytearray) -> Any:
    if kind == framing.REPLY:
        try:
            return pickle.loads(body)
        except Exception as error:
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
