"""
Exit signals: what the end of a linked process does to this one. Pure.

Source: OTP reference manual, "Processes", Receiving Exit Signals.
"""

from dataclasses import dataclass
from enum import StrEnum

from beethoven.runtime.reason import ExitReason, ReasonKind
from beethoven.runtime.reference import Ref


@dataclass(frozen=True, slots=True)
class Exit:
    """A linked process has ended; delivered to `handle_info` of a process that traps exits."""

    ref: Ref
    reason: ExitReason


@dataclass(frozen=True, slots=True)
class Down:
    """A monitored process has ended; `monitor` is what `monitor()` returned. Comes exactly once."""

    monitor: int
    ref: Ref
    reason: ExitReason


class Effect(StrEnum):
    """What an exit signal does to its receiver."""

    IGNORE = "ignore"
    DELIVER = "deliver"
    TERMINATE = "terminate"
    DIE = "die"


def effect_of(reason: ExitReason, *, traps_exits: bool, from_parent: bool) -> Effect:
    """
    Return what an exit signal does.

    A signal from the parent ends a process whatever the reason; one that traps exits runs
    `terminate` first. From anybody else a trapped signal is a message, a normal one is ignored,
    and any other ends the process without `terminate`.
    """
    if from_parent:
        return Effect.TERMINATE if traps_exits else Effect.DIE
    if traps_exits:
        return Effect.DELIVER
    return Effect.IGNORE if reason.kind is ReasonKind.NORMAL else Effect.DIE
