"""
Theory of operation of the static supervisor.

Events come in, effects go out, time is a number: nothing here waits, and everything that decides
about a static supervisor is in this file. `children` takes the steps of a single child, `plan`
holds the order of a group, `restart` says whether and when.

Under one_for_one children are handled independently. The initial start, the shutdown and
everything the group strategies do run as a plan, one step after another, one plan at a time. What
must not interfere with the plan waits in the backlog, in order of arrival, as in the mailbox of an
OTP supervisor: deaths, retries, starts. When the plan has ended the backlog is served. Listings are
always answered at once; so is termination, which takes its child out of the plan.

The semantics are those of OTP (otp.md §1), but for these deliberate deviations:

1. The supervisor never blocks. It answers while children start and stop, handles deaths under
   one_for_one in parallel, and obeys its parent at once: a child that still starts is told to stop
   as a running one is.
2. Every start has a timeout, after which the process is killed and the start has failed.
3. The window of the restart intensity is fractional, not truncated to whole seconds.
4. A child is started only after its old incarnation is gone with its whole subtree, which the
   runner guarantees by the time it delivers the exit.
5. A child that is terminated by hand while its group is restarted leaves the group, and the
   rest is brought up. OTP abandons such a restart and leaves the rest down.
6. A member of a group that awaits its turn is `restarting`, not undefined.
7. With a back-off (one_for_one only) the intensity is counted per child and never ends the
   supervisor: a child that exceeds it is `failed` and retried after a delay; a failing first start
   is kept and retried likewise, instead of undoing the start of the others.
"""

from collections import deque
from collections.abc import Iterable

from beethoven import errors
from beethoven.runtime.reason import SHUTDOWN, ExitReason, ReasonKind
from beethoven.supervision.backlog import Accepted, Backlog, Death, Retry, child_id_of, refusal
from beethoven.supervision.child_spec import SupervisorFlags, validate_child, validate_tree
from beethoven.supervision.children import Child, Children
from beethoven.supervision.events import (
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
    ShutdownRequested,
    StartChildRequested,
    TerminateChildRequested,
    TerminateDynamicChildRequested,
    TimerFired,
    WhichChildrenRequested,
)
from beethoven.supervision.plan import Plan, Purpose, affected_by
from beethoven.supervision.restart import (
    Action,
    GiveUp,
    RestartBudget,
    RestartNow,
    RetryAt,
    ends_supervisor,
    should_restart,
)
from beethoven.vocabulary import Strategy


class SupervisorState:
    """
    What a static supervisor decides.

    Args:
        name: For messages.
        flags: How it treats its children.
        specs: The children, in start order.

    Raises:
        SpecError: The specifications do not fit together or do not fit the flags.
    """

    def __init__(self, name: str, flags: SupervisorFlags, specs: Iterable[object]) -> None:
        self.name = name
        self.flags = flags
        self._children = Children()
        self._budget = RestartBudget.of(flags)
        self._backlog = Backlog()
        self._has_begun = False
        self._exit_reason: ExitReason | None = None
        self._has_ended = False
        for spec in validate_tree(flags, specs):
            self._children.add(spec, self._budget.record_of(spec))
        self._plan: Plan | None = Plan(Purpose.INITIAL, starts=deque(self._children))

    def handle(self, event: Event, *, now: float) -> list[Effect]:
        """
        Return what to do about an event, in order.

        Args:
            event: What happened. One that concerns an old incarnation is ignored.
            now: Monotonic time in seconds. Never decreases from one call to the next.
        """
        self._children.now = now
        self._take(event)
        self._settle()
        return self._children.drain()

    def __repr__(self) -> str:
        counts = self._children.counts()
        purpose = self._plan.purpose if self._plan is not None else "none"
        return f"<SupervisorState {self.name!r} plan={purpose} active={counts.active}>"

    def _take(self, event: Event) -> None:
        match event:
            case Begun():
                self._has_begun = True
            case ChildStarted(attempt):
                self._children.started(attempt)
            case ChildIgnored(attempt):
                self._child_ignored(self._children.with_process(attempt))
            case ChildStartFailed(attempt, reason) | ChildExited(attempt, reason):
                self._child_gone(self._children.with_process(attempt), reason)
            case TimerFired(key):
                self._children.time_is_up(key)
            case ShutdownRequested(reason):
                self._shutdown_requested(reason)
            case WhichChildrenRequested() | CountChildrenRequested() | GetChildSpecRequested():
                self._children.answer(event)
            case _:
                self._accept(event)

    def _settle(self) -> None:
        """Take every step that need not wait for anything."""
        while self._has_begun and not self._has_ended:
            self._advance()
            item = self._backlog.next_ready(self._children, is_busy=self._plan is not None)
            if item is None:
                return
            match item:
                case Death():
                    self._mourn(item)
                case Retry(plan, failed):
                    if plan.starts:
                        self._restart(failed, plan)
                case _:
                    self._serve(item)

    def _advance(self) -> None:
        plan = self._plan
        if plan is None or plan.is_waiting:
            return
        while plan.stops:
            plan.current = plan.stops.popleft()
            if plan.current.attempt is not None:
                self._children.stop(plan.current)
                return
        if plan.purpose is Purpose.SHUTDOWN:
            self._exit()
        elif plan.starts:
            plan.current = plan.starts.popleft()
            plan.tried.append(plan.current)
            self._start(plan.current, plan.purpose)
        else:
            self._plan = None
            if plan.purpose is Purpose.INITIAL:
                self._children.emit(ReportStarted())

    def _launch(self, plan: Plan) -> None:
        """Carry out a plan: child by child, or at once if its children do not depend on others."""
        if self.flags.strategy == Strategy.ONE_FOR_ONE:
            for child in plan.starts:
                self._start(child, plan.purpose)
            return
        self._await_turns(plan)
        self._plan = plan

    def _await_turns(self, plan: Plan) -> None:
        for child in plan.starts:
            if child.attempt is None:
                self._children.wait(child, ChildStatus.RESTARTING)

    def _start(self, child: Child, purpose: Purpose) -> None:
        again = purpose is Purpose.RESTART
        status = ChildStatus.RESTARTING if again else ChildStatus.STARTING
        self._children.start(child, status, automatic=again)

    def _child_ignored(self, child: Child | None) -> None:
        if child is None:
            return
        if child.status is ChildStatus.STOPPING:
            self._leave(child, SHUTDOWN)
            return
        child.is_new = False
        self._children.gone(child, ChildStatus.STOPPED, None)
        self._children.reply(child.starters, Ignored())
        if child.spec.is_temporary:
            self._children.remove(child)

    def _child_gone(self, child: Child | None, reason: ExitReason) -> None:
        if child is None:
            return
        if child.status is ChildStatus.STOPPING or self._is_absorbed(child):
            self._children.report_stopped(child, reason)
            self._leave(child, reason)
        elif child.is_in_transition:
            self._start_failed(child, self._children.start_failure(child, reason))
        else:
            again = should_restart(child.spec.restart, reason)
            status = ChildStatus.RESTARTING if again else ChildStatus.STOPPED
            self._children.gone(child, status, reason)
            child.exit_pending = True
            self._backlog.add(Death(child, child.last_attempt, reason))

    def _is_absorbed(self, child: Child) -> bool:
        """Whether the child was about to be stopped anyway."""
        return self._plan is not None and child in self._plan.stops

    def _leave(self, child: Child, reason: ExitReason) -> None:
        """Note the end of a child that was to end."""
        returns = self._plan is not None and child in self._plan.starts
        status = ChildStatus.RESTARTING if returns else ChildStatus.STOPPED
        self._children.gone(child, status, reason)
        self._children.refuse_start(child, reason)
        if child.spec.is_temporary or child.is_new:
            self._children.remove(child)
        self._children.reply(child.waiters, None)

    def _start_failed(self, child: Child, reason: ExitReason) -> None:
        self._children.gone(child, ChildStatus.STOPPED, reason)
        is_asked, is_patient = bool(child.starters), self._budget.backoff is not None
        self._children.refuse_start(child, reason)
        if child.spec.is_temporary if is_patient else child.is_new:
            self._children.remove(child)
        elif is_patient:
            child.is_new = False
            if self._plan is not None and self._plan.current is child:
                self._plan.current = None  # its siblings do not wait for the retries
            self._restart(child, Plan(Purpose.RESTART, starts=deque([child])))
        elif not is_asked:
            self._start_again(child, reason)

    def _start_again(self, child: Child, reason: ExitReason) -> None:
        """Go on after a start that nobody asked for by hand has failed."""
        plan = self._plan
        if plan is None:
            retry = Plan(Purpose.RESTART, starts=deque([child]))
        elif plan.purpose is Purpose.INITIAL:
            detail = f"failed to start child {child.spec.id!r}: {reason}"
            self._shut_down(ExitReason(ReasonKind.SHUTDOWN, detail, reason.traceback))
            return
        else:
            retry = plan.after_failure(child, self.flags.strategy)
            self._plan = None
        self._await_turns(retry)
        self._backlog.add(Retry(retry, child))

    def _mourn(self, death: Death) -> None:
        """Decide what follows from the end of a child that ran (otp.md §1.3, §1.9)."""
        child, reason = death.child, death.reason
        if not child.exit_pending or child.last_attempt != death.attempt:
            return
        if should_restart(child.spec.restart, reason):
            self._restart(child, None)
            return
        self._children.acted_on(child, Action.STOPPED)
        if child.spec.is_temporary:
            self._children.remove(child)
        others = (o.spec for o in self._children if o is not child and o.is_active)
        if ends_supervisor(child.spec, self.flags.auto_shutdown, others):
            self._children.report("auto_shutdown", "info", child, reason=reason)
            self._shut_down(SHUTDOWN)

    def _restart(self, child: Child, plan: Plan | None) -> None:
        """Spend one restart, on that plan or else on what the strategy demands."""
        budget = self._budget
        verdict = budget.spend(child.record, now=self._children.now, uptime=child.uptime)
        self._children.acted_on(child, verdict.action)
        match verdict:
            case RestartNow():
                self._launch(plan if plan is not None else self._restart_plan(child))
            case RetryAt(at):
                self._children.fail_until(child, at)
            case GiveUp():
                self._children.report_intensity(child, budget.intensity)
                self._shut_down(SHUTDOWN)

    def _restart_plan(self, failed: Child) -> Plan:
        members = affected_by(failed, self._children, self.flags.strategy)
        stops = [child for child in reversed(members) if child.attempt is not None]
        for child in members:
            self._withdraw(child, Action.RESTARTED)
            if child.spec.is_temporary and child.attempt is None:
                self._children.remove(child)
        starts = (child for child in members if not child.spec.is_temporary)
        return Plan(Purpose.RESTART, deque(stops), deque(starts))

    def _withdraw(self, child: Child, action: Action) -> None:
        """Forget what was going to happen to the child."""
        self._children.acted_on(child, action)
        if self._plan is not None:
            self._plan.withdraw(child)
        self._backlog.withdraw(child)

    def _accept(self, request: Management) -> None:
        """Queue a request, unless it can be refused already."""
        refused: errors.BeethovenError | None = None
        match request:
            case _ if self._exit_reason is not None:
                refused = self._stopping()
            case TerminateDynamicChildRequested(attempt=attempt):
                refused = errors.ChildNotFound(child=f"of attempt {attempt}")
            case StartChildRequested(spec=spec):
                try:
                    validate_child(spec, self.flags.auto_shutdown)
                except errors.SpecError as error:
                    refused = error
            case _ if not isinstance(request.id, str):
                refused = errors.ChildNotFound(child=repr(request.id))
        if refused is not None:
            self._children.reply([request.request], refused)
        elif not isinstance(request, TerminateDynamicChildRequested):
            self._backlog.add(request)

    def _stopping(self) -> errors.SupervisionError:
        return errors.SupervisionError(f"supervisor {self.name!r} is stopping")

    def _serve(self, item: Accepted) -> None:
        child = self._children.only(child_id_of(item))
        if isinstance(child, Child):
            self._serve_known(item, child)
        elif isinstance(item, StartChildRequested):
            added = self._children.add(item.spec, self._budget.record_of(item.spec))
            added.is_new = True
            self._start_by_hand(added, item)
        else:
            self._children.reply([item.request], child)

    def _serve_known(self, item: Accepted, child: Child) -> None:
        if isinstance(item, TerminateChildRequested):
            self._terminate(child, item)
        elif (refused := refusal(item, child)) is not None:
            self._children.reply([item.request], refused)
        elif isinstance(item, DeleteChildRequested):
            self._children.remove(child)
            self._children.reply([item.request], None)
        else:
            self._start_by_hand(child, item)

    def _start_by_hand(self, child: Child, item: Accepted) -> None:
        child.starters.append(item.request)
        self._launch(Plan(Purpose.REQUEST, starts=deque([child])))

    def _terminate(self, child: Child, item: TerminateChildRequested) -> None:
        self._withdraw(child, Action.STOPPED)
        child.waiters.append(item.request)
        if child.attempt is not None:
            self._children.stop(child)
            return
        self._children.wait(child, ChildStatus.STOPPED)
        if child.spec.is_temporary:
            self._children.remove(child)
        self._children.reply(child.waiters, None)

    def _shutdown_requested(self, reason: ExitReason) -> None:
        self._has_begun = True
        if self._exit_reason is None:
            self._shut_down(reason)
        elif reason.kind is ReasonKind.KILLED:
            for child in reversed(self._children):
                if child.attempt is not None:
                    self._children.stop(child)

    def _shut_down(self, reason: ExitReason) -> None:
        """Stop every child in reverse start order, then exit with that reason (otp.md §1.6)."""
        self._exit_reason = reason
        self._children.reply(self._backlog.clear(), self._stopping())
        for child in self._children:
            self._children.acted_on(child, Action.STOPPED)
            self._children.reply(child.starters, self._stopping())
            if child.attempt is None:
                self._children.wait(child, ChildStatus.STOPPED)
        self._plan = Plan(Purpose.SHUTDOWN, deque(reversed(self._children)))

    def _exit(self) -> None:
        assert self._exit_reason is not None
        self._has_ended = True
        self._children.emit(Exit(self._exit_reason))
