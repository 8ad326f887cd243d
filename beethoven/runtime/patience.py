"""Patience: what users have written about their values is waited for, but not for ever."""

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Final, TypeVar

T = TypeVar("T")

# How long a dying process waits for the texts of what it had, in seconds.
PATIENCE: Final = 1.0

TOO_SLOW: Final = "(not shown: it took more than 1 s)"


def within(seconds: float, function: Callable[[], T], otherwise: T) -> T:
    """
    Return what a function returns, or `otherwise` if that takes too long.

    The function runs in a thread of its own, which is left behind: for processes that end anyway.

    Raises:
        BaseException: What the function raises.
    """
    values: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            values.append(function())
        except BaseException as error:
            errors.append(error)

    try:
        thread = threading.Thread(target=copy_context().run, args=(run,), daemon=True)
        thread.start()
    except (RuntimeError, MemoryError):
        # The system has no room for another thread.
        return function()
    thread.join(seconds)
    for error in errors:
        raise error
    return values[0] if values else otherwise
