"""Results of tasks: what has become of a function that ran in a process of its own. Values only."""

from dataclasses import dataclass
from typing import Any

from beethoven.runtime.reason import ExitReason


@dataclass(frozen=True, slots=True)
class Ok:
    """The function has returned (Elixir `{:ok, value}`)."""

    value: Any


@dataclass(frozen=True, slots=True)
class Exited:
    """The process ended before the function returned (Elixir `{:exit, reason}`)."""

    reason: ExitReason


@dataclass(frozen=True, slots=True)
class ExitedItem(Exited):
    """The same in a stream that was asked to tell which item it was (`zip_input_on_exit`)."""

    item: Any


@dataclass(frozen=True, slots=True)
class Raised:
    """
    What a function that somebody elsewhere has asked for ended with, instead of a value.

    Attributes:
        reason: What its process ends with.
        error: The exception, pickled; empty if it cannot be, or there is none.
        missing: The module that is missing where it was to run; else empty.
        is_opened: Whether it has begun: its process could unpickle the function and its arguments.
    """

    reason: ExitReason
    error: bytes
    missing: str = ""
    is_opened: bool = True


TaskResult = Ok | Exited
