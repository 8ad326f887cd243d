"""A role that shows from moment to moment that it acts: what is frozen runs, but does not beat."""

from pathlib import Path
from typing import Any

from beethoven import clock
from tests.cluster.live.ledger_role import LedgerRole

BEAT = 0.25


class BeatingRole(LedgerRole):
    """Appends `beat NODE ROLE PID TIME` to a file of its own, four times a second."""

    def init(self, args: Any) -> None:
        super().init(args)
        self._beats = Path(args["folder"], "beats")
        self._beat()

    def handle_info(self, message: Any) -> None:
        if message == "beat":
            self._beat()
        else:
            super().handle_info(message)

    def _beat(self) -> None:
        line = f"beat {self._who} {clock.elapsed():.6f}\n"
        with self._beats.open("ab", buffering=0) as file:
            file.write(line.encode())
        self.send_after(BEAT, "beat")
