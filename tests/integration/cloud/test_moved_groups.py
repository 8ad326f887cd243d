"""A machine gets another address: who finds the members of its groups then, and where."""

import pytest

from beethoven import start_node
from beethoven.node.control import NodeClient
from tests.integration.cloud.azure_nodes import Machines, interface
from tests.processes import wait_until

pytestmark = pytest.mark.process

# Of this file alone.
NET, OTHER = "127.85.1", "127.85.2"
SINGER = """
[roles.singer]
module = "tests.integration.cloud.moved_roles:Singer"
instances = 3
"""


@pytest.fixture
def azure(tmp_path):
    machines = Machines(tmp_path)
    yield machines
    machines.stop()


def ask(name, request):
    """Ask the singer of a node."""
    return NodeClient.find(name).call("singer", request)


def all_reach_all(names, song):
    """Have each sing; return whether everybody has reached all."""
    return all(ask(name, ("sing", f"{song} by {name}")) == len(names) for name in names)


def all_have_heard(names, song):
    songs = {f"{song} by {name}" for name in names}
    return all(set(ask(name, "heard")) >= songs for name in names)


def test_a_broadcast_reaches_the_members_of_a_node_that_has_moved(azure):
    places = {"a": f"{NET}.4", "b": f"{NET}.5", "c": f"{NET}.6"}
    for name, host in places.items():
        azure.machine(name, host)
        azure.node(name, SINGER)
    azure.wait_hosts(**places)
    azure.wait_runs("singer", *places)
    wait_until(lambda: all_reach_all(places, "rehearsal"), 30)
    pids = azure.pids("b", "singer")
    places["a"] = f"{OTHER}.4"
    azure.machines["a"].change(interfaces=[interface(places["a"])])
    azure.wait_hosts(**places)
    wait_until(lambda: all_reach_all(places, "performance"), 30)
    wait_until(lambda: all_have_heard(places, "performance"))
    for name, host in places.items():
        assert ask(name, "address") == f"{host}:{azure.port}"
        assert azure.status(name)["node"]["address"] == f"{host}:{azure.port}"
    # What runs on the node that has moved is told anew.
    wait_until(lambda: azure.pids("b", "singer") == pids, 30)


def test_a_program_knows_where_its_node_has_moved(azure, tmp_path):
    machine = azure.machine("a", f"{NET}.4")
    config = {"azure": {"endpoint": machine.endpoint}}
    options = {"timing": "fast", "use_az_net": True, "listener_port": azure.port}
    with start_node(config, log=tmp_path / "a.log", **options) as node:
        # Whose metadata came late has booted elsewhere, and follows them.
        wait_until(lambda: node.address == f"{NET}.4:{azure.port}", 30)
        machine.change(interfaces=[interface(f"{OTHER}.4")])
        moved = f"{OTHER}.4:{azure.port}"
        wait_until(lambda: node.address == moved, 30)
        wait_until(lambda: node.status()["node"]["address"] == moved, 30)
        assert moved in repr(node)
    assert node.address
