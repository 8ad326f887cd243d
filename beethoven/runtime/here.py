"""
What this operating-system process knows of its own place: which tree, which identity.

A process of a tree is told at birth. A program outside becomes the owner of a tree with the first
process that it starts (see `launcher`). A copy made by a plain `fork` belongs to no tree.
"""

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


def _ignore(_identity: str) -> None:
    """Nobody wants to know."""


class Inhabitant(Protocol):
    """A process of a tree, in the eyes of its own user code."""

    ref: Any

    def take_exit(self, sender: Any, reason: Any) -> None: ...
    def post(self, message: Any) -> None: ...
    def info(self) -> Any: ...


@dataclass(slots=True)
class Here:
    """
    This process's place.

    Attributes:
        folder: The private folder of its tree; empty while there is none.
        identity: Its identity; empty for a program outside the tree.
        main_thread: The thread that runs its user code.
        context: Facts of the tree that every child inherits.
        main: Where the program's main script is found, in the words of `multiprocessing`; None in
            the program itself.
        fork_server: Number of the fork server to ask for births; empty while there is none.
        on_stopped: Told the identity of every process that this one has stopped.
        importing_main: Whether the program's main script is being run again for a child.
        process: The process that lives here, if this is one of a tree.
    """

    folder: str = ""
    identity: str = ""
    main_thread: int = 0
    context: Mapping[str, Any] = field(default_factory=dict)
    main: Mapping[str, str] | None = None
    fork_server: str = ""
    on_stopped: Callable[[str], None] = _ignore
    importing_main: bool = False
    process: "Inhabitant | None" = None


here = Here()


def is_self(identity: str) -> bool:
    """Whether the user code of that very process is asking."""
    return identity == here.identity and threading.get_ident() == here.main_thread


def _leave() -> None:
    here.folder = here.identity = here.fork_server = ""
    here.process = None


os.register_at_fork(after_in_child=_leave)
