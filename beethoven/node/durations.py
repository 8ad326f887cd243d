"""Durations as people write them: `5`, `0.5`, "1.5s", "500ms", "2m", "1h"."""

import re
from typing import Final

# The system's waits count milliseconds in 31 bits, which is a little longer.
LONGEST: Final = 2_000_000.0

_SECONDS_PER_UNIT: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_TEXT: Final = re.compile(r"(?P<count>[0-9]+(\.[0-9]+)?) ?(?P<unit>ms|s|m|h)")


def seconds_of(value: object) -> float | None:
    """
    Return a duration in seconds, or `None` if the value is none.

    Args:
        value: A number of seconds, or text of a number and one of the units ms, s, m, h. A
            duration may be negative, infinite or no number (nan), as numbers of TOML may.
    """
    match value:
        case bool():
            return None
        case int() | float():
            return value
        case str() if found := _TEXT.fullmatch(value):
            return float(found["count"]) * _SECONDS_PER_UNIT[found["unit"]]
    return None
