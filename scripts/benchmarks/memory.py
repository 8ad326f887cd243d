"""The memory of an idle role, against bare processes."""

import contextlib
import multiprocessing
import statistics
from collections.abc import Iterator
from pathlib import Path

from scripts.benchmarks import plain, roles
from scripts.benchmarks.figures import Figure, Goal, Row, Sizes, Skipped

WHAT = "memory of an idle role (PSS)"


def memory(_: Sizes) -> list[Row]:
    """Measure the second of two roles, and of two bare processes of each kind, all alive."""
    if not Path("/proc/self/smaps_rollup").exists():
        return [Skipped("memory", WHAT, "this kernel has no /proc/PID/smaps_rollup")]
    running = [roles.Idle.start_link() for _ in range(3)]
    with _bare("forkserver") as forkserver, _bare("spawn") as spawn:
        # The first was there before the fork server knew its class.
        ours = statistics.mean(_pss(role.pid) for role in running[1:])
        baselines = {"forkserver": _pss(forkserver), "spawn": _pss(spawn)}
    heavy = running[1].call("heavy")
    for role in running:
        role.stop()
    goals = [
        Goal("at most 4.5 MB", ours, 4.5),
        Goal(f"none of {', '.join(roles.HEAVY)} imported", len(heavy), 0),
    ]
    return [Figure("memory", WHAT, ours, "MB", 1, baselines, goals, note=", ".join(heavy))]


@contextlib.contextmanager
def _bare(method: str) -> Iterator[int]:
    """Run two bare processes that wait, and yield the pid of the second."""
    context = multiprocessing.get_context(method)
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            ready, theirs = context.Pipe()
            process = context.Process(target=plain.stay, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            stack.callback(process.join, 10)
            stack.callback(ready.close)
            ready.recv_bytes()
        yield process.pid or 0


def _pss(pid: int) -> float:
    """Return the proportional share of memory of a process, in megabytes."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise AssertionError(f"expected a Pss line in /proc/{pid}/smaps_rollup")
