"""A sealed connection: one caller's connection to a process on another node."""

import select
import socket
from typing import Final

from beethoven import clock
from beethoven.cluster.handshake import Established
from beethoven.cluster.sealed import SealedReader, seal
from beethoven.errors import NoProcess, WireError
from beethoven.remote.tcp import is_on_its_way, keep_alive
from beethoven.runtime import framing
from beethoven.runtime.deadlines import unpack_moment
from beethoven.runtime.line import Connection, Target
from beethoven.runtime.reason import ExitReason, ReasonKind

# How old the idea of the other side's clock may be, in seconds, and how much two clocks may differ
# in a second.
_FRESH: Final = 60.0
_DRIFT: Final = 0.001
# How long a message may have been on its way, or unread, to say what time it is there; else that is
# asked for, for so long and so often at most.
_EXACT: Final = 0.05
_PATIENCE: Final = 0.25
_MOST_QUESTIONS: Final = 3
_FIRST: Final = 0


class SealedConnection(Connection):
    """
    A connection over TCP, on which a session seals all that passes.

    Args:
        stream: Belongs to this object from now on.
        established: What both ends agreed on.
        dialled_at: When the other side was dialled, by `clock.elapsed`; by default right now.
    """

    __slots__ = (
        "_arrivals",
        "_asked",
        "_dialled_at",
        "_is_doubtful",
        "_offset",
        "_offset_at",
        "_sealed",
        "_session",
    )

    def __init__(
        self, stream: socket.socket, established: Established, dialled_at: float | None = None
    ) -> None:
        # First, so that whatever happens the stream is closed with this object.
        super().__init__(stream)
        stream.settimeout(None)
        keep_alive(stream)
        self._session = established.session
        self._sealed = self._reader = _Received(established)
        self._offset, self._offset_at = float("-inf"), clock.elapsed()
        self._dialled_at = self._offset_at if dialled_at is None else dialled_at
        self._asked: _Clock | None = None
        self._is_doubtful = False
        self._arrivals = select.poll()
        self._arrivals.register(stream, select.POLLIN)
        self.may_have_ended = True

    def wait_welcome(self, target: Target, timeout: float | None) -> None:
        """
        Wait until the process at the other end has taken this connection.

        Raises:
            NoProcess: It is not there, or has gone.
            BlockingIOError: It did not in time; it may be busy.
        """
        try:
            kind, _, payload = self.receive(_FIRST, timeout)
            if kind == framing.WELCOME:
                self._learn(payload)
                if clock.elapsed() - self._dialled_at > _EXACT:
                    self._ask_time(_PATIENCE if timeout is None else min(timeout, _PATIENCE))
                return
        except framing.StreamEnded:
            raise NoProcess(target=str(target), cause=str(self.explain(target))) from None
        cause = bytes(payload).decode(errors="replace") if kind == framing.ABSENT else "it ended"
        raise NoProcess(target=str(target), cause=cause)

    def _ask_time(self, timeout: float) -> None:
        """
        Ask what time it is there: this process, or the other, was held up when it was told.

        So a call is not taken for late because of that. Who is too busy to say is asked again with
        the first call.
        """
        try:
            for _ in range(_MOST_QUESTIONS):
                asked_at = clock.elapsed()
                _, _, payload = super().receive(self.send(framing.CLOCK, b"", timeout), timeout)
                self._learn(payload)
                if clock.elapsed() - asked_at <= _EXACT:
                    return
        except BlockingIOError:
            self._offset_at = float("-inf")

    def receive(self, number: int, timeout: float | None) -> framing.Frame:
        try:
            return super().receive(number, timeout)
        except BlockingIOError:
            # A machine that vanished without a word confirms nothing, and the kernel tries on for
            # many minutes: whoever asks next dials anew.
            self._is_doubtful = is_on_its_way(self.stream)
            raise

    def has_ended(self) -> bool:
        """Whether the other side has closed, or something was lost; looks at what has arrived."""
        if self._is_doubtful:
            return True
        if not self._arrivals.poll(0):
            # The usual case: asking so costs a quarter of a `recv` that fails.
            return self.reason is not None
        while self.reason is None and self.take_in():
            continue
        return self.reason is not None

    def their_time(self, moment: float) -> float:
        now = clock.elapsed()
        if now - self._offset_at > _FRESH and self._asked is None:
            self._asked = _Clock(self)
            self.waiters[self.send(framing.CLOCK, b"", max(0.0, moment - now))] = self._asked
        return moment + self._offset

    def learn_clock(self, payload: bytes | bytearray | None) -> None:
        """Take in an answer to the question what time it is there; None if none will come."""
        self._asked = None
        if payload is not None:
            self._learn(payload)

    def _learn(self, payload: bytes | bytearray) -> None:
        """
        Note how far the other clock is ahead of this one: at least so much.

        The answer has been on its way, so the true difference is greater, and a deadline is never
        too late. What was known before holds, less what the clocks may have drifted apart.
        """
        now = clock.elapsed()
        known = self._offset - _DRIFT * (now - self._offset_at)
        self._offset, self._offset_at = max(known, unpack_moment(payload) - now), now

    def send(
        self, kind: int, payload: bytes, timeout: float | None, until: float = float("inf")
    ) -> int:
        self._number = number = self._number + 1 & 0xFFFFFFFF
        for sealed in seal(self._session, kind, number, payload):
            is_large = len(sealed) >= framing.LARGE
            try:
                sent = 0 if is_large else self.stream.send(sealed, socket.MSG_DONTWAIT)
            except BlockingIOError:
                sent = 0
            if sent < len(sealed):
                self._send_rest(memoryview(sealed)[sent:], timeout, until)
        return number

    def _end(self) -> None:
        if self.reason is None:
            self.reason = self._sealed.problem or ExitReason(
                ReasonKind.OTHER, "it or the connection to its node has ended"
            )
        super()._end()


class _Received:
    """Reads frames from a connection, first what has arrived with the handshake."""

    def __init__(self, established: Established) -> None:
        self._reader = SealedReader(established.session)
        self._rest = established.rest
        self.problem: ExitReason | None = None

    def receive(self, stream: socket.socket, flags: int = 0) -> list[framing.Frame]:
        """Read once, as `FrameReader.receive` does."""
        data, self._rest = self._rest, b""
        try:
            data = data or stream.recv(self._reader.read_size, flags)
            if data:
                return self._reader.feed(data)
        except (ConnectionError, TimeoutError) as error:
            raise framing.StreamEnded from error
        except WireError as error:
            self.problem = ExitReason(ReasonKind.OTHER, f"what it sent was altered: {error}")
        raise framing.StreamEnded


class _Clock:
    """Waits for the answer to the question what time it is on the other side."""

    __slots__ = ("__weakref__", "_line")

    def __init__(self, line: SealedConnection) -> None:
        self._line = line

    def take(self, frame: framing.Frame | None) -> None:
        """Get the answer."""
        self._line.learn_clock(None if frame is None else frame[2])
