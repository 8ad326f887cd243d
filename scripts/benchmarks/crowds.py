"""Many roles under one supervisor."""

import contextlib
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from beethoven import ChildSpec, DynamicSupervisor, Supervisor
from scripts.benchmarks import plain, roles
from scripts.benchmarks.births import start_link_once
from scripts.benchmarks.figures import Figure, Goal, Row, Sizes

# As many callers as a node has supervising processes that may ask at the same time.
_CALLERS = 8


def crowd(sizes: Sizes) -> list[Row]:
    """Measure how long many roles take to start, in order and at once, and to stop."""
    count = sizes.crowd
    # The first crowd gets its memory from the machine's host, if the machine is a virtual one,
    # which takes longer than all the rest.
    _in_order(count)
    one = statistics.median(start_link_once() for _ in range(sizes.start_rounds)) / 1000
    up, down = _in_order(count)
    at_once, _ = _at_once(count)
    baselines = {f"{count} x start_link": one * count}
    goal = Goal(f"at most {count} x start_link / 1.5", at_once / (one * count), 1 / 1.5)
    plain_up = {**baselines, f"{count} x forkserver": _plain(count)}
    what = f"{count} roles under one supervisor"
    stop = Goal("at most 3 s", down, 3.0)
    return [
        Figure("crowd_in_order", f"{what}, started in order", up, "s", 1, plain_up),
        Figure("crowd_at_once", f"{what} (dynamic), at once", at_once, "s", 1, baselines, [goal]),
        Figure("crowd_stop", f"{what}, all stopped", down, "s", 1, goals=[stop]),
    ]


def _in_order(count: int) -> tuple[float, float]:
    """Return the seconds to start and to stop; each child is up before the next one starts."""
    specs = [ChildSpec(f"role {number}", roles.Idle) for number in range(count)]
    begin = time.perf_counter()
    tree = Supervisor.start_link(specs, timeout=120)
    started = time.perf_counter()
    tree.stop()
    return started - begin, time.perf_counter() - started


def _at_once(count: int) -> tuple[float, float]:
    """Return the seconds to start and to stop; several callers ask for children."""
    specs = [ChildSpec(f"role {number}", roles.Idle) for number in range(count)]
    tree = DynamicSupervisor.start_link()
    begin = time.perf_counter()
    with ThreadPoolExecutor(_CALLERS) as callers:
        list(callers.map(tree.start_child, specs))
    started = time.perf_counter()
    tree.stop()
    return started - begin, time.perf_counter() - started


def _plain(count: int) -> float:
    """Return the seconds to start bare processes one after the other, all of which stay."""
    begin = time.perf_counter()
    with _many("forkserver", count):
        return time.perf_counter() - begin


@contextlib.contextmanager
def _many(method: str, count: int) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(plain.running(method, plain.stay))
        yield
