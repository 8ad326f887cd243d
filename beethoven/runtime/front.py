"""
Fronts: a process, or whatever else can be called, spoken to by the marked methods of its class.

Type checkers take a front of `Orders` for an `Orders`; it has the marked methods, and nothing else.
"""

from difflib import get_close_matches
from functools import partial
from typing import Any, NoReturn, TypeVar

from beethoven.runtime.on import Callee, marks_of
from beethoven.runtime.reference import (
    Reference,
    Target,
    ViaName,
    call,
    cast,
    check_timeout,
    reach,
)
from beethoven.runtime.requests import send_request

T = TypeVar("T")


def _process(target: Target) -> Callee:
    """Return a process as what is behind a front; a name is looked up for each request."""
    found = target if isinstance(target, str | ViaName) else reach(target)
    return Callee(
        name=str(found),
        call=found.call if isinstance(found, Reference) else partial(call, found),
        call_async=partial(_call_async, found),
        cast=found.cast if isinstance(found, Reference) else partial(cast, found),
        send_request=partial(send_request, found),
    )


async def _call_async(target: Target, request: Any, timeout: float | None) -> Any:
    from beethoven.runtime.async_call import call_async

    return await call_async(target, request, timeout)


class Front:
    """What a process is spoken to by: the marked methods of its class, made when they are used."""

    # With names that no marked method has.
    __is: tuple[type, Any, float | None]
    __callee: Callee

    def __init__(self, role: type, target: Any, timeout: float | None) -> None:
        check_timeout(timeout, f"{role.__qualname__}.front")
        callee = target if isinstance(target, Callee) else _process(target)
        self.__dict__["_Front__is"] = role, target, timeout
        self.__dict__["_Front__callee"] = callee

    def __getattr__(self, name: str) -> Any:
        role, _, timeout = self.__is
        marks = marks_of(role)
        if name not in marks:
            nearest = get_close_matches(name, marks, n=1)
            hint = f", did you mean {nearest[0]!r}?" if nearest else ""
            what = f"a front has the marked methods of {role.__qualname__}, and no {name!r}"
            raise AttributeError(f"{what}{hint}", name=name, obj=self)
        bound = marks[name].bound(self.__callee, name, timeout)
        self.__dict__[name] = bound
        return bound

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a front has no state: {name!r} cannot be set", name=name, obj=self)

    def __dir__(self) -> list[str]:
        return sorted(marks_of(self.__is[0]))

    def __repr__(self) -> str:
        return f"<front of {self.__is[0].__qualname__} to {self.__callee.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Front, self.__is


def front(cls: type[T], target: Target | Callee, timeout: float | None) -> T:
    """
    Return what speaks to a process by the marked methods of a class.

    Args:
        cls: The class of the process, or a base of it.
        target: A reference, a name, or whatever else can be called.
        timeout: Seconds that each call waits for its reply; None waits for ever.

    Raises:
        SpecError: The target is none, or the timeout.
    """
    made: T = Front(cls, target, timeout)  # type: ignore[assignment]
    return made
