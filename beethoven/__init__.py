"""
Supervised Python processes that keep each other's work running.

Writing a role: `Role`, `on`, `Later`, `Caller`, `NoReply`, `Ignore`, `Stop`, `Down`, `Exit`,
`ExitReason`.
Living in a cluster: `Node`, `NodeUp`, `NodeDown`, `NodeLeft`, `Member`, `RoleContext`.
Building a tree: `ChildSpec`, `Supervisor`, `DynamicSupervisor`, `PartitionSupervisor`,
`Backoff`.
Finding processes: `Registry`, `RegistryRef`, `Via`, `Registered`, `Unregistered`, `whereis`.
Asking without waiting: `send_request`, `Request`, `RequestCollection`, `Reply`, `Failure`,
`Answer`, `multi_call`, `abcast`, `reply`.
Running functions: `Task`, `Ok`, `Exited`, `await_many`, `yield_many`, `callers`,
`TaskSupervisor`, `async_stream`; `Future` for those anywhere in a cluster.
Talking to processes: `Ref`, `call`, `cast`, `send`, `stop`.
Talking to roles anywhere in a cluster: `connect`, `Connection`, `RemoteRef`, and `Node` in a role.
Finding and telling many at once, on all nodes: `Groups`, `GroupChanged`.
Starting a node in a program: `start_node`, `EmbeddedNode`.
Looking at running servers: `debug`, `Status`.
Saying how busy a node is: `signal`, `Signal`.
Errors: `beethoven.errors` has them all, as one tree under `BeethovenError`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from beethoven.errors import BeethovenError
from beethoven.runtime import debug, on
from beethoven.runtime.answers import Answer
from beethoven.runtime.caller import reply
from beethoven.runtime.exit_signals import Down, Exit
from beethoven.runtime.later import Later
from beethoven.runtime.multi_call import abcast, multi_call
from beethoven.runtime.process_info import ProcessInfo, process_info
from beethoven.runtime.reason import ExitReason, ReasonKind
from beethoven.runtime.reference import Ref, call, cast, send, stop, whereis
from beethoven.runtime.request_collection import RequestCollection
from beethoven.runtime.requests import Failure, Reply, Request, send_request
from beethoven.runtime.role import Caller, Ignore, NoReply, Role, Stop
from beethoven.runtime.role_context import RoleContext
from beethoven.runtime.status import Status
from beethoven.runtime.via import Via
from beethoven.supervision.backoff import Backoff
from beethoven.supervision.child_spec import ChildSpec
from beethoven.supervision.dynamic_supervisor import DynamicSupervisor, DynamicSupervisorRef
from beethoven.supervision.listing import ChildEntry
from beethoven.supervision.partition_supervisor import PartitionSupervisor
from beethoven.supervision.supervisor import Supervisor, SupervisorRef
from beethoven.vocabulary import VERSION

if TYPE_CHECKING:
    from beethoven.cluster.member import Member
    from beethoven.cluster.membership_events import NodeDown, NodeLeft, NodeUp
    from beethoven.cluster.signals import Signal, signal
    from beethoven.groups.audience import GroupChanged
    from beethoven.groups.groups import Groups
    from beethoven.node.connecting import Connection, connect
    from beethoven.node.embedding import EmbeddedNode, start_node
    from beethoven.node.futures import Future
    from beethoven.node.handle import Node
    from beethoven.registry.registry import Registry, RegistryRef
    from beethoven.registry.registry_server import Registered, Unregistered
    from beethoven.remote.remote_ref import RemoteRef
    from beethoven.tasks.many import await_many, yield_many
    from beethoven.tasks.results import Exited, ExitedItem, Ok, TaskResult
    from beethoven.tasks.stream import TaskStream, async_stream
    from beethoven.tasks.task import Task
    from beethoven.tasks.task_supervisor import TaskSupervisor, TaskSupervisorRef
    from beethoven.tasks.work import callers

# Every interpreter of a tree imports this file: what not every tree needs is imported when it is
# asked for.
_HOMES = {
    "Connection": "beethoven.node.connecting",
    "EmbeddedNode": "beethoven.node.embedding",
    "Exited": "beethoven.tasks.results",
    "ExitedItem": "beethoven.tasks.results",
    "Future": "beethoven.node.futures",
    "GroupChanged": "beethoven.groups.audience",
    "Groups": "beethoven.groups.groups",
    "Member": "beethoven.cluster.member",
    "Node": "beethoven.node.handle",
    "NodeDown": "beethoven.cluster.membership_events",
    "NodeLeft": "beethoven.cluster.membership_events",
    "NodeUp": "beethoven.cluster.membership_events",
    "Ok": "beethoven.tasks.results",
    "Registered": "beethoven.registry.registry_server",
    "Registry": "beethoven.registry.registry",
    "RegistryRef": "beethoven.registry.registry",
    "RemoteRef": "beethoven.remote.remote_ref",
    "Signal": "beethoven.cluster.signals",
    "Task": "beethoven.tasks.task",
    "TaskResult": "beethoven.tasks.results",
    "TaskStream": "beethoven.tasks.stream",
    "TaskSupervisor": "beethoven.tasks.task_supervisor",
    "TaskSupervisorRef": "beethoven.tasks.task_supervisor",
    "Unregistered": "beethoven.registry.registry_server",
    "async_stream": "beethoven.tasks.stream",
    "await_many": "beethoven.tasks.many",
    "callers": "beethoven.tasks.work",
    "connect": "beethoven.node.connecting",
    "signal": "beethoven.cluster.signals",
    "start_node": "beethoven.node.embedding",
    "yield_many": "beethoven.tasks.many",
}


def _late(name: str) -> Any:
    """Return what is exported under a name and was not asked for yet."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(home), name)
    return found


if not TYPE_CHECKING:
    # Type checkers would take any name for one that exists.
    __getattr__ = _late

__version__ = VERSION

__all__ = [
    "Answer",
    "Backoff",
    "BeethovenError",
    "Caller",
    "ChildEntry",
    "ChildSpec",
    "Connection",
    "Down",
    "DynamicSupervisor",
    "DynamicSupervisorRef",
    "EmbeddedNode",
    "Exit",
    "ExitReason",
    "Exited",
    "ExitedItem",
    "Failure",
    "Future",
    "GroupChanged",
    "Groups",
    "Ignore",
    "Later",
    "Member",
    "NoReply",
    "Node",
    "NodeDown",
    "NodeLeft",
    "NodeUp",
    "Ok",
    "PartitionSupervisor",
    "ProcessInfo",
    "ReasonKind",
    "Ref",
    "Registered",
    "Registry",
    "RegistryRef",
    "RemoteRef",
    "Reply",
    "Request",
    "RequestCollection",
    "Role",
    "RoleContext",
    "Signal",
    "Status",
    "Stop",
    "Supervisor",
    "SupervisorRef",
    "Task",
    "TaskResult",
    "TaskStream",
    "TaskSupervisor",
    "TaskSupervisorRef",
    "Unregistered",
    "Via",
    "abcast",
    "async_stream",
    "await_many",
    "call",
    "callers",
    "cast",
    "connect",
    "debug",
    "multi_call",
    "on",
    "process_info",
    "reply",
    "send",
    "send_request",
    "signal",
    "start_node",
    "stop",
    "whereis",
    "yield_many",
]
