"""
A process's side of a conversation with one caller.

Reading stops while the caller does not take its replies, and while earlier messages wait to be
handled: so a slow receiver slows its senders, and nothing piles up here.
"""

import pickle
import select
import socket
import threading
from collections import deque
from collections.abc import Iterable
from typing import Any, Final, Protocol, TypeVar

from beethoven.runtime import framing
from beethoven.runtime.poller import Poller
from beethoven.runtime.reason import ExitReason
from beethoven.runtime.reference import Ref
from beethoven.runtime.unixsocket import close_quietly, peer, takes_more

# (kind, who asks, number of the request, payload)
Received = tuple[int, "Client", int, bytes | bytearray]

_MESSAGES: Final = frozenset({framing.CALL, framing.CAST, framing.INFO, framing.STOP})

# Whoever waits for a large reply takes it as it comes; whoever does not take any of it for so long
# gets the rest when there is nothing else to do.
_PATIENCE: Final = 0.05

T = TypeVar("T")


class Host(Protocol):
    """What a client needs of the process it speaks to."""

    poller: Poller
    queue: deque[Any]

    def lose_client(self, client: "Client") -> None: ...
    def lose_link(self, ref: Ref, reason: ExitReason | None) -> None: ...


class Client:
    """One caller."""

    __slots__ = (
        "_host",
        "_link_reason",
        "_outgoing",
        "_reader",
        "_sending",
        "link",
        "pid",
        "stream",
        "uid",
    )

    def __init__(self, stream: socket.socket, host: Host) -> None:
        stream.setblocking(False)
        self.stream = stream
        self.pid, self.uid = peer(stream)
        self.link: Ref | None = None
        self._link_reason: ExitReason | None = None
        self._host = host
        self._reader = framing.FrameReader()
        self._outgoing = bytearray()
        self._sending = threading.Lock()
        host.poller.register(stream, self._on_readable)

    def _on_readable(self) -> None:
        try:
            frames = self._reader.receive(self.stream)
        except BlockingIOError:
            return
        except framing.StreamEnded:
            self.close()
            return
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

    def reply(self, number: int, value: Any) -> None:
        """Answer a request. A caller that is gone, or asks no more, is no failure."""
        try:
            payload = pickle.dumps(value, 5)
            if len(payload) > framing.LONGEST:
                raise ValueError(f"longer than {framing.LONGEST} bytes")
        except Exception as error:
            answer = ("reply", type(value).__qualname__, str(error))
            self.send(framing.REFUSED, number, pickle.dumps(answer, 5))
            return
        self.send(framing.REPLY, number, payload)

    def refuse(self, number: int, cause: str) -> None:
        """Answer a request that could not be read."""
        self.send(framing.REFUSED, number, pickle.dumps(("request", cause), 5))

    def send(self, kind: int, number: int, payload: bytes) -> None:
        """Send a frame, now or as soon as the caller takes it. Any thread may send."""
        head = framing.HEADER.pack(len(payload), number, kind)
        with self._sending:
            if len(payload) < framing.LARGE:
                self._send(head + payload, 0.0)
            else:
                self._send(head, _PATIENCE)
                self._send(payload, _PATIENCE)

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
        with self._sending:
            try:
                sent = self.stream.send(self._outgoing)
            except BlockingIOError:
                return
            except OSError:
                self.close()
                return
            del self._outgoing[:sent]
            if not self._outgoing:
                self._host.poller.unregister_writer(self.stream)
                self._host.poller.register(self.stream, self._on_readable)

    def close(self) -> None:
        """End the conversation."""
        if self.stream.fileno() >= 0:
            self._host.poller.unregister(self.stream)
            close_quietly(self.stream)
            link, self.link = self.link, None
            if link is not None:
                self._host.lose_link(link, self._link_reason)
            self._host.lose_client(self)


def _opened(payload: bytes | bytearray, expected: type[T]) -> T | None:
    """Return what a frame holds, or None if that is nothing of ours."""
    try:
        value = pickle.loads(payload)
    except Exception:
        return None
    return value if isinstance(value, expected) else None


def finish_sending(clients: Iterable[Client], patience: float) -> None:
    """Send the rest of everything; give up when nobody takes any of it for `patience` seconds."""
    while late := {each.stream.fileno(): each for each in clients if each.is_sending}:
        poll = select.poll()
        for descriptor in late:
            poll.register(descriptor, select.POLLOUT)
        ready = poll.poll(patience * 1000)
        if not ready:
            return
        for descriptor, _ in ready:
            late[descriptor].send_more()
