"""Locks by key: who has each, and who waits for it in which order. Pure."""

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

    Invariant: the first claim of a key is granted, the others wait; no key is without a claim.
    """

    _claims: dict[bytes, list[Claim]] = field(default_factory=dict)

    def claim(self, key: bytes, claim: Claim) -> bool:
        """Ask for a lock. Return whether it is granted at once."""
        line = self._claims.setdefault(key, [])
        line.append(claim)
        return len(line) == 1

    def release(self, key: bytes, number: str) -> Claim | None:
        """End a claim, granted or not. Return the claim that is granted by that, if any."""
        line = self._claims.get(key, [])
        return self._replace(key, [each for each in line if each.number != number])

    def forget(self, owner: str) -> list[Claim]:
        """End all claims of an owner that is gone. Return those that are granted by that."""
        granted = []
        for key in self.of_owner(owner):
            left = [each for each in self._claims[key] if each.owner != owner]
            if (claim := self._replace(key, left)) is not None:
                granted.append(claim)
        return granted

    def of_owner(self, owner: str) -> list[bytes]:
        """Return the keys that an owner claims."""
        items = self._claims.items()
        return [key for key, line in items if any(each.owner == owner for each in line)]

    def _replace(self, key: bytes, left: list[Claim]) -> Claim | None:
        line = self._claims.pop(key, [])
        if not left:
            return None
        self._claims[key] = left
        return None if left[0] is line[0] else left[0]
