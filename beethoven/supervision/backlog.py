"""
What a static supervisor has yet to deal with, in order of arrival: the mailbox of OTP.

It says what is ready, never what to do about it: that is `supervisor_state`.
"""

from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

from beethoven import errors
from beethoven.runtime.reason import ExitReason
from beethoven.supervision.children import Child, Children
from beethoven.supervision.events import (
    Attempt,
    ChildStatus,
    DeleteChildRequested,
    Request,
    RestartChildRequested,
    StartChildRequested,
    TerminateChildRequested,
)
from beethoven.supervision.plan import Plan


@dataclass(frozen=True, slots=True, eq=False)
class Death:
    """A child that ran has ended; what follows is decided when its turn comes."""

    child: Child
    attempt: Attempt
    reason: ExitReason


@dataclass(frozen=True, slots=True, eq=False)
class Retry:
    """A restart failed at that child and is to be tried again."""

    plan: Plan
    failed: Child


ById: TypeAlias = TerminateChildRequested | RestartChildRequested | DeleteChildRequested
Accepted: TypeAlias = StartChildRequested | ById
Item: TypeAlias = Death | Retry | Accepted


def child_id_of(request: Accepted) -> str:
    """Return the id of the child that a request is about."""
    return request.spec.id if isinstance(request, StartChildRequested) else request.id


class Backlog:
    """Deaths, retries and requests that wait until nothing stands in their way."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()

    def add(self, item: Item) -> None:
        self._items.append(item)

    def next_ready(self, children: Children, *, is_busy: bool) -> Item | None:
        """
        Take out the first item that need not wait.

        Args:
            children: All children of the supervisor.
            is_busy: Whether a plan is being carried out.
        """
        held: set[str] = set()
        for item in self._items:
            if isinstance(item, Death | Retry):
                ready = not is_busy
            else:
                child_id = child_id_of(item)
                ready = child_id not in held and _is_ready(item, children, is_busy=is_busy)
                if not ready:
                    held.add(child_id)
            if ready:
                self._items.remove(item)
                return item
        return None

    def withdraw(self, child: Child) -> None:
        """Take the child out of all retries."""
        for item in self._items:
            if isinstance(item, Retry):
                item.plan.withdraw(child)

    def clear(self) -> list[Request]:
        """Drop everything and return the requests that nobody will serve."""
        dropped = [i.request for i in self._items if not isinstance(i, Death | Retry)]
        self._items.clear()
        return dropped


def refusal(request: Accepted, child: Child) -> errors.SupervisionError | None:
    """
    Return why a child of that status is not started, restarted or deleted, if so.

    Source:
        otp.md §1.8.
    """
    name = repr(child.spec.id)
    if child.status is ChildStatus.RUNNING:
        return errors.ChildRunning(child=name)
    if isinstance(request, StartChildRequested):
        return errors.ChildAlreadyPresent(child=name)
    if child.status is ChildStatus.STOPPED:
        return None
    if child.status is ChildStatus.FAILED and isinstance(request, RestartChildRequested):
        return None
    return errors.ChildRestarting(child=name)


def _is_ready(request: Accepted, children: Children, *, is_busy: bool) -> bool:
    if isinstance(request, TerminateChildRequested):
        return True
    child = children.only(child_id_of(request))
    if not isinstance(child, Child):
        return not (is_busy and isinstance(request, StartChildRequested))
    if child.status is ChildStatus.STOPPING:
        return False
    # A stopped child may be one that the plan is yet to start.
    return not (is_busy and child.status is ChildStatus.STOPPED)
