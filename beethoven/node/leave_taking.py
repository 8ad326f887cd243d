"""
Leave-taking: how a node hands over what it runs, takes leave of the others, and stops.

The core server may die in the midst of it: when the wait ends stands in the tree's private folder,
and its successor goes on.
"""

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, assert_never

from beethoven import clock
from beethoven.cluster.membership_events import LeaveRequested
from beethoven.cluster.mesh import Mesh
from beethoven.engine.coordinator import Coordinator
from beethoven.engine.events import DrainRequested, Note
from beethoven.log import get_log
from beethoven.node.component_names import ROLE_SERVER, ROOT
from beethoven.node.leave_taking_state import (
    Effect,
    HandOver,
    KillAt,
    Later,
    LeaveTakingState,
    StopNode,
    TakeLeave,
)
from beethoven.runtime.folder import write_whole
from beethoven.runtime.reference import ask_to_stop, cast_or_drop

# In the tree's private folder: until when a leaving node waits, by `clock.elapsed`.
_LEAVING: Final = "leaving-until"

log = get_log("core_server")


class LeaveTaking:
    """
    Does what `LeaveTakingState` decides.

    Args:
        mesh: The links of the node.
        coordinator: Its coordinator.
        folder: The private folder of its tree.
        send_after: Sends the core server "depart" or "go" after so many seconds.
        timeout: How long its roles may take to come to run elsewhere, in seconds.
    """

    def __init__(
        self,
        mesh: Mesh,
        coordinator: Coordinator,
        folder: str,
        send_after: Callable[[float, Any], object],
        timeout: float,
    ) -> None:
        self._mesh, self._coordinator = mesh, coordinator
        self._file = Path(folder, _LEAVING)
        self._send_after = send_after
        self._state = LeaveTakingState(mesh.own.name, timeout)

    def begin(self, hurried_at: float | None = None) -> None:
        """
        Have the roles run elsewhere, then take leave of the others, then stop the node.

        Args:
            hurried_at: When what stops too slowly is killed, by `clock.elapsed`; None is never.
        """
        is_alone = not self._mesh.membership.members()
        self._perform(self._state.begin(clock.elapsed(), hurried_at, is_alone=is_alone))

    def wait_for(self, hurried_at: float | None) -> None:
        """Stay, if it is leaving, until what stops too slowly was killed."""
        self._perform(self._state.wait_for(clock.elapsed(), hurried_at))

    def withdraw(self) -> None:
        """Leave within a moment: the machine is about to go, and all is told to stop."""
        self._perform(self._state.withdraw(clock.elapsed()))

    def hasten(self, hurried_at: float | None) -> None:
        """Stop the node at once; if what stops too slowly is to be killed, do that before."""
        self._perform(self._state.hasten(clock.elapsed(), hurried_at))

    def remind(self) -> None:
        """Tell the role server, which may have begun anew, when all is killed, if it is."""
        self._perform(self._state.remind())

    def go_on(self) -> None:
        """Go on with what a predecessor that died meanwhile has begun."""
        try:
            until = float(self._file.read_text("utf-8"))
        except OSError:
            return
        self._perform(self._state.go_on(clock.elapsed(), until))

    def nobody_is_left(self) -> None:
        """Note that there is nobody to hand over to."""
        self._perform(self._state.nobody_is_left(clock.elapsed()))

    def time_is_up(self) -> None:
        """Leave although roles are left, unless it has left already."""
        self._perform(self._state.time_is_up(clock.elapsed()))

    def depart(self) -> None:
        """Take leave at once."""
        self._perform(self._state.depart(clock.elapsed()))

    def go(self) -> None:
        """Stop the node once the others have read that it leaves."""
        self._perform(self._state.go(clock.elapsed(), is_linked=self._mesh.is_linked))

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case HandOver(until):
                    with contextlib.suppress(OSError):
                        write_whole(self._file, str(until).encode())
                    self._coordinator.handle(DrainRequested())
                case Later(seconds, step):
                    self._send_after(seconds, step)
                case KillAt(moment):
                    cast_or_drop(ROLE_SERVER, ("withdraw", moment))
                case TakeLeave():
                    self._mesh.handle(LeaveRequested())
                    self.go()
                case StopNode():
                    ask_to_stop(ROOT, "shutdown")
                case Note(event, level, fields):
                    getattr(log, level)(event, **fields)
                case _:
                    assert_never(effect)
