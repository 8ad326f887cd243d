"""
`DynamicSupervisor`: children are started on demand, each on its own, and stopped all at once.

Semantics are those of Elixir's `DynamicSupervisor`.
"""

from typing import Any, ClassVar

from beethoven.runtime import start
from beethoven.runtime.process import Process
from beethoven.runtime.reason import ExitReason
from beethoven.runtime.reference import Name, Ref
from beethoven.supervision.backoff import Backoff
from beethoven.supervision.child_spec import ChildSpec, DynamicFlags
from beethoven.supervision.dynamic_supervisor_state import DynamicSupervisorState
from beethoven.supervision.runner import Runner
from beethoven.supervision.supervisor import SupervisorRef
from beethoven.vocabulary import ChildType


class DynamicSupervisorRef(SupervisorRef):
    """A running dynamic supervisor. Ids need not be unique: a reference tells children apart."""

    def terminate_process(self, ref: Ref) -> None:
        """
        Stop the child that is, or was, this process, and wait until it is gone.

        Raises:
            ChildNotFound: It is no child of this supervisor.
        """
        self._ask("terminate_process", ref)


class DynamicSupervisor:
    """A supervisor that starts without children."""

    child_type: ClassVar[ChildType] = ChildType.SUPERVISOR

    @staticmethod
    def are_args(args: object) -> bool:
        """Whether these are args that `child_spec` has written."""
        return isinstance(args, DynamicFlags)

    @classmethod
    def start_link(
        cls,
        *,
        max_children: int | None = None,
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        backoff: Backoff | None = None,
        keep_ended: bool = False,
        name: Name | None = None,
    ) -> DynamicSupervisorRef:
        """
        Start a supervisor without children.

        Args:
            max_children: How many children it may have, those being restarted and those kept
                after their end included.
            max_restarts: Restarts allowed within `max_seconds`, over all children; one more ends
                the supervisor.
            max_seconds: The window, in seconds.
            backoff: See `Supervisor.start_link`.
            keep_ended: Whether a child that has ended for good (it was transient and ended
                normally, was temporary, or returned `Ignore`) stays listed as "stopped" with its
                last exit, until `delete_child` or `terminate_child` removes it; `restart_child`
                starts it again. Ids are unique then. Not Elixir.
            name: Registered name of the supervisor.

        Raises:
            SpecError: An option is wrong.
        """
        flags = DynamicFlags(
            max_children=max_children,
            max_restarts=max_restarts,
            max_seconds=max_seconds,
            backoff=backoff,
            keep_ended=keep_ended,
        )
        return DynamicSupervisorRef(start.start(cls, flags, name=name))

    @classmethod
    def child_spec(
        cls,
        id: str,  # noqa: A002 - the field's name
        *,
        max_children: int | None = None,
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        backoff: Backoff | None = None,
        keep_ended: bool = False,
        **options: Any,
    ) -> ChildSpec:
        """Return the specification of a nested one; `options` are those of `ChildSpec`."""
        flags = DynamicFlags(
            max_children=max_children,
            max_restarts=max_restarts,
            max_seconds=max_seconds,
            backoff=backoff,
            keep_ended=keep_ended,
        )
        return ChildSpec(id, cls, flags, **options)

    @classmethod
    def live(cls, process: Process, flags: DynamicFlags) -> ExitReason:
        """Run a dynamic supervisor as the behaviour of `process`."""
        name = process.ref.name or process.ref.identity
        return Runner(process, DynamicSupervisorState(name, flags), name).run()
