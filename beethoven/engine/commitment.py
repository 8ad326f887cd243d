"""Which configuration of a role holds when those of the nodes differ. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from beethoven.engine.table import Committed, Report


@dataclass(frozen=True, slots=True)
class Difference:
    """A node has a role in another configuration than the one that holds."""

    role: str
    node_id: str
    digest: str
    agreeing: str


def commit(
    before: Mapping[str, Committed], reports: Iterable[tuple[str, Report]]
) -> dict[str, Committed]:
    """
    Return the configuration of each role that some node has.

    What holds goes on holding while a node has it and no node has a newer version of it. Otherwise
    the newest that a node has is taken.

    Args:
        before: What held until now.
        reports: Nodes and their words; of equally new configurations the first one's is taken.
    """
    words = list(reports)
    after: dict[str, Committed] = {}
    for role in sorted({role for _, report in words for role in report.roles}):
        offers = [report.roles[role] for _, report in words if role in report.roles]
        newest = max(offers, key=lambda spec: spec.version)
        held = before.get(role)
        if held is None:
            after[role] = Committed(newest, 1)
        elif newest.version > held.spec.version or held.spec.digest not in {
            offer.digest for offer in offers
        }:
            after[role] = Committed(newest, held.version + 1)
        else:
            after[role] = held
    return after


def merge(mine: Mapping[str, Committed], theirs: Mapping[str, Committed]) -> dict[str, Committed]:
    """Return what holds when two clusters meet: the higher version, and mine of equal ones."""
    merged = dict(mine)
    for role, committed in theirs.items():
        if role not in merged or committed.version > merged[role].version:
            merged[role] = committed
    return merged


def differences(
    held: Mapping[str, Committed], reports: Iterable[tuple[str, Report]]
) -> list[Difference]:
    """Return who has a role in another configuration than the one that holds, and who has that."""
    words = list(reports)
    found = []
    for role in sorted(held):
        digest = held[role].spec.digest
        own = {
            node_id: report.roles[role].digest for node_id, report in words if role in report.roles
        }
        agreeing = next((node_id for node_id, each in own.items() if each == digest), None)
        if agreeing is not None:
            found += [
                Difference(role, node_id, each, agreeing)
                for node_id, each in own.items()
                if each != digest
            ]
    return found
