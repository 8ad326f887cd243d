"""
The messages of any two nodes, whatever runs on them: to get acquainted.

What a component says to its counterpart on another node is declared in that component's own file.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from beethoven.cluster.fields import (
    ADDRESS,
    INCARNATION,
    NAME,
    NODE_ID,
    integer,
    octets,
    text,
)
from beethoven.cluster.wire import MessageTable

NONCE_SIZE: Final = 32
PROOF_SIZE: Final = 32

# The protocols that this version of Beethoven speaks, both ends included.
PROTOCOL_MIN: Final = 1
PROTOCOL_MAX: Final = 1

LONGEST_REASON: Final = 200
LONGEST_TARGET: Final = 128
# The port of who listens nowhere: a program.
NO_PORT: Final = 1

_PROTOCOL: Final = integer(1, 65535)
_REASON: Final = text(LONGEST_REASON)


class RefusalCode(StrEnum):
    """Why two nodes do not get acquainted."""

    WRONG_COOKIE = "wrong_cookie"
    WRONG_CLUSTER = "wrong_cluster"
    WRONG_VERSION = "wrong_version"
    SELF = "self"
    DUPLICATE_ID = "duplicate_id"
    MALFORMED = "malformed"
    TIMEOUT = "timeout"
    BUSY = "busy"
    CLOSED = "closed"
    OTHER = "other"


class Purpose(StrEnum):
    """What a connection is for: the link of two nodes, or one visitor of this node."""

    LINK = ""
    ROLE = "role"
    PROCESS = "process"
    DIRECTORY = "directory"


@dataclass(frozen=True, slots=True)
class Hello:
    """
    Who a node is. Whoever knows the name of the cluster gets to read it: nothing in it is secret.

    Attributes:
        cluster: The name of the cluster that the node belongs to.
        protocol_min: The oldest protocol that it speaks.
        protocol_max: The newest one.
        node_id: Which node it is, for as long as it exists.
        name: What people call it.
        incarnation: Which life of the node this is; a later life has a greater number.
        address: Where its beacon listens.
        nonce: Random bytes, made for this one connection.
        version: The version of Beethoven that it runs, for people.
        purpose: What the connection is for, a `Purpose` or a newer word.
        target: Whom a visitor wants to speak to: the name of a role, or a process's identity.
    """

    cluster: Annotated[str, NAME]
    protocol_min: Annotated[int, _PROTOCOL]
    protocol_max: Annotated[int, _PROTOCOL]
    node_id: Annotated[str, NODE_ID]
    name: Annotated[str, NAME]
    incarnation: Annotated[int, INCARNATION]
    address: Annotated[str, ADDRESS]
    nonce: Annotated[bytes, octets(NONCE_SIZE)]
    version: Annotated[str, text(32)] = ""
    purpose: Annotated[str, text(32, "[a-z_]*")] = ""
    target: Annotated[str, text(LONGEST_TARGET, "[A-Za-z0-9._-]*")] = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """That its sender knows the cookie, and has read the same hellos."""

    proof: Annotated[bytes, octets(PROOF_SIZE)]


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    Why its sender goes no further, for the other side's log.

    Anybody can send one: it is a hint, no more. `code` is a `RefusalCode` or a newer word.
    """

    code: Annotated[str, text(32, "[a-z_]+")]
    text: Annotated[str, _REASON] = ""


HANDSHAKE: Final = MessageTable[Hello | Proof | Refusal](hello=Hello, proof=Proof, refusal=Refusal)
