"""
Theory of operation of the notices: what follows for a node from what its provider announces.

A notice that the own machine is to go (preempted, terminated, redeployed, rebooted) cordons the
node at once: it hands over what it runs, for a few seconds at most, and then lingers without roles,
so that a notice that is taken back costs nothing. Shortly before the machine may go, the node stops
whatever it still runs and takes leave: last words are cheaper than silence. There is no other way
back than that the notice is gone from a later reading; a service that fails takes nothing back.

- It has begun, or there is no time: leave at once. Unless it is a reboot or a redeployment that had
  begun before the first reading: then this node may well have booted after it.
- Nobody says when it may begin: leave once the hand-over is over.
- A freeze: a machine that stands still longer than others bear is cordoned until it is over.
- A hint that the provider would like the machine back: others are preferred for new roles.

Notices of other machines doom those. Once such a machine may be gone it is due: whoever falls
silent there needs no benefit of the doubt.

A notice is acknowledged, which may have it begin sooner, only if its kind is to be, if it concerns
no other machine, and once nothing runs here any more; and only once.

Events come in, effects go out, time is a number: nothing here waits.
"""

from dataclasses import dataclass
from typing import Final

from beethoven.cloud.notice import Notice, NoticeKind
from beethoven.cloud.outlook import Outlook
from beethoven.cloud.provider import Note

# So long before a notice may begin the hand-over is over, and the node leaves, in seconds.
LEAVE_MARGIN: Final = 3.0
# So long before that its machine may be gone, by the clocks of others, in seconds.
_DUE_MARGIN: Final = 1.0
# Moments are told in whole seconds: a difference of less is none.
_BLUR: Final = 1.5

# With these the machine, as it was, is gone.
FATAL: Final = frozenset(
    {NoticeKind.PREEMPT, NoticeKind.TERMINATE, NoticeKind.REDEPLOY, NoticeKind.REBOOT}
)
# After these a node may boot on the same machine while they are still announced.
_OUTLIVED: Final = frozenset({NoticeKind.REDEPLOY, NoticeKind.REBOOT})


@dataclass(frozen=True, slots=True)
class NoticesSettings:
    """
    What an operator says about notices.

    Attributes:
        acknowledge: The kinds that are acknowledged once the node is empty.
        hand_over_within: How long a hand-over may take at most, in seconds.
        tolerance: How long a machine may stand still without consequences, in seconds.
    """

    acknowledge: frozenset[NoticeKind]
    hand_over_within: float
    tolerance: float


@dataclass(frozen=True, slots=True)
class MachineLearned:
    """The provider calls the own machine so; empty is unknown."""

    machine: str


@dataclass(frozen=True, slots=True)
class NoticesRead:
    """These are all notices that there are now."""

    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class Emptied:
    """Whether the cordoned node has no role left."""

    is_empty: bool


@dataclass(frozen=True, slots=True)
class Ticked:
    """The deadline has come."""


Event = MachineLearned | NoticesRead | Emptied | Ticked


@dataclass(frozen=True, slots=True)
class Foresee:
    """This follows for the node; told after the first reading, and whenever it changes."""

    outlook: Outlook


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Tell the provider that it may go ahead with these."""

    notice_ids: tuple[str, ...]


Effect = Foresee | Acknowledge | Note


@dataclass(slots=True)
class _Own:
    """
    A notice for the own machine.

    Attributes:
        notice: As it was read last.
        begins_at: When it may begin; None if that is unknown or past.
        hand_over_until: Until when a hand-over may take its time.
        is_outlived: Whether the node has probably booted after it.
    """

    notice: Notice
    begins_at: float | None
    hand_over_until: float
    is_outlived: bool


class NoticesState:
    """
    What a node concludes from notices.

    Args:
        settings: What its operator says.
        machine: What the provider calls its machine; empty is unknown.
        is_successor: Whether notices were read before in the life of the node.
    """

    def __init__(
        self, settings: NoticesSettings, machine: str = "", *, is_successor: bool = False
    ) -> None:
        self._settings = settings
        self._machine = machine
        self._notices: tuple[Notice, ...] = ()
        self._read_at = 0.0
        self._own: dict[str, _Own] = {}
        self._acknowledged: set[str] = set()
        # Whether anything was read, and whether ours were looked for in it.
        self._has_read, self._has_sorted = False, is_successor
        self._is_empty = self._is_leaving = False
        self._outlook: Outlook | None = None

    @property
    def outlook(self) -> Outlook | None:
        """What follows now; None before the first reading."""
        return self._outlook

    @property
    def notices(self) -> tuple[Notice, ...]:
        """All notices, as they were read last."""
        return self._notices

    def handle(self, event: Event, *, now: float) -> list[Effect]:
        """
        Return what to do about an event, in order.

        Args:
            event: What happened.
            now: Time in seconds, of a clock that goes on while the machine sleeps. Never decreases
                from one call to the next.
        """
        effects: list[Effect] = []
        match event:
            case MachineLearned(machine):
                if machine != self._machine:
                    self._machine = machine
                    effects += self._sort()
            case NoticesRead(notices):
                self._notices, self._read_at = notices, now
                self._has_read = True
                effects += self._sort()
            case Emptied(is_empty):
                self._is_empty = is_empty
            case Ticked():
                pass
        if self._has_read:
            effects += self._conclude(now)
            effects += self._approve()
        return effects

    def next_deadline(self) -> float | None:
        """Return when to deliver `Ticked`, or None."""
        known = frozenset[str]() if self._outlook is None else self._outlook.due
        moments = [self._due_at(each) for each in self._notices if not each.machines <= known]
        if not self._is_leaving:
            moments += [_leave_at(own) for own in self._own.values()]
        return min((each for each in moments if each is not None), default=None)

    def _sort(self) -> list[Effect]:
        """Note which of the notices are ours; tell which have come and which have gone."""
        read = {
            notice.notice_id: notice
            for notice in self._notices
            if self._machine and self._machine in notice.machines
        }
        gone = [known.notice for key, known in self._own.items() if key not in read]
        came = [notice for key, notice in read.items() if key not in self._own]
        self._own = {key: self._updated(notice) for key, notice in read.items()}
        self._has_sorted = self._has_sorted or (self._has_read and bool(self._machine))
        return [
            *(Note("notice_gone", "info", _fields(notice)) for notice in gone),
            *(Note("notice_received", "warning", _fields(notice)) for notice in came),
        ]

    def _updated(self, notice: Notice) -> _Own:
        """Return what a notice means now; a hand-over does not begin anew with each reading."""
        known = self._own.get(notice.notice_id)
        is_early = notice.is_started and notice.kind in _OUTLIVED and not self._has_sorted
        is_outlived = is_early if known is None else known.is_outlived
        begins_in = None if notice.is_started else notice.begins_in
        limits = [self._read_at + self._settings.hand_over_within]
        if known is not None:
            limits.append(known.hand_over_until)
        # Who only stands still for a while need not kill anything before that.
        is_fatal = notice.kind in FATAL and not is_outlived
        if is_fatal and begins_in is not None:
            limits.append(self._read_at + max(0.0, begins_in - LEAVE_MARGIN))
        elif is_fatal and notice.is_started:
            limits.append(self._read_at)
        begins_at = None if begins_in is None else self._read_at + begins_in
        if begins_at is not None and known is not None and known.begins_at is not None:
            is_same = abs(begins_at - known.begins_at) < _BLUR
            begins_at = min(begins_at, known.begins_at) if is_same else begins_at
        return _Own(notice, begins_at, min(limits), is_outlived)

    def _conclude(self, now: float) -> list[Effect]:
        cordoning = [own for own in self._own.values() if self._cordons(own.notice)]
        moments = [moment for own in cordoning if (moment := _leave_at(own)) is not None]
        self._is_leaving = self._is_leaving or any(moment <= now for moment in moments)
        fatal = [each for each in self._notices if each.kind in FATAL]
        due = [each for each in fatal if (at := self._due_at(each)) is not None and at <= now]
        at_risk = [own for own in self._own.values() if own.notice.kind is NoticeKind.REBALANCE]
        outlook = Outlook(
            is_cordoned=bool(cordoning) or self._is_leaving,
            hand_over_until=min((own.hand_over_until for own in cordoning), default=None),
            is_leaving=self._is_leaving,
            leave_at=min((each for each in moments if each > now), default=None),
            is_at_risk=bool(at_risk),
            doomed=frozenset[str]().union(*(each.machines for each in fatal)),
            due=frozenset[str]().union(*(each.machines for each in due)),
            why="; ".join(_words(own.notice) for own in (*cordoning, *at_risk)),
        )
        if outlook == self._outlook:
            return []
        # Whoever has got new roles since must be emptied anew.
        self._is_empty = self._is_empty and outlook.is_cordoned
        self._outlook = outlook
        return [Foresee(outlook)]

    def _due_at(self, notice: Notice) -> float | None:
        """Return when the machines of a notice may be gone, or None if nobody knows that."""
        if notice.kind not in FATAL:
            return None
        if notice.is_started:
            return float("-inf")
        begins_in = notice.begins_in
        return None if begins_in is None else self._read_at + begins_in - _DUE_MARGIN

    def _cordons(self, notice: Notice) -> bool:
        if notice.kind is NoticeKind.FREEZE:
            return notice.lasts is None or notice.lasts > self._settings.tolerance
        return notice.kind in FATAL

    def _approve(self) -> list[Effect]:
        """Acknowledge what may be, once nothing runs here any more."""
        if not self._is_empty:
            return []
        ready = [
            own.notice.notice_id
            for own in self._own.values()
            if own.notice.kind in self._settings.acknowledge
            and self._cordons(own.notice)
            and own.notice.machines == {self._machine}
            and not own.notice.is_started
        ]
        new = tuple(each for each in ready if each not in self._acknowledged)
        self._acknowledged.update(new)
        return [Acknowledge(new)] if new else []


def _leave_at(own: _Own) -> float | None:
    """Return when the node must leave because of a notice, or None if it need not."""
    notice = own.notice
    if notice.kind not in FATAL or own.is_outlived:
        return None
    if own.begins_at is not None:
        return own.begins_at - LEAVE_MARGIN
    return float("-inf") if notice.is_started else own.hand_over_until


def _words(notice: Notice) -> str:
    return f"{notice.kind} {'has begun' if notice.is_started else 'is announced'}"


def _fields(notice: Notice) -> dict[str, object]:
    told = {"id": notice.notice_id, "kind": str(notice.kind), "is_started": notice.is_started}
    seconds = {} if notice.begins_in is None else {"seconds": round(notice.begins_in, 1)}
    return {**told, **seconds, "text": notice.text}
