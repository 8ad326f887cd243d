"""
Where processes run: on one core with their parent, or on another.

Waking a process on another core that sleeps costs several times the whole exchange of two on one
core, and the scheduler's choice is a matter of luck. So what is compared is put in the same place.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

AS_SCHEDULED = "as scheduled"
ONE_CORE = "one core"
TWO_CORES = "two cores"


def places() -> list[str]:
    """Return where this machine can put two processes."""
    if not hasattr(os, "sched_setaffinity"):
        return [AS_SCHEDULED]
    return [ONE_CORE, TWO_CORES] if len(os.sched_getaffinity(0)) > 1 else [ONE_CORE]


@contextlib.contextmanager
def placed(place: str, pids: Iterable[int]) -> Iterator[None]:
    """Run this process on one core, and `pids` on the same or on another one, for a while."""
    if place == AS_SCHEDULED:
        yield
        return
    cores = sorted(os.sched_getaffinity(0))
    first, second = cores[0], cores[0] if place == ONE_CORE else cores[1]
    os.sched_setaffinity(0, {first})
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {second})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
