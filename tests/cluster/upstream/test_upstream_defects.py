"""What broke upstream, done to real nodes: it breaks nothing here. See docs/upstream.md."""

import contextlib
import re
import shutil
import socket
import subprocess
import sys
from functools import partial
from typing import Any

import pytest

from beethoven import clock
from beethoven.cli.status import is_complete
from tests.cluster.live.cluster import ROOT, Cluster, wait_until

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

# For an answer, in seconds: less than strangers are put up with.
PATIENCE = 4.0
MOODY = """
[roles.moody]
module = "tests.cluster.upstream.upstream_roles:Moody"
args = "{sulk}"
max_restarts = 1

[roles.solid]
module = "beethoven.roles:TestRole"
instances = 2
"""
SOLID = """
[roles.solid]
module = "beethoven.roles:TestRole"
instances = 2
"""
LONELY = """
[roles.lonely]
module = "beethoven.roles:TestRole"
instances = 2
"""


def story_of(cluster, number):
    """Return what a node tells, once it does; it may begin, or be busy."""
    found: list[Any] = [None]

    def is_told():
        found[0] = cluster.story(number)
        return found[0]

    wait_until(is_told, 20, "it answers")
    return found[0]


def running(cluster, number, role):
    """Return the names of the nodes where a role runs, as one node tells it."""
    told = story_of(cluster, number)["roles"].get(role, [])
    return [node for node, _, state in told if state == "running"]


def states(cluster, number, role):
    return {state for _, _, state in story_of(cluster, number)["roles"].get(role, [])}


def number_of(cluster, name):
    return next(number for number, each in cluster.names().items() if each == name)


def has_no_network(command):
    """Return the command with nothing but loopback around it, or None if that cannot be had."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return None
    alone = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c"]
    check = [*alone, "ip link set lo up"]
    if subprocess.run(check, capture_output=True, check=False).returncode:
        return None
    return [*alone, 'ip link set lo up && exec "$@"', "sh", *command]


@pytest.mark.parametrize("use_az_net", ["false", "true"])
def test_d1_a_node_without_a_way_to_the_metadata_service_starts(tmp_path, use_az_net):
    toml = SOLID.replace("instances = 2", "instances = 1")
    environ = {"BEETHOVEN_USE_AZ_NET": use_az_net, "BEETHOVEN_COOKIE": "s" * 40}
    with Cluster(tmp_path, {"solid": 1}, nodes=1, toml=toml, environ=environ) as cluster:
        command = [sys.executable, "-m", "beethoven", "run", str(cluster.config)]
        command = has_no_network(command)
        if command is None:
            pytest.skip("no network namespaces here")
        player = cluster.players[0]
        with player.log_path.open("ab") as log:
            player.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=cluster.environ
            )
        cluster.wait_counts()


def test_d2_a_role_that_cannot_start_takes_no_node_along(tmp_path):
    sulk = tmp_path / "sulk"
    roles = {"moody": 1, "solid": 2}
    toml = MOODY.format(sulk=sulk)
    with Cluster(tmp_path, roles, nodes=3, toml=toml) as cluster:
        cluster.start()
        cluster.wait_formed(3)
        cluster.wait_counts()
        sulk.touch()
        victim = number_of(cluster, running(cluster, 0, "moody")[0])
        cluster.kill(victim)
        one, two = (player.number for player in cluster.running)
        wait_until(lambda: states(cluster, one, "moody") == {"failed"}, 30, "moody has failed")
        wait_until(lambda: len(running(cluster, two, "solid")) == 2, 30, "solid runs")
        assert not is_complete_all(cluster, one)
        sulk.unlink()
        wait_until(lambda: running(cluster, one, "moody"), 60, "moody is well again")
        assert len(cluster.running) == 2


def is_complete_all(cluster, number):
    status = cluster.status(number)
    return status is not None and all(map(is_complete, status["roles"]))


def test_d8_a_node_with_another_cookie_is_left_alone_and_lives(tmp_path):
    cluster = Cluster(tmp_path, {"solid": 2}, nodes=2, toml=SOLID)
    with cluster:
        cluster.environ["BEETHOVEN_COOKIE"] = "one secret of the one"
        cluster.start(0)
        cluster.environ["BEETHOVEN_COOKIE"] = "another secret of another"
        cluster.start(1)
        refused = ("seeker_refused", "probe_refused", "node_refused")
        wait_until(lambda: cluster.events(*refused), 20, "a refusal")
        for number in (0, 1):
            name = cluster.players[number].name
            wait_until(partial(running, cluster, number, "solid"), 20, "solid runs")
            assert running(cluster, number, "solid") == [name]
            assert [each[0] for each in story_of(cluster, number)["members"]] == [name]
        cluster.stop(1)
        cluster.environ["BEETHOVEN_COOKIE"] = "one secret of the one"
        cluster.start(1)
        cluster.wait_formed(2)
        cluster.wait_counts()


def test_d12_roles_fail_over_also_after_the_core_server_was_killed(tmp_path):
    with Cluster(tmp_path, {"one": 1}, nodes=2) as cluster:
        cluster.start(0)
        cluster.wait_counts()
        cluster.start(1)
        cluster.wait_formed(2)
        for _ in range(2):
            pid = cluster.component(1, "core_server")
            cluster.kill_process(pid)
            cluster.component(1, "core_server", but=pid)
        cluster.wait_formed(2)
        since = clock.elapsed()
        cluster.kill(0)
        cluster.check(since)


def test_d14_d15_a_frozen_node_is_replaced_soon_and_gives_way_when_it_thaws(tmp_path):
    with Cluster(tmp_path, {"one": 1, "three": 3}, nodes=3, preset="default") as cluster:
        cluster.start()
        cluster.wait_formed(3)
        cluster.wait_counts()
        frozen = number_of(cluster, running(cluster, 0, "one")[0])
        name = cluster.names()[frozen]
        well = next(player.number for player in cluster.running if player.number != frozen)
        since = clock.elapsed()
        cluster.freeze(frozen)
        # The others answer all the while.
        wait_until(
            lambda: {name} != set(running(cluster, well, "one")) != set(), 20, "it runs elsewhere"
        )
        assert clock.elapsed() - since < 20  # upstream: 73 s
        cluster.thaw(frozen)
        cluster.wait_formed(3)
        cluster.wait_counts()


def test_d14_clusters_that_came_up_apart_become_one_with_nobody_too_many(tmp_path):
    with Cluster(tmp_path, {"one": 1, "two": 2}, nodes=3) as cluster:
        for number, net in ((0, "127.0.0.1"), (1, "127.0.0.2")):
            cluster.environ |= {
                "BEETHOVEN_CLUSTER_NET": net,
                "BEETHOVEN_CLUSTER_NET_MASK": "32",
            }
            cluster.start(number)
            wait_until(partial(running, cluster, number, "one"), 20, "one runs")
            wait_until(partial(running, cluster, number, "two"), 20, "two runs")
        assert running(cluster, 0, "one") != running(cluster, 1, "one")
        # Whoever knows both brings them together.
        cluster.environ |= {
            "BEETHOVEN_CLUSTER_NET": "127.0.0.0",
            "BEETHOVEN_CLUSTER_NET_MASK": "29",
        }
        cluster.start(2)
        cluster.wait_formed(3)
        cluster.wait_counts()


def test_d16_a_node_that_does_not_know_a_role_is_not_counted_on(tmp_path):
    with Cluster(tmp_path, {"lonely": 1, "solid": 2}, nodes=2, toml=LONELY + SOLID) as cluster:
        cluster.start(0)
        wait_until(lambda: running(cluster, 0, "lonely"), 20, "it runs")
        cluster.config.write_text(SOLID, "utf-8")
        cluster.start(1)
        cluster.wait_formed(2)
        wait_until(lambda: len(running(cluster, 1, "solid")) == 2, 20, "the known role runs twice")
        client = cluster.players[1].client
        assert client is not None
        (lonely,) = (role for role in client.status()["roles"] if role["name"] == "lonely")
        assert (lonely["wanted"], lonely["eligible"], lonely["running"]) == (2, 1, 1)
        told = client.explain("lonely")
        assert {each["why"] for each in told["nodes"] if each["node"] == cluster.names()[1]} == {
            "not there because: role not configured there"
        }


def test_d18_a_node_is_never_listed_twice_for_a_role(tmp_path):
    with Cluster(tmp_path, {"one": 2}, nodes=1) as cluster:
        cluster.start(0)
        before = cluster.wait_counts()["roles"]
        for _ in range(3):
            pid = cluster.component(0, "core_server")
            cluster.kill_process(pid)
            cluster.component(0, "core_server", but=pid)
            assert cluster.wait_counts()["roles"] == before
        assert len(before["one"]) == 1


def test_d28_every_part_of_a_node_answers_while_strangers_hang_on_its_port(tmp_path):
    with Cluster(tmp_path, {"one": 1}, nodes=1) as cluster, contextlib.ExitStack() as crowd:
        cluster.start(0)
        cluster.wait_counts()
        for _ in range(100):
            crowd.enter_context(socket.create_connection(("127.0.0.1", cluster.port)))
        client = cluster.players[0].client
        assert client is not None
        for _ in range(3):
            assert client.process("beethoven.core_server").call("overview", PATIENCE)
            assert client.process("beethoven.role_server").call("status", PATIENCE)
            assert client.process("beethoven.locator").call("statistics", PATIENCE)
            assert client.process("beethoven.role_supervisor").call(("which_children",), PATIENCE)
            assert len(client.tree()["children"]) == 8


def test_d27_no_secret_lies_in_the_tree():
    found = re.compile(
        rb"-----BEGIN [A-Z ]*PRIVATE KEY|AKIA[0-9A-Z]{16}|gh[pousr]_\w{36}|pypi-\w{50}"
        rb"|hex_?api_?key\s*[:=]"
    )
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("no checkout")
    paths = [ROOT / name.decode() for name in listed.stdout.split(b"\0") if name]
    leaks = [path for path in paths if path.is_file() and found.search(path.read_bytes())]
    assert not [path for path in leaks if path.name != "test_upstream_defects.py"]
