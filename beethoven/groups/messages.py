"""
The messages of two nodes about their groups: who is in which, whole or what has changed. Pure.

A version is the scope process that counts (its identity, which never comes again) and how many
changes it has made: of two with the same scope the higher is newer, and all others just differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from beethoven.cluster.fields import COUNT, NODE_ID, Unfit, integer, many, mapping, text
from beethoven.cluster.wire import MessageTable
from beethoven.groups.roster import MOST_MEMBERSHIPS, MOST_TOLD

LONGEST_NAME: Final = 128

_GROUP: Final = text(LONGEST_NAME, ".+")
_MEMBERS: Final = many(NODE_ID, MOST_TOLD)
_LISTED: Final = mapping(_GROUP, _MEMBERS, MOST_TOLD)
_PART: Final = integer(0, MOST_MEMBERSHIPS)
_PARTS: Final = integer(1, MOST_MEMBERSHIPS)


@dataclass(frozen=True, slots=True)
class GroupsVersion:
    """What the sender is at; whoever has another version of its groups asks for all."""

    scope: Annotated[str, NODE_ID]
    changes: Annotated[int, COUNT]


@dataclass(frozen=True, slots=True)
class GroupsWanted:
    """That the sender wants to be told all groups of the other node."""


@dataclass(frozen=True, slots=True)
class GroupsPart:
    """
    A part of all groups of the sender. All parts of one version together are the whole.

    Attributes:
        scope: Of the version.
        changes: Of the version.
        part: Which part this is, from 0.
        parts: How many there are.
        groups: The members of each group; of one that is cut, those of this part.
    """

    scope: Annotated[str, NODE_ID]
    changes: Annotated[int, COUNT]
    part: Annotated[int, _PART]
    parts: Annotated[int, _PARTS]
    groups: Annotated[Mapping[str, tuple[str, ...]], _LISTED]

    def __post_init__(self) -> None:
        if self.part >= self.parts:
            raise Unfit(f"less than {self.parts}", self.part, ".part")


@dataclass(frozen=True, slots=True)
class GroupsChange:
    """
    One change of the sender's groups.

    Attributes:
        scope: Of the version that it leads to.
        changes: Of the version that it leads to: it builds on the one before.
        joined: Who has joined which groups.
        left: Who has left which groups.
    """

    scope: Annotated[str, NODE_ID]
    changes: Annotated[int, COUNT]
    joined: Annotated[Mapping[str, tuple[str, ...]], _LISTED]
    left: Annotated[Mapping[str, tuple[str, ...]], _LISTED]


GroupsMessage = GroupsVersion | GroupsWanted | GroupsPart | GroupsChange

GROUPS: Final = MessageTable[GroupsMessage](
    groups_version=GroupsVersion,
    groups_wanted=GroupsWanted,
    groups_part=GroupsPart,
    groups_change=GroupsChange,
)
