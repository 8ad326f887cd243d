"""What `leaks.py` runs, and how what a process holds is weighed."""

import gc
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from beethoven import Caller, Role


class Weight(NamedTuple):
    """
    What a process holds when nothing is under way.

    Attributes:
        objects: Python objects that hold others.
        blocks: Pieces of memory that Python has given to objects of any kind.
        descriptors: Open files and sockets.
        threads: Of Python.
        kilobytes: Resident memory.
    """

    objects: int
    blocks: int
    descriptors: int
    threads: int
    kilobytes: int


def weigh() -> Weight:
    """Weigh this process, once what is garbage has been collected."""
    for _ in range(3):
        gc.collect()
    return Weight(
        len(gc.get_objects()),
        sys.getallocatedblocks(),
        sum(1 for _ in Path("/dev/fd").iterdir()),
        threading.active_count(),
        psutil.Process().memory_info().rss // 1024,
    )


class Echo(Role):
    """A role that replies with the request, and weighs itself when it is asked to."""

    def handle_call(self, request: Any, caller: Caller) -> Any:
        return weigh() if request == "weigh" else request

    def handle_cast(self, request: Any) -> None:
        pass
