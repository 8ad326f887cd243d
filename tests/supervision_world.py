"""
A world of fake processes around a supervisor's decisions: virtual time, no process, no waiting.

It performs effects, answers them as its script says, and checks at every step what must always
hold.
"""

import heapq
import itertools
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from beethoven.runtime.reason import KILLED, NORMAL, SHUTDOWN, ExitReason, ReasonKind
from beethoven.supervision import events as ev
from beethoven.supervision.child_spec import ChildSpec, DynamicFlags, SupervisorFlags
from beethoven.supervision.dynamic_supervisor_state import DynamicSupervisorState
from beethoven.supervision.supervisor_state import SupervisorState

CRASH = ExitReason(ReasonKind.EXCEPTION, "ValueError: boom", "Traceback ...")
OK = ("ok", None)
CLEAN = ExitReason(ReasonKind.SHUTDOWN, "done")


class Server:
    """A role, as far as specifications look at it."""

    def live(self) -> None:
        """Never run here."""


def spec(child_id: str, **options: Any) -> ChildSpec:
    return ChildSpec(child_id, Server, **options)


@dataclass(frozen=True)
class Up:
    after: float = 0.0


@dataclass(frozen=True)
class Fail:
    after: float = 0.0
    reason: ExitReason = CRASH


@dataclass(frozen=True)
class Ignore:
    after: float = 0.0


@dataclass(frozen=True)
class Hang:
    """`init` never returns."""


Outcome = Up | Fail | Ignore | Hang


@dataclass(frozen=True)
class Obey:
    """How a process answers an exit signal: it ends after a while."""

    after: float = 0.0
    reason: ExitReason = SHUTDOWN


@dataclass(frozen=True)
class Defy:
    """It ignores exit signals."""


@dataclass
class Process:
    id: str
    is_up: bool = False


class World:
    def __init__(
        self, state: SupervisorState | DynamicSupervisorState, *, unique_ids: bool = True
    ) -> None:
        self.state = state
        self.unique_ids = unique_ids
        self.now = 100.0
        self.trace: list[str] = []
        self.reports: list[ev.Report] = []
        self.replies: dict[Any, Any] = {}
        self.asked: list[Any] = []
        self.exit: ExitReason | None = None
        self.is_reported_started = False
        self.processes: dict[int, Process] = {}
        self.started_at: dict[int, float] = {}
        # The next outcomes of each child's init and its answers to signals; the last one stays.
        self.init: defaultdict[str, list[Outcome]] = defaultdict(lambda: [Up()])
        self.on_stop: defaultdict[str, list[Obey | Defy]] = defaultdict(lambda: [Obey()])
        self.on_start: Callable[[str], Outcome] | None = None
        self._queue: list[tuple[float, int, ev.Event]] = []
        self._order = itertools.count()
        self._timers: dict[ev.TimerKey, float] = {}

    def begin(self) -> "World":
        self.deliver(ev.Begun())
        return self

    def deliver(self, event: ev.Event) -> None:
        """Let the supervisor hear of it, and everything that follows without time passing."""
        self._post(0.0, event)
        self.advance(0.0)

    def advance(self, seconds: float) -> None:
        """Let time pass, event by event."""
        self.advance_to(self.now + seconds)

    def advance_to(self, end: float) -> None:
        """Let time pass up to a moment, and do what is due then."""
        while (due := self._next_due()) is not None and due <= end:
            self.now = max(self.now, due)
            self._step(due)
        self.now = max(self.now, end)

    def ask(self, kind: Callable[..., ev.Event], *args: Any) -> Any:
        """Make a request; return its reply, or None while there is none."""
        request = self.request(kind, *args)
        return self.replies.get(request)

    def request(self, kind: Callable[..., ev.Event], *args: Any) -> int:
        request = len(self.asked)
        self.asked.append(request)
        self.deliver(kind(request, *args))
        return request

    def crash(self, *child_ids: str, reason: ExitReason = CRASH) -> None:
        """Let children end by themselves, at the same moment, in that order."""
        for child_id in child_ids:
            self._end(self.attempt(child_id), 0.0, reason)
        self.advance(0.0)

    def die(self, child_id: str, reason: ExitReason) -> None:
        """Let a child end by itself; `advance` lets the supervisor hear of it."""
        self._end(self.attempt(child_id), 0.0, reason)

    def end(self, attempt: int, reason: ExitReason = CRASH) -> None:
        self._end(attempt, 0.0, reason)
        self.advance(0.0)

    def attempt(self, child_id: str) -> int:
        return next(a for a, p in self.processes.items() if p.id == child_id)

    def running(self) -> list[str]:
        return [p.id for p in self.processes.values() if p.is_up]

    def listing(self) -> dict[str, ev.ChildInfo]:
        return {info.id: info for info in reversed(self.ask(ev.WhichChildrenRequested))}

    def statuses(self) -> dict[str, str]:
        return {child_id: str(info.status) for child_id, info in self.listing().items()}

    def counts(self) -> tuple[int, int, int, int]:
        c = self.ask(ev.CountChildrenRequested)
        return (c.specs, c.active, c.supervisors, c.workers)

    def cleared(self) -> list[str]:
        """Return the trace since the last call."""
        trace, self.trace = self.trace, []
        return trace

    def reported(self, event: str) -> list[str]:
        return [str(r.fields["child"]) for r in self.reports if r.event == event]

    def _post(self, after: float, event: ev.Event) -> None:
        heapq.heappush(self._queue, (self.now + after, next(self._order), event))

    def _next_due(self) -> float | None:
        dues = [self._queue[0][0]] if self._queue else []
        return min([*dues, *self._timers.values()], default=None)

    def _step(self, due: float) -> None:
        if self._queue and self._queue[0][0] <= due:
            event = heapq.heappop(self._queue)[2]
        else:
            key = min(self._timers, key=lambda k: self._timers[k])
            del self._timers[key]
            event = ev.TimerFired(key)
        if self._is_real(event):
            self._hand_over(event)

    def _is_real(self, event: ev.Event) -> bool:
        """Note what happens to the process; an event about one that is gone never occurs."""
        match event:
            case ev.ChildStarted(attempt):
                if attempt not in self.processes:
                    return False
                self.processes[attempt].is_up = True
            case ev.ChildIgnored(attempt):
                return self.processes.pop(attempt, None) is not None
            case ev.ChildStartFailed(attempt, reason) | ev.ChildExited(attempt, reason):
                if attempt not in self.processes:
                    return False
                process = self.processes.pop(attempt)
                self.trace.append(f"{process.id} ended: {reason}")
        return True

    def _hand_over(self, event: ev.Event) -> None:
        effects = self.state.handle(event, now=self.now)
        for position, effect in enumerate(effects):
            self._perform(effect, is_last=position == len(effects) - 1)

    def _perform(self, effect: ev.Effect, *, is_last: bool) -> None:
        if not isinstance(effect, ev.Reply | ev.ReplyError):
            assert self.exit is None, f"{effect} after the exit"
        match effect:
            case ev.StartChild(attempt, child):
                self._launch(attempt, child)
            case ev.StopChild(attempt, reason):
                self._signal(attempt, reason)
            case ev.KillChild(attempt):
                self.trace.append(f"kill {self.processes[attempt].id}")
                self._end(attempt, 0.0, KILLED)
            case ev.SetTimer(key, at):
                assert key not in self._timers
                self._timers[key] = at
            case ev.CancelTimer(key):
                self._timers.pop(key, None)
            case ev.Reply(request, value):
                self._answer(request, OK if value is None else value)
            case ev.ReplyError(request, error):
                self._answer(request, error)
            case ev.ReportStarted():
                self.is_reported_started = True
            case ev.Report():
                self.reports.append(effect)
            case ev.Exit(reason):
                assert is_last
                assert not self.processes, "processes left behind"
                assert not self._timers, "timers left behind"
                self.exit = reason
                assert set(self.asked) == set(self.replies), "requests left without a reply"

    def _answer(self, request: Any, value: Any) -> None:
        assert request not in self.replies, "answered twice"
        self.replies[request] = value

    def _launch(self, attempt: int, child: ChildSpec) -> None:
        assert attempt not in self.started_at, "attempt numbers are unique"
        if self.unique_ids:
            assert child.id not in [p.id for p in self.processes.values()], "two of one child"
        self.started_at[attempt] = self.now
        self.processes[attempt] = Process(child.id)
        self.trace.append(f"start {child.id}")
        script = self.init[child.id]
        outcome = script.pop(0) if len(script) > 1 else script[0]
        if self.on_start is not None:
            outcome = self.on_start(child.id)
        match outcome:
            case Up(after):
                self._post(after, ev.ChildStarted(attempt))
            case Fail(after, reason):
                self._post(after, ev.ChildStartFailed(attempt, reason))
            case Ignore(after):
                self._post(after, ev.ChildIgnored(attempt))

    def _signal(self, attempt: int, reason: ExitReason) -> None:
        process = self.processes[attempt]
        assert reason == SHUTDOWN
        self.trace.append(f"stop {process.id}")
        script = self.on_stop[process.id]
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer, Obey):
            self._end(attempt, answer.after, answer.reason)

    def _end(self, attempt: int, after: float, reason: ExitReason) -> None:
        kind = ev.ChildExited if self.processes[attempt].is_up else ev.ChildStartFailed
        self._post(after, kind(attempt, reason))


def deeds(trace: list[str]) -> list[str]:
    """Return the starts and stops, without the stops of what had ended already."""
    found = []
    for number, line in enumerate(trace):
        deed, _, child_id = line.partition(" ")
        if deed == "stop":
            ends = (each for each in trace[number:] if each.startswith(f"{child_id} ended"))
            # Without an end it was a start that came to nothing.
            if next(ends, "") != f"{child_id} ended: {SHUTDOWN}":
                continue
        if deed in {"start", "stop"}:
            found.append(line)
    return found


def supervisor(*specs: ChildSpec | str, **flags: Any) -> World:
    """Return a world around a static supervisor that has not begun yet."""
    children = [spec(s) if isinstance(s, str) else s for s in specs]
    return World(SupervisorState("tree", SupervisorFlags(**flags), children))


def dynamic(**flags: Any) -> World:
    """Return a world around a dynamic supervisor that has begun."""
    return World(DynamicSupervisorState("tree", DynamicFlags(**flags)), unique_ids=False).begin()


__all__ = [
    "CLEAN",
    "CRASH",
    "NORMAL",
    "OK",
    "Defy",
    "Fail",
    "Hang",
    "Ignore",
    "Obey",
    "Up",
    "World",
    "deeds",
    "dynamic",
    "spec",
    "supervisor",
]
