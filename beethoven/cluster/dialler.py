"""
The dialler: which addresses are to be dialled when.

An address is dialled until a link to it opens, or it is forgotten: with growing pauses, then, when
it has been away for long, rarely, but for ever. It does not know who lives there.
"""

from collections.abc import Callable
from dataclasses import dataclass

from beethoven.cluster.addresses import Address
from beethoven.cluster.timing import Timing


@dataclass(slots=True)
class _Target:
    """An address; `next_at` is the next dial, or, while one is under way, when that is lost."""

    since: float
    next_at: float
    failures: int = 0
    is_dialling: bool = False


class Dialler:
    """
    The addresses to which a link is wanted.

    Args:
        timing: The pauses.
        chance: Gives a random number from 0 to 1, to scatter the pauses.
    """

    def __init__(self, timing: Timing, chance: Callable[[], float]) -> None:
        self._timing = timing
        self._chance = chance
        self._targets: dict[Address, _Target] = {}

    def __contains__(self, address: object) -> bool:
        return address in self._targets

    def __len__(self) -> int:
        return len(self._targets)

    def want(self, address: Address, *, now: float, at_once: bool = False) -> None:
        """
        Dial an address until `forget`.

        Args:
            address: The address.
            now: Monotonic time.
            at_once: Whether there is new reason to believe that it answers, so that an address
                which is dialled already is not waited for.
        """
        target = self._targets.get(address)
        if target is None:
            self._targets[address] = _Target(now, now)
        elif at_once and not target.is_dialling:
            target.next_at = min(target.next_at, now)

    def forget(self, address: Address) -> None:
        """Dial an address no more."""
        self._targets.pop(address, None)

    def failed(self, address: Address, *, now: float, is_hopeless: bool = False) -> None:
        """
        Note that a dial opened no link.

        Args:
            address: What was dialled.
            now: Monotonic time.
            is_hopeless: Whether soon trying again is likely to be in vain.
        """
        target = self._targets.get(address)
        if target is None:
            return
        target.failures += 1
        target.is_dialling = False
        target.next_at = now + self._pause(target, now, is_hopeless=is_hopeless)

    def due(self, *, now: float) -> list[Address]:
        """Return what is to be dialled now; each dial is under way from then on."""
        for address, target in self._targets.items():
            if target.is_dialling and target.next_at <= now:
                self.failed(address, now=now)  # its end was never told
        chosen = [
            address
            for address, target in self._targets.items()
            if not target.is_dialling and target.next_at <= now
        ]
        for address in chosen:
            target = self._targets[address]
            target.is_dialling = True
            target.next_at = now + 2 * self._timing.dial_timeout
        return chosen

    def next_at(self) -> float | None:
        """Return when `due` has something to do, or `None`."""
        return min((target.next_at for target in self._targets.values()), default=None)

    def stale(self, *, now: float) -> list[Address]:
        """Return the addresses that are wanted for so long that they are dialled rarely."""
        long_gone = self._timing.long_gone
        return [
            address for address, target in self._targets.items() if now - target.since >= long_gone
        ]

    def _pause(self, target: _Target, now: float, *, is_hopeless: bool) -> float:
        timing = self._timing
        if is_hopeless or now - target.since >= timing.long_gone:
            pause = timing.redial_rare
        else:
            doubled = timing.redial_least * 2 ** min(target.failures - 1, 8)
            pause = min(timing.redial_most, doubled)
        return pause * (0.75 + 0.5 * self._chance())
