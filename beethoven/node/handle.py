"""`Node`: the node that a role runs on, as the role sees it."""

from dataclasses import dataclass
from typing import Any

from beethoven.cluster.identity import current
from beethoven.cluster.member import Member
from beethoven.node import watchers
from beethoven.node.cluster_handle import ClusterHandle
from beethoven.node.component_names import CORE_SERVER
from beethoven.remote.way import Way, local_way
from beethoven.runtime.here import here
from beethoven.runtime.reference import DEFAULT_TIMEOUT, call


@dataclass(frozen=True, slots=True)
class Node(ClusterHandle):
    """
    The node that this process belongs to.

    The methods that ask raise `CallError` if the node does not answer in time.

    Attributes:
        own: What it was at its boot.
    """

    own: Member

    @property
    def name(self) -> str:
        """Its name."""
        return self.own.name

    @property
    def node_id(self) -> str:
        """Which boot of it this is."""
        return self.own.node_id

    @property
    def address(self) -> str:
        """Where other nodes find it now: it may follow its machine to another network."""
        return str(current(here.folder, self.own).address)

    @property
    def way(self) -> Way:
        return local_way(here.folder, self.name)

    def members(self, timeout: float = DEFAULT_TIMEOUT) -> tuple[Member, ...]:
        """Return the nodes that can be reached now, this one first."""
        members: tuple[Member, ...] = call(CORE_SERVER, "members", timeout)
        return members

    def allocate(self, timeout: float = DEFAULT_TIMEOUT) -> str:
        """Return the name of the least busy node; this one's if nothing is known of load yet."""
        nodes = self.allocation_list(timeout)
        return str(nodes[0]["name"]) if nodes else self.name

    def allocation_list(self, timeout: float = DEFAULT_TIMEOUT) -> list[dict[str, Any]]:
        """Return the nodes, the least busy first, with what makes up their load."""
        nodes: list[dict[str, Any]] = call(CORE_SERVER, "allocation_list", timeout)
        return nodes

    def subscribe(self) -> None:
        """
        Have this process told of other nodes, in `handle_info`.

        It gets `NodeUp(member)`, `NodeDown(member, cause)` and `NodeLeft(member)`; first `NodeUp`
        for each node that is there.
        """
        watchers.register(here.folder, here.identity)

    def unsubscribe(self) -> None:
        """Be told no more."""
        watchers.unregister(here.folder, here.identity)
