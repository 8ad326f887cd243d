"""A role is called by its name, wherever it runs, and wherever it has moved to."""

from typing import Any

from ensemble import Ensemble, say

from beethoven import Caller, NodeUp, Role

ROLES = """
[roles.archive]
module = "example:Archive"
instances = 1

[roles.reader]
module = "example:Reader"
instances = 2
"""


class Archive(Role):
    watches_nodes = True

    def init(self, args: Any) -> None:
        say(f"{self.node.name} keeps the archive")

    def handle_call(self, request: Any, caller: Caller) -> Any:
        return f"{request}, from {self.node.name}"

    def handle_info(self, message: Any) -> None:
        match message:
            case NodeUp(member):
                say(f"{self.node.name} sees {member.name}")


class Reader(Role):
    def handle_call(self, request: Any, caller: Caller) -> Any:
        return f"{self.node.name} reads {self.node.call('archive', request)}"


if __name__ == "__main__":
    with Ensemble(ROLES) as ensemble:
        ensemble.start("clara")
        print(*ensemble.hear())
        ensemble.start("felix")
        print(*ensemble.hear())
        with ensemble.connect() as cluster:
            print(cluster.call("archive", "opus 1"))
            print(cluster.call("reader", "opus 2", timeout=30, to="felix"))
            ensemble.kill("clara")
            print(*ensemble.hear())
            print(cluster.call("reader", "opus 3", timeout=30))
