"""Schedules with one event in an otherwise healthy cluster, and what that may move (I4)."""

import random

from beethoven.cluster.role_spec import RoleSpec
from beethoven.engine.settings import CoordinatorSettings
from beethoven.supervision.backoff import Backoff
from tests.cluster.simulated.cluster_checks import leaders
from tests.cluster.simulated.cluster_schedules import SPECS, about, bound, until_right
from tests.cluster.simulated.cluster_world import ClusterWorld
from tests.cluster.simulated.network import Host

_REBALANCE_AFTER = 8.0

Start = tuple[str, str]


def formed(seed: int, *, is_rebalancing: bool = False) -> tuple[ClusterWorld, random.Random]:
    """Return a cluster in which all is right, and one more host that is off."""
    dice = random.Random(f"quiet {seed}")
    settings = CoordinatorSettings(
        is_rebalancing=is_rebalancing,
        rebalance_after=_REBALANCE_AFTER,
        avoidance=Backoff(initial=10.0, factor=2.0, maximum=600.0),
    )
    delay = dice.choice(((0.0005, 0.002), (0.0005, 0.02), (0.01, 0.15)))
    world = ClusterWorld(seed, dice.choice((3, 4, 5, 6, 7, 8)), settings=settings, delay=delay)
    for host in world.hosts:
        world.about[host] = about(dice)
        world.about[host].specs = SPECS
    for host in world.hosts[:-1]:
        world.boot(host)
    until_right(world, bound(world.timing, world.settings, world.pace))
    world.advance(dice.uniform(0, 6))
    return world, dice


def forget_starts(world: ClusterWorld):
    for host in world.running():
        host.node.roles.starts.clear()


def starts(world: ClusterWorld) -> list[Start]:
    """Return what has been started since `forget_starts`: host and role."""
    return sorted(
        (host.name, role) for host in world.running() for _, role in host.node.roles.starts
    )


def victim_of(world: ClusterWorld, dice: random.Random) -> Host:
    """Return a host, as often the coordinator's as not."""
    leader: Host = leaders(world)[0].host
    return leader if dice.random() < 0.5 else dice.choice(world.running())


def lose_core(seed: int):
    """A core server dies, up to five times in a row: nothing starts, nothing stops."""
    world, dice = formed(seed)
    forget_starts(world)
    running = {host: dict(host.node.roles.processes) for host in world.running()}
    victim = victim_of(world, dice)
    for _ in range(dice.randrange(1, 6)):
        world.lose_core(victim)
        world.advance(dice.uniform(0.2, 1.0))
        world.restore_core(victim)
        world.advance(dice.choice((0.02, 0.1, 1.0, 3.0)))
    until_right(world, bound(world.timing, world.settings, world.pace))
    assert starts(world) == [], starts(world)
    assert running == {host: dict(host.node.roles.processes) for host in world.running()}


def lose_all_cores(seed: int):
    """All core servers die within a second: nothing starts, nothing stops."""
    world, dice = formed(seed)
    forget_starts(world)
    running = {host: dict(host.node.roles.processes) for host in world.running()}
    for host in world.running():
        world.lose_core(host)
        world._at(world.now + dice.uniform(0.2, 1.0), lambda host=host: world.restore_core(host))
        world.advance(dice.choice((0.0, 0.1)))
    world.advance(1.5)
    until_right(world, bound(world.timing, world.settings, world.pace))
    assert starts(world) == [], starts(world)
    assert running == {host: dict(host.node.roles.processes) for host in world.running()}


def lose_memory(seed: int):
    """Core server and role server of a node die at once: nothing starts, nothing stops."""
    world, dice = formed(seed)
    forget_starts(world)
    running = {host: dict(host.node.roles.processes) for host in world.running()}
    victim = victim_of(world, dice)
    world.lose_core(victim)
    world.lose_role_server(victim)
    world.advance(dice.uniform(0.2, 1.0))
    world.restore_core(victim)
    until_right(world, bound(world.timing, world.settings, world.pace))
    assert starts(world) == [], starts(world)
    assert running == {host: dict(host.node.roles.processes) for host in world.running()}


def heal(seed: int):
    """A cut comes and heals: what ran before it runs on, for it is the oldest."""
    world, dice = formed(seed)
    running = {host: dict(host.node.roles.processes) for host in world.running()}
    middle = dice.randrange(1, len(world.hosts) - 1)
    shuffled = dice.sample(world.hosts, len(world.hosts))
    world.split(shuffled[:middle], shuffled[middle:])
    world.advance(world.timing.silence + dice.uniform(8.0, 12.0))
    world.heal()
    until_right(world, bound(world.timing, world.settings, world.pace))
    assert running == {host: dict(host.node.roles.processes) for host in world.running()}


def leave(seed: int):
    """A node ends, in one way or the other: what it ran starts elsewhere, and nothing else."""
    world, dice = formed(seed)
    forget_starts(world)
    victim = victim_of(world, dice)
    had = set(victim.node.roles.processes)
    dice.choice((world.kill, world.cut_power, world.leave, world.drain))(victim)
    until_right(world, bound(world.timing, world.settings, world.pace))
    assert {role for _, role in starts(world)} <= had
    assert len(starts(world)) <= len(had)


def leave_at_once(seed: int):
    """A node is drained that has just been given its only role: it goes when that has ended."""
    dice = random.Random(f"haste {seed}")
    world = ClusterWorld(seed, dice.choice((2, 3)))
    for host in world.hosts:
        if host is world.hosts[0] or dice.random() < 0.5:
            world.about[host].specs = (RoleSpec("only", digest="1"),)
        world.boot(host)
    while not any(table.places for _, _, table in world.tables):
        world.advance(0.005)
    _, _, table = world.tables[-1]
    world.advance(dice.uniform(0, 0.08))
    for host in world.running():
        if host.node.member.node_id in table.nodes_of("only"):
            world.drain(host)
    until_right(world, bound(world.timing, world.settings, world.pace))


def join(seed: int):
    """A node joins: it takes what was missing, and later one instance at a time moves to it."""
    world, _ = formed(seed, is_rebalancing=seed % 4 == 0)
    if world.settings.is_rebalancing:
        # What moves because of the formation is none of the newcomer's doing.
        world.advance(20.0)
    forget_starts(world)
    before = {host: set(host.node.roles.processes) for host in world.running()}
    newcomer = world.hosts[-1]
    world.boot(newcomer)
    until_right(world, bound(world.timing, world.settings, world.pace))
    assert {name for name, _ in starts(world)} <= {newcomer.name}
    for host, roles in before.items():
        assert roles == set(host.node.roles.processes)
    if world.settings.is_rebalancing:
        check_budget(world)


def check_budget(world: ClusterWorld):
    """Fail if more instances move at once than the budget allows, to even out the load."""
    forget_starts(world)
    for _ in range(40):
        world.advance(0.5)
        under_way = [
            process.state
            for host in world.running()
            for process in host.node.roles.processes.values()
            if process.state != "running"
        ]
        assert len(under_way) <= 2, "one move: one that stops, one that starts"
    assert until_right(world, 20.0) <= 20.0


KINDS = (lose_core, lose_all_cores, lose_memory, heal, leave, leave_at_once, join)


def play(seed: int):
    KINDS[seed % len(KINDS)](seed // len(KINDS))
