"""
Measure the same work on Beethoven and on its peers, in turns: calls, casts, starts and restarts.

A full run takes a quarter of an hour and writes its tables into docs/performance.md. Each peer has
an environment of its own, in a folder of the user's cache, which --clean removes.
"""

import argparse
import datetime
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from scripts.benchmarks import report
from scripts.benchmarks.births import ROOT
from scripts.benchmarks.peers import catalogue, environments, rounds
from scripts.benchmarks.peers.plot import plot
from scripts.benchmarks.peers.rounds import Result
from scripts.benchmarks.peers.tables import tables

PAGE: Final = ROOT / "docs" / "performance.md"
PICTURE: Final = ROOT / "docs" / "peers.svg"
_FIRST: Final = "<!-- peers: written by `scripts/bench peers` -->"
_LAST: Final = "<!-- end of peers -->"


def main(arguments: Sequence[str]) -> int:
    """Measure what was asked for, and print, or write, the tables."""
    options = _parser().parse_args(arguments)
    if options.clean:
        environments.clean()
        return 0
    sizes = rounds.SMOKE if options.smoke else rounds.FULL
    keys = options.only or (catalogue.SMOKE if options.smoke else _keys())
    entries = [entry for entry in catalogue.PEERS if entry.key in keys]
    if options.install:
        for entry in entries:
            environments.install_program(entry)
    begin, before = time.monotonic(), report.load()
    results, done = rounds.measure(entries, sizes)
    about = _about(done, time.monotonic() - begin, before, is_smoke=options.smoke)
    text = f"{about}\n\n{tables(results, sizes.clients)}\n"
    print(text)
    if options.json is not None:
        found = _as_json(results, sizes.clients, about)
        options.json.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    if not options.smoke and not options.only:
        PICTURE.write_text(plot(results, sizes.clients), "utf-8")
        PAGE.write_text(rewritten(PAGE.read_text("utf-8"), text), "utf-8")
    return 0


def _keys() -> list[str]:
    return [entry.key for entry in catalogue.PEERS]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench peers", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="tiny counts, and few peers")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE too")
    parser.add_argument(
        "--only",
        action="append",
        choices=_keys(),
        help="only this peer; repeatable; writes no page",
    )
    parser.add_argument(
        "--install", action="store_true", help="have apt-get install the programs that are missing"
    )
    parser.add_argument("--clean", action="store_true", help="remove all environments, and end")
    return parser


def _about(done: int, seconds: float, before: float, *, is_smoke: bool) -> str:
    """Return when, where and how it was measured."""
    machine = "{cores} cores ({cpu}), {kernel}, {python}".format(**report.machine())
    month = datetime.datetime.now(datetime.UTC).strftime("%B %Y")
    text = (
        f"This run: {machine}, {month}; rounds over all peers: {done}, in {seconds / 60:.0f} min; "
        f"load {before:.1f} before, {report.load():.1f} after."
    )
    return text + (" A smoke run: the numbers mean nothing." if is_smoke else "")


def _as_json(results: Sequence[Result], clients: int, about: str) -> dict[str, Any]:
    return {
        "version": 1,
        "machine": report.machine(),
        "about": about,
        "clients": clients,
        "peers": {
            result.entry.key: {
                "title": result.entry.title,
                "version": result.version,
                "unavailable": result.unavailable,
                "answers": result.answers,
                "left": result.left,
            }
            for result in results
        },
    }


def rewritten(page: str, text: str) -> str:
    """
    Return a page with other tables between its marks.

    Raises:
        ValueError: It has no marks.
    """
    before, first, rest = page.partition(_FIRST)
    _, last, after = rest.partition(_LAST)
    if not first or not last:
        raise ValueError(f"expected {_FIRST!r} and {_LAST!r} in the page")
    picture = f"![The peers as bars]({PICTURE.name})"
    return f"{before}{first}\n\n{text}\n{picture}\n\n{last}{after}"
