"""
Theory of operation of a call by the name of a role.

First the instance on this node, if there is one; else the least busy node that runs the role, one
of them at random if the difference is less than a load can be told apart. What was not delivered
goes to the next one. When all have been tried, or nobody runs the role at this moment (it is being
started, or has just lost its node), the call pauses a little and looks again, until its deadline.
While others remain, a node that does not answer may use up its share of the time and no more.
What was delivered is never sent again: that is not known here, for whoever performs asks no more.

Pure: a call is told what has happened, and answers what to do; time is a number.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, TypeAlias

from beethoven.cluster.directory import Directory, NodeEntry
from beethoven.cluster.load import WORTH_TELLING

# How long to dial one address, in seconds, where there are others, or it can be dialled again.
LONGEST_DIAL: Final = 1.0
_FIRST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Look:
    """Look for an instance on this node, and deliver to it if there is one."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask for the directory. `is_anew`: what was known has turned out to be wrong."""

    is_anew: bool


@dataclass(frozen=True, slots=True)
class Deliver:
    """Deliver to the instance on a node; it may be dialled for so many seconds."""

    node: NodeEntry
    dial: float = LONGEST_DIAL


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Raise an error with this text. `is_node`: it is the node that is not known."""

    text: str
    is_node: bool = False


Action: TypeAlias = Look | Ask | Deliver | Pause | GiveUp
Choose: TypeAlias = Callable[[Sequence[NodeEntry]], NodeEntry]


class Calling:
    """
    One call on its way to an instance of a role.

    Args:
        role: The role.
        to: The node that is meant; None for any.
        own: The node on which this process can look itself; empty if there is none.
        deadline: When to give up, monotonic.
        choose: Picks one of several that are as good as each other.
    """

    __slots__ = (
        "_cause",
        "_choose",
        "_deadline",
        "_directory",
        "_own",
        "_pause",
        "_role",
        "_to",
        "_tried",
    )

    def __init__(
        self, role: str, to: str | None, *, own: str, deadline: float, choose: Choose
    ) -> None:
        self._role, self._to, self._own = role, to, own
        self._deadline = deadline
        self._choose = choose
        self._directory: Directory | None = None
        self._tried: set[str] = set()
        self._pause = _FIRST_PAUSE
        self._cause = ""

    def begin(self, known: Directory | None = None, *, now: float = 0.0) -> Action:
        """Return what to do first. `known` is a directory that is a moment old, if there is one."""
        may_be_here = self._own and self._to in {None, self._own}
        if may_be_here and (known is None or self._is_told_here(known)):
            return Look()
        return self._ask() if known is None else self.told(known, now=now, is_new=False)

    def not_here(self) -> Action:
        """There is no instance on this node, or it went before anything was delivered."""
        return self._ask()

    def told(self, directory: Directory, *, now: float, is_new: bool = True) -> Action:
        """The directory has come; one that is not new may not have heard of what is new."""
        is_first, self._directory = self._directory is None, directory
        is_known = self._role in directory.roles
        if not is_known or (self._to is not None and directory.node(self._to) is None):
            if is_new:
                return self._unknown(directory)
            # It was asked for anew already, and nobody tells.
            return self._ask() if is_first else self._wait(directory, now=now)
        holders = [each for each in directory.holders(self._role) if self._fits(each)]
        if holders and now < self._deadline:
            dial = share(self._deadline - now, len(holders))
            return Deliver(self._choose(_least_busy(holders)), dial)
        return self._wait(directory, now=now)

    def not_told(self, *, now: float) -> Action | None:
        """Nobody tells the directory; None if it was the first that was asked for."""
        return None if self._directory is None else self._wait(self._directory, now=now)

    def not_delivered(self, node: NodeEntry, cause: str) -> Action:
        """Nothing has reached the instance on a node."""
        self._tried.add(node.node_id)
        self._cause = cause
        return self._ask()

    def paused(self, *, now: float) -> Action:
        """The pause is over."""
        if now >= self._deadline and self._directory is not None:
            return GiveUp(self._state(self._directory))
        return self.begin()

    def _is_told_here(self, known: Directory) -> bool:
        """Whether this node has an instance in any state, as it said a moment ago."""
        entry = known.roles.get(self._role)
        return entry is None or known.nodes[0].node_id in entry.states

    def _unknown(self, directory: Directory) -> GiveUp:
        if self._role not in directory.roles:
            return GiveUp(unknown("role", self._role, directory.roles))
        names = [each.name for each in directory.nodes]
        return GiveUp(unknown("node", str(self._to), names), is_node=True)

    def _ask(self) -> Action:
        return Ask(is_anew=self._directory is not None)

    def _wait(self, directory: Directory, *, now: float) -> Action:
        if now >= self._deadline:
            return GiveUp(self._state(directory))
        self._tried.clear()
        pause = min(self._pause, self._deadline - now)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return Pause(pause)

    def _fits(self, node: NodeEntry) -> bool:
        # That of this node has been looked for already.
        is_elsewhere = node.name != self._own
        return is_elsewhere and node.node_id not in self._tried and self._to in {None, node.name}

    def _state(self, directory: Directory) -> str:
        """Return why nobody has got it, in words."""
        if self._cause:
            return f"role {self._role!r} was not reached: {self._cause}"
        where = "" if self._to is None else f" on node {self._to!r}"
        entry = directory.roles.get(self._role)
        if entry is None or (self._to is not None and directory.node(self._to) is None):
            return f"{self._unknown(directory).text}, as far as was told; now no node tells it"
        instances = [
            _shown(each.name, entry.states[each.node_id], entry.last_exits.get(each.node_id))
            for each in directory.nodes
            if each.node_id in entry.states and self._to in {None, each.name}
        ]
        told = "; ".join(instances) or "it has no instance"
        if any(self._fits(each) for each in directory.holders(self._role)):
            return f"role {self._role!r} was not asked, for the time was up: {told}"
        return f"role {self._role!r} does not run{where}: {told}"


def share(left: float, untried: int) -> float:
    """Return for how many seconds one of several addresses may be dialled, of those left."""
    return min(LONGEST_DIAL, left / untried)


def _shown(node: str, state: str, last_exit: str | None) -> str:
    return f"{state} on {node}" + (f", last exit: {last_exit}" if last_exit else "")


def _least_busy(holders: Sequence[NodeEntry]) -> Sequence[NodeEntry]:
    """Return those of sorted nodes that cannot be told apart from the least busy one."""
    first = holders[0]
    limit = first.score + WORTH_TELLING
    return [each for each in holders if each.score <= limit and each.is_leaving == first.is_leaving]


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Return what is wrong with a name that nobody knows, with the nearest that is known."""
    nearest = get_close_matches(name, list(known), n=1)
    hint = f", did you mean {nearest[0]!r}?" if nearest else ""
    return f"the cluster has no {what} {name!r}{hint}"
