"""
A process's side of a conversation with one caller.

Reading stops while the caller does not take its replies, and while earlier messages wait to be
handled: so a slow receiver slows its senders, and nothing piles up here.
"""

import itertools
import pickle
import select
import socket
import struct
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Final, Protocol, TypeVar

from beethoven import clock
from beethoven.runtime import connection, framing
from beethoven.runtime.adoption import adopt
from beethoven.runtime.descriptors import receive_descriptor
from beethoven.runtime.poller import Poller
from beethoven.runtime.process_info import ProcessInfo
from beethoven.runtime.reason import ExitReason, told_by
from beethoven.runtime.reference import Ref
from beethoven.runtime.unixsocket import close_quietly, peer, takes_more

_MESSAGES: Final = frozenset(
    {framing.CALL, framing.CALL_BY, framing.CAST, framing.INFO, framing.STOP, framing.SYSTEM}
)

# Whoever waits for a large reply takes it as it comes; whoever does not take any of it for so long
# gets the rest when there is nothing else to do.
PATIENCE: Final = 0.05

# For whom, the number of the request and the kind of the answer, which follows.
_PASS_ON: Final = struct.Struct("<QIB")
_serials: Final = itertools.count(1)

T = TypeVar("T")


class Host(Protocol):
    """What a client needs of the process it speaks to."""

    poller: Poller
    queue: deque[Any]

    @property
    def ref(self) -> Ref: ...
    def client(self, serial: int) -> "Client | None": ...
    def admit(self, client: "Client") -> None: ...
    def lose_client(self, client: "Client") -> None: ...
    def lose_link(self, ref: Ref, reason: ExitReason | None) -> None: ...
    def take_exit(self, sender: Ref, reason: ExitReason) -> None: ...
    def info(self) -> ProcessInfo: ...


class Client:
    """One caller."""

    __slots__ = (
        "_host",
        "_link_reason",
        "_outgoing",
        "_reader",
        "_turn",
        "link",
        "pid",
        "serial",
        "stream",
        "uid",
    )

    def __init__(self, stream: socket.socket, host: Host) -> None:
        stream.setblocking(False)
        self.stream = stream
        self.pid, self.uid = peer(stream)
        self.serial = next(_serials)
        self.link: Ref | None = None
        self._link_reason: ExitReason | None = None
        self._host = host
        self._reader = framing.FrameReader()
        self._outgoing = bytearray()
        self._turn: SimpleQueue[None] = SimpleQueue()
        self._turn.put(None)
        host.poller.register(stream, self._on_first)

    def _on_first(self) -> None:
        """Read for the first time: somebody may hand in the connection of a visitor."""
        try:
            data, descriptor = receive_descriptor(self.stream, framing.READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data, descriptor = b"", None
        try:
            frames = self._reader.feed(data)
        except framing.StreamEnded:
            data, frames = b"", []
        if descriptor is not None:
            adopt(frames, descriptor, self._host)
        if descriptor is not None or not data:
            self.close()
            return
        self._host.poller.register(self.stream, self._on_readable)
        self._take(frames)

    def _on_readable(self) -> None:
        try:
            frames = self._reader.receive(self.stream)
        except BlockingIOError:
            return
        except framing.StreamEnded:
            self.close()
            return
        self._take(frames)

    def _take(self, frames: list[framing.Frame]) -> None:
        append = self._host.queue.append
        for kind, number, payload in frames:
            if kind in _MESSAGES:
                append((kind, self, number, payload))
            elif kind == framing.LINK:
                self.link = _opened(payload, Ref)
            elif kind == framing.UNLINK:
                self.link = None
            elif kind == framing.EXIT:
                self._link_reason = _opened(payload, ExitReason)
            elif kind == framing.EXIT_SIGNAL:
                match _opened(payload, tuple):
                    case (Ref() as sender, ExitReason() as reason):
                        self._host.take_exit(sender, reason)
            elif kind == framing.PASS_ON:
                self._pass_on(payload)
            elif kind == framing.INSPECT:
                self.reply(number, self._host.info())

    def _pass_on(self, payload: bytes | bytearray) -> None:
        """Give another caller the answer that this one has sent for it."""
        if len(payload) < _PASS_ON.size:
            return
        serial, number, kind = _PASS_ON.unpack_from(payload)
        client = self._host.client(serial)
        if client is not None:
            client.send(kind, number, bytes(payload[_PASS_ON.size :]))

    def reply(self, number: int, value: Any) -> None:
        """Answer a request. A caller that is gone, or asks no more, is no failure."""
        kind = framing.REPLY
        try:
            payload = pickle.dumps(value, 5)
            if len(payload) > framing.LONGEST:
                raise ValueError(f"longer than {framing.LONGEST} bytes")
        except BaseException as error:
            # A value that exits when it is pickled ends nobody.
            kind, payload = _refusal("reply", type(value).__qualname__, told_by(error))
        self.send(kind, number, payload)

    def __repr__(self) -> str:
        return f"process {self.pid}"

    def __reduce__(self) -> tuple[Any, ...]:
        return DistantClient, (self._host.ref, self.serial, self.pid)

    def refuse(self, number: int, cause: str) -> None:
        """Answer a request that could not be read."""
        kind, payload = _refusal("request", cause)
        self.send(kind, number, payload)

    def send(self, kind: int, number: int, payload: bytes) -> None:
        """Send a frame, now or as soon as the caller takes it. Any thread may send."""
        head = framing.HEADER.pack(len(payload), number, kind)
        self._turn.get()
        try:
            if len(payload) < framing.LARGE:
                self._send(head + payload, 0.0)
            else:
                self._send(head, PATIENCE)
                self._send(payload, PATIENCE)
        finally:
            self._turn.put(None)

    def _send(self, data: bytes, patience: float) -> None:
        if self._outgoing:
            self._outgoing += data
            return
        sent = 0
        try:
            while sent < len(data):
                try:
                    sent += self.stream.send(memoryview(data)[sent:] if sent else data)
                except BlockingIOError:
                    if not patience or not takes_more(self.stream, patience):
                        break
        except OSError:
            # The caller is gone, which its end of the stream will tell.
            return
        if sent < len(data):
            self._outgoing += memoryview(data)[sent:]
            self._host.poller.unregister_reader(self.stream)
            self._host.poller.register_writer(self.stream, self.send_more)

    @property
    def is_sending(self) -> bool:
        """Whether the caller has not taken everything yet."""
        return bool(self._outgoing) and self.stream.fileno() >= 0

    def send_more(self) -> None:
        """Send of what is left as much as the caller takes now."""
        self._turn.get()
        try:
            sent = self.stream.send(self._outgoing)
            del self._outgoing[:sent]
            if not self._outgoing:
                self._host.poller.unregister_writer(self.stream)
                self._host.poller.register(self.stream, self._on_readable)
        except BlockingIOError:
            return
        except OSError:
            self.close()
        finally:
            self._turn.put(None)

    def hang_up(self, until: float) -> None:
        """
        Make sure, right before the end, that what was sent stays sent.

        Between processes of one machine it does; for visitors there is more to do.

        Args:
            until: How long that may take at most, by `clock.monotonic`.
        """

    def close(self) -> None:
        """End the conversation."""
        if self.stream.fileno() >= 0:
            self._host.poller.unregister(self.stream)
            close_quietly(self.stream)
            link, self.link = self.link, None
            if link is not None:
                self._host.lose_link(link, self._link_reason)
            self._host.lose_client(self)


@dataclass(frozen=True, slots=True)
class DistantClient:
    """
    A caller of another process, as any other process of the tree sees it.

    Attributes:
        server: The process that was called.
        serial: By which that process knows the caller.
        pid: The operating system's number of the caller.
    """

    server: Ref
    serial: int
    pid: int

    def reply(self, number: int, value: Any) -> None:
        """Answer a request, by way of the process that was called."""
        self._send(number, *_answer(value))

    def refuse(self, number: int, cause: str) -> None:
        """Answer a request that could not be read."""
        self._send(number, *_refusal("request", cause))

    def _send(self, number: int, kind: int, payload: bytes) -> None:
        header = _PASS_ON.pack(self.serial, number, kind)
        connection.post(self.server, framing.PASS_ON, header + payload)


def _answer(value: Any) -> tuple[int, bytes]:
    """Return the kind and the payload of the frame for a reply."""
    try:
        payload = pickle.dumps(value, 5)
        if len(payload) > framing.LONGEST:
            raise ValueError(f"longer than {framing.LONGEST} bytes")
    except BaseException as error:
        # A value that exits when it is pickled ends nobody.
        return _refusal("reply", type(value).__qualname__, told_by(error))
    return framing.REPLY, payload


def _refusal(*what: str) -> tuple[int, bytes]:
    return framing.REFUSED, pickle.dumps(what, 5)


def _opened(payload: bytes | bytearray, expected: type[T]) -> T | None:
    """Return what a frame holds, or None if that is nothing of ours."""
    try:
        value = pickle.loads(payload)
    except BaseException:
        return None
    return value if isinstance(value, expected) else None


def finish_sending(clients: Collection[Client], patience: float) -> None:
    """
    Send the rest of everything, right before the end, and hang up.

    Args:
        clients: To whom.
        patience: For how long nobody may take any of it, in seconds.
    """
    while late := {each.stream.fileno(): each for each in clients if each.is_sending}:
        poll = select.poll()
        for descriptor in late:
            poll.register(descriptor, select.POLLOUT)
        ready = poll.poll(patience * 1000)
        if not ready:
            break
        for descriptor, _ in ready:
            late[descriptor].send_more()
    until = clock.monotonic() + patience
    for client in clients:
        client.hang_up(until)
