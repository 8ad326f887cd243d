"""
Supervised Python processes that keep each other's work running.

Writing a role: `Role`, `Caller`, `NoReply`, `Ignore`, `Stop`, `Down`, `Exit`, `ExitReason`.
Building a tree: `ChildSpec`, `Supervisor`, `DynamicSupervisor`, `Backoff`.
Talking to processes: `Ref`, `call`, `cast`, `send`, `stop`, `whereis`.
Errors: `beethoven.errors` has them all, as one tree under `BeethovenError`.
"""

from beethoven.errors import BeethovenError
from beethoven.runtime.exit_signals import Down, Exit
from beethoven.runtime.reason import ExitReason, ReasonKind
from beethoven.runtime.reference import Ref, call, cast, send, stop, whereis
from beethoven.runtime.role import Caller, Ignore, NoReply, Role, Stop
from beethoven.supervision.backoff import Backoff
from beethoven.supervision.child_spec import ChildSpec
from beethoven.supervision.dynamic_supervisor import DynamicSupervisor, DynamicSupervisorRef
from beethoven.supervision.listing import ChildEntry
from beethoven.supervision.supervisor import Supervisor, SupervisorRef

__version__ = "0.1.0"

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
    "NoReply",
    "ReasonKind",
    "Ref",
    "Role",
    "Stop",
    "Supervisor",
    "SupervisorRef",
    "call",
    "cast",
    "send",
    "stop",
    "whereis",
]
