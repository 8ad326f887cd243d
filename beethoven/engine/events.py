"""What a coordinator hears (events) and what is to be done about it (effects)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from beethoven.cluster.member import Member
from beethoven.engine.table import Report, Table


@dataclass(frozen=True, slots=True)
class MembershipChanged:
    """
    Other nodes can be reached than before.

    Attributes:
        members: All that can be reached now, this node included.
    """

    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class ReportReceived:
    """A node has told about itself; also this node's own word."""

    node_id: str
    report: Report


@dataclass(frozen=True, slots=True)
class TableReceived:
    """A node has passed on a table."""

    node_id: str
    table: Table


@dataclass(frozen=True, slots=True)
class SettledAlone:
    """The first search for other nodes is over: who is alone now may begin."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed. Comes at least every half second."""


@dataclass(frozen=True, slots=True)
class DrainRequested:
    """This node is to be left without roles; `is_wanted` False takes it back."""

    is_wanted: bool = True


@dataclass(frozen=True, slots=True)
class OutlookChanged:
    """
    What lies ahead of this node has changed; each field as in `Report`.

    Attributes:
        is_cordoned: Of this node.
        is_at_risk: Of this node.
        doomed: Of all nodes that it has heard of.
    """

    is_cordoned: bool = False
    is_at_risk: bool = False
    doomed: frozenset[str] = frozenset()


Event = (
    MembershipChanged
    | ReportReceived
    | TableReceived
    | SettledAlone
    | Ticked
    | DrainRequested
    | OutlookChanged
)


@dataclass(frozen=True, slots=True)
class PublishTable:
    """Send a table to all other members."""

    table: Table


@dataclass(frozen=True, slots=True)
class SendTable:
    """Send a table to one member that may lack it."""

    node_id: str
    table: Table


@dataclass(frozen=True, slots=True)
class AdoptTable:
    """See to it that this node runs what the table says for it."""

    table: Table


@dataclass(frozen=True, slots=True)
class SendReport:
    """Report about this node anew, to all members: what `complete` adds has changed."""


@dataclass(frozen=True, slots=True)
class Release:
    """Nothing is left on this node, which was to be drained: it may go."""


@dataclass(frozen=True, slots=True)
class Emptied:
    """This node is cordoned, and has no role left; or has one again, or is cordoned no more."""

    is_empty: bool


@dataclass(frozen=True, slots=True)
class Note:
    """Log something."""

    event: str
    level: str = "info"
    fields: Mapping[str, object] = field(default_factory=dict)


Effect = PublishTable | SendTable | AdoptTable | SendReport | Release | Emptied | Note
