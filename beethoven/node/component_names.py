"""The names by which the components of a node find each other, and the modules that they are."""

from typing import Final

# What the names of the node's own processes begin with; no role's does.
NAMESPACE: Final = "beethoven"

ROOT: Final = f"{NAMESPACE}.root"
ROLE_SUPERVISOR: Final = f"{NAMESPACE}.role_supervisor"
CORE_SERVER: Final = f"{NAMESPACE}.core_server"
BEACON_SERVER: Final = f"{NAMESPACE}.beacon_server"
LOCATOR: Final = f"{NAMESPACE}.locator"
ALLOCATOR: Final = f"{NAMESPACE}.allocator"
ROLE_SERVER: Final = f"{NAMESPACE}.role_server"
GROUPS: Final = f"{NAMESPACE}.groups"
AZURE: Final = f"{NAMESPACE}.azure"
TASK_SUPERVISOR: Final = f"{NAMESPACE}.task_supervisor"

# Speaks with callers on other nodes, in every process that has one.
VISITORS: Final = f"{NAMESPACE}.remote.visitors"

# In the order in which they start, with what roles and tasks are. Importing them leaves no traces.
MODULES: Final = (
    f"{NAMESPACE}.node.core_server",
    f"{NAMESPACE}.cluster.beacon_server",
    f"{NAMESPACE}.cluster.locator",
    f"{NAMESPACE}.cluster.allocator",
    f"{NAMESPACE}.node.role_server",
    f"{NAMESPACE}.groups.group_server",
    f"{NAMESPACE}.node.role_process",
    f"{NAMESPACE}.tasks.task_process",
    VISITORS,
)

# What a node needs besides if it asks Azure where it stands.
CLOUD_MODULES: Final = (
    f"{NAMESPACE}.cloud.watcher",
    f"{NAMESPACE}.cloud.azure",
    f"{NAMESPACE}.cloud.http_client",
    f"{NAMESPACE}.node.identity",
)
