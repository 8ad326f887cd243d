"""
Scopes of groups under seeded schedules of faults: when these stop, all nodes name the same members.

A failing schedule names its seed.
"""

import pytest

from beethoven.groups import events
from beethoven.groups.groups_state import PATIENCE, TICK
from tests.cluster.simulated.group_world import DELAY, SILENCE, GroupNode, GroupWorld

GROUPS = ("red", "green", "blue")

# From the end of the last fault until all is right: the last link opens, the last silence is over,
# what was lost is noticed at the next tick and asked for, a moment after the last question.
BOUND = SILENCE + 1 + TICK + PATIENCE + 4 * DELAY[1]
SCHEDULES = 160
CHUNK = 20


def act(world: GroupWorld) -> None:
    """Let a process do something."""
    random = world.random
    node = random.choice(world.nodes)
    living = list(node.living.values())
    if not living or random.random() < 0.1:
        world.born(node)
        return
    ref = random.choice(living)
    if random.random() < 0.1:
        world.die(node, ref)
        return
    kinds = (events.Join, events.Join, events.Leave, events.Watch, events.Unwatch)
    world.wish(node, random.choice(kinds), random.choice(GROUPS), ref)


def fault(world: GroupWorld) -> None:
    """Let one thing go wrong."""
    random = world.random
    node, other = random.sample(world.nodes, 2)
    match random.choice(("scope", "scope", "core", "flap", "islands", "heal", "loss")):
        case "scope":
            world.kill_scope(node)
        case "core":
            world.kill_core(node)
        case "flap":
            world.flap(node, other)
        case "islands":
            sides: list[list[GroupNode]] = [[], []]
            for each in world.nodes:
                random.choice(sides).append(each)
            world.split(sides)
        case "heal":
            world.split([world.nodes])
        case "loss":
            world.loss = random.choice((0.0, 0.05, 0.3))


def wrongs(world: GroupWorld) -> list[str]:
    """Return what is not as it must be."""
    found = []
    for node in world.nodes:
        for group in GROUPS:
            have, truth = node.members(group), world.truth(node, group)
            if have != truth:
                found.append(f"{node.node_id} has {dict(have)} in {group}, not {dict(truth)}")
        for group, watcher in sorted(node.watching):
            if node.seen[group, watcher] != world.truth(node, group):
                found.append(f"{watcher} was told {dict(node.seen[group, watcher])} of {group}")
        assert node.scope is not None
        truths = {group for group in GROUPS if world.truth(node, group)}
        if node.scope.groups() != sorted(truths):
            found.append(f"{node.node_id} has the groups {node.scope.groups()}")
    return found


@pytest.mark.parametrize("first", range(0, SCHEDULES, CHUNK))
def test_schedule(first: int) -> None:
    for seed in range(first, first + CHUNK):
        world = GroupWorld(seed, 2 + seed % 4)
        for _ in range(world.random.randrange(5, 60)):
            for _ in range(world.random.randrange(4)):
                act(world)
            if world.random.random() < 0.4:
                fault(world)
            world.advance(world.random.choice((0.0, 0.01, 0.1, 1.0, 4.0)))
        world.loss = 0.0
        if world.random.random() < 0.8:
            world.split([world.nodes])
        world.advance(BOUND)
        assert not wrongs(world), f"seed {seed}: {wrongs(world)}"


def test_a_change_is_known_everywhere_after_one_message() -> None:
    world = GroupWorld(1, 5)
    world.mishap = 0.0
    world.advance(2)
    ref = world.born(world.nodes[0])
    world.wish(world.nodes[0], events.Join, "red", ref)
    world.advance(DELAY[1])
    assert not wrongs(world)
    world.die(world.nodes[0], ref)
    world.advance(DELAY[1])
    assert not wrongs(world)


def test_what_was_lost_with_a_link_is_known_as_soon_as_there_is_another() -> None:
    world = GroupWorld(2, 3)
    world.advance(2)
    one, other, _ = world.nodes
    world.flap(one, other)
    world.wish(one, events.Join, "red", world.born(one))
    world.advance(0.1)
    assert wrongs(world)
    world.advance(0.01 + 3 * DELAY[1])
    assert not wrongs(world)


def test_a_scope_that_was_restarted_is_ready_when_all_others_have_told_it() -> None:
    world = GroupWorld(3, 3)
    world.mishap = 0.0
    node, other, _ = world.nodes
    world.advance(2)
    world.wish(other, events.Join, "red", world.born(other))
    world.advance(1)
    world.wish(node, events.Join, "red", world.born(node))
    world.start_scope(node)
    assert node.scope is not None
    assert not node.scope.is_ready
    world.advance(3 * DELAY[1])
    assert node.scope.is_ready
    assert not wrongs(world)


def test_a_scope_does_not_wait_long_for_others() -> None:
    world = GroupWorld(4, 3)
    node = world.nodes[0]
    world.advance(2)
    world.loss = 1.0
    world.start_scope(node)
    world.advance(PATIENCE - 0.01)
    assert node.scope is not None
    assert not node.scope.is_ready
    world.advance(0.02)
    assert node.scope.is_ready


def test_a_scope_that_dies_with_its_core_server_asks_as_soon_as_there_are_links() -> None:
    world = GroupWorld(5, 3)
    world.mishap = 0.0
    node, other, _ = world.nodes
    world.advance(2)
    world.wish(other, events.Join, "red", world.born(other))
    world.advance(0.5)
    world.kill_core(node)
    world.kill_scope(node)
    world.advance(0.5 + 4 * DELAY[1])
    assert not wrongs(world)
