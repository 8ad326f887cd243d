"""
The children of one supervisor: what each is doing, and the steps of a single child.

It knows how a child is started (with a timeout) and stopped (the ladder of signal, time and kill),
never why: which child, when and what follows is decided in `supervisor_state` and
`dynamic_supervisor_state`. Everything that changes the status of a child is in this file. The
effects of the steps collect here until they are drained.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from beethoven import errors
from beethoven.runtime.reason import SHUTDOWN, ExitReason, ReasonKind
from beethoven.supervision.child_spec import ChildSpec
from beethoven.supervision.events import (
    Attempt,
    CancelTimer,
    ChildCounts,
    ChildInfo,
    ChildStatus,
    CountChildrenRequested,
    Effect,
    GetChildSpecRequested,
    KillChild,
    Query,
    Reply,
    ReplyError,
    Report,
    Request,
    SetTimer,
    StartChild,
    Started,
    StopChild,
    TimerKey,
    WhichChildrenRequested,
)
from beethoven.supervision.intensity import RestartIntensity
from beethoven.supervision.restart import Action, FailureRecord, is_expected_answer
from beethoven.vocabulary import BRUTAL_KILL, INFINITY, Restart

_ALIVE = {ChildStatus.RUNNING, ChildStatus.STOPPING}


@dataclass(slots=True, eq=False)
class Child:
    """
    What a supervisor remembers of one child.

    Attributes:
        attempt: The present process, or None.
        known_as: The attempt that last ran; callers may still hold it during a restart.
        last_attempt: The present process, or else the last one.
        uptime: For how long the last process had run when it ended, in seconds; None if it had
            not started.
        is_new: Whether it was added by `start_child` and has not been up yet.
        starters: The requests that await its start.
        waiters: The requests that await its end.
        exit_pending: Whether it ended and that has not been acted on yet.
    """

    spec: ChildSpec
    record: FailureRecord
    changed_at: float
    status: ChildStatus = ChildStatus.STOPPED
    # Invariant: attempt is None iff status is STOPPED, FAILED, or RESTARTING and awaiting its turn
    attempt: Attempt | None = None
    known_as: Attempt | None = None
    last_attempt: Attempt = 0
    uptime: float | None = None
    timer: TimerKey | None = None
    retry_at: float | None = None
    start_timed_out: bool = False
    restarts: int = 0
    last_exit: ExitReason | None = None
    is_new: bool = False
    exit_pending: bool = False
    starters: list[Request] = field(default_factory=list)
    waiters: list[Request] = field(default_factory=list)

    @property
    def is_active(self) -> bool:
        """Whether it runs, or is to run again."""
        return self.status is not ChildStatus.STOPPED

    @property
    def is_in_transition(self) -> bool:
        """Whether its process is starting or stopping."""
        return self.attempt is not None and self.status is not ChildStatus.RUNNING

    def info(self, now: float) -> ChildInfo:
        is_up = self.status is ChildStatus.RUNNING
        is_healthy = is_up and now - self.changed_at > self.record.intensity.max_seconds
        return ChildInfo(
            id=self.spec.id,
            attempt=self.attempt,
            status=self.status,
            type=str(self.spec.type),
            restart=str(self.spec.restart),
            restarts=self.restarts,
            last_exit=self.last_exit,
            changed_at=self.changed_at,
            failures=0 if is_healthy else self.record.failures,
            retry_at=self.retry_at,
        )


class Children:
    """
    The children in start order, and the effects that wait to be performed.

    Args:
        keeps_ended: Whether temporary children may be started again, by hand.
    """

    def __init__(self, *, keeps_ended: bool = False) -> None:
        self._keeps_ended = keeps_ended
        self.now = 0.0
        self._effects: list[Effect] = []
        self._all: dict[Child, None] = {}
        self._by_id: dict[str, list[Child]] = {}
        self._by_attempt: dict[Attempt, Child] = {}
        self._by_timer: dict[TimerKey, Child] = {}
        self._last_attempt: Attempt = 0

    def __iter__(self) -> Iterator[Child]:
        return iter(tuple(self._all))

    def __reversed__(self) -> Iterator[Child]:
        return reversed(tuple(self._all))

    def __len__(self) -> int:
        return len(self._all)

    def only(self, child_id: str) -> Child | errors.SupervisionError:
        """Return the one child of that id, or the error that says why there is none."""
        # Requests come from anywhere: an id may be no string, and not even hashable.
        match self._by_id.get(child_id, []) if isinstance(child_id, str) else []:
            case [child]:
                return child
            case []:
                return errors.ChildNotFound(child=repr(child_id))
            case several:
                text = f"expected one child of id {child_id!r}, got: {len(several)}"
                return errors.SupervisionError(text)

    def with_process(self, attempt: Attempt) -> Child | None:
        """Return the child whose present process that is; an older incarnation is nobody's."""
        child = self._by_attempt.get(attempt)
        return child if child is not None and child.attempt == attempt else None

    def known_as(self, attempt: Attempt) -> Child | None:
        """Return the child that callers know by that attempt, also while it is restarted."""
        return self._by_attempt.get(attempt)

    def answer(self, query: Query) -> None:
        """Reply to a question about the children, which no progress needs to be awaited for."""
        answer: object
        match query:
            case WhichChildrenRequested():
                answer = tuple(child.info(self.now) for child in reversed(self))
            case CountChildrenRequested():
                answer = self.counts()
            case GetChildSpecRequested(id=child_id):
                child = self.only(child_id)
                answer = child.spec if isinstance(child, Child) else child
        self.reply([query.request], answer)

    def counts(self) -> ChildCounts:
        supervisors = sum(child.spec.is_supervisor for child in self._all)
        return ChildCounts(
            specs=len(self._all),
            active=sum(child.status in _ALIVE for child in self._all),
            supervisors=supervisors,
            workers=len(self._all) - supervisors,
        )

    def emit(self, effect: Effect) -> None:
        self._effects.append(effect)

    def drain(self) -> list[Effect]:
        """Return the effects since the last call, in the order to perform them."""
        effects, self._effects = self._effects, []
        return effects

    def reply(self, requests: list[Request], answer: object) -> None:
        """Answer these requests, once: the list is empty afterwards."""
        for request in requests:
            if isinstance(answer, errors.BeethovenError):
                self.emit(ReplyError(request, answer))
            else:
                self.emit(Reply(request, answer))
        requests.clear()

    def refuse_start(self, child: Child, reason: ExitReason) -> None:
        """Tell those who asked for the child that it did not start."""
        name = repr(child.spec.id)
        self.reply(child.starters, errors.ChildStartFailed(child=name, reason=reason))

    def report(self, event: str, level: str, child: Child, **fields: object) -> None:
        self.emit(Report(event, level, {"child": child.spec.id, **fields}))

    def add(self, spec: ChildSpec, record: FailureRecord) -> Child:
        child = Child(spec, record, changed_at=self.now)
        self._all[child] = None
        self._by_id.setdefault(spec.id, []).append(child)
        return child

    def remove(self, child: Child) -> None:
        """Forget a child that has no process."""
        assert child.attempt is None, child
        self._clear_timer(child)
        del self._all[child]
        namesakes = self._by_id[child.spec.id]
        namesakes.remove(child)
        if not namesakes:
            del self._by_id[child.spec.id]
        if child.known_as is not None:
            self._by_attempt.pop(child.known_as, None)

    def start(self, child: Child, status: ChildStatus, *, automatic: bool) -> None:
        """
        Start a process for the child.

        Args:
            child: One without a process.
            status: `starting` or `restarting`.
            automatic: Whether this counts as a restart in listings.
        """
        assert child.attempt is None, child
        self._clear_timer(child)
        self._last_attempt += 1
        child.attempt = child.last_attempt = self._last_attempt
        child.start_timed_out = False
        child.exit_pending = False
        child.restarts += automatic
        self._by_attempt[child.attempt] = child
        self._turn(child, status)
        self.emit(StartChild(child.attempt, child.spec))
        if child.spec.is_temporary and not self._keeps_ended:
            child.spec = child.spec.without_args()
        if not isinstance(child.spec.start_timeout, str):
            self._set_timer(child, "start", self.now + child.spec.start_timeout)

    def started(self, attempt: Attempt) -> None:
        """Note that a child runs, and tell those who asked for it."""
        child = self.with_process(attempt)
        # One that was told to stop, or is being killed for slowness, is awaited until it is gone.
        if child is None or child.start_timed_out or child.status is ChildStatus.STOPPING:
            return
        self._clear_timer(child)
        if child.known_as is not None:
            self._by_attempt.pop(child.known_as, None)
        child.known_as = attempt
        child.is_new = False
        self._turn(child, ChildStatus.RUNNING)
        self.report("child_started", "debug" if child.starters else "info", child, attempt=attempt)
        self.reply(child.starters, Started(attempt))

    def stop(self, child: Child) -> None:
        """
        Tell the child's process to end, as its `shutdown` says; once is enough.

        Source:
            otp.md §1.6, "Per child".
        """
        assert child.attempt is not None, child
        if child.status is ChildStatus.STOPPING:
            return
        self._clear_timer(child)
        self._turn(child, ChildStatus.STOPPING)
        if child.spec.shutdown == BRUTAL_KILL:
            self.emit(KillChild(child.attempt))
            return
        self.emit(StopChild(child.attempt, SHUTDOWN))
        if child.spec.shutdown != INFINITY:
            assert isinstance(child.spec.shutdown, float)
            self._set_timer(child, "stop", self.now + child.spec.shutdown)

    def time_is_up(self, key: TimerKey) -> None:
        """Kill a process that took too long to start or to stop; start a child to be retried."""
        child = self._by_timer.get(key)
        if child is None:
            return
        if child.attempt is None:
            self.start(child, ChildStatus.STARTING, automatic=True)
            return
        child.start_timed_out = child.status is not ChildStatus.STOPPING
        self.emit(KillChild(child.attempt))

    def gone(self, child: Child, status: ChildStatus, reason: ExitReason | None) -> None:
        """
        Note that the child's process is gone.

        Args:
            child: One with a process.
            status: What the child is without it.
            reason: Why it ended; None if it ignored its start.
        """
        assert child.attempt is not None, child
        self._clear_timer(child)
        if child.attempt != child.known_as:
            del self._by_attempt[child.attempt]
        child.attempt = None
        is_up = child.status is ChildStatus.RUNNING
        child.uptime = self.now - child.changed_at if is_up else None
        child.last_exit = reason if reason is not None else child.last_exit
        self._turn(child, status)

    def wait(self, child: Child, status: ChildStatus) -> None:
        """Let a child without a process be `stopped`, or `restarting` until its turn comes."""
        assert child.attempt is None, child
        self._clear_timer(child)
        if child.status is not status:
            self._turn(child, status)

    def fail_until(self, child: Child, at: float) -> None:
        """Let a child without a process be `failed`, to be tried again at that time."""
        assert child.attempt is None, child
        self._turn(child, ChildStatus.FAILED)
        self._set_timer(child, "retry", at)
        child.retry_at = at
        fields = {"failures": child.record.failures, "retry_in": round(at - self.now, 3)}
        self.report("child_failed", "error", child, reason=child.last_exit, **fields)

    def report_stopped(self, child: Child, reason: ExitReason) -> None:
        """Report a child that was to stop and ended in another way (OTP `shutdown_error`)."""
        if not is_expected_answer(child.spec, reason):
            self.report("shutdown_error", "error", child, attempt=child.attempt, reason=reason)

    def report_terminated(self, child: Child, reason: ExitReason, action: Action) -> None:
        """Report the end of a child that ran, where OTP does (otp.md §1.3), and what follows."""
        if reason.is_abnormal or child.spec.restart == Restart.PERMANENT:
            level = "warning" if reason.is_abnormal else "info"
            fields = {"restart": child.spec.restart, "restarts": child.restarts, "action": action}
            attempt = child.last_attempt
            self.report("child_terminated", level, child, reason=reason, attempt=attempt, **fields)

    def acted_on(self, child: Child, action: Action) -> None:
        """Report the end of a child that had ended, now that something is done about it."""
        if child.exit_pending and child.last_exit is not None:
            action = Action.FORGOTTEN if child.spec.is_temporary else action
            self.report_terminated(child, child.last_exit, action)
        child.exit_pending = False

    def report_intensity(self, child: Child, intensity: RestartIntensity) -> None:
        """Report that the supervisor gives up because of that child."""
        limits = {"max_restarts": intensity.max_restarts, "max_seconds": intensity.max_seconds}
        self.report("intensity_exceeded", "error", child, reason=child.last_exit, **limits)

    def start_failure(self, child: Child, reason: ExitReason) -> ExitReason:
        """Return why a start failed, given why its process ended, and report it."""
        if child.start_timed_out:
            detail = f"{child.spec.start_timeout:g} s"
            reason = ExitReason(ReasonKind.START_TIMEOUT, detail, reason.traceback)
        self.report("start_error", "error", child, attempt=child.attempt, reason=reason)
        return reason

    def _turn(self, child: Child, status: ChildStatus) -> None:
        child.status = status
        child.changed_at = self.now

    def _set_timer(self, child: Child, kind: str, at: float) -> None:
        child.timer = (kind, child.last_attempt)
        self._by_timer[child.timer] = child
        self.emit(SetTimer(child.timer, at))

    def _clear_timer(self, child: Child) -> None:
        child.retry_at = None
        if child.timer is not None:
            del self._by_timer[child.timer]
            self.emit(CancelTimer(child.timer))
            child.timer = None
