"""The memory of an idle role, against bare processes."""

import contextlib
import statistics
from collections.abc import Iterable
from pathlib import Path

from scripts.benchmarks import plain, roles
from scripts.benchmarks.figures import Figure, Goal, Row, Sizes, Skipped

_METHODS = ("forkserver", "spawn")


def memory(sizes: Sizes) -> list[Row]:
    """Measure roles and bare processes of either kind, as many of each, all alive."""
    what = f"memory of an idle role among {sizes.idle}"
    if not Path("/proc/self/smaps_rollup").exists():
        return [Skipped("memory", what, "this kernel has no /proc/PID/smaps_rollup")]
    # The first was there before the fork server knew its class: it shares less.
    running = [roles.Idle.start_link() for _ in range(sizes.idle + 1)]
    with contextlib.ExitStack() as stack:
        pids = {
            method: [
                stack.enter_context(plain.running(method, plain.stay)) for _ in range(sizes.idle)
            ]
            for method in _METHODS
        }
        pids["role"] = [role.pid for role in running[1:]]
        shares = {kind: _median(pids[kind], "Pss:") for kind in pids}
        alone = {kind: _median(pids[kind], "Private_Dirty:") for kind in pids}
    heavy = running[-1].call("heavy")
    for role in running:
        role.stop()
    share = shares.pop("role")
    goals = [
        Goal("at most 4.5 MB", share, 4.5),
        Goal(f"none of {', '.join(roles.HEAVY)} imported", len(heavy), 0),
    ]
    private = alone.pop("role")
    return [
        Figure("memory", f"{what} (PSS)", share, "MB", sizes.idle, shares, goals, ", ".join(heavy)),
        Figure("memory_private", f"{what}, not shared", private, "MB", sizes.idle, alone),
    ]


def _median(pids: Iterable[int], field: str) -> float:
    return statistics.median(_megabytes(pid, field) for pid in pids)


def _megabytes(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / 1e6
    raise AssertionError(f"expected {field} in /proc/{pid}/smaps_rollup")
