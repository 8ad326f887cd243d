"""
The standard tree of a node.

```text
root (one_for_one, retries for ever)
├─ role_supervisor   one process per role instance; stands first, so that it outlives the rest
└─ role_server       reconciles: what this node should run against what it runs
```
"""

from beethoven.node.role_server import NAME as ROLE_SERVER
from beethoven.node.role_server import ROLE_SUPERVISOR, RoleServer, RoleServerArgs
from beethoven.node.settings import NodeSettings
from beethoven.supervision.backoff import Backoff
from beethoven.supervision.child_spec import ChildSpec, SupervisorFlags
from beethoven.supervision.dynamic_supervisor import DynamicSupervisor

# What the names of the node's own processes begin with; no role's does.
NAMESPACE = "beethoven"
ROOT = f"{NAMESPACE}.root"

# A component that keeps failing is retried for ever: only the root's own end is the node's end.
_COMPONENTS = Backoff(initial=0.1, maximum=5.0)
# So is a role. It counts as failed once it has used up its own restarts.
_ROLES = Backoff(initial=0.5, maximum=30.0)


def standard_tree(settings: NodeSettings) -> tuple[SupervisorFlags, tuple[ChildSpec, ...]]:
    """Return the flags of the root and its children."""
    role_supervisor = DynamicSupervisor.child_spec(
        "role_supervisor", backoff=_ROLES, keep_ended=True, name=ROLE_SUPERVISOR
    )
    role_server = ChildSpec(
        "role_server",
        RoleServer,
        RoleServerArgs(settings.name, settings.roles),
        name=ROLE_SERVER,
    )
    return SupervisorFlags(backoff=_COMPONENTS), (role_supervisor, role_server)
