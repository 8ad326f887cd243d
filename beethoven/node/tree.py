"""
The standard tree of a node.

```text
root (one_for_one, retries for ever)
├─ role_supervisor   one process per role instance; stands first, so that it outlives the rest
├─ core_server       who is a member, and who runs what
├─ beacon_server     answers other nodes, and authenticates them
├─ locator           looks for other nodes, for ever
├─ allocator         how busy this node is
└─ role_server       reconciles: what this node should run against what it runs
```
"""

from beethoven.cluster.allocator import Allocator
from beethoven.cluster.beacon_server import BeaconArgs, BeaconServer
from beethoven.cluster.keyring import Keyring
from beethoven.cluster.locator import Locator, LocatorArgs
from beethoven.cluster.member import Member
from beethoven.engine.settings import CoordinatorSettings
from beethoven.node.addresses import locator_settings, state_file
from beethoven.node.component_names import (
    ALLOCATOR,
    BEACON_SERVER,
    CORE_SERVER,
    LOCATOR,
    ROLE_SERVER,
    ROLE_SUPERVISOR,
)
from beethoven.node.core_server import CoreServer, CoreServerArgs
from beethoven.node.handle import Node
from beethoven.node.role_server import RoleServer, RoleServerArgs
from beethoven.node.role_specs import role_spec
from beethoven.node.settings import NodeSettings
from beethoven.supervision.backoff import Backoff
from beethoven.supervision.child_spec import ChildSpec, SupervisorFlags
from beethoven.supervision.dynamic_supervisor import DynamicSupervisor

# A component that keeps failing is retried for ever: only the root's own end is the node's end.
_COMPONENTS = Backoff(initial=0.1, maximum=5.0)
# So is a role. It counts as failed once it has used up its own restarts.
_ROLES = Backoff(initial=0.5, maximum=30.0)


def standard_tree(
    settings: NodeSettings, own: Member, keyring: Keyring
) -> tuple[SupervisorFlags, tuple[ChildSpec, ...]]:
    """
    Return the flags of the root and its children.

    Args:
        settings: Those of the node.
        own: Who the node is.
        keyring: Its keys.
    """
    timing, cluster = settings.timing, settings.cluster
    roles = {role.name: role_spec(role) for role in settings.roles}
    coordination = CoordinatorSettings(
        settle=timing.settle,
        patience=timing.settle,
        resend=timing.heartbeat,
        review=timing.heartbeat,
        rebalance_after=30 * timing.heartbeat,
        is_rebalancing=settings.rebalance,
    )
    children = (
        DynamicSupervisor.child_spec(
            "role_supervisor", backoff=_ROLES, keep_ended=True, name=ROLE_SUPERVISOR
        ),
        ChildSpec(
            "core_server",
            CoreServer,
            CoreServerArgs(
                own, cluster, keyring, timing, roles, coordination, settings.drain_timeout
            ),
            name=CORE_SERVER,
        ),
        ChildSpec(
            "beacon_server", BeaconServer, BeaconArgs(own, cluster, keyring), name=BEACON_SERVER
        ),
        ChildSpec(
            "locator",
            Locator,
            LocatorArgs(own, cluster, locator_settings(settings), state_file(settings, own.name)),
            name=LOCATOR,
        ),
        ChildSpec("allocator", Allocator, name=ALLOCATOR),
        ChildSpec(
            "role_server",
            RoleServer,
            RoleServerArgs(Node(own.name, own.node_id, str(own.address)), settings.roles),
            name=ROLE_SERVER,
        ),
    )
    return SupervisorFlags(backoff=_COMPONENTS), children
