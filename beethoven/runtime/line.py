"""
A line: one caller's connection to one process.

A call costs one send and one receive; the kernel keeps the deadline.
"""

import contextlib
import os
import pickle
import select
import socket
from typing import Final, Protocol
from weakref import WeakValueDictionary

from beethoven import clock
from beethoven.errors import NoProcess
from beethoven.runtime import framing
from beethoven.runtime.descriptors import NONE_FREE
from beethoven.runtime.names import socket_path
from beethoven.runtime.reason import ExitReason, ReasonKind
from beethoven.runtime.unixsocket import close_quietly, connect, limit_wait

# How long to wait for the burial of a process that gave no reason; a fork server may be held up.
_REASON_TIMEOUT: Final = 5.0
# Longer waits do not fit into what the kernel takes, in seconds.
_LONGEST_WAIT: Final = 86_400.0
_pack_header = framing.HEADER.pack
# As a plain number, which is quicker than the enumeration's member.
_AT_ONCE: Final = int(socket.MSG_DONTWAIT)
# No message has this number.
_NOBODY: Final = -1
_NEVER: Final = float("inf")


class Target(Protocol):
    """The process that is spoken to; printed in errors."""

    @property
    def identity(self) -> str: ...

    def connect(self, timeout: float | None) -> "Connection":
        """
        Open a connection to it.

        Raises:
            NoProcess: Nobody is there.
            BlockingIOError: It takes nobody in within `timeout` seconds.
        """

    def death(self, timeout: float) -> ExitReason | None:
        """Wait for its end, and return the reason if that is known here."""


class Waiter(Protocol):
    """Who waits for an answer while its thread does something else."""

    def take(self, frame: framing.Frame | None) -> None:
        """
        Get the answer. None means that there is none, for the process has ended.

        Only the first is the answer: whoever was interrupted in here is told of the end as well.
        """


class Reader(Protocol):
    """Cuts frames out of what arrives."""

    def receive(self, stream: socket.socket, flags: int = 0) -> list[framing.Frame]: ...


class _NothingMore:
    """Reads from a connection on which what follows cannot be found."""

    def receive(self, _stream: socket.socket, _flags: int = 0) -> list[framing.Frame]:
        raise framing.StreamEnded


class Connection:
    """
    A connection to one process, used by one thread.

    Attributes:
        stream: The socket.
        waiters: Who waits for the answer to which message. Whoever is garbage waits no more.
        reason: Why the process ended, if it has said so, or somebody has found out.
        took_time: Whether it had to be opened, or something could not be sent at once, since this
            was last set to False.
    """

    __slots__ = (
        "__weakref__",
        "_number",
        "_reader",
        "_receive_limit",
        "may_have_ended",
        "reason",
        "stream",
        "took_time",
        "waiters",
    )

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self.waiters: WeakValueDictionary[int, Waiter] = WeakValueDictionary()
        self._reader: Reader = framing.FrameReader()
        self._number = 0
        self._receive_limit: float | None = None
        self.reason: ExitReason | None = None
        self.may_have_ended = False
        self.took_time = True

    def send(self, kind: int, payload: bytes, timeout: float | None, until: float = _NEVER) -> int:
        """
        Hand over one message.

        Args:
            kind: Which kind of frame.
            payload: What is in it.
            timeout: For how many seconds the receiver may take nothing; None for ever.
            until: When all of it must have been taken, by `clock.monotonic`.

        Returns:
            The number of the message, by which a reply refers to it.

        Raises:
            BlockingIOError: The receiver did not take it in time. The frame may be cut: nothing can
                follow it on this connection.
            ConnectionError: The receiver is gone.
        """
        self._number = number = self._number + 1 & 0xFFFFFFFF
        size = len(payload)
        data = _pack_header(size, number, kind)
        if size < framing.LARGE:
            data += payload
        try:
            sent = self.stream.send(data, _AT_ONCE)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._send_rest(memoryview(data)[sent:], timeout, until)
        if size >= framing.LARGE:
            self._send_rest(memoryview(payload), timeout, until)
        return number

    def _send_rest(self, rest: memoryview, timeout: float | None, until: float) -> None:
        """Send, and take in meanwhile: the receiver may wait until its replies are taken."""
        self.took_time = True
        patience = _NEVER if timeout is None else timeout
        poll = select.poll()
        poll.register(self.stream, select.POLLIN | select.POLLOUT)
        now = clock.monotonic()
        deadline = now + patience
        while rest:
            wait = max(0.0, min(deadline, until) - now)
            ready = poll.poll(min(wait, _LONGEST_WAIT) * 1000)
            now = clock.monotonic()
            if now >= until or (not ready and wait <= _LONGEST_WAIT):
                raise BlockingIOError
            if not ready:
                continue
            if ready[0][1] & select.POLLIN:
                self.take_in()
            try:
                rest = rest[self.stream.send(rest, socket.MSG_DONTWAIT) :]
                deadline = now + patience
            except BlockingIOError:
                continue

    def receive(self, number: int, timeout: float | None) -> framing.Frame:
        """
        Wait for the answer to a message; answers to others go to who waits for them, if anybody.

        Raises:
            BlockingIOError: None arrived in time.
            StreamEnded: The process is gone and left no reason here.
        """
        deadline = None if timeout is None else clock.monotonic() + timeout
        try:
            while True:
                frames = self._read(timeout)
                if len(frames) == 1 and frames[0][1] == number:
                    return frames[0]
                frame = self._hand_out(frames, number)
                if frame is not None:
                    return frame
                timeout = None if deadline is None else max(deadline - clock.monotonic(), 0.0)
        except (BlockingIOError, framing.StreamEnded):
            raise
        except BaseException:
            self._break_off()
            raise

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
        except BaseException:
            self._break_off()
            raise
        return True

    def _read(self, timeout: float | None) -> list[framing.Frame]:
        try:
            if timeout is not None and timeout <= 0:
                return self._reader.receive(self.stream, socket.MSG_DONTWAIT)
            if timeout != self._receive_limit:
                limit_wait(self.stream, socket.SO_RCVTIMEO, timeout)
                self._receive_limit = timeout
            return self._reader.receive(self.stream)
        except framing.StreamEnded:
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
            elif (waiter := self.waiters.get(frame[1])) is not None:
                # Until it has the frame it is among those who are told of the end.
                waiter.take(frame)
                self.waiters.pop(frame[1], None)
        return mine

    def _break_off(self) -> None:
        """Use it no more: what was read is lost, or the frames that follow cannot be found."""
        self._reader = _NothingMore()
        self.reason = ExitReason(ReasonKind.OTHER, "was interrupted while it answered")
        self.may_have_ended = True
        self._end()

    def _end(self) -> None:
        for number, waiter in list(self.waiters.items()):
            waiter.take(None)
            self.waiters.pop(number, None)

    def explain(self, target: Target) -> ExitReason:
        """Return why the process ended; if it has not said so, wait a little for its burial."""
        if self.reason is None:
            known = target.death(_REASON_TIMEOUT)
            self.reason = known or ExitReason(ReasonKind.OTHER, "closed its connection")
        return self.reason

    def has_ended(self) -> bool:
        """Whether nothing more can be sent: that is known without asking the kernel."""
        return self.may_have_ended

    def their_time(self, moment: float) -> float:
        """Return a moment of this process's `clock.elapsed` as the other side's clock has it."""
        return moment

    def hang_up(self) -> None:
        """End the conversation, from any thread."""
        with contextlib.suppress(OSError):
            self.stream.shutdown(socket.SHUT_RDWR)

    def __del__(self) -> None:
        # The thread that used it has ended, or was interrupted while it made this.
        with contextlib.suppress(AttributeError):
            close_quietly(self.stream)


def open_local(target: Target, folder: str, timeout: float | None) -> Connection:
    """Open a connection to a process of this machine; see `Target.connect`."""
    try:
        return Connection(connect(socket_path(folder, target.identity), timeout))
    except BlockingIOError:
        raise
    except OSError as error:
        cause = os.strerror(error.errno) if error.errno in NONE_FREE else ""
        raise NoProcess(target=str(target), cause=cause) from error
