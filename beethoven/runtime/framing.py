"""
Frames: how messages lie in a byte stream.

A frame is a fixed header (length of the payload, a request number, a kind) and the payload. Pure
but for `FrameReader.receive`, which reads from the socket it is given and never blocks longer than
that socket does. What the payloads mean is decided by those who send and receive them.
"""

import socket
import struct
from typing import Final

HEADER: Final = struct.Struct("<QIB3x")
HEADER_SIZE: Final = HEADER.size

# A payload from here on is received into a buffer of its own size instead of being cut out of the
# stream, and is sent without being joined to its header: one copy less on either side.
LARGE: Final = 64 * 1024
READ_SIZE: Final = 64 * 1024
_LARGE_READ_SIZE: Final = 256 * 1024

# A header that announces more is no header of ours.
LONGEST: Final = 4 * 1024**3

CALL: Final = 1
CAST: Final = 2
INFO: Final = 3
REPLY: Final = 4
REFUSED: Final = 5
EXIT: Final = 6
STOP: Final = 7
LINK: Final = 8
UNLINK: Final = 9
MONITOR: Final = 10
EXIT_SIGNAL: Final = 11
INSPECT: Final = 12
SYSTEM: Final = 13
PASS_ON: Final = 14
# A call, with the receiver's `clock.elapsed()` after which no work starts: `deadlines`.
CALL_BY: Final = 15

# Between nodes. ADOPT hands a process the connection of a visitor; the next three are the first
# that a visitor gets: from the process itself with its `clock.elapsed()`, or from its beacon.
ADOPT: Final = 16
WELCOME: Final = 17
ABSENT: Final = 18
DIRECTORY: Final = 19
# Asks for the receiver's `clock.elapsed()`, and is the answer.
CLOCK: Final = 20

Frame = tuple[int, int, bytes | bytearray]


class StreamEnded(Exception):
    """The other side has closed the stream, is gone, or sends what is no frame."""


def pack(kind: int, number: int, payload: bytes) -> bytes:
    """Return one frame. `number` pairs a reply with its request; 0 where there is none."""
    return HEADER.pack(len(payload), number, kind) + payload


def cut(data: bytes) -> list[Frame]:
    """Return the frames of a message that arrived whole; what is cut short is dropped."""
    return FrameReader().feed(data)


class FrameReader:
    """
    Cut frames out of a byte stream.

    Invariant: either `_large` is None, or `_rest` is empty and the next `_missing` bytes of the
    stream belong to `_large`, which grows only as they arrive.
    """

    __slots__ = ("_head", "_large", "_missing", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._large: bytearray | None = None
        self._missing = 0
        self._head = (0, 0)

    def receive(self, stream: socket.socket, flags: int = 0) -> list[Frame]:
        """
        Read once from `stream` and return the frames that are complete now, maybe none.

        Raises:
            StreamEnded: The stream is at its end, or holds what is no frame.
            BlockingIOError: Nothing can be read now, or not within the socket's timeout.
        """
        size = READ_SIZE if self._large is None else min(self._missing, _LARGE_READ_SIZE)
        try:
            data = stream.recv(size, flags)
        except (ConnectionError, TimeoutError) as error:
            raise StreamEnded from error
        if not data:
            raise StreamEnded
        if not self._rest and self._large is None and len(data) >= HEADER_SIZE:
            length, number, kind = HEADER.unpack_from(data)
            if len(data) == HEADER_SIZE + length:
                # As nearly always: one frame, and the whole of it.
                return [(kind, number, data[HEADER_SIZE:])]
        return self.feed(data)

    def feed(self, data: bytes) -> list[Frame]:
        """
        Return the frames that `data` completes.

        Raises:
            StreamEnded: This is no stream of frames.
        """
        frames: list[Frame] = []
        if self._large is not None:
            data = self._fill(self._large, data, frames)
        elif self._rest:
            data = self._rest + data
        start, end = 0, len(data)
        while end - start >= HEADER_SIZE:
            length, number, kind = HEADER.unpack_from(data, start)
            body = start + HEADER_SIZE
            if end - body < length:
                if length >= LARGE:
                    self._begin_large(kind, number, length, data[body:])
                    return frames
                break
            start = body + length
            frames.append((kind, number, data[body:start]))
        self._rest = data[start:] if start < end else b""
        return frames

    def _begin_large(self, kind: int, number: int, length: int, begun: bytes) -> None:
        if length > LONGEST:
            raise StreamEnded
        self._head = (kind, number)
        self._large = bytearray(begun)
        self._missing = length - len(begun)
        self._rest = b""

    def _fill(self, large: bytearray, data: bytes, frames: list[Frame]) -> bytes:
        """Add to a large payload; return what comes after it."""
        here = data if len(data) <= self._missing else data[: self._missing]
        large += here
        self._missing -= len(here)
        if self._missing == 0:
            frames.append((*self._head, large))
            self._large = None
        return data[len(here) :]
