"""
Whole nodes under seeded schedules of faults; the invariants are those of cluster.md §5.1.

A failing schedule names its seed and tells its story; `BEETHOVEN_SEED=n pytest -k cluster_schedule`
replays it alone. `BEETHOVEN_SCHEDULES=10` runs ten times as many.
"""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.cluster.simulated import cluster_schedules, quiet_schedules
from tests.cluster.simulated.cluster_schedules import create, play, run

SCALE = float(os.environ.get("BEETHOVEN_SCHEDULES", "1"))
SCHEDULES = int(1400 * SCALE)
QUIET = int(60 * SCALE)
CHUNK = 50

CHOSEN = os.environ.get("BEETHOVEN_SEED")
FIRSTS = [int(CHOSEN)] if CHOSEN else range(0, SCHEDULES, CHUNK)


@pytest.mark.parametrize("first", FIRSTS)
def test_after_every_cluster_schedule_all_is_right_within_the_bound(
    first: int, record_property: Callable[[str, object], None]
) -> None:
    """I1 and I5 with every step; I3, I6 and one view of the members after the last fault."""
    last = first + 1 if CHOSEN else min(first + CHUNK, SCHEDULES)
    worst = max(play(seed)[1] for seed in range(first, last))
    record_property("right_after_at_most", worst)


@pytest.mark.parametrize("kind", quiet_schedules.KINDS, ids=lambda kind: kind.__name__)
def test_one_event_moves_no_more_than_it_must(kind: Callable[[int], None]) -> None:
    """I4; and the death of a core server moves nothing at all."""
    for seed in range(QUIET):
        try:
            kind(seed)
        except AssertionError as failure:
            again = f"quiet_schedules.{kind.__name__}({seed})"
            raise AssertionError(f"{again}: {failure}") from failure


def test_a_schedule_that_fails_tells_its_story_and_how_to_replay_it(monkeypatch) -> None:
    monkeypatch.setattr(cluster_schedules, "bound", lambda *_: -10.0)
    with pytest.raises(cluster_schedules.Broken) as failure:
        play(3)
    told = str(failure.value)
    assert "n1 boots" in told
    assert "BEETHOVEN_SEED=3 scripts/test tests/cluster/simulated -k cluster_schedule" in told


def transcript(seed: int) -> str:
    """Return all that happens in a schedule, in words."""
    world, dice = create(seed)
    run(world, seed, dice)
    story = [f"{at!r} {words}" for at, words in world.story]
    tables = [
        f"{at!r} {name} {table.stamp} {table.places} {sorted(table.members)}"
        for at, name, table in world.tables
    ]
    return "\n".join(story + tables)


def test_the_same_cluster_schedule_gives_the_same_transcript() -> None:
    """I7."""
    for seed in (3, 50, 77):
        assert transcript(seed) == transcript(seed)


@pytest.mark.process
def test_the_transcript_does_not_depend_on_how_python_hashes() -> None:
    """I7: on another machine strings hash differently, and sets have another order."""
    code = (
        "from tests.cluster.simulated.test_cluster_schedules import transcript\n"
        "print(transcript(5), transcript(23), transcript(150))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert outputs.pop()
