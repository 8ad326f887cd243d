"""
The loop of a role: which callback runs for a message, and what its result means.

Semantics are those of OTP's `gen_server`.
"""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from beethoven.log import get_log
from beethoven.runtime import birth, framing
from beethoven.runtime.client import Client
from beethoven.runtime.exit_signals import Down, Exit
from beethoven.runtime.life import failure
from beethoven.runtime.process import ParentExit, Process
from beethoven.runtime.reason import NORMAL, ExitReason, as_reason, from_exception
from beethoven.runtime.role_context import RoleContext, SnapshotRequest

log = get_log("role")


class _Word:
    """A constant that prints as its name and stays itself across processes."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name

    def __reduce__(self) -> str:
        return self._name


NoReply: Final = _Word("NoReply")
Ignore: Final = _Word("Ignore")


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


@dataclass(frozen=True, slots=True)
class Caller:
    """Who made a call; hand it to `reply` to answer later."""

    client: Client
    number: int

    @property
    def pid(self) -> int:
        """The operating system's number of the calling process."""
        return self.client.pid


class _Step(NamedTuple):
    """One callback to run, and whom its result concerns."""

    callback: Callable[..., Any]
    arguments: tuple[Any, ...]
    caller: Caller | None = None


@dataclass(frozen=True, slots=True)
class Timeout:
    """A timer of this process whose time has come."""

    message: Any


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


class Loop:
    """Runs the callbacks of a role: what each message means, and what each result means."""

    def __init__(self, role: Callbacks, process: Process) -> None:
        self.role = role
        self.process = process
        self._peeked: Any = None

    def run(self, args: Any) -> ExitReason:
        """Run plain callbacks until the end."""
        try:
            result = self.role.init(args)
            self.role.go_on()
        except BaseException as error:
            return self.start_failed(error)
        if (ended := self.started(result)) is not None:
            return ended
        caller: Caller | None = None
        try:
            while True:
                step = self.next_step()
                if step is not None:
                    callback, arguments, caller = step
                    self.settle(caller, callback(*arguments))
                    # A large request must not stay in memory until the next one comes.
                    del step, arguments
        except BaseException as error:
            return self._end(error, caller)

    def _end(self, error: BaseException, caller: Caller | None) -> ExitReason:
        reason = self.reason_of(error)
        try:
            self.role.terminate(reason)
        except BaseException as second:
            reason = self.reason_of(second)
        self.answer_stop(error, caller)
        return reason

    def start_failed(self, error: BaseException) -> ExitReason:
        """Tell the parent that `init` failed."""
        what = failure(error)
        if isinstance(error, Stop):
            what = type(what)(error.reason)
        self.process.say(birth.FAILED, pickle.dumps(what, 5))
        return what.reason

    def started(self, result: Any) -> ExitReason | None:
        """Tell the parent that `init` has returned. Return the reason if that was the end."""
        if result is Ignore:
            self.process.say(birth.IGNORED)
            return NORMAL
        self.process.say(birth.STARTED)

        return None

    def next_step(self) -> _Step | None:
        """
        Wait for a message and return the callback to run for it, if there is one.

        Raises:
            Stop: The process is to end.
        """
        role = self.role
        if self.process.continuation is not None:
            arguments, self.process.continuation = self.process.continuation, None
            return _Step(role.handle_continue, arguments)
        message = self._peeked if self._peeked is not None else self.process.receive()
        self._peeked = None
        return self.step_for(message)

    def has_step(self) -> bool:
        """Whether `next_step` would not wait."""
        if self.process.continuation is None and self._peeked is None:
            self._peeked = self.process.receive(wait=False)
        return self.process.continuation is not None or self._peeked is not None

    def step_for(self, message: Any) -> _Step | None:
        """Return the callback to run for a message, if there is one."""
        role = self.role
        if type(message) is tuple:
            kind, client, number, payload = message
            try:
                value = pickle.loads(payload)
            except Exception as error:
                self._refuse(kind, client, number, error)
                return None
            if kind == framing.CALL:
                caller = Caller(client, number)
                return _Step(role.handle_call, (value, caller), caller)
            if kind == framing.CAST:
                return _Step(role.handle_cast, (value,))
            if kind == framing.INFO:
                return _Step(self._info_callback(value), (value,))
            raise Stop(value)
        match message:
            case ParentExit(reason):
                raise Stop(reason)
            case Timeout(value):
                return _Step(role.handle_info, (value,))
        assert isinstance(message, Exit | Down), message
        return _Step(role.handle_info, (message,))

    def _info_callback(self, message: Any) -> Callable[..., Any]:
        """Return what handles a plain message: a role is not bothered with those of its node."""
        match message:
            case SnapshotRequest():
                return self.role.answer_snapshot
            case RoleContext():
                return self.role.take_context
        return self.role.handle_info

    def _refuse(self, kind: int, client: Client, number: int, error: Exception) -> None:
        cause = f"{type(error).__name__}: {error}"
        if kind == framing.CALL:
            client.refuse(number, cause)
        log.warning("unreadable_message", role=type(self.role).__qualname__, cause=cause)

    def settle(self, caller: Caller | None, result: Any) -> None:
        """Do what a callback's result asks for."""
        if caller is not None and result is not NoReply:
            caller.client.reply(caller.number, result)

    def reason_of(self, error: BaseException) -> ExitReason:
        """Return why a callback that raised ends the process."""
        return error.reason if isinstance(error, Stop) else from_exception(error)

    def answer_stop(self, error: BaseException, caller: Caller | None) -> None:
        """Send the reply of a `Stop` that has one."""
        if isinstance(error, Stop) and error.reply is not NoReply and caller is not None:
            caller.client.reply(caller.number, error.reply)
