"""
`Role`: the callbacks that a user writes, and the loop that runs them in a process of their own.

Semantics are those of OTP's `gen_server`; state lives on `self`.
"""

import inspect
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NamedTuple

from beethoven import clock
from beethoven.log import get_log
from beethoven.runtime import birth, framing, start
from beethoven.runtime.client import Client
from beethoven.runtime.exit_signals import Down, Exit
from beethoven.runtime.life import failure
from beethoven.runtime.process import ParentExit, Process
from beethoven.runtime.reason import NORMAL, ExitReason, as_reason, from_exception
from beethoven.runtime.reference import Ref, Target, resolve, whereis
from beethoven.vocabulary import ChildType

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
class _Timeout:
    message: Any


class Role:
    """
    A process with state and callbacks.

    Subclass it and write the callbacks; each may be `async def`. They run one at a time, in the
    order in which messages arrive, in a process that runs nothing else.

    An exception that leaves a callback ends the process: `terminate` runs with the reason, callers
    that wait get the reason, and the supervisor decides what follows.

    Attributes:
        trap_exit: Set it true, on the class or in `init`, to have `terminate` run when the parent
            ends this process or dies, and to get `Exit` messages of linked processes. As in OTP it
            is false unless set: then such a signal ends the process at once.
        child_type: What supervisors take it for.
    """

    trap_exit: bool = False
    child_type: ClassVar[ChildType] = ChildType.WORKER
    start_method: ClassVar[str] = "forkserver"
    _process: Process

    @classmethod
    def start_link(
        cls,
        args: Any = None,
        *,
        name: str | None = None,
        timeout: float | None = start.START_TIMEOUT,
    ) -> Ref:
        """
        Start a process that ends with this one, and return when its `init` has returned.

        Args:
            args: Handed to `init`; any value that can be pickled.
            name: Registered before `init` runs.
            timeout: Seconds that `init` may take; None is no limit.

        Raises:
            AlreadyStarted: A living process holds the name.
            StartTimeout: `init` took too long.
            StartIgnored: `init` returned `Ignore`.
            StartFailed: The process ended before `init` returned.
            Exception: What `init` raised, with the traceback of the new process as a note.

            In each case the process is gone and the name free.
        """
        return start.start(cls, args, name=name, timeout=timeout, method=cls.start_method)

    @classmethod
    def start(
        cls,
        args: Any = None,
        *,
        name: str | None = None,
        timeout: float | None = start.START_TIMEOUT,
    ) -> Ref:
        """Start a process that outlives this one, up to the end of the tree; else `start_link`."""
        return start.start(
            cls, args, name=name, linked=False, timeout=timeout, method=cls.start_method
        )

    def init(self, args: Any) -> Any:
        """Set up the state. Return nothing, or `Ignore` to end without having failed."""

    def handle_call(self, request: Any, caller: Caller) -> Any:
        """Return the reply to a call, or `NoReply` if `self.reply` will answer it."""
        raise NotImplementedError(f"{type(self).__qualname__} has no handle_call, got: {request!r}")

    def handle_cast(self, request: Any) -> Any:
        """Handle a request that has no reply."""
        raise NotImplementedError(f"{type(self).__qualname__} has no handle_cast, got: {request!r}")

    def handle_info(self, message: Any) -> Any:
        """Handle a plain message: from `send`, a timer, a monitor (`Down`) or a link (`Exit`)."""
        log.warning("unexpected_message", role=type(self).__qualname__, message=repr(message))

    def handle_continue(self, argument: Any) -> Any:
        """Go on with what `continue_with` asked for, before any other message."""
        raise NotImplementedError(f"{type(self).__qualname__} has no handle_continue")

    def terminate(self, reason: ExitReason) -> Any:
        """Clean up. See `trap_exit` for when it runs; it never runs after SIGKILL."""

    @property
    def ref(self) -> Ref:
        """This process."""
        return self._process.ref

    @property
    def parent(self) -> Ref | None:
        """The process that started this one; None if a program outside the tree did."""
        return self._process.parent

    def reply(self, caller: Caller, value: Any) -> None:
        """Answer a call for which `handle_call` returned `NoReply`."""
        caller.client.reply(caller.number, value)

    def continue_with(self, argument: Any) -> None:
        """Have `handle_continue(argument)` run as soon as the present callback has returned."""
        self._process.continuation = (argument,)

    def send_after(self, delay: float, message: Any) -> int:
        """
        Have `handle_info(message)` run after a delay.

        Args:
            delay: Seconds.
            message: Any value; it does not leave this process.

        Returns:
            The timer's number, for `cancel_timer`.
        """
        return self._process.timers.set(clock.monotonic() + delay, _Timeout(message))

    def cancel_timer(self, timer: int) -> bool:
        """Stop a timer. Return whether its message was still to come."""
        return self._process.timers.cancel(timer)

    def link(self, target: Target) -> None:
        """End with another process, and let it end with this one. At most one link for a pair."""
        self._process.link(resolve(target))

    def unlink(self, target: Target) -> None:
        """Undo a link."""
        self._process.unlink(resolve(target))

    def monitor(self, target: Target) -> int:
        """
        Get one `Down` message when a process ends; at once, with `noproc`, if it is gone already.

        Returns:
            The monitor's number, which the `Down` carries.
        """
        if isinstance(target, str):
            target = whereis(target) or Ref("0-none", self.ref.folder, 0, target)
        return self._process.monitor(target)

    def demonitor(self, monitor: int) -> None:
        """Undo a monitor; a `Down` that has come already is taken back."""
        self._process.demonitor(monitor)

    @classmethod
    def live(cls, process: Process, args: Any) -> ExitReason:
        """Run a role of this class as the behaviour of `process`."""
        role = cls()
        role._process = process
        start.current.process = process
        process.trap_exit = cls.trap_exit
        if any(inspect.iscoroutinefunction(getattr(cls, name)) for name in _CALLBACKS):
            from beethoven.runtime.async_loop import run

            return run(Loop(role, process), args)
        return Loop(role, process).run(args)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if name == "trap_exit":
            self._process.trap_exit = bool(value)


_CALLBACKS = (
    "init",
    "handle_call",
    "handle_cast",
    "handle_info",
    "handle_continue",
    "terminate",
)


class Loop:
    """Runs the callbacks of a role: what each message means, and what each result means."""

    def __init__(self, role: Role, process: Process) -> None:
        self.role = role
        self.process = process
        self._peeked: Any = None

    def run(self, args: Any) -> ExitReason:
        """Run plain callbacks until the end."""
        try:
            result = self.role.init(args)
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
        from beethoven import pt; pt.p('started'); pt.dump()
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
                return _Step(role.handle_info, (value,))
            raise Stop(value)
        match message:
            case ParentExit(reason):
                raise Stop(reason)
            case _Timeout(value):
                return _Step(role.handle_info, (value,))
        assert isinstance(message, Exit | Down), message
        return _Step(role.handle_info, (message,))

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
