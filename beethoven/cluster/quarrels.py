"""
Quarrels: which refusals of other nodes are news, so that each is told once a while.

And flaps: which nodes come and go so often that it is no news any more. Pure.
"""

from collections import OrderedDict, deque
from typing import Final

from beethoven.cluster.addresses import Address

_AGAIN_AFTER: Final = 300.0
_MOST: Final = 1024

# A node that was suspect more often than that within so many seconds comes and goes.
MOST_FLAPS: Final = 10
FLAPS_WITHIN: Final = 60.0


class Quarrels:
    """The last refusal of each address, and when it was told."""

    # Invariant: len(_told) <= _MOST
    def __init__(self) -> None:
        self._told: OrderedDict[Address, tuple[str, float]] = OrderedDict()

    def is_news(self, address: Address, code: str, *, now: float) -> bool:
        """Return whether a refusal is to be told: another one than last, or after 300 s."""
        last = self._told.get(address)
        if last is not None and last[0] == code and now - last[1] < _AGAIN_AFTER:
            return False
        self._told[address] = (code, now)
        self._told.move_to_end(address)
        if len(self._told) > _MOST:
            self._told.popitem(last=False)
        return True

    def settle(self, address: Address) -> None:
        """Note that an address does not refuse any more."""
        self._told.pop(address, None)


class Flaps:
    """When each node was suspect of late."""

    def __init__(self) -> None:
        self._times: dict[str, deque[float]] = {}

    def add(self, node_id: str, *, now: float) -> None:
        """Note that a node is suspect."""
        times = self._times.setdefault(node_id, deque(maxlen=MOST_FLAPS + 1))
        times.append(now)

    def comes_and_goes(self, node_id: str, *, now: float) -> bool:
        """Return whether a node was suspect so often of late that once more is no news."""
        times = self._times.get(node_id)
        return times is not None and len(times) > MOST_FLAPS and now - times[0] < FLAPS_WITHIN

    def forget(self, node_id: str) -> None:
        """Forget a node that is gone."""
        self._times.pop(node_id, None)
