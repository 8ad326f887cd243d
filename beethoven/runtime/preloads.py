"""
Which modules the fork server may import ahead, and when what it has imported is out of date.

A module is imported ahead only after a child has imported it and it left nothing but itself: no
thread, no open file, no child process, no change of what every socket begins with. What is edited
afterwards is not used any more: such a birth gets a fresh interpreter.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from beethoven.runtime import kernel
from beethoven.runtime.birth import Preload

# The libraries, this one included, and installed packages are not edited while a program runs.
_INSTALLED: Final = (
    f"{Path(threading.__file__).parent}/",
    f"{Path(__file__).parents[1]}/",
    "/site-packages/",
    "/dist-packages/",
)


@dataclass(frozen=True, slots=True)
class Traces:
    """What importing a module may leave behind in a process."""

    threads: int
    descriptors: frozenset[int]
    children: frozenset[int]
    socket_timeout: float | None
    handlers: tuple[object, ...]


def traces() -> Traces:
    """Return what there is in this process now."""
    numbers = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    return Traces(
        threading.active_count(),
        kernel.open_descriptors(),
        kernel.own_children(),
        socket.getdefaulttimeout(),
        tuple(signal.getsignal(number) for number in numbers),
    )


@dataclass(slots=True)
class Preloads:
    """The files that have been imported ahead, as they were then."""

    _files: dict[str, tuple[int, int]] = field(default_factory=dict)
    _wishes: set[Preload] = field(default_factory=set)

    def __contains__(self, wish: Preload) -> bool:
        return wish in self._wishes

    def note(self, wish: Preload, modules: Iterable[str]) -> None:
        """Remember a wish that has been met, and the files of the modules that came with it."""
        self._wishes.add(wish)
        for name in modules:
            path = getattr(sys.modules.get(name), "__file__", None)
            if path and not any(part in path for part in _INSTALLED):
                self._files[path] = _version(path)

    def are_outdated(self) -> bool:
        """Whether one of the files is not what it was."""
        return any(_version(path) != version for path, version in self._files.items())


def _version(path: str) -> tuple[int, int]:
    try:
        # Each birth looks at all files imported ahead, and `Path.stat` takes ten times longer.
        about = os.stat(path)  # noqa: PTH116
    except OSError:
        return 0, 0
    return about.st_mtime_ns, about.st_size
