"""Quarrels: which refusals of other nodes are news, so that each is told once a while. Pure."""

from collections import OrderedDict
from typing import Final

from beethoven.cluster.addresses import Address

_AGAIN_AFTER: Final = 300.0
_MOST: Final = 1024


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
