"""A role that does with groups what it is told to, and keeps what it hears."""

import os
from typing import Any

from beethoven import Caller, Role, connect
from beethoven.groups.audience import GroupChanged


class Singer(Role):
    """Answers any request of the form `(method of Groups, *arguments)`."""

    def init(self, args: Any) -> None:
        self.heard: list[Any] = []
        self.news: list[tuple[str, list[str]]] = []

    def handle_call(self, request: Any, caller: Caller) -> Any:
        match request:
            case "pid":
                return os.getpid()
            case "ref":
                return self.ref
            case "heard":
                return self.heard
            case "count":
                return len(self.heard)
            case ("broadcast_long", str(group), int(size)):
                return self.node.groups.broadcast(group, "x" * size)
            case "forget":
                self.heard.clear()
                return None
            case "news":
                return self.news
            case ("start", int(number)):
                return [Chorister.start_link(name=f"chorister{each}") for each in range(number)]
            case ("members" | "monitor" as method, str(group)):
                return [each.identity for each in getattr(self.node.groups, method)(group)]
            case (str(method), *arguments):
                return getattr(self.node.groups, method)(*arguments)
        return super().handle_call(request, caller)

    def handle_info(self, message: Any) -> None:
        match message:
            case GroupChanged(group, members):
                self.news.append((group, [each.identity for each in members]))
            case _:
                self.heard.append(message)


class Chorister(Role):
    """A plain process that a role has started."""

    def init(self, args: Any) -> None:
        self.heard: list[Any] = []

    def handle_call(self, request: Any, caller: Caller) -> Any:
        match request:
            case ("join", str(group), str(node)):
                with connect(node=node) as cluster:
                    cluster.groups.join(group)
        return self.heard

    def handle_info(self, message: Any) -> None:
        self.heard.append(message)
