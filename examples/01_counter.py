"""A role keeps state in a process of its own; a call waits for its answer, a cast does not."""

from typing import Any

from beethoven import Caller, ChildSpec, Role, Supervisor


class Counter(Role):
    def init(self, args: int) -> None:
        self.value = args

    def handle_call(self, request: Any, caller: Caller) -> int:
        match request:
            case "next":
                self.value += 1
                return self.value
        raise ValueError(f"expected 'next', got: {request!r}")

    def handle_cast(self, request: Any) -> None:
        match request:
            case ("add", int(number)):
                self.value += number


if __name__ == "__main__":
    with Supervisor.start_link([ChildSpec("counter", Counter, 41)]) as tree:
        counter = tree.child("counter")
        print("next:", counter.call("next"))
        counter.cast(("add", 100))
        print("next:", counter.call("next"))
