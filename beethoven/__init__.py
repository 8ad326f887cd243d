"""
Supervised Python processes that keep each other's work running.

Writing a role: `Role`, `Caller`, `NoReply`, `Ignore`, `Stop`, `Down`, `Exit`, `ExitReason`.
Living in a cluster: `Node`, `NodeUp`, `NodeDown`, `NodeLeft`, `Member`, `RoleContext`.
Building a tree: `ChildSpec`, `Supervisor`, `DynamicSupervisor`, `PartitionSupervisor`,
`Backoff`.
Finding processes: `Registry`, `RegistryRef`, `Via`, `Registered`, `Unregistered`, `whereis`.
Asking without waiting: `send_request`, `Request`, `RequestCollection`, `Reply`, `Failure`,
`Answer`, `multi_call`, `abcast`, `reply`.
Running functions: `Task`, `Ok`, `Exited`, `await_many`, `yield_many`, `callers`,
`TaskSupervisor`, `async_stream`.
Talking to processes: `Ref`, `call`, `cast`, `send`, `stop`.
Looking at running servers: `debug`, `Status`.
Saying how busy a node is: `signal`, `Signal`.
Errors: `beethoven.errors` has them all, as one tree under `BeethovenError`.
"""

from beethoven.cluster.member import Member
from beethoven.cluster.membership_events import NodeDown, NodeLeft, NodeUp
from beethoven.cluster.signals import Signal, signal
from beethoven.errors import BeethovenError
from beethoven.node.handle import Node
from beethoven.registry.registry import Registry, RegistryRef
from beethoven.registry.registry_server import Registered, Unregistered
from beethoven.runtime import debug
from beethoven.runtime.answers import Answer
from beethoven.runtime.caller import reply
from beethoven.runtime.exit_signals import Down, Exit
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
from beethoven.tasks.many import await_many, yield_many
from beethoven.tasks.results import Exited, ExitedItem, Ok, TaskResult
from beethoven.tasks.stream import TaskStream, async_stream
from beethoven.tasks.task import Task
from beethoven.tasks.task_supervisor import TaskSupervisor, TaskSupervisorRef
from beethoven.tasks.work import callers
from beethoven.vocabulary import VERSION

__version__ = VERSION

__all__ = [
    "Answer",
    "Backoff",
    "BeethovenError",
    "Caller",
    "ChildEntry",
    "ChildSpec",
    "Down",
    "DynamicSupervisor",
    "DynamicSupervisorRef",
    "Exit",
    "ExitReason",
    "Exited",
    "ExitedItem",
    "Failure",
    "Ignore",
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
    "debug",
    "multi_call",
    "process_info",
    "reply",
    "send",
    "send_request",
    "signal",
    "stop",
    "whereis",
    "yield_many",
]
