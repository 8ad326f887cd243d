"""
What a node says of itself besides what it runs, and whether anything is left on it. Pure.

A node that is to be drained may go, and one that is cordoned is empty, once three things agree: the
table knows of its wish, so that nothing new is on its way; the table has no place for it; and it
has found no process of a role since it followed that table.
"""

from dataclasses import replace

from beethoven.engine.events import Effect, Emptied, OutlookChanged, Release, SendReport
from beethoven.engine.table import Report, Seniority, Stamp, Table


class OwnWord:
    """
    The word of one node.

    Args:
        node_id: Which node.
        eldest: The oldest member that it can reach.
    """

    def __init__(self, node_id: str, eldest: Seniority) -> None:
        self._node_id = node_id
        self._is_draining = self._is_released = False
        self._outlook = OutlookChanged()
        # None: it was never cordoned, so nobody has asked.
        self._is_empty: bool | None = None
        self._told = (eldest, self._is_draining, self._outlook)

    def drain(self, *, is_wanted: bool) -> None:
        """Note whether it is to be left without roles."""
        self._is_draining, self._is_released = is_wanted, False

    def foresee(self, outlook: OutlookChanged) -> None:
        """Note what lies ahead."""
        self._outlook = outlook

    @property
    def is_empty(self) -> bool:
        """Whether it is cordoned and has no role left, as was told last."""
        return self._is_empty is True

    def complete(self, report: Report, eldest: Seniority) -> Report:
        """Return the report of the node with this word in it."""
        return replace(
            report,
            eldest=eldest,
            is_draining=self._is_draining,
            is_cordoned=self._outlook.is_cordoned,
            is_at_risk=self._outlook.is_at_risk,
            doomed=self._outlook.doomed,
        )

    def news(self, eldest: Seniority) -> list[Effect]:
        """Return that the others are to be told, if it is another word than they were told."""
        word = (eldest, self._is_draining, self._outlook)
        if word == self._told:
            return []
        self._told = word
        return [SendReport()]

    def departure(self, report: Report | None, table: Table, adopted: Stamp) -> list[Effect]:
        """
        Return what follows from what is left on the node.

        Args:
            report: Its own, if there is one.
            table: The newest that it knows.
            adopted: The table that it follows.
        """
        if report is None:
            return []
        is_current = report.stamp == adopted == table.stamp
        effects: list[Effect] = []
        if self._is_draining and not self._is_released and is_current:
            self._is_released = self._has_nothing(report, table, table.draining)
            effects += [Release()] if self._is_released else []
        is_empty = (
            self._outlook.is_cordoned
            and (self.is_empty or is_current)
            and self._has_nothing(report, table, table.cordoned)
        )
        is_asked = self._outlook.is_cordoned or self._is_empty is not None
        if is_asked and is_empty is not self._is_empty:
            self._is_empty = is_empty
            effects.append(Emptied(is_empty))
        return effects

    def _has_nothing(self, report: Report, table: Table, known: frozenset[str]) -> bool:
        is_known = self._node_id in known
        return is_known and not report.held and not table.roles_of(self._node_id)
