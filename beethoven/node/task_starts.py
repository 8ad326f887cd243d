"""The start of a task's process on a node, for as long as that node is a member."""

import contextlib
from typing import Final

from beethoven import clock
from beethoven.cluster.directory import NodeEntry
from beethoven.errors import CallTimeout, ClusterError, NodeError, NoProcess, ProcessError
from beethoven.remote.remote_ref import RemoteRef
from beethoven.remote.way import Way
from beethoven.runtime.requests import send_request
from beethoven.supervision.child_spec import ChildSpec

# How long the process of a task may take to begin, its modules' import included, in seconds.
START_TIMEOUT: Final = 30.0
_MARGIN: Final = 2.0
# How often whoever waits makes sure that the node is still there, in seconds.
GLANCE: Final = 2.0


def start_on(way: Way, node: NodeEntry, supervisor: RemoteRef, spec: ChildSpec) -> object:
    """
    Return what the task supervisor of a node says to the start of a child.

    Raises:
        CallError: It says nothing: the node is frozen or gone. Whatever it may have started runs
            nothing, for nobody asks for its result.
    """
    asked, patience = send_request(supervisor, ("start_child", spec)), START_TIMEOUT + _MARGIN
    deadline = clock.monotonic() + patience
    while (response := asked.wait_response(GLANCE)) is None:
        is_there = True
        with contextlib.suppress(NodeError, ProcessError, ClusterError):
            is_there = is_member(way, node)
        if is_there and clock.monotonic() < deadline:
            continue
        asked.abandon()
        # Whoever asks this node next dials anew.
        way.part(supervisor.identity)
        if is_there:
            raise CallTimeout(target=str(supervisor), timeout=patience)
        raise NoProcess(target=str(supervisor), cause="its node is no member any more")
    return response.unwrap()


def is_member(way: Way, node: NodeEntry) -> bool:
    """
    Return whether a node belongs to the cluster, as far as is known here.

    Raises:
        CallError, NodeError, ClusterError: Nobody tells.
    """
    return node.node_id in {each.node_id for each in way.directory(GLANCE).nodes}
