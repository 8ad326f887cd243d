"""Nodes of one cluster, each with a file of its own."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

from beethoven.errors import BeethovenError
from beethoven.node.control import NodeClient
from scripts.ports import free_port
from tests.nodes import Node, write
from tests.processes import wait_until

HERE = Path(__file__).parent
FAST = "[beethoven]\ntiming = 'fast'\ncluster_net_mask = 28\nrebalance = false\n"


class Apart:
    """Starts nodes by name, and says what they run."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.nodes = {}

    def start(self, **files):
        """Start a node for each name, with its part of a configuration; wait until they meet."""
        for name, toml in files.items():
            config = write(self.folder, FAST + toml, f"{name}.toml")
            variables = {"PYTHONPATH": str(HERE), "BEETHOVEN_LISTENER_PORT": str(self.port)}
            self.nodes[name] = Node(config, "--name", name, env=variables)
        for name in files:
            self.nodes[name].wait_for("node_started", node=name)
        wait_until(lambda: all(len(self.members(name)) == len(self.nodes) for name in files), 60)

    def members(self, name):
        with contextlib.suppress(BeethovenError):
            told = NodeClient.find(name).status()["members"]
            return [each["name"] for each in told if each["state"] == "alive"]
        return []

    def runs(self, role, name):
        """Return on which nodes a role runs, as one node tells it."""
        with contextlib.suppress(BeethovenError):
            roles = {each["name"]: each for each in NodeClient.find(name).status()["roles"]}
            found = roles.get(role, {"instances": []})["instances"]
            return sorted(each["node"] for each in found if each["state"] == "running")
        return []

    def wait_runs(self, role, *where):
        """Return once all nodes that live see a role run there."""
        wait_until(
            lambda: all(self.runs(role, name) == sorted(where) for name in self.living()), 60
        )

    def living(self):
        return [name for name, node in self.nodes.items() if node.process.poll() is None]

    def address(self, name):
        return NodeClient.find(name).presence.address

    def kill(self, name):
        self.nodes[name].process.kill()
        self.nodes[name].process.wait()

    def stop(self):
        for node in self.nodes.values():
            with contextlib.suppress(ProcessLookupError):
                node.process.send_signal(signal.SIGCONT)
            node.process.terminate()
        for node in self.nodes.values():
            try:
                node.process.wait(30)
            except subprocess.TimeoutExpired:
                node.process.kill()
                node.process.wait()
        # What a killed node leaves behind is removed by the next one of its name.
        for path in Path(os.environ["BEETHOVEN_RUNTIME_DIR"]).glob("node-*"):
            path.unlink()


def role(name, instances=1, kind="Clerk", **args):
    """Return the configuration of a role."""
    given = ", ".join(f'{key} = "{value}"' for key, value in args.items())
    return f"""
[roles.{name}]
module = "calling_roles:{kind}"
args = {{ {given} }}
instances = {instances}
"""
