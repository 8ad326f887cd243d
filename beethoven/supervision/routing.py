"""
Routing: which partition a key belongs to, in every process and every run the same.

Python's own `hash` is salted anew in each interpreter, so keys are written down and that is hashed.
"""

import struct
from hashlib import blake2b
from typing import Final

from beethoven.runtime.reference import Ref
from beethoven.supervision.checks import refuse

_RULE: Final = "an int, str, bytes, float, None, a Ref, or a tuple of these"


def route(key: object, partitions: int) -> int:
    """
    Return the partition of a key: `|key| mod partitions` for an integer, a hash of any other.

    Args:
        key: An int, str, bytes, float, None, a `Ref`, or a tuple of these.
        partitions: How many there are, >= 1.

    Raises:
        SpecError: The key is something else, whose hash could differ from process to process.
    """
    if isinstance(key, int):
        return abs(key) % partitions
    digest = blake2b(_written(key), digest_size=8).digest()
    return int.from_bytes(digest) % partitions


def _written(key: object) -> bytes:
    """Return bytes that differ for different keys, and only for these."""
    match key:
        case str():
            return b"s" + key.encode("utf-8", "surrogatepass")
        case bytes():
            return b"b" + key
        case float():
            return b"f" + struct.pack(">d", key)
        case int():
            return b"i%d" % key
        case None:
            return b"n"
        case Ref():
            return b"r" + key.identity.encode()
    if not isinstance(key, tuple):
        refuse("partition supervisor", "a key", _RULE, got=key)
    parts = [_written(part) for part in key]
    return b"t" + b"".join(b"%d:%b" % (len(part), part) for part in parts)
