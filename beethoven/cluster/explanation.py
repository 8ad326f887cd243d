"""Why a role runs on a node, or why it does not, in words. Pure."""

from collections.abc import Mapping

from beethoven.cluster.placement import Situation, is_eligible
from beethoven.cluster.role_spec import Candidate, RoleSpec


def explain(
    situation: Situation,
    role: str,
    node_id: str,
    *,
    placed: Mapping[str, str],
    failing: Mapping[str, float] | None = None,
) -> str:
    """
    Return why a role runs on a node, or why it does not.

    Args:
        situation: What the decision was made from.
        role: The role.
        node_id: The node.
        placed: Where the role is placed now, and the reason for each place.
        failing: For how many seconds more the role is kept away from nodes where it failed.
    """
    node = next((each for each in situation.nodes if each.node_id == node_id), None)
    spec = next((each for each in situation.specs if each.name == role), None)
    if node_id in placed:
        here = _here(situation, role, node_id, placed[node_id])
        if spec is not None and node is not None and node.is_cordoned:
            here += _prospect(spec, situation, placed)
        return here
    if spec is None:
        return "not there because: nothing is decided about this role yet"
    if node is None:
        return "not there because: the node is not known here"
    return f"not there because: {_obstacle(spec, node, situation, placed, failing or {})}"


def _here(situation: Situation, role: str, node_id: str, reason: str) -> str:
    if (role, node_id) in situation.since:
        return f"runs here because {reason}"
    return f"is to run here because {reason}; it does not run yet"


def _prospect(spec: RoleSpec, situation: Situation, placed: Mapping[str, str]) -> str:
    """Return what becomes of a role on a cordoned node."""
    others = [each for each in situation.nodes if is_eligible(spec, each)]
    if all(each.node_id in placed for each in others):
        return "; the node is cordoned, but no other can take it"
    return "; the node is cordoned, so it moves to another"


def _obstacle(
    spec: RoleSpec,
    node: Candidate,
    situation: Situation,
    placed: Mapping[str, str],
    failing: Mapping[str, float],
) -> str:
    if spec.name not in node.roles:
        return "role not configured there"
    if spec.name in node.unable:
        return f"it cannot run there: {node.unable[spec.name]}"
    if missing := sorted(spec.requires - node.labels):
        return f"lacks label{'s' if len(missing) > 1 else ''} {', '.join(missing)}"
    if node.is_draining:
        return "the node is leaving"
    if node.is_cordoned:
        return "the node is cordoned: its machine is about to go, or to stand still"
    if (spec.name, node.node_id) in situation.avoided:
        seconds = failing.get(node.node_id)
        until = "" if seconds is None else f", tried again in {seconds:.0f} s at the earliest"
        return f"failing there{until}"
    if len(placed) >= spec.instances:
        risk = ", and the node is at risk" if node.is_at_risk else ""
        return f"enough instances elsewhere ({len(placed)} of {spec.instances}){risk}"
    if situation.reserved.get(spec.name, 0):
        return "its place is still held for a node that fell silent"
    return "it is about to start there or to be placed"
