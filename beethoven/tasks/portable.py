"""
Portable work: what a task is to do that may run on another node.

Functions and classes travel as their names. What another node finds under `__main__` is not what
the caller has there, so whatever is defined in a script is refused where the task is asked for.
"""

import io
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import FunctionType
from typing import Any, Final, NoReturn

from beethoven.errors import SpecError
from beethoven.runtime.birth import Words
from beethoven.tasks.work import Work, work_of

_MAIN: Final = "__main__"
_RULE: Final = (
    "what every node can import: move it out of the script into a module, and install that on the "
    "nodes or put it beside their configuration files"
)


class _Found(Exception):
    """Something is defined in the script."""

    def __init__(self, thing: type | FunctionType) -> None:
        super().__init__()
        self.thing = thing


class _Search(pickle.Pickler):
    """Pickles until it meets what is defined in the script."""

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, type | FunctionType) and thing.__module__ == _MAIN:
            raise _Found(thing)
        return NotImplemented


def portable_work(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    limit: float | None = None,
) -> Work:
    """
    Return work that any node can do, for whoever sends the request for its result.

    Args:
        function: What is to be run.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        limit: How long it may run, in seconds; None is no limit.

    Raises:
        SpecError: No other process can find the function, or it, or something in the arguments,
            is defined in the caller's script; or an argument cannot be pickled.
    """
    work = work_of(function, args, kwargs, answers=True)
    if _MAIN.encode() in work.contents:
        _refuse_main(work.label, function, (args, kwargs))
    # References to processes of this tree are of no use on another node.
    return replace(work, callers=(), ends_with_owner=True, by_request=True, limit=limit)


def _refuse_main(label: str, function: Callable[..., Any], arguments: Any) -> None:
    """Raise SpecError if a name of the script is among what was pickled, and not only a text."""
    for field, value in (("function", function), ("arguments", arguments)):
        try:
            _Search(io.BytesIO(), 5).dump(value)
        except _Found as found:
            _refuse(label, field, found.thing)


def _refuse(label: str, field: str, thing: type | FunctionType) -> NoReturn:
    got = Words(f"{thing.__qualname__} of __main__")
    raise SpecError(subject=f"task {label}", field=field, expected=_RULE, got=got) from None
