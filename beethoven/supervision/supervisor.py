"""
`Supervisor`: starts children in order, restarts them by its strategy, stops them in reverse.

Semantics are those of OTP's `supervisor`; docs/supervision.md lists the few deviations.
"""

import pickle
from collections.abc import Iterable
from typing import Any, ClassVar

from beethoven.errors import (
    AlreadyStarted,
    BeethovenError,
    ChildNotFound,
    ChildStartFailed,
    SupervisionError,
)
from beethoven.runtime import start
from beethoven.runtime.process import Process
from beethoven.runtime.reason import NORMAL, ExitReason
from beethoven.runtime.reference import Name, Ref, Target, resolve
from beethoven.runtime.scope import StoppedAtEnd
from beethoven.supervision.backoff import Backoff
from beethoven.supervision.checks import refuse
from beethoven.supervision.child_spec import ChildSpec, SupervisorFlags, validate_tree
from beethoven.supervision.events import ChildCounts
from beethoven.supervision.listing import ChildEntry
from beethoven.supervision.runner import Runner
from beethoven.supervision.sealing import seal, unseal
from beethoven.supervision.supervisor_state import SupervisorState
from beethoven.vocabulary import AutoShutdown, ChildType, Strategy


class SupervisorRef(StoppedAtEnd):
    """
    A running supervisor, as its users see it. As a context manager it is stopped at the end.

    Every method raises `NoProcess` or `ProcessExited` if the supervisor is gone, and `SpecError`
    if what it finds is no supervisor.

    Args:
        target: The supervisor: its reference or its name. A name also finds its successors.
    """

    def __init__(self, target: Target) -> None:
        self._target = target

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._target})"

    @property
    def ref(self) -> Ref:
        """The supervisor's process."""
        return resolve(self._target)

    def _ask(self, *request: Any, timeout: float | None = None) -> Any:
        ref = self.ref
        match answer := ref.call(request, timeout):
            case ("ok", value):
                return value
            case ("error", BeethovenError() as error):
                raise _unwrapped(error)
        return refuse(str(ref), "its answer", "that of a supervisor", got=answer)

    def which_children(self) -> list[ChildEntry]:
        """Return the children, most recently started first."""
        children: list[ChildEntry] = self._ask("which_children")
        return children

    def which_child(self, child: str | Ref) -> ChildEntry:
        """
        Return one child, by its id or by its present process.

        Raises:
            ChildNotFound: There is no such child.
            SupervisionError: A dynamic supervisor has several children of that id.
        """
        match [each for each in self.which_children() if _is_meant(each, child)]:
            case [entry]:
                return entry
            case []:
                raise ChildNotFound(child=repr(child))
            case several:
                text = f"expected one child of id {child!r}, got: {len(several)}"
                raise SupervisionError(text)

    def count_children(self) -> ChildCounts:
        """Return how many children there are."""
        counts: ChildCounts = self._ask("count_children")
        return counts

    def child(self, child_id: str, timeout: float | None = 5.0) -> Ref:
        """
        Return the process of a child, waiting for it while it restarts.

        Raises:
            ChildNotFound: There is no such child.
            CallTimeout: It does not run within `timeout` seconds.
        """
        ref: Ref = self._ask("wait_child", child_id, timeout=timeout)
        return ref

    def start_child(self, spec: ChildSpec) -> Ref | None:
        """
        Add a child and start it.

        Returns:
            Its process, or None if its `init` returned `Ignore`.

        Raises:
            ChildRunning, ChildRestarting, ChildAlreadyPresent: The id is taken.
            AlreadyStarted: A living process holds its name, or one that its `init` was to start.
            ChildStartFailed: It did not start; like one whose name is taken it is not kept.
            SpecError: The specification does not fit this supervisor.
        """
        ref: Ref | None = self._ask("start_child", _sealed(spec))
        return ref

    def terminate_child(self, child_id: str) -> None:
        """
        Stop a child and wait until it is gone. Its specification stays, unless it is temporary.

        Raises:
            ChildNotFound: There is no such child.
        """
        self._ask("terminate_child", child_id)

    def restart_child(self, child_id: str) -> Ref | None:
        """
        Start a child that was stopped or has ended.

        Raises:
            ChildNotFound, ChildRunning, ChildRestarting: See `errors`.
            AlreadyStarted, ChildStartFailed: As `start_child`, but the specification is kept.
        """
        ref: Ref | None = self._ask("restart_child", child_id)
        return ref

    def delete_child(self, child_id: str) -> None:
        """
        Forget a child that does not run.

        Raises:
            ChildNotFound, ChildRunning, ChildRestarting: See `errors`.
        """
        self._ask("delete_child", child_id)

    def get_child_spec(self, child_id: str) -> ChildSpec:
        """Return the specification of a child."""
        spec: ChildSpec = self._ask("get_child_spec", child_id)
        return unseal(spec)

    def stop(self, reason: object = NORMAL, timeout: float | None = None) -> None:
        """
        Stop all children in reverse order, then the supervisor; return when all are gone.

        Args:
            reason: Of the supervisor's own end; the children's is "shutdown". With "normal" the
                process that has started the supervisor lives on.
            timeout: Seconds; None waits for ever.

        Raises:
            NoProcess: It is gone already.
            CallTimeout: It still stops after `timeout` seconds.
        """
        self.ref.stop(reason, timeout)

    def wait(self, timeout: float | None = None) -> ExitReason | None:
        """Wait for the end of the supervisor; see `Ref.wait`."""
        return self.ref.wait(timeout)


def _unwrapped(error: BeethovenError) -> BeethovenError:
    """Return what is behind a start that failed because a name was taken."""
    if isinstance(error, ChildStartFailed) and error.cause:
        cause = pickle.loads(error.cause)
        assert isinstance(cause, AlreadyStarted)
        return cause
    return error


def _is_meant(entry: ChildEntry, child: str | Ref) -> bool:
    if isinstance(child, Ref):
        return entry.ref is not None and entry.ref.identity == child.identity
    return entry.id == child


def _sealed(spec: object) -> object:
    # What is no specification is refused by the supervisor, in its own words.
    return seal(spec) if isinstance(spec, ChildSpec) else spec


class Supervisor:
    """A static supervisor: its children are known when it starts, or added by hand."""

    child_type: ClassVar[ChildType] = ChildType.SUPERVISOR

    @staticmethod
    def are_args(args: object) -> bool:
        """Whether these are args that `child_spec` has written."""
        match args:
            case (SupervisorFlags(), _):
                return True
        return False

    @classmethod
    def start_link(
        cls,
        children: Iterable[ChildSpec],
        *,
        strategy: Strategy | str = Strategy.ONE_FOR_ONE,
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        auto_shutdown: AutoShutdown | str = AutoShutdown.NEVER,
        backoff: Backoff | None = None,
        name: Name | None = None,
        timeout: float | None = None,
    ) -> SupervisorRef:
        """
        Start a supervisor and its children, and return when all of them are up.

        Args:
            children: Started in this order, each after the one before is up.
            strategy: Which siblings are restarted with a child that ended: "one_for_one" none,
                "one_for_all" all, "rest_for_one" those after it.
            max_restarts: Restarts allowed within `max_seconds`; one more ends the supervisor.
            max_seconds: The window, in seconds.
            auto_shutdown: Whether the end of significant children ends the supervisor.
            backoff: If given, a child that fails too often is retried with growing pauses, for
                itself, instead of ending the supervisor. Not OTP.
            name: Registered name of the supervisor.
            timeout: Seconds for the whole start; None leaves it to the children's own limits.

        Raises:
            SpecError: A specification or an option is wrong; nothing was started.
            StartFailed: A child did not start; those before it have been stopped again.
        """
        flags = SupervisorFlags(
            strategy=strategy,
            max_restarts=max_restarts,
            max_seconds=max_seconds,
            auto_shutdown=auto_shutdown,
            backoff=backoff,
        )
        start.check_guard()
        specs = tuple(map(seal, validate_tree(flags, children)))
        return SupervisorRef(start.start(cls, (flags, specs), name=name, timeout=timeout))

    @classmethod
    def child_spec(
        cls,
        id: str,  # noqa: A002 - the field's name
        children: Iterable[ChildSpec],
        *,
        strategy: Strategy | str = Strategy.ONE_FOR_ONE,
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        auto_shutdown: AutoShutdown | str = AutoShutdown.NEVER,
        backoff: Backoff | None = None,
        **options: Any,
    ) -> ChildSpec:
        """Return the specification of a nested supervisor; `options` are those of `ChildSpec`."""
        flags = SupervisorFlags(
            strategy=strategy,
            max_restarts=max_restarts,
            max_seconds=max_seconds,
            auto_shutdown=auto_shutdown,
            backoff=backoff,
        )
        options.setdefault("start_timeout", "infinity")
        specs = tuple(map(seal, validate_tree(flags, children)))
        return ChildSpec(id, cls, (flags, specs), **options)

    @classmethod
    def live(
        cls, process: Process, args: tuple[SupervisorFlags, tuple[ChildSpec, ...]]
    ) -> ExitReason:
        """Run a supervisor as the behaviour of `process`."""
        flags, specs = args
        name = process.ref.name or process.ref.identity
        return Runner(process, SupervisorState(name, flags, specs), name).run()
