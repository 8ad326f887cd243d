"""What must hold of whole nodes: after every table, and once all faults are over."""

from typing import Any

from beethoven.cluster.role_spec import RoleSpec
from beethoven.engine.table import Table


def check_tokens(before: Table, after: Table):
    """
    Fail if a table is no lawful successor of the one that its coordinator held before.

    I1: no role twice on a node. I5: a place is as it was, or its token is the stamp of this table,
    which is higher than that of every table before it; so along the tables of one coordinator, and
    of those that take over from each other, the tokens of a slot only grow.
    """
    assert after.stamp > before.stamp, f"I5: {after.stamp} after {before.stamp}"
    for role, places in after.places.items():
        nodes = [place.node_id for place in places]
        assert len(set(nodes)) == len(nodes), f"I1: {role} twice on one node: {nodes}"
        assert after.members.issuperset(nodes), f"{role} on a node that said nothing: {nodes}"
        old = {(place.node_id, place.slot): place for place in before.places.get(role, ())}
        for place in places:
            known = old.get((place.node_id, place.slot))
            tokens = {after.stamp} if known is None else {after.stamp, known.token}
            assert place.token in tokens, f"I5: {role}: {place} after {known}"


def check_released(node: Any):
    """Fail if a node goes while it has instances: their successors may start before they end."""
    held = sorted(node.roles.processes)
    assert not held, f"I3: {node.host.name} is released with {held}"


def leaders(world: Any) -> list[Any]:
    return [node for node in nodes(world) if node.state is not None and node.state.is_leading]


def nodes(world: Any) -> list[Any]:
    return [host.node for host in world.running()]


def where(world: Any, role: str) -> list[str]:
    """Return the hosts where a role runs."""
    return [node.host.name for node in nodes(world) if node.roles.runs(role)]


def eligible(world: Any, spec: RoleSpec) -> list[str]:
    return [
        node.host.name
        for node in nodes(world)
        if spec.name in node.roles.specs
        and not node.is_draining
        and spec.requires <= node.member.labels
    ]


def cordoned(world: Any) -> set[str]:
    """Return the hosts that are to get no roles, by their own word or by that of others."""
    up = nodes(world)
    doomed = frozenset[str]().union(*(node.outlook.doomed for node in up))
    return {
        node.host.name for node in up if node.outlook.is_cordoned or node.member.machine in doomed
    }


def wrongs(world: Any) -> list[str]:
    """Return what is not as it should be once faults have stopped: I3, I6, and all agree."""
    up = nodes(world)
    if not up:
        return []
    found = [f"{node.host.name} is not released" for node in up if node.is_draining]
    found += [f"{node.host.name} has no core server" for node in up if node.state is None]
    leading = leaders(world)
    if len(leading) != 1:
        return [*found, f"leaders {[node.host.name for node in leading]}"]
    table = leading[0].state.table
    found += [
        f"{node.host.name} follows {node.state.adopted}, not {table.stamp}"
        for node in up
        if node.state is not None and node.state.adopted != table.stamp
    ]
    for role in sorted({role for node in up for role in node.roles.specs}):
        if role not in table.specs:
            found.append(f"{role} is not known")
            continue
        found += _wrong_counts(world, table.specs[role].spec, table)
    return found or ([] if world.has_converged() else ["the views differ"])


def _wrong_counts(world: Any, spec: RoleSpec, table: Table) -> list[str]:
    """
    Compare a role with what is wanted. What must go counts while it exists.

    A cordoned host may have it only if all others that can take it have it as well.
    """
    able = eligible(world, spec)
    held = [node.host.name for node in nodes(world) if spec.name in node.roles.processes]
    running = where(world, spec.name)
    unfit = cordoned(world)
    staying = [name for name in held if name in unfit and name in able]
    free = {name for name in able if name not in unfit}
    wanted = min(spec.instances, len(free) + len(staying) or min(1, len(able)))
    if len(held) == len(running) == wanted:
        avoided = {node_id for role, node_id in table.avoided if role == spec.name}
        idle = [
            node.host.name
            for node in nodes(world)
            if node.host.name in free - set(held) and node.member.node_id not in avoided
        ]
        return [f"{spec.name} stays on {staying}, not on {idle}"] if staying and idle else []
    return [f"{spec.name}: {wanted} wanted of {able}, on {held}, running {running}"]
