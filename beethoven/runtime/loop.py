"""
The loop of a role: which callback runs for a message, and what its result means.

Semantics are those of OTP's `gen_server`.
"""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from beethoven.log import get_log
from beethoven.runtime import birth, framing
from beethoven.runtime.answers import Due
from beethoven.runtime.caller import Caller, reply
from beethoven.runtime.client import Client
from beethoven.runtime.deadlines import request_in_time
from beethoven.runtime.exit_signals import Down, Exit, ParentExit
from beethoven.runtime.here import here
from beethoven.runtime.invocation import Invocation
from beethoven.runtime.life import failure
from beethoven.runtime.marked import Marked
from beethoven.runtime.patience import PATIENCE, TOO_SLOW, within
from beethoven.runtime.process import Process
from beethoven.runtime.reason import (
    NORMAL,
    ExitReason,
    ReasonKind,
    as_reason,
    from_exception,
    text_of,
    told_by,
)
from beethoven.runtime.returns import Ignore, NoReply
from beethoven.runtime.role_context import RoleContext, SnapshotRequest
from beethoven.runtime.status import CrashReport, Shown, Status, name_of, state_of
from beethoven.runtime.system import ObjectHost, System

log = get_log("role")

# How many debug events a crash report has.
_LAST_EVENTS: Final = 16


class Stop(Exception):
    """
    Raised in a callback: end this process.

    Args:
        reason: "normal", "shutdown", an `ExitReason`, or any other value, which is abnormal.
        reply: In `handle_call`: the reply, sent after `terminate` has run.
    """

    def __init__(self, reason: object = NORMAL, *, reply: Any = NoReply) -> None:
        super().__init__(reason)
        self.reason = as_reason(reason)
        self.reply = reply


# A callback to run, its arguments, and who gets its result. Plain, for there is one a message.
Step = tuple[Callable[..., Any], tuple[Any, ...], Caller | None]


def _kind(callback: Callable[..., Any]) -> str:
    """Return what a callback handles: "call", "cast", "info" or "continue"."""
    name: str = callback.__name__
    return name.removeprefix("handle_")


def _pid(caller: Caller | None) -> int | None:
    """Return who waits for a result."""
    return None if caller is None else caller.pid


def _name(callback: Callable[..., Any], request: object) -> str:
    """Return the name of what runs, for people."""
    return request.method if isinstance(request, Invocation) else str(callback.__name__)


@dataclass(frozen=True, slots=True)
class Timeout:
    """A timer of this process whose time has come."""

    message: Any


def _bad_return(callback: str, value: object) -> ExitReason:
    """Return the reason of a process whose callback has returned what it must not."""
    return ExitReason(ReasonKind.OTHER, f"bad return value of {callback}: {text_of(value)}")


class Callbacks(Protocol):
    """What a role has for the loop to run."""

    def init(self, args: Any) -> Any: ...
    def handle_call(self, request: Any, caller: Caller) -> Any: ...
    def handle_cast(self, request: Any) -> Any: ...
    def handle_info(self, message: Any) -> Any: ...
    def handle_continue(self, argument: Any) -> Any: ...
    def terminate(self, reason: ExitReason) -> Any: ...
    def answer_snapshot(self, request: SnapshotRequest) -> Any: ...
    def take_context(self, context: RoleContext) -> Any: ...
    def go_on(self) -> Any: ...
    def format_status(self, status: Status) -> Status: ...


class Loop:
    """Runs the callbacks of a role: what each message means, and what each result means."""

    def __init__(self, role: Callbacks, process: Process) -> None:
        self.role = role
        self.marked = Marked(role)
        self.process = process
        self.system = System(process, ObjectHost(role))
        self.step: Step | None = None
        self._peeked: Any = None
        self._told_to_end: ExitReason | None = None

    def run(self, args: Any) -> ExitReason:
        """Run plain callbacks until the end."""
        try:
            result = self.role.init(args)
            self.role.go_on()
        except BaseException as error:
            return self.start_failed(error)
        if (ended := self.started(result)) is not None:
            return ended
        try:
            while True:
                self.step = self.next_step()
                if self.step is not None:
                    callback, arguments, _ = self.step
                    self.settle(self.step, callback(*arguments))
                    # A large request must not stay in memory until the next one comes.
                    del arguments
                    self.step = None
        except BaseException as error:
            return self._end(error)

    def _end(self, error: BaseException) -> ExitReason:
        self.process.end_copy()
        reason = self.reason_of(error)
        try:
            self.role.terminate(reason)
        except BaseException as second:
            reason = self.reason_of(second)
        self.ended(error, reason)
        return reason

    def start_failed(self, error: BaseException) -> ExitReason:
        """Tell the parent that `init` failed."""
        self.process.end_copy()
        what = failure(error)
        if isinstance(error, Stop):
            what = type(what)(error.reason)
        self.process.say(birth.FAILED, pickle.dumps(what, 5))
        return what.reason

    def started(self, result: Any) -> ExitReason | None:
        """Tell the parent that `init` has returned. Return the reason if that was the end."""
        self.process.end_copy()
        if result is Ignore:
            self.process.say(birth.IGNORED)
            return NORMAL
        if result is not None:
            return self.start_failed(Stop(_bad_return("init", result)))
        self.process.say(birth.STARTED)
        return None

    def next_step(self) -> Step | None:
        """
        Wait for a message and return the callback to run for it, if there is one.

        Raises:
            Stop: The process is to end.
        """
        process = self.process
        step: Step | None
        if process.continuation is not None:
            step = self.role.handle_continue, process.continuation, None
            process.continuation = None
        elif self._peeked is not None:
            message, self._peeked = self._peeked, None
            step = self._step_for(message)
        else:
            step = self._step_for(process.receive())
        if step is not None:
            if process.timers.silence is not None:
                process.timers.break_silence()
            if self.system.is_tapped:
                callback, arguments, caller = step
                self.system.note(_kind(callback), arguments[0], _pid(caller))
        return step

    def has_step(self) -> bool:
        """Whether `next_step` would not wait."""
        if self.process.continuation is None and self._peeked is None:
            self._peeked = self.process.receive(wait=False)
        return self.process.continuation is not None or self._peeked is not None

    def _step_for(self, message: Any) -> Step | None:
        """Return the callback to run for a message, if there is one."""
        role = self.role
        if self.system.is_suspended and self.system.takes(message):
            return None
        if type(message) is tuple:
            kind, client, number, payload = message
            if kind == framing.SYSTEM:
                self.system.answer(client, number, payload)
                return None
            try:
                if kind == framing.CALL_BY:
                    if (payload := request_in_time(payload)) is None:
                        return None
                    kind = framing.CALL
                value = pickle.loads(payload)
                if kind == framing.STOP:
                    value = as_reason(value)
            except BaseException as error:
                # Also one that exits when it is unpickled ends nobody.
                self._refuse(kind, client, number, error)
                return None
            server = self.marked if type(value) is Invocation else role
            if kind == framing.CALL:
                caller = Caller(client, number)
                return server.handle_call, (value, caller), caller
            if kind == framing.CAST:
                return server.handle_cast, (value,), None
            if kind == framing.INFO:
                return None if self._is_of_node(value) else (role.handle_info, (value,), None)
            raise Stop(value)
        match message:
            case ParentExit(reason):
                self._told_to_end = reason
                raise Stop(reason)
            case Timeout(value):
                return role.handle_info, (value,), None
            case Due():
                answer = message.open()
                return None if answer is None else (role.handle_info, (answer,), None)
        assert isinstance(message, Exit | Down), message
        return role.handle_info, (message,), None

    def _is_of_node(self, message: Any) -> bool:
        """Whether a plain message was from the node, which no role is bothered with; heed it."""
        match message:
            case SnapshotRequest():
                self.role.answer_snapshot(message)
            case RoleContext():
                self.role.take_context(message)
            case _:
                return False
        return True

    def _refuse(self, kind: int, client: Client, number: int, error: BaseException) -> None:
        cause = f"{type(error).__name__}: {told_by(error)}"
        if kind in {framing.CALL, framing.CALL_BY}:
            client.refuse(number, cause)
        log.warning("unreadable_message", role=type(self.role).__qualname__, cause=cause)

    def settle(self, step: Step, result: Any) -> None:
        """
        Do what a callback's result asks for.

        Raises:
            Stop: It asks for nothing that can be done.
        """
        if here.process is not self.process:
            self.process.end_copy()
        if result is NoReply:
            return
        callback, arguments, caller = step
        if caller is not None:
            if self.system.is_tapped:
                self.system.note("reply", result, caller.pid)
            caller.client.reply(caller.number, result)
        elif result is not None:
            raise Stop(_bad_return(_name(callback, arguments[0]), result))

    def reason_of(self, error: BaseException) -> ExitReason:
        """Return why a callback that raised ends the process."""
        return error.reason if isinstance(error, Stop) else from_exception(error)

    def ended(self, error: BaseException, reason: ExitReason) -> None:
        """Leave a crash report for a failure, and send the reply of a `Stop` that has one."""
        self.process.end_copy()
        caller = None if self.step is None else self.step[2]
        if reason.is_abnormal and reason is not self._told_to_end:
            self.process.crash_report = self._crash_report(reason)
        if isinstance(error, Stop) and error.reply is not NoReply and caller is not None:
            reply(caller, error.reply)

    def _crash_report(self, reason: ExitReason) -> CrashReport:
        message, client = None, None
        if self.step is not None:
            callback, arguments, caller = self.step
            message = (_kind(callback), arguments[0])
            client = _pid(caller)
        raw = Status(state_of(self.role), message, reason, self.system.events[-_LAST_EVENTS:])
        silent = Shown(TOO_SLOW, "" if message is None else TOO_SLOW, reason, ())
        shown = within(PATIENCE, lambda: self.system.show(raw), silent)
        return CrashReport(name_of(type(self.role)), shown, client, self.process.label or "")
