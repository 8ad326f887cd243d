"""The table of who runs what, and what nodes report about themselves. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from beethoven.cluster.member import Member
from beethoven.cluster.role_spec import RoleSpec


class Epoch(NamedTuple):
    """The reign of one coordinator. A later one has a higher counter."""

    counter: int
    node_id: str


class Stamp(NamedTuple):
    """Which table: they grow with every table of a coordinator, and from reign to reign."""

    epoch: Epoch
    version: int


NO_EPOCH: Final = Epoch(0, "")
NO_STAMP: Final = Stamp(NO_EPOCH, 0)


class Seniority(NamedTuple):
    """Who is older: the lower, the older."""

    incarnation: int
    node_id: str


def seniority(member: Member) -> Seniority:
    """Return the rank of a member: the first of all leads."""
    return Seniority(member.incarnation, member.node_id)


@dataclass(frozen=True, slots=True)
class Place:
    """
    One instance of a role on one node.

    Attributes:
        node_id: Where.
        slot: Which of the instances, 0 to `instances` - 1. While an instance moves, the old and
            the new one have the same.
        token: The stamp of the table in which the place first stood. Within a cluster that is not
            cut in two, a later holder of a slot has a higher token.
        reason: Why there.
    """

    node_id: str
    slot: int
    token: Stamp
    reason: str


@dataclass(frozen=True, slots=True)
class Committed:
    """
    The configuration of a role that holds for the whole cluster.

    Attributes:
        spec: The configuration.
        version: Counts how often it was changed; the highest holds when clusters merge.
    """

    spec: RoleSpec
    version: int


@dataclass(frozen=True, slots=True)
class Table:
    """
    What a coordinator has decided.

    Attributes:
        stamp: Which table it is.
        places: Who is to run each role now, by role, sorted by node. While an instance moves there
            may be more places than instances, or fewer.
        specs: The configuration of each role that holds.
        members: The nodes whose reports the decision rests on. Only they are told by it.
        draining: Those of them that are to be left without roles.
        cordoned: Those of them that get no more roles.
        avoided: For how many seconds from now a role is kept away from a node, by role and node.
    """

    stamp: Stamp = NO_STAMP
    places: Mapping[str, tuple[Place, ...]] = field(default_factory=dict)
    specs: Mapping[str, Committed] = field(default_factory=dict)
    members: frozenset[str] = frozenset()
    draining: frozenset[str] = frozenset()
    cordoned: frozenset[str] = frozenset()
    avoided: Mapping[tuple[str, str], float] = field(default_factory=dict)

    def nodes_of(self, role: str) -> tuple[str, ...]:
        return tuple(place.node_id for place in self.places.get(role, ()))

    def roles_of(self, node_id: str) -> dict[str, Place]:
        """Return what a node is to run: `{role: place}`."""
        return {
            role: place
            for role, places in self.places.items()
            for place in places
            if place.node_id == node_id
        }

    def is_same_decision(self, other: "Table") -> bool:
        """Return whether both tell everybody the same. Times that only pass are no difference."""
        return (
            self.places == other.places
            and self.specs == other.specs
            and self.members == other.members
            and self.draining == other.draining
            and self.cordoned == other.cordoned
            and self.avoided.keys() == other.avoided.keys()
        )


@dataclass(frozen=True, slots=True)
class Report:
    """
    What a node tells all others about itself.

    Times are durations, not clocks: those of two machines are never compared.

    Attributes:
        sequence: Grows with every report of the node.
        roles: The roles in its configuration.
        unable: Why some of those cannot run there, by role.
        running: For how many seconds each running role has been running.
        held: The roles of which it has a process in any state, also starting and stopping.
        finished: The roles that ended for good there, as they were meant to.
        failing: The roles that fail there, and for how many seconds more they are not tried.
        load: How busy it is, >= 0.
        is_draining: Whether it is to be left without roles.
        is_cordoned: Whether it is to get no more roles, and to hand over those that it has.
        is_at_risk: Whether other nodes are to be preferred for new roles.
        doomed: Machines of which it knows that they are about to go.
        stamp: The table that its role server had when it found this: a later one may have brought
            roles that are not told of.
        eldest: The oldest member that it can reach itself.
    """

    sequence: int
    roles: Mapping[str, RoleSpec] = field(default_factory=dict)
    unable: Mapping[str, str] = field(default_factory=dict)
    running: Mapping[str, float] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    finished: frozenset[str] = frozenset()
    failing: Mapping[str, float] = field(default_factory=dict)
    load: float = 0.0
    is_draining: bool = False
    is_cordoned: bool = False
    is_at_risk: bool = False
    doomed: frozenset[str] = frozenset()
    stamp: Stamp = NO_STAMP
    eldest: Seniority | None = None

    def has_settled(self, role: str) -> bool:
        """Return whether a role does all that it should there."""
        return role in self.running or role in self.finished
