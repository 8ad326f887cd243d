"""
The directory: which nodes there are, how busy each is, and who runs which role. Values only.

A core server tells it to whoever wants to call a role by its name. It is a moment old when it
arrives: what it says may be tried, and is no promise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final

from beethoven.cluster.fields import (
    ADDRESS,
    BOOLEAN,
    COUNT,
    NAME,
    NODE_ID,
    many,
    mapping,
    number,
    record,
    text,
)
from beethoven.cluster.wire import MessageTable
from beethoven.errors import WireError

MOST_NODES: Final = 1024
MOST_ROLES: Final = 4096
RUNNING: Final = "running"

_LABEL: Final = text(64)
_STATES: Final = mapping(NODE_ID, text(32), MOST_NODES)
_EXITS: Final = mapping(NODE_ID, text(500), MOST_NODES)
_ROLE_NAME: Final = text(64, "[a-z][a-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """
    One node that can be reached.

    Attributes:
        node_id: Which boot of it.
        name: What people call it.
        address: Where its beacon listens.
        score: How busy it is, >= 0; the lower, the less.
        labels: What roles may require of it.
        is_leaving: Whether it hands over what it runs, be it drained or cordoned.
        cpus: How many cores it may use; 0 if that is not known.
    """

    node_id: Annotated[str, NODE_ID]
    name: Annotated[str, NAME]
    address: Annotated[str, ADDRESS]
    score: Annotated[float, number(0, 1e9)] = 0.0
    labels: Annotated[tuple[str, ...], many(_LABEL, 256)] = ()
    is_leaving: Annotated[bool, BOOLEAN] = False
    cpus: Annotated[int, COUNT] = 0


@dataclass(frozen=True, slots=True)
class RoleEntry:
    """
    One role of the cluster.

    Attributes:
        wanted: How many instances of it there should be.
        states: What each instance is doing, by `node_id`; those that are "running" can be called.
        last_exits: Why those that do not run last ended, by `node_id`; for people.
    """

    wanted: Annotated[int, COUNT] = 0
    states: Annotated[Mapping[str, str], _STATES] = field(default_factory=dict)
    last_exits: Annotated[Mapping[str, str], _EXITS] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Directory:
    """
    What one node knows of its cluster.

    Attributes:
        nodes: The nodes that can be reached, the asked one first.
        roles: The roles, by name.
    """

    nodes: Annotated[tuple[NodeEntry, ...], many(record(NodeEntry), MOST_NODES)] = ()
    roles: Annotated[
        Mapping[str, RoleEntry], mapping(_ROLE_NAME, record(RoleEntry), MOST_ROLES)
    ] = field(default_factory=dict)

    def holders(self, role: str) -> tuple[NodeEntry, ...]:
        """Return the nodes that run a role, the least busy first."""
        states = self.roles[role].states if role in self.roles else {}
        running = [each for each in self.nodes if states.get(each.node_id) == RUNNING]
        if len(running) > 1:
            running.sort(key=lambda each: (each.is_leaving, each.score, each.name))
        return tuple(running)

    def node(self, name: str) -> NodeEntry | None:
        """Return the node of that name, or None."""
        return next((each for each in self.nodes if each.name == name), None)


_TABLE: Final = MessageTable[Directory](directory=Directory)


def encode(directory: Directory) -> bytes:
    """
    Return a directory as it is sent to another machine.

    Raises:
        WireError: It holds what its reader would refuse.
    """
    return _TABLE.encode(directory)


def decode(body: bytes) -> Directory:
    """
    Return the directory that was sent.

    Raises:
        WireError: It is none.
    """
    found = _TABLE.decode(body)
    if found is None:
        raise WireError("expected a directory, got: another message")
    return found
