"""
`Task`: one function, run in a process of its own, whose result comes back.

Semantics are those of Elixir's `Task`. Who starts a task with `async_` owns it: only the owner may
wait for it, and the two are linked if the owner is a process of the tree.
"""

import contextlib
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final, Literal

from beethoven.errors import NoProcess, NotOwner, ProcessExited, TaskTimeout
from beethoven.runtime import connection, deaths, start
from beethoven.runtime.here import here
from beethoven.runtime.launcher import Child
from beethoven.runtime.reason import (
    KILLED,
    NO_PROCESS,
    SHUTDOWN,
    ExitReason,
    ReasonKind,
    from_exception,
)
from beethoven.runtime.reference import DEFAULT_TIMEOUT, Ref, check_timeout
from beethoven.runtime.requests import Reply, Request, Response, send_request
from beethoven.supervision.checks import refuse
from beethoven.supervision.child_spec import ChildSpec
from beethoven.tasks.arrival import arrival
from beethoven.tasks.results import Exited, Ok, TaskResult
from beethoven.tasks.task_process import RESULT, TaskProcess
from beethoven.tasks.work import Work, pack, work_of
from beethoven.vocabulary import BRUTAL_KILL, INFINITY, Restart

# How long the fork server is asked how a process ended that was gone before it could be asked.
_REASON_TIMEOUT: Final = 5.0

# Processes that have given their results: they end, and are let go of with the next start.
_leaving: list[Child] = []


class Task:
    """
    A function at work in a process of its own; its result is taken once, and by its owner.

    Attributes:
        label: The function's module and name.
        ref: The process; None if there never was one, see `completed`.
        owner: The process that may use the task; None if that is a program outside the tree.
        request: The owner's request for the result; None once the answer is there or given up.
    """

    def __init__(self, label: str, ref: Ref | None, result: TaskResult | None = None) -> None:
        self.label = label
        self.ref = ref
        self.owner = None if start.current.process is None else start.current.process.ref
        self.request: Request | None = None if ref is None else send_request(ref, RESULT)
        self._child: Child | None = None
        self._result = result
        self._is_given_up = False
        self._place = _place()

    @classmethod
    def async_(cls, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Task":
        """
        Start a function whose result is wanted.

        The task is linked to the calling process, if that is one of the tree: a failure of either
        ends the other unless it traps exits.

        Args:
            function: What to run: one that a new process can import.
            args: Its positional arguments; any values that can be pickled.
            kwargs: Its keyword arguments.

        Raises:
            SpecError: The function cannot be found by another process, or an argument cannot be
                pickled.
        """
        work = work_of(function, args, kwargs, answers=True)
        child = _begin(work, linked=True)
        task = cls(work.label, child.ref)
        task._child = child
        return task

    @classmethod
    def start_link(cls, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Ref:
        """Start a function for its effects, linked to the calling process; else `async_`."""
        return _begin(work_of(function, args, kwargs), linked=True).ref

    @classmethod
    def start(cls, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Ref:
        """Start a function for its effects, linked to nobody; else `start_link`."""
        return _begin(work_of(function, args, kwargs), linked=False).ref

    @classmethod
    def completed(cls, value: Any) -> "Task":
        """Return a task whose result is there already; no process is started."""
        return cls("completed", None, Ok(value))

    @classmethod
    def owned(cls, ref: Ref, work: Work) -> "Task":
        """Return as a task of the caller what runs in a process that was started with `work`."""
        return cls(work.label, ref)

    @classmethod
    def child_spec(
        cls,
        id: str,  # noqa: A002 - the field's name
        function: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        restart: Restart | str = Restart.TEMPORARY,
        **options: Any,
    ) -> ChildSpec:
        """
        Return the specification of a task in a supervision tree; nobody gets its result.

        Args:
            id: The child's id.
            function: What to run, once more at every restart.
            args: Its positional arguments.
            kwargs: Its keyword arguments.
            restart: "temporary": never; "transient": after a failure; "permanent": always.
            options: Those of `ChildSpec`.

        Raises:
            SpecError: As for `async_`, or an option is wrong.
        """
        work = pack(function, tuple(args), dict(kwargs or {}))
        return ChildSpec(id, TaskProcess, work, restart=restart, **options)

    @staticmethod
    def set_label(label: str | None) -> None:
        """Say, in a task, what it does: for its `process_info` and for the log, if it crashes."""
        if start.current.process is not None:
            start.current.process.label = label if label is None else str(label)

    def await_(self, timeout: float | None = DEFAULT_TIMEOUT) -> Any:
        """
        Wait for the end of the function and return what it has returned.

        In a coroutine, `await task` does so without blocking the others, and without a limit.

        Args:
            timeout: Seconds; None waits for ever. The result that comes later is dropped; the
                function runs on.

        Raises:
            TaskTimeout: It has not returned in time; or its result has been taken before.
            ProcessExited: It has failed; has the reason, with the traceback of its process.
            NotOwner: Another process has started the task.
        """
        if self.peek(timeout) is None:
            raise self.late(timeout or 0.0)
        return self._unwrap()

    def __await__(self) -> Generator[Any, None, Any]:
        return self._arrive().__await__()

    async def _arrive(self) -> Any:
        while self.peek(0.0) is None:
            if self.request is None:
                raise self.late(0.0)
            await arrival(self.request.fileno())
        return self._unwrap()

    def yield_(self, timeout: float | None = DEFAULT_TIMEOUT) -> TaskResult | None:
        """
        Wait for the end of the function, but go on owning the task if it does not come in time.

        Returns:
            `Ok` or `Exited`, once; None if it is not there in time.

        Raises:
            TaskTimeout: The result has been taken before, or given up: none will come.
            NotOwner: Another process has started the task.
        """
        if self.peek(timeout) is None and self.request is None:
            raise self.late(0.0)
        return self.take()

    def ignore(self) -> TaskResult | None:
        """
        Let the function run on, unlinked, and drop what comes of it.

        Returns:
            The result, if it is there already.

        Raises:
            NotOwner: Another process has started the task.
        """
        self.peek(0.0)
        self._unlink()
        self.give_up()
        return self.take()

    def shutdown(
        self, timeout: float | Literal["brutal_kill", "infinity"] | None = DEFAULT_TIMEOUT
    ) -> TaskResult | None:
        """
        Unlink the task, end its process, and return when that is gone.

        Args:
            timeout: Seconds between the exit signal `shutdown` and the kill; "infinity" or None
                waits for ever; "brutal_kill" kills at once.

        Returns:
            The result, if it was there before; None if the process has ended as it was told to;
            `Exited` with the reason if it ended otherwise, `killed` if it had to be killed after
            the signal, `noproc` if the result has been taken or the process was gone before.

        Raises:
            NotOwner: Another process has started the task.
        """
        if not self.tell_to_end(timeout):
            return self.take() or Exited(NO_PROCESS)
        return self.wait_for_end(timeout)

    def tell_to_end(self, timeout: float | str | None) -> bool:
        """Do the first half of `shutdown`. Return false if there is nothing to end."""
        self.check_owner()
        is_brutal = timeout == BRUTAL_KILL
        if isinstance(timeout, str) and timeout not in {BRUTAL_KILL, INFINITY}:
            rule = "seconds >= 0, None, 'infinity' or 'brutal_kill'"
            refuse(f"task {self}", "timeout", rule, got=timeout)
        if not isinstance(timeout, str):
            check_timeout(timeout, self)
        if self.ref is None or (self._is_over and (not self._is_given_up or _has_ended(self.ref))):
            return False
        self._unlink()
        self.ref.exit("kill" if is_brutal else SHUTDOWN)
        return True

    def wait_for_end(self, timeout: float | str | None) -> TaskResult | None:
        """Do the second half of `shutdown`."""
        assert self.ref is not None
        patience = None if isinstance(timeout, str) else timeout
        was_over = self._is_over
        in_time = was_over or self.peek(patience) is not None
        if not in_time or not _is_gone(self.ref, patience):
            self.ref.exit("kill")
            self.peek(None)
            _is_gone(self.ref, None)
            if was_over:
                # Nobody has told why it ended, but that is known.
                self._result = Exited(KILLED)
        result = self.take()
        expected = ReasonKind.KILLED if timeout == BRUTAL_KILL else ReasonKind.SHUTDOWN
        return None if result == Exited(ExitReason(expected)) else result

    def peek(self, timeout: float | None) -> TaskResult | None:
        """Wait for the result, but do not take it; None if it is not there in time."""
        self.check_owner()
        check_timeout(timeout, self)
        if self.request is not None:
            response = self.request.wait_response(timeout)
            if response is not None:
                assert self.ref is not None
                self._result = _result_of(response, self.ref)
                self._let_go()
        return self._result

    def take(self) -> TaskResult | None:
        """Return the result if it is there; it is not any more then."""
        result, self._result = self._result, None
        return result

    @property
    def _is_over(self) -> bool:
        """Whether there is no result, and none will come."""
        return self.request is None and self._result is None

    def late(self, timeout: float) -> TaskTimeout:
        """Give the result up, and return the error that says so."""
        is_over = self.request is None
        self.give_up()
        return TaskTimeout(target=str(self), timeout=timeout, is_over=is_over)

    def give_up(self) -> None:
        """Drop the result when it comes."""
        if self.request is not None:
            self.request.abandon()
            self._is_given_up = True
            self._let_go()

    def _unwrap(self) -> Any:
        match self.take():
            case Ok(value):
                return value
            case Exited(reason):
                raise ProcessExited(target=str(self), reason=reason)
        raise AssertionError("there is a result")

    def _let_go(self) -> None:
        """Close the connection, so that nothing waits there for anybody."""
        self.request = None
        if self.ref is not None:
            connection.drop(self.ref.identity)
        process = start.current.process
        # The end of a failed task is still to act on a process that does not trap exits.
        if self._child is not None and (
            process is None or process.trap_exit or not isinstance(self._result, Exited)
        ):
            _leaving.append(self._child)
            self._child = None

    def _unlink(self) -> None:
        process = start.current.process
        if process is not None and self.ref is not None:
            process.unlink(self.ref)

    def check_owner(self) -> None:
        """
        Refuse to be used by anybody but the owner.

        Raises:
            NotOwner: Another process has started the task, or this one is a copy of its owner.
        """
        if self._place != _place():
            owner = self.owner or f"the program with pid {self._place[0]}"
            process = start.current.process
            user = f"pid {os.getpid()}" if process is None else process.ref
            raise NotOwner(what=f"task {self}", owner=str(owner), user=str(user))

    def __str__(self) -> str:
        return self.label if self.ref is None else f"{self.label} (pid {self.ref.pid})"

    def __repr__(self) -> str:
        return f"<Task {self}>"

    def __getstate__(self) -> dict[str, Any]:
        # What another process gets can be looked at, and not used.
        return {**self.__dict__, "request": None, "_result": None, "_child": None}

    def __del__(self) -> None:
        # Else the process would wait for somebody to take its result.
        with contextlib.suppress(Exception):
            try:
                self.give_up()
            except NotOwner:
                # Another thread has dropped the task; it may not use the request.
                if self._place == _place() and self.request is not None:
                    self.request.hang_up()


def _place() -> tuple[int, str]:
    """Return where this is: a copy of a process is another place."""
    return os.getpid(), here.identity


def _begin(work: Work, *, linked: bool) -> Child:
    process = start.current.process
    with contextlib.nullcontext() if process is None else process.lock:
        _leaving[:] = [child for child in _leaving if not child.has_ended()]
    return start.launch(TaskProcess, work, linked=linked, title=work.label)


def _result_of(response: Response, ref: Ref) -> TaskResult:
    if isinstance(response, Reply):
        return Ok(response.value)
    match response.error:
        case ProcessExited() as exited:
            return Exited(exited.reason)
        case NoProcess():
            known = deaths.wait_for(ref.folder, ref.identity, _REASON_TIMEOUT)
            return Exited(known or NO_PROCESS)
    return Exited(from_exception(response.error))


def _has_ended(ref: Ref) -> bool:
    # Whoever does not listen any more is gone, or just going: only its fork server knows.
    return not ref.is_alive() and _is_gone(ref, _REASON_TIMEOUT)


def _is_gone(ref: Ref, timeout: float | None) -> bool:
    return deaths.wait_for(ref.folder, ref.identity, timeout) is not None
