"""Who is in a group, as one node knows it, and the news that this has changed. Values only."""

from dataclasses import dataclass

from beethoven.cluster.member import Member
from beethoven.cluster.messages import Purpose
from beethoven.remote.remote_ref import RemoteRef
from beethoven.remote.way import Way
from beethoven.runtime.reference import Ref, Reference


@dataclass(frozen=True, slots=True)
class Audience:
    """
    The members of a group, as one node knows them, each as often as it has joined.

    Attributes:
        node: The node that was asked.
        here: Those of that node.
        there: The other nodes that have any, with the identities of those.
    """

    node: Member
    here: tuple[Ref, ...]
    there: tuple[tuple[Member, tuple[str, ...]], ...]

    def members(self, way: Way | None = None, *, is_here: bool = True) -> tuple[Reference, ...]:
        """
        Return the members as they are spoken to, those of the node that was asked first.

        Args:
            way: How they are reached; None if by the node of whoever speaks to them.
            is_here: Whether the node that was asked is one of this machine.
        """
        near: tuple[Reference, ...] = self.here
        if not is_here:
            near = tuple(_distant(self.node, each.identity, way) for each in self.here)
        far = (_distant(node, each, way) for node, members in self.there for each in members)
        return (*near, *far)


def _distant(node: Member, identity: str, way: Way | None) -> RemoteRef:
    return RemoteRef(node.name, node.node_id, str(node.address), Purpose.PROCESS, identity, way)


@dataclass(frozen=True, slots=True)
class GroupChanged:
    """
    Sent to those who monitor a group, whenever it has changed.

    Several changes may have become one message.

    Attributes:
        group: Its name.
        members: Who is in it now, as `Groups.members` returns them.
    """

    group: str
    members: tuple[Reference, ...]
