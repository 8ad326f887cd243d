"""Real trees against what decisions alone predict: random trees, children, faults and requests."""

import copy
import itertools
import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from beethoven import errors
from beethoven.runtime.reason import NORMAL
from tests.conformance.pure_stage import PureStage
from tests.conformance.real_stage import RealStage
from tests.conformance.stage import Stage
from tests.supervision_world import CLEAN, CRASH, Fail, Ignore, Obey, Up, deeds

pytestmark = pytest.mark.process

SCENES = int(os.environ.get("BEETHOVEN_SCENES", "24"))
IDS = "abcd"
KINDS = ("permanent", "permanent", "transient", "temporary")
ENDS = (NORMAL, CLEAN, CRASH, CRASH)


@pytest.fixture
def stages(tmp_path: Path) -> Iterator[tuple[PureStage, RealStage]]:
    real = RealStage(tmp_path)
    yield PureStage(), real
    real.close()


class Scene:
    """One scene: the same dice give the same scene on every stage."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(f"scene {seed}")
        self.flags: dict[str, Any] = {
            "strategy": self.dice.choice(("one_for_one", "one_for_all", "rest_for_one")),
            "max_restarts": self.dice.randrange(1, 8),
            "max_seconds": 600.0,
            "auto_shutdown": self.dice.choice(("never", "any_significant", "all_significant")),
        }
        self.inits = {
            child_id: (Up(), *self.dice.choices((Up(), Up(), Up(), Fail(), Ignore()), k=4), Up())
            for child_id in IDS
        }
        self.answers = {child_id: self.dice.choice((Obey(), Obey(0.05))) for child_id in IDS}
        self.kinds = {child_id: self.dice.choice(KINDS) for child_id in IDS}
        self.first = IDS[: self.dice.randrange(1, len(IDS) + 1)]

    def options(self, child_id: str) -> dict[str, Any]:
        kind = self.kinds[child_id]
        is_significant = self.flags["auto_shutdown"] != "never" and kind != "permanent"
        return {"restart": kind, "significant": is_significant}

    def begin(self, stage: Stage) -> None:
        for child_id in IDS:
            stage.starts(child_id, *self.inits[child_id])
            stage.stops(child_id, self.answers[child_id])
        stage.tree(*(stage.child(each, **self.options(each)) for each in self.first), **self.flags)

    def step(self, running: list[str]) -> tuple[str, tuple[Any, ...]]:
        """Return what happens next: a method of a stage, and its arguments."""
        if running and self.dice.random() < 0.6:
            if self.dice.random() < 0.5:
                return "end", (self.dice.choice(running), self.dice.choice(ENDS))
            # Under one_for_one the restarts of several would race for what is left of the budget.
            most = 1 if self.flags["strategy"] == "one_for_one" else 3
            count = self.dice.randrange(1, min(most, len(running)) + 1)
            return "kill", tuple(self.dice.sample(running, count))
        return self.dice.choice(("start", "terminate", "restart", "delete")), (
            self.dice.choice(IDS),
        )


def act(stage: Stage, what: str, arguments: tuple[Any, ...], scene: Scene) -> str:
    """Do a step, wait until nothing moves, and return what came of the request."""
    options = scene.options(arguments[0]) if what == "start" else {}
    outcome = ""
    try:
        outcome = str(getattr(stage, what)(*arguments, **options))
    except (errors.SupervisionError, errors.SpecError) as error:
        outcome = type(error).__name__
    with suppress(errors.CallError):
        stage.settle()
    return outcome


def predictions(
    pure: PureStage, what: str, arguments: tuple[Any, ...], scene: Scene
) -> Iterator[tuple[PureStage, str]]:
    """
    Return what a step may come to.

    Of several that die at the same moment, the supervisor may hear in any order.
    """
    orders = itertools.permutations(arguments) if what == "kill" else [arguments]
    for order in orders:
        stage = copy.deepcopy(pure)
        yield stage, act(stage, what, order, scene)


def fulfilled(
    possible: list[tuple[PureStage, str]], outcome: str, real: RealStage
) -> list[PureStage]:
    """Return the predictions that have come true: same answer, starts, stops and children."""
    done, is_alive = Counter(real.story("start", "stop")), real.is_alive()
    children = real.statuses()
    return [
        stage
        for stage, answer in possible
        if answer == outcome
        and Counter(deeds(stage.world.trace)) == done
        and stage.is_alive() is is_alive
        and stage.statuses() == children
    ]


@pytest.mark.parametrize("seed", range(SCENES))
def test_a_real_tree_does_what_decisions_alone_predict(
    seed: int, stages: tuple[PureStage, RealStage]
) -> None:
    pure, real = stages
    scene = Scene(seed)
    for stage in stages:
        scene.begin(stage)
    for _ in range(8):
        running = [each for each, status in pure.statuses().items() if status == "running"]
        what, arguments = scene.step(running)
        possible = list(predictions(pure, what, arguments, scene))
        outcome = act(real, what, arguments, scene)
        search = partial(fulfilled, possible, outcome, real)
        real.until(search)
        (pure, *_) = search()
        if not pure.is_alive():
            assert pure.exit() == real.exit()
            return
