"""What a core server tells people of the cluster: members, roles, load, and reasons."""

from collections.abc import Iterator
from typing import Any

from beethoven.clock import utc
from beethoven.cluster.member import Member, Status
from beethoven.cluster.membership import Membership
from beethoven.cluster.role_spec import RoleSpec
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
    """Return the nodes that can be reached, the least busy first."""
    nodes = []
    for member in (membership.own, *membership.members()):
        report = coordinator.reports.get(member.node_id)
        if report is not None and not report.is_draining:
            nodes.append(_load(member, report))
    return sorted(nodes, key=lambda node: (node["score"], node["roles"], node["name"]))


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
    known = [(membership.own, str(Status.ALIVE))]
    known += [(view.member, str(view.status)) for view in membership.views()]
    return [
        _member(member, state, coordinator.reports.get(member.node_id))
        for member, state in sorted(known, key=lambda each: (each[0].name, each[0].incarnation))
    ]


def _member(member: Member, state: str, report: ReportMessage | None) -> dict[str, Any]:
    is_leaving = report is not None and report.is_draining and state == Status.ALIVE
    running = [] if report is None else sorted(report.running)
    return {
        "name": member.name,
        "node_id": member.node_id,
        "address": str(member.address),
        "state": "leaving" if is_leaving else state,
        "since": utc(member.joined_at),
        "labels": sorted(member.labels),
        "zone": member.zone,
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
    """Count the nodes that can run a role."""
    return sum(
        spec.name in report.roles
        and spec.name not in report.unable
        and not report.is_draining
        and spec.requires <= member.labels
        for member, report in _reports(membership, coordinator)
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
