"""
The messages of two core servers over their link: who is a member, and who is heard.

`membership_events` says what they mean; here is only how they lie on the wire. Pure.
"""

from dataclasses import dataclass
from math import floor
from typing import Annotated, Final

from beethoven.cluster.addresses import Address
from beethoven.cluster.fields import (
    ADDRESS,
    COUNT,
    INCARNATION,
    NAME,
    NODE_ID,
    many,
    number,
    optional,
    record,
    text,
)
from beethoven.cluster.member import Member
from beethoven.cluster.wire import MessageTable

MOST_MEMBERS: Final = 512
MOST_LABELS: Final = 32
LONGEST_LABEL: Final = 64
LONGEST_ZONE: Final = 64
LONGEST_MACHINE: Final = 128

# In seconds: no duration or point in time that anybody means is longer.
LONGEST_DURATION: Final = 1e9
LATEST: Final = 1e12

LABELS: Final = many(text(LONGEST_LABEL), MOST_LABELS)
MACHINE: Final = text(LONGEST_MACHINE)

_LARGEST_COUNT: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """A `Member`; its fields mean the same."""

    node_id: Annotated[str, NODE_ID]
    name: Annotated[str, NAME]
    address: Annotated[str, ADDRESS]
    incarnation: Annotated[int, INCARNATION]
    labels: Annotated[tuple[str, ...], LABELS] = ()
    zone: Annotated[str, text(LONGEST_ZONE)] = ""
    joined_at: Annotated[float, number(0, LATEST)] = 0.0
    machine: Annotated[str, MACHINE] = ""


@dataclass(frozen=True, slots=True)
class Introduction(MemberRecord):
    """
    Who its sender is: the first message of either side of a link.

    What the handshake has proved already must be the same here; the receiver checks it.
    """


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """
    A sign of life, from which the other side also learns that its own was heard.

    Attributes:
        sent_at_us: When it was sent, in microseconds of the sender's monotonic clock.
        echo_us: `sent_at_us` of the last heartbeat that the sender received on this link.
    """

    sent_at_us: Annotated[int, COUNT]
    echo_us: Annotated[int | None, optional(COUNT)] = None

    @property
    def sent_at(self) -> float:
        """When it was sent, in seconds of the sender's clock."""
        return self.sent_at_us / 1e6

    @property
    def echo(self) -> float | None:
        """The `sent_at` of the last heartbeat that the sender had from the reader, if any."""
        return None if self.echo_us is None else self.echo_us / 1e6


@dataclass(frozen=True, slots=True)
class Members:
    """Whom its sender knows."""

    members: Annotated[tuple[MemberRecord, ...], many(record(MemberRecord), MOST_MEMBERS)]


@dataclass(frozen=True, slots=True)
class AskAbout:
    """Whether the reader hears a third node."""

    node_id: Annotated[str, NODE_ID]


@dataclass(frozen=True, slots=True)
class Vouch:
    """That its sender heard a third node `age` seconds ago."""

    node_id: Annotated[str, NODE_ID]
    age: Annotated[float, number(0, LONGEST_DURATION)]


@dataclass(frozen=True, slots=True)
class Leave:
    """That its sender leaves the cluster."""


LinkMessage = Introduction | Heartbeat | Members | AskAbout | Vouch | Leave

LINK: Final = MessageTable[LinkMessage](
    introduction=Introduction,
    heartbeat=Heartbeat,
    members=Members,
    ask_about=AskAbout,
    vouch=Vouch,
    leave=Leave,
)


def member_to_record(member: Member) -> MemberRecord:
    """Return a member as it is told to others."""
    return MemberRecord(
        node_id=member.node_id,
        name=member.name,
        address=str(member.address),
        incarnation=member.incarnation,
        labels=tuple(sorted(member.labels)),
        zone=member.zone,
        joined_at=within(member.joined_at, LATEST),
        machine=member.machine if is_machine(member.machine) else "",
    )


def record_to_member(record: MemberRecord) -> Member:
    """Return the member that was told of, by an introduction or in a list."""
    return Member(
        node_id=record.node_id,
        name=record.name,
        address=Address.parse(record.address),
        incarnation=record.incarnation,
        labels=frozenset(record.labels),
        zone=record.zone,
        joined_at=record.joined_at,
        machine=record.machine,
    )


def introduction_of(own: Member) -> Introduction:
    """Return what this node says first over every link."""
    told = member_to_record(own)
    return Introduction(
        told.node_id,
        told.name,
        told.address,
        told.incarnation,
        told.labels,
        told.zone,
        told.joined_at,
        told.machine,
    )


def heartbeat_of(sent_at: float, echo: float | None) -> Heartbeat:
    """Return a heartbeat; both times are seconds, and as in `HeartbeatReceived`."""
    return Heartbeat(microseconds(sent_at), None if echo is None else microseconds(echo))


def vouch_for(node_id: str, age: float) -> Vouch:
    """Return that a node was heard `age` seconds ago."""
    return Vouch(node_id, within(age, LONGEST_DURATION))


def microseconds(seconds: float) -> int:
    """
    Return the last whole microsecond that is not later than a time in seconds.

    A heartbeat that comes back must not seem to have been sent later than it was. What came as
    microseconds is the same when it goes back.
    """
    # The product may be rounded to either side of the truth; the quotient is what a reader sees.
    whole = floor(min(max(0.0, seconds), LATEST * 10) * 1e6) + 1
    while whole / 1e6 > seconds and whole > 0:
        whole -= 1
    return min(whole, _LARGEST_COUNT)


def is_machine(name: str) -> bool:
    """Return whether a machine is called something that can be told; a part of it means nothing."""
    return 0 < len(name) <= LONGEST_MACHINE and name.isprintable()


def within(value: float, highest: float) -> float:
    """Return a number, or the nearest one from 0 to `highest`, for fields that refuse others."""
    return min(max(0.0, value), highest)
