"""What an instance of a role is told of its place in the cluster, and asked before it moves."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RoleContext:
    """
    The place of one instance.

    Attributes:
        role: The name of the role.
        node: The name of the node.
        slot: Which of the wanted instances this is, from 0.
        token: Grows from one holder of the slot to the next, in a cluster that is not cut in two: a
            resource that keeps the highest one it has seen can refuse all lower ones.
    """

    role: str
    node: str
    slot: int
    token: tuple[int, str, int]


@dataclass(frozen=True, slots=True)
class SnapshotRequest:
    """
    Asks a role for the state that its successor is to begin with.

    Attributes:
        to: Who gets it, by name, as the cast `("snapshot", role, pickled state)`.
        role: The name of the role.
    """

    to: str
    role: str
