"""
Whether children fail more often than a supervisor tolerates.

Decides nothing about what follows from it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestartIntensity:
    """
    The automatic restarts of late, against the number allowed.

    Attributes:
        max_restarts: Restarts allowed within the window, >= 0.
        max_seconds: Length of the window, in seconds, > 0.
        restarts: Monotonic times of the restarts in the window, oldest first, in seconds.
    """

    max_restarts: int
    max_seconds: float
    # Invariant: restarts is sorted, and len(restarts) <= max_restarts + 1
    restarts: tuple[float, ...] = ()

    def record(self, now: float) -> tuple["RestartIntensity", bool]:
        """
        Return the window after one more restart, and whether that is one too many.

        Args:
            now: Monotonic time of the restart, in seconds. Never decreases from one call to the
                next. Restarts exactly `max_seconds` old still count.

        Returns:
            `(window, exceeded)`. When exceeded, the restart is not to be attempted.

        Source:
            OTP `supervisor`, "Restart intensity and period"; otp.md §1.4. OTP truncates the clock
            to whole seconds; a fractional one is inside its specification.
        """
        recent = (*(then for then in self.restarts if now - then <= self.max_seconds), now)
        exceeded = len(recent) > self.max_restarts
        kept = recent[-(self.max_restarts + 1) :]
        return RestartIntensity(self.max_restarts, self.max_seconds, kept), exceeded
