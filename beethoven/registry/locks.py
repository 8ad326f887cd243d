"""Locks by key: who has each, and who waits for it in which order. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Claim:
    """
    The wish of somebody to have a lock, granted or not.

    Attributes:
        number: Chosen by the owner, who never uses it again.
        owner: The identity of a process of the tree; empty for the program that owns the tree.
        caller: Whom to answer when the lock is granted.
    """

    number: str
    owner: str
    caller: Any = field(compare=False)


@dataclass(slots=True)
class Locks:
    """
    The locks of one partition.

    Invariant: the first claim of a key is granted, the others wait; a claim is in `_claims` if and
    only if it is in `_by_owner`; nothing in either is empty.
    """

    # By key and number, in the order in which they were made.
    _claims: dict[bytes, dict[str, Claim]] = field(default_factory=dict)
    # The keys of an owner's claims, by number.
    _by_owner: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def claim(self, key: bytes, claim: Claim) -> bool:
        """Ask for a lock. Return whether it is granted at once."""
        line = self._claims.setdefault(key, {})
        line[claim.number] = claim
        self._by_owner.setdefault(claim.owner, {})[claim.number] = key
        return len(line) == 1

    def release(self, key: bytes, number: str) -> Claim | None:
        """End a claim, granted or not. Return the claim that is granted by that, if any."""
        line = self._claims.get(key, {})
        if number not in line:
            return None
        was_granted = next(iter(line)) == number
        self._disown(line.pop(number))
        if not line:
            del self._claims[key]
        return next(iter(line.values()), None) if was_granted else None

    def forget(self, owner: str) -> list[Claim]:
        """End all claims of an owner that is gone. Return those that are granted by that."""
        claims = dict(self._by_owner.get(owner, {}))
        granted = [self.release(key, number) for number, key in claims.items()]
        return [each for each in granted if each is not None and each.owner != owner]

    def of_owner(self, owner: str) -> Collection[bytes]:
        """Return the keys that an owner claims, each as often as it does."""
        return self._by_owner.get(owner, {}).values()

    def _disown(self, claim: Claim) -> None:
        numbers = self._by_owner[claim.owner]
        del numbers[claim.number]
        if not numbers:
            del self._by_owner[claim.owner]
