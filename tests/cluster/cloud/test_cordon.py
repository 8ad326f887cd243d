"""Real nodes that are told what lies ahead of them: they hand over, or leave at once."""

import os
import signal
from pathlib import Path

import pytest

from beethoven import clock
from beethoven.cloud.outlook import CALM, Outlook
from beethoven.errors import BeethovenError
from beethoven.node.component_names import CORE_SERVER
from beethoven.node.control import NodeClient
from tests.nodes import Node, write
from tests.processes import wait_until

pytestmark = pytest.mark.process

HERE = Path(__file__).parent
PATIENCE = 30.0
FAST = "[beethoven]\ntiming = 'fast'\ncluster_net_mask = 28\nrebalance = false\n"
ECHO = "[roles.echo]\nmodule = 'beethoven.roles:TestRole'\nargs = { greeting = 'hi' }\n"
STUBBORN = "[roles.stubborn]\nmodule = 'cordon_roles:Stubborn'\nshutdown = '1h'\n"
THOUGHTFUL = "[roles.thoughtful]\nmodule = 'cordon_roles:Thoughtful'\nshutdown = '1h'\n"


@pytest.fixture
def nodes(tmp_path):
    """Starts two nodes of one file, and stops what is left of them."""
    started: dict[str, Node] = {}

    def start(toml):
        config = write(tmp_path, FAST + toml)
        for name in ("one", "two"):
            started[name] = Node(config, "--name", name, env={"PYTHONPATH": str(HERE)})
            started[name].wait_for("node_started", node=name)
        wait_until(
            lambda: states("one") == states("two") == {"one": "alive", "two": "alive"}, PATIENCE
        )
        return started

    yield start
    for node in started.values():
        node.process.terminate()
    for node in started.values():
        node.process.wait(PATIENCE)
    # What a killed node leaves behind is removed by the next one of its name.
    for path in Path(os.environ["BEETHOVEN_RUNTIME_DIR"]).iterdir():
        if path.name.startswith("node-"):
            path.unlink()


def status(name):
    """Return what a node tells; nothing while it cannot, for it begins or is busy."""
    try:
        return NodeClient.find(name).status(PATIENCE)
    except BeethovenError:
        return {"members": [], "roles": []}


def states(name):
    return {each["name"]: each["state"] for each in status(name)["members"]}


def where(name, role):
    """Return where a role runs, as one node tells it."""
    roles = {each["name"]: each["instances"] for each in status(name)["roles"]}
    return sorted(each["node"] for each in roles.get(role, ()) if each["state"] == "running")


def foretell(name, outlook):
    NodeClient.find(name).process(CORE_SERVER).cast(("outlook", outlook))


def cordon(seconds):
    return Outlook(is_cordoned=True, hand_over_until=clock.elapsed() + seconds, why="a test")


def placed(role):
    """Return the node that runs a role, and the other, once both know."""
    wait_until(
        lambda: len(where("one", role)) == 1 and where("one", role) == where("two", role), 30
    )
    [here] = where("one", role)
    return here, ({"one", "two"} - {here}).pop()


def why(teller, role, node):
    told = {each["node"]: each["why"] for each in NodeClient.find(teller).explain(role)["nodes"]}
    return told[node]


def test_what_a_cordoned_node_runs_moves_and_comes_back_only_if_it_must(nodes):
    started = nodes(ECHO)
    here, there = placed("echo")
    foretell(here, cordon(10.0))
    wait_until(lambda: where(there, "echo") == [there], PATIENCE)
    wait_until(lambda: states(there)[here] == "cordoned", PATIENCE)
    assert "cordoned" in why(there, "echo", here)
    assert started[here].wait_for("node_cordoned", node=here)["why"] == "a test"
    foretell(there, cordon(10.0))
    wait_until(lambda: set(states(there).values()) == {"cordoned"}, PATIENCE)
    assert why(there, "echo", there).endswith("; the node is cordoned, but no other can take it")
    foretell(here, CALM)
    wait_until(lambda: where(there, "echo") == [here], PATIENCE)
    foretell(there, CALM)
    wait_until(lambda: set(states(there).values()) == {"alive"}, PATIENCE)
    assert where(there, "echo") == [here]


def test_a_risk_and_the_doom_of_a_machine_that_is_no_node_move_nothing(nodes):
    started = nodes(ECHO)
    here, there = placed("echo")
    foretell(there, Outlook(doomed=frozenset({"web_1"})))
    foretell(here, Outlook(is_at_risk=True))
    assert set(states(there).values()) == {"alive"}
    foretell(here, cordon(10.0))
    wait_until(lambda: where(there, "echo") == [there], PATIENCE)
    # What had moved before would have been started more often.
    started[here].wait_for("role_starting", role="echo", count=2)
    assert len(started[here].lines("role_starting", role="echo")) == 2


def test_what_does_not_stop_in_time_is_killed(nodes):
    started = nodes(STUBBORN)
    here, there = placed("stubborn")
    former = NodeClient.find(here).process("stubborn")
    foretell(here, cordon(1.0))
    wait_until(lambda: where(there, "stubborn") == [there], PATIENCE)
    assert not former.is_alive()
    assert started[here].wait_for("role_hurried", role="stubborn")
    # In good order the other one would take an hour, and then this one as well.
    started[here].process.terminate()
    assert started[here].process.wait(PATIENCE) == 0
    started[there].kill()


@pytest.mark.parametrize("role", ["echo", "stubborn", "thoughtful"])
def test_who_is_to_leave_at_once_does_so_when_all_that_it_ran_has_ended(nodes, role):
    started = nodes({"echo": ECHO, "stubborn": STUBBORN, "thoughtful": THOUGHTFUL}[role])
    here, there = placed(role)
    former = NodeClient.find(here).process(role)
    now = clock.elapsed()
    foretell(here, Outlook(is_cordoned=True, hand_over_until=now, is_leaving=True, why="a test"))
    wait_until(lambda: where(there, role) == [there], PATIENCE)
    assert not former.is_alive()
    assert started[here].process.wait(PATIENCE) == 0
    wait_until(lambda: states(there)[here] == "left", PATIENCE)
    # In good order a stubborn one would take an hour.
    started[there].kill()


@pytest.mark.parametrize("part", ["role_server", "core_server"])
def test_it_does_so_though_a_part_of_it_dies_meanwhile(nodes, part):
    started = nodes(THOUGHTFUL)
    here, there = placed("thoughtful")
    client = NodeClient.find(here)
    former, now = client.process("thoughtful"), clock.elapsed()
    foretell(here, Outlook(is_cordoned=True, hand_over_until=now, is_leaving=True, why="a test"))
    started[here].wait_for("node_departing", node=here)
    os.kill(client.process(f"beethoven.{part}").pid, signal.SIGKILL)
    wait_until(lambda: where(there, "thoughtful") == [there], PATIENCE)
    assert not former.is_alive()
    assert started[here].process.wait(PATIENCE) == 0
    started[there].kill()


def test_a_hand_over_that_is_to_end_does_so_though_the_node_is_told_to_stop(nodes):
    # Only a node that may be told so leaves its core server the time to wait for it.
    azure = "[azure]\nendpoint = 'http://127.0.0.1:9'\n"
    started = nodes(f"use_az_net = true\ndrain_timeout = '2s'\n{azure}{STUBBORN}")
    here, there = placed("stubborn")
    former, until = NodeClient.find(here).process("stubborn"), clock.elapsed() + 3.0
    outlook = Outlook(is_cordoned=True, hand_over_until=until, leave_at=until, why="a test")
    foretell(here, outlook)
    started[here].process.send_signal(signal.SIGTERM)
    wait_until(lambda: where(there, "stubborn") == [there], PATIENCE)
    assert not former.is_alive()
    assert started[here].process.wait(PATIENCE) == 0
    started[there].kill()


def test_a_cordoned_node_is_drained_as_any_other(nodes):
    started = nodes(ECHO)
    here, there = placed("echo")
    foretell(here, cordon(10.0))
    wait_until(lambda: where(there, "echo") == [there], PATIENCE)
    started[here].process.send_signal(signal.SIGTERM)
    assert started[here].process.wait(PATIENCE) == 0
    wait_until(lambda: states(there)[here] == "left", PATIENCE)
