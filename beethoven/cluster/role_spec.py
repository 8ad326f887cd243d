"""What the cluster is told of a role, and of a node as a place for roles. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Handover(StrEnum):
    """What comes first when an instance moves from a node to another."""

    STOP_FIRST = "stop_first"
    START_FIRST = "start_first"


class Reconcile(StrEnum):
    """Which instances stay when more run than are wanted."""

    KEEP_OLDEST = "keep_oldest"
    KEEP_NEWEST = "keep_newest"
    KEEP_BEST = "keep_best"


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """
    What the cluster needs to know of a role: how many, where, and which configuration.

    Attributes:
        name: Unique in the cluster.
        instances: Wanted across the cluster, >= 1; a node runs at most one.
        requires: Labels that a node must have.
        prefers: Labels that a node should have; the more, the better.
        digest: Tells two configurations of the role apart.
        version: Which configuration is newer, if somebody said so.
        handover: What comes first when an instance moves.
        reconcile: Which instances stay when more run than are wanted.
        start_within: How long a node may take until the role runs there, in seconds > 0.
    """

    name: str
    instances: int = 1
    requires: frozenset[str] = frozenset()
    prefers: frozenset[str] = frozenset()
    digest: str = ""
    version: int = 0
    handover: Handover = Handover.STOP_FIRST
    reconcile: Reconcile = Reconcile.KEEP_OLDEST
    start_within: float = 35.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """
    A node as a place for roles.

    Attributes:
        node_id: Which node.
        roles: The roles that are configured there.
        unable: Why some of those cannot run there, by role.
        labels: What a role may require or prefer.
        zone: Where it stands; instances of one role are spread over zones.
        load: How busy it is, >= 0; decides between nodes that host equally many instances.
        is_draining: Whether it is to be left without roles.
        is_cordoned: Whether it gets no more roles, and keeps only what no other node can run.
        is_at_risk: Whether other nodes are better for new roles.
    """

    node_id: str
    roles: frozenset[str] = frozenset()
    unable: Mapping[str, str] = field(default_factory=dict)
    labels: frozenset[str] = frozenset()
    zone: str = ""
    load: float = 0.0
    is_draining: bool = False
    is_cordoned: bool = False
    is_at_risk: bool = False

    @property
    def is_going(self) -> bool:
        """Whether it hands over what it runs."""
        return self.is_draining or self.is_cordoned
