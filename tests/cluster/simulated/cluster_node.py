"""A node of the simulated cluster, and the host that it stands on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from beethoven.cluster.role_spec import RoleSpec
from beethoven.engine.events import OutlookChanged
from beethoven.engine.table import Report
from tests.cluster.simulated.network import Node

# How long a message takes between two processes of one node.
LOCAL = 0.001


@dataclass(eq=False)
class About:
    """
    What a host is, whatever boots there.

    Attributes:
        skew: How far its clock is from the others'.
        is_fragile: Whether its core server dies when it has just published its next table.
        flaky: The roles that cannot start there.
        stubborn: The roles that take their time to stop there.
    """

    specs: tuple[RoleSpec, ...] = ()
    labels: frozenset[str] = frozenset()
    zone: str = ""
    skew: int = 0
    is_fragile: bool = False
    flaky: set[str] = field(default_factory=set)
    stubborn: set[str] = field(default_factory=set)


@dataclass(eq=False)
class ClusterNode(Node):
    """A running root with its role server; `state` comes and goes with the core server."""

    state: Any = None
    roles: Any = None
    sequence: int = 0
    reported_at: float = 0.0
    is_welcome: bool = False
    here: Report | None = None
    here_at: float = 0.0
    last_report: Any = None
    adopted: Any = None
    is_settled: bool = False
    is_draining: bool = False
    outlook: OutlookChanged = field(default_factory=OutlookChanged)
    dials: set[Any] = field(default_factory=set)


class Ground:
    """What the role server of one node stands on."""

    def __init__(self, world: Any, node: ClusterNode):
        self._world, self._node = world, node

    @property
    def now(self) -> float:
        return float(self._world.now)

    def later(self, delay: tuple[float, float], action: Callable[[], None]):
        self._world.later(self._node, self._world.dice.uniform(*delay), action)

    def tell(self, words: str):
        self._world.tell(f"{self._node.host.name} {words}")

    def is_flaky(self, role: str) -> bool:
        return role in self._world.about[self._node.host].flaky

    def is_stubborn(self, role: str) -> bool:
        return role in self._world.about[self._node.host].stubborn

    def tell_core(self, here: Report):
        self._world.later(self._node, LOCAL, lambda: self._world.roles_changed(self._node, here))
