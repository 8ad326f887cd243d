"""Nodes that boot, join, die, freeze and leave: "Numbers to reach" of the design, and upstream."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from scripts.benchmarks.figures import Figure, Goal, Row, Skipped
from scripts.benchmarks.report import short
from scripts.benchmarks.stage import Player, Stage, staged

_LONG = 30.0
_SMOKE: Final = "a smoke run"


@dataclass(frozen=True, slots=True)
class ClusterSizes:
    """
    How much is measured.

    Attributes:
        rounds: How often.
        rest: How long nothing happens before each blow, in seconds, so that all have told each
            other everything.
        is_whole: Whether the rows that take long are measured, and a first round is thrown away.
        crowds: How many nodes are watched while they are idle.
        idle_seconds: For how long.
        is_wide: Whether a silent /16 is searched, which takes one to five minutes.
        seconds: How long all of it may take.
    """

    rounds: int
    rest: float
    is_whole: bool
    crowds: tuple[int, ...]
    idle_seconds: float
    is_wide: bool
    seconds: int


FULL: Final = ClusterSizes(9, 1.0, True, (3, 10, 20), 20.0, False, 2400)
SMOKE: Final = ClusterSizes(1, 0.2, False, (3,), 0.5, False, 200)

ClusterMeasure: TypeAlias = Callable[[ClusterSizes], list[Row]]


def row(
    key: str,
    what: str,
    samples: Sequence[float],
    *,
    unit: str = "ms",
    limit: float | None = None,
    against: Mapping[str, float] | None = None,
    note: str = "",
) -> Figure:
    """Return the row of some samples: their median, and from where to where they go."""
    median = statistics.median(samples)
    goals = [] if limit is None else [Goal(f"at most {limit:g} {unit}", median, limit)]
    spread = f"{short(min(samples))} to {short(max(samples))}" if len(samples) > 1 else ""
    notes = "; ".join(part for part in (spread, note) if part)
    return Figure(key, what, median, unit, len(samples), against or {}, goals, notes)


def alone(sizes: ClusterSizes) -> list[Row]:
    """Measure a boot without others, in turns with that of a bare interpreter."""
    if sizes.is_whole:
        _boot()
    boots, bare = list[float](), list[float]()
    for _ in range(sizes.rounds):
        boots.append(_boot())
        begun = time.monotonic()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        bare.append((time.monotonic() - begun) * 1000)
    against = {"upstream": 1573, "python -c pass": statistics.median(bare)}
    what = "exec of a node until its first role runs, alone, /29 of loopback"
    return [row("alone", what, boots, limit=700, against=against)]


def _boot() -> float:
    with staged({"solo": 1}) as stage:
        player = stage.start("one")
        stage.wait(lambda: stage.running)
        return (stage.running["one", "solo"] - player.begun) / 1e6


def join(sizes: ClusterSizes) -> list[Row]:
    """Measure how soon a second node runs what it is to run."""
    whole, located = list[float](), list[float]()
    with staged({"pair": 2}) as stage:
        first = stage.start("one")
        stage.wait(lambda: stage.running)
        for number in range(sizes.rounds):
            stage.rest(sizes.rest)
            second = stage.start("two")
            stage.wait(lambda: ("two", "pair") in stage.running)
            up = stage.running["two", "pair"]
            whole.append((up - second.begun) / 1e6)
            begun = second.events("child_started", child="locator")[0]
            located.append(_ms_since(up, begun))
            stage.wait_linked("one", "two")
            second.terminate()
            second.process.wait(_LONG)
            stage.wait(lambda: first.events("node_left")[number:])  # noqa: B023 - waits here
            stage.drop("two")
    return [
        row("join", "second node: exec until its instance runs", whole, limit=900),
        row(
            "join_located",
            "second node: its locator has started until its instance runs",
            located,
            limit=250,
            against={"upstream, app start": 422},
        ),
    ]


def _ms_since(moment: int, line: Mapping[str, Any]) -> float:
    """Return how long before a moment, monotonic, a line was logged, which has a time of day."""
    logged = datetime.fromisoformat(line["time"]).timestamp()
    return (moment - time.monotonic_ns()) / 1e6 + (time.time() - logged) * 1000


def kill(sizes: ClusterSizes) -> list[Row]:
    """Measure how soon the roles of a node that is killed run on another one."""
    rows: list[Row] = []
    for count, words, limit, upstream in (
        (1, "role runs", 200, 471),
        (6, "6 roles run", 350, 1664),
    ):
        what = f"kill -9 of a node until its {words} on the survivor"
        if count > 1 and not sizes.is_whole:
            rows.append(Skipped(f"kill_{count}", what, _SMOKE))
            continue
        last = _deaths(count, sizes)
        against = {"upstream": upstream}
        rows.append(row(f"kill_{count}", what, last, limit=limit, against=against))
    return rows


def _deaths(count: int, sizes: ClusterSizes) -> list[float]:
    roles = {f"r{number}": 1 for number in range(count)}
    samples = []
    with staged(roles) as stage:
        stage.start("one")
        stage.wait(lambda: len(stage.running) == count)
        for _ in range(sizes.rounds):
            victim, survivor = _pair(stage, sizes.rest)
            killed = stage.drop(victim).kill()
            stage.wait(lambda: len(stage.running) == count)
            last = max(stage.running[survivor, name] for name in roles)
            samples.append((last - killed) / 1e6)
    return samples


def _pair(stage: Stage, rest: float) -> tuple[str, str]:
    """Start the node that is missing; return the one with the roles, and the newcomer."""
    holder = next(node for node, _ in stage.running)
    other = "two" if holder == "one" else "one"
    if other not in stage.players:
        stage.start(other)
        stage.wait_linked(holder, other)
    stage.rest(rest)
    return holder, other


def drain(sizes: ClusterSizes) -> list[Row]:
    """Measure how soon the role of a node that is asked to stop runs on another one."""
    moved, gaps = list[float](), list[float]()
    with staged({"solo": 1}) as stage:
        stage.start("one")
        stage.wait(lambda: stage.running)
        for _ in range(sizes.rounds):
            leaver, other = _pair(stage, sizes.rest)
            asked = stage.players[leaver].terminate()
            stage.wait(lambda: (other, "solo") in stage.running)  # noqa: B023 - waits here
            up = stage.running[other, "solo"]
            stage.wait(lambda: _went(stage, leaver, asked))  # noqa: B023
            moved.append((up - asked) / 1e6)
            gaps.append((up - _went(stage, leaver, asked)[0]) / 1e6)
            stage.drop(leaver).process.wait(_LONG)
    upstream = {"upstream": 1495}
    what = "SIGTERM of a node until its role runs elsewhere"
    return [
        row("drain", what, moved, limit=2000, against=upstream),
        row("drain_gap", "of which it runs nowhere", gaps, limit=500, against=upstream),
    ]


def _went(stage: Stage, node: str, since: int) -> list[int]:
    """Return when roles of a node have told that they go."""
    return [
        told.moment
        for told in stage.told
        if told.word == "down" and told.node == node and told.moment >= since
    ]


def freeze(sizes: ClusterSizes) -> list[Row]:
    """Measure how soon a node that stands still is replaced, and all is well when it goes on."""
    rows: list[Row] = []
    for timing, limit in (("default", 5000), ("fast", 1500)):
        stop = f"SIGSTOP of all of a node until its role runs elsewhere, {timing} preset"
        go = f"SIGCONT until one instance runs and the node is a member again, {timing} preset"
        if timing == "default" and not sizes.is_whole:
            rows.append(Skipped(f"freeze_{timing}", stop, _SMOKE))
            rows.append(Skipped(f"heal_{timing}", go, _SMOKE))
            continue
        frozen, healed = _frosts(timing, sizes)
        against = {"upstream": 72_900, "upstream, ticktime 4": 5000}
        rows.append(row(f"freeze_{timing}", stop, frozen, limit=limit, against=against))
        rows.append(row(f"heal_{timing}", go, healed, limit=3000, note="upstream: never"))
    return rows


def _frosts(timing: str, sizes: ClusterSizes) -> tuple[list[float], list[float]]:
    frozen, healed = list[float](), list[float]()
    with staged({"solo": 1}, timing=timing) as stage:
        stage.start("one")
        stage.wait(lambda: stage.running)
        for _ in range(sizes.rounds):
            holder, other = _pair(stage, sizes.rest)
            player = stage.players[holder]
            ups = len(stage.players[other].events("node_up"))
            stopped = player.freeze()
            stage.wait(lambda: (other, "solo") in stage.running)  # noqa: B023 - waits here
            frozen.append((stage.running[other, "solo"] - stopped) / 1e6)
            resumed = player.thaw()
            stage.wait(lambda: _is_healed(stage, stage.players[other], ups))  # noqa: B023
            gone = max(told.moment for told in stage.told if told.word == "down")
            back = _ms_since(resumed, stage.players[other].events("node_up")[-1])
            healed.append(max((gone - resumed) / 1e6, -back))
    return frozen, healed


def _is_healed(stage: Stage, other: Player, ups: int) -> bool:
    return len(stage.holders("solo")) == 1 and len(other.events("node_up")) > ups


GROUPS: Final[dict[str, ClusterMeasure]] = {
    "alone": alone,
    "join": join,
    "kill": kill,
    "drain": drain,
    "freeze": freeze,
}
