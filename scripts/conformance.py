"""Writes docs/conformance.md: what OTP and Elixir test of themselves, and what proves it here."""

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path

PROJECT = Path(__file__).parent.parent
sys.path.insert(0, str(PROJECT))

from tests.conformance.cases import CHAPTERS, PROOFS, Case  # noqa: E402

TESTS = PROJECT / "tests" / "conformance"
PAGE = PROJECT / "docs" / "conformance.md"

TITLES = {
    "supervisor": "Supervisor: OTP's supervisor_SUITE",
    "gen_server": "Server: OTP's gen_server_SUITE",
    "elixir_supervisor": "Supervisor: Elixir's supervisor_test",
    "dynamic_supervisor": "Dynamic supervisor: Elixir's dynamic_supervisor_test",
    "partition_supervisor": "Partition supervisor: Elixir's partition_supervisor_test",
    "elixir_gen_server": "Server: Elixir's gen_server_test",
    "process": "Process: Elixir's process_test",
    "registry": "Registry: Elixir's registry_test, unique_test and duplicate_test",
    "task": "Task: Elixir's task_test",
    "task_supervisor": "Task supervisor: Elixir's task/supervisor_test",
}

HEAD = """\
# Conformance

What Erlang/OTP and Elixir test of their own supervisors, servers, registries and tasks.
Each case is listed with the test here that proves the same, or why it does not apply.
`scripts/conformance` writes this page from `tests/conformance`.

The second column has the names of the original tests; the rules are in words of our own.
A rule that is *adapted* holds in the way of Python and of processes of the operating system.
A *deviation* is deliberate, and says what happens instead.
"""


def page() -> str:
    """Return the page as it should be."""
    for path in sorted(TESTS.glob("test_*.py")):
        importlib.import_module(f"tests.conformance.{path.stem}")
    parts = [HEAD, summary()]
    parts += [section(title, CHAPTERS[name].values()) for name, title in TITLES.items()]
    return "\n".join([*parts, left_out()])


def summary() -> str:
    """Return the numbers of all chapters."""
    rows = []
    for name, title in TITLES.items():
        cases = CHAPTERS[name].values()
        kinds = [case.applies for case in cases]
        counts = [len(kinds), *map(kinds.count, ("yes", "adapted", "no"))]
        rows.append((title, [*counts, sum(bool(case.deviation) for case in cases)]))
    rows.append(("total", [sum(column) for column in zip(*(row for _, row in rows), strict=True)]))
    lines = ["| chapter | cases | apply | adapted | do not | deviations |", "|---" * 6 + "|"]
    lines += [f"| {title} | {' | '.join(map(str, numbers))} |" for title, numbers in rows]
    return "\n".join([*lines, ""])


def section(title: str, cases: Iterable[Case]) -> str:
    """Return the table of a chapter: the cases that apply."""
    lines = [f"## {title}", "", "| case | original | rule | proved by |", "|---|---|---|---|"]
    return "\n".join([*lines, *(row(case) for case in cases if case.applies != "no"), ""])


def row(case: Case) -> str:
    """Return the line of a case."""
    rule = case.rule if case.applies == "yes" else f"{case.rule} *Adapted.*"
    if case.deviation:
        rule += f" *Deviation: {case.deviation}*"
    proofs = "<br>".join(f"`{each}`" for each in sorted(set(PROOFS.get(case.number, ()))))
    return f"| {case.number} | `{cell(case.source)}` | {cell(rule)} | {proofs} |"


def left_out() -> str:
    """Return the table of the cases that do not apply."""
    lines = ["## What does not apply", "", "| case | original | why not |", "|---|---|---|"]
    cases = [case for chapter in CHAPTERS.values() for case in chapter.values()]
    lines += [
        f"| {case.number} | `{cell(case.source)}` | {case.reason} |"
        for case in cases
        if case.applies == "no"
    ]
    return "\n".join([*lines, ""])


def cell(text: str) -> str:
    """Return text as it may stand in a table."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
