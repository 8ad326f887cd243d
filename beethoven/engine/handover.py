"""
Handing over: from where roles are to be in the end to who runs them now. Pure.

An instance that must go (a *leaver*) is kept until its successor runs, or it is stopped and its
successor waits until it is gone, as the role says. A leaver whose successor had a place already
stays until the successor runs, whatever the role says: it is surplus, and nobody waits for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from beethoven.cluster.role_spec import Handover, RoleSpec
from beethoven.engine.table import Place, Stamp

UNTIL_SUCCESSOR: Final = "it stays until its successor runs"


@dataclass(frozen=True, slots=True)
class Turn:
    """
    Who has a place of one role now.

    Attributes:
        stayers: Of those that are to have one in the end, those that have it now, sorted.
        kept: The leavers that still have one.
    """

    stayers: tuple[str, ...]
    kept: tuple[str, ...]


def take_turn(
    spec: RoleSpec,
    target: Sequence[str],
    placed: frozenset[str],
    settled: frozenset[str],
    leavers: Sequence[str],
    stopping: int,
) -> Turn:
    """
    Return who has a place of a role now.

    Args:
        spec: The role.
        target: The nodes that are to have it in the end.
        placed: The nodes that have a place now.
        settled: The nodes where it runs, or has ended for good.
        leavers: The nodes that are to lose it and still have a place, the first to stay first.
        stopping: How many others have lost their place and still have a process.
    """
    stayers = list(target)
    if spec.handover is Handover.STOP_FIRST:
        stayers = [node_id for node_id in target if node_id in placed]
    unsettled = [node_id for node_id in stayers if node_id not in settled]
    kept = tuple(leavers[: len(unsettled)])
    if spec.handover is Handover.STOP_FIRST:
        # Leavers that lose their place this very moment have their processes for a while.
        room = spec.instances - len(stayers) - len(leavers) - stopping
        newcomers = [node_id for node_id in target if node_id not in placed]
        stayers += newcomers[: max(0, room)]
    return Turn(tuple(sorted(stayers)), kept)


def assign_places(
    turn: Turn,
    before: Sequence[Place],
    reasons: Mapping[str, str],
    stamp: Stamp,
    instances: int,
) -> tuple[Place, ...]:
    """
    Return the places of one role: those that stay keep slot and token.

    Args:
        turn: Who has a place.
        before: The places until now.
        reasons: Why each stayer is where it is, for those that are new.
        stamp: The table in which new places first stand.
        instances: How many slots there are, >= `len(turn.stayers)`.
    """
    old = {place.node_id: place for place in before}
    places: dict[str, Place] = {}
    taken: set[int] = set()
    stayers = sorted(turn.stayers, key=lambda node_id: _age(old, node_id))
    movers: list[str] = []
    for node_id in stayers:
        place = old.get(node_id)
        if place is None or place.slot in taken or place.slot >= instances:
            movers.append(node_id)
        else:
            taken.add(place.slot)
            places[node_id] = place
    free = (slot for slot in range(instances) if slot not in taken)
    for node_id, slot in zip(movers, free, strict=False):
        why = old[node_id].reason if node_id in old else reasons[node_id]
        places[node_id] = Place(node_id, slot, stamp, why)
    for node_id in turn.kept:
        places[node_id] = old.get(node_id) or Place(node_id, 0, stamp, UNTIL_SUCCESSOR)
    return tuple(places[node_id] for node_id in sorted(places))


def _age(old: Mapping[str, Place], node_id: str) -> tuple[bool, Stamp | None, str]:
    place = old.get(node_id)
    return (place is None, None if place is None else place.token, node_id)
