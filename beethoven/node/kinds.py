"""
The kinds of values that a configuration file holds.

A kind is a function that takes a value of TOML and returns the checked one, or raises `Unexpected`.
"""

import re
import signal
from collections.abc import Callable, Sequence
from enum import StrEnum
from keyword import iskeyword
from typing import Final, TypeVar

from beethoven.node.durations import LONGEST, seconds_of
from beethoven.node.report import shown
from beethoven.vocabulary import BRUTAL_KILL, INFINITY

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

Kind = Callable[[object], T]

# What TOML and messages between nodes can hold.
LARGEST: Final = 2**63 - 1
_MOST_LABELS: Final = 32
_LABEL: Final = "[A-Za-z0-9][A-Za-z0-9._=:/-]*"


class Unexpected(ValueError):
    """A value is not of its kind. The message says what was expected and what was got."""

    def __init__(self, expected: str, value: object, *, fix: str | None = None) -> None:
        super().__init__(f"expected {expected}, got: {shown(value)}")
        self.expected = expected
        self.fix = fix


def anything(value: object) -> object:
    """Return the value: any will do."""
    return value


def boolean(value: object) -> bool:
    """Check `true` or `false`."""
    if not isinstance(value, bool):
        raise Unexpected("true or false", value)
    return value


def text(value: object) -> str:
    """Check a string that the operating system can take."""
    if not isinstance(value, str):
        raise Unexpected("a string", value)
    if "\0" in value:
        raise Unexpected("a string without NUL", value)
    return value


def integer(lowest: int, highest: int = LARGEST) -> Kind[int]:
    """Return the kind of integers in a range, both ends included."""
    rule = f">= {lowest}" if highest == LARGEST else f"from {lowest} to {highest}"

    def check(value: object) -> int:
        if type(value) is not int or not lowest <= value <= highest:
            is_huge = type(value) is int and value > LARGEST
            fix = f"the largest is {LARGEST}" if is_huge else None
            raise Unexpected(f"an integer {rule}", value, fix=fix)
        return value

    return check


def one_of(words: type[E]) -> Kind[E]:
    """Return the kind of the words of a closed set."""

    def check(value: object) -> E:
        if not isinstance(value, str) or value not in list(words):
            raise Unexpected(alternatives([f'"{word}"' for word in words]), value)
        return words(value)

    return check


def matching(pattern: str, *, called: str, longest: int) -> Kind[str]:
    """Return the kind of strings of one form, such as names."""
    form = re.compile(pattern)

    def check(value: object) -> str:
        if not isinstance(value, str) or len(value) > longest or not form.fullmatch(value):
            raise Unexpected(f"{called} ({pattern}, at most {longest} characters)", value)
        return value

    return check


_label: Final = matching(_LABEL, called="a label", longest=64)
zone: Final = matching(f"({_LABEL})?", called="a zone", longest=64)


def duration(value: object) -> float:
    """Check a duration that is not nothing, and return it in seconds."""
    seconds = seconds_of(value)
    if seconds is None or not 0 < seconds <= LONGEST:
        rule = 'seconds > 0 or a duration such as "1.5s", "500ms" or "2m"'
        raise Unexpected(rule, value, fix=_shorten(seconds))
    return float(seconds)


def patience(value: object) -> float:
    """Check how long something is waited for, which may be not at all, and return it in seconds."""
    seconds = seconds_of(value)
    if seconds is None or not 0 <= seconds <= LONGEST:
        rule = 'seconds >= 0 or a duration such as "1.5s", "500ms" or "2m"'
        raise Unexpected(rule, value, fix=_shorten(seconds))
    return float(seconds)


def shutdown(value: object) -> float | str:
    """Check how long a stop may take, and return it in seconds or as its word."""
    if isinstance(value, str) and value in {BRUTAL_KILL, INFINITY}:
        return value
    seconds = seconds_of(value)
    if seconds is None or not 0 <= seconds <= LONGEST:
        rule = 'seconds >= 0, a duration such as "1.5s", "brutal_kill" or "infinity"'
        raise Unexpected(rule, value, fix=_shorten(seconds))
    return float(seconds)


def stop_signal(value: object) -> signal.Signals:
    """Check the name of a signal, with or without `SIG`."""
    name = f"SIG{value.removeprefix('SIG')}" if isinstance(value, str) else ""
    if name not in signal.Signals.__members__:
        raise Unexpected('the name of a signal, such as "TERM"', value)
    return signal.Signals[name]


def module(value: object) -> str:
    """Check the form `package.module:Class`; whether it can be loaded is another question."""
    if (
        not isinstance(value, str)
        or value.count(":") != 1
        or not _is_dotted(value.replace(":", "."))
    ):
        raise Unexpected('"package.module:Class"', value, fix=_with_colon(value))
    return value


def command(value: object) -> tuple[str, ...]:
    """Check a list of strings, of which the first is not empty: a program and its arguments."""
    if not isinstance(value, list) or not value or not value[0]:
        raise Unexpected("a list of strings, the program first", value, fix=_as_list(value))
    return tuple(text(word) for word in value)


def labels(value: object) -> frozenset[str]:
    """Check a list of labels of nodes."""
    if not isinstance(value, list) or len(value) > _MOST_LABELS:
        raise Unexpected(f"a list of at most {_MOST_LABELS} labels", value, fix=_as_list(value))
    return frozenset(_label(each) for each in value)


def alternatives(choices: Sequence[str]) -> str:
    """Return `a, b or c`."""
    *first, last = choices
    return f"{', '.join(first)} or {last}" if first else last


def _shorten(seconds: float | None) -> str | None:
    is_long = seconds is not None and seconds > LONGEST
    return f"the longest is {LONGEST:.0f} seconds" if is_long else None


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() and not iskeyword(part) for part in name.split("."))


def _with_colon(value: object) -> str | None:
    if isinstance(value, str) and _is_dotted(value) and "." in value:
        return f'did you mean "{":".join(value.rsplit(".", 1))}"?'
    return None


def _as_list(value: object) -> str | None:
    if isinstance(value, str) and (parts := value.split()) and not set(value) & set("'\"\\\0"):
        return f"write {shown(parts)}"
    return None
