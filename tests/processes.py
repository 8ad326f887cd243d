"""What tests need to know of operating-system processes: who runs, and waiting with a deadline."""

import contextlib
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil

from beethoven import Ref, clock, whereis
from beethoven.errors import CallError
from beethoven.runtime.reference import Target

# In the environment of everything that this run of pytest starts, directly or not.
TOKEN = "BEETHOVEN_TEST_RUN"

# A process that has ended is gone for every purpose but its parent's.
_OVER = {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}


def wait_until(condition: Callable[[], object], timeout: float = 10.0) -> None:
    """Return as soon as `condition` holds; fail if it does not within `timeout` seconds."""
    deadline = clock.monotonic() + timeout
    while not condition():
        assert clock.monotonic() < deadline, f"not within {timeout} s: {condition}"
        threading.Event().wait(0.01)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() not in _OVER
    except psutil.NoSuchProcess:
        return False


def seconds_until(condition: Callable[[], object]) -> float:
    """Return how long it takes until `condition` holds."""
    begun = clock.monotonic()
    wait_until(condition)
    return clock.monotonic() - begun


def shortest(measure: Callable[[], float], limit: float) -> float:
    """
    Return a duration, measured up to three times as long as it is above a limit.

    Whatever else runs on the machine only lengthens it.
    """
    took = measure()
    for _ in range(2):
        if took > limit:
            took = min(took, measure())
    return took


def holder_of(name: Target) -> Ref:
    """Return the process that holds a name; fail if there is none."""
    ref = whereis(name)
    assert ref is not None, f"nobody holds {name}"
    return ref


def end(ref: Ref) -> None:
    """Stop a process that may have ended already, or be about to."""
    with contextlib.suppress(CallError):
        ref.stop(timeout=10)


def started_here() -> set[psutil.Process]:
    """Return every process that this run of pytest has started, zombies included."""
    ours = set(psutil.Process().children(recursive=True))
    for process in psutil.process_iter():
        try:
            if process.environ().get(TOKEN) == os.environ[TOKEN]:
                ours.add(process)
        except psutil.Error:
            continue
    ours.discard(psutil.Process())
    return ours


def fork_servers() -> list[psutil.Process]:
    """Return the fork servers of this program, or of those that it has started."""
    return [each for each in started_here() if _is_fork_server(each)]


def _is_fork_server(process: psutil.Process) -> bool:
    # The processes of the tree are its copies and look the same, but it is nobody's fork.
    try:
        if "beethoven.runtime.forkserver" not in " ".join(process.cmdline()):
            return False
        parent = process.parent()
        return parent is None or process.cmdline() != parent.cmdline()
    except psutil.Error:
        return False


class Program:
    """A program of its own that starts roles; it says things by printing lines."""

    def __init__(
        self, *command: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env={
                **os.environ,
                "PYTHONPATH": str(Path.cwd()),
                "PYTHONFAULTHANDLER": "",
                **(env or {}),
            },
        )
        self.pid = self.process.pid

    def line(self) -> str:
        """Return the next line that it prints; empty at its end."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def finish(self, timeout: float = 30.0) -> tuple[int, str, str]:
        """Wait for its end; return its exit code and what else it wrote."""
        out, err = self.process.communicate(timeout=timeout)
        return self.process.returncode, out, err


@contextlib.contextmanager
def program(source: str, folder: Path, *, name: str = "program.py") -> Iterator[Program]:
    """Run the source of a program; it is killed at the end of the block."""
    path = folder / name
    path.write_text(textwrap.dedent(source), "utf-8")
    running = Program(str(path), cwd=Path.cwd())
    try:
        yield running
    finally:
        running.process.kill()
        running.process.communicate()
