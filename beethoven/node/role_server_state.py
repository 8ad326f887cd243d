"""
What the role server decides: what to start and stop so that this node runs what it should.

Pure. Nothing is remembered from one look to the next: what runs is what the role supervisor says.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from beethoven.clock import utc
from beethoven.engine.coordinator import RolesHere
from beethoven.engine.messages import Instance
from beethoven.engine.table import Stamp
from beethoven.supervision.child_spec import ChildSpec
from beethoven.supervision.listing import ChildEntry

# What is to end on a node that is about to go is given so long, in seconds: for its state and its
# stop together.
_LEAST_GRACE: Final = 2.0


@dataclass(frozen=True, slots=True)
class StartRole:
    """Start the instance of a role on this node."""

    spec: ChildSpec


@dataclass(frozen=True, slots=True)
class StopRole:
    """Stop an instance that this node is not to run."""

    id: str


def reconcile(
    wanted: Mapping[str, ChildSpec], children: Iterable[ChildEntry]
) -> list[StartRole | StopRole]:
    """
    Return what must be done so that exactly the wanted roles have an instance here.

    A role that has one in any state is left alone: while it starts, stops or is retried it is the
    role supervisor's, and one that has ended for good stays ended. What stops already is not told
    to stop again.

    Args:
        wanted: The roles that this node is to run, by name.
        children: What the role supervisor has.
    """
    present = {child.id: child.status for child in children}
    surplus: list[StartRole | StopRole] = [
        StopRole(name)
        for name in sorted(present.keys() - wanted.keys())
        if present[name] != "stopping"
    ]
    missing = [StartRole(spec) for name, spec in wanted.items() if name not in present]
    return surplus + missing


@dataclass(frozen=True, slots=True)
class RoleStarted:
    """An instance that this node was told to run does."""

    role: str
    pid: int


@dataclass(frozen=True, slots=True)
class RoleEnded:
    """An instance has ended for good, and not by a failure."""

    role: str
    reason: str


def news(
    before: Mapping[str, ChildEntry], children: Iterable[ChildEntry]
) -> list[RoleStarted | RoleEnded]:
    """
    Return what is to be told of the roles and no supervisor tells.

    As in OTP, a supervisor reports the starts and ends that it had a part in: restarts and
    failures. A start that somebody else asked for, and the normal end of work that is done, are
    left to those whom they concern.

    Args:
        before: What the role supervisor had at the last look, by id.
        children: What it has now.
    """
    told: list[RoleStarted | RoleEnded] = []
    for child in children:
        seen = before.get(child.id)
        is_known = seen is not None and (seen.status, seen.ref) == (child.status, child.ref)
        if is_known:
            continue
        if child.status == "running" and child.ref is not None and not child.restarts:
            told.append(RoleStarted(child.id, child.ref.pid))
        if has_finished(child):
            told.append(RoleEnded(child.id, str(child.last_exit or "ignored")))
    return told


_IDLE = frozenset({"stopped", "failed"})


def is_settled(child: ChildEntry) -> bool:
    """Return whether nothing is under way with a child."""
    return child.status in {"running", *_IDLE}


def laggards(children: Iterable[ChildEntry]) -> list[str]:
    """Return the roles that were told to stop and have a process yet."""
    return [child.id for child in children if child.status == "stopping"]


def is_late(since: float, *, until: float | None, kill_at: float | None, now: float) -> bool:
    """
    Return whether a role that is to end on a node that is about to go should have ended by now.

    Args:
        since: When it was first seen not to be wanted; `now` if it never was.
        until: When the hand-over is over; what is to end only then is given a moment.
        kill_at: When all that is left is killed.
        now: What time it is; all by the same clock.
    """
    if kill_at is not None and now >= kill_at:
        return True
    return until is not None and now >= until and now - since >= _LEAST_GRACE


def has_finished(child: ChildEntry) -> bool:
    """Return whether an instance has ended for good, as it was meant to."""
    is_clean = child.last_exit is None or not child.last_exit.is_abnormal
    return child.status == "stopped" and is_clean


def roles_here(children: Iterable[ChildEntry], stamp: Stamp, *, wall: float) -> RolesHere:
    """
    Return what the coordinator is to know of the roles on this node.

    Args:
        children: What the role supervisor has.
        stamp: The table that the role server has.
        wall: Seconds since 1970.
    """
    children = list(children)
    finished = frozenset(child.id for child in children if has_finished(child))
    return RolesHere(
        running={
            child.id: max(0.0, wall - child.since)
            for child in children
            if child.status == "running"
        },
        # One that has failed is retried: its process may be there at any moment.
        held=frozenset(child.id for child in children) - finished,
        finished=finished,
        failing={child.id: 0.0 for child in children if child.status == "failed"},
        instances=tuple(map(_for_others, children)),
        stamp=stamp,
    )


def _for_others(child: ChildEntry) -> Instance:
    return Instance(
        role=child.id,
        pid=None if child.ref is None else child.ref.pid,
        state=child.status,
        restarts=child.restarts,
        since=child.since,
        last_exit=None if child.last_exit is None else str(child.last_exit),
    )


def role_status(name: str, wanted: int, node: str, child: ChildEntry | None) -> dict[str, Any]:
    """
    Return what is told of a role: `{"name", "wanted", "running", "instances"}`.

    Args:
        name: The role.
        wanted: Instances wanted across the cluster.
        node: The node's name.
        child: Its instance on this node, if the role supervisor has one.
    """
    instances = [] if child is None else [_instance(node, child)]
    running = sum(instance["state"] == "running" for instance in instances)
    return {"name": name, "wanted": wanted, "running": running, "instances": instances}


def _instance(node: str, child: ChildEntry) -> dict[str, Any]:
    return {
        "node": node,
        "pid": None if child.ref is None else child.ref.pid,
        "state": child.status,
        "restarts": child.restarts,
        "since": utc(child.since),
        "last_exit": None if child.last_exit is None else str(child.last_exit),
    }
