"""
The cases of OTP's and Elixir's own test suites, and the tests here that prove them.

`catalogue/` has one file for a chapter. Every case has a number, the name of the original test, the
rule that it checks, and whether the rule applies here: "yes", "adapted" or "no", the last with a
reason. A deliberate difference from the rule is a `deviation`.
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

CATALOGUE = Path(__file__).parent / "catalogue"

F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True)
class Case:
    """One case: see above."""

    number: str
    source: str
    rule: str
    applies: str
    reason: str = ""
    deviation: str = ""


def chapter(name: str) -> dict[str, Case]:
    """Return the cases of a chapter by number, in order."""
    table = tomllib.loads((CATALOGUE / f"{name}.toml").read_text("utf-8"))
    return {number: Case(number, **fields) for number, fields in table.items()}


CHAPTERS = {path.stem: chapter(path.stem) for path in sorted(CATALOGUE.glob("*.toml"))}
CASES = {number: case for cases in CHAPTERS.values() for number, case in cases.items()}

# Which functions prove a case: `test_file.py::function`.
PROOFS: dict[str, list[str]] = {}


def proves(*numbers: str) -> Callable[[F], F]:
    """Say of a test, or of a row of a table of tests, which cases it proves."""

    def note(function: F) -> F:
        for number in numbers:
            assert CASES[number].applies != "no", f"{number} does not apply: {CASES[number].reason}"
            where = f"{function.__module__.rpartition('.')[2]}.py::{function.__qualname__}"
            PROOFS.setdefault(number, []).append(where)
        return function

    return note
