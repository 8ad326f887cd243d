"""
Work: what a task is to do, for whom, and who asked for it.

The function and its arguments are pickled by whoever asks, and opened only in the task's own
process, so that a function that cannot be found there is the failure of that task alone.
"""

import functools
import inspect
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn

from beethoven.errors import SpecError
from beethoven.log import masked
from beethoven.runtime import birth, start
from beethoven.runtime.reference import Ref
from beethoven.runtime.status import bounded
from beethoven.supervision.checks import refuse

_IMPORTABLE: Final = (
    "what a new process can import: a function at the top level of a module, "
    "a method of an object that can be pickled, or a functools.partial of either"
)


class _Current:
    """Who asked for the task that this process is, if it is one."""

    callers: tuple[Ref, ...] = ()


current = _Current()


def callers() -> tuple[Ref, ...]:
    """Return who asked for this task, who had asked that one, and so on; () outside of a task."""
    return current.callers


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments, open."""

    function: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]

    def run(self) -> Any:
        """Return what the function returns."""
        return self.function(*self.args, **self.kwargs)

    @property
    def module(self) -> str:
        """Where the function is defined."""
        return _module_of(_plain(self.function))


@dataclass(frozen=True, slots=True)
class Work:
    """
    What a task is to do.

    Attributes:
        label: The function's module and name.
        contents: A `Call`, pickled.
        answers: Whether the owner asks for the result. The process keeps it until then.
        owner: Who asked for the work; None if that was a program outside the tree.
        callers: The owner, who had asked the owner, and so on; None for the child of a supervisor,
            which nobody but that supervisor has asked for.
        ends_with_owner: Whether it ends when the owner does, for whatever reason, or the thread
            of the owner that has asked.
        by_request: Whether it is for somebody who may be on another node, and is known only by the
            connection of the request: nothing is run before the request is there, and what the
            function raises is the reply, as a `Raised`.
        limit: How long such a function may run, in seconds; None is no limit.
    """

    label: str
    contents: bytes
    answers: bool = False
    owner: Ref | None = None
    callers: tuple[Ref, ...] | None = None
    ends_with_owner: bool = False
    by_request: bool = False
    limit: float | None = None

    def open(self) -> Call:
        """Return the function and its arguments. Imports the function's module."""
        call: Call = pickle.loads(self.contents)
        return call


def work_of(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    answers: bool = False,
) -> Work:
    """
    Return work that this process asks for.

    Args:
        function: What is to be run.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        answers: Whether this process will ask for the result.

    Raises:
        SpecError: As `pack`.
    """
    process = start.current.process
    owner = None if process is None else process.ref
    chain = () if owner is None else (owner, *callers())
    return replace(pack(function, args, kwargs), answers=answers, owner=owner, callers=chain)


def pack(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Work:
    """
    Return work that nobody asks for, but the supervisor whose child does it.

    Raises:
        SpecError: No other process can find the function, or an argument cannot be pickled.
    """
    label = label_of(function)
    try:
        contents = pickle.dumps(Call(function, args, kwargs), 5)
    except Exception as error:
        _refuse_call(f"task {label}", function, (*args, *masked(kwargs).values()), error)
    return Work(label, contents)


def _refuse_call(
    subject: str, function: Callable[..., Any], args: Sequence[Any], cause: Exception
) -> NoReturn:
    """Raise the error that says what could not be pickled, the function or its arguments."""
    why = f"{type(cause).__name__}: {cause}"
    field, rule, got = "arguments", f"values that can be pickled ({why})", bounded(args)
    try:
        pickle.dumps(function, 5)
    except Exception:
        field, rule, got = "function", f"{_IMPORTABLE} ({why})", bounded(function)
    shown = birth.Words(got)
    raise SpecError(subject=subject, field=field, expected=rule, got=shown) from cause


def label_of(function: Callable[..., Any]) -> str:
    """
    Return the module and the name of a function.

    Raises:
        SpecError: It is no function, a coroutine function, or one that no other process can find.
    """
    if not callable(function):
        refuse("task", "function", _IMPORTABLE, got=function)
    plain = _plain(function)
    label = f"{_module_of(plain)}.{plain.__qualname__}"
    if inspect.iscoroutinefunction(plain):
        rule = "no coroutine function; let a plain one call asyncio.run"
        refuse(f"task {label}", "function", rule, got=birth.Words("one with async def"))
    where = birth.hiding_place(plain)
    if where or plain.__qualname__ == "<lambda>":
        got = birth.Words(f"one that is defined {where}" if where else "a lambda")
        refuse(f"task {label}", "function", _IMPORTABLE, got=got)
    return label


def _plain(function: Callable[..., Any]) -> Any:
    """Return what has a module and a name: the function of a partial, the class of an object."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if hasattr(function, "__qualname__") else type(function)


def _module_of(thing: Any) -> str:
    # A method of a built-in type has none.
    return getattr(thing, "__module__", None) or "builtins"
