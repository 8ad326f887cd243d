"""
Many real nodes, and nodes that come and go.

`LIVE_REPEATS` says how often ten nodes start at the same instant, `LIVE_CHURN` for how many seconds
nodes come and go, `LIVE_SEED` in which order.
"""

import os
import random
import threading

import pytest

from beethoven import clock
from tests.cluster.live.cluster import Cluster, undisturbed

pytestmark = [pytest.mark.process, pytest.mark.timeout(1200)]

REPEATS = int(os.environ.get("LIVE_REPEATS", "2"))
CHURN = float(os.environ.get("LIVE_CHURN", "15"))
SEED = int(os.environ.get("LIVE_SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)


@pytest.mark.parametrize("round_", range(REPEATS))
def test_ten_nodes_that_start_at_the_same_instant_are_one_cluster(tmp_path, round_):
    with Cluster(tmp_path, {"one": 1, "five": 5}, nodes=10) as cluster:
        cluster.start()
        cluster.wait_formed(10, timeout=180)
        cluster.check(clock.elapsed(), within=60)
        cluster.wait_counts()
        assert not cluster.events("node_down", "node_left")


def test_five_nodes_lose_two_and_get_them_back(tmp_path):
    with Cluster(tmp_path, {"one": 1, "three": 3, "all": 5}, nodes=5) as cluster:
        cluster.start()
        cluster.wait_formed(5)
        cluster.wait_counts()
        with undisturbed(cluster, but=[0, 3]):
            since = clock.elapsed()
            cluster.kill_all([0, 3])
            cluster.check(since)
            cluster.start(0, 3)
            cluster.wait_formed(5)
            cluster.check(clock.elapsed())
            cluster.wait_counts()


def test_twenty_nodes_lose_one(tmp_path):
    with Cluster(tmp_path, {"one": 1, "ten": 10}, nodes=20, preset="default") as cluster:
        cluster.start()
        cluster.wait_formed(20, timeout=300)
        cluster.wait_counts(timeout=180)
        with undisturbed(cluster, but=[4]):
            since = clock.elapsed()
            cluster.kill(4)
            cluster.check(since, within=15)
            cluster.wait_formed(19)


@pytest.mark.parametrize("seed", [SEED])
def test_churn_leaves_one_cluster_with_the_right_roles(tmp_path, seed):
    chance = random.Random(seed)
    with Cluster(tmp_path, {"one": 1, "two": 2, "all": 5}, nodes=5) as cluster:
        cluster.start()
        cluster.wait_formed(5)
        end = clock.elapsed() + CHURN
        while clock.elapsed() < end:
            churn(cluster, chance)
            threading.Event().wait(chance.uniform(0.0, 1.0))
        for player in cluster.players:
            if player.is_frozen:
                cluster.thaw(player.number)
            elif not player.is_running:
                cluster.start(player.number)
        cluster.wait_formed(5)
        cluster.check(clock.elapsed(), within=20)
        cluster.wait_counts()


def churn(cluster: Cluster, chance: random.Random) -> None:
    """Do something to a node; one always runs."""
    player = chance.choice(cluster.players)
    if player.is_frozen:
        cluster.thaw(player.number)
    elif not player.is_running:
        cluster.start(player.number)
    elif chance.random() < 0.3:
        # A node that has just been started has no parts yet.
        if player.client is not None and (names := cluster.components(player.number)):
            cluster.kill_process(cluster.component(player.number, chance.choice(names)))
    elif len(cluster.awake) > 1:
        action = chance.choice([cluster.kill, cluster.freeze, cluster.stop])
        action(player.number)
