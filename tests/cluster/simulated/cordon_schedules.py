"""
Schedules of notices for whole nodes: cordons that come and go, machines that are taken away.

Every node reads the notices in its own time, and some never: so one knows long before another that
a machine is about to go. A core server that begins anew knows nothing until it is told.
"""

import random
from dataclasses import dataclass, field
from typing import Any

from beethoven.cluster.addresses import Address
from beethoven.engine.events import OutlookChanged
from beethoven.engine.settings import CoordinatorSettings
from tests.cluster.simulated.cluster_checks import nodes, where
from tests.cluster.simulated.cluster_node import ClusterNode
from tests.cluster.simulated.cluster_schedules import (
    SPECS,
    Broken,
    about,
    bound,
    calm,
    fault,
    form,
    until_right,
)
from tests.cluster.simulated.cluster_world import ClusterWorld
from tests.cluster.simulated.network import Host

# How often a node reads the notices, at least and at most, in seconds.
READ = (0.2, 1.0)
KINDS = ("preempt", "preempt", "freeze", "risk")


@dataclass(eq=False)
class Announced:
    """What is announced for the machine of a host, and for nodes of which incarnation at most."""

    kind: str


@dataclass
class Notices:
    """What the provider announces, by host, and the hosts whose nodes never ask it."""

    by_host: dict[Host, Announced] = field(default_factory=dict)
    blind: set[Host] = field(default_factory=set)

    def outlook(self, host: Host) -> OutlookChanged:
        """Return what follows from it for a host."""
        if host in self.blind:
            return OutlookChanged()
        own = self.by_host.get(host)
        kind = "" if own is None else own.kind
        doomed = [each.name for each, that in self.by_host.items() if that.kind == "preempt"]
        return OutlookChanged(kind in {"preempt", "freeze"}, kind == "risk", frozenset(doomed))


class CordonWorld(ClusterWorld):
    """A cluster whose nodes read notices."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.notices = Notices()

    def _start_core(self, node: Any):
        super()._start_core(node)
        core = node.core
        self.later(node, self.dice.uniform(0.001, 0.05), lambda: self._look(node, core))

    def _look(self, node: ClusterNode, core: Any):
        """Read the notices, as long as this core server lives."""
        if node.core is core:
            self.foresee(node, self.notices.outlook(node.host))
            self.later(node, self.dice.uniform(*READ), lambda: self._look(node, core))

    # What a provider does.

    def announce(self, host: Host, kind: str):
        self.tell(f"notice: {kind} of {host.name}")
        self.notices.by_host[host] = Announced(kind)

    def withdraw(self, host: Host):
        if self.notices.by_host.pop(host, None) is not None:
            self.tell(f"the notice for {host.name} is gone")

    def evict(self, host: Host, dice: random.Random):
        """Take a machine away, in good order or not; its notice goes a while later, if at all."""
        self.announce(host, "preempt")
        self.advance(dice.choice((0.0, 0.5, 2.0, 8.0)) * dice.random())
        dice.choice((self.kill, self.cut_power, self.leave))(host)
        notice = self.notices.by_host.get(host)

        def end():
            if self.notices.by_host.get(host) is notice:
                self.withdraw(host)

        self._at(self.now + dice.choice((0.0, 1.0, 10.0)), end)


def create(seed: int) -> tuple[CordonWorld, random.Random]:
    """Return the world of a seed, in which nothing has happened yet."""
    dice = random.Random(f"cordon {seed}")
    settings = CoordinatorSettings(is_rebalancing=dice.random() < 0.2)
    delay = dice.choice(((0.0005, 0.002), (0.0005, 0.02), (0.01, 0.15)))
    size = dice.choice((2, 3, 3, 4, 5, 6, 7))
    world = CordonWorld(seed, size, settings=settings, delay=delay)
    for host in world.hosts:
        world.about[host] = about(dice)
        if dice.random() < 0.1:
            world.notices.blind.add(host)
    return world, dice


def happen(world: CordonWorld, dice: random.Random):
    """Let one thing happen, more often to do with notices than not."""
    host = dice.choice(world.hosts)
    match dice.randrange(14):
        case 0 | 1 | 2 | 3:
            world.announce(host, dice.choice(KINDS))
        case 4 | 5:
            world.withdraw(host)
        case 6 | 7:
            world.evict(host, dice)
        case 8:
            kind = dice.choice(KINDS)
            for each in world.hosts:
                world.announce(each, kind)
        case 9:
            for each in world.hosts:
                world.withdraw(each)
        case 10:
            world.move(host, zone=dice.choice("abc"), labels=dice.choice((GPU, frozenset())))
        case 11:
            address = Address(f"10.1.{len(world.by_address)}.1", 33000)
            world.move(host, address=address)
        case _:
            fault(world, dice)


GPU = frozenset({"gpu"})


def run(world: CordonWorld, dice: random.Random) -> float:
    """Play a schedule; return how long it took to be right again."""
    form(world, dice)
    for _ in range(dice.randrange(2, 10)):
        happen(world, dice)
        world.advance(dice.choice((0.0, 0.1, 0.5, 2.0, 6.0, 12.0)) * dice.random())
        for host in world.hosts:
            if host.node is None and dice.random() < 0.3:
                world.boot(host)
    calm(world, dice)
    # What is announced may stay so: a cordon is no fault.
    for host in world.hosts:
        if dice.random() < 0.4:
            world.withdraw(host)
    limit = bound(world.timing, world.settings, world.pace) + READ[1] + 10.0
    seconds = until_right(world, limit)
    check_views(world)
    return seconds


def check_views(world: CordonWorld):
    """Fail if a node knows of another what that says of itself no more."""
    current = {node.member for node in nodes(world)}
    for node in nodes(world):
        known = {view.member for view in node.core.views() if view.status == "alive"}
        assert known == current - {node.member}, f"{node.host.name} knows {known - current}"


def play(seed: int) -> float:
    """
    Play the schedule of a seed; return how long it took to be right again.

    Raises:
        Broken: An invariant was hurt.
    """
    world, dice = create(seed)
    try:
        return run(world, dice)
    except Exception as error:
        story = "\n".join(f"{at:8.3f}  {words}" for at, words in world.story)
        again = f"BEETHOVEN_SEED={seed} scripts/test tests/cluster/simulated -k cordon_schedule"
        raise Broken(f"{story}\n{error!r}\nseed {seed}; again: {again}") from error


def formed(seed: int) -> tuple[CordonWorld, random.Random]:
    """Return a cluster in which all is right, and every node can run everything."""
    dice = random.Random(f"cordon all {seed}")
    settings = CoordinatorSettings(is_rebalancing=False)
    world = CordonWorld(seed, dice.choice((2, 3, 4, 6)), settings=settings)
    for host in world.hosts:
        world.about[host].specs = SPECS
        world.boot(host)
    until_right(world, bound(world.timing, world.settings, world.pace))
    return world, dice


def cordon_all(seed: int):
    """All nodes are cordoned, at once or one after the other: nothing is lost, nothing moves on."""
    world, dice = formed(seed)
    roles = [spec.name for spec in SPECS]
    before = {role: len(where(world, role)) for role in roles}
    pause = dice.choice((0.0, 0.1, 1.0, 5.0))
    for host in dice.sample(world.hosts, len(world.hosts)):
        world.announce(host, dice.choice(("preempt", "freeze")))
        world.advance(pause * dice.random())
    world.advance(8.0)
    assert {role: len(where(world, role)) for role in roles} == before
    for host in world.running():
        host.node.roles.starts.clear()
    world.advance(20.0)
    assert not any(host.node.roles.starts for host in world.running()), "something moves on"
    for host in world.hosts:
        world.withdraw(host)
    until_right(world, bound(world.timing, world.settings, world.pace))
    assert {role: len(where(world, role)) for role in roles} == before


def cordon_one(seed: int):
    """One node is cordoned: what it ran moves, nothing else does, and nothing moves back."""
    world, dice = formed(seed)
    host = dice.choice(world.hosts)
    for each in world.running():
        each.node.roles.starts.clear()
    had = set(host.node.roles.processes)
    world.announce(host, dice.choice(("preempt", "freeze")))
    world.advance(1.0)
    until_right(world, bound(world.timing, world.settings, world.pace))
    moved = {role for each in world.running() for _, role in each.node.roles.starts}
    assert moved <= had
    for each in world.running():
        each.node.roles.starts.clear()
    world.withdraw(host)
    world.advance(1.0)
    until_right(world, bound(world.timing, world.settings, world.pace))
    for each in world.running():
        started = {role for _, role in each.node.roles.starts}
        assert each is host or not started, f"{each.name} starts {started}"


def warn_of_risk(seed: int):
    """Nodes are at risk: nothing moves, and what is new goes elsewhere."""
    world, dice = formed(seed)
    risky = dice.sample(world.hosts, len(world.hosts) - 1)
    for each in world.running():
        each.node.roles.starts.clear()
    for host in risky:
        world.announce(host, "risk")
    world.advance(8.0)
    assert not any(each.node.roles.starts for each in world.running())
    (safe,) = set(world.hosts) - set(risky)
    victim = dice.choice(risky)
    lost = set(victim.node.roles.processes) - set(safe.node.roles.processes)
    world.kill(victim)
    until_right(world, bound(world.timing, world.settings, world.pace))
    assert lost <= set(safe.node.roles.processes)
