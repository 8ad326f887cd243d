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

# In the order in which they start, and that of role instances. Importing them leaves no traces.
MODULES: Final = (
    f"{NAMESPACE}.node.core_server",
    f"{NAMESPACE}.cluster.beacon_server",
    f"{NAMESPACE}.cluster.locator",
    f"{NAMESPACE}.cluster.allocator",
    f"{NAMESPACE}.node.role_server",
    f"{NAMESPACE}.node.role_process",
)
