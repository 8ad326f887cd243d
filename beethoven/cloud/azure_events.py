"""
Reads what is announced for machines from Azure's answers about scheduled events. Pure.

Whatever in an event is not what it should be costs only that: an event is left out only if nobody
could tell which one it is, or what is to happen.
"""

import math
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from beethoven.cloud.azure_json import Unreadable, inside, listed, sentence, table_of, word
from beethoven.cloud.notice import Notice, NoticeKind
from beethoven.cluster.link_messages import LONGEST_MACHINE

_STARTED: Final = "Started"
_KINDS: Final = frozenset(map(str, NoticeKind))
_LONGEST_ID: Final = 128
_LONGEST_TEXT: Final = 200
_LONGEST_KIND: Final = 40
# As many as fit into an answer could drown whoever reads the log.
_MOST_UNKNOWN: Final = 4
# A machine has a few, and so has each of its neighbours.
_MOST_OWN: Final = 64
_MOST_EVENTS: Final = 1024


@dataclass(frozen=True, slots=True)
class Events:
    """
    What was read.

    Attributes:
        notices: What is announced; for the own machine first, else in the order of the answer.
        remarks: What was left out, in words.
    """

    notices: tuple[Notice, ...]
    remarks: tuple[str, ...] = ()


def read_events(
    body: bytes, *, now: float, date: str = "", machine: str = "", known: Container[str] = ()
) -> Events:
    """
    Return what an answer announces.

    Too many events are cut, but nothing that is known and still announced for the own machine.

    Args:
        body: The answer of `/metadata/scheduledevents`.
        now: The time here, in seconds since 1970-01-01 UTC.
        date: The header `Date` of the answer, by which the service tells its own time; empty if
            there is none.
        machine: The own machine; empty is unknown.
        known: The ids of what was announced before.

    Raises:
        Unreadable: It is no such answer, or one to be cut while the own machine is unknown.
    """
    entries = table_of(body).get("Events")
    if not isinstance(entries, list):
        raise Unreadable("it has no list of events")
    moment = _time_there(now, date)
    found, remarks = _sound(entries)
    chosen = _chosen(found, machine, known)
    if len(chosen) < len(found):
        if not machine:
            raise Unreadable(f"more than {_MOST_EVENTS} events, before this machine is known")
        remarks = (f"events beyond {_MOST_OWN} for this machine or {_MOST_EVENTS} in all", *remarks)
    return Events(tuple(_notice(found[each], each, moment) for each in chosen), remarks)


def seconds_since_1970(text: str) -> float | None:
    """
    Return a moment that is written as in RFC 1123 or ISO 8601; None if it is neither.

    A moment without a zone is one of UTC.
    """
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError, TypeError, IndexError):
            continue
    return None


def _time_there(now: float, date: str) -> float:
    """
    Return what time it is for the service.

    The header is cut to whole seconds: within the second that it names, our own clock decides, as
    far as that agrees.
    """
    told = seconds_since_1970(date) if date else None
    return now if told is None else min(max(now, told), told + 1.0)


def _sound(entries: Sequence[object]) -> tuple[dict[str, object], tuple[str, ...]]:
    """Return the events that say which they are and what is to happen, by id; and remarks."""
    found: dict[str, object] = {}
    remarks: dict[str, None] = {}
    for entry in entries:
        notice_id = word(inside(entry, "EventId"), _LONGEST_ID)
        name = inside(entry, "EventType")
        if notice_id and isinstance(name, str) and name in _KINDS:
            found.setdefault(notice_id, entry)
        elif len(remarks) == _MOST_UNKNOWN:
            continue
        elif notice_id and isinstance(name, str):
            remarks[f"an event of unknown type {sentence(name, _LONGEST_KIND)!r}"] = None
        else:
            remarks["an event without EventId or EventType"] = None
    return found, tuple(remarks)


def _chosen(found: Mapping[str, object], machine: str, known: Container[str]) -> list[str]:
    """Return the ids of the events that count: own ones first, of each what is known first."""
    own, others = list[str](), list[str]()
    for each in sorted(found, key=lambda each: each not in known):
        is_own = machine and machine in listed(inside(found[each], "Resources"))
        (own if is_own else others).append(each)
    return [*own[:_MOST_OWN], *others][:_MOST_EVENTS]


def _notice(entry: object, notice_id: str, moment: float) -> Notice:
    # Whatever is listed is announced, whichever word a later version has for that.
    is_started = inside(entry, "EventStatus") == _STARTED
    not_before = word(inside(entry, "NotBefore"), 64)
    begins_at = seconds_since_1970(not_before) if not_before and not is_started else None
    return Notice(
        notice_id=notice_id,
        kind=NoticeKind(str(inside(entry, "EventType"))),
        machines=frozenset(_machines(entry)),
        is_started=is_started,
        begins_in=None if begins_at is None else max(0.0, begins_at - moment),
        lasts=_seconds(inside(entry, "DurationInSeconds")),
        text=sentence(inside(entry, "Description"), _LONGEST_TEXT),
    )


def _machines(entry: object) -> Iterator[str]:
    for each in listed(inside(entry, "Resources")):
        if machine := word(each, LONGEST_MACHINE):
            yield machine


def _seconds(value: object) -> float | None:
    """Return how long something lasts; Azure writes -1 if it does not know."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        seconds = float(value)
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
