"""Findings: what a doctor says of one thing. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How bad a finding is: only with a problem a node does not do what its file says."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """
    What was found by one check.

    Attributes:
        check: What was looked at, in one word.
        level: How bad it is.
        text: What was found, in one line.
        fix: What to do about it, in one line; empty if it is ok.
        facts: The same for programs, as JSON has it.
    """

    check: str
    level: Level
    text: str
    fix: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def ok(check: str, text: str, **facts: Any) -> Finding:
    """Return a finding that nothing need be done about."""
    return Finding(check, Level.OK, _line(text), facts=facts)


def warning(check: str, text: str, fix: str, **facts: Any) -> Finding:
    """Return a finding with which a node runs, but perhaps not as it is meant to."""
    return Finding(check, Level.WARNING, _line(text), _line(fix), facts)


def problem(check: str, text: str, fix: str, **facts: Any) -> Finding:
    """Return a finding with which a node does not start, or does not what its file says."""
    return Finding(check, Level.PROBLEM, _line(text), _line(fix), facts)


def in_words(seconds: float) -> str:
    """Return a duration for people: `0.4 s`, `21 s`, `14 min`, `3 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _line(text: str) -> str:
    """Return a text on one line: some quote a file, or the answer of a stranger."""
    return " ".join(text.split())
