"""
How long to wait before a child that keeps failing is tried again.

Not a rule of OTP, which retries without delay and then gives up: `docs/supervision.md`. It draws no
random numbers: one supervisor retries its own children, so there is no herd to scatter.
"""

from dataclasses import dataclass

from beethoven.supervision.checks import check_number


@dataclass(frozen=True, slots=True)
class Backoff:
    """
    Growing delays between the attempts to start a failing child.

    Attributes:
        initial: Delay before the first retry, in seconds, > 0.
        factor: What each delay is multiplied by to give the next, >= 1.
        maximum: No delay is longer, in seconds, >= `initial`.
    """

    initial: float = 0.2
    factor: float = 2.0
    maximum: float = 30.0

    def __post_init__(self) -> None:
        check_number("backoff", "initial", self.initial, "seconds > 0", above=0)
        check_number("backoff", "factor", self.factor, "a number >= 1", least=1)
        rule = f"seconds >= initial ({self.initial:g})"
        check_number("backoff", "maximum", self.maximum, rule, least=self.initial)

    def delay(self, attempt: int) -> float:
        """
        Return how long to wait after failure number `attempt`, in seconds.

        Args:
            attempt: Consecutive failures so far, >= 1.
        """
        try:
            return min(self.maximum, self.initial * self.factor ** (attempt - 1))
        except OverflowError:
            return self.maximum
