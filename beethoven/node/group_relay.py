"""The group relay: carries what the scopes of groups on two nodes say to each other."""

from typing import Any

from beethoven.cluster.mesh import Mesh
from beethoven.groups.messages import GROUPS, GroupsMessage
from beethoven.node.component_names import GROUPS as SCOPE
from beethoven.node.watchers import Watchers
from beethoven.runtime.reference import cast_or_drop


class GroupRelay:
    """
    The core server's part in groups. Whatever it says to the scope of its node may be lost.

    Args:
        mesh: The links to the other nodes.
        watchers: Those who are told which nodes are there; the scope is told the same.
    """

    def __init__(self, mesh: Mesh, watchers: Watchers) -> None:
        self._mesh, self._watchers = mesh, watchers

    def tell_nodes(self) -> None:
        """Tell which other nodes are there."""
        cast_or_drop(SCOPE, ("nodes", self._watchers.nodes))

    def tell_link(self, node_id: str) -> None:
        """Tell that a link has opened."""
        cast_or_drop(SCOPE, ("linked", node_id))

    def send(self, node_id: str, message: GroupsMessage) -> None:
        """Send a message to the scope of a node; of all other nodes, if none is named."""
        if node_id:
            self._mesh.send(node_id, GROUPS, message)
        else:
            self._mesh.broadcast(GROUPS, message)

    def take(self, node_id: str, fields: dict[str, Any]) -> None:
        """Hand on a message of another scope, if it is one."""
        if (message := GROUPS.from_wire(fields)) is not None:
            cast_or_drop(SCOPE, ("heard", node_id, message))
