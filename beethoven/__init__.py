"""
Supervised Python processes that keep each other's work running.

Writing a role: `Role`, `Caller`, `NoReply`, `Ignore`, `Stop`, `Down`, `Exit`, `ExitReason`.
Living in a cluster: `Node`, `NodeUp`, `NodeDown`, `NodeLeft`, `Member`, `RoleContext`.
Building a tree: `ChildSpec`, `Supervisor`, `DynamicSupervisor`, `Backoff`.
Talking to processes: `Ref`, `call`, `cast`, `send`, `stop`, `whereis`.
Saying how busy a node is: `signal`, `Signal`.
Errors: `beethoven.errors` has them all, as one tree under `BeethovenError`.
"""

from beethoven.cluster.member import Member
from beethoven.cluster.membership_events import NodeDown, NodeLeft, NodeUp
from beethoven.cluster.signals import Signal, signal
from beethoven.errors import BeethovenError
from beethoven.node.handle import Node
from beethoven.runtime.exit_signals import Down, Exit
from beethoven.runtime.reason import ExitReason, ReasonKind
from beethoven.runtime.reference import Ref, call, cast, send, stop, whereis
from beethoven.runtime.role import Caller, Ignore, NoReply, Role, Stop
from beethoven.runtime.role_context import RoleContext
from beethoven.supervision.backoff import Backoff
from beethoven.supervision.child_spec import ChildSpec
from beethoven.supervision.dynamic_supervisor import DynamicSupervisor, DynamicSupervisorRef
from beethoven.supervision.listing import ChildEntry
from beethoven.supervision.supervisor import Supervisor, SupervisorRef
from beethoven.vocabulary import VERSION

__version__ = VERSION

__all__ = [
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
    "Ignore",
    "Member",
    "NoReply",
    "Node",
    "NodeDown",
    "NodeLeft",
    "NodeUp",
    "ReasonKind",
    "Ref",
    "Role",
    "RoleContext",
    "Signal",
    "Stop",
    "Supervisor",
    "SupervisorRef",
    "call",
    "cast",
    "send",
    "signal",
    "stop",
    "whereis",
]
