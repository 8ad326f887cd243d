"""
Stops and starts that must happen one after another: what group strategies are made of.

A plan first stops children, each to its end, then starts children, each until it is up. It only
holds the order; `supervisor_state` takes the steps.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from beethoven.supervision.children import Child
from beethoven.vocabulary import Strategy


class Purpose(StrEnum):
    """What a plan is for, which decides what a failing start in it means."""

    INITIAL = "start"
    REQUEST = "start_child"
    RESTART = "restart"
    SHUTDOWN = "shutdown"


@dataclass(slots=True, eq=False)
class Plan:
    """
    Children to stop, then children to start, in order.

    Attributes:
        stops: Still to be stopped, next first.
        starts: Still to be started, next first.
        current: The child whose stop or start is awaited.
        tried: Children whose start this plan began, `current` included.
    """

    purpose: Purpose
    stops: deque[Child] = field(default_factory=deque)
    starts: deque[Child] = field(default_factory=deque)
    current: Child | None = None
    tried: list[Child] = field(default_factory=list)

    @property
    def is_waiting(self) -> bool:
        """Whether the next step must wait for a child."""
        return self.current is not None and self.current.is_in_transition

    def withdraw(self, child: Child) -> None:
        """Do not start that child, nor again."""
        if child in self.starts:
            self.starts.remove(child)
        if child in self.tried:
            self.tried.remove(child)

    def after_failure(self, failed: Child, strategy: Strategy | str) -> "Plan":
        """
        Return the plan that retries after that child, the current one, did not start.

        Source:
            otp.md §1.7, "retry behaviour".
        """
        if strategy == Strategy.ONE_FOR_ALL:
            stops = reversed([child for child in self.tried if child is not failed])
            return Plan(Purpose.RESTART, deque(stops), deque([*self.tried, *self.starts]))
        return Plan(Purpose.RESTART, starts=deque([failed, *self.starts]))


def affected_by(failed: Child, children: Iterable[Child], strategy: Strategy | str) -> list[Child]:
    """
    Return the children that are restarted when that child is, itself included, in start order.

    Source:
        otp.md §1.7.
    """
    if strategy == Strategy.ONE_FOR_ONE:
        return [failed]
    everyone = list(children)
    return everyone if strategy == Strategy.ONE_FOR_ALL else everyone[everyone.index(failed) :]
