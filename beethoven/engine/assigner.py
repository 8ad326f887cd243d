"""
What a coordinator keeps in mind between two tables: who is to run each role, who is leaving. Pure.

The *target* is where roles are to be in the end; the table says who runs them now. A node that
runs a role without having been told to stop has a claim on it: it was told so by another
coordinator, and counts as much as a place of this one's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from beethoven.cluster.placement import Placement, Reason, Situation, is_eligible, place
from beethoven.cluster.role_spec import Candidate, RoleSpec
from beethoven.engine.authority import Authority
from beethoven.engine.avoidance import Avoidance, Pair
from beethoven.engine.handover import assign_places, take_turn
from beethoven.engine.table import Place, Stamp, Table
from beethoven.engine.view import Heard

# A role that has run for so long without a fault, in seconds, has no past.
FORGIVEN_AFTER = 60.0


@dataclass(frozen=True, slots=True)
class Leaver:
    """
    An instance that is to go.

    Attributes:
        told: The table that took its place away, or `None` while it has one.
        at: When that was.
    """

    told: Stamp | None = None
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Inputs:
    """What one decision is made from."""

    now: float
    specs: tuple[RoleSpec, ...]
    nodes: tuple[Candidate, ...]
    heard: Mapping[str, Heard]
    table: Table
    stamp: Stamp
    may_fill: bool
    budget: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What one decision came to.

    Attributes:
        places: The places of the next table.
        placement: Where the roles are to be in the end.
        told: The instances that this table takes their place away from.
        struck: Where a role failed, and for how long it is kept away from there, in seconds.
    """

    places: dict[str, tuple[Place, ...]]
    placement: Placement
    told: tuple[Pair, ...]
    struck: tuple[tuple[Pair, float], ...]


class Assigner:
    """
    Decides for one coordinator.

    Args:
        table: What held before, from whomever.
        avoidance: Where roles failed.
        authority: When places of lost nodes are free.
        release_within: For how long an instance that was told to go is waited for, in seconds > 0.
    """

    def __init__(
        self, table: Table, avoidance: Avoidance, authority: Authority, release_within: float
    ) -> None:
        self._target: dict[str, tuple[str, ...]] = {}
        # Why each node of the target was chosen; it may come to run there much later.
        self._reasons: dict[Pair, str] = {}
        self._leaving: dict[Pair, Leaver] = {}
        # Those that had to go, and were waited for in vain.
        self._given_up: set[Pair] = set()
        self._settled_at: dict[Pair, float] = {}
        self._vacant_at: dict[Pair, float] = {}
        self._avoidance = avoidance
        self._authority = authority
        self._release_within = release_within
        self.absorb(table)

    def absorb(self, table: Table) -> None:
        """Take over the places of another coordinator's table."""
        for role in table.places:
            before = self._target.get(role, ())
            more = [each for each in table.nodes_of(role) if (role, each) not in self._leaving]
            self._target[role] = (*before, *(each for each in more if each not in before))

    def lose(self, nodes: list[str], *, now: float) -> None:
        """Note that nodes cannot be reached any more."""
        for role, chosen in self._target.items():
            for node_id in set(chosen) & set(nodes):
                self._vacant_at[role, node_id] = self._authority.vacant_at(now)

    def is_calm(self, heard: Mapping[str, Heard]) -> bool:
        """Return whether everything that was decided has come about."""
        return not self._leaving and all(
            node_id in heard and heard[node_id].report.has_settled(role)
            for role, nodes in self._target.items()
            for node_id in nodes
        )

    def decide(self, inputs: Inputs) -> Outcome:
        """Return what is to be told to all nodes next."""
        self._forget_the_gone(inputs)
        self._note_the_stopping(inputs)
        struck = self._judge(inputs)
        situation = self.situation(inputs)
        placement = place(situation, budget=inputs.budget)
        self._retarget(situation, placement, inputs)
        places, told = self._turns(inputs, placement)
        return Outcome(places, placement, told, tuple(struck))

    def situation(self, inputs: Inputs) -> Situation:
        """Return what placement depends on."""
        since = {
            (role, node_id): at
            for node_id, heard in inputs.heard.items()
            for role in heard.report.running
            if (at := heard.since(role)) is not None
        }
        previous = {spec.name: self._previous(spec, inputs) for spec in inputs.specs}
        reserved = {spec.name: self._reserved(spec, inputs, previous) for spec in inputs.specs}
        avoided = frozenset(self._avoidance.left(now=inputs.now))
        return Situation(inputs.nodes, inputs.specs, previous, since, avoided, reserved)

    def _forget_the_gone(self, inputs: Inputs) -> None:
        for pair, leaver in list(self._leaving.items()):
            role, node_id = pair
            heard = inputs.heard.get(node_id)
            if heard is None or (leaver.told is not None and self._has_gone(role, leaver, heard)):
                del self._leaving[pair]
            elif leaver.told is not None and inputs.now - leaver.at > self._release_within:
                # It does not obey; what it runs is counted again.
                del self._leaving[pair]
                self._given_up.add(pair)
        self._settled_at = {
            pair: at for pair, at in self._settled_at.items() if pair[1] in inputs.heard
        }
        self._avoidance.forget_all_but(inputs.heard)

    def _note_the_stopping(self, inputs: Inputs) -> None:
        """Note who still has a process of a role that others have told to stop: a predecessor."""
        self._given_up = {
            (role, node_id)
            for role, node_id in self._given_up
            if node_id in inputs.heard and role in inputs.heard[node_id].report.held
        }
        for spec in inputs.specs:
            for node_id, heard in inputs.heard.items():
                pair, report = (spec.name, node_id), heard.report
                is_stopping = spec.name in report.held and not report.has_settled(spec.name)
                is_target = node_id in self._target.get(spec.name, ())
                is_wanted = is_target or self._is_placed(pair, inputs)
                if is_stopping and not is_wanted and pair not in self._given_up:
                    self._leaving.setdefault(pair, Leaver(report.stamp, inputs.now))

    def _has_gone(self, role: str, leaver: Leaver, heard: Heard) -> bool:
        assert leaver.told is not None
        report = heard.report
        return report.stamp >= leaver.told and role not in report.held | report.running.keys()

    def _judge(self, inputs: Inputs) -> list[tuple[Pair, float]]:
        """Strike the nodes where a role fails, or does not come to run in time."""
        struck: list[tuple[Pair, float]] = []
        for spec in inputs.specs:
            for node_id, heard in inputs.heard.items():
                pair, report = (spec.name, node_id), heard.report
                wait = None
                left = report.failing.get(spec.name, 0.0) - (inputs.now - heard.at)
                if spec.name in report.failing and self._is_placed(pair, inputs):
                    wait = self._avoidance.strike(pair, now=inputs.now, at_least=left)
                elif left > 0:
                    self._avoidance.adopt({pair: left}, now=inputs.now)
                elif self._is_overdue(spec, node_id, inputs):
                    wait = self._avoidance.strike(pair, now=inputs.now)
                elif report.running.get(spec.name, 0.0) > FORGIVEN_AFTER:
                    self._avoidance.forgive(pair)
                if wait is not None:
                    struck.append((pair, wait))
        return struck

    def _is_placed(self, pair: Pair, inputs: Inputs) -> bool:
        return pair[1] in inputs.table.nodes_of(pair[0])

    def _is_overdue(self, spec: RoleSpec, node_id: str, inputs: Inputs) -> bool:
        pair = (spec.name, node_id)
        if not self._is_placed(pair, inputs) or inputs.heard[node_id].report.has_settled(spec.name):
            self._settled_at[pair] = inputs.now
            return False
        return inputs.now - self._settled_at.setdefault(pair, inputs.now) > spec.start_within

    def _previous(self, spec: RoleSpec, inputs: Inputs) -> tuple[str, ...]:
        role, heard = spec.name, inputs.heard
        target = [each for each in self._target.get(role, ()) if each in heard]
        claims = [
            each
            for each in heard
            if heard[each].report.has_settled(role)
            and each not in target
            and (role, each) not in self._leaving
        ]
        able = {node.node_id for node in inputs.nodes if is_eligible(spec, node)}
        if len(able & {*target, *claims}) < spec.instances:
            # Its successor is lost, or cordoned as well: what has not been told to go may stay.
            claims += [
                node_id
                for (each, node_id), leaver in sorted(self._leaving.items())
                if each == role and leaver.told is None
            ]
        return (*target, *claims)

    def _reserved(
        self, spec: RoleSpec, inputs: Inputs, previous: Mapping[str, tuple[str, ...]]
    ) -> int:
        """Count the places that must stay empty because somebody silent may still act."""
        if not inputs.may_fill:
            return max(0, spec.instances - len(previous[spec.name]))
        return sum(
            role == spec.name and at > inputs.now and node_id not in inputs.heard
            for (role, node_id), at in self._vacant_at.items()
        )

    def _retarget(self, situation: Situation, placement: Placement, inputs: Inputs) -> None:
        self._target = dict(placement.places)
        self._reasons = {
            pair: self._reasons.get(pair, str(reason)) if reason is Reason.KEPT else str(reason)
            for pair, reason in placement.reasons.items()
        }
        for role, previous in situation.previous.items():
            for node_id in previous:
                if node_id not in self._target[role]:
                    self._leaving.setdefault((role, node_id), Leaver())
        known = {spec.name for spec in inputs.specs}
        for role, node_id in list(self._leaving):
            if role not in known or node_id in self._target[role]:
                del self._leaving[role, node_id]
        self._vacant_at = {pair: at for pair, at in self._vacant_at.items() if at > inputs.now}

    def _turns(
        self, inputs: Inputs, placement: Placement
    ) -> tuple[dict[str, tuple[Place, ...]], tuple[Pair, ...]]:
        """Return the places of the next table, and who loses one."""
        places: dict[str, tuple[Place, ...]] = {}
        told: list[Pair] = []
        for spec in inputs.specs:
            role = spec.name
            turn = take_turn(
                spec,
                self._target[role],
                self._present(role, inputs),
                frozenset(
                    each for each, heard in inputs.heard.items() if heard.report.has_settled(role)
                ),
                leavers := self._unsent(role, inputs),
                sum(
                    each == role and lv.told is not None for (each, _), lv in self._leaving.items()
                ),
            )
            before = inputs.table.places.get(role, ())
            reasons = {each: self._reasons[role, each] for each in turn.stayers}
            places[role] = assign_places(turn, before, reasons, inputs.stamp, spec.instances)
            told += [(role, each) for each in leavers if each not in turn.kept]
        for pair in told:
            self._leaving[pair] = replace(self._leaving[pair], told=inputs.stamp, at=inputs.now)
        return places, tuple(told)

    def _present(self, role: str, inputs: Inputs) -> frozenset[str]:
        """Return the nodes that have a place of the role, or run it anyway."""
        running = {each for each, heard in inputs.heard.items() if role in heard.report.held}
        settled = {each for each, heard in inputs.heard.items() if heard.report.has_settled(role)}
        return frozenset({*inputs.table.nodes_of(role), *running, *settled} & inputs.heard.keys())

    def _unsent(self, role: str, inputs: Inputs) -> list[str]:
        """Return the leavers of a role that still have a place, the one to stay longest first."""
        nodes = [
            node
            for (each, node), leaver in self._leaving.items()
            if each == role and leaver.told is None
        ]

        def rank(node_id: str) -> tuple[bool, float, str]:
            since = inputs.heard[node_id].since(role)
            return since is None, since or 0.0, node_id

        return sorted(nodes, key=rank)
