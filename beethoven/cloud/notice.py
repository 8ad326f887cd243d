"""Notices: what a provider announces for its machines. Values only."""

from dataclasses import dataclass
from enum import StrEnum


class NoticeKind(StrEnum):
    """What is to happen to the machines, in the words of Azure, which has the most of them."""

    PREEMPT = "Preempt"
    TERMINATE = "Terminate"
    REDEPLOY = "Redeploy"
    REBOOT = "Reboot"
    FREEZE = "Freeze"
    REBALANCE = "SpotRebalanceRecommendation"


@dataclass(frozen=True, slots=True)
class Notice:
    """
    One announcement, as it was read last.

    Attributes:
        notice_id: Stays the same as long as it is announced.
        kind: What is to happen.
        machines: To whom, as `Site.machine` names them.
        is_started: Whether it has begun.
        begins_in: Seconds, counted from when it was read, until it may begin; >= 0. None if that
            is unknown, and once it has begun.
        lasts: For how many seconds the machines stand still; None if unknown.
        text: What the provider says about it, for people.
    """

    notice_id: str
    kind: NoticeKind
    machines: frozenset[str] = frozenset()
    is_started: bool = False
    begins_in: float | None = None
    lasts: float | None = None
    text: str = ""
