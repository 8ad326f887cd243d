"""
What supervisors hear (events), what they have done (effects), and what they reply (values).

Only words: who decides is `supervisor_state` and `dynamic_supervisor_state`, who performs is the
runner. An `attempt` is a number that the state gives to every start of a child, unique within the
supervisor: the incarnation. A `request` is the runner's token for whoever awaits a reply. Times are
monotonic, in seconds.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from beethoven.errors import BeethovenError
from beethoven.runtime.reason import ExitReason
from beethoven.supervision.child_spec import ChildSpec

Attempt: TypeAlias = int
Request: TypeAlias = Hashable
TimerKey: TypeAlias = tuple[str, Attempt]


class ChildStatus(StrEnum):
    """
    What a child is doing.

    Without a process are `stopped`, `failed`, and `restarting` while it awaits its turn. OTP shows
    `stopped` as undefined.
    """

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    RESTARTING = "restarting"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Started:
    """Reply to a start: the child runs as that attempt."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Ignored:
    """Reply to a start: the child's `init` chose not to run. That is not an error."""


@dataclass(frozen=True, slots=True)
class ChildInfo:
    """
    One entry of `which_children`.

    Attributes:
        id: The child's id.
        attempt: Its present process, starting and stopping ones included, or None.
        status: What it is doing.
        type: Worker or supervisor.
        restart: Its restart type.
        restarts: Automatic restarts attempted so far.
        last_exit: Why its last process ended or did not start, or None.
        changed_at: When the status last changed.
        failures: With a back-off, how often in a row it exceeded its intensity or failed after
            that; 0 again once it stays up for longer than `max_seconds`.
        retry_at: When a failed child is tried again, else None.
    """

    id: str
    attempt: Attempt | None
    status: ChildStatus
    type: str
    restart: str
    restarts: int
    last_exit: ExitReason | None
    changed_at: float
    failures: int = 0
    retry_at: float | None = None


@dataclass(frozen=True, slots=True)
class ChildCounts:
    """
    Reply to `count_children`.

    Attributes:
        specs: Children specified, running or not.
        active: Children whose process runs, those told to stop included.
        supervisors: Children of type supervisor, running or not.
        workers: Children of type worker, running or not.
    """

    specs: int
    active: int
    supervisors: int
    workers: int


@dataclass(frozen=True, slots=True)
class Begun:
    """The supervisor's process is ready: start the children."""


@dataclass(frozen=True, slots=True)
class ChildStarted:
    """The child's `init` returned."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class ChildIgnored:
    """The child's `init` chose not to run, and its process is gone."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class ChildStartFailed:
    """The child did not start, and its process is gone with its whole subtree."""

    attempt: Attempt
    reason: ExitReason


@dataclass(frozen=True, slots=True)
class ChildExited:
    """A child that had started is gone with its whole subtree."""

    attempt: Attempt
    reason: ExitReason


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The time given in `SetTimer` has come."""

    key: TimerKey


@dataclass(frozen=True, slots=True)
class ShutdownRequested:
    """
    The parent's exit signal, or `stop()`.

    A second one counts only if its kind is `killed` (nobody waits for an orphan): then everything
    is told to stop at once.
    """

    reason: ExitReason


@dataclass(frozen=True, slots=True)
class StartChildRequested:
    """Add a child and start it. Reply: `Started` or `Ignored`."""

    request: Request
    spec: ChildSpec


@dataclass(frozen=True, slots=True)
class TerminateChildRequested:
    """Stop a child; its specification stays unless temporary. Reply: None, once it is gone."""

    request: Request
    id: str


@dataclass(frozen=True, slots=True)
class TerminateDynamicChildRequested:
    """
    Stop and forget a child of a dynamic supervisor. Reply: None, once it is gone.

    While a child is being restarted, it is known by the attempt that last ran as well.
    """

    request: Request
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class RestartChildRequested:
    """Start a stopped child, or retry a failed one now. Reply: `Started` or `Ignored`."""

    request: Request
    id: str


@dataclass(frozen=True, slots=True)
class DeleteChildRequested:
    """Forget a stopped child. Reply: None."""

    request: Request
    id: str


@dataclass(frozen=True, slots=True)
class WhichChildrenRequested:
    """Reply: a tuple of `ChildInfo`, most recently started first."""

    request: Request


@dataclass(frozen=True, slots=True)
class CountChildrenRequested:
    """Reply: `ChildCounts`."""

    request: Request


@dataclass(frozen=True, slots=True)
class GetChildSpecRequested:
    """Reply: the child's `ChildSpec`."""

    request: Request
    id: str


Query: TypeAlias = WhichChildrenRequested | CountChildrenRequested | GetChildSpecRequested
Management: TypeAlias = (
    StartChildRequested
    | TerminateChildRequested
    | TerminateDynamicChildRequested
    | RestartChildRequested
    | DeleteChildRequested
)
Event: TypeAlias = (
    Begun
    | ChildStarted
    | ChildIgnored
    | ChildStartFailed
    | ChildExited
    | TimerFired
    | ShutdownRequested
    | Query
    | Management
)


@dataclass(frozen=True, slots=True)
class StartChild:
    """Launch a process for the child; answer with one of the child events of that attempt."""

    attempt: Attempt
    spec: ChildSpec


@dataclass(frozen=True, slots=True)
class StopChild:
    """Send the process a polite exit signal, also if it still initialises."""

    attempt: Attempt
    reason: ExitReason


@dataclass(frozen=True, slots=True)
class KillChild:
    """Kill the process and all that it started."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Deliver `TimerFired(key)` at that monotonic time, in seconds."""

    key: TimerKey
    at: float


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Forget the timer. If it fired already, the event is ignored."""

    key: TimerKey


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer a request."""

    request: Request
    value: Any


@dataclass(frozen=True, slots=True)
class ReplyError:
    """Answer a request with an error to raise at the caller."""

    request: Request
    error: BeethovenError


@dataclass(frozen=True, slots=True)
class ReportStarted:
    """Tell the starter that all children are up."""


@dataclass(frozen=True, slots=True)
class Exit:
    """End the supervisor. Every child is gone, every request is answered; nothing follows."""

    reason: ExitReason


@dataclass(frozen=True, slots=True)
class Report:
    """
    Log an event.

    Attributes:
        event: Its name: a constant.
        level: "debug", "info", "warning" or "error".
        fields: `{name: value}`; a reason is an `ExitReason`.
    """

    event: str
    level: str
    fields: Mapping[str, Any]


Effect: TypeAlias = (
    StartChild
    | StopChild
    | KillChild
    | SetTimer
    | CancelTimer
    | Reply
    | ReplyError
    | ReportStarted
    | Exit
    | Report
)
