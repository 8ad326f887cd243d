"""What a measurement yields: figures, each with the baselines and goals of the same run."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Goal:
    """
    One number that a figure is to reach (design, "Numbers to reach").

    Attributes:
        text: The goal in words.
        actual: What was measured, in the goal's own unit.
        limit: What is to be reached.
        is_floor: Whether `actual` is to be at least `limit` instead of at most.
    """

    text: str
    actual: float
    limit: float
    is_floor: bool = False

    @property
    def is_reached(self) -> bool:
        return self.actual >= self.limit if self.is_floor else self.actual <= self.limit


@dataclass(frozen=True, slots=True)
class Figure:
    """
    One row of the table.

    Attributes:
        key: Stays the same from version to version.
        what: What was measured, in words.
        value: The median.
        unit: Of `value` and of the baselines.
        rounds: How many samples or rounds `value` is the median of.
        baselines: What plain Python needs for the same, measured in turns with it.
        goals: What is to be reached; empty for what is only told.
        note: What else there is to know.
    """

    key: str
    what: str
    value: float
    unit: str
    rounds: int
    baselines: Mapping[str, float] = field(default_factory=dict)
    goals: Sequence[Goal] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row that could not be measured, and why."""

    key: str
    what: str
    reason: str


Row: TypeAlias = Figure | Skipped


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured. Every loop of the benchmark is bounded by one of these counts."""

    call_rounds: int
    calls: int
    cast_rounds: int
    casts: int
    start_rounds: int
    first_rounds: int
    idle: int
    crowd: int
    node_rounds: int
    seconds: int


FULL = Sizes(12, 2000, 8, 50_000, 40, 5, 10, 300, 3, 300)
SMOKE = Sizes(2, 50, 2, 500, 2, 1, 2, 8, 1, 200)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios of each round: what disturbs a round disturbs both."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the sample below which `share` of all samples lie."""
    return sorted(samples)[min(len(samples) - 1, int(len(samples) * share))]


Measure: TypeAlias = Callable[[Sizes], list[Row]]
