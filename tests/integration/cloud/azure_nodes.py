"""Nodes on machines of a mocked Azure: one metadata service for each, on loopback."""

import contextlib
import os
import subprocess
from pathlib import Path

from beethoven.errors import BeethovenError
from beethoven.node.control import NodeClient
from beethoven.testing import AzureFabric, AzureMetadata, Interface
from scripts.ports import free_port
from tests.nodes import Node, write
from tests.processes import wait_until

ECHO = """
[roles.echo]
module = "beethoven.roles:TestRole"
args = { greeting = "hi" }
"""


def interface(address, prefix=29):
    """Return the interface of a machine: one address, and the small subnet around it."""
    whole = [int(each) for each in address.split(".")]
    first = whole[3] - whole[3] % 2 ** (32 - prefix)
    subnet = ".".join(map(str, [*whole[:3], first]))
    return Interface(
        f"000D3A{whole[1]:02X}{whole[2]:02X}{whole[3]:02X}", (address,), (f"{subnet}/{prefix}",)
    )


class Machines:
    """Starts machines by name, and nodes of one cluster on them."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.fabric = AzureFabric()
        self.nodes = {}
        self.machines = {}

    def machine(self, name, address, **options):
        """Start the metadata service of a machine; return it."""
        options = {"interfaces": [interface(address)], **options}
        made = AzureMetadata(address, name=f"web_{name}", fabric=self.fabric, **options)
        self.machines[name] = made
        return made

    def node(self, name, toml="", endpoint=None, env=None, ready=True, azure=True):
        """Start a node on its machine; return it once it can be asked."""
        endpoint = endpoint or self.machines[name].endpoint
        head = f'[azure]\nendpoint = "{endpoint}"\n[beethoven]\ntiming = "fast"\n'
        head += "use_az_net = true\n" if azure else ""
        config = write(self.folder, head + toml, f"{name}.toml")
        variables = {"BEETHOVEN_LISTENER_PORT": str(self.port), **(env or {})}
        node = self.nodes[name] = Node(config, "--name", name, env=variables)
        if ready:
            node.wait_for("node_started", node=name)
            wait_until(lambda: name in self.members(name), 30)
        return node

    def status(self, name):
        with contextlib.suppress(BeethovenError):
            return NodeClient.find(name).status()
        return {"node": {}, "members": [], "roles": []}

    def told(self, name):
        """Return what a node tells of all that live in its eyes."""
        return [each for each in self.status(name)["members"] if each["state"] == "alive"]

    def members(self, name):
        """Return `{name: (host, zone)}` of all that live in the eyes of a node."""
        return {
            each["name"]: (each["address"].partition(":")[0], each["zone"])
            for each in self.told(name)
        }

    def hosts(self, name):
        return {key: host for key, (host, _) in self.members(name).items()}

    def wait_hosts(self, **hosts):
        """Return once each of these nodes sees all of them, and nobody else, at these hosts."""
        wait_until(lambda: all(self.hosts(name) == hosts for name in hosts), 30)

    def pids(self, name, role="echo"):
        """Return the pids of the instances of a role, by node, as one node tells it."""
        roles = {each["name"]: each["instances"] for each in self.status(name)["roles"]}
        running = (each for each in roles.get(role, []) if each["state"] == "running")
        return {each["node"]: each["pid"] for each in running}

    def wait_runs(self, role, *where):
        """Return once all nodes see a role run there, and nowhere else."""
        wanted = sorted(where)
        wait_until(lambda: all(sorted(self.pids(name, role)) == wanted for name in self.nodes), 30)

    def component(self, name, part):
        """Return the pid of a part of a node; those that must follow a move begin anew."""
        found = []

        def is_there():
            with contextlib.suppress(BeethovenError):
                found.append(NodeClient.find(name).process(f"beethoven.{part}").pid)
            return found

        wait_until(is_there)
        return found[0]

    def report(self, name):
        """Return what the watcher of a node knows."""
        with contextlib.suppress(BeethovenError):
            return NodeClient.find(name).process("beethoven.azure").call("report")
        return {"site": None, "outlook": None}

    def wait_watched(self, name):
        """Return once the watcher of a node has read the notices."""
        wait_until(lambda: self.report(name)["outlook"] is not None, 30)

    def children(self, name):
        return {each["id"] for each in NodeClient.find(name).tree()["children"]}

    def stop(self):
        for machine in self.machines.values():
            machine.close()
        self.fabric.close()
        for node in self.nodes.values():
            node.process.terminate()
        for node in self.nodes.values():
            try:
                node.process.wait(30)
            except subprocess.TimeoutExpired:
                node.process.kill()
                node.process.wait()
        for path in Path(os.environ["BEETHOVEN_RUNTIME_DIR"]).glob("node-*"):
            path.unlink()
