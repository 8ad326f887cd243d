"""
A session: what two nodes that have authenticated each other put around every frame.

A sealed frame holds its number in the stream (8 bytes), a body of any bytes, and the first 16 bytes
of an HMAC-SHA256 over both, under a key for this direction of this connection alone. Whoever
replays, reorders, drops, cuts or alters frames is found out at the next one. Nothing is hidden:
that is for TLS. Pure.
"""

import hashlib
import hmac
import struct
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from beethoven.cluster.wire import LONGEST
from beethoven.errors import WireError

_HEAD: Final = struct.Struct(">IQ")
_NUMBER: Final = struct.Struct(">Q")
_MAC_SIZE: Final = 16
# What a seal adds to a body; the length in front of every frame is not counted.
OVERHEAD: Final = _NUMBER.size + _MAC_SIZE
_HASH: Final = "sha256"
_HASH_SIZE: Final = 32
_BLOCK_SIZE: Final = 64
_BROKEN: Final = -1

_NewHash: TypeAlias = "Callable[[], hashlib._Hash]"  # noqa: SLF001 - has no other name

# Bound once: `seal` and `open` are on the path of every remote call.
_pack_head = _HEAD.pack
_unpack_number = _NUMBER.unpack_from
_digest = hmac.digest
_is_same = hmac.compare_digest


class Session:
    """
    The two directions of one connection, as one of its ends sees them.

    May be pickled, to go where the socket goes; from then on only the copy may be used.

    Args:
        send_key: 32 bytes; the other end's `receive_key`.
        receive_key: 32 bytes; the other end's `send_key`.
        limit: The longest sealed frame, in bytes.
    """

    __slots__ = (
        "_keys",
        "_limit",
        "_received",
        "_receiving_inner",
        "_receiving_outer",
        "_sending_inner",
        "_sending_outer",
        "_sent",
    )

    def __init__(self, send_key: bytes, receive_key: bytes, *, limit: int = LONGEST) -> None:
        self._limit = limit - OVERHEAD
        self._set(send_key, receive_key, 0, 0)

    def _set(self, send_key: bytes, receive_key: bytes, sent: int, received: int) -> None:
        self._keys = send_key, receive_key
        self._sent = sent
        self._received = received
        self._sending_inner, self._sending_outer = _halves(send_key)
        self._receiving_inner, self._receiving_outer = _halves(receive_key)

    def __getstate__(self) -> tuple[Any, ...]:
        return self._limit, (*self._keys, self._sent, self._received)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._limit, rest = state
        self._set(*rest)

    def seal(self, body: bytes | memoryview) -> bytes:
        """
        Return the whole frame that carries a body, as the next one in order.

        Raises:
            WireError: The body is too long.
        """
        size = len(body)
        if size > self._limit:
            raise WireError(f"expected a body of at most {self._limit} bytes, got: {size}")
        number = self._sent
        self._sent = number + 1
        head = _pack_head(size + OVERHEAD, number)
        inner, outer = self._sending_inner(), self._sending_outer()
        inner.update(head[4:])
        inner.update(body)
        outer.update(inner.digest())
        return b"".join((head, body, outer.digest()[:_MAC_SIZE]))

    def open(self, sealed: bytes) -> bytes:
        """
        Return the body of the next frame.

        Args:
            sealed: The body of a frame, as `FrameDecoder.next_frame` gave it.

        Raises:
            WireError: It is not what the other end sealed next. Nothing can be opened from then on.
        """
        data = sealed[:-_MAC_SIZE]
        inner, outer = self._receiving_inner(), self._receiving_outer()
        inner.update(data)
        outer.update(inner.digest())
        mac = outer.digest()[:_MAC_SIZE]
        if not _is_same(mac, sealed[-_MAC_SIZE:]) or len(sealed) < OVERHEAD:
            self._received = _BROKEN
            raise WireError("expected a frame that the other node sealed, got: an altered one")
        (number,) = _unpack_number(data)
        if number != self._received:
            expected, self._received = self._received, _BROKEN
            raise WireError(f"expected frame {expected} of the session, got: frame {number}")
        self._received = number + 1
        return data[8:]

    def __repr__(self) -> str:
        return f"Session(sent={self._sent}, received={self._received})"


def _halves(key: bytes) -> tuple[_NewHash, _NewHash]:
    """
    Return what makes the two hashes of an HMAC-SHA256, both begun with the key.

    Source:
        RFC 2104 §2. `hmac.digest` begins anew with each message, which takes half of its time.
    """
    block = key.ljust(_BLOCK_SIZE, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))
    return inner.copy, outer.copy


def extract(salt: bytes, secret: bytes) -> bytes:
    """
    Return a key of 32 bytes, evenly strong, made from a secret.

    Source:
        RFC 5869 §2.2, with SHA-256.
    """
    return _digest(salt, secret, _HASH)


def expand(key: bytes, info: bytes, size: int) -> bytes:
    """
    Return `size` bytes for the purpose that `info` names.

    Source:
        RFC 5869 §2.3, with SHA-256.
    """
    block, output = b"", b""
    for counter in range(1, -(-size // _HASH_SIZE) + 1):
        block = _digest(key, block + info + bytes([counter]), _HASH)
        output += block
    return output[:size]
