"""
Whole nodes under seeded schedules of notices, among other faults.

A failing schedule names its seed and tells its story; `BEETHOVEN_SEED=n pytest -k cordon_schedule`
replays it alone. `BEETHOVEN_SCHEDULES=10` runs ten times as many.
"""

import os
from collections.abc import Callable

import pytest

from tests.cluster.simulated import cordon_schedules
from tests.cluster.simulated.cordon_schedules import play

SCALE = float(os.environ.get("BEETHOVEN_SCHEDULES", "1"))
SCHEDULES = int(400 * SCALE)
STORIES = int(40 * SCALE)
CHUNK = 50

CHOSEN = os.environ.get("BEETHOVEN_SEED")
FIRSTS = [int(CHOSEN)] if CHOSEN else range(0, SCHEDULES, CHUNK)


@pytest.mark.parametrize("first", FIRSTS)
def test_after_every_cordon_schedule_all_is_right_within_the_bound(
    first: int, record_property: Callable[[str, object], None]
) -> None:
    """
    Every role runs exactly `min(instances, able)` times, on a cordoned node only if need be.

    I1 and I5 hold with every step, and a node that says it is empty has no process.
    """
    last = first + 1 if CHOSEN else min(first + CHUNK, SCHEDULES)
    record_property("right_after_at_most", max(play(seed) for seed in range(first, last)))


@pytest.mark.parametrize(
    "story",
    [cordon_schedules.cordon_all, cordon_schedules.cordon_one, cordon_schedules.warn_of_risk],
    ids=lambda story: story.__name__,
)
def test_a_cordon_moves_no_more_than_it_must(story: Callable[[int], None]) -> None:
    for seed in range(STORIES):
        try:
            story(seed)
        except AssertionError as failure:
            again = f"cordon_schedules.{story.__name__}({seed})"
            raise AssertionError(f"{again}: {failure}") from failure
