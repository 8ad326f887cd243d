"""
What one partition of a registry keeps: who is registered under which key, with which values. Pure.

Keys and values are packed: nothing here opens them. Whatever an owner holds is found from both
sides, by its key and by its owner, and goes from both at once.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from enum import StrEnum

from beethoven.runtime.packing import Packed
from beethoven.runtime.reference import Ref


class Keys(StrEnum):
    """How many processes may be registered under one key, and how often."""

    UNIQUE = "unique"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Entry:
    """One registration."""

    key: bytes
    ref: Ref
    value: Packed


# Entries by their numbers, which grow: so they come in the order in which they were made.
_Entries = dict[int, Entry]


@dataclass(slots=True)
class RegistryState:
    """
    The entries of one partition.

    Invariant: an entry is in `_by_key` if and only if it is in `_by_owner`; nothing in either is
    empty.
    """

    keys: Keys
    _by_key: dict[bytes, _Entries] = field(default_factory=dict)
    _by_owner: dict[str, _Entries] = field(default_factory=dict)
    _last: int = 0

    def register(self, entry: Entry) -> Ref | None:
        """
        Add an entry.

        Returns:
            None, or the holder of a unique key that is taken; nothing has changed then.
        """
        if self.keys is Keys.UNIQUE:
            for present in self.of_key(entry.key):
                return present.ref
        self._last += 1
        self._by_key.setdefault(entry.key, {})[self._last] = entry
        self._by_owner.setdefault(entry.ref.identity, {})[self._last] = entry
        return None

    def unregister(self, key: bytes, owner: str) -> list[Entry]:
        """Remove what an owner has under a key. Return what that was."""
        return self._remove(self._of(key, owner))

    def forget(self, owner: str) -> list[Entry]:
        """Remove everything of an owner. Return what that was."""
        return self._remove(dict(self._by_owner.get(owner, {})))

    def replace_value(self, key: bytes, owner: str, value: Packed) -> bool:
        """Give another value to what an owner has under a key. Return whether it has anything."""
        mine = self._of(key, owner)
        for number, entry in mine.items():
            changed = replace(entry, value=value)
            self._by_key[key][number] = self._by_owner[owner][number] = changed
        return bool(mine)

    def of_key(self, key: bytes) -> Collection[Entry]:
        """Return the entries of a key, in the order in which they were made."""
        return self._by_key.get(key, {}).values()

    def of_owner(self, owner: str) -> Collection[Entry]:
        """Return the entries of an owner, in the order in which they were made."""
        return self._by_owner.get(owner, {}).values()

    def all(self) -> list[Entry]:
        """Return every entry."""
        return [entry for entries in self._by_key.values() for entry in entries.values()]

    def count(self) -> int:
        """Return how many entries there are."""
        return sum(map(len, self._by_key.values()))

    def _of(self, key: bytes, owner: str) -> _Entries:
        either = self._by_key.get(key, {}), self._by_owner.get(owner, {})
        return {
            number: entry
            for number, entry in min(either, key=len).items()
            if entry.key == key and entry.ref.identity == owner
        }

    def _remove(self, gone: _Entries) -> list[Entry]:
        for number, entry in gone.items():
            key, owner = entry.key, entry.ref.identity
            del self._by_key[key][number], self._by_owner[owner][number]
            if not self._by_key[key]:
                del self._by_key[key]
            if not self._by_owner[owner]:
                del self._by_owner[owner]
        return list(gone.values())
