"""Marked methods at work: which of them a message of a front is for, and what becomes of others."""

from collections.abc import Coroutine
from difflib import get_close_matches
from types import CoroutineType
from typing import Any

from beethoven.log import get_log
from beethoven.runtime.caller import Caller
from beethoven.runtime.invocation import Invocation
from beethoven.runtime.later import Later, serving
from beethoven.runtime.on import Call, Cast, Mark, marks_of
from beethoven.runtime.returns import NoReply
from beethoven.runtime.status import name_of

log = get_log("role")


class Marked:
    """
    The marked methods of one role.

    What is for none of them, or does not fit, is refused, and the role goes on.
    """

    def __init__(self, role: object) -> None:
        self._role = role
        marks = marks_of(type(role))
        self._calls: dict[str, Mark] = {k: v for k, v in marks.items() if isinstance(v, Call)}
        self._casts: dict[str, Mark] = {k: v for k, v in marks.items() if isinstance(v, Cast)}

    def handle_call(self, request: Invocation, caller: Caller) -> Any:
        """Return the reply of a marked method, or what stands for a later one."""
        mark = self._calls.get(request.method)
        if mark is None:
            return self._refuse(self._unknown("call", request.method), caller)
        before = serving.set(caller)
        try:
            result = mark.function(self._role, *request.args, **request.kwargs)
        except TypeError:
            if not (cause := mark.misfit(self._role, request)):
                raise
            return self._refuse(cause, caller)
        finally:
            serving.reset(before)
        if type(result) is CoroutineType:
            return self._finish(result, caller)
        return self._settled(result, caller) if type(result) is Later else result

    async def _finish(self, method: Coroutine[Any, Any, Any], caller: Caller) -> Any:
        before = serving.set(caller)
        try:
            result = await method
        finally:
            serving.reset(before)
        return self._settled(result, caller) if type(result) is Later else result

    @staticmethod
    def _settled(later: Later[Any], caller: Caller) -> object:
        if later.caller is not caller:
            raise ValueError("expected the Later of this very call, got: that of another one")
        return NoReply

    def handle_cast(self, request: Invocation) -> Any:
        """Run a marked method."""
        mark = self._casts.get(request.method)
        if mark is None:
            return self._refuse(self._unknown("cast", request.method))
        try:
            return mark.function(self._role, *request.args, **request.kwargs)
        except TypeError:
            if not (cause := mark.misfit(self._role, request)):
                raise
            return self._refuse(cause)

    def _unknown(self, kind: str, name: str) -> str:
        other = "cast" if kind == "call" else "call"
        marked = {"call": self._calls, "cast": self._casts}
        hint = f", but a {other} of that name" if name in marked[other] else ""
        if not hint and (nearest := get_close_matches(str(name), marked[kind], n=1)):
            hint = f", did you mean {nearest[0]!r}?"
        return f"{name_of(type(self._role))} has no {kind} {name!r}{hint}"

    def _refuse(self, cause: str, caller: Caller | None = None) -> object:
        if caller is None:
            # Nobody else is told.
            log.warning("cast_refused", role=name_of(type(self._role)), cause=cause)
            return None
        caller.client.refuse(caller.number, cause)
        return NoReply
