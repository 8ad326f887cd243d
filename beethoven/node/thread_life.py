"""
The life of a thread: whoever holds this can see from another one whether it is over.

What belongs to a thread dies with it, so it needs no lock, and no thread need tell of its end.
"""

import threading
from collections.abc import Callable
from weakref import ref as weak


class _Life:
    """Belongs to one thread."""

    __slots__ = ("__weakref__",)


class _Mine(threading.local):
    """What each thread has."""

    def __init__(self) -> None:
        self.life = _Life()


_mine = _Mine()


def life_of_this_thread() -> Callable[[], object | None]:
    """Return what returns None, in any thread, once this thread is over."""
    return weak(_mine.life)
