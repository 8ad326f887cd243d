"""What supervisors tell callers about their children."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from beethoven.runtime.reason import ExitReason
from beethoven.runtime.reference import Ref
from beethoven.runtime.status import Status
from beethoven.supervision.events import ChildInfo


@dataclass(frozen=True, slots=True)
class ChildEntry:
    """
    One child of a supervisor.

    Attributes:
        id: Its id.
        ref: Its process, if it has one now.
        status: "running", "starting", "restarting", "stopping", "stopped" or "failed".
        type: "worker" or "supervisor".
        restart: Its restart type.
        restarts: Automatic restarts so far.
        last_exit: Why its last process ended or did not start.
        since: When the status last changed, in seconds since 1970.
    """

    id: str
    ref: Ref | None
    status: str
    type: str
    restart: str
    restarts: int
    last_exit: ExitReason | None
    since: float

    @classmethod
    def of(cls, info: ChildInfo, ref: Ref | None, since: float) -> "ChildEntry":
        """Return the entry for what the state tells, with the process and the time of day."""
        return cls(
            info.id,
            ref,
            str(info.status),
            str(info.type),
            str(info.restart),
            info.restarts,
            info.last_exit,
            since,
        )

    def __str__(self) -> str:
        return self.status if self.ref is None else f"{self.status} (pid {self.ref.pid})"


class SupervisorHost:
    """
    A supervisor, as far as system requests know it: its state is its children.

    Args:
        role: What kind of supervisor it is.
        children: Returns its children, most recently started first.
    """

    is_replaceable = False

    def __init__(self, role: str, children: Callable[[], Sequence[ChildEntry]]) -> None:
        self.role = role
        self._children = children

    def state(self) -> dict[str, Any]:
        return {"children": list(self._children())}

    def replace(self, state: dict[str, Any]) -> None:
        """Never asked for."""

    def format_status(self, status: Status) -> Status:
        """Show what each child is doing, in start order."""
        children = reversed(status.state["children"])
        return replace(status, state={child.id: _Words(child) for child in children})


class _Words(str):
    """A text that is shown without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
