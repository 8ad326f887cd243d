"""What roles start and stop again. Other processes import it: it imports little."""

from typing import Any

from beethoven import (
    ChildSpec,
    DynamicSupervisor,
    PartitionSupervisor,
    Registry,
    Role,
    Supervisor,
    TaskSupervisor,
)
from beethoven.runtime.reference import Target
from tests.integration.roles import Puppet

CHILD = ChildSpec("a", Puppet)


class Parrot(Role):
    """Whatever it is asked, it says again."""

    def handle_call(self, request: Any, caller: Any) -> Any:
        return request


def started(kind: str) -> Any:
    """Start something that has processes below it."""
    match kind:
        case "supervisor":
            return Supervisor.start_link([CHILD], name="it")
        case "dynamic supervisor":
            return DynamicSupervisor.start_link(name="it")
        case "task supervisor":
            return TaskSupervisor.start_link(name="it")
        case "partition supervisor":
            return PartitionSupervisor.start_link(CHILD, name="it", partitions=2)
    return Registry.start_link(name="it", partitions=2)


def start_and_watch(role: Puppet, kind: str) -> None:
    role.kept = [started(kind)]
    role.monitor(role.kept[0])


def stop(role: Puppet) -> None:
    role.kept[0].stop()


def stop_by_name(role: Puppet) -> None:
    PartitionSupervisor.stop("it")


def leave_block(role: Puppet) -> None:
    with role.kept[0]:
        return


def monitor(role: Puppet, target: Target) -> int:
    return role.monitor(target)
