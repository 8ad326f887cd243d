"""Fronts of roles: the marked methods of a role, wherever in the cluster it runs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn, TypeVar

from beethoven.errors import NodeNotFound, SpecError
from beethoven.remote import calls
from beethoven.remote.calls import ALL
from beethoven.remote.way import Way, arriving_way, way_from_here
from beethoven.runtime.front import front
from beethoven.runtime.on import Callee, marks_of
from beethoven.runtime.requests import Request, send_request

T = TypeVar("T")

# Returns the way at the moment of a request.
GetWay = Callable[[], Way]


@dataclass(frozen=True, slots=True)
class RoleCallee(Callee):
    """
    A role behind a front. The way to it stays behind when the front is sent to another process.

    Attributes:
        role: Its name.
        to: The name of the node that is meant, or "all"; None for any.
    """

    role: str
    to: str | None

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self.role, self.to)


def role_front(
    get_way: GetWay, role: str, cls: type[T], timeout: float | None, to: str | None
) -> T:
    """
    Return what speaks to a role by the marked methods of its class; see `ClusterHandle.role`.

    Raises:
        SpecError: The class has no marked methods, or the timeout is none.
    """
    if not isinstance(cls, type) or not marks_of(cls):
        rule = "a class with methods that are marked with @on.call or @on.cast"
        raise SpecError(subject=f"front of role {role}", field="cls", expected=rule, got=cls)
    return front(cls, _callee(get_way, role, to), timeout)


def _callee(get_way: GetWay, role: str, to: str | None) -> RoleCallee:
    name = f"role {role}" if to is None else f"role {role} on {to}"
    callee = RoleCallee(
        name=name,
        call=lambda request, timeout: calls.call(get_way(), role, request, timeout, to),
        call_async=partial(_call_async, get_way, role, to),
        cast=partial(_cast, get_way, role, to),
        send_request=partial(_ask, get_way, role, to),
        role=role,
        to=to,
    )
    if to == ALL:
        refuse = partial(_refuse, name)
        return replace(callee, call=refuse, call_async=refuse, send_request=refuse)
    return callee


def _arrived(role: str, to: str | None) -> RoleCallee:
    """Return what is behind a front that comes from another process."""
    way = arriving_way()
    return _callee(partial(_own_way, role) if way is None else lambda: way, role, to)


def _own_way(role: str) -> Way:
    way = way_from_here()
    if way is None:
        fix = f"make a front with connect().role({role!r}, ...)"
        raise NodeNotFound(f"role {role}: this program is no part of a node; {fix}")
    return way


async def _call_async(
    get_way: GetWay, role: str, to: str | None, request: Any, timeout: float | None
) -> Any:
    from beethoven.remote import async_calls

    return await async_calls.call(get_way(), role, request, timeout, to)


def _cast(get_way: GetWay, role: str, to: str | None, request: Any) -> None:
    if to == ALL:
        calls.cast_all(get_way(), role, request)
    else:
        calls.cast(get_way(), role, request, to)


def _ask(get_way: GetWay, role: str, to: str | None, request: Any) -> Request:
    return send_request(calls.ref(get_way(), role, to), request)


def _refuse(name: str, *_request: object) -> NoReturn:
    rule = "one node, or None, for a call; multi_call returns the replies of all"
    raise SpecError(subject=f"front of {name}", field="to", expected=rule, got=ALL)
