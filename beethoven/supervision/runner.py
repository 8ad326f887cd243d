"""
Performs what a supervisor's state decides: launches, signals, timers, replies, reports.

No policy here. Every message that arrives becomes an event, every effect one act; nothing blocks.
"""

import pickle
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Protocol, assert_never

from beethoven import clock, errors
from beethoven.log import get_log
from beethoven.runtime import birth, framing, launcher, start
from beethoven.runtime.birth import StartFailure
from beethoven.runtime.client import Client
from beethoven.runtime.deadlines import request_in_time
from beethoven.runtime.exit_signals import Exit, ParentExit
from beethoven.runtime.launcher import Child, ChildEvent, Exited
from beethoven.runtime.process import Process
from beethoven.runtime.reason import ExitReason, ReasonKind, as_reason, from_exception
from beethoven.runtime.reference import Ref
from beethoven.runtime.status import CrashReport, Shown, bounded
from beethoven.runtime.system import System
from beethoven.supervision import events
from beethoven.supervision.child_spec import ChildSpec
from beethoven.supervision.listing import ChildEntry, SupervisorHost
from beethoven.supervision.obituaries import Obituaries
from beethoven.supervision.sealing import label_of, start_method_of

log = get_log("supervisor")

# References to ended children by which `terminate_child` may still speak of them.
_REMEMBERED: Final = 4096


class State(Protocol):
    """The state of a static or a dynamic supervisor."""

    def handle(self, event: events.Event, *, now: float) -> list[events.Effect]: ...


class Requester(Protocol):
    """Who is told what came of a request."""

    def reply(self, value: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class Asker:
    """Who has asked, over a connection."""

    client: Client
    number: int
    expects_reply: bool

    @property
    def is_there(self) -> bool:
        return self.client.stream.fileno() >= 0

    def reply(self, value: Any) -> None:
        if self.expects_reply:
            self.client.reply(self.number, value)


@dataclass(frozen=True, slots=True)
class _ChildNews:
    attempt: int
    event: ChildEvent


@dataclass(frozen=True, slots=True)
class _TimerNews:
    key: events.TimerKey


_REQUESTS: Final[Mapping[str, type[events.Query | events.Management]]] = {
    "start_child": events.StartChildRequested,
    "terminate_child": events.TerminateChildRequested,
    "restart_child": events.RestartChildRequested,
    "delete_child": events.DeleteChildRequested,
    "which_children": events.WhichChildrenRequested,
    "count_children": events.CountChildrenRequested,
    "get_child_spec": events.GetChildSpecRequested,
}


_FRAMES: Final = {framing.CALL: "call", framing.CAST: "cast", framing.STOP: "stop"}

# What may make a child run, or exist no more.
_ANSWERS_WAITING: Final = (
    events.ChildStarted,
    events.ChildIgnored,
    events.ChildStartFailed,
    events.ChildExited,
    events.TerminateChildRequested,
    events.TerminateDynamicChildRequested,
    events.DeleteChildRequested,
)


def _arity(verb: str) -> int:
    """Return how many arguments a request has, -1 if there is no such request."""
    request = _REQUESTS.get(verb)
    return -1 if request is None else len(fields(request)) - 1


class Runner:
    """A supervisor at work."""

    trap_exit = True

    def __init__(self, process: Process, state: State, name: str) -> None:
        self._process = process
        self._state = state
        self._log = log.bind(supervisor=name)
        self._children: dict[int, Child] = {}
        self._attempts: OrderedDict[str, int] = OrderedDict()
        self._obituaries = Obituaries(process)
        self._role = type(state).__name__.removesuffix("State")
        self._system = System(process, SupervisorHost(self._role, self._entries))
        self._timers: dict[events.TimerKey, int] = {}
        self._waiting: list[tuple[Asker, object]] = []
        self._cause = b""
        self._is_started = False
        self._reports = True
        self._exit: ExitReason | None = None
        process.resident = self
        start.current.process = process

    def run(self) -> ExitReason:
        """Supervise until the end."""
        self._handle(events.Begun())
        while self._exit is None:
            message = self._process.receive()
            if not self._system.takes(message):
                self._take(message)
        if not self._is_started:
            failure = StartFailure(self._exit)
            self._process.say(birth.FAILED, pickle.dumps(failure, 5))
        return self._exit

    def _take(self, message: Any) -> None:
        if type(message) is tuple:
            self._take_frame(*message)
            return
        if self._system.is_tapped:
            self._system.note("info", message)
        match message:
            case ParentExit(reason, is_orphaned):
                self._handle(events.ShutdownRequested(reason))
                if is_orphaned:
                    # Nobody asked the children: that they end as orphans do is no error.
                    self._reports = False
                    self._handle(events.ShutdownRequested(reason))
            case _ChildNews(attempt, event):
                self._take_child_event(attempt, event)
            case _TimerNews(key):
                self._timers.pop(key, None)
                self._handle(events.TimerFired(key))
            case Exit():
                # A registry that had its name has ended; exit signals of others end no supervisor.
                return
            case _:
                self._log.warning("unexpected_message", message=bounded(message))

    def _take_frame(
        self, kind: int, client: Client, number: int, payload: bytes | bytearray | memoryview
    ) -> None:
        try:
            if kind == framing.CALL_BY:
                if (request := request_in_time(payload)) is None:
                    return
                kind, payload = framing.CALL, request
            value = pickle.loads(payload)
            if kind == framing.STOP:
                value = as_reason(value)
        except BaseException as error:
            # Also one that exits when it is unpickled ends no supervisor.
            client.refuse(number, f"{type(error).__name__}: {error}")
            return
        if self._system.is_tapped:
            self._system.note(_FRAMES.get(kind, "info"), value, client.pid)
        if kind == framing.STOP:
            if value.is_abnormal:
                self._process.crash_report = CrashReport(self._role, Shown({}, "", value, ()))
            self._handle(events.ShutdownRequested(value))
        elif kind == framing.INFO:
            self._log.warning("unexpected_message", message=bounded(value))
        else:
            self._take_request(Asker(client, number, expects_reply=kind == framing.CALL), value)

    def _take_request(self, caller: Asker, value: Any) -> None:
        match value:
            case ("wait_child", child_id):
                # Those who no longer wait have closed their connection.
                self._waiting = [each for each in self._waiting if each[0].is_there]
                self._waiting.append((caller, child_id))
                self._answer_waiting()
            case ("terminate_process", Ref(str(identity))):
                attempt = self._attempts.get(identity, -1)
                self._handle(events.TerminateDynamicChildRequested(caller, attempt))
            case (str(verb), *arguments) if _arity(verb) == len(arguments):
                self._handle(_REQUESTS[verb](caller, *arguments))
            case _:
                caller.client.refuse(caller.number, f"a supervisor knows no {bounded(value)}")

    def _take_child_event(self, attempt: int, event: ChildEvent) -> None:
        if not isinstance(event, launcher.Started):
            self._bury(attempt, event)
        match event:
            case launcher.Started():
                self._handle(events.ChildStarted(attempt))
            case launcher.Ignored():
                self._handle(events.ChildIgnored(attempt))
            case launcher.Failed(reason, error):
                self._cause = error if reason.kind is ReasonKind.ALREADY_STARTED else b""
                self._handle(events.ChildStartFailed(attempt, reason))
                self._cause = b""
            case launcher.Exited(reason):
                self._handle(events.ChildExited(attempt, reason))

    def _bury(self, attempt: int, event: launcher.Ignored | launcher.Failed | Exited) -> None:
        """Forget a process that is gone, but for what the log is to be told of it."""
        child = self._children.pop(attempt, None)
        if child is not None and not isinstance(event, launcher.Ignored):
            report = event.report if isinstance(event, Exited) else None
            running = len(self._children)
            self._obituaries.keep(attempt, child, event.reason, report, running=running)

    def _handle(self, event: events.Event) -> None:
        for effect in self._state.handle(event, now=clock.monotonic()):
            self._perform(effect)
        if self._waiting and isinstance(event, _ANSWERS_WAITING):
            self._answer_waiting()

    def _perform(self, effect: events.Effect) -> None:
        match effect:
            case events.StartChild(attempt, spec):
                self._start_child(attempt, spec)
            case events.StopChild(attempt, reason):
                if (child := self._children.get(attempt)) is not None:
                    child.stop(reason)
            case events.KillChild(attempt):
                if (child := self._children.get(attempt)) is not None:
                    child.kill()
            case events.SetTimer(key, at):
                self._timers[key] = self._process.timers.set(at, _TimerNews(key))
            case events.CancelTimer(key):
                self._process.timers.cancel(self._timers.pop(key, 0))
            case events.Reply(request, value):
                self._reply(request, ("ok", self._shown(value)))
            case events.ReplyError(request, error):
                if isinstance(error, errors.ChildStartFailed):
                    error.cause = self._cause
                self._reply(request, ("error", error))
            case events.ReportStarted():
                self._is_started = True
                self._process.say(birth.STARTED)
            case events.Exit(reason):
                self._exit = reason
            case events.Report() if not self._reports:
                return
            case events.Report(name, level, fields):
                getattr(self._log, level)(name, **self._for_people(fields))
            case _:
                assert_never(effect)

    def _for_people(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a report with what is known of the child's process."""
        child = self._children.get(fields.get("attempt", 0))
        if child is not None:
            return {**fields, "child_pid": child.ref.pid}
        return self._obituaries.completed(fields)

    def _start_child(self, attempt: int, spec: ChildSpec) -> None:
        def notify(_: Child, event: ChildEvent) -> None:
            self._process.queue.append(_ChildNews(attempt, event))

        try:
            begin = start.begin(
                spec.role,
                spec.args,
                name=spec.name,
                linked=True,
                label=label_of(spec),
                supervised=True,
                **spec.options,
            )
            method, poller = start_method_of(spec), self._process.poller
            child = Child(begin, method=method, poller=poller, notify=notify)
        except Exception as error:
            failed = launcher.Failed(from_exception(error))
            self._process.queue.append(_ChildNews(attempt, failed))
            return
        self._children[attempt] = child
        self._attempts[child.ref.identity] = attempt
        if len(self._attempts) > _REMEMBERED + len(self._children):
            self._attempts.popitem(last=False)

    def _ref(self, attempt: int | None) -> Ref | None:
        child = None if attempt is None else self._children.get(attempt)
        return None if child is None else child.ref

    def _shown(self, value: Any) -> Any:
        """Return a reply of the state in the form in which callers get it."""
        match value:
            case events.Started(attempt):
                return self._ref(attempt)
            case events.Ignored():
                return None
            case tuple():
                return self._entries(value)
        return value

    def _entries(self, children: tuple[events.ChildInfo, ...] | None = None) -> list[ChildEntry]:
        children = self._children_now() if children is None else children
        return [self._entry(info) for info in children]

    def _entry(self, info: events.ChildInfo) -> ChildEntry:
        since = clock.wall() - (clock.monotonic() - info.changed_at)
        return ChildEntry.of(info, self._ref(info.attempt), since)

    def _answer_waiting(self) -> None:
        """Answer those who wait for a child that runs now, or that does not exist."""
        children = {info.id: info for info in self._children_now()}
        still: list[tuple[Asker, object]] = []
        for caller, child_id in self._waiting:
            child = children.get(child_id) if isinstance(child_id, str) else None
            if child is None:
                error = errors.ChildNotFound(child=repr(child_id))
                caller.reply(("error", error))
            elif (ref := self._living(child)) is not None:
                caller.reply(("ok", ref))
            else:
                still.append((caller, child_id))
        self._waiting = still

    def _living(self, child: events.ChildInfo) -> Ref | None:
        # Whoever has seen a child end must not be given it again, though its death is not over.
        ref = self._ref(child.attempt)
        is_up = child.status is events.ChildStatus.RUNNING
        return ref if is_up and ref is not None and ref.is_alive() else None

    def _children_now(self) -> tuple[events.ChildInfo, ...]:
        probe: Hashable = object()
        question = events.WhichChildrenRequested(probe)
        for effect in self._state.handle(question, now=clock.monotonic()):
            if isinstance(effect, events.Reply) and effect.request is probe:
                children: tuple[events.ChildInfo, ...] = effect.value
                return children
        raise AssertionError("a listing is always answered at once")

    def _reply(self, request: Hashable, value: Any) -> None:
        requester: Requester = request  # type: ignore[assignment]
        requester.reply(value)
