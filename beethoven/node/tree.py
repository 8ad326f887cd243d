"""
The standard tree of a node.

```text
root (one_for_one, retries for ever)
├─ role_supervisor   one process per role instance; stands first, so that it outlives the rest
├─ core_server       who is a member, and who runs what
├─ beacon_server     answers other nodes, and authenticates them
├─ locator           looks for other nodes, for ever
├─ azure             asks where this node stands and when it must go; only with use_az_net
├─ allocator         how busy this node is
├─ role_server       reconciles: what this node should run against what it runs
├─ groups            which processes of all nodes are in which group
└─ task_supervisor   one process for each function that somebody in the cluster has run here
```
"""

from beethoven.cloud.site import Site
from beethoven.cluster.allocator import Allocator
from beethoven.cluster.beacon_server import BeaconArgs, BeaconServer
from beethoven.cluster.cookie import CookieSource
from beethoven.cluster.keyring import Keyring
from beethoven.cluster.locator import Locator, LocatorArgs
from beethoven.cluster.member import Member
from beethoven.engine.settings import CoordinatorSettings
from beethoven.groups.group_server import GroupServer
from beethoven.node.addresses import locator_settings, state_file
from beethoven.node.component_names import (
    ALLOCATOR,
    BEACON_SERVER,
    CORE_SERVER,
    GROUPS,
    LOCATOR,
    ROLE_SERVER,
    ROLE_SUPERVISOR,
    TASK_SUPERVISOR,
)
from beethoven.node.core_server import CoreServer, CoreServerArgs
from beethoven.node.handle import Node
from beethoven.node.metadata import watcher_spec
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
    settings: NodeSettings, own: Member, keyring: Keyring, site: Site, source: CookieSource
) -> tuple[SupervisorFlags, tuple[ChildSpec, ...]]:
    """
    Return the flags of the root and its children.

    Args:
        settings: Those of the node.
        own: Who the node is.
        keyring: Its keys.
        site: Where it stands, as far as its provider has said so.
        source: Where its cookie comes from.
    """
    cluster = settings.cluster
    search, remembered = locator_settings(settings, site), state_file(settings, own.name)
    children = (
        DynamicSupervisor.child_spec(
            "role_supervisor", backoff=_ROLES, keep_ended=True, name=ROLE_SUPERVISOR
        ),
        ChildSpec("core_server", CoreServer, _core(settings, own, keyring), name=CORE_SERVER),
        ChildSpec(
            "beacon_server", BeaconServer, BeaconArgs(own, cluster, keyring), name=BEACON_SERVER
        ),
        ChildSpec("locator", Locator, LocatorArgs(own, cluster, search, remembered), name=LOCATOR),
        *([watcher_spec(settings, own, source)] if settings.use_az_net else []),
        ChildSpec("allocator", Allocator, name=ALLOCATOR),
        ChildSpec(
            "role_server",
            RoleServer,
            RoleServerArgs(Node(own), settings.roles),
            name=ROLE_SERVER,
        ),
        ChildSpec("groups", GroupServer, own, name=GROUPS),
        # Tasks are temporary, so none of them can ever end it.
        DynamicSupervisor.child_spec("task_supervisor", name=TASK_SUPERVISOR),
    )
    return SupervisorFlags(backoff=_COMPONENTS), children


def _core(settings: NodeSettings, own: Member, keyring: Keyring) -> CoreServerArgs:
    timing = settings.timing
    coordination = CoordinatorSettings(
        settle=timing.settle,
        patience=timing.settle,
        resend=timing.heartbeat,
        review=timing.heartbeat,
        rebalance_after=30 * timing.heartbeat,
        is_rebalancing=settings.rebalance,
    )
    roles = {role.name: role_spec(role) for role in settings.roles}
    return CoreServerArgs(
        own, settings.cluster, keyring, timing, roles, coordination, settings.drain_timeout
    )
