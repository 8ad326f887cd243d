"""
A link at work: a connection to an authenticated node, and the frames that pass over it.

Nothing here waits. What cannot be sent at once is kept, up to a bound: a node that does not read
is as good as gone.
"""

import socket
from collections.abc import Callable
from typing import Final

from beethoven.cluster.session import Session
from beethoven.cluster.wire import LONGEST, FrameDecoder
from beethoven.errors import WireError
from beethoven.runtime.poller import Poller

_CHUNK: Final = 256 * 1024
# More than that is not kept for a node that does not read.
_MOST_UNSENT: Final = 8 * LONGEST


class LinkStream:
    """
    One end of a link.

    Args:
        stream: The connected socket; it belongs to this object from now on.
        session: What both ends agreed on.
        poller: Watches the socket.
        on_body: Told the body of each frame that arrives.
        on_end: Told once that nothing more will arrive, and why if the other end is to blame; not
            after `close`.
    """

    def __init__(
        self,
        stream: socket.socket,
        session: Session,
        poller: Poller,
        *,
        on_body: Callable[[bytes], object],
        on_end: Callable[[WireError | None], object],
    ) -> None:
        stream.setblocking(False)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream = stream
        self._session = session
        self._poller = poller
        self._on_body = on_body
        self._on_end = on_end
        self._decoder = FrameDecoder(LONGEST)
        self._unsent = bytearray()
        self._is_open = True
        self._is_finishing = False

    def begin(self, rest: bytes) -> None:
        """Begin to read, unless the link has ended; `rest` is what came with the handshake."""
        if not self._is_open:
            return
        self._poller.register(self._stream, self._read)
        if rest:
            self._take(rest)

    def send(self, body: bytes) -> None:
        """Send a frame; nothing happens if the link has ended."""
        if not self._is_open or self._is_finishing:
            return
        was_empty = not self._unsent
        self._unsent += self._session.seal(body)
        if was_empty:
            self._write()
        elif len(self._unsent) > _MOST_UNSENT:
            self._end(WireError(f"expected it to read, got: {len(self._unsent)} bytes unread"))

    def close(self) -> None:
        """End the link at once."""
        if self._is_open:
            self._is_open = False
            self._poller.unregister(self._stream)
            self._stream.close()

    def finish(self) -> None:
        """End the link once everything is sent, and the other end has closed as well."""
        if self._is_open and not self._is_finishing:
            self._is_finishing = True
            if not self._unsent:
                self._shut()

    @property
    def is_open(self) -> bool:
        return self._is_open

    def _read(self) -> None:
        try:
            data = self._stream.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end(None)
        elif not self._is_finishing:
            self._take(data)

    def _take(self, data: bytes) -> None:
        try:
            self._decoder.feed(data)
            while self._is_open and (sealed := self._decoder.next_frame()) is not None:
                self._on_body(self._session.open(sealed))
        except WireError as error:
            self._end(error)

    def _write(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self._stream.send(self._unsent)]
        except BlockingIOError:
            self._poller.register_writer(self._stream, self._write)
            return
        except OSError:
            self._end(None)
            return
        self._poller.unregister_writer(self._stream)
        if self._is_finishing:
            self._shut()

    def _shut(self) -> None:
        try:
            # To close at once would take back what the other end has not read yet.
            self._stream.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()

    def _end(self, problem: WireError | None) -> None:
        if self._is_open:
            self.close()
            if not self._is_finishing:
                self._on_end(problem)
