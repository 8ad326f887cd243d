"""
The control interface: how a program of the same user speaks to a running node.

It asks the processes of the node by name, as they ask each other; there is no other way in.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from beethoven.clock import utc
from beethoven.errors import CallTimeout, NoProcess, ProcessError
from beethoven.node.presence import Presence, find_node
from beethoven.node.role_server import NAME as ROLE_SERVER
from beethoven.node.role_server import ROLE_SUPERVISOR
from beethoven.node.tree import ROOT
from beethoven.runtime import names
from beethoven.runtime.reference import Ref
from beethoven.supervision.dynamic_supervisor import DynamicSupervisorRef
from beethoven.supervision.listing import ChildEntry
from beethoven.vocabulary import ChildType


@dataclass(frozen=True, slots=True)
class NodeClient:
    """
    A running node, seen from outside.

    Every method raises `ProcessError` if the process that it needs does not answer.
    """

    presence: Presence

    @classmethod
    def find(cls, name: str | None = None) -> Self:
        """
        Return the node of that name, or the only one.

        Raises:
            NodeNotFound: There is none, or several and none was named.
        """
        return cls(find_node(name))

    def process(self, name: str) -> Ref:
        """
        Return the process of the node that holds a name.

        Raises:
            NoProcess: None does.
        """
        found = names.lookup(self.presence.folder, name)
        if found is None:
            raise NoProcess(target=repr(name))
        return Ref(found[0], self.presence.folder, found[1], name)

    def status(self, timeout: float = 5.0) -> dict[str, Any]:
        """Return `{"node", "members", "roles"}`, as `status --json` prints it."""
        node = self.presence
        roles: list[dict[str, Any]] = self.process(ROLE_SERVER).call("status", timeout)
        own = {
            "name": node.name,
            "address": node.address,
            "state": "standalone",
            "pid": node.pid,
            "since": utc(node.since),
        }
        running = [role["name"] for role in roles if role["running"]]
        member = {"name": node.name, "address": node.address, "state": "alive", "roles": running}
        return {"node": own, "members": [member], "roles": roles}

    def tree(self) -> dict[str, Any]:
        """Return the supervision tree: `{"id", "pid", "status", "type", "children"}`, nested."""
        root = self.process(ROOT)
        return {
            "id": "root",
            "pid": root.pid,
            "status": "running",
            "type": "supervisor",
            "restarts": 0,
            "last_exit": None,
            "children": _children(root),
        }

    def call(self, role: str, request: Any, timeout: float | None = 5.0) -> Any:
        """Call the instance of a role on this node and return its reply."""
        return self.process(role).call(request, timeout)

    def restart(self, role: str, timeout: float = 60.0) -> Ref:
        """
        Stop the instance of a role in good order and start it anew.

        Raises:
            ChildNotFound: The role has no instance here.
        """
        role_supervisor = DynamicSupervisorRef(self.process(ROLE_SUPERVISOR))
        role_supervisor.terminate_child(role)
        self.process(ROLE_SERVER).call("look", timeout)
        return role_supervisor.child(role, timeout)

    def stop(self, timeout: float | None = None) -> None:
        """
        Stop the node in good order and wait until it is gone.

        Raises:
            CallTimeout: It still stops after `timeout` seconds.
        """
        import psutil

        try:
            root = psutil.Process(self.presence.pid)
            self.process(ROOT).stop("shutdown", timeout)
            root.wait(timeout)
        except (NoProcess, psutil.NoSuchProcess):
            return
        except psutil.TimeoutExpired as error:
            raise CallTimeout(target=f"node {self.presence.name}", timeout=timeout or 0) from error


def _children(ref: Ref) -> list[dict[str, Any]]:
    return [_node_of(entry) for entry in _listed(ref)]


def _listed(ref: Ref) -> Iterator[ChildEntry]:
    try:
        # A supervisor never blocks, so one that does not answer at once is going or coming.
        _, entries = ref.call(("which_children",), 2.0)
    except ProcessError:
        entries = []
    listed: list[ChildEntry] = entries
    return reversed(listed)


def _node_of(entry: ChildEntry) -> dict[str, Any]:
    is_supervisor = entry.type == ChildType.SUPERVISOR
    return {
        "id": entry.id,
        "pid": None if entry.ref is None else entry.ref.pid,
        "status": entry.status,
        "type": entry.type,
        "restarts": entry.restarts,
        "last_exit": None if entry.last_exit is None else str(entry.last_exit),
        "children": _children(entry.ref) if is_supervisor and entry.ref is not None else [],
    }
