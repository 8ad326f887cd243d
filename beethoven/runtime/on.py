"""
On: which methods of a role are its calls and casts, as `@on.call` and `@on.cast` mark them.

On a front a marked method sends a request, and in the role itself it is the method. Type checkers
see its arguments and its reply in both places.
"""

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from types import MethodType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Concatenate,
    Generic,
    NoReturn,
    ParamSpec,
    Self,
    TypeVar,
    overload,
)

from beethoven.errors import CallingSelf, SpecError
from beethoven.runtime.invocation import Invocation
from beethoven.runtime.later import Later
from beethoven.runtime.requests import Request

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Callee:
    """
    Who is behind a front.

    Attributes:
        name: What it is, for people.
        call: Sends a request, waits so many seconds, and returns the reply.
        call_async: Does so in a coroutine.
        cast: Sends a request that has no reply.
        send_request: Sends a request whose answer is waited for later.
    """

    name: str
    call: Callable[[Any, float | None], Any]
    call_async: Callable[[Any, float | None], Awaitable[Any]]
    cast: Callable[[Any], object]
    send_request: Callable[[Any], Request]


class BoundCall(Generic[P, R_co]):
    """A method marked with `@on.call`, on a front: calling it raises what `beethoven.call` does."""

    __slots__ = ("_callee", "_method", "_timeout")

    def __init__(self, callee: Callee, method: str, timeout: float | None) -> None:
        self._callee = callee
        self._method = method
        self._timeout = timeout

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        reply: R_co = self._callee.call(Invocation(self._method, args, kwargs), self._timeout)
        return reply

    async def async_(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call it from a coroutine: others run until the reply is there."""
        request = Invocation(self._method, args, kwargs)
        reply: R_co = await self._callee.call_async(request, self._timeout)
        return reply

    def send_request(self, *args: P.args, **kwargs: P.kwargs) -> Request[R_co]:
        """Send the request and return at once; see `beethoven.send_request`."""
        return self._callee.send_request(Invocation(self._method, args, kwargs))


class _OwnCall(BoundCall[P, R_co]):
    """The same in the role itself: it is the method, and nothing is sent."""

    __slots__ = ("_function", "_role")

    def __init__(self, function: Callable[..., Any], role: object) -> None:
        self._function = function
        self._role = role

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        result: R_co = self._function(self._role, *args, **kwargs)
        return result

    async def async_(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        result = self._function(self._role, *args, **kwargs)
        reply: R_co = await result if inspect.isawaitable(result) else result
        return reply

    def send_request(self, *_args: P.args, **_kwargs: P.kwargs) -> Request[R_co]:
        raise CallingSelf(target=self._function.__qualname__)


class BoundCast(Generic[P]):
    """A method marked with `@on.cast`, on a front: calling it raises what `beethoven.cast` does."""

    __slots__ = ("_callee", "_method")

    def __init__(self, callee: Callee, method: str) -> None:
        self._callee = callee
        self._method = method

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> None:
        self._callee.cast(Invocation(self._method, args, kwargs))

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            what = f"{self._method!r} is a cast, which has no reply to wait for: it has no {name!r}"
            raise AttributeError(what, name=name, obj=self)


class Mark:
    """
    A marked method of a class.

    Attributes:
        function: The method as it was written.
        word: What marks it.
    """

    word: ClassVar[str]

    def __init__(self, function: Callable[..., Any]) -> None:
        if not callable(function) or isinstance(function, staticmethod):
            rule = "a method of a role"
            raise SpecError(subject=self.word, field="what it marks", expected=rule, got=function)
        wrapper: Any = self
        functools.update_wrapper(wrapper, function)
        self.function = function

    def bound(self, callee: Callee, name: str, timeout: float | None) -> object:
        """Return what this is on a front."""
        raise NotImplementedError

    def misfit(self, role: object, request: Invocation) -> str:
        """Return why the arguments of a request are none of this method's; empty if they are."""
        try:
            inspect.signature(self.function).bind(role, *request.args, **request.kwargs)
        except TypeError as error:
            return f"{request.method}: {error}"
        return ""


class Call(Mark, Generic[P, R_co]):
    """A method that answers calls."""

    word = "@on.call"

    @overload
    def __get__(self, role: None, owner: type) -> Self: ...
    @overload
    def __get__(self, role: object, owner: type) -> BoundCall[P, R_co]: ...
    def __get__(self, role: object, owner: type) -> Any:
        return self if role is None else _OwnCall(self.function, role)

    def bound(self, callee: Callee, name: str, timeout: float | None) -> BoundCall[P, R_co]:
        return BoundCall(callee, name, timeout)


class Cast(Mark, Generic[P]):
    """A method that handles casts."""

    word = "@on.cast"

    @overload
    def __get__(self, role: None, owner: type) -> Self: ...
    @overload
    def __get__(self, role: object, owner: type) -> BoundCast[P]: ...
    def __get__(self, role: object, owner: type) -> Any:
        return self if role is None else MethodType(self.function, role)

    def bound(self, callee: Callee, name: str, _timeout: float | None) -> BoundCast[P]:
        return BoundCast(callee, name)


@overload
def call(function: Callable[Concatenate[Any, P], Later[R_co]]) -> Call[P, R_co]: ...
@overload
def call(
    function: Callable[Concatenate[Any, P], Coroutine[Any, Any, Later[R_co]]],
) -> Call[P, R_co]: ...
@overload
def call(function: Callable[Concatenate[Any, P], Coroutine[Any, Any, R_co]]) -> Call[P, R_co]: ...
@overload
def call(function: Callable[Concatenate[Any, P], R_co]) -> Call[P, R_co]: ...
def call(function: Callable[..., Any]) -> Any:
    """
    Mark a method that answers calls: what it returns is the reply, or a `Later`.

    Raises:
        SpecError: It is no method.
    """
    return Call(function)


def cast(
    function: Callable[Concatenate[Any, P], Coroutine[Any, Any, None] | None],
) -> Cast[P]:
    """
    Mark a method that handles casts: it returns nothing.

    Raises:
        SpecError: It is no method.
    """
    return Cast(function)


def marks_of(cls: type) -> dict[str, Mark]:
    """Return the marked methods of a class, by name; those of its bases, too."""
    found: dict[str, Mark] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if isinstance(value, Mark):
                found[name] = value
            else:
                found.pop(name, None)
    return found


def check_marks(cls: type, role: type) -> None:
    """
    Check the marks of a new class of roles.

    Args:
        cls: The class.
        role: `Role`, whose own names cannot be marked.

    Raises:
        SpecError: A marked method has a name of `Role`, or what overrides one is not marked so.
    """
    for base in cls.__mro__:
        for name, mark in vars(base).items():
            if isinstance(mark, Mark):
                _check(cls, role, name, mark)


def _check(cls: type, role: type, name: str, mark: Mark) -> None:
    subject = f"{cls.__qualname__}.{name}"
    if hasattr(role, name):
        field, rule = f"the name of a method marked with {mark.word}", "one that no role has"
        raise SpecError(subject=subject, field=field, expected=rule, got=name)
    found = inspect.getattr_static(cls, name)
    if type(found) is not type(mark):
        rule = f"marked with {mark.word}, too"
        raise SpecError(subject=subject, field="what overrides it", expected=rule, got=found)
