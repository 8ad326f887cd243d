"""What supervisors tell callers about their children."""

from dataclasses import dataclass

from beethoven.runtime.reason import ExitReason
from beethoven.runtime.reference import Ref
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
