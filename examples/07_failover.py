"""A role whose node is killed runs on another one, a moment later."""

import time
from typing import Any

from ensemble import Ensemble, say

from beethoven import NodeUp, Role

ROLES = """
[roles.conductor]
module = "example:Conductor"
instances = 1
"""


class Conductor(Role):
    watches_nodes = True

    def init(self, args: Any) -> None:
        say(f"{self.node.name} conducts")

    def handle_info(self, message: Any) -> None:
        match message:
            case NodeUp(member):
                say(f"{self.node.name} sees {member.name}")


if __name__ == "__main__":
    with Ensemble(ROLES) as ensemble:
        ensemble.start("clara")
        print(*ensemble.hear())
        ensemble.start("felix")
        print(*ensemble.hear())
        killed_at = time.monotonic()
        ensemble.kill("clara")
        news = ensemble.hear()
        print(*news, f"{1000 * (time.monotonic() - killed_at):.0f} ms after clara was killed")
        ensemble.start("clara")
        print(*ensemble.hear())
