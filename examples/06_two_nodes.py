"""Two nodes find each other, and each runs one of the two instances that are wanted."""

from typing import Any

from ensemble import Ensemble, say

from beethoven import NodeLeft, NodeUp, Role

ROLES = """
[roles.player]
module = "example:Player"
instances = 2
"""


class Player(Role):
    watches_nodes = True

    def init(self, args: Any) -> None:
        assert self.context is not None
        say(f"{self.node.name}: I play part {self.context.slot}")

    def handle_info(self, message: Any) -> None:
        match message:
            case NodeUp(member):
                say(f"{self.node.name}: I hear the {member.name}")
            case NodeLeft(member):
                say(f"{self.node.name}: the {member.name} has left")


if __name__ == "__main__":
    with Ensemble(ROLES) as ensemble:
        ensemble.start("violin")
        print(*ensemble.hear(), sep="\n")
        ensemble.start("viola")
        print(*ensemble.hear(3), sep="\n")
        ensemble.drain("violin")
        print(*ensemble.hear(), sep="\n")
