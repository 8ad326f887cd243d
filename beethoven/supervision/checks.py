"""
The checks that specifications, flags and options share.

Each returns the value in its normal form, or raises the one error that names the field.
"""

import math
from enum import StrEnum
from typing import Any, NoReturn, TypeVar

from beethoven.errors import SpecError

Word = TypeVar("Word", bound=StrEnum)


def refuse(subject: str, field: str, rule: str, *, got: object) -> NoReturn:
    """Raise the error that says what the field should have been."""
    raise SpecError(subject=subject, field=field, expected=rule, got=got)


def check_word(subject: str, field: str, words: type[Word], value: object) -> Word:
    """Return the word of a closed set that the value is or spells."""
    if isinstance(value, str) and value in set(words):
        return words(value)
    *first, last = [repr(str(word)) for word in words]
    refuse(subject, field, f"{', '.join(first)} or {last}", got=value)


def check_count(subject: str, field: str, value: Any, rule: str = "an integer >= 0") -> int:
    """Return the value if it is a whole number, 0 or more; a bool is not a number."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        refuse(subject, field, rule, got=value)
    return value


def check_number(
    subject: str, field: str, value: Any, rule: str, *, above: float = -1.0, least: float = 0.0
) -> float:
    """Return the value as a float if it is a finite number > `above` and >= `least`."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and value > above and value >= least):
        refuse(subject, field, rule, got=value)
    return float(value)
