"""
Measure the speed of Beethoven: of its processes against plain Python, or of clusters of nodes.

By default the processes; `cluster` measures nodes instead, and tells what upstream needs.
"""

import argparse
import contextlib
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Final

from scripts.benchmarks import cluster, networks, report
from scripts.benchmarks.births import first_starts, starts
from scripts.benchmarks.crowds import crowd
from scripts.benchmarks.figures import FULL, SMOKE, Measure, Row
from scripts.benchmarks.memory import memory
from scripts.benchmarks.messages import calls, casts
from scripts.benchmarks.node import node
from scripts.benchmarks.remote import remote
from scripts.benchmarks.roles import Idle
from scripts.benchmarks.stage import cached

_GROUPS: Final[dict[str, Measure]] = {
    "calls": calls,
    "casts": casts,
    "starts": starts,
    "first": first_starts,
    "memory": memory,
    "crowd": crowd,
    "node": node,
    "remote": remote,
}

_CLUSTER_GROUPS: Final[dict[str, cluster.ClusterMeasure]] = {
    **cluster.GROUPS,
    "scan": networks.scan,
    "idle": networks.idle,
}


def main(arguments: Sequence[str]) -> int:
    """Measure what was asked for, print the table, write the JSON."""
    parser = _parser()
    options = parser.parse_args(arguments)
    groups = _CLUSTER_GROUPS if options.what == "cluster" else _GROUPS
    if strangers := set(options.only or ()) - set(groups):
        parser.error(f"expected --only with one of {', '.join(groups)}, got: {strangers.pop()}")
    begin = time.monotonic()
    before = report.load()
    rows = _nodes(options) if options.what == "cluster" else _processes(options)
    seconds = time.monotonic() - begin
    against = "upstream, plain Python" if options.what == "cluster" else "plain Python"
    heading = _heading(seconds, is_smoke=options.smoke, before=before)
    print(heading, report.table(rows, against), sep="\n\n")
    if options.json is not None:
        result = report.as_json(rows, is_smoke=options.smoke, seconds=seconds, before=before)
        options.json.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    return 0


def _processes(options: argparse.Namespace) -> list[Row]:
    sizes = SMOKE if options.smoke else FULL
    rows: list[Row] = []
    with _bounded(sizes.seconds), _quiet():
        # One role lives through all of it, as in any program with a tree: the fork server is there.
        anchor = Idle.start_link()
        for name in options.only or _GROUPS:
            rows += _GROUPS[name](sizes)
        anchor.stop()
    return rows


def _nodes(options: argparse.Namespace) -> list[Row]:
    sizes = cluster.SMOKE if options.smoke else cluster.FULL
    sizes = replace(sizes, is_wide=options.wide)
    rows: list[Row] = []
    with _bounded(sizes.seconds), cached():
        for name in options.only or _CLUSTER_GROUPS:
            rows += _CLUSTER_GROUPS[name](sizes)
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["processes", "cluster"], default="processes")
    parser.add_argument("--smoke", action="store_true", help="tiny counts: does it work at all?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE too")
    parser.add_argument(
        "--only",
        action="append",
        choices=[*_GROUPS, *_CLUSTER_GROUPS],
        help="only this group of rows; repeatable",
    )
    parser.add_argument("--wide", action="store_true", help="cluster: search a silent /16 as well")
    return parser


def _heading(seconds: float, *, is_smoke: bool, before: float) -> str:
    about = report.machine()
    text = "{cores} cores, {cpu}, {kernel}, {python}".format(**about)
    smoke = "; smoke run: the numbers mean nothing" if is_smoke else ""
    load = f"load {before:.1f} before, {report.load():.1f} after"
    return f"{text}; {seconds:.0f} s; {load}{smoke}"


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
