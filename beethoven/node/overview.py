"""What a core server tells people of the cluster: members, roles, load, and reasons."""

from collections.abc import Iterator, Mapping
from typing import Any

from beethoven.clock import utc
from beethoven.cluster.directory import RUNNING, Directory, NodeEntry, RoleEntry
from beethoven.cluster.member import Member, Status
from beethoven.cluster.membership import Membership
from beethoven.cluster.placement import is_able
from beethoven.cluster.role_spec import Candidate, RoleSpec
from beethoven.engine.coordinator import Coordinator
from beethoven.engine.messages import Instance, ReportMessage


def overview(membership: Membership, coordinator: Coordinator) -> dict[str, Any]:
    """Return `{"coordinator", "epoch", "version", "members", "roles"}` as this node sees them."""
    state = coordinator.state
    names = _names(membership)
    epoch = state.table.stamp.epoch
    leader = state.coordinator.node_id
    return {
        "coordinator": names.get(leader, leader),
        "epoch": epoch.counter,
        "version": state.table.stamp.version,
        "members": _members(membership, coordinator),
        "roles": _roles(membership, coordinator),
    }


def allocation_list(membership: Membership, coordinator: Coordinator) -> list[dict[str, Any]]:
    """Return the nodes that can be reached and are to stay, the least busy first."""
    candidates = coordinator.state.candidates
    nodes = [
        _load(member, report)
        for member, report in _reports(membership, coordinator)
        if member.node_id in candidates and not candidates[member.node_id].is_going
    ]
    return sorted(nodes, key=lambda node: (node["score"], node["roles"], node["name"]))


def directory(membership: Membership, coordinator: Coordinator) -> Directory:
    """Return the nodes that can be reached, this one first, and who runs which role."""
    members = (membership.own, *membership.members())
    reports = {each.node_id: coordinator.reports.get(each.node_id) for each in members}
    candidates = coordinator.state.candidates
    nodes = tuple(
        _entry(each, reports[each.node_id], candidates.get(each.node_id)) for each in members
    )
    specs = _specs(coordinator)
    names = dict.fromkeys(specs)
    told: dict[str, dict[str, Instance]] = {}
    for node_id, report in reports.items():
        if report is not None:
            names |= dict.fromkeys(report.roles)
            for instance in report.instances:
                told.setdefault(instance.role, {})[node_id] = instance
    wanted = {name: spec.instances for name, spec in specs.items()}
    names |= dict.fromkeys(told)
    roles = {name: _role(wanted.get(name, 0), told.get(name, {})) for name in names}
    return Directory(nodes, roles)


def _role(wanted: int, told: Mapping[str, Instance]) -> RoleEntry:
    states = {node_id: each.state for node_id, each in told.items()}
    exits = {
        node_id: each.last_exit
        for node_id, each in told.items()
        if each.last_exit is not None and each.state != RUNNING
    }
    return RoleEntry(wanted, states, exits)


def _entry(member: Member, report: ReportMessage | None, candidate: Candidate | None) -> NodeEntry:
    return NodeEntry(
        node_id=member.node_id,
        name=member.name,
        address=str(member.address),
        score=0.0 if report is None else report.load,
        labels=tuple(sorted(member.labels)),
        is_leaving=candidate is not None and candidate.is_going,
        cpus=0 if report is None else report.load_detail.cpus,
    )


def explanation(
    membership: Membership, coordinator: Coordinator, role: str
) -> dict[str, Any] | None:
    """
    Return why a role is where it is; `None` if no node knows the role.

    Returns:
        `{"role", "wanted", "running", "coordinator", "nodes", "next"}`.
    """
    known = _specs(coordinator)
    if role not in known:
        return None
    names, spec = _names(membership), known[role]
    why = coordinator.state.explain(role)
    nodes = [
        {"node": names.get(node_id, node_id), "why": why[node_id]}
        for node_id in sorted(why, key=lambda each: names.get(each, each))
    ]
    instances = _instances(membership, coordinator).get(role, [])
    running = sum(each["state"] == "running" for each in instances)
    possible = min(spec.instances, _eligible(membership, coordinator, spec))
    leader = coordinator.state.coordinator.node_id
    return {
        "role": role,
        "wanted": spec.instances,
        "running": running,
        "coordinator": names.get(leader, leader),
        "nodes": nodes,
        "next": _next(spec, running, possible, instances),
    }


def _next(spec: RoleSpec, running: int, possible: int, instances: list[dict[str, Any]]) -> str:
    """Return what happens next, in words."""
    failed = [each["node"] for each in instances if each["state"] == "failed"]
    if failed:
        return f"it failed on {', '.join(failed)}, and is tried again there or elsewhere"
    if running > spec.instances:
        return f"{running - spec.instances} of its instances stop, once the others are confirmed"
    if running == spec.instances:
        return "nothing: it runs as often as wanted"
    finished = sum(each["state"] == "stopped" for each in instances)
    if running + finished >= possible and finished:
        return "nothing: it has done its work"
    if running >= possible:
        return f"it waits for {spec.instances - possible} more node(s) that can run it"
    return "it starts where it is to run"


def _names(membership: Membership) -> dict[str, str]:
    names = {view.member.node_id: view.member.name for view in membership.views()}
    return {**names, membership.own.node_id: membership.own.name}


def _members(membership: Membership, coordinator: Coordinator) -> list[dict[str, Any]]:
    candidates, reports = coordinator.state.candidates, coordinator.reports
    known = [(membership.own, str(Status.ALIVE))]
    known += [(view.member, str(view.status)) for view in membership.views()]
    return [
        _member(member, state, reports.get(member.node_id), candidates.get(member.node_id))
        for member, state in sorted(known, key=lambda each: (each[0].name, each[0].incarnation))
    ]


def _member(
    member: Member, state: str, report: ReportMessage | None, candidate: Candidate | None
) -> dict[str, Any]:
    running = [] if report is None else sorted(report.running)
    if candidate is not None and candidate.is_going and state == Status.ALIVE:
        state = "leaving" if candidate.is_draining else "cordoned"
    return {
        "name": member.name,
        "node_id": member.node_id,
        "address": str(member.address),
        "state": state,
        "since": utc(member.joined_at),
        "labels": sorted(member.labels),
        "zone": member.zone,
        "machine": member.machine,
        "roles": running,
    }


def _specs(coordinator: Coordinator) -> dict[str, RoleSpec]:
    """Return the specification of every role, the committed ones before those of this node."""
    committed = {name: each.spec for name, each in coordinator.state.table.specs.items()}
    return {**coordinator.specs, **committed}


def _roles(membership: Membership, coordinator: Coordinator) -> dict[str, dict[str, Any]]:
    instances = _instances(membership, coordinator)
    return {
        name: {
            "wanted": spec.instances,
            "eligible": _eligible(membership, coordinator, spec),
            "instances": instances.get(name, []),
        }
        for name, spec in _specs(coordinator).items()
    }


def _eligible(membership: Membership, coordinator: Coordinator, spec: RoleSpec) -> int:
    """Count the nodes that can run a role; a cordoned one only if it does."""
    running = {
        member.node_id
        for member, report in _reports(membership, coordinator)
        if spec.name in report.running
    }
    return sum(
        is_able(spec, each) and (each.node_id in running or not each.is_cordoned)
        for each in coordinator.state.candidates.values()
    )


def _reports(
    membership: Membership, coordinator: Coordinator
) -> Iterator[tuple[Member, ReportMessage]]:
    for member in sorted(
        (membership.own, *membership.members()), key=lambda each: (each.name, each.node_id)
    ):
        report = coordinator.reports.get(member.node_id)
        if report is not None:
            yield member, report


def _instances(membership: Membership, coordinator: Coordinator) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for member, report in _reports(membership, coordinator):
        for instance in report.instances:
            found.setdefault(instance.role, []).append(_instance(member.name, instance))
    return found


def _instance(node: str, instance: Instance) -> dict[str, Any]:
    return {
        "node": node,
        "pid": instance.pid,
        "state": instance.state,
        "restarts": instance.restarts,
        "since": utc(instance.since),
        "last_exit": instance.last_exit,
    }


def _load(member: Member, report: ReportMessage) -> dict[str, Any]:
    detail = report.load_detail
    return {
        "name": member.name,
        "node_id": member.node_id,
        "address": str(member.address),
        "score": report.load,
        "cpu": detail.cpu,
        "memory": detail.memory,
        "roles": len(report.running),
        "signals": dict(detail.signals),
    }
