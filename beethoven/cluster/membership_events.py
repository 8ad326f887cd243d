"""What membership hears (events) and what it has done (effects)."""

from dataclasses import dataclass
from enum import StrEnum

from beethoven.cluster.addresses import Address
from beethoven.cluster.member import Cause, Member

# A link is named by a number that the runner gives: never twice in the life of one membership.


@dataclass(frozen=True, slots=True)
class LinkOpened:
    """
    A link was authenticated at both ends.

    Attributes:
        link: Its number.
        peer: Who is at the other end, from the handshake.
        dialled: The address that we dialled, or `None` if the other end did.
    """

    link: int
    peer: Member
    dialled: Address | None


@dataclass(frozen=True, slots=True)
class LinkClosed:
    """A link ended at the other end or on its way; not one that we were told to close."""

    link: int


@dataclass(frozen=True, slots=True)
class HeartbeatReceived:
    """
    A heartbeat came over a link.

    Attributes:
        link: Its number.
        sent_at: When it was sent, by the sender's clock; it is only sent back.
        echo: The `sent_at` of the last heartbeat that the sender had from us, if it had one.
    """

    link: int
    sent_at: float
    echo: float | None


@dataclass(frozen=True, slots=True)
class DialRefused:
    """The port refused: nobody listens, so the root that owned it is gone."""

    address: Address


@dataclass(frozen=True, slots=True)
class DialTimedOut:
    """No link was opened in time, or the address could not be reached."""

    address: Address


@dataclass(frozen=True, slots=True)
class DialRejected:
    """Somebody answered who is no member of this cluster: another cookie, cluster or protocol."""

    address: Address


@dataclass(frozen=True, slots=True)
class BeaconAnswered:
    """
    A beacon answered a dial and proved who it is, but its core server does not take the link now.

    It is a proof of life, so an answer that anybody could have given must not be told.
    """

    address: Address
    node_id: str


@dataclass(frozen=True, slots=True)
class AddressFound:
    """The locator found somebody who may be a member."""

    address: Address


@dataclass(frozen=True, slots=True)
class MembersLearned:
    """Another node told whom it knows."""

    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class AskedAbout:
    """Another node asked whether we hear a third one."""

    link: int
    node_id: str


@dataclass(frozen=True, slots=True)
class Vouched:
    """Another node answered that it heard a third one `age` seconds ago."""

    node_id: str
    age: float


@dataclass(frozen=True, slots=True)
class LeaveAnnounced:
    """The node at the other end of a link said that it leaves."""

    link: int


@dataclass(frozen=True, slots=True)
class Due:
    """
    Which machines may be gone by now.

    Attributes:
        machines: All of them; those of an earlier word are not any more.
    """

    machines: frozenset[str]


@dataclass(frozen=True, slots=True)
class LeaveRequested:
    """This node is to leave the cluster."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """The deadline has come, or has been over for some time."""


Event = (
    LinkOpened
    | LinkClosed
    | HeartbeatReceived
    | DialRefused
    | DialTimedOut
    | DialRejected
    | BeaconAnswered
    | AddressFound
    | MembersLearned
    | AskedAbout
    | Vouched
    | LeaveAnnounced
    | Due
    | LeaveRequested
    | Ticked
)


class CloseReason(StrEnum):
    """Why we close a link."""

    SELF = "we dialled ourselves"
    TAKEN = "it has our own name or address"
    OUTDATED = "a newer boot of that node is known"
    SURPLUS = "another link to that node is kept"
    GONE = "that node is down or has left"
    LEAVING = "we leave"


@dataclass(frozen=True, slots=True)
class Dial:
    """Open a link to an address, handshake included, within `timeout` seconds; tell how it went."""

    address: Address
    timeout: float


@dataclass(frozen=True, slots=True)
class SendHeartbeat:
    """Send a heartbeat; the fields are those of `HeartbeatReceived` at the other end."""

    link: int
    sent_at: float
    echo: float | None


@dataclass(frozen=True, slots=True)
class SendMembers:
    """Tell the node at the other end whom we know."""

    link: int
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class AskAbout:
    """Ask the node at the other end whether it hears a third one."""

    link: int
    node_id: str


@dataclass(frozen=True, slots=True)
class Vouch:
    """Answer such a question: we heard that node `age` seconds ago."""

    link: int
    node_id: str
    age: float


@dataclass(frozen=True, slots=True)
class AnnounceLeave:
    """Tell the node at the other end that we leave; what was sent before arrives before."""

    link: int


@dataclass(frozen=True, slots=True)
class CloseLink:
    """Close a link, after what was sent over it; nothing more is told of it."""

    link: int
    reason: CloseReason


@dataclass(frozen=True, slots=True)
class NodeUp:
    """A node is a member now."""

    member: Member


@dataclass(frozen=True, slots=True)
class MemberChanged:
    """A member says something else of itself than before, such as another address or zone."""

    member: Member


@dataclass(frozen=True, slots=True)
class NodeSuspected:
    """A member may be down."""

    member: Member
    cause: Cause


@dataclass(frozen=True, slots=True)
class NodeRecovered:
    """A suspect is well."""

    member: Member


@dataclass(frozen=True, slots=True)
class NodeDown:
    """A member is one no more."""

    member: Member
    cause: Cause


@dataclass(frozen=True, slots=True)
class NodeLeft:
    """A member left in good order."""

    member: Member


@dataclass(frozen=True, slots=True)
class ReportLateness:
    """This node was frozen or overloaded for so many seconds; others may take it for dead."""

    lateness: float


@dataclass(frozen=True, slots=True)
class ReportConflict:
    """Another node goes by our own name or address; one of the two must be changed."""

    other: Member


Effect = (
    Dial
    | SendHeartbeat
    | SendMembers
    | AskAbout
    | Vouch
    | AnnounceLeave
    | CloseLink
    | NodeUp
    | MemberChanged
    | NodeSuspected
    | NodeRecovered
    | NodeDown
    | NodeLeft
    | ReportLateness
    | ReportConflict
)
