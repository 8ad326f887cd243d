"""
Placement of tasks: which node a function runs on. Pure.

A load is told late: a node that looks idle may have been given a hundred tasks since. So what the
caller has under way itself counts at once, each task as one core of its node that is busy, in the
points of `load`. Of nodes that are equally busy the caller's own is taken.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Protocol, TypeVar

from beethoven.errors import NoNodeFits
from beethoven.supervision.checks import refuse

# A node of that name, a node with all these labels, or any.
Where = str | frozenset[str] | None


class Place(Protocol):
    """A node, as a place for tasks; the directory has one for each."""

    @property
    def node_id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def score(self) -> float: ...
    @property
    def labels(self) -> Collection[str]: ...
    @property
    def is_leaving(self) -> bool: ...
    @property
    def cpus(self) -> int: ...


P = TypeVar("P", bound=Place)


def check_where(where: str | Iterable[str] | None) -> Where:
    """
    Return where tasks may run.

    Args:
        where: The name of a node, a set of labels that it must have, or None for any node.

    Raises:
        SpecError: It is none of these.
    """
    if where is None or isinstance(where, str):
        return where
    if isinstance(where, set | frozenset | list | tuple) and all(
        isinstance(each, str) for each in where
    ):
        return frozenset(where)
    return refuse("task", "where", "the name of a node, a set of labels, or None", got=where)


def fitting(places: Iterable[P], where: Where) -> list[P]:
    """Return the nodes on which a task may run."""
    return [place for place in places if not _unfit(place, where)]


def choose(
    task: str,
    places: Sequence[P],
    where: Where,
    *,
    placed: Mapping[str, int],
    refused: Mapping[str, str],
    own: str,
) -> P:
    """
    Return the node for a task: the least busy of those on which it may run.

    Args:
        task: What it is called.
        places: The nodes.
        where: Where it may run.
        placed: How many tasks the caller has under way, by node id.
        refused: Nodes that did not take it, by node id, and why.
        own: The name of the caller's own node; empty if it has none.

    Raises:
        NoNodeFits: There is none; says why for each.
    """
    able = [place for place in fitting(places, where) if place.node_id not in refused]
    if not able:
        raise NoNodeFits(_why(task, places, where, refused))

    def order(place: P) -> tuple[float, int, bool, str]:
        count = placed.get(place.node_id, 0)
        busy = place.score + count / max(1, place.cpus)
        return round(busy, 4), count, place.name != own, place.name

    return min(able, key=order)


def _unfit(place: Place, where: Where) -> str:
    """Return why a task may not run there, "" if it may."""
    if isinstance(where, str) and place.name != where:
        return "has another name"
    if isinstance(where, frozenset) and (lacking := where - set(place.labels)):
        return f"has no label {', '.join(sorted(lacking))}"
    return "is leaving" if place.is_leaving else ""


def _why(task: str, places: Sequence[Place], where: Where, refused: Mapping[str, str]) -> str:
    names = [place.name for place in places]
    if isinstance(where, str) and where not in names:
        nearest = get_close_matches(where, names, n=1)
        hint = f", did you mean {nearest[0]!r}?" if nearest else ""
        known = ", ".join(sorted(names)) or "none"
        return f"task {task}: no node named {where!r}{hint}; there are: {known}"
    wanted = f" with the labels {', '.join(sorted(where))}" if isinstance(where, frozenset) else ""
    each = [
        f"{place.name} {refused.get(place.node_id) or _unfit(place, where)}"
        for place in sorted(places, key=lambda place: place.name)
        if not isinstance(where, str) or place.name == where
    ]
    reasons = "; ".join(each) or "no node is known yet"
    return f"task {task}: no node{wanted} can run it: {reasons}"
