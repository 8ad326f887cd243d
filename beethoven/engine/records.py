"""
What the messages of coordinators are made of: the configuration of a role, and columns of a table.

A table names roles times nodes, so it lies in columns on the wire: each node, token and reason is
written once, and places refer to them by their index. Pure.
"""

from base64 import b64decode, b64encode
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final

from beethoven.cluster.fields import (
    COUNT,
    INCARNATION,
    NODE_ID,
    Kind,
    Unfit,
    integer,
    many,
    number,
    optional,
    record,
    text,
)
from beethoven.cluster.link_messages import LABELS, LONGEST_DURATION, within
from beethoven.cluster.role_spec import Handover, Reconcile, RoleSpec
from beethoven.engine.table import Epoch, Stamp

MOST_ROLES: Final = 4096
# Of one role.
MOST_PLACES: Final = 1024
MOST_NODES: Final = 4096
MOST_TOKENS: Final = 65536
LONGEST_WORD: Final = 64
LONGEST_DIGEST: Final = 128
LARGEST: Final = 2**63 - 1
SHORTEST_START: Final = 0.001

ROLE_NAME: Final = text(64, "[a-z][a-z0-9_-]*")
SECONDS: Final = number(0, LONGEST_DURATION)
WORD: Final = text(LONGEST_WORD)
# Of a role, in bytes; in base64 it still fits into a frame.
LONGEST_STATE: Final = 512 * 1024


def _read_state(value: object) -> bytes:
    try:
        if isinstance(value, str) and len(value) <= LONGEST_STATE * 4 // 3 + 4:
            return b64decode(value, validate=True)
    except ValueError as error:
        raise Unfit("bytes in base64", value) from error
    raise Unfit(f"at most {LONGEST_STATE} bytes in base64", value)


STATE: Final = Kind(_read_state, lambda value: b64encode(value).decode("ascii"))


def _word_or(default: StrEnum) -> Kind:
    """Return the kind of the words of a set that grows: a newer word is read as the default."""
    known = {str(word): word for word in type(default)}
    return Kind(lambda value: known.get(WORD.read(value), default), str)


def indices(most: int, largest: int = MOST_TOKENS - 1) -> Kind:
    """Return the kind of columns of indices."""
    rule = f"an array of at most {most} integers from 0 to {largest}"

    def read(value: object) -> tuple[int, ...]:
        if not isinstance(value, list) or len(value) > most:
            raise Unfit(rule, value)
        if any(type(each) is not int or not 0 <= each <= largest for each in value):
            raise Unfit(rule, value)
        return tuple(value)

    return Kind(read, list)


_COLUMN: Final = indices(MOST_PLACES)


@dataclass(frozen=True, slots=True)
class StampRecord:
    """A `Stamp`: the reign of whom, `None` before the first, and which table of it."""

    counter: Annotated[int, COUNT]
    node_id: Annotated[str | None, optional(NODE_ID)]
    version: Annotated[int, COUNT]


@dataclass(frozen=True, slots=True)
class SeniorityRecord:
    """A `Seniority`."""

    incarnation: Annotated[int, INCARNATION]
    node_id: Annotated[str, NODE_ID]


@dataclass(frozen=True, slots=True)
class SpecRecord:
    """A `RoleSpec` without the name, which is its key; its fields mean the same."""

    instances: Annotated[int, integer(1, LARGEST)] = 1
    requires: Annotated[tuple[str, ...], LABELS] = ()
    prefers: Annotated[tuple[str, ...], LABELS] = ()
    digest: Annotated[str, text(LONGEST_DIGEST)] = ""
    version: Annotated[int, integer(-LARGEST, LARGEST)] = 0
    handover: Annotated[Handover, _word_or(Handover.STOP_FIRST)] = Handover.STOP_FIRST
    reconcile: Annotated[Reconcile, _word_or(Reconcile.KEEP_OLDEST)] = Reconcile.KEEP_OLDEST
    start_within: Annotated[float, number(SHORTEST_START, LONGEST_DURATION)] = 35.0


@dataclass(frozen=True, slots=True)
class CommittedRecord:
    """A `Committed`."""

    spec: Annotated[SpecRecord, record(SpecRecord)]
    version: Annotated[int, COUNT]


@dataclass(frozen=True, slots=True)
class PlaceColumns:
    """The places of one role: the n-th of each column is the n-th place."""

    node: Annotated[tuple[int, ...], _COLUMN]
    slot: Annotated[tuple[int, ...], indices(MOST_PLACES, LARGEST)]
    token: Annotated[tuple[int, ...], _COLUMN]
    reason: Annotated[tuple[int, ...], _COLUMN]

    def __post_init__(self) -> None:
        _check_columns(self, len(self.node), "slot", "token", "reason")
        if len(set(self.node)) != len(self.node):
            raise Unfit("distinct nodes", self.node, ".node")


@dataclass(frozen=True, slots=True)
class TokenColumns:
    """The stamps that are tokens of places."""

    counter: Annotated[tuple[int, ...], indices(MOST_TOKENS, LARGEST)]
    node: Annotated[tuple[int | None, ...], many(optional(integer(0, MOST_NODES - 1)), MOST_TOKENS)]
    version: Annotated[tuple[int, ...], indices(MOST_TOKENS, LARGEST)]

    def __post_init__(self) -> None:
        _check_columns(self, len(self.counter), "node", "version")


@dataclass(frozen=True, slots=True)
class AvoidedColumns:
    """The nodes that one role is kept away from, and for how many seconds more."""

    node: Annotated[tuple[int, ...], indices(MOST_NODES)]
    seconds: Annotated[tuple[float, ...], many(SECONDS, MOST_NODES)]

    def __post_init__(self) -> None:
        _check_columns(self, len(self.node), "seconds")


def check_indices(indices: Collection[int], size: int, place: str) -> None:
    """Raise `Unfit` if an index is not below `size`."""
    if indices and max(indices) >= size:
        raise Unfit(f"indices below {size}", max(indices), place)


def _check_columns(columns: Any, length: int, *names: str) -> None:
    for name in names:
        column = getattr(columns, name)
        if len(column) != length:
            raise Unfit(f"as long as the first column, {length}", column, f".{name}")


def stamp_to_wire(stamp: Stamp) -> StampRecord:
    """
    Return a stamp as it is sent.

    A peer that says it reigns for the last time that can be told must not make the next one's
    messages unspeakable: the counter stays in its bounds.
    """
    epoch = stamp.epoch
    return StampRecord(min(epoch.counter, LARGEST), epoch.node_id or None, stamp.version)


def stamp_from_wire(record: StampRecord) -> Stamp:
    """Return the stamp that was sent."""
    return Stamp(Epoch(record.counter, record.node_id or ""), record.version)


def spec_to_wire(spec: RoleSpec) -> SpecRecord:
    """Return the configuration of a role as it is sent."""
    return SpecRecord(
        instances=min(spec.instances, LARGEST),
        requires=tuple(sorted(spec.requires)),
        prefers=tuple(sorted(spec.prefers)),
        digest=spec.digest,
        version=max(-LARGEST, min(spec.version, LARGEST)),
        handover=spec.handover,
        reconcile=spec.reconcile,
        start_within=max(SHORTEST_START, within(spec.start_within, LONGEST_DURATION)),
    )


def spec_from_wire(role: str, record: SpecRecord) -> RoleSpec:
    """Return the configuration of a role that was sent."""
    return RoleSpec(
        name=role,
        instances=record.instances,
        requires=frozenset(record.requires),
        prefers=frozenset(record.prefers),
        digest=record.digest,
        version=record.version,
        handover=record.handover,
        reconcile=record.reconcile,
        start_within=record.start_within,
    )
