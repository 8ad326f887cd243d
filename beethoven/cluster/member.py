"""Members: the nodes of a cluster as one of them knows them. Values only."""

from dataclasses import dataclass
from enum import StrEnum

from beethoven.cluster.addresses import Address


@dataclass(frozen=True, slots=True)
class Member:
    """
    One boot of a node, as others know it.

    Attributes:
        node_id: Drawn at random at each boot: the identity of this boot.
        name: Unique in the cluster, and the same at each boot.
        address: Where the node listens.
        incarnation: Greater at each boot of the same name or address.
        labels: What a role may require or prefer.
        zone: Where the node stands; empty is unknown.
        joined_at: When it booted, in seconds since the epoch by its own clock. For people: clocks
            of two machines are never compared.
        machine: What the provider of its machine calls that; empty is unknown.
    """

    node_id: str
    name: str
    address: Address
    incarnation: int
    labels: frozenset[str] = frozenset()
    zone: str = ""
    joined_at: float = 0.0
    machine: str = ""

    def succeeds(self, other: "Member") -> bool:
        """Return whether this could be a boot of the same node as the other, but is not that."""
        if self.node_id == other.node_id:
            return False
        return self.name == other.name or self.address == other.address


class Status(StrEnum):
    """What a node is to another."""

    ALIVE = "alive"
    SUSPECT = "suspect"
    DOWN = "down"
    LEFT = "left"


class Cause(StrEnum):
    """Why a node is suspect or down."""

    UNLINKED = "the link to it closed"
    QUIET = "it is not heard"
    REFUSED = "the link to it closed and its port refuses"
    SILENT = "it was not heard for too long"
    DUE = "its machine was about to go, and it is not heard"
    REPLACED = "it has booted anew"


@dataclass(frozen=True, slots=True)
class MemberView:
    """
    What one node knows of another.

    Attributes:
        member: The other.
        status: What it is to us.
        since: When that began, monotonic.
        cause: Why it is suspect or down; `None` if it is neither.
        heard_at: When we last heard it ourselves, monotonic.
        acknowledged_at: When we sent the latest message that it is known to have received: the
            proof of a round trip. `None` before the first.
    """

    member: Member
    status: Status
    since: float
    cause: Cause | None
    heard_at: float
    acknowledged_at: float | None
