"""Roles that are hard to stop or to move."""

import os
from typing import Any

from tests.cluster.live.ledger_role import LedgerRole


class Mute(LedgerRole):
    """Cannot say what its state is."""

    def snapshot(self) -> Any:
        raise RuntimeError("no words for it")


class Faint(LedgerRole):
    """Ends when it is asked for its state."""

    def snapshot(self) -> Any:
        os._exit(3)
