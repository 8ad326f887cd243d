"""Coordinators in one chosen situation each: what a random schedule would let pass."""

from functools import partial

import pytest

from beethoven.cluster.role_spec import Handover, RoleSpec
from beethoven.engine.authority import Authority
from beethoven.engine.settings import CoordinatorSettings
from tests.cluster.simulated.coordinator_world import SimulatedNode, World

LONELY = RoleSpec("lonely", digest="1")
PAIR = RoleSpec("pair", instances=2, digest="1")
SMOOTH = RoleSpec("smooth", digest="1", handover=Handover.START_FIRST)
SPECS = (LONELY, PAIR, SMOOTH)


def cluster(world: World, count: int, specs: tuple[RoleSpec, ...] = SPECS) -> list[SimulatedNode]:
    world.detection = 0.05
    nodes = [world.boot(f"n{index}", specs) for index in range(count)]
    world.run(8)
    assert not world.wrongs(specs)
    return nodes


def starts(world: World) -> list[tuple[str, str]]:
    return sorted((node.name, role) for node in world.nodes for _, role in node.starts)


def forget_starts(world: World) -> None:
    for node in world.nodes:
        node.starts.clear()


def always(world: World, role: str, rule) -> list[int]:
    """Watch how many instances of a role run."""
    seen: list[int] = []

    def watch(world: World) -> None:
        count = len(world.where(role))
        seen.append(count)
        assert rule(count), f"{role}: {count} at {world.now:.2f}"

    world.check = watch
    return seen


def test_a_node_alone_begins_as_soon_as_it_has_searched() -> None:
    world = World(1)
    node = world.boot("n0", SPECS)
    world.run(0.71)
    assert {role for _, role in node.starts} == {"lonely", "pair", "smooth"}


@pytest.mark.parametrize("seed", range(10))
def test_nodes_that_begin_together_start_no_instance_too_many(seed: int) -> None:
    world = World(seed)
    world.detection = 0.15  # the first search of each finds those that are there
    for index in range(5):
        world.after(world.random.uniform(0, 0.5), partial(world.boot, f"n{index}", SPECS))
    world.run(8)
    assert len(starts(world)) == 4
    assert not world.wrongs(SPECS)


@pytest.mark.parametrize("incarnation", [100, -1], ids=["a younger node", "an older node"])
@pytest.mark.parametrize("seed", range(5))
def test_a_join_moves_nothing(seed: int, incarnation: int) -> None:
    """I4; also if the newcomer leads from now on, as one whose clock is behind does."""
    world = World(seed)
    cluster(world, 3)
    forget_starts(world)
    world.boot("new", SPECS, incarnation=incarnation)
    world.run(10)
    assert starts(world) == []
    assert world.leaders() == (["new"] if incarnation < 0 else ["n0"])


def test_a_join_fills_holes_and_nothing_else() -> None:
    world = World(1)
    cluster(world, 1)
    forget_starts(world)
    world.boot("new", SPECS)
    world.run(5)
    assert starts(world) == [("new", "pair")]


@pytest.mark.parametrize("leaver", range(3))
def test_a_leave_moves_only_what_the_leaver_had(leaver: int) -> None:
    world = World(leaver)
    nodes = cluster(world, 3)
    lost = sorted(nodes[leaver].processes)
    forget_starts(world)
    world.crash(nodes[leaver])
    world.run(5)
    assert sorted(role for _, role in starts(world)) == lost
    assert not world.wrongs(SPECS)


def apart(world: World, specs: tuple[RoleSpec, ...], head_start: float) -> None:
    """Let two clusters form that cannot see each other; the one of the younger nodes is first."""
    world.detection = 0.05
    old = [SimulatedNode(world, name, specs) for name in ("a", "b")]
    young = [SimulatedNode(world, name, specs) for name in ("c", "d")]
    world.islands([old, young])
    for group, seconds in ((young, head_start), (old, 10)):
        world.nodes += group
        for node in group:
            node.boot()
        world.tell_everybody()
        world.run(seconds)


@pytest.mark.parametrize("seed", range(5))
def test_when_clusters_meet_the_longest_running_instance_stays_and_is_never_stopped(
    seed: int,
) -> None:
    world = World(seed)
    apart(world, (LONELY,), 30)
    assert len(world.where("lonely")) == 2
    (stays,) = set(world.where("lonely")) & {"c", "d"}
    forget_starts(world)
    always(world, "lonely", lambda count: count >= 1)
    world.heal()
    world.run(4)
    assert world.where("lonely") == [stays]
    assert starts(world) == []
    assert world.leaders() == ["a"]


def test_when_the_link_between_the_two_oldest_is_cut_there_is_no_contest() -> None:
    world = World(3)
    a, b, _ = cluster(world, 3)
    world.islands([[a], [b]])
    world.run(60)
    assert world.leaders() == ["n0"]
    reigns = {table.stamp.epoch for _, _, table in world.published_tables}
    assert len(reigns) <= 8
    last = max(at for at, _, table in world.published_tables)
    assert last - 8 < 6, "they never settle"
    world.heal()
    world.run(8)
    assert not world.wrongs(SPECS)


@pytest.mark.parametrize("victim", [0, 1], ids=["the coordinator", "another node"])
def test_holes_are_filled_in_the_very_step_in_which_a_death_is_known(victim: int) -> None:
    world = World(2)
    nodes = cluster(world, 2)
    world.detection = 0.01
    survivor = nodes[1 - victim]
    lost = set(nodes[victim].processes) - set(survivor.processes)
    died, survivor.starts = world.now, []
    world.crash(nodes[victim])
    world.run(5)
    assert {role for _, role in survivor.starts} == lost
    assert all(at - died <= 0.01 for at, _ in survivor.starts)


@pytest.mark.parametrize("seed", range(5))
def test_a_drained_node_hands_over_as_each_role_says_and_goes(seed: int) -> None:
    world = World(seed)
    nodes = cluster(world, 3)
    always(world, "smooth", lambda count: 1 <= count <= 2)
    busy = next(node for node in nodes if "smooth" in node.processes)
    began = world.now
    busy.drain()
    while busy.is_up and world.now < began + 10:
        world.run(0.05)
    assert busy.is_released
    assert world.now - began < 4
    world.run(5)
    assert not world.wrongs(SPECS)


def test_an_instance_that_is_stopped_first_never_meets_its_successor() -> None:
    world = World(4)
    nodes = cluster(world, 3)

    def watch(world: World) -> None:
        assert sum("lonely" in node.processes for node in world.up()) <= 1

    world.check = watch
    next(node for node in nodes if "lonely" in node.processes).drain()
    world.run(6)
    assert len(world.where("lonely")) == 1


def test_the_last_node_can_be_drained_too() -> None:
    world = World(1)
    (node,) = cluster(world, 1)
    node.drain()
    world.run(3)
    assert node.is_released


def test_a_role_that_fails_on_a_node_goes_elsewhere_and_stays_away_for_a_growing_while() -> None:
    world = World(1)
    nodes = cluster(world, 2, (LONELY,))
    bad = next(node for node in nodes if node.processes)
    good = next(node for node in nodes if node is not bad)
    world.flaky.add((bad.name, "lonely"))
    bad.crash_role("lonely")
    world.run(4)
    assert world.where("lonely") == [good.name]
    world.flaky.add((good.name, "lonely"))
    good.crash_role("lonely")
    world.run(60)
    notes = [note for node in nodes for note in node.notes if note.event == "role_avoided"]
    waits = [note.fields["seconds"] for note in notes if note.fields["node"] == bad.name]
    assert waits[:3] == [10.0, 20.0, 40.0]


def test_a_role_that_fails_where_no_other_node_can_take_it_is_tried_there_again() -> None:
    world = World(1)
    (node,) = cluster(world, 1, (LONELY,))
    world.flaky.add((node.name, "lonely"))
    node.crash_role("lonely")
    world.run(20)
    assert len(node.starts) >= 4
    world.flaky.clear()
    world.run(5)
    assert world.where("lonely") == ["n0"]


def test_load_is_evened_out_a_while_after_a_join_one_move_at_a_time() -> None:
    specs = tuple(RoleSpec(f"role{index}", digest="1") for index in range(12))
    world = World(1)
    cluster(world, 2, specs)
    world.boot("new", specs)
    world.run(29)
    assert [len(node.processes) for node in world.up()] == [6, 6, 0]
    seen: list[int] = []
    world.check = lambda world: seen.append(sum(len(world.where(spec.name)) for spec in specs))
    world.run(60)
    assert [len(node.processes) for node in world.up()] == [4, 4, 4]
    assert min(seen) >= 11


def test_no_load_is_evened_out_if_that_is_off() -> None:
    specs = tuple(RoleSpec(f"role{index}", digest="1") for index in range(4))
    world = World(1, settings=CoordinatorSettings(is_rebalancing=False))
    cluster(world, 1, specs)
    world.boot("new", specs)
    world.run(90)
    assert [len(node.processes) for node in world.up()] == [4, 0]


def test_without_a_quorum_nothing_is_decided() -> None:
    world = World(1, authority=Authority(quorum=2, followed_within=6.0))
    world.boot("n0", SPECS)
    world.run(10)
    assert starts(world) == []
    world.boot("n1", SPECS)
    world.run(10)
    assert not world.wrongs(SPECS)


def test_the_place_of_a_silent_node_is_free_only_when_its_lease_has_ended() -> None:
    world = World(1, authority=Authority(lease=10.0, margin=0.5))
    nodes = cluster(world, 3, (LONELY, PAIR))
    victim = next(node for node in nodes[1:] if node.processes)
    lost = sorted(victim.processes)
    forget_starts(world)
    died = world.now
    world.crash(victim)
    world.run(20)
    times = [at for node in world.up() for at, _ in node.starts]
    assert sorted(role for _, role in starts(world)) == lost
    assert all(10.5 <= at - died <= 12.1 for at in times)
