"""Real nodes on machines of a mocked Azure: where they stand, what follows, and when it changes."""

import os
import signal
import socket
from typing import Any

import psutil
import pytest

from beethoven import clock
from beethoven.testing import Fault, Interface, ProxyTrap
from scripts.ports import free_port
from tests.integration.cloud.azure_nodes import ECHO, Machines, interface
from tests.nodes import all_gone
from tests.processes import shortest, wait_until

pytestmark = pytest.mark.process

# Of this file alone; those before 4 and the last are kept by Azure.
NET, OTHER = "127.84.1", "127.84.2"
# Where nodes are if nobody says where they stand.
CONFIGURED = 'cluster_net = "127.84.9.0/29"\n'


@pytest.fixture
def azure(tmp_path):
    machines = Machines(tmp_path)
    yield machines
    machines.stop()


def test_a_node_boots_where_its_machine_stands_and_no_proxy_is_asked(azure):
    machine = azure.machine("a", f"{NET}.4")
    with ProxyTrap() as trap:
        node = azure.node("a", ECHO, env=trap.environment)
        assert azure.status("a")["node"]["address"] == f"{NET}.4:{azure.port}"
        assert azure.members("a") == {"a": (f"{NET}.4", "westeurope-1")}
        labels = azure.status("a")["members"][0]["labels"]
        assert set(labels) >= {
            "az.region=westeurope",
            "az.zone=1",
            "az.vm=web_a",
            "az.scale-set=web",
        }
        assert "azure" in azure.children("a")
        azure.wait_watched("a")
        assert azure.report("a")["site"]["machine"] == "web_a"
        assert node.lines("azure_unavailable") == []
        assert node.stop() == 0
    assert {each.headers.get("metadata") for each in machine.requests} == {"true"}


def test_who_does_not_ask_is_not_asked_for(azure):
    machine = azure.machine("a", f"{NET}.4")
    azure.node("a", CONFIGURED, azure=False)
    assert azure.hosts("a") == {"a": "127.84.9.1"}
    assert "azure" not in azure.children("a")
    assert machine.requests == ()


def booted_within(machines: Machines, name: str, endpoint: str, **options: Any) -> float:
    """Start a node, also anew; return how long it took to be up."""
    if name in machines.nodes:
        assert machines.nodes[name].stop() == 0
        machines.nodes[name].log_path.unlink()
    began = clock.monotonic()
    machines.node(name, CONFIGURED, endpoint, ready=False, **options).wait_for("node_started")
    return clock.monotonic() - began


@pytest.mark.parametrize(
    "fault",
    [None, Fault.HANG, Fault.DRIP, Fault.FAILING, Fault.GONE, Fault.PORTAL, Fault.ENDLESS],
    ids=str,
)
def test_off_azure_a_node_boots_nearly_as_fast_and_says_so_once(azure, fault):
    endpoint = f"http://{NET}.1:{free_port()}"
    if fault is not None:
        machine = azure.machine("a", f"{NET}.4")
        machine.inject(fault, count=None)
        endpoint = machine.endpoint
    # Half a second, and that the machine may be busier this time.
    limit = booted_within(azure, "z", endpoint, azure=False) + 0.5 + 1.5
    assert shortest(lambda: booted_within(azure, "a", endpoint), limit) < limit
    node = azure.nodes["a"]
    azure.wait_hosts(z="127.84.9.1", a="127.84.9.2")
    [line] = node.lines("azure_unavailable")
    assert line["searched"] == "127.84.9.0/29"
    assert line["endpoint"] == endpoint
    pids = node.everything()
    assert node.stop() == 0
    wait_until(lambda: all_gone(pids))


def test_nodes_find_each_other_through_their_subnet(azure):
    for name, last in (("a", 4), ("b", 5), ("c", 6)):
        azure.machine(name, f"{NET}.{last}")
    for name in ("a", "b", "c"):
        azure.node(name)
    azure.wait_hosts(a=f"{NET}.4", b=f"{NET}.5", c=f"{NET}.6")


def test_all_subnets_of_the_interface_are_searched(azure):
    subnets = (f"{NET}.0/29", f"{OTHER}.0/29")
    azure.machine("a", f"{NET}.4", interfaces=[Interface("0" * 12, (f"{NET}.4",), subnets)])
    azure.machine("b", f"{OTHER}.4")
    azure.node("b")
    azure.node("a")
    azure.wait_hosts(a=f"{NET}.4", b=f"{OTHER}.4")


def test_what_is_set_counts_more(azure):
    azure.machine("a", f"{NET}.4")
    azure.node("a", 'bind = "127.84.9.7"\nzone = "rack"\nlabels = ["ssd"]\n')
    assert azure.members("a") == {"a": ("127.84.9.7", "rack")}
    wanted = {"ssd", "az.vm=web_a"}
    wait_until(lambda: any(wanted <= set(each["labels"]) for each in azure.told("a")), 30)


def test_the_chosen_interface_counts(azure):
    azure.machine("a", f"{NET}.4", interfaces=[interface(f"{NET}.4"), interface(f"{OTHER}.4")])
    azure.node("a", env={"BEETHOVEN_AZURE__INTERFACE": f"{OTHER}.4"})
    # Whose metadata came late has booted elsewhere, and follows them.
    azure.wait_hosts(a=f"{OTHER}.4")


def test_beyond_loopback_a_node_that_was_given_no_cookie_does_not_start(azure):
    azure.machine(
        "a", f"{NET}.4", interfaces=[Interface("0" * 12, ("10.3.0.4",), ("10.3.0.0/28",))]
    )
    node = azure.node("a", ready=False)
    assert node.wait() == 3
    assert "beethoven.cookie_file: expected a cookie, because 10.3.0.0/28 reaches" in node.log()


def test_roles_go_where_the_labels_of_their_machines_say(azure):
    role = (
        '[roles.echo]\nmodule = "beethoven.roles:TestRole"\nrequires = ["az.region=northeurope"]\n'
    )
    azure.machine("a", f"{NET}.4")
    azure.machine("b", f"{NET}.5", region="northeurope")
    for name in ("a", "b"):
        azure.node(name, role)
    azure.wait_runs("echo", "b")


def test_instances_are_spread_over_the_zones_of_azure(azure):
    places = {"a": (4, "1"), "c": (6, "2"), "b": (5, "1"), "d": (7, "2")}
    for name, (last, zone) in places.items():
        azure.machine(name, f"{NET}.{last}", zone=zone, interfaces=[interface(f"{NET}.{last}", 28)])
        azure.node(name, f"{ECHO}instances = 2\n")
        if name == "c":
            azure.wait_runs("echo", "a", "c")
    wait_until(lambda: len(azure.hosts("a")) == 4, 30)
    node = azure.nodes.pop("c")
    pids = node.kill()
    wait_until(lambda: all_gone(pids))
    azure.wait_runs("echo", "a", "d")


def test_metadata_that_comes_late_is_followed_without_a_restart(azure):
    azure.machine("b", f"{NET}.5")
    azure.node("b", f"{ECHO}instances = 2\n")
    machine = azure.machine("a", f"{NET}.4")
    machine.inject(Fault.FAILING, count=None)
    node = azure.node("a", f"{CONFIGURED}{ECHO}instances = 2\n")
    node.wait_for("azure_unavailable")
    wait_until(lambda: "a" in azure.pids("a"), 30)
    pids, root = azure.pids("a")["a"], node.pid
    machine.clear_faults()
    azure.wait_hosts(a=f"{NET}.4", b=f"{NET}.5")
    azure.wait_runs("echo", "a", "b")
    assert azure.pids("a")["a"] == pids
    assert azure.status("a")["node"]["address"] == f"{NET}.4:{azure.port}"
    assert azure.status("a")["node"]["pid"] == root == node.pid
    assert azure.members("b")["a"] == (f"{NET}.4", "westeurope-1")
    assert len(node.lines("azure_unavailable")) == 1
    assert len(node.lines("node_moved")) == 1


def test_a_subnet_that_has_moved_is_followed_without_a_restart(azure):
    for name, last in (("a", 4), ("b", 5)):
        azure.machine(name, f"{NET}.{last}")
        azure.node(name, f"{ECHO}instances = 2\n")
    azure.wait_hosts(a=f"{NET}.4", b=f"{NET}.5")
    azure.wait_runs("echo", "a", "b")
    pids = azure.pids("a")
    azure.machines["a"].change(interfaces=[interface(f"{OTHER}.4")])
    azure.machines["b"].change(interfaces=[interface(f"{OTHER}.5")])
    azure.nodes["a"].wait_for("node_moved", address=f"{OTHER}.4:{azure.port}")
    azure.nodes["b"].wait_for("node_moved", address=f"{OTHER}.5:{azure.port}")
    azure.wait_hosts(a=f"{OTHER}.4", b=f"{OTHER}.5")
    # What runs on the other node is told anew to a core server that has begun anew.
    wait_until(lambda: azure.pids("a") == azure.pids("b") == pids, 30)
    for name in ("a", "b"):
        assert azure.nodes[name].lines("node_down") == []
        assert azure.nodes[name].lines("role_stopping") == []
    azure.machine("c", f"{OTHER}.6")
    azure.node("c")
    azure.wait_hosts(a=f"{OTHER}.4", b=f"{OTHER}.5", c=f"{OTHER}.6")


def test_other_labels_are_told_to_the_others(azure):
    role = '[roles.echo]\nmodule = "beethoven.roles:TestRole"\nrequires = ["az.zone=3"]\n'
    for name, last in (("a", 4), ("b", 5)):
        azure.machine(name, f"{NET}.{last}")
        azure.node(name, role)
    azure.wait_hosts(a=f"{NET}.4", b=f"{NET}.5")
    azure.machines["b"].change(compute={"zone": "3"})
    wait_until(lambda: azure.members("a").get("b") == (f"{NET}.5", "westeurope-3"), 30)
    azure.wait_runs("echo", "b")


def test_a_node_that_cannot_listen_where_it_should_stays_where_it_is(azure):
    machine = azure.machine("a", f"{NET}.4")
    node = azure.node("a")
    with socket.create_server((f"{OTHER}.4", azure.port)):
        machine.change(interfaces=[interface(f"{OTHER}.4")])
        assert "listens on" in node.wait_for("site_not_followed")["cause"]
        assert azure.hosts("a") == {"a": f"{NET}.4"}
        assert "listens on" in azure.report("a")["problem"]


def test_a_watcher_that_is_killed_has_a_successor_that_asks_and_tells_again(azure):
    machine = azure.machine("a", f"{NET}.4")
    azure.node("a")
    azure.wait_watched("a")
    for _ in range(2):
        watcher, asked = azure.component("a", "azure"), len(machine.requests)
        os.kill(watcher, signal.SIGKILL)
        machine.wait_for_requests(asked + 2)
        azure.nodes["a"].wait_for("child_terminated", child="azure", child_pid=watcher)
        azure.wait_watched("a")
    machine.change(interfaces=[interface(f"{OTHER}.4")])
    wait_until(lambda: azure.hosts("a") == {"a": f"{OTHER}.4"}, 30)
    os.kill(azure.component("a", "locator"), signal.SIGKILL)
    azure.machine("b", f"{OTHER}.5")
    azure.node("b")
    azure.wait_hosts(a=f"{OTHER}.4", b=f"{OTHER}.5")


def test_a_node_whose_questions_hang_stops_as_fast_as_any(azure):
    machine = azure.machine("a", f"{NET}.4")
    machine.inject(Fault.HANG, path="/metadata/scheduledevents", count=None)
    node = azure.node("a")
    machine.wait_for_requests(path="/metadata/scheduledevents")
    pids = node.everything()
    assert node.stop() == 0
    wait_until(lambda: all_gone(pids))


def test_nothing_is_left_open_after_a_move(azure):
    machine = azure.machine("a", f"{NET}.4")
    node = azure.node("a")
    azure.wait_watched("a")
    for net in (OTHER, NET, OTHER):
        machine.change(interfaces=[interface(f"{net}.4")])
        # Its successor looks at once.
        os.kill(azure.component("a", "azure"), signal.SIGKILL)
        azure.wait_hosts(a=f"{net}.4")
    listening = [
        each.laddr.ip
        for each in psutil.Process(node.pid).net_connections("tcp")
        if each.status == psutil.CONN_LISTEN
    ]
    assert sorted(listening) == [f"{NET}.4", f"{OTHER}.4"], "the former one for a while, no more"
    pids = node.kill()
    wait_until(lambda: all_gone(pids))
