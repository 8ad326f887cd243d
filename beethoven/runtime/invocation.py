"""Invocations: the requests of marked methods, as they travel and as they are shown."""

import copyreg
from typing import Any, Final

from beethoven.runtime.status import bounded

# By this number a pickle names the class, which takes a third of the time that its name would.
# It is one of the many that the standard library leaves unassigned, and the same for ever.
_CODE: Final = 0xBEE70


class Invocation:
    """
    A call or a cast of a marked method.

    Attributes:
        method: The name of the method.
        args: Its arguments by position.
        kwargs: Its arguments by name.
    """

    __slots__ = ("args", "kwargs", "method")

    def __init__(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.method = method
        self.args = args
        self.kwargs = kwargs

    def __reduce__(self) -> tuple[Any, ...]:
        return Invocation, (self.method, self.args, self.kwargs)

    def __repr__(self) -> str:
        named = [f"{name}={bounded(value)}" for name, value in self.kwargs.items()]
        given = [bounded(list(self.args))[1:-1]] if self.args else []
        return f"{self.method}({', '.join([*given, *named])})"


copyreg.add_extension(Invocation.__module__, Invocation.__qualname__, _CODE)
