"""
What a ledger of role instances proves: P3 and P4 of the promises. Pure.

A line is `WORD NODE ROLE PID TIME`. The instances themselves write `start`, `stop` and `overlap`;
whoever watches them adds `death` when a process has gone. Times are seconds of one clock for all.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple


class Line(NamedTuple):
    """A line of the ledger."""

    word: str
    node: str
    role: str
    pid: int
    at: float


@dataclass(frozen=True, slots=True)
class Life:
    """
    One instance of a role.

    Attributes:
        node: Where it ran.
        role: What it was.
        pid: Its process.
        began: When its start was complete.
        stopped: When it began to end in good order; `None` if it never did.
        gone: When its process was found gone; `None` if it never was.
    """

    node: str
    role: str
    pid: int
    began: float
    stopped: float | None = None
    gone: float | None = None

    @property
    def ended(self) -> float | None:
        """When it acted no more, as far as is known; `None` if it still runs."""
        ends = [each for each in (self.stopped, self.gone) if each is not None]
        return min(ends, default=None)

    def runs_at(self, moment: float) -> bool:
        return self.began <= moment and (self.ended is None or self.ended > moment)


def parse(text: str) -> list[Line]:
    """
    Return the lines of a ledger.

    Raises:
        ValueError: A line is not what an instance writes.
    """
    lines = []
    for each in text.splitlines():
        word, node, role, pid, at = each.split()
        if word not in {"start", "stop", "overlap", "death"}:
            raise ValueError(f"expected start, stop, overlap or death, got: {each!r}")
        lines.append(Line(word, node, role, int(pid), float(at)))
    return lines


def lives(lines: Iterable[Line]) -> list[Life]:
    """Return the instances, in the order of their starts."""
    found: list[Life] = []
    # A pid may come again: a line is about the last that began.
    last: dict[tuple[str, str, int], int] = {}
    for line in lines:
        key = (line.node, line.role, line.pid)
        match line.word:
            case "start":
                last[key] = len(found)
                found.append(Life(line.node, line.role, line.pid, line.at))
            case "stop":
                found[last[key]] = replace(found[last[key]], stopped=line.at)
            case "death":
                found[last[key]] = replace(found[last[key]], gone=line.at)
    return sorted(found, key=lambda life: life.began)


def overlaps(lines: Iterable[Line]) -> list[str]:
    """
    Return where a node had two instances of a role at once: what breaks P3.

    The locks of the instances are the proof. The times of those that stopped in good order are a
    second one; how late the death of another was seen tells nothing.
    """
    lines = list(lines)
    found = [f"it found the lock held: {line}" for line in lines if line.word == "overlap"]
    latest: dict[tuple[str, str], Life] = {}
    for life in lives(lines):
        before = latest.get((life.node, life.role))
        if before is not None and before.stopped is not None and before.stopped > life.began:
            found.append(f"{life} began before the last stopped: {before}")
        latest[life.node, life.role] = life
    return found


def counts(instances: Iterable[Life], moment: float) -> Counter[str]:
    """Return how many instances of each role run at a moment."""
    return Counter(life.role for life in instances if life.runs_at(moment))


def settled_at(
    instances: Iterable[Life], wanted: Mapping[str, int], since: float, until: float
) -> float | None:
    """
    Return from when on exactly so many instances run, without a break.

    Args:
        instances: All of them.
        wanted: How many of each role; of others none.
        since: When the last fault was over; the answer is not earlier.
        until: How far the ledger reaches.

    Returns:
        The moment, or None if at the end they are not as wanted.
    """
    instances = list(instances)
    right = {role: count for role, count in wanted.items() if count}
    ends = [life.ended for life in instances if life.ended is not None]
    moments = {since, *(life.began for life in instances), *ends}
    settled = None
    for moment in sorted(each for each in moments if since <= each <= until):
        if counts(instances, moment) != right:
            settled = None
        elif settled is None:
            settled = moment
    return settled


def unsettled(
    instances: Iterable[Life],
    wanted: Mapping[str, int],
    *,
    since: float,
    until: float,
    within: float,
) -> list[str]:
    """
    Return what breaks P4: roles that do not run as often as wanted soon enough, and ever after.

    Args:
        instances: All of them.
        wanted: How many of each role; of others none.
        since: When the last fault was over.
        until: How far the ledger reaches, at least `since + within`.
        within: The bound, in seconds.
    """
    instances = list(instances)
    if until < since + within:
        return [f"expected a ledger that reaches to {since + within}, got: {until}"]
    settled = settled_at(instances, wanted, since, until)
    if settled is None:
        have = dict(sorted(counts(instances, until).items()))
        return [f"expected {dict(sorted(wanted.items()))} in the end, got: {have}"]
    if settled > since + within:
        return [f"expected the roles to be right within {within} s, got: {settled - since:.3f} s"]
    return []


def disturbed(
    instances: Iterable[Life], *, since: float, until: float, but: Iterable[str] = ()
) -> list[Life]:
    """Return the instances that ended within a span of time, but for those on some nodes."""
    others = set(but)
    return [
        life
        for life in instances
        if life.node not in others and life.ended is not None and since <= life.ended <= until
    ]
