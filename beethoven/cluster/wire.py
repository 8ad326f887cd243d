"""
The wire: frames between nodes, and the messages in them.

A frame is the length of its body in 4 bytes, most significant first, and the body. The body of a
message is a JSON object in UTF-8 whose field `type` says which message it is. A reader ignores
types and fields that it does not know, so that newer nodes can say more. Everything else that is
not as it must be raises `WireError`. Pure: where the bytes come from is the caller's affair.
"""

import json
import re
import struct
from typing import Any, Final, Generic, Never, TypeVar

from beethoven.cluster.fields import Shape, Unfit
from beethoven.errors import WireError

M = TypeVar("M")

_LENGTH: Final = struct.Struct(">I")
LENGTH_SIZE: Final = _LENGTH.size

# The longest body of a frame; a stranger gets to occupy no more than the first.
LONGEST_BEFORE_AUTHENTICATION: Final = 1024
LONGEST: Final = 1024 * 1024

DEEPEST: Final = 16
# A string is matched as a whole, so that brackets in it do not count, and also if it is
# unfinished, so that no character is looked at twice.
_BRACKETS: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def frame(body: bytes, limit: int = LONGEST) -> bytes:
    """
    Return a body as a frame.

    Raises:
        WireError: The body is longer than `limit`: its reader would refuse it.
    """
    if len(body) > limit:
        raise WireError(f"expected a frame of at most {limit} bytes, got: {len(body)}")
    return _LENGTH.pack(len(body)) + body


class FrameDecoder:
    """
    Cuts the bodies of frames out of a byte stream, however the stream is cut into pieces.

    Holds what it was fed and not asked for yet, no more: a length that is announced takes no
    memory.

    Args:
        limit: The longest body, in bytes.
    """

    __slots__ = ("_data", "_limit", "_start")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()
        self._start = 0

    def feed(self, data: bytes) -> None:
        """Take in what has arrived."""
        if self._start:
            del self._data[: self._start]
            self._start = 0
        self._data += data

    def next_frame(self) -> bytes | None:
        """
        Return the next body, or `None` until more has arrived.

        Raises:
            WireError: The next body is announced as longer than the limit.
        """
        data, begin = self._data, self._start + LENGTH_SIZE
        if len(data) < begin:
            return None
        (length,) = _LENGTH.unpack_from(data, self._start)
        if length > self._limit:
            raise WireError(f"expected a frame of at most {self._limit} bytes, got: {length}")
        end = begin + length
        if len(data) < end:
            return None
        self._start = end
        return bytes(data[begin:end])

    def take_rest(self) -> bytes:
        """Return what has arrived behind the last frame, and forget it."""
        rest = bytes(self._data[self._start :])
        self._data.clear()
        self._start = 0
        return rest

    def __repr__(self) -> str:
        return f"FrameDecoder(limit={self._limit}, waiting={len(self._data) - self._start})"


def read_body(body: bytes) -> dict[str, Any]:
    """
    Return the JSON object in a body. It has a `type`, which is a string.

    Raises:
        WireError: It is no such object, or is nested deeper than `DEEPEST`.
    """
    try:
        text = body.decode("utf-8")
        _check_depth(text)
        value = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise WireError(f"expected a JSON object, got: {_shown(body)}") from error
    if not isinstance(value, dict):
        raise WireError(f"expected a JSON object, got: {_shown(body)}")
    if not isinstance(value.get("type"), str):
        raise WireError(f"expected type to be a string, got: {_shown(body)}")
    return value


def write_body(fields: dict[str, Any]) -> bytes:
    """Return a body with these fields."""
    text = json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8")


class MessageTable(Generic[M]):
    """
    The messages of one conversation, by the `type` that they have on the wire.

    A message is a frozen dataclass whose annotations say what each field may hold (see `fields`). A
    field with a default may be missing.

    ```python
    @dataclass(frozen=True, slots=True)
    class Leave:
        node_id: Annotated[str, NODE_ID]
        reason: Annotated[str, text(200)] = ""

    TABLE: Final = MessageTable[Leave | Heartbeat](leave=Leave, heartbeat=Heartbeat)
    ```
    """

    def __init__(self, **messages: type[M]) -> None:
        self._shapes = {name: Shape(cls) for name, cls in messages.items()}
        self._names = {cls: name for name, cls in messages.items()}
        for name, shape in self._shapes.items():
            assert "type" not in shape.names, name

    def to_wire(self, message: M) -> dict[str, Any]:
        """
        Return the fields of a message, its `type` first.

        Raises:
            WireError: A field holds what the reader would refuse.
        """
        name = self._names[type(message)]
        fields = {"type": name, **self._shapes[name].write(message)}
        self.from_wire(fields)
        return fields

    def from_wire(self, fields: dict[str, Any]) -> M | None:
        """
        Return the message that these fields make; `None` if its type is not in this table.

        Raises:
            WireError: A field is missing or is not of its kind; the message names it.
        """
        name = fields["type"]
        if (shape := self._shapes.get(name)) is None:
            return None
        try:
            message: M = shape.read(fields)
        except Unfit as unfit:
            raise WireError(f"{name}: {unfit}") from None
        return message

    def encode(self, message: M) -> bytes:
        """Return the body that carries a message. Raises as `to_wire` does."""
        return write_body(self.to_wire(message))

    def decode(self, body: bytes) -> M | None:
        """Return the message in a body. Raises as `read_body` and `from_wire` do."""
        return self.from_wire(read_body(body))


def _check_depth(text: str) -> None:
    """
    Refuse deep nesting before the JSON decoder, which recurses, gets to see it.

    Raises:
        ValueError: It is too deep.
    """
    if text.count("[") + text.count("{") <= DEEPEST:
        return
    depth = 0
    for match in _BRACKETS.finditer(text):
        first = match[0][0]
        if first in "[{":
            depth += 1
            if depth > DEEPEST:
                raise ValueError(f"nested deeper than {DEEPEST}")
        elif first in "]}":
            depth -= 1


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


def _shown(body: bytes) -> str:
    return repr(body[:40]) + ("..." if len(body) > 40 else "")
