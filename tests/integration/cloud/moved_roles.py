"""A role that belongs to a group wherever its node stands."""

from typing import Any

from beethoven import Caller, Role

GROUP = "choir"


class Singer(Role):
    """Joins a group at its start, keeps what it hears there, and says where its node is."""

    def init(self, args: Any) -> None:
        self.heard: list[str] = []
        self.node.groups.join(GROUP)

    def handle_call(self, request: Any, caller: Caller) -> Any:
        match request:
            case ("sing", str(song)):
                return self.node.groups.broadcast(GROUP, song)
            case "heard":
                return self.heard
            case "address":
                return self.node.address
        return super().handle_call(request, caller)

    def handle_info(self, message: Any) -> None:
        self.heard.append(message)
