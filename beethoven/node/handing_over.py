"""
Handing over: the state that an instance of a role leaves to the next one, on another node.

A role that writes `snapshot` leaves a note in the tree's private folder, so that its node knows
that it is to be asked before it is stopped. The state that comes from another node is put there as
well, and is used once: an instance that fails begins anew.
"""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from beethoven import clock
from beethoven.runtime.here import here

# How long a role may take to give its state, in seconds.
_PATIENCE: Final = 2.0
# A state that is older is that of another time.
_LONGEST_LIFE: Final = 60.0
# Every node keeps what any other hands over: at most 32 MiB of it.
_MOST_STATES: Final = 64


def announce(role: str) -> None:
    """Leave a note that this process is to be asked for its state before it is stopped."""
    _note(here.folder, role).write_text(here.identity, "utf-8")


def is_to_be_asked(folder: str, role: str, identity: str) -> bool:
    """Return whether a process has left such a note."""
    try:
        return _note(folder, role).read_text("utf-8") == identity
    except OSError:
        return False


def take_state(role: str) -> bytes | None:
    """Return the state that was left for a role, if there is one; it is gone afterwards."""
    path = _state(here.folder, role)
    try:
        state = path.read_bytes()
        path.unlink()
    except OSError:
        return None
    return state


def _note(folder: str, role: str) -> Path:
    return Path(folder, f"hands-over-{role}")


def _state(folder: str, role: str) -> Path:
    return Path(folder, f"state-{role}")


@dataclass(slots=True)
class States:
    """
    The states that other nodes have sent, and the roles here that were asked for theirs.

    Attributes:
        folder: The private folder of the tree.
    """

    folder: str
    _received: dict[tuple[str, int], tuple[bytes, float]] = field(default_factory=dict)
    # Which process of a role was asked, and until when its answer is waited for.
    _asked: dict[str, tuple[str, float]] = field(default_factory=dict)

    def receive(self, role: str, slot: int, state: bytes) -> None:
        """Keep a state, in case that slot comes here; if there are too many, not the oldest."""
        self._received.pop((role, slot), None)
        self._received[role, slot] = (state, clock.monotonic())
        if len(self._received) > _MOST_STATES:
            del self._received[next(iter(self._received))]

    def expire(self) -> None:
        """Drop the states that nobody has come for."""
        now = clock.monotonic()
        for pair, (_, at) in list(self._received.items()):
            if now - at > _LONGEST_LIFE:
                del self._received[pair]

    def lay_out(self, slots: Mapping[str, int]) -> None:
        """Put the states where the roles that are about to start find them."""
        self.expire()
        for pair, (state, _) in list(self._received.items()):
            role, slot = pair
            if slots.get(role) == slot:
                del self._received[pair]
                path = _state(self.folder, role)
                path.unlink(missing_ok=True)
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "wb") as file:
                    file.write(state)

    def ask(self, role: str, identity: str) -> bool:
        """Return whether a role is to be asked now; at most once before it is stopped."""
        if role in self._asked or not is_to_be_asked(self.folder, role, identity):
            return False
        self._asked[role] = identity, clock.monotonic() + _PATIENCE
        return True

    def is_awaited(self, role: str, identity: str | None) -> bool:
        """
        Return whether the state of a role is still waited for.

        Args:
            role: Which one.
            identity: Its process, if it has one now: another one than was asked has nothing to say.
        """
        asked, until = self._asked.get(role, (None, 0.0))
        return identity == asked and clock.monotonic() < until

    def answered(self, role: str) -> None:
        """Note that a role has given its state."""
        if role in self._asked:
            self._asked[role] = self._asked[role][0], 0.0

    def forget(self, role: str) -> None:
        """Note that a role does not run here any more."""
        if self._asked.pop(role, None) is not None:
            with contextlib.suppress(OSError):
                _note(self.folder, role).unlink()
