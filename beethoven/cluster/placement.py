"""
Placement: which nodes run which role. A pure function, the same on every machine.

Places that are valid are kept; what exceeds the wanted number goes by the role's policy; holes are
filled on the least busy node; then, within a budget, instances move from the busiest to the least
busy. Ties are broken by rendezvous hashing. No clock, no `hash()`, no order of the inputs matters.

A cordoned node gets nothing new but what would run nowhere else, or only where it failed lately.
What it has goes to other nodes, and stays if there are none.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b

from beethoven.cluster.role_spec import Candidate, Reconcile, RoleSpec

# Fewer instances than this between two nodes are not worth a move.
WORTH_A_MOVE = 2


class Reason(StrEnum):
    """Why an instance of a role is placed on a node."""

    KEPT = "it ran here already"
    LEAST_BUSY = "it was the least busy node that could take it"
    ONLY = "no other node could take it"
    PREFERRED = "it has the labels that the role prefers"
    SPREAD = "no other instance was in its zone"
    SAFEST = "the other nodes that could take it are at risk"
    LAST_RESORT = "it failed here, but no other node could take it"
    BALANCE = "it moved here to even out the load"


@dataclass(frozen=True, slots=True)
class Situation:
    """
    Everything that placement depends on.

    Attributes:
        nodes: The nodes that may get roles.
        specs: The roles.
        previous: The nodes that have an instance now, by role; more than wanted after a merge.
        since: When the instance on a node began to run, by role and node.
        avoided: Pairs of role and node where the role failed lately. Such a node gets the role
            only if no other can.
        reserved: How many places of a role must stay empty for now, by role.
    """

    nodes: tuple[Candidate, ...]
    specs: tuple[RoleSpec, ...]
    previous: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    since: Mapping[tuple[str, str], float] = field(default_factory=dict)
    avoided: frozenset[tuple[str, str]] = frozenset()
    reserved: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Placement:
    """
    Where each role runs, and why there.

    Attributes:
        places: The nodes of each role, sorted; `min(instances, eligible)` of them, and, if those
            are too few, cordoned ones that have the role already.
        reasons: Why, by role and node.
        moves: What was moved to even out the load: role, from, to.
    """

    places: Mapping[str, tuple[str, ...]]
    reasons: Mapping[tuple[str, str], Reason]
    moves: tuple[tuple[str, str, str], ...] = ()


def place(situation: Situation, *, budget: int = 0) -> Placement:
    """
    Choose the nodes that run each role.

    Args:
        situation: What is wanted, who is there, what runs.
        budget: How many instances may move only to even out the load, >= 0.

    Returns:
        The same for equal situations, whatever the order of nodes, roles and places in them.

    Source:
        cluster.md §5.5; rendezvous hashing after Thaler & Ravishankar 1998.
    """
    draft = _Draft(situation)
    for spec in draft.specs:
        draft.keep(spec)
    for spec in sorted(draft.specs, key=lambda spec: (len(draft.eligible[spec.name]), spec.name)):
        draft.fill(spec)
    draft.balance(budget)
    places = {spec.name: tuple(sorted(draft.chosen[spec.name])) for spec in draft.specs}
    return Placement(places, draft.reasons, tuple(draft.moves))


def is_eligible(spec: RoleSpec, node: Candidate) -> bool:
    """Return whether a node may be given a role while there are others."""
    return is_able(spec, node) and not node.is_cordoned


def is_able(spec: RoleSpec, node: Candidate) -> bool:
    """Return whether a node can run a role at all."""
    return (
        spec.name in node.roles
        and spec.name not in node.unable
        and not node.is_draining
        and spec.requires <= node.labels
    )


@lru_cache(maxsize=1 << 16)
def rendezvous(role: str, node_id: str) -> bytes:
    """Return the rank of a node for a role, where nothing else tells nodes apart."""
    return blake2b(f"{role}\0{node_id}".encode(), digest_size=8).digest()


class _Draft:
    """An assignment in the making."""

    def __init__(self, situation: Situation) -> None:
        self.situation = situation
        self.specs = sorted(situation.specs, key=lambda spec: spec.name)
        self.nodes = {node.node_id: node for node in situation.nodes}
        self.eligible = {
            spec.name: [name for name in sorted(self.nodes) if is_eligible(spec, self.nodes[name])]
            for spec in self.specs
        }
        # Cordoned nodes keep what no other node can take, and get what would run nowhere.
        self.last = {
            spec.name: [
                name
                for name in sorted(self.nodes)
                if self.nodes[name].is_cordoned and is_able(spec, self.nodes[name])
            ]
            for spec in self.specs
        }
        self.chosen: dict[str, list[str]] = {spec.name: [] for spec in self.specs}
        self.hosted = dict.fromkeys(self.nodes, 0)
        self.reasons: dict[tuple[str, str], Reason] = {}
        self.moves: list[tuple[str, str, str]] = []
        self.before = dict.fromkeys(self.nodes, 0)
        for _, node_id in _pairs(situation.previous):
            self.before[node_id] = self.before.get(node_id, 0) + 1

    def keep(self, spec: RoleSpec) -> None:
        """Keep the places that are still valid, at most as many as are wanted."""
        eligible = set(self.eligible[spec.name])
        before = set(self.situation.previous.get(spec.name, ()))
        valid = [node_id for node_id in before & eligible if not self.is_avoided(spec, node_id)]
        valid.sort(key=lambda node_id: self._seniority(spec, node_id))
        for node_id in valid[: self.wanted(spec)]:
            self._add(spec, node_id, Reason.KEPT)

    def fill(self, spec: RoleSpec) -> None:
        """Fill the holes of a role, each on the node that is best now."""
        while len(self.chosen[spec.name]) < self.wanted(spec):
            chosen = self.chosen[spec.name]
            free = [name for name in self.eligible[spec.name] if name not in chosen]
            before = self.situation.previous.get(spec.name, ())
            last = [
                name
                for name in self.last[spec.name]
                if name not in chosen and (name in before or not chosen)
            ]
            if not free and not last:
                return
            best = min(free + last, key=lambda node_id: self._cost(spec, node_id))
            self._add(spec, best, self._why(spec, best, free))

    def balance(self, budget: int) -> None:
        """Move instances from the busiest nodes to the least busy, one of a role at most."""
        for _ in range(budget):
            move = next(self._useful_moves(), None)
            if move is None:
                return
            spec, source, target = move
            self.chosen[spec.name].remove(source)
            self.hosted[source] -= 1
            del self.reasons[spec.name, source]
            self._add(spec, target, Reason.BALANCE)
            self.moves.append((spec.name, source, target))

    def wanted(self, spec: RoleSpec) -> int:
        return max(0, spec.instances - self.situation.reserved.get(spec.name, 0))

    def is_avoided(self, spec: RoleSpec, node_id: str) -> bool:
        return (spec.name, node_id) in self.situation.avoided

    def _add(self, spec: RoleSpec, node_id: str, reason: Reason) -> None:
        self.chosen[spec.name].append(node_id)
        self.hosted[node_id] += 1
        self.reasons[spec.name, node_id] = reason

    def _seniority(self, spec: RoleSpec, node_id: str) -> tuple[object, ...]:
        """Rank instances for staying, lowest first. What runs stays before what does not."""
        since = self.situation.since.get((spec.name, node_id))
        runs = since is not None
        start = since or 0.0
        match spec.reconcile:
            case Reconcile.KEEP_OLDEST:
                rank: tuple[float, ...] = (start,)
            case Reconcile.KEEP_NEWEST:
                rank = (-start,)
            case Reconcile.KEEP_BEST:
                rank = (self.before[node_id], self.nodes[node_id].load)
        return (not runs, *rank, rendezvous(spec.name, node_id), node_id)

    def _cost(self, spec: RoleSpec, node_id: str) -> tuple[object, ...]:
        """Rank nodes for one more instance of a role, lowest first."""
        avoided = self.is_avoided(spec, node_id)
        has_it = node_id in self.situation.previous.get(spec.name, ())
        if self.nodes[node_id].is_cordoned:
            return (avoided, True, not has_it, *self._seniority(spec, node_id))
        # Of nodes where it failed, the one that has it keeps it: moving on would only go in rings.
        kept = avoided and has_it
        return (
            avoided,
            False,
            not kept,
            self.nodes[node_id].is_at_risk,
            -self._preference(spec, node_id),
            self._neighbours(spec, node_id),
            self.hosted[node_id],
            self.nodes[node_id].load,
            rendezvous(spec.name, node_id),
            node_id,
        )

    def _preference(self, spec: RoleSpec, node_id: str) -> int:
        return len(spec.prefers & self.nodes[node_id].labels)

    def _neighbours(self, spec: RoleSpec, node_id: str) -> int:
        """Count the instances of the role in the node's zone, its own not included."""
        zone = self.nodes[node_id].zone
        return sum(
            self.nodes[other].zone == zone for other in self.chosen[spec.name] if other != node_id
        )

    def _why(self, spec: RoleSpec, best: str, free: list[str]) -> Reason:
        if self.nodes[best].is_cordoned:
            has_it = best in self.situation.previous.get(spec.name, ())
            return Reason.KEPT if has_it else Reason.ONLY
        if self.is_avoided(spec, best):
            return Reason.LAST_RESORT
        if len(free) == 1:
            return Reason.ONLY
        if all(self.nodes[each].is_at_risk != (each == best) for each in free):
            return Reason.SAFEST
        if self._preference(spec, best) > min(self._preference(spec, each) for each in free):
            return Reason.PREFERRED
        if self._neighbours(spec, best) < max(self._neighbours(spec, each) for each in free):
            return Reason.SPREAD
        return Reason.LEAST_BUSY

    def _useful_moves(self) -> Iterator[tuple[RoleSpec, str, str]]:
        """Yield the moves that even out the load without making anything else worse."""
        moved = {role for role, _, _ in self.moves}
        busiest = sorted(self.nodes, key=lambda name: (-self.hosted[name], name))
        idlest = sorted(self.nodes, key=lambda name: (self.hosted[name], name))
        for source in busiest:
            if self.hosted[source] - self.hosted[idlest[0]] < WORTH_A_MOVE:
                return
            here = [spec for spec in self.specs if source in self.chosen[spec.name]]
            here.sort(key=lambda spec: (rendezvous(spec.name, source), spec.name))
            for target in idlest:
                if self.hosted[source] - self.hosted[target] < WORTH_A_MOVE:
                    break
                for spec in here:
                    if spec.name not in moved and self._may_move(spec, source, target):
                        yield spec, source, target

    def _may_move(self, spec: RoleSpec, source: str, target: str) -> bool:
        if target in self.chosen[spec.name] or target not in self.eligible[spec.name]:
            return False
        if self.is_avoided(spec, target) or self.nodes[target].is_at_risk:
            return False
        if self._preference(spec, target) < self._preference(spec, source):
            return False
        # The source's own instance leaves its zone with the move.
        same_zone = self.nodes[source].zone == self.nodes[target].zone
        neighbours = self._neighbours(spec, target) - same_zone
        return neighbours <= self._neighbours(spec, source)


def _pairs(places: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, str]]:
    return ((role, node_id) for role in places for node_id in places[role])
