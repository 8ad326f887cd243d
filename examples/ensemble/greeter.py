"""A role that says where it is."""

from typing import Any

from beethoven import Caller, Role


class Greeter(Role):
    def handle_call(self, request: Any, caller: Caller) -> Any:
        return f"hello {request}, from {self.node.name}"
