"""The command line of the benchmark: which rows to measure, and where the results go."""

import argparse
import contextlib
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from scripts.benchmarks import report
from scripts.benchmarks.births import first_starts, starts
from scripts.benchmarks.crowds import crowd
from scripts.benchmarks.figures import FULL, SMOKE, Measure, Row
from scripts.benchmarks.memory import memory
from scripts.benchmarks.messages import calls, casts
from scripts.benchmarks.node import node
from scripts.benchmarks.roles import Idle

_GROUPS: Final[dict[str, Measure]] = {
    "calls": calls,
    "casts": casts,
    "starts": starts,
    "first": first_starts,
    "memory": memory,
    "crowd": crowd,
    "node": node,
}


def main(arguments: Sequence[str]) -> int:
    """Measure what was asked for, print the table, write the JSON."""
    options = _parser().parse_args(arguments)
    sizes = SMOKE if options.smoke else FULL
    begin = time.monotonic()
    rows: list[Row] = []
    with _bounded(sizes.seconds), _quiet():
        # One role lives through all of it, as in any program with a tree: the fork server is there.
        anchor = Idle.start_link()
        for name in options.only or _GROUPS:
            rows += _GROUPS[name](sizes)
        anchor.stop()
    seconds = time.monotonic() - begin
    print(_heading(seconds, is_smoke=options.smoke), report.table(rows), sep="\n\n")
    if options.json is not None:
        result = report.as_json(rows, is_smoke=options.smoke, seconds=seconds)
        options.json.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="tiny counts: does it work at all?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE too")
    parser.add_argument(
        "--only", action="append", choices=list(_GROUPS), help="only this group of rows; repeatable"
    )
    return parser


def _heading(seconds: float, *, is_smoke: bool) -> str:
    about = report.machine()
    text = "{cores} cores, {cpu}, {kernel}, {python}".format(**about)
    smoke = "; smoke run: the numbers mean nothing" if is_smoke else ""
    return f"{text}; {seconds:.0f} s{smoke}"


@contextlib.contextmanager
def _bounded(seconds: int) -> Iterator[None]:
    """Give up after `seconds`, whatever it hangs in; everything started is ended on the way out."""

    def give_up(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"the benchmark took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what supervisors say of the children that are killed here; show it on failure."""
    stderr = os.dup(2)
    with tempfile.TemporaryFile("w+") as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        except BaseException:
            said.seek(0)
            os.write(stderr, said.read().encode())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
