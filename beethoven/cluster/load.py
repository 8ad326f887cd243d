"""
How busy a node is: one score from its CPU, its memory, its roles and the signals of its users.

The score counts points, and everything in it is a signal with a weight:

```text
score = 1.00 * cpu / 100  +  0.50 * memory / 100  +  0.05 * roles  +  the points of the signals
```

So an idle node has next to none, and one whose CPU is fully busy has at least one. Memory counts
half, as memory in use slows nothing down; a role counts little, as what it does shows in the CPU.
CPU and memory are those of the whole machine: two nodes on one machine see the same.

One sample moves no roles: CPU is averaged with a half-life of `HALF_LIFE` seconds, and others are
told only of a load that differs enough, or every `TELL_AGAIN` seconds. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp2
from typing import Annotated, Final

from beethoven.cluster.fields import COUNT, mapping, number, optional, text
from beethoven.cluster.signal_board import LONGEST_NAME, MOST_POINTS, MOST_SIGNALS, SIGNAL_NAME

CPU_WEIGHT: Final = 1.0
MEMORY_WEIGHT: Final = 0.5
ROLE_WEIGHT: Final = 0.05

# After so many seconds a change of the CPU counts half, after twice as many three quarters.
HALF_LIFE: Final = 10.0
# So many points of difference are worth telling.
WORTH_TELLING: Final = 0.05
# After so many seconds a load is told in any case.
TELL_AGAIN: Final = 30.0

# A node that cannot measure itself must look neither idle, or it would get every role, nor full.
_UNKNOWN: Final = 50.0

_PERCENT: Final = optional(number(0.0, 100.0))
_POINTS: Final = number(0.0, MOST_POINTS)
_SIGNALS: Final = mapping(text(LONGEST_NAME, SIGNAL_NAME.pattern), _POINTS, MOST_SIGNALS)


@dataclass(frozen=True, slots=True)
class Load:
    """
    How busy a node is.

    Attributes:
        score: The one number by which nodes are compared, >= 0; the higher, the busier.
        cpu: CPU in use over the last seconds, 0 to 100; None if that cannot be known.
        memory: Memory in use, 0 to 100; None if that cannot be known.
        roles: How many instances the node runs.
        signals: What each user signal adds to the score, by name.
        cpus: How many cores the node may use; 0 if that is not known.
    """

    score: Annotated[float, _POINTS] = 0.0
    cpu: Annotated[float | None, _PERCENT] = None
    memory: Annotated[float | None, _PERCENT] = None
    roles: Annotated[int, COUNT] = 0
    signals: Annotated[Mapping[str, float], _SIGNALS] = field(default_factory=dict)
    cpus: Annotated[int, COUNT] = 0


def score(
    cpu: float | None, memory: float | None, roles: int, signals: Mapping[str, float]
) -> float:
    """
    Return the score of a node; it never falls when one of these rises.

    Args:
        cpu: Percent, or None if unknown: then it counts as half.
        memory: Percent, or None if unknown: then it counts as half.
        roles: Instances that the node runs, >= 0.
        signals: Points by name, each >= 0.

    Returns:
        Points with four decimals, 0 to `MOST_POINTS`.
    """
    points = (
        CPU_WEIGHT * _known(cpu) / 100.0
        + MEMORY_WEIGHT * _known(memory) / 100.0
        + ROLE_WEIGHT * roles
        + sum(signals.values())
    )
    return round(min(MOST_POINTS, points), 4)


def _known(percent: float | None) -> float:
    return _UNKNOWN if percent is None else percent


def load_of(
    cpu: float | None,
    memory: float | None,
    roles: int,
    signals: Mapping[str, float],
    *,
    cpus: int = 0,
) -> Load:
    """Return the load that these make, with percentages of one decimal; see `score`."""
    cpu, memory = (None if each is None else round(each, 1) for each in (cpu, memory))
    return Load(score(cpu, memory, roles, signals), cpu, memory, roles, dict(signals), cpus)


def smoothed(
    before: float | None, sample: float, elapsed: float, half_life: float = HALF_LIFE
) -> float:
    """
    Return the average after one more sample: it has moved half of the way after each half-life.

    Args:
        before: The average so far; None before the first sample, which is taken as it is.
        sample: What was measured now, as the mean of the time since the last sample.
        elapsed: That time in seconds, >= 0.
        half_life: Seconds > 0.
    """
    if before is None:
        return sample
    return sample + (before - sample) * exp2(-elapsed / half_life)


def is_worth_telling(told: Load | None, load: Load, age: float) -> bool:
    """
    Return whether others should hear of a load.

    Args:
        told: What they heard last; None if nothing.
        load: What it is now.
        age: Seconds since they heard.
    """
    if told is None or age >= TELL_AGAIN or told.roles != load.roles:
        return True
    if told.signals.keys() != load.signals.keys():
        return True
    return abs(told.score - load.score) >= WORTH_TELLING
