"""Starts and restarts of one role, against bare processes."""

import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from beethoven import ChildSpec, Ref, Supervisor
from beethoven.supervision.supervisor import SupervisorRef
from scripts.benchmarks import first, plain, roles
from scripts.benchmarks.figures import Figure, Goal, Row, Sizes, ratio

ROOT = Path(__file__).resolve().parents[2]
_METHODS = ("fork", "forkserver", "spawn")
_PATIENCE = 30.0


@contextlib.contextmanager
def stamps() -> Iterator[socket.socket]:
    """Open the socket to which `Stamped` roles tell when they were up; its name is its address."""
    with (
        tempfile.TemporaryDirectory(prefix="beethoven-bench-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stream,
    ):
        stream.bind(f"{folder}/stamps")
        stream.settimeout(_PATIENCE)
        yield stream


def read_stamp(stream: socket.socket) -> int:
    """Return when the next role was up, in nanoseconds of the monotonic clock."""
    (stamp,) = roles.STAMP.unpack(stream.recv(64))
    return int(stamp)


def starts(sizes: Sizes) -> list[Row]:
    """Measure a start and a restart in turns with bare processes of each start method."""
    with stamps() as stream, _supervised(stream) as tree:
        read_stamp(stream)
        measures: dict[str, Callable[[], float]] = {
            "start_link": start_link_once,
            "restart": lambda: _restart(tree, stream),
            **{method: lambda method=method: _bare(method) for method in _METHODS},  # type: ignore[misc]
        }
        for measure in measures.values():
            measure()
        times = {name: list[float]() for name in measures}
        for _ in range(sizes.start_rounds):
            for name, measure in measures.items():
                times[name].append(measure())
    return [_start_figure(times), _restart_figure(times)]


@contextlib.contextmanager
def _supervised(stream: socket.socket) -> Iterator[SupervisorRef]:
    spec = ChildSpec("stamped", roles.Stamped, stream.getsockname())
    with Supervisor.start_link([spec], max_restarts=1_000_000) as tree:
        yield tree


def start_link_once() -> float:
    begin = time.perf_counter()
    role = roles.Idle.start_link()
    seconds = time.perf_counter() - begin
    role.stop()
    return seconds * 1000


def _restart(tree: SupervisorRef, stream: socket.socket) -> float:
    before = tree.child("stamped")
    begin = time.monotonic_ns()
    os.kill(before.pid, signal.SIGKILL)
    end = read_stamp(stream)
    _await_successor(tree, before)
    return (end - begin) / 1_000_000


def _await_successor(tree: SupervisorRef, before: Ref) -> None:
    """Wait until the supervisor knows the successor too: the next round is to find it at rest."""
    deadline = time.monotonic() + _PATIENCE
    while tree.child("stamped") == before:
        if time.monotonic() > deadline:
            raise TimeoutError("the supervisor did not notice that its child was killed")


def _bare(method: str) -> float:
    begin = time.perf_counter()
    with plain.running(method, plain.say_ready):
        return (time.perf_counter() - begin) * 1000


def _start_figure(times: dict[str, list[float]]) -> Figure:
    ours = times["start_link"]
    goals = [
        Goal("at most 1.0 x forkserver", ratio(ours, times["forkserver"]), 1.0),
        Goal("aim: 2 x fork", ratio(ours, times["fork"]), 2.0),
    ]
    baselines = {method: statistics.median(times[method]) for method in _METHODS}
    what = "start_link until init returned"
    return Figure("start_link", what, statistics.median(ours), "ms", len(ours), baselines, goals)


def _restart_figure(times: dict[str, list[float]]) -> Figure:
    restart, start = statistics.median(times["restart"]), statistics.median(times["start_link"])
    goals = [Goal("at most start_link + 3 ms", restart, start + 3)]
    what = "SIGKILL until the replacement's init returned"
    baselines = {"start_link": start}
    return Figure("restart", what, restart, "ms", len(times["restart"]), baselines, goals)


def first_starts(sizes: Sizes) -> list[Row]:
    """Measure programs that start one process, from their exec on."""
    with tempfile.TemporaryDirectory(prefix="beethoven-bench-") as cache:
        for kind in first.KINDS:
            _first(kind, cache)
        rounds = [
            {kind: _first(kind, cache) for kind in first.KINDS} for _ in range(sizes.first_rounds)
        ]
    median = {
        (kind, part): statistics.median(each[kind][part] for each in rounds)
        for kind in first.KINDS
        for part in ("import", "start")
    }
    return [
        Figure(
            f"first_{part}",
            what,
            median["beethoven", part],
            "ms",
            len(rounds),
            {"forkserver": median["forkserver", part]},
        )
        for part, what in (
            ("import", "exec of a program until it has imported beethoven"),
            ("start", "the first start_link of that program"),
        )
    ]


def _first(kind: str, cache: str) -> dict[str, float]:
    """Run a program that starts one process. Byte code is cached, but not in the sources."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", first.__name__, kind],
        check=True,
        stdout=subprocess.PIPE,
        timeout=60,
        cwd=ROOT,
        env=environment,
    )
    moments = json.loads(done.stdout)
    return {
        "import": (moments["imported"] - begin) * 1000,
        "start": (moments["started"] - moments["imported"]) * 1000,
    }
