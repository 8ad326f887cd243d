"""
Whole nodes under seeded schedules of faults, in virtual time: `scripts/chaos --simulated`.

Every schedule is played on one of as many processes as there are cores. A failing seed is printed
with its story, and how to replay it.
"""

import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from beethoven import clock
from tests.cluster.simulated import quiet_schedules
from tests.cluster.simulated.cluster_schedules import Broken, play

_CHUNK: Final = 20
_TELL_EVERY: Final = 10.0
# One in so many schedules is a quiet one, of which more is demanded.
_QUIET: Final = 10


class Outcome(NamedTuple):
    """What came of one schedule: why it failed, and how long it took to be right again."""

    seed: int
    nodes: int
    seconds: float
    problem: str = ""


def play_one(seed: int) -> Outcome:
    """Play the schedule of a seed."""
    try:
        if seed % _QUIET == 7:
            quiet_schedules.play(seed // _QUIET)
            return Outcome(seed, 0, 0.0)
        world, seconds = play(seed)
    except Broken as broken:
        return Outcome(seed, 0, 0.0, str(broken))
    except Exception as failure:
        return Outcome(seed, 0, 0.0, f"quiet_schedules.play({seed // _QUIET}): {failure!r}")
    return Outcome(seed, len(world.hosts), seconds)


def play_all(first: int, count: int) -> Iterator[Outcome]:
    """Play so many schedules, on all cores."""
    # Begin with the largest, lest it is left over at the end.
    seeds = sorted(range(first, first + count), key=lambda seed: seed % 50_000 != 49_999)
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        yield from pool.imap_unordered(play_one, seeds, _CHUNK)


def run(first: int, count: int) -> dict[str, Any]:
    """Return the summary of so many schedules."""
    began = told_at = clock.monotonic()
    failed: list[int] = []
    sizes: Counter[int] = Counter()
    slowest = Outcome(first, 0, 0.0)
    done = 0
    for outcome in play_all(first, count):
        done += 1
        sizes[outcome.nodes] += 1
        slowest = max(slowest, outcome, key=lambda each: each.seconds)
        if outcome.problem:
            failed.append(outcome.seed)
            print(f"{outcome.problem}\n", file=sys.stderr)
        if (now := clock.monotonic()) - told_at >= _TELL_EVERY:
            told_at = now
            rate = done / (now - began)
            print(f"{done} of {count}, {rate:.0f} a second, {len(failed)} failed", file=sys.stderr)
    quiet = sizes.pop(0, 0) - len(failed)
    return {
        "schedules": done,
        "first": first,
        "quiet": quiet,
        "by_nodes": {str(size): sizes[size] for size in sorted(sizes)},
        "slowest_recovery": round(slowest.seconds, 2),
        "slowest_seed": slowest.seed,
        "seconds": round(clock.monotonic() - began, 1),
        "violations": sorted(failed),
    }
