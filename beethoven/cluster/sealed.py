"""
Sealed: the frames of the runtime as they pass between a process and its visitor on another node.

They are joined to a stream of bytes, which is cut into bodies that the session of the connection
seals: so a payload of any length passes, and frames that are sent together may share a body. What
is altered, replayed, dropped or cut short is never read as a frame. Pure.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from beethoven.cluster.session import OVERHEAD, Session
from beethoven.cluster.wire import LENGTH_SIZE
from beethoven.errors import WireError
from beethoven.runtime import framing

LONGEST_BODY: Final = 256 * 1024

_FIRST: Final = LONGEST_BODY - framing.HEADER_SIZE
_LONGEST: Final = LONGEST_BODY + OVERHEAD

# Bound once: all of this is on the path of every call between nodes.
_pack_header = framing.HEADER.pack
_unpack_length = struct.Struct(">I").unpack_from


def seal(session: Session, kind: int, number: int, payload: bytes) -> Iterable[bytes]:
    """
    Return one frame of the runtime as it is sent: in pieces, all of them, in that order.

    Args:
        session: That of the connection.
        kind: The kind of the frame.
        number: Its number.
        payload: Its payload.
    """
    head = _pack_header(len(payload), number, kind)
    if len(payload) <= _FIRST:
        return (session.seal(head + payload),)
    return _seal_long(session, head, memoryview(payload))


def _seal_long(session: Session, head: bytes, payload: memoryview) -> Iterator[bytes]:
    """Yield the pieces of a long frame, each sealed when its turn comes."""
    yield session.seal(head + payload[:_FIRST])
    for start in range(_FIRST, len(payload), LONGEST_BODY):
        yield session.seal(payload[start : start + LONGEST_BODY])


class SealedReader:
    """
    Turns what arrives on a connection into frames of the runtime, however it is cut into pieces.

    Invariant: `_pieces` is the beginning of a sealed frame, `_held` its length so far; it is looked
    at again when there are `_wanted` bytes of it.

    Args:
        session: That of the connection.

    Attributes:
        read_size: How many bytes to read next, at most; more of them in the middle of a long frame.
    """

    __slots__ = ("_held", "_open", "_pieces", "_read", "_wanted", "read_size")

    def __init__(self, session: Session) -> None:
        self._open = session.open
        self._read = framing.FrameReader().feed
        self._pieces: list[bytes] = []
        self._held = 0
        self._wanted = LENGTH_SIZE
        self.read_size = framing.READ_SIZE

    def feed(self, data: bytes) -> list[framing.Frame]:
        """
        Return the frames that `data` completes.

        Raises:
            WireError: It is not what the other end has sealed. Nothing can be read from then on.
            StreamEnded: What it has sealed is no stream of frames.
        """
        if not self._pieces and len(data) >= LENGTH_SIZE:
            (length,) = _unpack_length(data)
            if len(data) == LENGTH_SIZE + length <= _LONGEST:
                # As nearly always: one sealed frame, and the whole of it.
                return self._read(self._open(data[LENGTH_SIZE:]))
        if self._pieces:
            self._pieces.append(data)
            self._held += len(data)
            if self._held < self._wanted:
                return []
            data = b"".join(self._pieces)
            self._pieces.clear()
            self.read_size = framing.READ_SIZE
        frames: list[framing.Frame] = []
        start, end, wanted = 0, len(data), LENGTH_SIZE
        while end - start >= LENGTH_SIZE:
            (length,) = _unpack_length(data, start)
            if length > _LONGEST:
                raise WireError(f"expected a frame of at most {_LONGEST} bytes, got: {length}")
            wanted = LENGTH_SIZE + length
            if end - start < wanted:
                break
            frames += self._read(self._open(data[start + LENGTH_SIZE : start + wanted]))
            start, wanted = start + wanted, LENGTH_SIZE
        if start < end:
            self._pieces.append(data[start:])
            self._held, self._wanted = end - start, wanted
            self.read_size = max(framing.READ_SIZE, wanted - self._held)
        return frames
