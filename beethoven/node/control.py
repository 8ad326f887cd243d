"""
The control interface: how a program of the same user speaks to a running node.

It asks the processes of the node by name, as they ask each other; there is no other way in.
"""

import contextlib
import math
import os
import select
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, Self

from beethoven import clock
from beethoven.clock import utc
from beethoven.errors import (
    CallTimeout,
    ChildNotFound,
    NodeError,
    NodeNotFound,
    NoProcess,
    ProcessError,
    ProcessExited,
    RoleNotRunning,
)
from beethoven.node.component_names import (
    AZURE,
    CORE_SERVER,
    NAMESPACE,
    ROLE_SERVER,
    ROLE_SUPERVISOR,
    ROOT,
)
from beethoven.node.presence import Presence, find_node
from beethoven.runtime import names
from beethoven.runtime.reference import Ref
from beethoven.supervision.listing import ChildEntry
from beethoven.vocabulary import ChildType

# While it waits for a role to run, how often it looks whether that has failed; in seconds.
_GLANCE: Final = 0.5
_ENDING: Final = {"stopping", "stopped"}
# What is said of a member that is to go, and of those that have not gone.
_GOING: Final = {"cordoned", "leaving"}
_HERE: Final = {"alive", "cordoned"}


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

    def _ask(self, component: str, request: Any, timeout: float) -> Any:
        """Call a part of the node itself, waiting for its successor if it has just died."""
        deadline = clock.monotonic() + timeout
        while True:
            try:
                return self.process(component).call(request, timeout)
            except (NoProcess, ProcessExited):
                timeout = deadline - clock.monotonic()
                if timeout <= 0 or component == ROOT:
                    raise
            child = component.removeprefix(f"{NAMESPACE}.")
            if self._is_stopping(child):
                raise NodeError(f"node {self.presence.name!r} is stopping")
            self._ask(ROOT, ("wait_child", child), timeout)

    def _is_stopping(self, child: str) -> bool:
        """Whether a part of the node is not to come back: only a node that stops has such parts."""
        try:
            _, entries = self.process(ROOT).call(("which_children",), 2.0)
        except ProcessError:
            return True
        return not any(each.id == child and _comes_back(each) for each in entries)

    def status(self, timeout: float = 5.0) -> dict[str, Any]:
        """Return `{"node", "members", "roles", "azure"}`, as `status --json` prints it."""
        node = self.presence
        own: list[dict[str, Any]] = self._ask(ROLE_SERVER, "status", timeout)
        cluster: dict[str, Any] = self._ask(CORE_SERVER, "overview", timeout)
        members = cluster["members"]
        me = next(each for each in members if each["name"] == node.name)
        others = [each for each in members if each["state"] in _HERE and each is not me]
        told = {
            "name": node.name,
            "address": me["address"],
            "state": me["state"] if me["state"] in _GOING else _state(len(others)),
            "pid": node.pid,
            "since": utc(node.since),
            "coordinator": cluster["coordinator"],
        }
        roles = _merged(node.name, own, cluster)
        return {"node": told, "members": members, "roles": roles, "azure": self.azure()}

    def azure(self, timeout: float = 1.0) -> dict[str, Any] | None:
        """
        Return what the metadata service has told the node; `None` if it does not ask it.

        Returns:
            What `cloud.watcher` reports; `{"problem"}` if that does not answer in time.
        """
        try:
            report: dict[str, Any] = self.process(AZURE).call("report", timeout)
        except NoProcess:
            child = AZURE.removeprefix(f"{NAMESPACE}.")
            is_known = any(each.id == child for each in _listed(self.process(ROOT), timeout))
            return {"problem": "its watcher is being restarted"} if is_known else None
        except ProcessError:
            return {"problem": "its watcher does not answer"}
        return report

    def explain(self, role: str, timeout: float = 5.0) -> dict[str, Any]:
        """
        Return why a role is where it is, see `overview.explanation`.

        Raises:
            RoleNotRunning: No node has such a role.
        """
        told: dict[str, Any] | None = self._ask(CORE_SERVER, ("explain", role), timeout)
        if told is None:
            raise RoleNotRunning(f"no node has a role {role!r}")
        return told

    def drain(self, name: str, timeout: float = 5.0) -> None:
        """
        Have a node hand over its roles, leave the cluster and stop; do not wait for it.

        Args:
            name: The node, this one or another; empty for this one.
            timeout: Seconds to wait for the answer.

        Raises:
            NodeNotFound: There is no such member.
        """
        answer: str = self._ask(CORE_SERVER, ("drain", name), timeout)
        if answer != "ok":
            raise NodeNotFound(answer)

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

    def allocation_list(self, timeout: float = 5.0) -> list[dict[str, Any]]:
        """
        Return the living nodes with their load, least busy first.

        Returns:
            `{"name", "node_id", "address", "score", "cpu", "memory", "roles", "signals"}` for each
            that is not leaving: percentages, and the points of the score by signal.
        """
        listed: list[dict[str, Any]] = self._ask(CORE_SERVER, "allocation_list", timeout)
        return listed

    def call(self, role: str, request: Any, timeout: float | None = 5.0) -> Any:
        """
        Call the instance of a role on this node and return its reply.

        Raises:
            RoleNotRunning: It has none, or that role is unknown.
            ProcessError: There is no reply; see `Ref.call`.
        """
        if role.startswith(NAMESPACE):
            raise RoleNotRunning(f"expected a role, got a part of the node: {role!r}")
        try:
            process = self.process(role)
        except NoProcess as error:
            raise self._explained(role) from error
        return process.call(request, timeout)

    def _explained(self, role: str) -> RoleNotRunning:
        """Return the error that says why a role does not run."""
        for instance in self._role(role)["instances"]:
            return self._not_running(role, instance)
        return RoleNotRunning(f"role {role!r} has no instance on node {self.presence.name!r}")

    def _not_running(self, role: str, instance: dict[str, Any]) -> RoleNotRunning:
        """Return the error that says what has become of an instance."""
        why = f", last exit: {instance['last_exit']}" if instance["last_exit"] else ""
        where = f"role {role!r} does not run on node {self.presence.name!r}"
        return RoleNotRunning(f"{where}: {instance['state']}{why}")

    def _role(self, role: str) -> dict[str, Any]:
        """Return what this node has of a role, told by the node that runs it."""
        own: list[dict[str, Any]] = self._ask(ROLE_SERVER, "status", 5.0)
        roles = {each["name"]: each for each in own}
        if role in roles:
            return roles[role]
        nearest = get_close_matches(role, roles, n=1)
        hint = f", did you mean {nearest[0]!r}?" if nearest else ""
        raise RoleNotRunning(f"node {self.presence.name!r} has no role {role!r}{hint}")

    def restart(self, role: str, timeout: float = 60.0) -> dict[str, Any]:
        """
        Stop the instance of a role on this node in good order, if it runs, and start it anew.

        Returns:
            The instance as `status` shows it: it runs, or has run and ended normally since.

        Raises:
            RoleNotRunning: There is no such role, it runs on other nodes only, or it failed to
                start.
            CallTimeout: It does not run within `timeout` seconds; it is still tried.
        """
        deadline = clock.monotonic() + timeout
        if not self._role(role)["instances"]:
            self._refuse_elsewhere(role)
        self._ask(ROLE_SERVER, ("restarting", role), timeout)
        # One that has no instance is started all the same.
        with contextlib.suppress(ChildNotFound):
            self._supervise(("terminate_child", role), deadline)
        self._ask(ROLE_SERVER, "look", _left(deadline))
        while True:
            with contextlib.suppress(CallTimeout, ChildNotFound):
                self._supervise(("wait_child", role), deadline, at_most=_GLANCE)
            instances: list[dict[str, Any]] = self._role(role)["instances"]
            for instance in instances:
                if instance["state"] in {"running", "stopped"}:
                    return instance
                if instance["state"] == "failed":
                    raise self._not_running(role, instance)
            if clock.monotonic() >= deadline:
                raise CallTimeout(target=f"role {role!r}", timeout=timeout)

    def _refuse_elsewhere(self, role: str) -> None:
        """Raise RoleNotRunning if a role has instances, but none here."""
        roles: dict[str, Any] = self._ask(CORE_SERVER, "overview", 5.0)["roles"]
        nodes = [each["node"] for each in roles.get(role, {"instances": []})["instances"]]
        others = ", ".join(str(node) for node in nodes if node != self.presence.name)
        if others:
            node = self.presence.name
            raise RoleNotRunning(f"role {role!r} has no instance on node {node!r}, but on {others}")

    def _supervise(
        self, request: tuple[str, str], deadline: float, *, at_most: float = math.inf
    ) -> Any:
        """Ask the role supervisor, and raise what it refuses with."""
        outcome, value = self._ask(ROLE_SUPERVISOR, request, min(_left(deadline), at_most))
        if outcome == "error":
            raise value
        return value

    def stop(self, timeout: float | None = None) -> None:
        """
        Stop the node in good order and wait until it is gone.

        Raises:
            CallTimeout: It still stops after `timeout` seconds.
        """
        with _Life(self.presence.pid) as root:
            root.signal(signal.SIGTERM)
            if not root.wait(timeout):
                raise CallTimeout(target=f"node {self.presence.name}", timeout=timeout or 0)


class _Life:
    """The life of a process that is not our child; it is over when that is a zombie."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._descriptor = -1

    def __enter__(self) -> Self:
        with contextlib.suppress(AttributeError, OSError):
            self._descriptor = os.pidfd_open(self._pid)
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it lives."""
        with contextlib.suppress(ProcessLookupError):
            if self._descriptor >= 0:
                signal.pidfd_send_signal(self._descriptor, number)
            else:
                os.kill(self._pid, number)

    def wait(self, timeout: float | None) -> bool:
        """Return whether it ends within `timeout` seconds; None waits for ever."""
        if self._descriptor >= 0:
            return bool(select.select([self._descriptor], [], [], timeout)[0])
        import psutil

        try:
            psutil.Process(self._pid).wait(timeout)
        except psutil.NoSuchProcess:
            return True
        except psutil.TimeoutExpired:
            return False
        return True


def _comes_back(part: ChildEntry) -> bool:
    """Whether a part of the node runs, will again, or is still to be started for the first time."""
    return part.status not in _ENDING or (part.status == "stopped" and part.last_exit is None)


def _state(others: int) -> str:
    return "clustered" if others else "standalone"


def _merged(node: str, own: list[dict[str, Any]], cluster: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the roles of the cluster, with what this node says of its own at this moment."""
    here = {role["name"]: role for role in own}
    merged = []
    for name in dict.fromkeys([*here, *cluster["roles"]]):
        told = cluster["roles"].get(name, {"wanted": 0, "eligible": 0, "instances": []})
        elsewhere = [each for each in told["instances"] if each["node"] != node]
        mine = here[name]["instances"] if name in here else []
        instances = sorted([*mine, *elsewhere], key=lambda each: str(each["node"]))
        merged.append(
            {
                "name": name,
                "wanted": told["wanted"] or here[name]["wanted"],
                "eligible": told["eligible"],
                "running": sum(each["state"] == "running" for each in instances),
                "instances": instances,
            }
        )
    return merged


def _left(deadline: float) -> float:
    return max(0.0, deadline - clock.monotonic())


def _children(ref: Ref) -> list[dict[str, Any]]:
    return [_node_of(entry) for entry in _listed(ref)]


def _listed(ref: Ref, timeout: float = 2.0) -> Iterator[ChildEntry]:
    try:
        # A supervisor never blocks, so one that does not answer at once is going or coming.
        _, entries = ref.call(("which_children",), timeout)
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
