"""A strategy says which siblings are restarted together with a child that ended."""

import os
import signal

from beethoven import ChildSpec, Role, Supervisor, SupervisorRef


class Part(Role):
    """Does nothing but live."""


def processes(tree: SupervisorRef) -> dict[str, int]:
    """Return the pid of each child's process, once it runs."""
    return {name: tree.child(name).pid for name in ("first", "second", "third")}


def restarted_by(strategy: str) -> str:
    children = [ChildSpec("first", Part), ChildSpec("second", Part), ChildSpec("third", Part)]
    with Supervisor.start_link(children, strategy=strategy) as tree:
        before = processes(tree)
        second = tree.child("second")
        os.kill(second.pid, signal.SIGKILL)
        second.wait()
        tree.child("second")  # waits for its successor
        after = processes(tree)
    return ", ".join(name for name in before if before[name] != after[name])


if __name__ == "__main__":
    for strategy in ("one_for_one", "rest_for_one", "one_for_all"):
        print(f"{strategy}: {restarted_by(strategy)}")
