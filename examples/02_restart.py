"""A role that crashes comes back as a new process, with the state that its `init` gives it."""

from typing import Any

from beethoven import Caller, ChildSpec, Role, Supervisor
from beethoven.errors import ProcessExited


class Counter(Role):
    def init(self, args: int) -> None:
        self.value = args

    def handle_call(self, request: Any, caller: Caller) -> int:
        match request:
            case "next":
                self.value += 1
                return self.value
            case "crash":
                raise RuntimeError("asked to")
        raise ValueError(f"expected 'next' or 'crash', got: {request!r}")


if __name__ == "__main__":
    with Supervisor.start_link([ChildSpec("counter", Counter, 41)]) as tree:
        first = tree.child("counter")
        print("next:", first.call("next"))
        print("next:", first.call("next"))
        try:
            first.call("crash")
        except ProcessExited as exited:
            print("it ended:", exited.reason)
        second = tree.child("counter")
        print("a new process:", second.pid != first.pid)
        print("next:", second.call("next"))
