"""
Foresight: what a core server makes of the outlook of its node.

The outlook is told again and again, and whoever hears of it here may have died since: so all of it
is passed on each time. It is written down, too: whoever tells it may be dead as well, or deaf.
"""

import contextlib
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from beethoven import clock
from beethoven.cloud.outlook import CALM, Outlook
from beethoven.cluster.membership_events import Due
from beethoven.cluster.mesh import Mesh
from beethoven.engine.coordinator import Coordinator
from beethoven.engine.events import OutlookChanged
from beethoven.log import get_log
from beethoven.node.component_names import AZURE, ROLE_SERVER
from beethoven.runtime.folder import write_whole
from beethoven.runtime.reference import cast_or_drop

# In the tree's private folder.
_FILE: Final = "outlook"

log = get_log("core_server")


@dataclass(frozen=True, slots=True)
class Foreseen:
    """The moment has come at which the node is to leave, unless it was put off since."""

    leave_at: float


class Foresight:
    """
    Passes on what lies ahead of one node.

    Args:
        mesh: Its links.
        coordinator: Its coordinator.
        send_after: Sends the core server `Foreseen` after so many seconds.
        folder: The private folder of the tree.
    """

    def __init__(
        self,
        mesh: Mesh,
        coordinator: Coordinator,
        send_after: Callable[[float, Any], object],
        folder: str,
    ) -> None:
        self._mesh, self._coordinator = mesh, coordinator
        self._send_after = send_after
        self._file = Path(folder, _FILE)
        self._outlook = CALM

    def remembered(self) -> Outlook | None:
        """Return the outlook that a predecessor had last, or None if it had none."""
        try:
            outlook: Outlook = pickle.loads(self._file.read_bytes())
        except OSError:
            return None
        return outlook

    def look(self, outlook: Outlook) -> None:
        """Take an outlook."""
        before, self._outlook = self._outlook, outlook
        if outlook != before:
            # What is told has been written: a successor knows no less.
            with contextlib.suppress(OSError):
                write_whole(self._file, pickle.dumps(outlook, 5))
            self._log(before, outlook)
        if outlook.leave_at is not None and outlook.leave_at != before.leave_at:
            # Whoever has told of it may be dead by then.
            left = max(0.0, outlook.leave_at - clock.elapsed())
            self._send_after(left, Foreseen(outlook.leave_at))
        self._mesh.handle(Due(outlook.due))
        self._coordinator.handle(
            OutlookChanged(outlook.is_cordoned, outlook.is_at_risk, outlook.doomed)
        )
        cast_or_drop(ROLE_SERVER, ("hurry", outlook.hand_over_until))
        if outlook.is_cordoned:
            cast_or_drop(AZURE, ("emptied", self._coordinator.state.word.is_empty))

    @property
    def hurried_at(self) -> float | None:
        """When what stops too slowly is killed, by `clock.elapsed`; None is never."""
        return self._outlook.hand_over_until

    def must_leave(self, foreseen: "Foreseen") -> bool:
        """Return whether the moment that has come is still the one to leave at."""
        return self._outlook.leave_at == foreseen.leave_at

    def _log(self, before: Outlook, outlook: Outlook) -> None:
        name = self._mesh.own.name
        if outlook.is_cordoned and not before.is_cordoned:
            log.warning("node_cordoned", node=name, why=outlook.why)
        elif before.is_cordoned and not outlook.is_cordoned:
            log.info("node_uncordoned", node=name)
        if outlook.is_leaving and not before.is_leaving:
            log.warning("node_departing", node=name, why=outlook.why)
