"""
Whether a child that ended is started again, when, and what its end means for its supervisor.

Does not start anything: `supervisor_state` and `dynamic_supervisor_state` do as it says.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, TypeAlias

from beethoven.runtime.reason import ExitReason, ReasonKind
from beethoven.supervision.backoff import Backoff
from beethoven.supervision.child_spec import ChildSpec, DynamicFlags, SupervisorFlags
from beethoven.supervision.intensity import RestartIntensity
from beethoven.vocabulary import BRUTAL_KILL, AutoShutdown, Restart


def should_restart(restart: Restart | str, reason: ExitReason) -> bool:
    """
    Return whether a child of that restart type is started again after that exit.

    Source:
        otp.md §1.3.
    """
    if restart == Restart.TRANSIENT:
        return reason.is_abnormal
    return restart == Restart.PERMANENT


def ends_supervisor(
    child: ChildSpec, auto_shutdown: AutoShutdown | str, others: Iterable[ChildSpec]
) -> bool:
    """
    Return whether the supervisor of a child that has ended by itself ends, too.

    Args:
        child: It is not started again.
        auto_shutdown: The supervisor's.
        others: The other children that are active.

    Source:
        otp.md §1.9.
    """
    if not child.significant:
        return False
    if auto_shutdown == AutoShutdown.ANY_SIGNIFICANT:
        return True
    return not any(other.significant for other in others)


def is_expected_answer(spec: ChildSpec, reason: ExitReason) -> bool:
    """
    Return whether a child that was told to stop may end with that reason unreported.

    Source:
        otp.md §1.6, "Expected answers".
    """
    if reason.kind is ReasonKind.KILLED:
        return spec.shutdown == BRUTAL_KILL
    if reason.kind is ReasonKind.SHUTDOWN and not reason.detail:
        return True
    return not reason.is_abnormal and spec.restart != Restart.PERMANENT


class Action(StrEnum):
    """What a supervisor did about the end of a child, in the words of its report."""

    RESTARTED = "restarted"
    RETRIED_LATER = "retried later"
    ESCALATED = "escalated"
    STOPPED = "stopped"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True)
class RestartNow:
    """Start the child again at once."""

    action: ClassVar = Action.RESTARTED


@dataclass(frozen=True, slots=True)
class RetryAt:
    """The child has failed for now: start it again at that monotonic time, in seconds."""

    at: float
    action: ClassVar = Action.RETRIED_LATER


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The restart intensity is exceeded: the supervisor ends."""

    action: ClassVar = Action.ESCALATED


Verdict: TypeAlias = RestartNow | RetryAt | GiveUp


@dataclass(slots=True)
class FailureRecord:
    """
    How one child has failed of late, under a supervisor with a back-off.

    Attributes:
        intensity: The child's own budget of immediate restarts.
        failures: Consecutive failures beyond that budget.
    """

    intensity: RestartIntensity
    failures: int = 0


@dataclass(slots=True)
class RestartBudget:
    """
    What is left of a supervisor's patience.

    Without a back-off there is one restart intensity for all children and no delay, as in OTP. With
    a back-off each child has its own, and a child that exceeds it is retried after growing delays
    until it has stayed up for longer than its window.
    """

    intensity: RestartIntensity
    backoff: Backoff | None = None

    @classmethod
    def of(cls, flags: SupervisorFlags | DynamicFlags) -> "RestartBudget":
        """Return the untouched budget that these flags give."""
        return cls(RestartIntensity(flags.max_restarts, flags.max_seconds), flags.backoff)

    def record_of(self, spec: ChildSpec) -> FailureRecord:
        """Return a clean record for a new child, with its own limits or else the supervisor's."""
        most, window = spec.max_restarts, spec.max_seconds
        return FailureRecord(
            RestartIntensity(
                self.intensity.max_restarts if most is None else most,
                self.intensity.max_seconds if window is None else window,
            )
        )

    def spend(self, record: FailureRecord, *, now: float, uptime: float | None) -> Verdict:
        """
        Count one failure and return what follows.

        Args:
            record: The child's; changed only with a back-off.
            now: Monotonic time, in seconds.
            uptime: For how long the child had run, in seconds; None if it did not start.

        Source:
            otp.md §1.4; the back-off is ours.
        """
        if self.backoff is None:
            self.intensity, exceeded = self.intensity.record(now)
            return GiveUp() if exceeded else RestartNow()
        if uptime is not None and uptime > record.intensity.max_seconds:
            record.failures = 0
        record.intensity, exceeded = record.intensity.record(now)
        if not exceeded and not record.failures:
            return RestartNow()
        record.failures += 1
        return RetryAt(now + self.backoff.delay(record.failures))
