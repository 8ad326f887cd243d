"""Later: replies to calls of marked methods that are given later, also by another process."""

from contextvars import ContextVar
from typing import Any, Final, Generic, TypeVar

from beethoven.errors import SpecError
from beethoven.runtime.caller import Caller, reply

R = TypeVar("R")

# Whose call of a marked method is being handled, if there is one.
serving: Final[ContextVar[Caller | None]] = ContextVar("serving", default=None)


class Later(Generic[R]):
    """
    The reply to a call of a marked method, given later.

    Make one in the method, keep it, and return it: `later = Later[str]()`. Who calls waits until
    somebody calls `reply`, any process of the tree that it was sent to.

    Attributes:
        caller: Who waits for the reply.

    Raises:
        SpecError: No call of a marked method is being handled.
    """

    __slots__ = ("caller",)

    def __init__(self) -> None:
        caller = serving.get()
        if caller is None:
            field, rule = "the call that it answers", "one of a method marked with @on.call"
            raise SpecError(subject="Later", field=field, expected=rule, got=None)
        self.caller = caller

    def reply(self, value: R) -> None:
        """Give the reply; see `beethoven.reply`. Only the first one counts."""
        reply(self.caller, value)

    def __repr__(self) -> str:
        return f"<later reply to {self.caller.client}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _later, (self.caller,)


def _later(caller: Caller) -> "Later[Any]":
    later: Later[Any] = Later.__new__(Later)
    later.caller = caller
    return later
