"""
Theory of operation of the failure detector: what one node is to another, and when that changes.

A *sign* is what membership makes of an event that concerns one other node. The table has an entry
for every status and sign; everything that changes a status is in this file. Time is a number.

A node is heard over its links. If it is not, others may vouch for it: they tell how long ago they
heard it themselves. That keeps it from being down, since one bad link must not cost a node, but it
stays suspect, since nothing can be sent to it. If its machine is *due*, which means that it may
be gone by now, nobody's word is waited for: a node that is due that is quiet is down, and so is one
whose link has closed and that is not linked again within a moment.

A node that is down comes back when a link to it is opened, which takes its answer to a fresh
challenge. Old messages are no such proof, and a node that has left does not come back: its next
boot has another identity.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from beethoven.cluster.member import Cause, Status
from beethoven.cluster.timing import Timing


class Sign(StrEnum):
    """What an event says about one other node."""

    LINKED = "a link was opened"
    HEARD = "a message came over a link"
    VOUCHED = "another node, or its own beacon, says that it lives"
    UNLINKED = "its last link closed"
    REFUSED = "its port refuses, and no link is open"
    QUIET = "nothing was heard of it for half of the silence"
    SILENT = "nothing was heard of it for the whole silence, from nobody"
    LEAVING = "it said that it leaves"
    DUE = "its machine may be gone by now, and a moment has passed"


_TRANSITIONS: Final[dict[tuple[Status, Sign], Status]] = {
    (Status.ALIVE, Sign.LINKED): Status.ALIVE,
    (Status.ALIVE, Sign.HEARD): Status.ALIVE,
    (Status.ALIVE, Sign.VOUCHED): Status.ALIVE,
    (Status.ALIVE, Sign.UNLINKED): Status.SUSPECT,
    (Status.ALIVE, Sign.REFUSED): Status.DOWN,
    (Status.ALIVE, Sign.QUIET): Status.SUSPECT,
    (Status.ALIVE, Sign.SILENT): Status.DOWN,
    (Status.ALIVE, Sign.LEAVING): Status.LEFT,
    (Status.ALIVE, Sign.DUE): Status.ALIVE,  # it is heard: it goes when it goes
    (Status.SUSPECT, Sign.LINKED): Status.ALIVE,
    (Status.SUSPECT, Sign.HEARD): Status.ALIVE,
    (Status.SUSPECT, Sign.VOUCHED): Status.SUSPECT,
    (Status.SUSPECT, Sign.UNLINKED): Status.SUSPECT,
    (Status.SUSPECT, Sign.REFUSED): Status.DOWN,
    (Status.SUSPECT, Sign.QUIET): Status.SUSPECT,
    (Status.SUSPECT, Sign.SILENT): Status.DOWN,
    (Status.SUSPECT, Sign.LEAVING): Status.LEFT,
    (Status.SUSPECT, Sign.DUE): Status.DOWN,
    (Status.DOWN, Sign.LINKED): Status.ALIVE,
    (Status.DOWN, Sign.HEARD): Status.DOWN,  # its links are closed: this is old mail
    (Status.DOWN, Sign.VOUCHED): Status.DOWN,
    (Status.DOWN, Sign.UNLINKED): Status.DOWN,
    (Status.DOWN, Sign.REFUSED): Status.DOWN,
    (Status.DOWN, Sign.QUIET): Status.DOWN,
    (Status.DOWN, Sign.SILENT): Status.DOWN,
    (Status.DOWN, Sign.LEAVING): Status.LEFT,
    (Status.DOWN, Sign.DUE): Status.DOWN,
    (Status.LEFT, Sign.LINKED): Status.LEFT,
    (Status.LEFT, Sign.HEARD): Status.LEFT,
    (Status.LEFT, Sign.VOUCHED): Status.LEFT,
    (Status.LEFT, Sign.UNLINKED): Status.LEFT,
    (Status.LEFT, Sign.REFUSED): Status.LEFT,
    (Status.LEFT, Sign.QUIET): Status.LEFT,
    (Status.LEFT, Sign.SILENT): Status.LEFT,
    (Status.LEFT, Sign.LEAVING): Status.LEFT,
    (Status.LEFT, Sign.DUE): Status.LEFT,
}

_CAUSES: Final = {
    Sign.UNLINKED: Cause.UNLINKED,
    Sign.QUIET: Cause.QUIET,
    Sign.REFUSED: Cause.REFUSED,
    Sign.SILENT: Cause.SILENT,
    Sign.DUE: Cause.DUE,
}


@dataclass(frozen=True, slots=True)
class Health:
    """
    What is known of the life of one other node. All times are monotonic.

    Attributes:
        status: What it is to us.
        since: When that began.
        heard_at: When it was last heard over a link of ours.
        vouched_at: When it was last heard by anybody we know of.
        cause: Why it is suspect or down.
    """

    # Invariant: heard_at <= vouched_at
    status: Status
    since: float
    heard_at: float
    vouched_at: float
    cause: Cause | None = None

    @classmethod
    def first(cls, *, now: float) -> "Health":
        """Return the health of a node to which a link was opened for the first time."""
        return cls(Status.ALIVE, now, now, now)

    @property
    def is_up(self) -> bool:
        """Whether the node counts as a member: alive or suspect."""
        return self.status in {Status.ALIVE, Status.SUSPECT}

    def after(self, sign: Sign, *, now: float, vouched_at: float = 0.0) -> "Health":
        """
        Return the health after a sign.

        Args:
            sign: What is known now.
            now: When it became known.
            vouched_at: With `VOUCHED`: when the node was heard, by whom ever.
        """
        heard_at, seen_at = self.heard_at, max(self.vouched_at, min(vouched_at, now))
        if sign in {Sign.LINKED, Sign.HEARD}:
            heard_at = seen_at = max(now, self.heard_at)
        status = _TRANSITIONS[self.status, sign]
        if status is self.status:
            return replace(self, heard_at=heard_at, vouched_at=seen_at)
        return Health(status, now, heard_at, seen_at, _CAUSES.get(sign))

    def judge(self, timing: Timing, *, now: float) -> Sign | None:
        """Return what the silence of the node says, or `None` while it says nothing new."""
        if self.is_up and now >= self.vouched_at + timing.silence:
            return Sign.SILENT
        if self.status is Status.ALIVE and now >= self.heard_at + timing.suspicion:
            return Sign.QUIET
        return None

    def next_judgement(self, timing: Timing) -> float | None:
        """Return when `judge` will have something to say if nothing is heard, or `None`."""
        if self.status is Status.ALIVE:
            return min(self.heard_at + timing.suspicion, self.vouched_at + timing.silence)
        return self.vouched_at + timing.silence if self.status is Status.SUSPECT else None

    def due_at(self, timing: Timing) -> float | None:
        """Return when the node is down if its machine is due, or `None` while it is heard."""
        if self.status is not Status.SUSPECT:
            return None
        return self.since + (timing.last_chance if self.cause is Cause.UNLINKED else 0.0)

    def extended(self, lateness: float, *, now: float) -> "Health":
        """
        Return the health as if the node had been heard that much later.

        What was said while we were frozen waits unread; we heard nothing because we did not listen.
        """
        heard_at = max(self.heard_at, min(now, self.heard_at + lateness))
        vouched_at = max(self.vouched_at, min(now, self.vouched_at + lateness))
        return replace(self, heard_at=heard_at, vouched_at=vouched_at)
