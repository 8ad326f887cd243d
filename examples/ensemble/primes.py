"""What an example has run on its nodes: it is in a module, so that they find it too."""

import math
import threading


def primes(numbers: range) -> int:
    """Count the primes among some numbers."""
    return sum(
        number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))
        for number in numbers
    )


def stumble(over: int) -> None:
    raise ArithmeticError(f"{over} is too hard")


def ponder() -> None:
    threading.Event().wait(600)
