"""What is checked of the arguments that a test gives, where it gives them."""

from collections.abc import Sequence
from typing import Final

# 30 years: as long as one can wait, and as far as moments can be written.
LONGEST: Final = 1e9


def expect(name: str, rule: str, got: object, *, holds: bool) -> None:
    """
    Check an argument.

    Args:
        name: Its name.
        rule: What it should be, in words.
        got: What it is.
        holds: Whether it is what it should be.

    Raises:
        ValueError: It is not.
    """
    if not holds:
        raise ValueError(f"expected {name} to be {rule}, got: {got!r}")


def expect_seconds(name: str, value: object, *, least: float = 0.0, most: float = LONGEST) -> None:
    """
    Check an argument that is seconds.

    Raises:
        ValueError: It is no number, or not one from `least` to `most`.
    """
    is_right = isinstance(value, int | float) and least <= value <= most
    expect(name, f"seconds from {least:g} to {most:g}", value, holds=is_right)


def expect_texts(name: str, values: object) -> None:
    """
    Check an argument that is several texts.

    Raises:
        ValueError: It is no sequence, a text itself, or has something else in it.
    """
    is_right = (
        isinstance(values, Sequence)
        and not isinstance(values, str)
        and all(isinstance(each, str) for each in values)
    )
    expect(name, "a sequence of texts", values, holds=is_right)
