"""What a role is told of the cluster, and what it takes along when it moves."""

import contextlib
import json
import os
import signal
from pathlib import Path

import pytest

from beethoven.errors import BeethovenError, NoProcess, RoleNotRunning
from beethoven.node.control import NodeClient
from tests.nodes import Node, write
from tests.processes import wait_until

pytestmark = pytest.mark.process

HERE = Path(__file__).parent
FAST = "[beethoven]\ntiming = 'fast'\ncluster_net_mask = 28\n"


@pytest.fixture
def nodes(tmp_path):
    """Starts nodes of one file, each with a name, and stops them."""
    started = {}

    def start(toml, *names, **variables):
        config = write(tmp_path, FAST + toml)
        environment = {"PYTHONPATH": str(HERE), **variables}
        for name in names:
            node = Node(config, "--name", name, env=environment)
            # All share one log file.
            started[name] = node
            node.wait_for("node_started", node=name)
        return started

    yield start
    for node in started.values():
        node.process.send_signal(signal.SIGCONT)
        node.process.terminate()
    for node in started.values():
        node.process.wait(30)
    # What a killed node leaves behind is removed by the next one of its name.
    for path in Path(os.environ["BEETHOVEN_RUNTIME_DIR"]).iterdir():
        if path.name.startswith("node-"):
            path.unlink()


def instances(name, role):
    """Return where a role runs, as one node tells it; nowhere if it does not tell."""
    with contextlib.suppress(BeethovenError):
        roles = {each["name"]: each for each in NodeClient.find(name).status()["roles"]}
        found = roles[role]["instances"]
        return sorted(each["node"] for each in found if each["state"] == "running")
    return []


def is_replaced(node, process, former):
    """Return whether another process holds a name than before."""
    with contextlib.suppress(NoProcess):
        return NodeClient.find(node).process(process) != former
    return False


def events(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def told(path, event, name):
    return any(each["event"] == event and each.get("name") == name for each in events(path))


def diary(tmp_path, count):
    return f"""
[roles.diary]
module = "cluster_roles:Diarist"
args = {{ folder = "{tmp_path}" }}
instances = {count}
"""


def test_a_role_knows_its_slot_its_token_and_the_members(nodes, tmp_path):
    nodes(diary(tmp_path, 2), "one", "two")
    paths = [tmp_path / "diary-one", tmp_path / "diary-two"]
    wait_until(lambda: all(len(events(path)) >= 2 for path in paths), 30)
    contexts = [events(path)[0] for path in paths]
    assert sorted(context["slot"] for context in contexts) == [0, 1]
    assert all(context["token"][0] >= 1 for context in contexts)
    wait_until(lambda: told(paths[0], "up", "two") and told(paths[1], "up", "one"), 30)


def test_a_role_is_told_when_a_node_is_killed_and_when_one_leaves(nodes, tmp_path):
    started = nodes(diary(tmp_path, 1), "one", "two", "three")
    wait_until(lambda: len(list(tmp_path.glob("diary-*"))) == 1, 30)
    (path,) = tmp_path.glob("diary-*")
    mine = path.name.removeprefix("diary-")
    first, second = (name for name in started if name != mine)
    wait_until(lambda: told(path, "up", first) and told(path, "up", second), 30)
    os.kill(started[first].pid, signal.SIGKILL)
    wait_until(lambda: told(path, "down", first), 30)
    started[second].process.terminate()
    wait_until(lambda: told(path, "left", second), 30)
    assert not told(path, "down", second)


def test_d12_watchers_are_told_also_after_the_core_server_was_killed(nodes, tmp_path):
    started = nodes(diary(tmp_path, 1), "one", "two")
    wait_until(lambda: len(list(tmp_path.glob("diary-*"))) == 1, 30)
    (path,) = tmp_path.glob("diary-*")
    mine = path.name.removeprefix("diary-")
    (other,) = (name for name in started if name != mine)
    wait_until(lambda: told(path, "up", other), 30)
    core = NodeClient.find(mine).process("beethoven.core_server")
    os.kill(core.pid, signal.SIGKILL)
    wait_until(lambda: is_replaced(mine, "beethoven.core_server", core), 30)
    os.kill(started[other].pid, signal.SIGKILL)
    wait_until(lambda: told(path, "down", other), 30)
    assert [each for each in events(path) if each["event"] == "up"] == [
        {"event": "up", "name": other}
    ]


def test_the_least_busy_node_is_one_that_is_there(nodes, tmp_path):
    nodes(diary(tmp_path, 1), "one", "two")
    wait_until(lambda: instances("one", "diary") != [], 30)
    (where,) = instances("one", "diary")
    client = NodeClient.find(where)
    wait_until(lambda: sorted(client.call("diary", "list")) == ["one", "two"], 30)
    assert client.call("diary", "allocate") in {"one", "two"}


@pytest.mark.parametrize("role", ["Tally", "AsyncTally"])
def test_a_role_takes_its_state_along_when_its_node_is_drained(nodes, tmp_path, role):
    started = nodes(f'[roles.tally]\nmodule = "cluster_roles:{role}"\n', "one", "two")
    wait_until(lambda: instances("one", "tally") != [], 30)
    (where,) = instances("one", "tally")
    (other,) = (name for name in started if name != where)
    for expected in (1, 2, 3):
        assert NodeClient.find(where).call("tally", "count") == expected
    wait_until(lambda: len(NodeClient.find(other).status()["members"]) == 2, 30)
    NodeClient.find(other).drain(where)
    wait_until(lambda: instances(other, "tally") == [other], 30)
    assert NodeClient.find(other).call("tally", "look") == 3
    assert started[where].process.wait(30) == 0


def test_a_role_that_crashes_does_not_get_back_the_state_that_it_came_with(nodes, tmp_path):
    started = nodes('[roles.tally]\nmodule = "cluster_roles:Tally"\n', "one", "two")
    wait_until(lambda: instances("one", "tally") != [], 30)
    (where,) = instances("one", "tally")
    (other,) = (name for name in started if name != where)
    assert NodeClient.find(where).call("tally", "count") == 1
    wait_until(lambda: len(NodeClient.find(other).status()["members"]) == 2, 30)
    started[where].process.terminate()
    wait_until(lambda: instances(other, "tally") == [other], 30)
    client = NodeClient.find(other)
    first = client.process("tally")
    assert client.call("tally", "look") == 1
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: is_replaced(other, "tally", first), 30)
    assert client.call("tally", "look") == 0


def test_instances_that_come_from_two_clusters_get_different_slots_and_run_on(nodes, tmp_path):
    nodes(diary(tmp_path, 2), "one", BEETHOVEN_CLUSTER_NET="127.0.0.1/32")
    nodes(diary(tmp_path, 2), "two", BEETHOVEN_CLUSTER_NET="127.0.0.2/32")
    clients = [NodeClient.find(name) for name in ("one", "two")]
    wait_until(lambda: all(instances(name, "diary") == [name] for name in ("one", "two")), 30)
    assert [client.call("diary", "slot") for client in clients] == [0, 0]
    before = [client.process("diary") for client in clients]
    # The third one finds both, and they learn of each other from it.
    nodes(diary(tmp_path, 2), "three", BEETHOVEN_CLUSTER_NET="127.0.0.0/29")
    wait_until(lambda: len(instances("one", "diary")) == 2, 30)
    wait_until(lambda: sorted(client.call("diary", "slot") for client in clients) == [0, 1], 30)
    assert [client.process("diary") for client in clients] == before


def test_a_role_is_not_restarted_on_a_node_that_does_not_have_it(nodes, tmp_path):
    started = nodes(diary(tmp_path, 1), "one", "two")
    wait_until(lambda: instances("one", "diary") != [], 30)
    (where,) = instances("one", "diary")
    (other,) = (name for name in started if name != where)
    wait_until(lambda: instances(other, "diary") == [where], 30)
    with pytest.raises(RoleNotRunning, match=f"no instance on node '{other}', but on {where}"):
        NodeClient.find(other).restart("diary")
