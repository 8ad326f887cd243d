"""
What a process remembers of the directories that it was told: a role does not vanish with its node.

Pure: time is a number.
"""

from dataclasses import replace
from typing import Final

from beethoven.cluster.directory import Directory, RoleEntry

# So long a role that no node has any more is still believed to come back, in seconds.
REMEMBERED: Final = 60.0


class Memory:
    """The roles that were told a moment ago, and when each was told last."""

    __slots__ = ("_gone", "_roles", "_told_at")

    def __init__(self) -> None:
        self._roles: frozenset[str] = frozenset()
        self._told_at = 0.0
        self._gone: dict[str, float] = {}

    def completed(self, told: Directory, *, now: float) -> Directory:
        """
        Return a new directory with the roles that older ones had, which run nowhere then.

        Args:
            told: The directory.
            now: The time, monotonic.
        """
        gone = self._gone | dict.fromkeys(self._roles, self._told_at)
        self._roles, self._told_at = frozenset(told.roles), now
        self._gone = {
            role: last
            for role, last in gone.items()
            if role not in told.roles and now - last < REMEMBERED
        }
        if not self._gone:
            return told
        return replace(told, roles={**dict.fromkeys(self._gone, RoleEntry()), **told.roles})
