"""
The messages of two coordinators: what nodes report, and the table of who runs what.

What a sender cannot vouch for, such as the text of an exception or a measured number, is brought
into its bounds before it is sent, so that a report or a table of this program is never refused.
Pure.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Final, TypeVar

from beethoven.cluster.fields import (
    BOOLEAN,
    COUNT,
    NODE_ID,
    Unfit,
    integer,
    many,
    mapping,
    number,
    optional,
    record,
    text,
)
from beethoven.cluster.link_messages import (
    LATEST,
    LONGEST_DURATION,
    MACHINE,
    is_machine,
    within,
)
from beethoven.cluster.load import Load
from beethoven.cluster.signal_board import MOST_POINTS
from beethoven.cluster.wire import MessageTable
from beethoven.engine.records import (
    LARGEST,
    LONGEST_WORD,
    MOST_NODES,
    MOST_ROLES,
    ROLE_NAME,
    SECONDS,
    STATE,
    WORD,
    AvoidedColumns,
    CommittedRecord,
    PlaceColumns,
    SeniorityRecord,
    SpecRecord,
    StampRecord,
    TokenColumns,
    check_indices,
    indices,
    spec_from_wire,
    spec_to_wire,
    stamp_from_wire,
    stamp_to_wire,
)
from beethoven.engine.table import Committed, Epoch, Place, Report, Seniority, Stamp, Table

K = TypeVar("K", bound=Hashable)

MOST_REASONS: Final = 4096
LONGEST_REASON: Final = 200
LONGEST_EXIT: Final = 500
LARGEST_LOAD: Final = 1e9
LARGEST_PID: Final = 2**31 - 1
# Of which one node may say that they are about to go.
MOST_MACHINES: Final = 1024

NO_LOAD: Final = Load()

_REASON: Final = text(LONGEST_REASON)
_LOAD: Final = number(0, LARGEST_LOAD)


@dataclass(frozen=True, slots=True)
class Instance:
    """
    One instance of a role on the reporting node, for people.

    Attributes:
        role: Which role.
        pid: Its process, if it has one.
        state: What it is doing, in one word.
        restarts: How often it was started again.
        since: When it came into that state, in seconds since 1970 by the node's own clock.
        last_exit: Why it last ended, if it ever did.
    """

    role: Annotated[str, ROLE_NAME]
    pid: Annotated[int | None, optional(integer(1, LARGEST_PID))]
    state: Annotated[str, WORD]
    restarts: Annotated[int, COUNT] = 0
    since: Annotated[float, number(0, LATEST)] = 0.0
    last_exit: Annotated[str | None, optional(text(LONGEST_EXIT))] = None


@dataclass(frozen=True, slots=True)
class ReportMessage:
    """A `Report`, whose fields mean the same, and what people want to see of a node."""

    sequence: Annotated[int, COUNT]
    stamp: Annotated[StampRecord, record(StampRecord)]
    roles: Annotated[Mapping[str, SpecRecord], mapping(ROLE_NAME, record(SpecRecord), MOST_ROLES)]
    unable: Annotated[Mapping[str, str], mapping(ROLE_NAME, _REASON, MOST_ROLES)]
    running: Annotated[Mapping[str, float], mapping(ROLE_NAME, SECONDS, MOST_ROLES)]
    held: Annotated[tuple[str, ...], many(ROLE_NAME, MOST_ROLES)]
    finished: Annotated[tuple[str, ...], many(ROLE_NAME, MOST_ROLES)]
    failing: Annotated[Mapping[str, float], mapping(ROLE_NAME, SECONDS, MOST_ROLES)]
    load: Annotated[float, _LOAD]
    is_draining: Annotated[bool, BOOLEAN]
    eldest: Annotated[SeniorityRecord | None, optional(record(SeniorityRecord))] = None
    instances: Annotated[tuple[Instance, ...], many(record(Instance), MOST_ROLES)] = ()
    load_detail: Annotated[Load, record(Load)] = NO_LOAD
    is_cordoned: Annotated[bool, BOOLEAN] = False
    is_at_risk: Annotated[bool, BOOLEAN] = False
    doomed: Annotated[tuple[str, ...], many(MACHINE, MOST_MACHINES)] = ()


@dataclass(frozen=True, slots=True)
class TableMessage:
    """
    A `Table`.

    Attributes:
        stamp: Which table it is.
        nodes: The nodes that all the rest speaks of by their indices.
        tokens: The tokens that places speak of by their indices.
        reasons: The reasons that places speak of by their indices.
        places: By role.
        specs: By role.
        members: Indices of nodes.
        draining: Indices of nodes.
        avoided: By role.
        cordoned: Indices of nodes.
    """

    stamp: Annotated[StampRecord, record(StampRecord)]
    nodes: Annotated[tuple[str, ...], many(NODE_ID, MOST_NODES)]
    tokens: Annotated[TokenColumns, record(TokenColumns)]
    reasons: Annotated[tuple[str, ...], many(_REASON, MOST_REASONS)]
    places: Annotated[
        Mapping[str, PlaceColumns], mapping(ROLE_NAME, record(PlaceColumns), MOST_ROLES)
    ]
    specs: Annotated[
        Mapping[str, CommittedRecord], mapping(ROLE_NAME, record(CommittedRecord), MOST_ROLES)
    ]
    members: Annotated[tuple[int, ...], indices(MOST_NODES)]
    draining: Annotated[tuple[int, ...], indices(MOST_NODES)]
    avoided: Annotated[
        Mapping[str, AvoidedColumns], mapping(ROLE_NAME, record(AvoidedColumns), MOST_ROLES)
    ] = field(default_factory=dict)
    cordoned: Annotated[tuple[int, ...], indices(MOST_NODES)] = ()

    def __post_init__(self) -> None:
        nodes = len(self.nodes)
        if len(set(self.nodes)) != nodes:
            raise Unfit("distinct", self.nodes, ".nodes")
        check_indices(self.members, nodes, ".members")
        check_indices(self.draining, nodes, ".draining")
        check_indices(self.cordoned, nodes, ".cordoned")
        named = [each for each in self.tokens.node if each is not None]
        check_indices(named, nodes, ".tokens.node")
        for role, places in self.places.items():
            check_indices(places.node, nodes, f".places[{role!r}].node")
            check_indices(places.token, len(self.tokens.node), f".places[{role!r}].token")
            check_indices(places.reason, len(self.reasons), f".places[{role!r}].reason")
        for role, avoided in self.avoided.items():
            check_indices(avoided.node, nodes, f".avoided[{role!r}].node")


@dataclass(frozen=True, slots=True)
class DrainMessage:
    """That the node at the other end is to be left without roles, or no more."""

    node_id: Annotated[str, NODE_ID]
    is_wanted: Annotated[bool, BOOLEAN]


@dataclass(frozen=True, slots=True)
class StateMessage:
    """
    The state that an instance leaves to whoever has its slot next.

    Attributes:
        role: Which role.
        slot: Which of its instances.
        state: What it gave, as it gave it: for the process of the role alone to read.
    """

    role: Annotated[str, ROLE_NAME]
    slot: Annotated[int, integer(0, LARGEST)]
    state: Annotated[bytes, STATE]


CoordinationMessage = ReportMessage | TableMessage | DrainMessage | StateMessage

COORDINATION: Final = MessageTable[CoordinationMessage](
    report=ReportMessage, table=TableMessage, drain=DrainMessage, state=StateMessage
)


def printable(text: str, longest: int) -> str:
    """Return a text that may hold anything as one that `fields.text(longest)` takes."""
    plain = str.__str__(text)
    head = plain[: longest + 1]
    if not head.isprintable():
        head = "".join(each if each.isprintable() else _stand_in(each) for each in head)
    return head if len(plain) <= longest else f"{head[: longest - 3]}..."


def _stand_in(character: str) -> str:
    return " " if character.isspace() else "\N{REPLACEMENT CHARACTER}"


def report_to_wire(
    report: Report,
    instances: Iterable[Instance] = (),
    load_detail: Load = NO_LOAD,
) -> ReportMessage:
    """
    Return a report as it is sent.

    Args:
        report: What the other coordinators decide by.
        instances: What people see of the roles. Their texts may hold anything.
        load_detail: What people see of the load; its score is that of the report.
    """
    eldest = report.eldest
    return ReportMessage(
        sequence=report.sequence,
        stamp=stamp_to_wire(report.stamp),
        roles={role: spec_to_wire(spec) for role, spec in report.roles.items()},
        unable={role: printable(why, LONGEST_REASON) for role, why in report.unable.items()},
        running=_durations(report.running),
        held=tuple(sorted(report.held)),
        finished=tuple(sorted(report.finished)),
        failing=_durations(report.failing),
        load=within(report.load, LARGEST_LOAD),
        is_draining=report.is_draining,
        eldest=None if eldest is None else SeniorityRecord(eldest.incarnation, eldest.node_id),
        instances=tuple(_bounded(each) for each in instances),
        load_detail=_bounded_load(load_detail),
        is_cordoned=report.is_cordoned,
        is_at_risk=report.is_at_risk,
        doomed=tuple(filter(is_machine, sorted(report.doomed)))[:MOST_MACHINES],
    )


def report_from_wire(message: ReportMessage) -> Report:
    """Return the report in a message that was decoded."""
    eldest = message.eldest
    return Report(
        sequence=message.sequence,
        roles={role: spec_from_wire(role, spec) for role, spec in message.roles.items()},
        unable=message.unable,
        running=message.running,
        held=frozenset(message.held),
        finished=frozenset(message.finished),
        failing=message.failing,
        load=message.load,
        is_draining=message.is_draining,
        is_cordoned=message.is_cordoned,
        is_at_risk=message.is_at_risk,
        doomed=frozenset(message.doomed),
        stamp=stamp_from_wire(message.stamp),
        eldest=None if eldest is None else Seniority(eldest.incarnation, eldest.node_id),
    )


class _Numbering(dict[K, int]):
    """Gives each thing that is looked up a number, in the order of the first look."""

    def __missing__(self, key: K) -> int:
        self[key] = len(self)
        return self[key]


def table_to_wire(table: Table) -> TableMessage:
    """Return a table as it is sent."""
    nodes: _Numbering[str] = _Numbering()
    tokens: _Numbering[Stamp] = _Numbering()
    reasons: _Numbering[str] = _Numbering()
    places = {
        role: PlaceColumns(
            node=tuple(nodes[each.node_id] for each in chosen),
            slot=tuple(each.slot for each in chosen),
            token=tuple(tokens[each.token] for each in chosen),
            reason=tuple(reasons[printable(each.reason, LONGEST_REASON)] for each in chosen),
        )
        for role, chosen in table.places.items()
    }
    members = tuple(nodes[each] for each in sorted(table.members))
    draining = tuple(nodes[each] for each in sorted(table.draining))
    cordoned = tuple(nodes[each] for each in sorted(table.cordoned))
    avoided: dict[str, dict[int, float]] = {}
    for (role, node_id), seconds in table.avoided.items():
        avoided.setdefault(role, {})[nodes[node_id]] = _duration(seconds)
    columns = _token_columns(tokens, nodes)
    return TableMessage(
        stamp=stamp_to_wire(table.stamp),
        nodes=tuple(nodes),
        tokens=columns,
        reasons=tuple(reasons),
        places=places,
        specs={
            role: CommittedRecord(spec_to_wire(each.spec), each.version)
            for role, each in table.specs.items()
        },
        members=members,
        draining=draining,
        avoided={
            role: AvoidedColumns(tuple(left), tuple(left.values()))
            for role, left in avoided.items()
        },
        cordoned=cordoned,
    )


def _token_columns(tokens: Iterable[Stamp], nodes: Mapping[str, int]) -> TokenColumns:
    tokens = tuple(tokens)
    epochs = [token.epoch for token in tokens]
    return TokenColumns(
        counter=tuple(min(epoch.counter, LARGEST) for epoch in epochs),
        node=tuple(nodes[epoch.node_id] if epoch.node_id else None for epoch in epochs),
        version=tuple(token.version for token in tokens),
    )


def table_from_wire(message: TableMessage) -> Table:
    """Return the table in a message that was decoded."""
    nodes, reasons, columns = message.nodes, message.reasons, message.tokens
    tokens = [
        Stamp(Epoch(counter, "" if node is None else nodes[node]), version)
        for counter, node, version in zip(
            columns.counter, columns.node, columns.version, strict=True
        )
    ]
    places = {
        role: tuple(
            Place(nodes[node], slot, tokens[token], reasons[reason])
            for node, slot, token, reason in zip(
                each.node, each.slot, each.token, each.reason, strict=True
            )
        )
        for role, each in message.places.items()
    }
    return Table(
        stamp=stamp_from_wire(message.stamp),
        places=places,
        specs={
            role: Committed(spec_from_wire(role, each.spec), each.version)
            for role, each in message.specs.items()
        },
        members=frozenset(nodes[each] for each in message.members),
        draining=frozenset(nodes[each] for each in message.draining),
        cordoned=frozenset(nodes[each] for each in message.cordoned),
        avoided={
            (role, nodes[node]): seconds
            for role, each in message.avoided.items()
            for node, seconds in zip(each.node, each.seconds, strict=True)
        },
    )


def _bounded(instance: Instance) -> Instance:
    pid, last_exit = instance.pid, instance.last_exit
    return replace(
        instance,
        pid=pid if pid is not None and 1 <= pid <= LARGEST_PID else None,
        state=printable(instance.state, LONGEST_WORD),
        restarts=max(0, min(instance.restarts, LARGEST)),
        since=within(instance.since, LATEST),
        last_exit=None if last_exit is None else printable(last_exit, LONGEST_EXIT),
    )


def _bounded_load(load: Load) -> Load:
    return replace(
        load,
        score=within(load.score, MOST_POINTS),
        cpu=None if load.cpu is None else within(load.cpu, 100.0),
        memory=None if load.memory is None else within(load.memory, 100.0),
        roles=max(0, min(load.roles, LARGEST)),
        signals={name: within(points, MOST_POINTS) for name, points in load.signals.items()},
        cpus=max(0, min(load.cpus, LARGEST)),
    )


def _duration(seconds: float) -> float:
    """Return a duration in bounds, to the millisecond: seventeen digits would tell no more."""
    return round(within(seconds, LONGEST_DURATION), 3)


def _durations(seconds: Mapping[str, float]) -> dict[str, float]:
    return {role: _duration(each) for role, each in seconds.items()}
