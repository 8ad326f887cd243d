"""
The keyring: the shared secrets by which the nodes of a cluster know each other. Pure.

The first key signs and every key verifies, so that a cookie can be changed without stopping the
cluster: add the new key as the last line on every node, then make it the first everywhere, then
take the old one away.
"""

import re
from dataclasses import dataclass
from typing import Final

MOST_KEYS: Final = 8
_SHORTEST: Final = 16
_SHORTEST_HEX: Final = 32
_LONGEST: Final = 512
_HEX: Final = re.compile(r"[0-9A-Fa-f]+")

_RULE: Final = "32 hexadecimal digits, 22 base64 characters or any other text of 16 bytes"


class BadKey(ValueError):
    """A text is no keyring. The message says nothing of what the text holds."""


@dataclass(frozen=True, slots=True, repr=False)
class Keyring:
    """One key at least; which ones never shows."""

    keys: tuple[bytes, ...]

    @classmethod
    def parse(cls, text: str) -> "Keyring":
        """
        Return the keys in a text, one on each line; space around them does not count.

        Raises:
            BadKey: There is none, there are too many, or one is too weak.
        """
        lines = [line.strip() for line in text.split("\n")]
        keys = tuple(dict.fromkeys(_key(line, at) for at, line in enumerate(lines, 1) if line))
        if not 1 <= len(keys) <= MOST_KEYS:
            raise BadKey(f"expected 1 to {MOST_KEYS} keys, one on each line, got: {len(keys)}")
        return cls(keys)

    def __repr__(self) -> str:
        return f"Keyring(<{len(self.keys)} secret>)"


def _key(line: str, at: int) -> bytes:
    key = line.encode("utf-8", "surrogateescape")
    if len(key) > _LONGEST or "\0" in line:
        raise BadKey(f"line {at}: expected the key to be text of at most {_LONGEST} bytes")
    shortest = _SHORTEST_HEX if _HEX.fullmatch(line) else _SHORTEST
    if len(key) < shortest:
        expected = f"expected the key to have at least 128 bits ({_RULE})"
        raise BadKey(f"line {at}: {expected}, got: {len(key)} bytes")
    return key
