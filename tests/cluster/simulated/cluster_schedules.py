"""
Schedules of faults for whole nodes: `play(seed)` runs one, and fails if an invariant is hurt.

Most have 3 to 7 nodes, one in a hundred has 20, one in a thousand 50, one in fifty thousand 200.
"""

import random
from dataclasses import replace

from beethoven.cluster.role_spec import Handover, RoleSpec
from beethoven.cluster.timing import DEFAULT, FAST, WAN, Timing
from beethoven.engine.settings import CoordinatorSettings
from tests.cluster.simulated.cluster_checks import nodes, wrongs
from tests.cluster.simulated.cluster_node import About
from tests.cluster.simulated.cluster_world import TICK, ClusterWorld
from tests.cluster.simulated.network import Host
from tests.cluster.simulated.role_processes import RETRY, Pace

SPECS = (
    RoleSpec("anywhere", instances=2, digest="1"),
    RoleSpec("everywhere", instances=999, digest="1"),
    RoleSpec("lonely", instances=1, digest="1"),
    RoleSpec("smooth", instances=2, digest="1", handover=Handover.START_FIRST),
    RoleSpec("picky", instances=1, digest="1", requires=frozenset({"gpu"})),
)


def bound(timing: Timing, settings: CoordinatorSettings, pace: Pace) -> float:
    """
    Return within how many seconds after the last fault everything is right (I3, I6).

    The views agree (`convergence`); the word of the last one that came is waited for (`patience`);
    who lags behind is sent the table again (3 * `resend`); two hand-overs one after the other, of a
    stubborn instance each; a role that could not be started is tried again, and starts; each of the
    steps is noticed at the next tick.
    """
    handover = pace.stubborn_stop[1] + pace.start[1]
    steps = settings.patience + 3 * settings.resend + 2 * handover + RETRY + pace.start[1]
    return timing.convergence + steps + 6 * TICK


def size_of(seed: int, dice: random.Random) -> int:
    if seed % 50_000 == 49_999:
        return 200
    if seed % 1_000 == 500:
        return 50
    if seed % 100 == 50:
        return 20
    return dice.choice((3, 3, 3, 4, 4, 5, 5, 6, 7))


def create(seed: int) -> tuple[ClusterWorld, random.Random]:
    """Return the world of a seed, in which nothing has happened yet."""
    dice = random.Random(f"cluster {seed}")
    size = size_of(seed, dice)
    timing = WAN if size > 50 else dice.choice((DEFAULT, DEFAULT, FAST))
    settings = CoordinatorSettings(settle=timing.settle, is_rebalancing=dice.random() < 0.2)
    delay = dice.choice(((0.0005, 0.002), (0.0005, 0.02), (0.01, 0.15)))
    loss = dice.choice((0.0, 0.0, 0.02, 0.1)) if size < 20 else 0.0
    if timing is FAST:
        # What is lost three times in a row is later than its silence: it is for one local network.
        loss = 0.0
    world = ClusterWorld(seed, size, timing=timing, settings=settings, delay=delay, loss=loss)
    for host in world.hosts:
        world.about[host] = about(dice)
    return world, dice


def about(dice: random.Random) -> About:
    specs = tuple(spec for spec in SPECS if dice.random() < 0.9)
    labels = frozenset({"gpu"}) if dice.random() < 0.5 else frozenset()
    return About(specs, labels, dice.choice("ab"), dice.choice((0, 0, 0, 1000, -1000)))


def form(world: ClusterWorld, dice: random.Random):
    """Boot the nodes, one after the other or all at once."""
    is_storm = dice.random() < 0.4
    late = [host for host in world.hosts if dice.random() < 0.1]
    for host in world.hosts:
        if host not in late:
            world.boot(host)
        if not is_storm and len(world.hosts) < 20:
            world.advance(dice.uniform(0, 1.5))
    world.advance(dice.uniform(0, 5))


def fault(world: ClusterWorld, dice: random.Random):
    """Let one thing go wrong."""
    host, other = dice.sample(world.hosts, 2)
    match dice.randrange(26):
        case 0:
            world.cut(host, other)
        case 1:
            world.cut(host, other)
            world.cut(other, host)
        case 2 | 3 | 4:
            islands: list[list[Host]] = [[], [], []]
            count = dice.choice((2, 2, 3))
            for each in world.hosts:
                islands[dice.randrange(count)].append(each)
            world.split(*islands)
        case 5 | 6:
            world.heal()
        case 7:
            # It hears nobody, or nobody hears it.
            for each in world.hosts:
                if each is not host:
                    world.cut(*((each, host) if dice.random() < 0.8 else (host, each)))
        case 8 | 9:
            world.pause(host)
        case 10:
            world.resume(host)
        case 11 | 12:
            world.kill(host)
        case 13:
            world.cut_power(host)
        case 14:
            world.leave(host)
        case 15 | 16 | 17:
            world.lose_core(host)
            world._at(world.now + dice.uniform(0.2, 1.0), lambda: world.restore_core(host))
        case 18 if len(world.running()) > 2:
            world.drain(host)
        case 19 if dice.random() < 0.3:
            restart_all(world, dice)
        case 20:
            change_configuration(world, host, dice)
        case 21:
            world.about[host].flaky.add(dice.choice(SPECS).name)
        case 22:
            world.about[host].stubborn.add(dice.choice(SPECS).name)
        case 23:
            crash_role(host, dice)
        case 24:
            lose_much(world, dice.sample(world.hosts, 2), dice)
        case 25:
            world.about[host].is_fragile = True


def lose_much(world: ClusterWorld, hosts: list[Host], dice: random.Random):
    """Lose core server and role server of some nodes at once: the memory of what was decided."""
    for host in hosts:
        world.lose_core(host)
        world.lose_role_server(host)
        world._at(world.now + dice.uniform(0.2, 1.0), lambda host=host: world.restore_core(host))


def crash_role(host: Host, dice: random.Random):
    role = dice.choice(SPECS).name
    if host.node is not None and not host.node.is_paused:
        host.node.roles.crash(role)


def restart_all(world: ClusterWorld, dice: random.Random):
    for host in world.hosts:
        world.kill(host)
    for host in world.hosts:
        world._at(world.now + dice.uniform(0.0, 0.6), lambda host=host: bring_back(world, host))


def change_configuration(world: ClusterWorld, host: Host, dice: random.Random):
    """Restart a host with another configuration of one role, or without it."""
    role = dice.choice(SPECS)
    version = dice.choice((0, 0, 1, 2))
    changed = replace(role, instances=dice.choice((1, 2, 3)), digest=f"{version}b", version=version)
    kept = tuple(spec for spec in world.about[host].specs if spec.name != role.name)
    world.about[host].specs = kept if dice.random() < 0.2 else (*kept, changed)
    world.kill(host)
    world._at(world.now + dice.uniform(0.2, 2.0), lambda: bring_back(world, host))


def bring_back(world: ClusterWorld, host: Host):
    if host.node is None:
        world.boot(host)


def calm(world: ClusterWorld, dice: random.Random):
    """End every fault. Who was switched off may stay so."""
    world.heal()
    world.loss = 0.0
    for host in world.hosts:
        world.resume(host)
        world.about[host].flaky.clear()
        if host.node is None and dice.random() < 0.7:
            world.boot(host)
        world.restore_core(host)
    if not world.running():
        world.boot(world.hosts[0])


def until_right(world: ClusterWorld, limit: float) -> float:
    """Advance until all is right and stays so; return after how long it was."""
    began = right_at = world.now
    found = wrongs(world)
    while found or world.now - right_at < 2.0:
        assert world.now - began <= limit + 2.0, f"not right after {limit:.1f} s: {found}"
        world.advance(0.25)
        found = wrongs(world)
        if found:
            right_at = world.now
    return right_at - began


def run(world: ClusterWorld, seed: int, dice: random.Random) -> float:
    """Play the schedule of a seed in its world; return how long it took to be right again."""
    form(world, dice)
    is_large = len(world.hosts) >= 20
    for _ in range(dice.randrange(1, 4 if is_large else 8)):
        fault(world, dice)
        if dice.random() < 0.2:
            loss = dice.choice((0.0, 0.02, 0.1)) if not is_large else 0.0
            world.loss = 0.0 if world.timing is FAST else loss
        world.advance(dice.choice((0.0, 0.1, 0.5, 2.0, 6.0, 12.0)) * dice.random())
        for host in world.hosts:
            if host.node is None and dice.random() < 0.3:
                world.boot(host)
    calm(world, dice)
    return until_right(world, bound(world.timing, world.settings, world.pace))


class Broken(AssertionError):
    """An invariant was hurt. Says how to see it again, and what had happened."""


def play(seed: int) -> tuple[ClusterWorld, float]:
    """
    Play the schedule of a seed; return its world, and how long it took to be right again.

    Raises:
        Broken: An invariant was hurt.
    """
    world, dice = create(seed)
    try:
        return world, run(world, seed, dice)
    except Exception as error:
        story = "\n".join(f"{at:8.3f}  {words}" for at, words in world.story)
        again = f"BEETHOVEN_SEED={seed} scripts/test tests/cluster/simulated -k cluster_schedule"
        raise Broken(f"{story}\n{error!r}\nseed {seed}; again: {again}") from error


def settled(world: ClusterWorld) -> list[str]:
    """Return who runs what, one line for each node."""
    return [f"{node.host.name}: {' '.join(sorted(node.roles.processes))}" for node in nodes(world)]
