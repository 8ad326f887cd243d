"""
`start_node`: a program starts a node within itself, and speaks to the cluster by it.

The node is what `python -m beethoven` runs, in processes of its own below the program; what its
root does is in `embedded`. In the program there is nothing but a socket to it: no thread, no signal
handler, and nothing that would have to be driven.
"""

import atexit
import contextlib
import os
from collections.abc import Mapping
from typing import Any, Final

from beethoven import clock
from beethoven.errors import (
    AlreadyRunning,
    CallTimeout,
    NodeError,
    NodeNotFound,
    NotOwner,
    ProcessError,
    RoleNotRunning,
)
from beethoven.node.connecting import Connection
from beethoven.node.control import NodeClient
from beethoven.node.given import Configuration, check_arguments, given_settings
from beethoven.node.node_process import Log, NodeProcess
from beethoven.node.presence import Presence, claimed, running_nodes
from beethoven.node.settings import NodeSettings
from beethoven.remote.way import LocalWay, Way
from beethoven.runtime.reason import ExitReason
from beethoven.runtime.reference import check_timeout

_STDERR: Final = 2
# How often a node that starts is looked at, in seconds.
_GLANCE: Final = 0.02


class EmbeddedNode(Connection):
    """
    A node that this program has started, made by `start_node`; its threads may share it.

    It is a `Connection` to the cluster by that node. In a `with` statement the node is stopped at
    the end of the block. Calls fail with `NodeNotFound` when it has ended, whatever ended it.

    Attributes:
        name: Its name in the cluster.
        pid: Its root process.
    """

    __slots__ = ("_client", "_process", "name", "pid")

    def __init__(self, process: NodeProcess, client: NodeClient) -> None:
        presence = client.presence
        super().__init__(LocalWay(presence.folder, presence.name))
        self._process, self._client = process, client
        self.name, self.pid = presence.name, presence.pid
        atexit.register(self.stop)

    @property
    def way(self) -> Way:
        self._check()
        return self._way

    def _check(self) -> None:
        if (reason := self.exit_reason) is not None:
            raise NodeNotFound(f"node {self.name!r} does not run any more: {reason}")

    @property
    def address(self) -> str:
        """Where other nodes find it now: it may follow its machine to another network."""
        here = (each for each in running_nodes() if each.pid == self.pid)
        return next(here, self._client.presence).address

    @property
    def exit_reason(self) -> ExitReason | None:
        """Why the node has ended: `normal` if it was stopped; None while it runs."""
        return self._process.end if self._process.is_own else None

    def status(self, timeout: float = 5.0) -> dict[str, Any]:
        """
        Return what the node tells of itself, the members and the roles.

        Returns:
            `{"node", "members", "roles"}`, as `beethoven status --json` prints it.

        Raises:
            NodeNotFound: The node has ended.
            ProcessError: A part of it did not answer in time.
        """
        check_timeout(timeout, self)
        self._check()
        return self._client.status(timeout)

    def wait(self, timeout: float | None = None) -> bool:
        """
        Return whether the node ends within `timeout` seconds; None waits for ever.

        Raises:
            NotOwner: This is a copy of the program that `os.fork` has made; it is not told.
        """
        check_timeout(timeout, self)
        if not self._process.is_own:
            owner = "the program that has started it"
            raise NotOwner(what=f"node {self.name!r}", owner=owner, user="a copy of it")
        return self._process.wait(timeout)

    def stop(self, timeout: float | None = None) -> None:
        """
        Stop the node in good order, and wait until it is gone.

        It hands over its roles, as at `beethoven stop`. Nothing happens if it has ended. A program
        that ends without it does the same; one that is killed ends it at once.

        Args:
            timeout: Seconds to wait; None waits for ever.

        Raises:
            CallTimeout: It still stops after that time, and goes on with it.
        """
        if not self._process.is_own:
            # In a copy that `os.fork` has made: the node is not ours to stop.
            return
        check_timeout(timeout, self)
        self._process.ask_to_stop()
        if not self._process.wait(timeout):
            raise CallTimeout(target=f"node {self.name}", timeout=timeout or 0.0)
        atexit.unregister(self.stop)
        self._way.close()
        # If it was killed, what it has left is cleared away; another of that name does so itself.
        with contextlib.suppress(AlreadyRunning, OSError), claimed(self.name):
            pass

    def close(self) -> None:
        """Do what `stop` does."""
        self.stop()

    def __repr__(self) -> str:
        ended = "" if (reason := self.exit_reason) is None else f", ended: {reason}"
        return f"<EmbeddedNode {self.name!r} at {self.address}{ended}>"


def start_node(
    config: Configuration = None,
    *,
    roles: Mapping[str, Mapping[str, Any]] | None = None,
    wait: bool = False,
    log: Log = _STDERR,
    timeout: float = 30.0,
    **options: Any,
) -> EmbeddedNode:
    """
    Start a node within this program: what `python -m beethoven` runs, in processes of its own.

    It ends with the program: in good order at its normal end, within a second if it is killed.

    Args:
        config: A configuration file, or a dict of the same shape. In a dict paths are relative to
            the current folder. By default a node without roles, with the default of every key.
        roles: Roles by name, each with the keys of a table `[roles.NAME]`, besides those of
            `config`.
        wait: Whether to wait until every role of `config` and `roles` runs in the cluster as often
            as it can, instead of only until the node's own parts run.
        log: Where the node's log goes: a file descriptor, an open file or the path of a file, which
            is appended to; None is nowhere. By default the program's standard error.
        timeout: Seconds to wait for all of that.
        options: Keys of the table `[beethoven]`, such as `name`, `cluster_net`, `listener_port` or
            `labels`. They count more than `config` and the variables of the environment.

    Raises:
        ConfigError: The configuration is wrong; every problem is in it.
        NodeError: The node could not start: there is no address to listen on, or a node of its name
            runs (`AlreadyRunning`).
        RoleNotRunning: With `wait`, a role has failed to start, or did not run in time.
    """
    check_arguments(config=config, roles=roles, wait=wait, log=log, timeout=timeout)
    deadline = clock.monotonic() + timeout
    settings, file = given_settings(config, roles or {}, options, os.environ)
    try:
        process = NodeProcess(settings, file, log)
    except OSError as error:
        raise NodeError(f"the node could not be started: {error}") from error
    try:
        process.wait_running(deadline)
        client = NodeClient(_presence(process))
        _wait_for_parts(client, process, deadline)
        if wait:
            _wait_for_roles(client, process, settings, deadline)
    except BaseException:
        process.kill()
        raise
    return EmbeddedNode(process, client)


def _presence(process: NodeProcess) -> Presence:
    for each in running_nodes():
        if each.pid == process.pid:
            return each
    raise NodeError(f"the node has ended while it started: {process.end}")


def _wait_for_parts(client: NodeClient, process: NodeProcess, deadline: float) -> None:
    """Wait until every part of the node runs."""
    while True:
        with contextlib.suppress(ProcessError):
            parts = client.tree()["children"]
            if parts and all(part["status"] == "running" for part in parts):
                return
        _pause(process, deadline, "its own parts")


def _wait_for_roles(
    client: NodeClient, process: NodeProcess, settings: NodeSettings, deadline: float
) -> None:
    """Wait until the roles of a configuration run as often as they can."""
    names = {role.name for role in settings.roles}
    roles: list[dict[str, Any]] = []
    while True:
        with contextlib.suppress(ProcessError, NodeError):
            roles = [role for role in client.status()["roles"] if role["name"] in names]
            if len(roles) == len(names) and all(map(_runs, roles)):
                return
        for role in roles:
            _check_failure(role, client.presence.name)
        _pause(process, deadline, "its roles")


def _runs(role: dict[str, Any]) -> bool:
    wanted = max(1, min(role["wanted"], role["eligible"]))
    # One that has ended for good has run.
    ran = sum(each["state"] in {"running", "stopped"} for each in role["instances"])
    return bool(ran >= wanted)


def _check_failure(role: dict[str, Any], node: str) -> None:
    for each in role["instances"]:
        if each["node"] == node and each["state"] == "failed":
            text = f"role {role['name']!r} does not run on node {node!r}: failed"
            raise RoleNotRunning(f"{text}, last exit: {each['last_exit']}")


def _pause(process: NodeProcess, deadline: float, what: str) -> None:
    if process.wait(_GLANCE):
        raise NodeError(f"the node has ended while it started: {process.end}")
    if clock.monotonic() >= deadline:
        error = RoleNotRunning if what == "its roles" else NodeError
        raise error(f"the node runs, but {what} have not come to run in time")
