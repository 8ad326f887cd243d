"""What Azure announces: the words, and how an announcement is written. Values only."""

import email.utils
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from beethoven.testing.arguments import expect, expect_seconds, expect_texts


class EventKind(StrEnum):
    """What is to happen to machines, in the words of Azure."""

    PREEMPT = "Preempt"
    TERMINATE = "Terminate"
    REDEPLOY = "Redeploy"
    REBOOT = "Reboot"
    FREEZE = "Freeze"
    REBALANCE = "SpotRebalanceRecommendation"


class TimeFormat(StrEnum):
    """How moments are written: as Azure does, or as its official mock does."""

    RFC1123 = "rfc1123"
    ISO = "iso"


# The least that Azure gives, in seconds.
LEAST_NOTICE: Final[Mapping[str, float]] = {
    EventKind.PREEMPT: 30.0,
    EventKind.TERMINATE: 300.0,
    EventKind.REDEPLOY: 600.0,
    EventKind.REBOOT: 900.0,
    EventKind.FREEZE: 900.0,
    EventKind.REBALANCE: 0.0,
}
DESCRIPTIONS: Final[Mapping[str, str]] = {
    EventKind.PREEMPT: "The virtual machine is about to be evicted.",
    EventKind.TERMINATE: "The virtual machine is about to be deleted.",
    EventKind.REDEPLOY: "The virtual machine moves to another host; its ephemeral disk is lost.",
    EventKind.REBOOT: "The virtual machine is about to be restarted.",
    EventKind.FREEZE: "The virtual machine is paused for a few seconds.",
    EventKind.REBALANCE: "The virtual machine has a higher risk of being evicted.",
}
EVICTS: Final = frozenset(
    {EventKind.PREEMPT, EventKind.TERMINATE, EventKind.REDEPLOY, EventKind.REBOOT}
)
# However somebody may write them.
_KINDS: Final = {word.casefold(): kind for kind in EventKind for word in (kind.name, kind.value)}
EVENT_VERSIONS: Final = (
    "2017-11-01",
    "2019-01-01",
    "2019-04-01",
    "2019-08-01",
    "2020-07-01",
    "2024-07-09",
)
_SINCE: Final[Mapping[str, str]] = {
    "Description": "2019-04-01",
    "EventSource": "2019-08-01",
    "DurationInSeconds": "2020-07-01",
    EventKind.TERMINATE: "2019-01-01",
    EventKind.REBALANCE: "2024-07-09",
}


@dataclass(frozen=True, slots=True)
class Announcement:
    """
    What is to happen; `AzureFabric.announce` explains each.

    Raises:
        ValueError: One of them is not what it should be.
    """

    kind: str
    machines: tuple[str, ...]
    notice: float
    late: float = 0.0
    is_started: bool = False
    evicted_after: float = 0.0
    returns_after: float | None = None
    listed_for: float | None = None
    lasts: float = 5.0
    duration: int | None = None
    description: str = ""
    source: str = "Platform"
    time_format: TimeFormat = TimeFormat.RFC1123

    def __post_init__(self) -> None:
        check_kind(self.kind)
        expect("machines", "names of at least one", self.machines, holds=bool(self.machines))
        expect_texts("machines", self.machines)
        for name in ("notice", "late", "evicted_after", "returns_after", "listed_for", "lasts"):
            seconds = getattr(self, name)
            if seconds is not None:
                expect_seconds(name, seconds)
        duration = self.duration
        expect("duration", "an int", duration, holds=duration is None or isinstance(duration, int))
        expect("description", "a text", self.description, holds=isinstance(self.description, str))
        expect("source", "a text", self.source, holds=isinstance(self.source, str))
        check_time_format(self.time_format)

    @property
    def stated_duration(self) -> int:
        """What `DurationInSeconds` says; -1 is unknown."""
        if self.duration is not None:
            return self.duration
        return round(self.lasts) if self.kind == EventKind.FREEZE else -1


def check_kind(kind: str) -> None:
    """
    Check what is to happen; a kind that Azure does not have is right.

    Raises:
        ValueError: It is no text, or a kind of Azure that is written otherwise.
    """
    expect("kind", "a text", kind, holds=isinstance(kind, str))
    meant = str(_KINDS.get(kind.casefold(), kind))
    expect("kind", f"{meant!r}, as Azure writes it", kind, holds=kind == meant)


def check_time_format(time_format: TimeFormat) -> None:
    """
    Check how moments are to be written.

    Raises:
        ValueError: It is no `TimeFormat`.
    """
    expect("time_format", "a TimeFormat", time_format, holds=isinstance(time_format, TimeFormat))


def event_document(
    event_id: str, announcement: Announcement, *, is_started: bool, not_before: float
) -> dict[str, object]:
    """
    Return an event as the newest version writes it.

    Args:
        event_id: Stays the same as long as it is announced.
        announcement: What is to happen.
        is_started: Whether it has begun; then the moment is left empty.
        not_before: When it may begin, in seconds since 1970-01-01 UTC; written in whole seconds.
    """
    return {
        "EventId": event_id,
        "EventType": str(announcement.kind),
        "ResourceType": "VirtualMachine",
        "Resources": list(announcement.machines),
        "EventStatus": "Started" if is_started else "Scheduled",
        "NotBefore": "" if is_started else _written(not_before, announcement.time_format),
        "Description": announcement.description,
        "EventSource": announcement.source,
        "DurationInSeconds": announcement.stated_duration,
    }


def in_version(event: Mapping[str, object], version: str) -> dict[str, object] | None:
    """Return an event as a version writes it; None if that version has no such events."""
    if version < _SINCE.get(str(event["EventType"]), ""):
        return None
    return {name: value for name, value in event.items() if version >= _SINCE.get(name, "")}


def _written(moment: float, time_format: TimeFormat) -> str:
    if time_format is TimeFormat.RFC1123:
        return email.utils.formatdate(int(moment), usegmt=True)
    return datetime.fromtimestamp(int(moment), UTC).isoformat().replace("+00:00", "Z")
