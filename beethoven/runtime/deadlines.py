"""
Deadlines: calls whose work must not start after a moment, which travels with them.

The moment is one of the receiver's `clock.elapsed`, so that no two clocks need agree.
"""

import struct
from typing import Final

from beethoven import clock
from beethoven.log import get_log

_MOMENT: Final = struct.Struct("<d")

log = get_log("process")


def pack_moment(moment: float) -> bytes:
    """Return a moment of `clock.elapsed` as it is sent."""
    return _MOMENT.pack(moment)


def unpack_moment(payload: bytes | bytearray | memoryview) -> float:
    """
    Return the moment that a payload begins with.

    Raises:
        ValueError: It is too short.
    """
    if len(payload) < _MOMENT.size:
        raise ValueError(f"expected a moment of {_MOMENT.size} bytes, got: {len(payload)}")
    moment: float = _MOMENT.unpack_from(payload)[0]
    return moment


def call_by(moment: float, request: bytes) -> bytes:
    """
    Return the payload of a CALL_BY frame.

    Args:
        moment: The receiver's `clock.elapsed()` after which the work must not start.
        request: The pickled request.
    """
    return _MOMENT.pack(moment) + request


def request_in_time(payload: bytes | bytearray | memoryview) -> memoryview | None:
    """
    Return the pickled request of a CALL_BY frame, or None if its work must not start any more.

    Raises:
        ValueError: It is no such payload.
    """
    late = clock.elapsed() - unpack_moment(payload)
    if late > 0:
        log.debug("call_expired", late=round(late, 3))
        return None
    return memoryview(payload)[_MOMENT.size :]
