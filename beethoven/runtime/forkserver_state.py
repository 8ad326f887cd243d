"""
What the fork server decides: which processes must go with a dead one, and when a death is over.

A process *ends* when the kernel says so; its death is *over*, and only then announced to its
parent, when everything that it started is gone too: strays (operating-system processes that it
started itself) and its own children in the tree. So a parent that starts a successor never overlaps
with anything of the generation before. Everything that decides this is in this file; `forkserver`
performs.
"""

from dataclasses import dataclass, field
from typing import Final

# An orphan runs its `terminate` in this time, else it is killed. The promise is one second for the
# whole subtree; orphans at every depth learn of it at the same moment.
ORPHAN_GRACE: Final = 0.5


@dataclass(slots=True)
class Life:
    """
    One process of the tree, from its birth until its death is over.

    Attributes:
        was_killed: Whether it was killed from here, which the system's statistics must not explain.
    """

    identity: str
    pid: int
    parent: str
    linked: bool
    has_ended: bool = False
    was_killed: bool = False
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill a process at once; it is our unreaped child, so its pid cannot be another's."""

    pid: int


@dataclass(frozen=True, slots=True)
class Terminate:
    """Ask a process to end (SIGTERM); it has no parent that could."""

    pid: int


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell the parent that a death is over."""

    identity: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing is left to look after, and nobody to look after it for."""


Effect = Kill | Terminate | Announce | Finish


@dataclass(slots=True)
class ForkServerState:
    """Births and deaths of one tree of processes."""

    lives: dict[str, Life] = field(default_factory=dict)
    is_finishing: bool = False

    def can_bear(self, parent: str, identity: str) -> bool:
        """
        Whether the process that asks for a birth still lives.

        Args:
            parent: Its identity; empty for the program that owns the tree.
            identity: That of the child, which begins with the number of this fork server. Of a
                parent that another fork server gave birth to nothing is known here.
        """
        if parent.partition("-")[0] != identity.partition("-")[0]:
            return True
        life = self.lives.get(parent)
        return life is not None and not life.has_ended

    def born(self, identity: str, pid: int, *, parent: str, linked: bool) -> None:
        """Note a birth. `parent` is empty for a child of the program that owns the tree."""
        self.lives[identity] = Life(identity, pid, parent, linked)

    def running(self, pid: int) -> Life | None:
        """Return the process of the tree that has this pid and has not ended, if there is one."""
        for life in self.lives.values():
            if life.pid == pid and not life.has_ended:
                return life
        return None

    def ended(self, identity: str, *, now: float) -> None:
        """Note that a process has ended: its whole subtree has until the same moment to go."""
        self.lives[identity].has_ended = True
        # A child that cannot hear of it does not tell its own children; they must not wait for it.
        # Parents come before their children here, for they are born before them.
        doomed, latest = {identity}, now + ORPHAN_GRACE
        for life in self.lives.values():
            if life.linked and life.parent in doomed:
                doomed.add(life.identity)
                if not life.has_ended:
                    life.deadline = latest if life.deadline is None else min(life.deadline, latest)

    def owner_ended(self, *, now: float) -> list[Effect]:
        """Note that the program that owns the tree is gone: everything goes with it."""
        self.is_finishing = True
        effects: list[Effect] = []
        for life in self.lives.values():
            if not life.has_ended:
                life.deadline = now + ORPHAN_GRACE
                if not life.linked:
                    effects.append(Terminate(life.pid))
        return effects

    def kill_requested(self, identity: str) -> list[Effect]:
        """Kill a process for its parent, unless it has ended."""
        life = self.lives.get(identity)
        if life is None or life.has_ended:
            return []
        life.was_killed = True
        return [Kill(life.pid)]

    def next_deadline(self) -> float | None:
        """Return when `due` has something to do, or None."""
        deadlines = [
            life.deadline
            for life in self.lives.values()
            if life.deadline is not None and not life.has_ended
        ]
        return min(deadlines, default=None)

    def due(self, *, now: float) -> list[Effect]:
        """Return the orphans whose time is over."""
        late: list[Effect] = []
        for life in self.lives.values():
            if life.deadline is not None and life.deadline <= now and not life.has_ended:
                life.deadline = None
                life.was_killed = True
                late.append(Kill(life.pid))
        return late

    def ended_lives(self) -> list[Life]:
        """Return those whose death is not over yet."""
        return [life for life in self.lives.values() if life.has_ended]

    def settle(self, with_strays: set[str]) -> list[Effect]:
        """
        Return the deaths that are over, innermost first, and whether all is done.

        Args:
            with_strays: Those that have ended, but left operating-system processes that still run.
        """
        effects: list[Effect] = []
        progress = True
        while progress:
            progress = False
            parents = {life.parent for life in self.lives.values() if life.linked}
            for life in self.ended_lives():
                if life.identity not in with_strays and life.identity not in parents:
                    del self.lives[life.identity]
                    effects.append(Announce(life.identity))
                    progress = True
        if self.is_finishing and not self.lives:
            effects.append(Finish())
        return effects
