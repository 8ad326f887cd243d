"""From the metadata service of a mocked Azure to roles that run elsewhere, and back."""

import os
import signal
from pathlib import Path

import pytest

from tests.cluster.cloud import cordon_roles
from tests.integration.cloud.azure_nodes import ECHO, Machines
from tests.nodes import all_gone
from tests.processes import is_running, wait_until

pytestmark = pytest.mark.process

# Of this file alone.
NET = "127.84.3"
ROLES = Path(cordon_roles.__file__).parent
# The name is that of the role for which `azure_nodes` looks.
STUBBORN = "drain_timeout = 6\n[roles.echo]\nmodule = 'cordon_roles:Stubborn'\nshutdown = '1h'\n"


@pytest.fixture
def azure(tmp_path):
    machines = Machines(tmp_path)
    yield machines
    machines.stop()


@pytest.fixture
def two(azure):
    """Two nodes of which one runs the role; return the name of that, and of the other."""
    return begin(azure, ECHO)


def begin(azure, toml):
    for name, last in (("a", 4), ("b", 5)):
        azure.machine(name, f"{NET}.{last}")
        azure.node(name, f"rebalance = false\n{toml}", env={"PYTHONPATH": str(ROLES)})
    azure.wait_hosts(a=f"{NET}.4", b=f"{NET}.5")
    wait_until(lambda: len(azure.pids("a")) == 1 and azure.pids("a") == azure.pids("b"), 30)
    for name in ("a", "b"):
        azure.wait_watched(name)
    [runs] = azure.pids("a")
    return runs, "b" if runs == "a" else "a"


def test_a_preempted_node_hands_over_lingers_and_leaves_before_its_time(azure, two):
    runs, other = two
    node = azure.nodes[runs]
    azure.fabric.announce("Preempt", f"web_{runs}", notice=20.0)
    wait_until(lambda: list(azure.pids(other)) == [other], 12.0)
    assert node.process.poll() is None, "it lingers"
    assert node.wait(30.0) == 0
    wait_until(lambda: list(azure.hosts(other)) == [other])
    assert azure.fabric.approvals == ()
    assert len(node.lines("notice_received")) == 1


@pytest.mark.parametrize("notice", [2.0, 0.0])
def test_without_time_it_leaves_at_once(azure, two, notice):
    runs, other = two
    azure.machines[runs].machine.processes = azure.nodes[runs].everything
    pids = azure.nodes[runs].everything()
    # Nobody clears away what lies in the folder of a node all of whose processes were killed.
    azure.fabric.announce("Preempt", f"web_{runs}", notice=notice, evicted_after=30.0)
    wait_until(lambda: list(azure.pids(other)) == [other], 20.0)
    assert azure.nodes[runs].wait(20.0) == 0
    wait_until(lambda: all_gone(pids))


def is_cordoned(azure, name):
    """Return whether the watcher of a node has cordoned it; None if that is not known."""
    return (azure.report(name)["outlook"] or {}).get("is_cordoned")


def test_a_notice_that_is_taken_back_uncordons_though_the_watcher_was_killed(azure, two):
    runs, other = two
    event = azure.fabric.announce("Preempt", f"web_{runs}", notice=60.0)
    wait_until(lambda: list(azure.pids(other)) == [other])
    os.kill(azure.component(runs, "azure"), signal.SIGKILL)
    wait_until(lambda: is_cordoned(azure, runs), 30)
    azure.fabric.cancel(event)
    wait_until(lambda: is_cordoned(azure, runs) is False, 30)
    azure.nodes[runs].wait_for("node_uncordoned")
    node = azure.nodes.pop(other)
    node.kill()
    wait_until(lambda: list(azure.pids(runs)) == [runs], 30)


def test_an_empty_node_acknowledges_a_reboot_of_its_own_machine_alone(azure, two):
    runs, other = two
    both = azure.fabric.announce("Reboot", "web_a", "web_b", notice=600.0)
    azure.fabric.cancel(both)
    event = azure.fabric.announce("Reboot", f"web_{runs}", notice=600.0)
    wait_until(lambda: azure.fabric.approvals, 20.0)
    # The other node may hear of it later.
    assert runs not in azure.pids(runs)
    wait_until(lambda: list(azure.pids(other)) == [other])
    [approval] = azure.fabric.approvals
    assert approval.by == f"web_{runs}"
    assert event in str(approval)
    assert azure.nodes[runs].wait(30.0) == 0


def stop(node):
    node.process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("order", ["notice, stop, stop", "stop, notice"])
def test_what_does_not_stop_is_killed_though_the_node_is_told_to_stop(azure, order):
    runs, other = begin(azure, STUBBORN)
    node, former = azure.nodes[runs], azure.pids(runs)[runs]
    if order == "stop, notice":
        stop(node)
        node.wait_for("role_stopping", role="echo")
        azure.fabric.announce("Preempt", f"web_{runs}", notice=9.0)
    else:
        azure.fabric.announce("Preempt", f"web_{runs}", notice=60.0)
        # The other node may read of it first, and have the role.
        node.wait_for("node_cordoned", node=runs)
        node.wait_for("role_stopping", role="echo")
        stop(node)
        node.wait_for("node_leaving", node=runs)
        stop(node)
    wait_until(lambda: other in azure.pids(other), 30.0)
    # In good order it would take an hour; the node goes 0.8 s after it is to be killed.
    wait_until(lambda: not is_running(former))
    assert node.wait(20.0) == 0
    azure.nodes.pop(other).kill()
