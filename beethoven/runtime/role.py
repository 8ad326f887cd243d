"""
`Role`: the callbacks that a user writes, and what they can do.

Semantics are those of OTP's `gen_server`; state lives on `self`.
"""

import inspect
import math
import pickle
from typing import Any, ClassVar, Self

from beethoven import clock
from beethoven.errors import NodeError, NoProcess, SpecError
from beethoven.log import get_log
from beethoven.runtime import start
from beethoven.runtime.caller import Caller, reply
from beethoven.runtime.front import front
from beethoven.runtime.loop import Loop, Stop, Timeout
from beethoven.runtime.nowhere import NOWHERE
from beethoven.runtime.on import Callee, check_marks, marks_of
from beethoven.runtime.process import Process
from beethoven.runtime.reason import ExitReason, from_exception
from beethoven.runtime.reference import (
    DEFAULT_TIMEOUT,
    Name,
    Ref,
    Target,
    cast,
    check_timeout,
    resolve,
)
from beethoven.runtime.requests import Request
from beethoven.runtime.returns import Ignore, NoReply
from beethoven.runtime.role_context import RoleContext, SnapshotRequest
from beethoven.runtime.status import Status, bounded
from beethoven.vocabulary import ChildType

log = get_log("role")

_CALLBACKS = (
    "init",
    "handle_call",
    "handle_cast",
    "handle_info",
    "handle_continue",
    "terminate",
)

__all__ = ["Caller", "Ignore", "NoReply", "Role", "Stop"]


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
        watches_nodes: Whether it is told, in `handle_info`, when other nodes come and go, as after
            `self.node.subscribe()`.
    """

    trap_exit: bool = False
    child_type: ClassVar[ChildType] = ChildType.WORKER
    start_method: ClassVar[str] = "forkserver"
    watches_nodes: ClassVar[bool] = False
    _context: RoleContext | None = None
    _node: ClassVar[Any] = None
    _handed_over: ClassVar[bytes | None] = None
    _process: Process = NOWHERE

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        check_marks(cls, Role)

    @classmethod
    def start_link(
        cls,
        args: Any = None,
        *,
        name: Name | None = None,
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
        name: Name | None = None,
        timeout: float | None = start.START_TIMEOUT,
    ) -> Ref:
        """Start a process that outlives this one, up to the end of the tree; else `start_link`."""
        return start.start(
            cls, args, name=name, linked=False, timeout=timeout, method=cls.start_method
        )

    @classmethod
    def front(cls, target: Target | Callee, timeout: float | None = DEFAULT_TIMEOUT) -> Self:
        """
        Return what speaks to a process by the methods of this class that `on` marks.

        Args:
            target: A reference or a name.
            timeout: Seconds that each call waits for its reply; None waits for ever.
        """
        return front(cls, target, timeout)

    def init(self, args: Any) -> Any:
        """Set up the state. Return nothing, or `Ignore` to end without having failed."""

    def handle_call(self, request: Any, caller: Caller) -> Any:
        """Return the reply to a call, or `NoReply` if `self.reply` will answer it."""
        raise NotImplementedError(
            f"{type(self).__qualname__} has no handle_call, got: {bounded(request)}"
        )

    def handle_cast(self, request: Any) -> Any:
        """Handle a request that has no reply."""
        raise NotImplementedError(
            f"{type(self).__qualname__} has no handle_cast, got: {bounded(request)}"
        )

    def handle_info(self, message: Any) -> Any:
        """Handle a plain message: from `send`, a timer, a monitor (`Down`) or a link (`Exit`)."""
        log.warning("unexpected_message", role=type(self).__qualname__, message=repr(message))

    def handle_continue(self, argument: Any) -> Any:
        """Go on with what `continue_with` asked for, before any other message."""
        raise NotImplementedError(f"{type(self).__qualname__} has no handle_continue")

    def terminate(self, reason: ExitReason) -> Any:
        """Clean up. See `trap_exit` for when it runs; it never runs after SIGKILL."""

    def snapshot(self) -> Any:
        """
        Return the state that the next instance is to begin with, any value that can be pickled.

        Asked for when an instance moves to another node in good order, right before this one ends;
        never after a failure. Not asynchronous.
        """

    def restore(self, state: Any) -> Any:
        """
        Go on from the `snapshot` of the instance that had this slot before, if there is one.

        Runs right after `init`. A state that is lost on its way, or older than a minute, is not
        handed over. Not asynchronous.
        """

    def format_status(self, status: Status) -> Status:
        """
        Return what is to be shown of this server, in crash reports and by `debug.get_status`.

        Write it to hide or to shorten: `return replace(status, state={**status.state, "key": "…"})`
        with `dataclasses.replace`. If it fails, neither state nor message is shown. Not
        asynchronous.
        """
        return status

    @classmethod
    def hands_over(cls) -> bool:
        """Whether this class writes `snapshot`."""
        return cls.snapshot is not Role.snapshot

    def go_on(self) -> None:
        """Restore what was handed over to this process."""
        if self._handed_over is not None:
            self.restore(pickle.loads(self._handed_over))

    def take_context(self, context: RoleContext) -> None:
        """Take another place than the one that this process was started for."""
        self._context = context

    def answer_snapshot(self, request: SnapshotRequest) -> None:
        """Send the state to whoever has asked for it; nothing, if there is none to be had."""
        try:
            state = pickle.dumps(self.snapshot(), 5)
        except Exception as error:
            # This instance ends now, and is not to be started here once more.
            log.warning("snapshot_failed", role=request.role, cause=from_exception(error))
            state = b""
        cast(request.to, ("snapshot", request.role, state))

    @classmethod
    def settle(cls, context: RoleContext, node: Any, state: bytes | None) -> None:
        """
        Tell a class, in a process that runs nothing else, where it runs.

        Args:
            context: Its place in the cluster.
            node: The node.
            state: The pickled state to go on from, if there is one.
        """
        cls._context, cls._node, cls._handed_over = context, node, state

    @property
    def context(self) -> RoleContext:
        """
        Its place in the cluster: role, node, slot, token.

        Raises:
            NodeError: No node runs it.
        """
        if self._context is None:
            raise NodeError(f"{type(self).__qualname__} is not run by a node: it has no context")
        return self._context

    @property
    def node(self) -> Any:
        """
        The node that it runs on, a `beethoven.Node`.

        Raises:
            NodeError: No node runs it.
        """
        if self._node is None:
            raise NodeError(f"{type(self).__qualname__} is not run by a node")
        return self._node

    @property
    def ref(self) -> Ref:
        """This process."""
        return self._process.ref

    @property
    def parent(self) -> Ref | None:
        """The process that started this one; None if a program outside the tree did."""
        return self._process.parent

    def reply(self, caller: Caller, value: Any) -> None:
        """Answer a call for which `handle_call` returned `NoReply`; see `beethoven.reply`."""
        reply(caller, value)

    def send_request(self, target: Target, request: Any, label: Any = None) -> Request:
        """
        Send a request, and get the answer in `handle_info`, as an `Answer`.

        Args:
            target: Whom to ask.
            request: Any value that can be pickled.
            label: What the `Answer` is to carry; it does not leave this process.

        Returns:
            The request, which can be abandoned.

        Raises:
            SpecError: The request cannot be pickled.
            NotOwner: This is not the thread of the callbacks.
        """
        return self._process.answers.request(target, request, label)

    def continue_with(self, argument: Any) -> None:
        """Have `handle_continue(argument)` run as soon as the present callback has returned."""
        self._process.continuation = (argument,)

    def send_after(self, delay: float, message: Any) -> int:
        """
        Have `handle_info(message)` run after a delay.

        Args:
            delay: Seconds, >= 0.
            message: Any value; it does not leave this process.

        Returns:
            The timer's number, for `cancel_timer`.

        Raises:
            SpecError: The delay is no such number.
        """
        self._check("send_after", "delay", "seconds >= 0", delay, least=0)
        return self._process.timers.set(clock.monotonic() + delay, Timeout(message))

    def send_at(self, moment: float, message: Any) -> int:
        """Have `handle_info(message)` run at a moment of `time.monotonic`; else as `send_after`."""
        self._check("send_at", "moment", "a moment of time.monotonic", moment, least=-math.inf)
        return self._process.timers.set(moment, Timeout(message))

    def _check(self, method: str, field: str, rule: str, value: object, *, least: float) -> None:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not least <= value < math.inf:  # type: ignore[operator]
            subject = f"{type(self).__qualname__}.{method}"
            raise SpecError(subject=subject, field=field, expected=rule, got=value)

    def read_timer(self, timer: int) -> float | None:
        """Return in how many seconds a timer's message is to come, or None if it is not."""
        at = self._process.timers.at(timer)
        return None if at is None else max(0.0, at - clock.monotonic())

    def cancel_timer(self, timer: int) -> bool:
        """Stop a timer. Return whether its message was still to come."""
        return self._process.timers.cancel(timer)

    def idle_timeout(self, seconds: float | None, message: Any = "timeout") -> None:
        """
        Have `handle_info(message)` run if nothing else does for a while.

        It holds for once: the next callback ends it, whichever that is.

        Args:
            seconds: How long to wait for a message. With 0 the messages that have come already
                are handled, if there are any. None: for ever.
            message: Any value; it does not leave this process.
        """
        check_timeout(seconds, f"{type(self).__qualname__}.idle_timeout")
        timers = self._process.timers
        timers.break_silence()
        if seconds is not None:
            timers.set_silence(clock.monotonic() + seconds, Timeout(message))

    def set_label(self, label: str | None) -> None:
        """Say what this process is, for people: in `process_info` and in reports of its crash."""
        if not (label is None or isinstance(label, str)):
            subject, rule = type(self).__qualname__, "a text or None"
            raise SpecError(subject=subject, field="label", expected=rule, got=label)
        self._process.label = label if label is None else str.__str__(label)

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
        try:
            ref = resolve(target)
        except NoProcess:
            ref = Ref("0-none", self.ref.folder, 0, str(target))
        return self._process.monitor(ref)

    def demonitor(self, monitor: int) -> None:
        """Undo a monitor; a `Down` that has come already is taken back."""
        self._process.demonitor(monitor)

    @classmethod
    def live(cls, process: Process, args: Any) -> ExitReason:
        """Run a role of this class as the behaviour of `process`."""
        role = cls()
        role._process = process
        start.current.process = process
        process.resident = role
        if cls.watches_nodes and cls._node is not None:
            cls._node.subscribe()
        callbacks = (getattr(cls, name) for name in _CALLBACKS)
        marked = (mark.function for mark in marks_of(cls).values())
        if any(map(inspect.iscoroutinefunction, (*callbacks, *marked))):
            from beethoven.runtime.async_loop import run

            return run(Loop(role, process), args)
        return Loop(role, process).run(args)
