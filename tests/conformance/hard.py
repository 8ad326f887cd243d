"""What the tests of hard orders share: several things at the same moment, and what came of it."""

import contextlib
import os
import signal
from collections.abc import Iterator

import psutil

from beethoven import ChildEntry, SupervisorRef
from tests.integration.trees import Journal, pids, statuses
from tests.processes import is_running, wait_until

PATIENT = 1000


def kill(pid: int) -> None:
    """Kill a process that may have ended already."""
    # To the kernel 0 is everybody here, the run of the tests included.
    assert pid > 0, "nobody has told the pid yet"
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def freeze(pid: int) -> None:
    """Have a process do nothing from now on, whatever it is told."""
    assert pid > 0, "nobody has told the pid yet"
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Have a process do nothing for the length of a block: to it all that happens is at once."""
    freeze(pid)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def kill_at_once(supervisor: SupervisorRef, *victims: str) -> dict[str, int]:
    """Let a supervisor learn of several deaths at the same moment; return the pids before."""
    before = pids(supervisor)
    with frozen(supervisor.ref.pid):
        for victim in victims:
            kill(before[victim])
        wait_until(lambda: not any(psutil.pid_exists(before[victim]) for victim in victims))
    return before


def story(journal: Journal, after: str = "") -> str:
    """Return what all workers did, as one line; only what followed upon `after`."""
    line = ", ".join(journal.story("begin", "up", "stopping", "stopped"))
    return line if not after else line.partition(after)[2].removeprefix(", ")


def times(journal: Journal, line: str) -> int:
    """Return how often something is in the story."""
    return journal.story("begin", "up", "stopping", "stopped").count(line)


def instances(journal: Journal, child_id: str) -> list[int]:
    """Return the pids of a worker's processes, the latest last."""
    return [line.pid for line in journal.lines() if (line.id, line.event) == (child_id, "begin")]


def running(journal: Journal) -> list[tuple[str, int]]:
    """Return the workers' processes that live, of whatever generation."""
    begun = {(line.id, line.pid) for line in journal.lines()}
    return sorted((child_id, pid) for child_id, pid in begun if is_running(pid))


def latest(journal: Journal) -> list[tuple[str, int]]:
    """Return the latest process of every worker."""
    return sorted({line.id: line.pid for line in journal.lines()}.items())


def is_whole(supervisor: SupervisorRef) -> bool:
    return set(statuses(supervisor).values()) == {"running"}


def pid_of(supervisor: SupervisorRef, child_id: str) -> int:
    """Return the pid of a child's process, once it has one and the supervisor knows it."""
    found: list[int] = []

    def is_known() -> bool:
        found[:] = [pids(supervisor)[child_id]]
        return found[0] > 0

    wait_until(is_known)
    return found[0]


def entry(supervisor: SupervisorRef, child_id: str) -> ChildEntry:
    return next(each for each in supervisor.which_children() if each.id == child_id)
