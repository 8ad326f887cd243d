"""The machine as psutil sees it: how much of its CPU and its memory is in use."""

import math
from typing import Protocol


class Machine(Protocol):
    """Where the figures come from. Each method may raise anything."""

    def cpu(self) -> float: ...
    def memory(self) -> float: ...


class ThisMachine:
    """This machine. psutil is imported with the first question, into the process that asks."""

    def cpu(self) -> float:
        """
        Return the CPU in use since the last question, in percent, 0 to 100.

        The first answer means nothing: it has no time to look back on.
        """
        import psutil

        return _percent(psutil.cpu_percent(None))

    def memory(self) -> float:
        """Return the memory in use, in percent, 0 to 100."""
        import psutil

        return _percent(psutil.virtual_memory().percent)


def _percent(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"expected a percentage, got: {value!r}")
    return max(0.0, min(100.0, float(value)))
