"""The results as a table for people and as JSON for programs."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.benchmarks.figures import Figure, Row, Skipped


def machine() -> dict[str, Any]:
    """Return where this runs."""
    return {
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "cpu": _cpu_model(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def load() -> float:
    """Return how many processes wanted a core in the last minute, on average."""
    return os.getloadavg()[0]


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def as_json(
    rows: Sequence[Row], *, is_smoke: bool, seconds: float, before: float
) -> dict[str, Any]:
    """Return the whole run, and the load before and after, as it is written to a file."""
    return {
        "version": 1,
        "machine": machine(),
        "smoke": is_smoke,
        "seconds": round(seconds, 1),
        "load": [round(before, 1), round(load(), 1)],
        "figures": [_figure(row) for row in rows if isinstance(row, Figure)],
        "skipped": [
            {"key": row.key, "what": row.what, "reason": row.reason}
            for row in rows
            if isinstance(row, Skipped)
        ],
    }


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        "key": figure.key,
        "what": figure.what,
        "median": figure.value,
        "unit": figure.unit,
        "rounds": figure.rounds,
        "baselines": dict(figure.baselines),
        "goals": [
            {
                "text": goal.text,
                "actual": goal.actual,
                "limit": goal.limit,
                "reached": goal.is_reached,
            }
            for goal in figure.goals
        ],
        "note": figure.note,
    }


def table(rows: Sequence[Row], against: str) -> str:
    """
    Return the rows with aligned columns; a goal after the first stands on a line of its own.

    Args:
        rows: The rows.
        against: What the baselines are.
    """
    head = ("measured", "median", against, "goal", "reached")
    lines: list[tuple[str, ...]] = [head]
    for row in rows:
        lines += _lines(row)
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    lines.insert(1, tuple("─" * width for width in widths))
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _lines(row: Row) -> list[tuple[str, ...]]:
    if isinstance(row, Skipped):
        return [(row.what, "-", "", f"skipped: {row.reason}", "")]
    value = f"{short(row.value)} {row.unit}"
    plain = ", ".join(f"{name} {short(value)}" for name, value in row.baselines.items())
    goals = [
        (goal.text, f"{'yes' if goal.is_reached else 'NO'} ({short(goal.actual)})")
        for goal in row.goals
    ] or [("", "")]
    note = f" ({row.note})" if row.note else ""
    first = (row.what + note, value, plain, *goals[0])
    return [first, *(("", "", "", *goal) for goal in goals[1:])]


def short(value: float) -> str:
    """Return three digits of a number, or all before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
