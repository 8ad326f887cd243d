"""
What becomes of announcements: who is evicted, frozen and brought back, and when.

Pure: time is a number, effects go out. An event is scheduled, then started, then gone; everything
that changes it is in this file. `azure_fabric` delivers the time and performs the effects.
"""

import heapq
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from beethoven.testing.azure_events import (
    EVICTS,
    Announcement,
    EventKind,
    event_document,
    in_version,
)

# How long events stay in the list once they have started, unless that is said otherwise.
_LISTED_FOR = 5.0


class Deed(StrEnum):
    """What is done to a machine."""

    FREEZE = "freeze"
    THAW = "thaw"
    EVICT = "evict"
    BRING_BACK = "bring back"


@dataclass(frozen=True, slots=True)
class Effect:
    """Do something to a machine. Those of different machines may be done in any order."""

    deed: Deed
    machine: str


class _Turn(StrEnum):
    """What happens to an event itself."""

    START = "start"
    VANISH = "vanish"


@dataclass(frozen=True, slots=True, order=True)
class _Step:
    at: float
    order: int
    event_id: str
    what: Deed | _Turn


@dataclass(slots=True)
class _Listed:
    announcement: Announcement
    not_before: float
    is_started: bool = False


class EventsState:
    """
    All events of the machines that see each other's.

    Args:
        new_id: Gives an id that it never gave before.
    """

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self._order = itertools.count()
        self._incarnation = 1
        self._listed: dict[str, _Listed] = {}
        self._approved: set[str] = set()
        self._steps: list[_Step] = []
        self._machines: dict[str, tuple[str, ...]] = {}

    def announce(self, announcement: Announcement, *, now: float, wall: float) -> str:
        """
        List an event, and return its id.

        Args:
            announcement: What is to happen.
            now: In seconds, never decreasing.
            wall: The same moment, in seconds since 1970-01-01 UTC.
        """
        event_id = self._new_id()
        self._listed[event_id] = _Listed(announcement, wall + announcement.notice)
        self._machines[event_id] = announcement.machines
        self._incarnation += 1
        if announcement.kind == EventKind.REBALANCE:
            if announcement.listed_for is not None:
                self._plan(now + announcement.listed_for, event_id, _Turn.VANISH)
        elif announcement.is_started:
            self._start(event_id, now)
        else:
            self._plan(now + announcement.notice + announcement.late, event_id, _Turn.START)
        return event_id

    def cancel(self, event_id: str) -> None:
        """
        Take back an event that has not started; what it announced does not happen.

        Raises:
            ValueError: There is no such event, or it has started.
        """
        listed = self._listed.get(event_id)
        if listed is None or listed.is_started:
            raise ValueError(f"expected event_id to be of a scheduled event, got: {event_id!r}")
        self._steps = [step for step in self._steps if step.event_id != event_id]
        heapq.heapify(self._steps)
        self._vanish(event_id)

    def approve(self, event_ids: Iterable[str], *, now: float) -> bool:
        """
        Let events begin now, for all machines that they name. A recommendation goes on as it was.

        Args:
            event_ids: Of events that are listed, or were approved before.
            now: In seconds.

        Returns:
            Whether all of the ids are such; if not, nothing was done.
        """
        wanted = list(event_ids)
        if not all(each in self._listed or each in self._approved for each in wanted):
            return False
        for each in wanted:
            self._approved.add(each)
            listed = self._listed.get(each)
            if listed and not listed.is_started and listed.announcement.kind != EventKind.REBALANCE:
                self._steps = [step for step in self._steps if step.event_id != each]
                heapq.heapify(self._steps)
                self._start(each, now)
        return True

    def tick(self, now: float) -> list[Effect]:
        """Return what is to be done now, in order; has to be called before `document`."""
        effects: list[Effect] = []
        while self._steps and self._steps[0].at <= now:
            step = heapq.heappop(self._steps)
            match step.what:
                case _Turn.START:
                    self._start(step.event_id, step.at)
                case _Turn.VANISH:
                    self._vanish(step.event_id)
                case Deed() as deed:
                    effects += [Effect(deed, name) for name in self._machines[step.event_id]]
        return effects

    def next_deadline(self) -> float | None:
        """Return when to call `tick`, or None."""
        return self._steps[0].at if self._steps else None

    def document(self, version: str) -> dict[str, object]:
        """Return the list of events as a version of Azure writes it."""
        written = [
            event_document(
                event_id, each.announcement, is_started=each.is_started, not_before=each.not_before
            )
            for event_id, each in self._listed.items()
        ]
        shown = [in_version(event, version) for event in written]
        events = [event for event in shown if event is not None]
        return {"DocumentIncarnation": self._incarnation, "Events": events}

    def _start(self, event_id: str, now: float) -> None:
        listed = self._listed[event_id]
        listed.is_started = True
        self._incarnation += 1
        announcement = listed.announcement
        listed_for = announcement.listed_for
        vanishes = now + (_LISTED_FOR if listed_for is None else listed_for)
        returns: float | None = None
        if announcement.kind == EventKind.FREEZE:
            vanishes = now + announcement.lasts
            self._plan(now, event_id, Deed.FREEZE)
            self._plan(vanishes, event_id, Deed.THAW)
        elif announcement.kind in EVICTS:
            evicted = now + announcement.evicted_after
            self._plan(evicted, event_id, Deed.EVICT)
            if announcement.returns_after is not None:
                returns = evicted + announcement.returns_after
                # A machine that has come back is not to read of its own end.
                vanishes = min(vanishes, returns)
        self._plan(vanishes, event_id, _Turn.VANISH)
        if returns is not None:
            self._plan(returns, event_id, Deed.BRING_BACK)

    def _vanish(self, event_id: str) -> None:
        del self._listed[event_id]
        self._incarnation += 1

    def _plan(self, at: float, event_id: str, what: Deed | _Turn) -> None:
        heapq.heappush(self._steps, _Step(at, next(self._order), event_id, what))

    def __repr__(self) -> str:
        return f"EventsState(incarnation={self._incarnation}, listed={len(self._listed)})"
