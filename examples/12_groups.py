"""Processes of all nodes join a group, are found there, and are told things together."""

from collections.abc import Sequence
from typing import Any

from ensemble import Ensemble, say

from beethoven import GroupChanged, Role

ROLES = """
[roles.conductor]
module = "example:Conductor"
instances = 1

[roles.singer]
module = "example:Singer"
instances = 2
"""


class Singer(Role):
    def init(self, args: Any) -> None:
        self.node.groups.join("choir")

    def handle_info(self, message: Any) -> None:
        say(f"{self.node.name} sings {message}")


class Conductor(Role):
    def init(self, args: Any) -> None:
        self.count = 0
        self.look(self.node.groups.monitor("choir"))

    def handle_info(self, message: Any) -> None:
        match message:
            case GroupChanged("choir", members):
                self.look(members)

    def look(self, members: Sequence[Any]) -> None:
        if len(members) != self.count:
            self.count = len(members)
            say(f"the choir has {self.count}")
            if self.count == 2:
                self.node.groups.broadcast("choir", "la")


if __name__ == "__main__":
    with Ensemble(ROLES) as ensemble:
        ensemble.start("clara")
        print(*ensemble.hear())
        ensemble.start("felix")
        print(*ensemble.hear(3), sep="\n")
        ensemble.kill("felix")
        print(*ensemble.hear())
