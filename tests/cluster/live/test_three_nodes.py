"""Three real nodes on loopback: what a user sees who kills them, freezes them and stops them."""

import itertools
from pathlib import Path

import pytest

from beethoven import clock
from tests.cluster.live.cluster import ROOT, Cluster, undisturbed, wait_until
from tests.processes import is_running

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

NODES = range(3)
ROLES = {"one": 1, "two": 2, "three": 3}
# What must not be told of nodes that are well.
ALARMS = ("node_down", "node_left")
# How long a hand-over may take, in seconds.
DRAIN = 20.0


@pytest.fixture
def cluster(tmp_path):
    with Cluster(tmp_path, ROLES, environ={"BEETHOVEN_DRAIN_TIMEOUT": str(DRAIN)}) as cluster:
        cluster.start()
        cluster.wait_formed(3)
        cluster.wait_counts()
        yield cluster


def places(story):
    """Return `{(role, node): pid}` of a story."""
    return {
        (role, node): pid
        for role, instances in story["roles"].items()
        for node, pid, state in instances
        if state == "running"
    }


def test_three_terminals_with_the_same_file_are_a_cluster(tmp_path):
    toml = Path(ROOT, "examples/orchestra.toml").read_text("utf-8")
    roles = {"test": 2, "testd": 2, "ticker": 1}
    plain = {"BEETHOVEN_TIMING": "", "BEETHOVEN_CLUSTER_NET_MASK": ""}
    with Cluster(tmp_path, roles, toml=toml, environ=plain) as cluster:
        for number in NODES:
            cluster.start(number)
            cluster.wait_formed(number + 1)
        assert cluster.names() == {0: "127.0.0.1", 1: "127.0.0.2", 2: "127.0.0.3"}
        before = places(cluster.wait_counts())
        assert {len([one for one in before if one[0] == role]) for role in ("test", "testd")} == {2}
        for number in NODES:
            name = cluster.players[number].name
            cluster.kill(number)
            cluster.wait_formed(2)
            after = places(cluster.wait_counts(wanted=roles))
            stayed = {place: pid for place, pid in before.items() if place[1] != name}
            assert stayed.items() <= after.items()
            cluster.start(number)
            cluster.wait_formed(3)
            before = places(cluster.wait_counts())
            assert before == after, cluster.explain("something moved")
            assert all(map(is_running, before.values()))


def test_a_killed_node_is_replaced_and_nothing_else_moves(cluster):
    for number in NODES:
        with undisturbed(cluster, but=[number]):
            since = clock.elapsed()
            cluster.kill(number)
            cluster.check(since)
            cluster.wait_counts()
            cluster.start(number)
            cluster.wait_formed(3)
            cluster.check(clock.elapsed())
            cluster.wait_counts()


def test_a_node_that_freezes_is_replaced_and_gives_way_when_it_thaws(cluster):
    for number in NODES:
        cluster.freeze(number)
        cluster.wait_formed(2)
        cluster.wait_counts(wanted={"one": 1, "two": 2, "three": 2})
        since = clock.elapsed()
        cluster.thaw(number)
        cluster.wait_formed(3)
        cluster.check(since)
        cluster.wait_counts()


def test_all_nodes_that_are_killed_and_started_at_once_are_one_cluster(cluster):
    for _ in range(2):
        cluster.kill_all()
        cluster.start()
        cluster.wait_formed(3)
        cluster.check(clock.elapsed())
        cluster.wait_counts()


def test_a_component_that_is_killed_disturbs_no_role_and_no_other_node(cluster):
    leader = cluster.wait_counts()["by"]
    number = next(each for each in NODES if cluster.players[each].name == leader)
    names = [each for each in cluster.components(number) if each != "role_supervisor"]
    assert len(names) == 7
    for name, times in itertools.product(names, (1, 5)):
        with undisturbed(cluster, *ALARMS):
            for _ in range(times):
                pid = cluster.component(number, name)
                cluster.kill_process(pid)
                cluster.component(number, name, but=pid)
            cluster.wait_formed(3)
            assert cluster.wait_counts()["by"] == leader
    for name in names:
        # The same part of all nodes at the same instant.
        with undisturbed(cluster, *ALARMS):
            pids = [cluster.component(each, name) for each in NODES]
            for pid in pids:
                cluster.kill_process(pid)
            for each in NODES:
                cluster.component(each, name, but=pids[each])
            cluster.wait_formed(3)
            assert cluster.wait_counts()["by"] == leader


def test_a_killed_role_supervisor_brings_its_roles_back_on_the_same_node(cluster):
    before = places(cluster.wait_counts())
    name = cluster.players[1].name
    since = clock.elapsed()
    pid = cluster.component(1, "role_supervisor")
    with undisturbed(cluster, *ALARMS, but=[1]):
        cluster.kill_process(pid)
        cluster.component(1, "role_supervisor", but=pid)
        cluster.check(since)
        after = places(cluster.wait_counts())
    assert after.keys() == before.keys()
    changed = {place for place in before if before[place] != after[place]}
    assert changed == {place for place in before if place[1] == name}


def test_a_node_that_is_stopped_hands_over_at_once(cluster):
    story = cluster.wait_counts()
    leader = next(each for each in NODES if cluster.players[each].name == story["by"])
    others = [number for number in NODES if number != leader]
    for number in (others[0], leader):
        with undisturbed(cluster, "node_down", "drain_timed_out", but=[number]):
            since = clock.elapsed()
            assert cluster.stop(number) == 0
            assert clock.elapsed() - since < DRAIN
            cluster.wait_formed(2)
            cluster.check(since, within=DRAIN)
        cluster.start(number)
        cluster.wait_formed(3)
        cluster.check(clock.elapsed())


def test_nodes_that_are_all_stopped_at_once_wait_for_nobody(cluster):
    since = clock.elapsed()
    for number in NODES:
        cluster.terminate(number)
    for number in NODES:
        assert cluster.wait(number) == 0
    assert clock.elapsed() - since < DRAIN
    wait_until(lambda: not any(life.ended is None for life in cluster.lives()), 5.0, "all ended")
    assert not cluster.events("drain_timed_out", "node_down")
