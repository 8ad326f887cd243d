"""
Theory of operation of passing a link on: from the beacon, which has authenticated it, to the core.

```text
beacon                              core server, at the door `links` of the tree's folder
  connects        ───────────────▶
                  ◀───────────────  READY: it lives, and has room
  length, pickle,
  the socket      ───────────────▶
                  ◀───────────────  TAKEN
```

A core that is frozen or gone never says READY, so that no socket gets lost on the way to it. One
that falls silent later has it shut down: the other node then sees the end of its link at once.
Both ends belong to one user, who is checked; whoever says garbage is dropped.
"""

import contextlib
import os
import pickle
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from beethoven.cluster.handshake import Established
from beethoven.cluster.listener import Door
from beethoven.log import get_log
from beethoven.runtime.descriptors import adopt_socket, close_descriptor, receive_descriptor
from beethoven.runtime.poller import Poller
from beethoven.runtime.unixsocket import close_quietly, peer

log = get_log("links")

# How long a beacon waits for the core.
PATIENCE: Final = 1.0

_NAME: Final = "links"
_READY: Final = b"r"
_TAKEN: Final = b"t"
_LENGTH: Final = struct.Struct(">I")
# Far more than what a beacon has read behind a handshake.
_LONGEST: Final = 128 * 1024
_MOST_PENDING: Final = 64


class Offer:
    """
    The beacon's side: one connection that is being offered, without ever waiting.

    Its user calls `go_on` whenever the offer can be read, until that returns whether the link was
    taken, and then `close`, which is also how to give up.

    Args:
        folder: The private folder of the tree.
        connection: Stays with the caller, who closes its copy in the end.
        established: What belongs to it. Unusable here once the link is taken.

    Raises:
        OSError: No core server is there, or it has fallen far behind.
    """

    def __init__(self, folder: str, connection: socket.socket, established: Established) -> None:
        self._connection = connection
        self._established = established
        self._is_sent = self._is_taken = False
        self._stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._stream.setblocking(False)
            self._stream.connect(f"{folder}/{_NAME}")
            if peer(self._stream)[1] != os.geteuid():
                raise PermissionError(f"{folder}/{_NAME}: its listener belongs to another user")
        except BaseException:
            self._stream.close()
            raise

    def fileno(self) -> int:
        """Return the descriptor to watch."""
        return self._stream.fileno()

    def go_on(self) -> bool | None:
        """Take in what the core says. Return whether it took the link, `None` if not known yet."""
        try:
            said = self._stream.recv(1)
            if said == _READY and not self._is_sent:
                self._is_sent = True
                return None if self._send() else False
        except BlockingIOError:
            return None
        except OSError:
            return False
        self._is_taken = said == _TAKEN and self._is_sent
        return self._is_taken

    def close(self) -> None:
        """Be done. A connection that was sent, and not taken, is shut down for the core as well."""
        self._stream.close()
        if self._is_sent and not self._is_taken:
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)

    def _send(self) -> bool:
        body = pickle.dumps(self._established, 5)
        message = _LENGTH.pack(len(body)) + body
        sent = socket.send_fds(self._stream, [message], [self._connection.fileno()])
        # The socket is new, its buffer empty: this is the whole message, or it is too long.
        return sent == len(message) <= _LONGEST


@dataclass(slots=True, eq=False)
class _Pending:
    """A link on its way in: what has come of it so far."""

    stream: socket.socket
    data: bytearray
    descriptor: int | None = None


class LinkDesk:
    """
    The core's side: takes links, and never waits for anybody.

    Args:
        folder: The private folder of the tree.
        on_link: Gets each connection, which does not block, and what belongs to it.
    """

    def __init__(self, folder: str, on_link: Callable[[socket.socket, Established], None]) -> None:
        self._on_link = on_link
        self._poller: Poller | None = None
        # In the order in which they came.
        self._pending: dict[_Pending, None] = {}
        self._door = Door(f"{folder}/{_NAME}", self._begin)

    def serve(self, poller: Poller) -> None:
        """Begin to take links, from the loop of the core."""
        self._poller = poller
        self._door.serve(poller)

    def close(self) -> None:
        """Take no more links."""
        self._door.close()
        for pending in list(self._pending):
            self._drop(pending)

    def _begin(self, stream: socket.socket) -> None:
        if len(self._pending) >= _MOST_PENDING:
            self._refuse(next(iter(self._pending)), "too many are waiting")
        pending = _Pending(stream, bytearray())
        self._pending[pending] = None
        assert self._poller is not None
        self._poller.register(stream, lambda: self._read(pending))
        self._answer(pending, _READY)

    def _read(self, pending: _Pending) -> None:
        try:
            data, descriptor = receive_descriptor(pending.stream, _LONGEST)
        except BlockingIOError:
            return
        except OSError as error:
            self._refuse(pending, str(error))
            return
        if descriptor is not None:
            close_descriptor(pending.descriptor)
            pending.descriptor = descriptor
        pending.data += data
        if not data:
            # The beacon has died or given up; of one that said nothing there is nothing to tell.
            if pending.data:
                self._refuse(pending, "its sender went away")
            else:
                self._drop(pending)
        elif len(pending.data) >= _LENGTH.size:
            self._judge(pending)

    def _judge(self, pending: _Pending) -> None:
        (length,) = _LENGTH.unpack_from(pending.data)
        body = pending.data[_LENGTH.size :]
        if length > _LONGEST or len(body) > length:
            self._refuse(pending, "expected the length of a message, got: something else")
        elif len(body) == length:
            self._take(pending, bytes(body))

    def _take(self, pending: _Pending, body: bytes) -> None:
        descriptor, pending.descriptor = pending.descriptor, None
        if descriptor is None:
            self._refuse(pending, "expected a socket with the message, got: none")
            return
        try:
            connection = adopt_socket(descriptor)
        except OSError as error:
            self._refuse(pending, str(error))
            return
        try:
            established = _read_established(body)
        except ValueError as error:
            connection.close()
            self._refuse(pending, str(error))
            return
        is_told = self._answer(pending, _TAKEN)
        self._drop(pending)
        if is_told:
            self._on_link(connection, established)
        else:
            connection.close()

    def _answer(self, pending: _Pending, word: bytes) -> bool:
        """Say one byte; false, and nothing else, if nobody is there to hear it."""
        try:
            return pending.stream.send(word) == 1
        except OSError:
            return False

    def _refuse(self, pending: _Pending, cause: str) -> None:
        log.warning("link_not_taken", cause=cause)
        self._drop(pending)

    def _drop(self, pending: _Pending) -> None:
        self._pending.pop(pending, None)
        if self._poller is not None:
            self._poller.unregister(pending.stream)
        close_quietly(pending.stream)
        close_descriptor(pending.descriptor)
        pending.descriptor = None


def _read_established(body: bytes) -> Established:
    """
    Return what belongs to a link.

    Raises:
        ValueError: It is something else.
    """
    try:
        value = pickle.loads(body)
    except Exception as error:
        raise ValueError(f"expected a pickle, got: {type(error).__name__}") from error
    if not isinstance(value, Established):
        raise ValueError(f"expected an established link, got: {type(value).__name__}")
    return value
