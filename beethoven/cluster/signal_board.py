"""
User signals: what roles say about how busy they keep this node, and the board that collects them.

A signal belongs to the process that set it and goes with it. Two processes may use one name: what
they add to the score is summed. Pure.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Any, Final

from beethoven.errors import SpecError
from beethoven.supervision.checks import check_number, check_word

# Names go to other nodes: the same form as all names there.
SIGNAL_NAME: Final = re.compile("[a-z0-9][a-z0-9._-]*")
LONGEST_NAME: Final = 64
MOST_SIGNALS: Final = 64
# Nothing adds more points than this, nor does all of it together.
MOST_POINTS: Final = 1e9
_FULL: Final = 100.0
_LARGEST: Final = 1e300


class SignalKind(StrEnum):
    """What the value of a signal is."""

    COUNT = "count"
    PERCENT = "percent"


@dataclass(frozen=True, slots=True)
class Setting:
    """
    One signal as its process has set it.

    Attributes:
        name: Which signal.
        weight: How much it counts, >= 0: the points of each one counted, or of 100 percent.
        kind: What the value is.
        value: >= 0, and at most 100 if it is a percentage.
    """

    name: str
    weight: float = 1.0
    kind: SignalKind = SignalKind.COUNT
    value: float = 0.0

    @property
    def points(self) -> float:
        """What it adds to the score: `weight * value`; of a percentage, `weight * value / 100`."""
        share = self.value if self.kind is SignalKind.COUNT else self.value / _FULL
        return min(MOST_POINTS, self.weight * share)


def check_setting(name: object, weight: object, kind: object, value: object) -> Setting:
    """
    Return the setting that these make; a value out of its range becomes the nearest one in it.

    Raises:
        SpecError: The name, the weight or the kind can be none, or the value is no finite number.
    """
    is_name = isinstance(name, str) and len(name) <= LONGEST_NAME and SIGNAL_NAME.fullmatch(name)
    if not (isinstance(name, str) and is_name):
        rule = f"at most {LONGEST_NAME} characters ({SIGNAL_NAME.pattern})"
        raise SpecError(subject="signal", field="name", expected=rule, got=name)
    subject = f"signal {name!r}"
    return Setting(
        name,
        check_number(subject, "weight", weight, "a number >= 0"),
        check_word(subject, "kind", SignalKind, kind),
        in_range(kind, check_value(subject, value)),
    )


def check_value(subject: str, value: Any) -> float:
    """Return the value as a float; raise SpecError if it is no finite number."""
    return check_number(subject, "value", value, "a finite number", above=-inf, least=-inf)


def in_range(kind: object, value: float) -> float:
    """Return the nearest value that a signal of that kind can have."""
    return max(0.0, min(value, _FULL if kind == SignalKind.PERCENT else _LARGEST))


@dataclass(slots=True)
class SignalBoard:
    """The signals of one node, by the process that set them."""

    _settings: dict[str, dict[str, Setting]] = field(default_factory=dict)

    def set(self, setter: str, setting: Setting) -> bool:
        """
        Take a signal in, instead of the one of that name of the same process.

        Returns:
            False if it was refused: the node has `MOST_SIGNALS` names already.
        """
        names = {name for own in self._settings.values() for name in own}
        if setting.name not in names and len(names) >= MOST_SIGNALS:
            return False
        self._settings.setdefault(setter, {})[setting.name] = setting
        return True

    def forget(self, setter: str, name: str) -> None:
        """Drop a signal of a process, if it has set it."""
        self._settings.get(setter, {}).pop(name, None)

    def forget_setter(self, setter: str) -> None:
        """Drop all signals of a process."""
        self._settings.pop(setter, None)

    def points(self) -> Mapping[str, float]:
        """Return what each signal adds to the score, by name, in the order of the names."""
        totals: dict[str, float] = {}
        for own in self._settings.values():
            for name, setting in own.items():
                totals[name] = min(MOST_POINTS, totals.get(name, 0.0) + setting.points)
        return dict(sorted(totals.items()))
