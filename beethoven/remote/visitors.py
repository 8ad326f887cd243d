"""
Visitors: a process's side of a conversation with a caller on another node, or elsewhere.

To the process a visitor is a caller like any other. The beacon has authenticated it; whatever it
sends is sealed, and nothing is read before its seal has been checked. It may send less than a
caller of this tree: no links, no monitors, nothing that only makes sense here.
"""

import contextlib
import pickle
import select
import socket
from typing import Final

from beethoven import clock
from beethoven.cluster.handshake import Established
from beethoven.cluster.sealed import SealedReader, seal
from beethoven.errors import WireError
from beethoven.log import get_log
from beethoven.remote.tcp import is_on_its_way, keep_alive
from beethoven.runtime import framing
from beethoven.runtime.client import PATIENCE, Client, Host
from beethoven.runtime.deadlines import pack_moment
from beethoven.runtime.reason import ExitReason
from beethoven.runtime.reference import Ref

_MESSAGES: Final = frozenset(
    {framing.CALL, framing.CALL_BY, framing.CAST, framing.INFO, framing.STOP}
)

# How often to look whether everything has arrived, in milliseconds.
_GLANCE: Final = 2

log = get_log("process")


def take(stream: socket.socket, payload: bytes | bytearray, host: Host) -> None:
    """
    Take over the connection of a visitor.

    Args:
        stream: The connection, which does not block.
        payload: The pickled `Established` that belongs to it, from this node's own beacon.
        host: The process that is visited.

    Raises:
        ValueError: It is something else; the connection is closed.
    """
    try:
        established = pickle.loads(payload)
        if not isinstance(established, Established):
            raise ValueError(f"expected a visitor, got: {type(established).__name__}")
        visitor = Visitor(stream, established, host)
    except BaseException:
        stream.close()
        raise
    host.admit(visitor)
    visitor.begin(established.rest)


class Visitor(Client):
    """
    One caller on another node.

    Args:
        stream: Its connection.
        established: What the beacon has agreed on with it.
        host: The process that is visited.
    """

    __slots__ = ("_sealed", "_session", "_who")

    def __init__(self, stream: socket.socket, established: Established, host: Host) -> None:
        super().__init__(stream, host)
        # Never that of a process of this machine.
        self.pid = -self.serial
        self._who = f"{established.peer.name} at {_address(stream)}"
        self._session = established.session
        self._sealed = SealedReader(established.session)
        keep_alive(stream)

    def begin(self, rest: bytes) -> None:
        """Begin the conversation; `rest` is what came with the handshake."""
        self.send(framing.WELCOME, 0, pack_moment(clock.elapsed()))
        if rest:
            self._feed(rest)

    def send(self, kind: int, number: int, payload: bytes) -> None:
        patience = PATIENCE if len(payload) >= framing.LARGE else 0.0
        self._turn.get()
        try:
            for sealed in seal(self._session, kind, number, payload):
                self._send(sealed, patience)
        finally:
            self._turn.put(None)

    def hang_up(self, until: float) -> None:
        # To close while it still sends would take back what has not arrived there yet.
        with contextlib.suppress(OSError):
            self.stream.shutdown(socket.SHUT_WR)
            poll = select.poll()
            poll.register(self.stream, select.POLLIN)
            while is_on_its_way(self.stream) and clock.monotonic() < until:
                if poll.poll(_GLANCE) and not self.stream.recv(framing.READ_SIZE):
                    return

    def __repr__(self) -> str:
        return f"visitor {self._who}"

    def _on_readable(self) -> None:
        try:
            data = self.stream.recv(self._sealed.read_size)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._feed(data)
        else:
            self.close()

    # Nobody hands in the connection of another visitor here.
    _on_first = _on_readable

    def _feed(self, data: bytes) -> None:
        try:
            frames = self._sealed.feed(data)
        except WireError as error:
            self._dismiss(str(error))
        except framing.StreamEnded:
            self._dismiss("expected a frame, got: something else")
        else:
            self._take(frames)

    def _take(self, frames: list[framing.Frame]) -> None:
        append = self._host.queue.append
        for kind, number, payload in frames:
            if kind in _MESSAGES:
                append((kind, self, number, payload))
            elif kind == framing.CLOCK:
                self.send(framing.CLOCK, number, pack_moment(clock.elapsed()))
            elif kind == framing.EXIT_SIGNAL:
                self._heed_exit(payload)
            else:
                self._dismiss(f"expected what visitors may send, got: kind {kind}")
                return

    def _heed_exit(self, payload: bytes | bytearray) -> None:
        # No process of this tree is meant, whatever the sender says of itself.
        sender = Ref("", "", self.pid, self._who)
        # What is no reason may do anything when it is opened, such as exit.
        with contextlib.suppress(BaseException):
            match pickle.loads(payload):
                case (_, ExitReason() as reason):
                    self._host.take_exit(sender, reason)

    def _dismiss(self, cause: str) -> None:
        log.warning("visitor_dismissed", visitor=self._who, cause=cause)
        self.close()


def _address(stream: socket.socket) -> str:
    try:
        host, port, *_ = stream.getpeername()
    except OSError:
        return "an address that is gone"
    return f"{host}:{port}"
