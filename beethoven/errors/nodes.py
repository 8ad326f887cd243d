"""Errors about a node, or about the way to another one."""

from beethoven.errors.base import BeethovenError


class ClusterError(BeethovenError):
    """The base of errors about another node, or about the way to it."""


class WireError(ClusterError):
    """What arrived is not what a node of this cluster sends; the link it came on is of no use."""


class HandshakeRefused(ClusterError):
    """
    Two nodes do not belong together.

    `code` is a `RefusalCode`, `text` the line for this node's log.
    """

    def __init__(self, *, code: str, text: str) -> None:
        super().__init__(f"handshake refused: {code}: {text}")
        self.code = code
        self.text = text


class NodeError(BeethovenError):
    """The base of errors about a whole node."""


class AlreadyRunning(NodeError):
    """A node of that name runs on this machine, under this user."""

    def __init__(self, *, name: str, pid: int) -> None:
        # One that has just begun has not said its pid yet.
        super().__init__(
            f"a node named {name!r} is already running"
            + (f", pid {pid}" if pid else "")
            + "; to run another one beside it, give it another name (--name, or name=)"
        )
        self.name = name
        self.pid = pid


class AddressTaken(NodeError):
    """Others listen on every address that the node may have."""


class NoAddress(NodeError):
    """This machine has no address that the node may have, or does not let it listen there."""


class NodeNotFound(NodeError):
    """No such node runs on this machine under this user, or several do and none was named."""


class RoleNotRunning(NodeError):
    """The node has no such role, or has it and it does not run there."""
