"""How many functions this process has under way in the cluster, by node; for all its threads."""

import os
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Final


class UnderWay:
    """Counts what is under way on each node, as told by those who begin and end it."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Nothing is under way."""
        # A future that is garbage may be let go of while this is held.
        self._lock = threading.RLock()
        self._counts: Counter[str] = Counter()

    def count(self, node_id: str, change: int) -> None:
        """Note that so many more are under way on a node, or fewer."""
        with self._lock:
            self._counts[node_id] += change
            if not self._counts[node_id]:
                del self._counts[node_id]

    def counts(self) -> Mapping[str, int]:
        """Return how many are under way, by the boot of the node."""
        with self._lock:
            return dict(self._counts)


under_way: Final = UnderWay()
# What the process has under way is none of its copy's.
os.register_at_fork(after_in_child=under_way.clear)
