"""
Fields: what a field of a message between nodes may hold, and how it lies in JSON.

A field is declared once, in the annotation of a dataclass: `name: Annotated[str, NAME]`. Whatever
is not of its kind raises `Unfit`, which `wire` turns into a `WireError` that names the field. Pure.
"""

import re
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from enum import StrEnum
from ipaddress import ip_address
from typing import Any, Final, get_args, get_type_hints

_SHORT: Final = reprlib.Repr()
_LONGEST_SHOWN: Final = 200
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60
_SHORT.maxlevel = 2

_ADDRESS: Final = re.compile(
    r"(?:\[(?P<six>[0-9a-f:.]{2,45})\]|(?P<four>[0-9.]{7,15})):(?P<port>[0-9]{1,5})"
)
_MISSING: Final = object()


class Unfit(ValueError):
    """A value is not of its kind. `place` is where inside the message."""

    def __init__(self, rule: str, value: object, place: str = "") -> None:
        super().__init__(f"expected {place.removeprefix('.')} to be {rule}, got: {shown(value)}")
        self.rule = rule
        self.value = value
        self.place = place


def shown(value: object) -> str:
    """Return a value for a message, cut short, on one line."""
    text = _SHORT.repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


@dataclass(frozen=True, slots=True)
class Kind:
    """
    What a field may hold.

    Attributes:
        read: Turns what JSON gave into the value, or raises `Unfit`.
        write: Turns the value into what JSON can hold.
    """

    read: Callable[[Any], Any]
    write: Callable[[Any], Any] = lambda value: value


def integer(lowest: int, highest: int) -> Kind:
    """Return the kind of integers in a range, both ends included."""

    def read(value: object) -> int:
        if type(value) is not int or not lowest <= value <= highest:
            raise Unfit(f"an integer from {lowest} to {highest}", value)
        return value

    return Kind(read)


def number(lowest: float, highest: float) -> Kind:
    """Return the kind of finite numbers in a range, both ends included."""

    def read(value: object) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not lowest <= value <= highest:  # type: ignore[operator]  # a number
            raise Unfit(f"a number from {lowest:g} to {highest:g}", value)
        return float(value)  # type: ignore[arg-type]  # a number

    return Kind(read)


def _read_boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise Unfit("true or false", value)
    return value


def text(longest: int, pattern: str | None = None) -> Kind:
    """
    Return the kind of printable strings, fit for a log as they are.

    Args:
        longest: How many characters at most.
        pattern: What the whole string must match.
    """
    form = None if pattern is None else re.compile(pattern)
    rule = f"at most {longest} printable characters" + (f" ({pattern})" if pattern else "")

    def read(value: object) -> str:
        if not isinstance(value, str) or len(value) > longest or not value.isprintable():
            raise Unfit(rule, value)
        if form is not None and not form.fullmatch(value):
            raise Unfit(rule, value)
        return value

    return Kind(read)


def octets(size: int) -> Kind:
    """Return the kind of byte strings of one size, written as hexadecimal digits."""
    form = re.compile(f"[0-9a-f]{{{2 * size}}}")

    def read(value: object) -> bytes:
        if not isinstance(value, str) or not form.fullmatch(value):
            raise Unfit(f"{2 * size} hexadecimal digits", value)
        return bytes.fromhex(value)

    return Kind(read, bytes.hex)


def one_of(words: type[StrEnum]) -> Kind:
    """Return the kind of the words of a closed set."""

    def read(value: object) -> StrEnum:
        if not isinstance(value, str) or value not in list(words):
            raise Unfit(f"one of {', '.join(words)}", value)
        return words(value)

    return Kind(read, str)


def optional(kind: Kind) -> Kind:
    """Return the kind that is either `None` or of that kind."""
    return Kind(
        lambda value: None if value is None else kind.read(value),
        lambda value: None if value is None else kind.write(value),
    )


def many(kind: Kind, most: int) -> Kind:
    """Return the kind of tuples of that kind, written as arrays."""

    def read(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) > most:
            raise Unfit(f"an array of at most {most}", value)
        return tuple(_inside(f"[{place}]", kind, each) for place, each in enumerate(value))

    return Kind(read, lambda values: [kind.write(value) for value in values])


def mapping(key: Kind, value: Kind, most: int) -> Kind:
    """Return the kind of dictionaries, written as objects: their keys are strings there."""

    def read(given: object) -> dict[Any, Any]:
        if not isinstance(given, dict) or len(given) > most:
            raise Unfit(f"an object of at most {most} fields", given)
        return {
            _inside(" key", key, name): _inside(f"[{shown(name)}]", value, each)
            for name, each in given.items()
        }

    return Kind(
        read, lambda given: {key.write(name): value.write(each) for name, each in given.items()}
    )


def record(cls: type[Any]) -> Kind:
    """Return the kind of dataclasses inside a message, declared as messages are."""
    shape = Shape(cls)

    def read(value: object) -> Any:
        if not isinstance(value, dict):
            raise Unfit("an object", value)
        return shape.read(value)

    return Kind(read, shape.write)


def _read_address(value: object) -> str:
    rule = 'the address and port of one node, such as "10.1.2.3:33000" or "[fd00::1]:33000"'
    match = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if match is None or not 1 <= int(match["port"]) <= 65535:
        raise Unfit(rule, value)
    try:
        address = ip_address(match["six"] or match["four"])
    except ValueError:
        raise Unfit(rule, value) from None
    is_bracketed = match["six"] is not None
    if is_bracketed != (address.version == 6) or address.is_unspecified or address.is_multicast:
        raise Unfit(rule, value)
    return match[0]


class Shape:
    """The fields of one dataclass, read off its annotations."""

    def __init__(self, cls: type[Any]) -> None:
        hints = get_type_hints(cls, include_extras=True)
        self._cls = cls
        self._fields: list[tuple[str, Kind, bool]] = []
        for field in fields(cls):
            (kind,) = (each for each in get_args(hints[field.name]) if isinstance(each, Kind))
            is_needed = field.default is MISSING and field.default_factory is MISSING
            self._fields.append((field.name, kind, is_needed))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the fields, in order."""
        return tuple(name for name, _, _ in self._fields)

    def read(self, given: Mapping[str, object]) -> Any:
        """Return the value that these fields make; fields that it does not have are ignored."""
        values: dict[str, Any] = {}
        for name, kind, is_needed in self._fields:
            value = given.get(name, _MISSING)
            if value is not _MISSING:
                values[name] = _inside(f".{name}", kind, value)
            elif is_needed:
                raise Unfit("present", None, f".{name}")
        return self._cls(**values)

    def write(self, value: Any) -> dict[str, Any]:
        """Return the fields of a value."""
        return {name: kind.write(getattr(value, name)) for name, kind, _ in self._fields}


def _inside(place: str, kind: Kind, value: object) -> Any:
    try:
        return kind.read(value)
    except Unfit as unfit:
        raise Unfit(unfit.rule, unfit.value, f"{place}{unfit.place}") from None


BOOLEAN: Final = Kind(_read_boolean)
COUNT: Final = integer(0, 2**63 - 1)
# Never 0: a node that has lost its memory must not pass for an older life of its own.
INCARNATION: Final = integer(1, 2**63 - 1)
NAME: Final = text(64, "[a-z0-9][a-z0-9._-]*")
NODE_ID: Final = text(64, "[A-Za-z0-9][A-Za-z0-9._-]*")
# Numbers only: no peer can make this node ask a name server.
ADDRESS: Final = Kind(_read_address)
