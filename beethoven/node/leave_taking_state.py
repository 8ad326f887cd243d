"""
What leave-taking decides: until when a leaving node waits, what it has killed, when it stops.

Pure. Every moment is one of `clock.elapsed`, in seconds.
"""

from dataclasses import dataclass
from typing import Final, Literal

from beethoven.engine.events import Note

# How long what runs on a node whose machine is about to go may take to stop, and after which time
# the node goes whatever it runs, in seconds.
_GRACE: Final = 2.0
WITHDRAWAL: Final = 2.8
# How long a leaving node waits until the others have read that it leaves, in seconds.
_FAREWELL: Final = 0.5
_GLANCE: Final = 0.01


@dataclass(frozen=True, slots=True)
class HandOver:
    """Have the roles run elsewhere; a successor is to know until when."""

    until: float


@dataclass(frozen=True, slots=True)
class KillAt:
    """Tell all that runs to stop, and kill at a moment what has not."""

    moment: float


@dataclass(frozen=True, slots=True)
class TakeLeave:
    """Tell the others that this node leaves."""


@dataclass(frozen=True, slots=True)
class StopNode:
    """Stop the node at once."""


@dataclass(frozen=True, slots=True)
class Later:
    """Come back after so many seconds: with `time_is_up`, or with `go`."""

    after: float
    step: Literal["depart", "go"]


Effect = HandOver | KillAt | TakeLeave | StopNode | Later | Note


class LeaveTakingState:
    """
    Whether and how a node leaves.

    Args:
        name: Its name.
        timeout: How long its roles may take to come to run elsewhere, in seconds.
    """

    def __init__(self, name: str, timeout: float) -> None:
        self._name, self._timeout = name, timeout
        self._is_leaving = self._is_hurried = self._has_left = False
        self._until = 0.0
        self._kill_at: float | None = None
        self._gone_at = 0.0

    def begin(self, now: float, hurried_at: float | None, *, is_alone: bool) -> list[Effect]:
        """
        Have the roles run elsewhere, then take leave of the others, then stop the node.

        Args:
            now: The moment.
            hurried_at: When what stops too slowly is killed; None is never.
            is_alone: Whether there is nobody to hand over to.
        """
        if self._is_leaving:
            return []
        leaving = Note("node_leaving", "info", {"node": self._name})
        if is_alone and hurried_at is None:
            return [leaving, *self.depart(now)]
        begun = self._hand_over(now, now + self._timeout)
        # What is told has been written: a successor knows no less.
        return [*begun, leaving, *self.wait_for(now, hurried_at)]

    def wait_for(self, now: float, hurried_at: float | None) -> list[Effect]:
        """Stay, if it is leaving, until what stops too slowly was killed."""
        if hurried_at is None:
            return []
        self._is_hurried = True
        until = hurried_at + WITHDRAWAL
        if self._is_leaving and self._kill_at is None and until > self._until:
            return self._hand_over(now, until)
        return []

    def withdraw(self, now: float) -> list[Effect]:
        """Leave within a moment: the machine is about to go, and all is told to stop."""
        if self._kill_at is not None:
            return []
        self._kill_at, self._is_hurried = now + _GRACE, True
        return [*self._hand_over(now, now + WITHDRAWAL), *self.remind()]

    def hasten(self, now: float, hurried_at: float | None) -> list[Effect]:
        """Stop the node at once; if what stops too slowly is to be killed, do that before."""
        return [StopNode()] if hurried_at is None else self.withdraw(now)

    def remind(self) -> list[Effect]:
        """Say again when all is killed, if it is: whoever kills may have begun anew."""
        return [] if self._kill_at is None else [KillAt(self._kill_at)]

    def go_on(self, now: float, until: float) -> list[Effect]:
        """Go on with what a predecessor that died meanwhile has begun."""
        return self._hand_over(now, until)

    def nobody_is_left(self, now: float) -> list[Effect]:
        """Take leave if there is nobody to hand over to, and nothing to be killed."""
        return self.depart(now) if self._is_leaving and not self._is_hurried else []

    def time_is_up(self, now: float) -> list[Effect]:
        """Leave although roles are left, unless it has left already or waits longer by now."""
        if now < self._until:
            return [Later(self._until - now, "depart")]
        if self._has_left:
            return []
        return [Note("drain_timed_out", "warning", {"node": self._name}), *self.depart(now)]

    def depart(self, now: float) -> list[Effect]:
        """Take leave at once; `go` is next."""
        if self._has_left:
            return []
        self._is_leaving = self._has_left = True
        self._gone_at = now + _FAREWELL
        return [TakeLeave()]

    def go(self, now: float, *, is_linked: bool) -> list[Effect]:
        """Stop the node once the others have read that it leaves."""
        if is_linked and now < self._gone_at:
            return [Later(_GLANCE, "go")]
        return [StopNode()]

    def _hand_over(self, now: float, until: float) -> list[Effect]:
        self._is_leaving, self._until = True, until
        return [HandOver(until), Later(max(0.0, until - now), "depart")]
