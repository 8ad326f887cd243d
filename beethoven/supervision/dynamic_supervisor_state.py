"""
Theory of operation of the dynamic supervisor: children come and go, each for itself.

Events come in, effects go out, time is a number: nothing here waits, and everything that decides
about a dynamic supervisor is in this file. There is no order among the children: they start, are
restarted and stop in parallel. A child that ends and is not restarted is forgotten, unless
`keep_ended` asks to keep it `stopped`.

The semantics are Elixir's `DynamicSupervisor` (otp.md §1.10), with the deviations 1 to 4 and 7 of
`supervisor_state`, and some of its own: ids need not be unique, but a child may also be addressed
by its id where exactly one child has it; `restart_child` retries a `failed` child at once; and
`keep_ended`, under which ids are unique and calls by id do what they do in a static supervisor.
"""

from beethoven import errors
from beethoven.runtime.reason import SHUTDOWN, ExitReason
from beethoven.supervision.backlog import refusal
from beethoven.supervision.child_spec import DynamicFlags, validate_child
from beethoven.supervision.children import Child, Children
from beethoven.supervision.events import (
    Attempt,
    Begun,
    ChildExited,
    ChildIgnored,
    ChildStarted,
    ChildStartFailed,
    ChildStatus,
    CountChildrenRequested,
    DeleteChildRequested,
    Effect,
    Event,
    Exit,
    GetChildSpecRequested,
    Ignored,
    Management,
    ReportStarted,
    Request,
    RestartChildRequested,
    ShutdownRequested,
    StartChildRequested,
    TerminateChildRequested,
    TerminateDynamicChildRequested,
    TimerFired,
    WhichChildrenRequested,
)
from beethoven.supervision.restart import (
    Action,
    GiveUp,
    RestartBudget,
    RestartNow,
    RetryAt,
    should_restart,
)
from beethoven.vocabulary import AutoShutdown


class DynamicSupervisorState:
    """
    What a dynamic supervisor decides.

    Args:
        name: For messages.
        flags: How it treats its children.
    """

    def __init__(self, name: str, flags: DynamicFlags) -> None:
        self.name = name
        self.flags = flags
        self._children = Children(keeps_ended=flags.keep_ended)
        self._budget = RestartBudget.of(flags)
        self._exit_reason: ExitReason | None = None
        self._has_ended = False

    def handle(self, event: Event, *, now: float) -> list[Effect]:
        """
        Return what to do about an event, in order.

        Args:
            event: What happened. One that concerns an old incarnation is ignored.
            now: Monotonic time in seconds. Never decreases from one call to the next.
        """
        self._children.now = now
        self._take(event)
        if self._exit_reason is not None:
            self._exit_if_empty(self._exit_reason)
        return self._children.drain()

    def __repr__(self) -> str:
        return f"<DynamicSupervisorState {self.name!r} {self._children.counts()}>"

    def _take(self, event: Event) -> None:
        match event:
            case Begun():
                self._children.emit(ReportStarted())
            case ChildStarted(attempt):
                self._children.started(attempt)
            case ChildIgnored(attempt):
                self._child_ignored(self._children.with_process(attempt))
            case ChildStartFailed(attempt, reason) | ChildExited(attempt, reason):
                self._child_gone(self._children.with_process(attempt), reason)
            case TimerFired(key):
                self._children.time_is_up(key)
            case ShutdownRequested(reason):
                if self._exit_reason is None:
                    self._shut_down(reason)
            case WhichChildrenRequested() | CountChildrenRequested() | GetChildSpecRequested():
                self._children.answer(event)
            case _:
                self._serve(event)

    def _serve(self, request: Management) -> None:
        if self._exit_reason is not None:
            self._children.reply([request.request], self._stopping())
            return
        match request:
            case StartChildRequested():
                self._start_child(request)
            case TerminateDynamicChildRequested(token, attempt):
                self._terminate(token, self._known_as(attempt))
            case TerminateChildRequested(token, child_id):
                self._terminate(token, self._children.only(child_id))
            case RestartChildRequested(_, child_id):
                self._restart_child(request, self._children.only(child_id))
            case DeleteChildRequested():
                self._delete_child(request)

    def _known_as(self, attempt: Attempt) -> Child | errors.SupervisionError:
        child = self._children.known_as(attempt)
        if child is None:
            return errors.ChildNotFound(child=f"of attempt {attempt}")
        return child

    def _start_child(self, request: StartChildRequested) -> None:
        limit, spec = self.flags.max_children, request.spec
        refused: errors.BeethovenError | None = None
        try:
            validate_child(spec, AutoShutdown.NEVER)
            if self.flags.keep_ended and isinstance(
                namesake := self._children.only(spec.id), Child
            ):
                refused = refusal(request, namesake)
        except errors.SpecError as error:
            refused = error
        if refused is None and limit is not None and len(self._children) >= limit:
            refused = errors.MaxChildren(limit=limit)
        if refused is not None:
            self._children.reply([request.request], refused)
            return
        child = self._children.add(spec, self._budget.record_of(spec))
        child.is_new = True
        child.starters.append(request.request)
        self._children.start(child, ChildStatus.STARTING, automatic=False)

    def _delete_child(self, request: DeleteChildRequested) -> None:
        answer: errors.SupervisionError | None
        child = self._children.only(request.id)
        if not self.flags.keep_ended:
            text = f"dynamic supervisor {self.name!r} keeps no stopped child {request.id!r}"
            answer = errors.SupervisionError(text)
        elif isinstance(child, Child):
            answer = refusal(request, child)
            if answer is None:
                self._children.remove(child)
        else:
            answer = child
        self._children.reply([request.request], answer)

    def _terminate(self, request: Request, child: Child | errors.SupervisionError) -> None:
        if not isinstance(child, Child):
            self._children.reply([request], child)
        elif child.attempt is None:
            self._children.remove(child)
            self._children.reply([request], None)
        else:
            child.waiters.append(request)
            self._children.stop(child)

    def _restart_child(
        self, request: RestartChildRequested, child: Child | errors.SupervisionError
    ) -> None:
        if not isinstance(child, Child):
            self._children.reply([request.request], child)
        elif (refused := refusal(request, child)) is not None:
            self._children.reply([request.request], refused)
        else:
            child.starters.append(request.request)
            self._children.start(child, ChildStatus.STARTING, automatic=False)

    def _child_ignored(self, child: Child | None) -> None:
        if child is None:
            return
        if child.status is ChildStatus.STOPPING:
            self._forget(child, SHUTDOWN)
            return
        self._children.gone(child, ChildStatus.STOPPED, None)
        self._children.reply(child.starters, Ignored())
        self._end_for_good(child)

    def _child_gone(self, child: Child | None, reason: ExitReason) -> None:
        if child is None:
            return
        if child.status is ChildStatus.STOPPING:
            self._children.report_stopped(child, reason)
            self._forget(child, reason)
        elif child.is_in_transition:
            self._start_failed(child, self._children.start_failure(child, reason))
        else:
            self._died(child, reason)

    def _forget(self, child: Child, reason: ExitReason) -> None:
        self._children.gone(child, ChildStatus.STOPPED, reason)
        self._children.refuse_start(child, reason)
        self._children.reply(child.waiters, None)
        self._children.remove(child)

    def _start_failed(self, child: Child, reason: ExitReason) -> None:
        is_retried = self._budget.backoff is not None and not child.spec.is_temporary
        if (child.is_new or child.starters) and not is_retried:
            is_kept = child.spec.is_temporary or not child.is_new
            self._children.gone(child, ChildStatus.STOPPED, reason)
            self._children.refuse_start(child, reason)
            self._end_for_good(child, is_kept=is_kept)
            return
        child.is_new = False
        self._children.gone(child, ChildStatus.RESTARTING, reason)
        self._children.refuse_start(child, reason)
        self._restart(child)

    def _died(self, child: Child, reason: ExitReason) -> None:
        again = should_restart(child.spec.restart, reason)
        self._children.gone(child, ChildStatus.RESTARTING if again else ChildStatus.STOPPED, reason)
        if again:
            self._restart(child, reason)
        else:
            action = Action.STOPPED if self.flags.keep_ended else Action.FORGOTTEN
            self._children.report_terminated(child, reason, action)
            self._end_for_good(child)

    def _end_for_good(self, child: Child, *, is_kept: bool = True) -> None:
        child.is_new = False
        if not (is_kept and self.flags.keep_ended):
            self._children.remove(child)

    def _restart(self, child: Child, death: ExitReason | None = None) -> None:
        budget = self._budget
        verdict = budget.spend(child.record, now=self._children.now, uptime=child.uptime)
        if death is not None:
            self._children.report_terminated(child, death, verdict.action)
        match verdict:
            case RestartNow():
                self._children.start(child, ChildStatus.RESTARTING, automatic=True)
            case RetryAt(at):
                self._children.fail_until(child, at)
            case GiveUp():
                self._children.report_intensity(child, budget.intensity)
                self._shut_down(SHUTDOWN)

    def _stopping(self) -> errors.SupervisionError:
        return errors.SupervisionError(f"supervisor {self.name!r} is stopping")

    def _shut_down(self, reason: ExitReason) -> None:
        """Stop every child at once, then exit with that reason (otp.md §1.6)."""
        self._exit_reason = reason
        for child in self._children:
            self._children.reply(child.starters, self._stopping())
            if child.attempt is None:
                self._children.remove(child)
            else:
                self._children.stop(child)

    def _exit_if_empty(self, reason: ExitReason) -> None:
        if not self._has_ended and not len(self._children):
            self._has_ended = True
            self._children.emit(Exit(reason))
