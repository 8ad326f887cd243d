"""A roster: who is in which group, and how often. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

# Of all groups together on one node. With names of a sensible length they fit into the queue of a
# link, so that a node that comes late can be told all of them at once.
MOST_MEMBERSHIPS: Final = 50_000
# In one message, which is at most 1 MiB even if every name is as long as it may be.
MOST_TOLD: Final = 500

Listed = Mapping[str, tuple[str, ...]]


class Roster:
    """
    The members of the groups of one node.

    Invariant: a group is in `_groups` if and only if it has a member; `_joined` has for each
    member the groups that it is in.
    """

    __slots__ = ("_groups", "_joined", "size")

    def __init__(self) -> None:
        self._groups: dict[str, list[str]] = {}
        self._joined: dict[str, set[str]] = {}
        self.size = 0

    def add(self, group: str, member: str) -> None:
        """Note that a member has joined a group, once more if it is in it already."""
        self._groups.setdefault(group, []).append(member)
        self._joined.setdefault(member, set()).add(group)
        self.size += 1

    def remove(self, group: str, member: str) -> bool:
        """Note that a member has left a group, which it has joined once or more. Return whether."""
        members = self._groups.get(group, [])
        if member not in members:
            return False
        members.remove(member)
        self.size -= 1
        if not members:
            del self._groups[group]
        if member not in members:
            groups = self._joined[member]
            groups.discard(group)
            if not groups:
                del self._joined[member]
        return True

    def forget(self, member: str) -> list[tuple[str, str]]:
        """Take a member out of all groups. Return every membership that it had."""
        gone = [
            (group, member)
            for group in sorted(self._joined.get(member, ()))
            for _ in range(self._groups[group].count(member))
        ]
        for each in gone:
            self.remove(*each)
        return gone

    def members(self, group: str) -> tuple[str, ...]:
        """Return the members of a group in the order in which they joined, each once for each."""
        return tuple(self._groups.get(group, ()))

    def groups(self) -> list[str]:
        """Return the names of the groups."""
        return sorted(self._groups)

    def has(self, member: str) -> bool:
        """Whether somebody is in any group."""
        return member in self._joined

    def differs(self, other: "Roster") -> set[str]:
        """Return the groups whose members are not the same here and there."""
        either = {*self.groups(), *other.groups()}
        return {each for each in either if self.members(each) != other.members(each)}

    def memberships(self) -> Iterator[tuple[str, str]]:
        """Yield each group with each of its members."""
        for group, members in self._groups.items():
            for member in members:
                yield group, member


def listed(memberships: Iterable[tuple[str, str]]) -> list[Listed]:
    """Return memberships as lists by group, cut so that each fits into a message."""
    cut: list[dict[str, list[str]]] = []
    for number, (group, member) in enumerate(memberships):
        if number % MOST_TOLD == 0:
            cut.append({})
        cut[-1].setdefault(group, []).append(member)
    return [{group: tuple(members) for group, members in each.items()} for each in cut]
