"""Children that fail faster than the restart intensity allows end their supervisor."""

from typing import Any

from beethoven import ChildSpec, Role, Supervisor


class Fragile(Role):
    """Starts well, and fails at once."""

    def init(self, args: Any) -> None:
        print("up", flush=True)
        self.continue_with("fail")

    def handle_continue(self, argument: Any) -> None:
        raise RuntimeError("fragile")


class Solid(Role):
    """Traps exits, so that it can say goodbye."""

    trap_exit = True

    def terminate(self, reason: object) -> None:
        print("the solid one is told:", reason, flush=True)


if __name__ == "__main__":
    children = [ChildSpec("solid", Solid), ChildSpec("fragile", Fragile)]
    with Supervisor.start_link(children, max_restarts=2, max_seconds=5) as tree:
        tree.wait()
        print("the tree is gone")
