"""
When a role ran too seldom or too often, by what its instances have written. Pure.

Times are seconds of one clock for all; `Life` is one instance, from its start to its end.
"""

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from tests.cluster.live.checker import Life


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time."""

    since: float
    until: float

    @property
    def seconds(self) -> float:
        return self.until - self.since


@dataclass(frozen=True, slots=True)
class Absence:
    """
    When nothing may be expected of a node: after a notice, or while its machine stands still.

    Attributes:
        node: Its name.
        since: When that began.
        until: When it was over.
        again: When its machine had come back: what starts there from then on counts, although
            nothing is expected yet.
    """

    node: str
    since: float
    until: float = math.inf
    again: float = math.inf

    def is_at(self, moment: float) -> bool:
        return self.since <= moment < self.until

    def concerns(self, life: Life) -> bool:
        return life.node == self.node and life.began < self.again


def lacks(
    instances: Iterable[Life],
    *,
    wanted: int,
    able: Collection[str],
    absences: Iterable[Absence],
    within: Span,
) -> list[Span]:
    """
    Return when fewer ran on nodes that were not absent than could.

    Args:
        instances: Of one role.
        wanted: How many are to run.
        able: The names of the nodes that can run it.
        absences: When which of them were absent.
        within: Which stretch of time is looked at.
    """
    lives = list(instances)
    absent = list(absences)

    def is_lacking(moment: float) -> bool:
        now = [each for each in absent if each.is_at(moment)]
        running = [life for life in lives if life.runs_at(moment)]
        there = [life for life in running if not any(each.concerns(life) for each in now)]
        return len(there) < min(wanted, len(set(able) - {each.node for each in now}))

    moments = [moment for each in absent for moment in (each.since, each.until)]
    return _spans(is_lacking, [*moments, *_turns(lives)], within)


def surpluses(
    instances: Iterable[Life], *, wanted: int, still: Iterable[Absence], within: Span
) -> list[Span]:
    """
    Return when more of a role acted than wanted.

    Args:
        instances: Of one role.
        wanted: How many are to run.
        still: When which nodes stood still.
        within: Which stretch of time is looked at.
    """
    lives = list(instances)
    stood = list(still)

    def is_surplus(moment: float) -> bool:
        frozen = {each.node for each in stood if each.is_at(moment)}
        return sum(life.runs_at(moment) for life in lives if life.node not in frozen) > wanted

    moments = [moment for each in stood for moment in (each.since, each.until)]
    return _spans(is_surplus, [*moments, *_turns(lives)], within)


def _turns(lives: Iterable[Life]) -> list[float]:
    """Return when anything changed."""
    found = [(life.began, life.ended) for life in lives]
    return [moment for both in found for moment in both if moment is not None]


def _spans(holds: Callable[[float], bool], moments: Iterable[float], within: Span) -> list[Span]:
    """Return when something held that changes only at some moments."""
    inside = {each for each in moments if within.since <= each < within.until}
    ordered = sorted({within.since, *inside})
    found: list[Span] = []
    for since, until in zip(ordered, [*ordered[1:], within.until], strict=True):
        if not holds(since):
            continue
        goes_on = found and found[-1].until == since
        found.append(Span(found.pop().since if goes_on else since, until))
    return found
