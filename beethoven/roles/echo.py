"""Roles to try things out with: they answer, and do nothing else."""

from typing import Any

from beethoven.runtime.role import Caller, Role


class TestRole(Role):
    """Answers `("echo", x)` with `x` and `"args"` with the arguments it was started with."""

    def init(self, args: Any) -> None:
        self.args = args

    def handle_call(self, request: Any, caller: Caller) -> Any:
        # From the command line a pair arrives as a list: JSON knows no tuples.
        match request:
            case ("echo", value):
                return value
            case "args":
                return self.args
        return f"expected ('echo', value) or 'args', got: {request!r}"


class TestdRole(TestRole):
    """The same under a second name, so that a tree can have two of them."""
