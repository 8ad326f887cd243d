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


TaskResult = Ok | Exited
