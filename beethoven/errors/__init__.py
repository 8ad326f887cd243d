"""
Every exception of Beethoven, as one tree.

```text
BeethovenError
├─ SpecError                   yours: a child specification, option or setting is wrong
│  └─ ConfigError              a configuration file is wrong; carries every problem found
├─ MainNotGuarded              yours: the main script starts processes when it is imported
├─ ProcessError                one process or one message to it
│  ├─ StartError
│  │  ├─ StartFailed           the process ended before its `init` returned
│  │  ├─ StartTimeout          `init` took longer than allowed; the process was killed
│  │  ├─ StartIgnored          `init` returned `Ignore`
│  │  └─ AlreadyStarted        the name is held by a living process
│  ├─ RegistryError
│  │  ├─ AlreadyRegistered     the key is unique, and a living process has it
│  │  └─ NotRegistered         the process has no such key
│  └─ CallError
│     ├─ NoProcess             nobody lives at that name or reference
│     ├─ CallTimeout           no reply in time; the request may still be executed
│     │  └─ TaskTimeout        no result of a task in time, or none at all any more
│     ├─ ProcessExited         the process ended before it replied
│     ├─ FunctionNotFound      a node cannot open a task: a module is missing there, or another
│     ├─ NodeLost              the node of a task was lost before it had a result
│     ├─ TaskCancelled         the task was cancelled by its owner
│     ├─ CallingSelf           a process called itself
│     ├─ RequestRefused        the request could not be read on the other side
│     ├─ ReplyNotPicklable     the reply could not be sent back
│     ├─ NotOwner              somebody else has asked, and only they may wait for the answer
│     ├─ NoRequests            the collection has no request to wait for
│     ├─ StateNotReplaced      the function of a `replace_state` failed; the state is as it was
│     └─ Overloaded            the receiver did not drain its messages in time
├─ SupervisionError            a management call that the supervisor refused
│  ├─ ChildNotFound, ChildRunning, ChildRestarting, ChildAlreadyPresent, ChildStartFailed
│  └─ MaxChildren, NoPartitions
├─ ClusterError                another node, or the way to it
│  ├─ WireError                what arrived is not what a node of this cluster sends
│  └─ HandshakeRefused         the two nodes do not belong together
└─ NodeError                   the node as a whole
   ├─ AlreadyRunning           a node of that name runs
   ├─ AddressTaken             others listen where the node was to listen
   ├─ NoAddress                there is no address that the node could listen on
   ├─ NodeNotFound             no such node runs
   ├─ NoNodeFits               no node can run a task
   └─ RoleNotRunning           the node has no such role, or it does not run there
```

Every error survives `pickle`, because every error may cross a process boundary.
"""

from beethoven.errors.base import (
    BeethovenError,
    ConfigError,
    MainNotGuarded,
    SpecError,
)
from beethoven.errors.calls import (
    CallError,
    CallingSelf,
    CallTimeout,
    NoProcess,
    NoRequests,
    NotOwner,
    Overloaded,
    ProcessExited,
    ReplyNotPicklable,
    RequestRefused,
    StateNotReplaced,
    TaskTimeout,
)
from beethoven.errors.nodes import (
    AddressTaken,
    AlreadyRunning,
    ClusterError,
    HandshakeRefused,
    NoAddress,
    NodeError,
    NodeNotFound,
    RoleNotRunning,
    WireError,
)
from beethoven.errors.processes import (
    AlreadyRegistered,
    AlreadyStarted,
    NotRegistered,
    ProcessError,
    RegistryError,
    StartError,
    StartFailed,
    StartIgnored,
    StartTimeout,
)
from beethoven.errors.supervision import (
    ChildAlreadyPresent,
    ChildNotFound,
    ChildRestarting,
    ChildRunning,
    ChildStartFailed,
    MaxChildren,
    NoPartitions,
    SupervisionError,
)
from beethoven.errors.tasks import (
    FunctionNotFound,
    NodeLost,
    NoNodeFits,
    TaskCancelled,
)

__all__ = [
    "AddressTaken",
    "AlreadyRegistered",
    "AlreadyRunning",
    "AlreadyStarted",
    "BeethovenError",
    "CallError",
    "CallTimeout",
    "CallingSelf",
    "ChildAlreadyPresent",
    "ChildNotFound",
    "ChildRestarting",
    "ChildRunning",
    "ChildStartFailed",
    "ClusterError",
    "ConfigError",
    "FunctionNotFound",
    "HandshakeRefused",
    "MainNotGuarded",
    "MaxChildren",
    "NoAddress",
    "NoNodeFits",
    "NoPartitions",
    "NoProcess",
    "NoRequests",
    "NodeError",
    "NodeLost",
    "NodeNotFound",
    "NotOwner",
    "NotRegistered",
    "Overloaded",
    "ProcessError",
    "ProcessExited",
    "RegistryError",
    "ReplyNotPicklable",
    "RequestRefused",
    "RoleNotRunning",
    "SpecError",
    "StartError",
    "StartFailed",
    "StartIgnored",
    "StartTimeout",
    "StateNotReplaced",
    "SupervisionError",
    "TaskCancelled",
    "TaskTimeout",
    "WireError",
]
