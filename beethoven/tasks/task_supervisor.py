"""
`TaskSupervisor`: a supervisor of tasks, which are started on demand and usually end by themselves.

Semantics are those of Elixir's `Task.Supervisor`. It is a dynamic supervisor that never runs user
code: what a task is to do travels through it unread.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, Final, Unpack

from beethoven import clock
from beethoven.errors import ChildNotFound, MaxChildren
from beethoven.runtime import deaths, start
from beethoven.runtime.reason import NORMAL, ExitReason
from beethoven.runtime.reference import Name, Ref, Target, resolve
from beethoven.runtime.scope import StoppedAtEnd
from beethoven.supervision.checks import refuse
from beethoven.supervision.child_spec import ChildSpec, DynamicFlags
from beethoven.supervision.dynamic_supervisor import DynamicSupervisor, DynamicSupervisorRef
from beethoven.supervision.events import ChildCounts
from beethoven.supervision.listing import ChildEntry
from beethoven.tasks.stream import StreamKeywords, TaskStream, stream_of
from beethoven.tasks.task import Task
from beethoven.tasks.task_process import TaskProcess
from beethoven.tasks.work import Work, pack, work_of
from beethoven.vocabulary import Restart

# So long the process of a task whose result is out may take to end, in seconds: that is a moment,
# but a busy machine may make much of it.
_LAST_MOMENTS: Final = 5.0


class TaskSupervisorRef(StoppedAtEnd):
    """
    A task supervisor, as its users see it. As a context manager it is stopped at the end.

    Every method raises `NoProcess` or `ProcessExited` if the supervisor is gone. Options such as
    `shutdown` are not handed to the function; where it has an argument of such a name, use
    `functools.partial`.

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

    @property
    def supervisor(self) -> DynamicSupervisorRef:
        """The same as a dynamic supervisor: its listing, its counts, its management."""
        return DynamicSupervisorRef(self.ref)

    def async_(
        self,
        function: Callable[..., Any],
        /,
        *args: Any,
        shutdown: float | str | None = None,
        **kwargs: Any,
    ) -> Task:
        """
        Start a task whose result the caller wants; see `Task.async_`.

        The task is a child of this supervisor and linked to the caller, if that is a process of
        the tree: a failure of either ends the other.

        Args:
            function: What to run, with the arguments that follow.
            args: Positional arguments.
            shutdown: How the supervisor stops it: seconds between the exit signal and the kill,
                "brutal_kill", or "infinity". None is 5 s.
            kwargs: Keyword arguments.

        Raises:
            MaxChildren: The supervisor has as many tasks as it may have.
            SpecError: The function or an argument cannot be pickled, or an option is wrong.
        """
        work = work_of(function, args, kwargs, answers=True)
        return self._owned(work, shutdown, linked=True)

    def async_nolink(
        self,
        function: Callable[..., Any],
        /,
        *args: Any,
        shutdown: float | str | None = None,
        **kwargs: Any,
    ) -> Task:
        """Start a task whose failure does not end the caller, only its wait; else `async_`."""
        work = work_of(function, args, kwargs, answers=True)
        return self._owned(work, shutdown, linked=False)

    def _owned(self, work: Work, shutdown: float | str | None, *, linked: bool) -> Task:
        ref = self._start(work, Restart.TEMPORARY, shutdown)
        if linked and start.current.process is not None:
            start.current.process.link(ref)
        return Task.owned(ref, work)

    def start_child(
        self,
        function: Callable[..., Any],
        /,
        *args: Any,
        restart: Restart | str = Restart.TEMPORARY,
        shutdown: float | str | None = None,
        **kwargs: Any,
    ) -> Ref:
        """
        Start a task for its effects: nobody gets its result, nobody is linked to it.

        Args:
            function: What to run, with the arguments that follow; once more at every restart.
            args: Positional arguments.
            restart: When it is run again: "temporary" never, "transient" after a failure,
                "permanent" always.
            shutdown: As for `async_`.
            kwargs: Keyword arguments.

        Raises:
            MaxChildren, SpecError: As for `async_`.
        """
        return self._start(work_of(function, args, kwargs, answers=False), restart, shutdown)

    def _start(self, work: Work, restart: Restart | str, shutdown: float | str | None) -> Ref:
        spec = _spec(work, restart, shutdown)
        while True:
            try:
                ref = self.supervisor.start_child(spec)
            except MaxChildren as error:
                if not self._makes_room(error.limit):
                    raise
            else:
                assert ref is not None, "a task never ignores its start"
                return ref

    def _makes_room(self, limit: int) -> bool:
        """Wait for tasks whose results are out and whose processes are not quite gone, if any."""
        children = self.which_children()
        if len(children) < limit:
            return True
        deadline = clock.monotonic() + _LAST_MOMENTS
        return any(
            deaths.wait_for(ref.folder, ref.identity, max(0.0, deadline - clock.monotonic()))
            for each in children
            if each.restart == Restart.TEMPORARY and each.status == "running"
            if (ref := each.ref) is not None and not ref.is_alive()
        )

    def async_stream(
        self,
        iterable: Iterable[Any],
        function: Callable[[Any], Any],
        *,
        shutdown: float | str | None = None,
        **options: Unpack[StreamKeywords],
    ) -> TaskStream:
        """
        Apply a function to every item, each in a task of this supervisor; else `async_stream`.

        Args:
            iterable: The items.
            function: Called with one item.
            shutdown: As for `async_`.
            options: Those of `beethoven.async_stream`.

        Raises:
            SpecError: An option is wrong. While iterating: an item cannot be pickled.
            MaxChildren: While iterating: the supervisor has as many tasks as it may have.
        """
        return self._stream(iterable, function, shutdown, options, linked=True)

    def async_stream_nolink(
        self,
        iterable: Iterable[Any],
        function: Callable[[Any], Any],
        *,
        shutdown: float | str | None = None,
        **options: Unpack[StreamKeywords],
    ) -> TaskStream:
        """Stream tasks whose failures do not end the caller; else `async_stream`."""
        return self._stream(iterable, function, shutdown, options, linked=False)

    def _stream(
        self,
        iterable: Iterable[Any],
        function: Callable[[Any], Any],
        shutdown: float | str | None,
        options: StreamKeywords,
        *,
        linked: bool,
    ) -> TaskStream:
        # So that what is wrong is refused here and not by the first task.
        _spec(pack(function, (), {}), Restart.TEMPORARY, shutdown)
        start_one = partial(self._start_streamed, function, shutdown, linked)
        return stream_of(iterable, start_one, linked=linked, **options)

    def _start_streamed(
        self,
        function: Callable[[Any], Any],
        shutdown: float | str | None,
        linked: bool,  # noqa: FBT001 - in a partial, which takes the item as its last argument
        item: Any,
    ) -> Task:
        work = work_of(function, (item,), {}, answers=True)
        return self._owned(replace(work, ends_with_owner=True), shutdown, linked=linked)

    def terminate_child(self, task: Task | Ref) -> None:
        """
        Stop a task, and wait until its process is gone.

        Args:
            task: The task or its process.

        Raises:
            ChildNotFound: It is no task of this supervisor, or not any more.
        """
        ref = task.ref if isinstance(task, Task) else task
        if ref is None:
            raise ChildNotFound(child=str(task))
        if not isinstance(ref, Ref):
            refuse("task supervisor", "the task to end", "a Task or the Ref of one", got=ref)
        if ref.identity not in {each.identity for each in self.children()}:
            raise ChildNotFound(child=str(ref))
        self.supervisor.terminate_process(ref)

    def children(self) -> list[Ref]:
        """Return the tasks that run, most recently started first."""
        return [each.ref for each in self.which_children() if each.ref is not None]

    def which_children(self) -> list[ChildEntry]:
        """Return the tasks as a supervisor lists its children; their ids are their functions."""
        return self.supervisor.which_children()

    def count_children(self) -> ChildCounts:
        """Return how many tasks there are."""
        return self.supervisor.count_children()

    def stop(self, reason: object = NORMAL, timeout: float | None = None) -> None:
        """Stop all tasks at once, then the supervisor; see `SupervisorRef.stop`."""
        self.supervisor.stop(reason, timeout)

    def wait(self, timeout: float | None = None) -> ExitReason | None:
        """Wait for the end of the supervisor; see `Ref.wait`."""
        return self.ref.wait(timeout)


def _spec(work: Work, restart: Restart | str, shutdown: float | str | None) -> ChildSpec:
    return ChildSpec(work.label, TaskProcess, work, restart=restart, shutdown=shutdown)


class TaskSupervisor(DynamicSupervisor):
    """A supervisor that starts without tasks."""

    @classmethod
    def start_link(  # type: ignore[override]
        cls,
        *,
        max_children: int | None = None,
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        name: Name | None = None,
    ) -> TaskSupervisorRef:
        """
        Start a supervisor without tasks.

        Args:
            max_children: How many tasks it may have at the same time; None is no limit.
            max_restarts: Restarts allowed within `max_seconds`, over all tasks; one more ends the
                supervisor. Tasks are temporary, and not restarted, unless they are told to be.
            max_seconds: The window, in seconds.
            name: Registered name of the supervisor.

        Raises:
            SpecError: An option is wrong.
        """
        flags = DynamicFlags(max_children, max_restarts, max_seconds)
        return TaskSupervisorRef(start.start(cls, flags, name=name))

    @classmethod
    def child_spec(
        cls,
        id: str | None = None,  # noqa: A002 - the field's name
        *,
        max_children: int | None = None,
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        name: Name | None = None,
        **options: Any,
    ) -> ChildSpec:
        """
        Return the specification of a task supervisor in a tree.

        Args:
            id: By default its name, or "TaskSupervisor" if it has none.
            max_children: As for `start_link`.
            max_restarts: As for `start_link`.
            max_seconds: As for `start_link`.
            name: Registered name of the supervisor.
            options: Those of `ChildSpec`.
        """
        flags = DynamicFlags(max_children, max_restarts, max_seconds)
        child_id = id or (str(name) if name else cls.__name__)
        return ChildSpec(child_id, cls, flags, name=name, **options)
