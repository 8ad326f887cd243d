"""Reads JSON that Azure's metadata service has sent, or whoever answers in its place. Pure."""

import json
from typing import Any, Final

_LONGEST_SHOWN: Final = 60


class Unreadable(ValueError):
    """An answer is not what it should be; `str` says in words what it is instead."""


def table_of(body: bytes) -> dict[str, Any]:
    """
    Return the table that an answer consists of.

    Raises:
        Unreadable: It is none.
    """
    try:
        value = json.loads(body.decode("utf-8-sig"))
    except RecursionError as error:
        raise Unreadable("its JSON is nested too deep") from error
    except ValueError as error:
        raise Unreadable(f"it is no JSON: {_beginning(body)}") from error
    if not isinstance(value, dict):
        raise Unreadable(f"expected a table of JSON, got: {_beginning(body)}")
    return value


def inside(value: object, *path: str) -> object:
    """Return what lies below a value, through one table after the other; None if it is missing."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def listed(value: object) -> list[Any]:
    """Return a list as it is; of anything else, an empty one."""
    return value if isinstance(value, list) else []


def word(value: object, longest: int) -> str:
    """Return a string of printable characters as it is; of anything else, an empty one."""
    is_word = isinstance(value, str) and len(value) <= longest and value.isprintable()
    return str(value) if is_word else ""


def sentence(value: object, longest: int) -> str:
    """Return a string on one line, without what cannot be printed, cut short."""
    if not isinstance(value, str):
        return ""
    line = " ".join(value[: 4 * longest].split())
    return "".join(each for each in line if each.isprintable())[:longest]


def _beginning(body: bytes) -> str:
    text = sentence(body[: 4 * _LONGEST_SHOWN].decode("utf-8", "replace"), _LONGEST_SHOWN)
    return repr(text) if text else "nothing"
