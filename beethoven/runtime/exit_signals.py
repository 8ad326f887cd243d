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
    """
    A linked process has ended, or `ref` has sent an exit signal with `Ref.exit`.

    Delivered to `handle_info` of a process that traps exits.
    """

    ref: Ref
    reason: ExitReason


@dataclass(frozen=True, slots=True)
class Down:
    """A monitored process has ended; `monitor` is what `monitor()` returned. Comes exactly once."""

    monitor: int
    ref: Ref
    reason: ExitReason


def is_down(message: object, monitor: int) -> bool:
    """Whether a message is the `Down` of a monitor."""
    return isinstance(message, Down) and message.monitor == monitor


@dataclass(frozen=True, slots=True)
class ParentExit:
    """The parent has ended, or told this process to. `is_orphaned`: it has ended."""

    reason: ExitReason
    is_orphaned: bool


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


class Sender(StrEnum):
    """Who has sent an exit signal on purpose, in the eyes of its receiver."""

    ITSELF = "itself"
    PARENT = "parent"
    OTHER = "other"


def effect_of_sent(reason: ExitReason, *, traps_exits: bool, sender: Sender) -> Effect:
    """
    Return what an exit signal does that somebody has sent on purpose, with `Ref.exit`.

    It does what that of a link does, with two exceptions: to oneself `normal` is lethal, and the
    parent's has one that traps exits run `terminate`.
    """
    if sender is Sender.PARENT and traps_exits:
        return Effect.TERMINATE
    if sender is Sender.ITSELF and not traps_exits:
        return Effect.DIE
    return effect_of(reason, traps_exits=traps_exits, from_parent=False)
