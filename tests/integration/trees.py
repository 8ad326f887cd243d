"""
Workers whose lives are written down, and what tests ask of the record.

Every worker appends a line to one file when something happens to it, and holds a lock for as long
as it or anything that it started lives: a successor that starts too early says so in the record.
Children import this module, so it imports little.
"""

import fcntl
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from beethoven import ChildSpec, ExitReason, Ignore, Supervisor, SupervisorRef
from tests.integration.roles import Puppet

# In so many seconds a budget of restarts is to be spent: on a busy machine five may be too few.
PERIOD = 60.0


@dataclass(frozen=True)
class Part:
    """
    What a worker does.

    Attributes:
        journal: The file of the record.
        id: Its id.
        init: Seconds that `init` takes.
        stop: Seconds that `terminate` takes.
        trap: Whether it traps exits.
        stray: Whether it starts a process of its own, which ignores SIGTERM.
        fails: While that file exists, `init` raises.
        ignores: While that file exists, `init` returns `Ignore`.
        hangs: While that file exists, `init` does not return.
        lingers: While that file exists, `terminate` does not return.
    """

    journal: str
    id: str
    init: float = 0.0
    stop: float = 0.0
    trap: bool = True
    stray: bool = False
    fails: str = ""
    ignores: str = ""
    hangs: str = ""
    lingers: str = ""


class Worker(Puppet):
    """A puppet that writes down its life."""

    def init(self, args: Part) -> Any:
        self.part = args
        self.seen, self.kept = [], []
        self.trap_exit = args.trap
        self.note("begin")
        self.lock = os.open(f"{args.journal}.{args.id}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.note("OVERLAP")
        if args.stray:
            os.set_inheritable(self.lock, True)
            command = "trap '' TERM; exec sleep 600"
            subprocess.Popen(["sh", "-c", command], close_fds=False, start_new_session=True)
        time.sleep(args.init)  # noqa: TID251 - a slow init is what is tested
        wait_while(args.hangs)
        if args.ignores and Path(args.ignores).exists():
            return Ignore
        if args.fails and Path(args.fails).exists():
            raise ValueError(f"{args.id} was told to fail")
        self.note("up")
        return None

    def terminate(self, reason: ExitReason) -> None:
        self.note("stopping", str(reason))
        time.sleep(self.part.stop)  # noqa: TID251 - a slow terminate is what is tested
        wait_while(self.part.lingers)
        self.note("stopped")

    def note(self, event: str, detail: str = "-") -> None:
        note(self.part.journal, self.part.id, event, detail)


def wait_while(flag: str) -> None:
    """Return as soon as there is no such file."""
    while flag and Path(flag).exists():
        time.sleep(0.02)  # noqa: TID251 - a callback that does not return is what is tested


def note(journal: str, who: str, event: str, detail: str = "-") -> None:
    """Append one line to the record, whole."""
    line = f"{time.monotonic_ns()}\t{os.getpid()}\t{who}\t{event}\t{detail}\n"
    handle = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, line.encode())
    os.close(handle)


class Line(NamedTuple):
    at: float
    pid: int
    id: str
    event: str
    detail: str


class Journal:
    """The record of a test, and the specifications of the workers in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "journal"

    def worker(self, child_id: str, **options: Any) -> ChildSpec:
        """Return a worker's specification; options of `Part` go to it, others to `ChildSpec`."""
        mine = {key: options.pop(key) for key in list(options) if key in Part.__annotations__}
        return ChildSpec(child_id, Worker, Part(str(self.path), child_id, **mine), **options)

    def workers(self, ids: str, **options: Any) -> list[ChildSpec]:
        """Return a specification for each letter."""
        return [self.worker(child_id, **options) for child_id in ids]

    def lines(self) -> list[Line]:
        """Return what has been written, but for a line that still is."""
        if not self.path.exists():
            return []
        whole = self.path.read_text("utf-8").rpartition("\n")[0]
        rows = (line.split("\t") for line in whole.splitlines())
        return [Line(int(at) / 1e9, int(pid), who, event, why) for at, pid, who, event, why in rows]

    def story(self, *events: str) -> list[str]:
        """Return `event id` for the lines with these events, in order."""
        return [f"{line.event} {line.id}" for line in self.lines() if line.event in events]

    def flag(self, name: str) -> str:
        """Make a file that tells workers something as long as it is there."""
        path = self.folder / name
        path.touch()
        return str(path)

    def lower(self, name: str) -> None:
        """Remove such a file."""
        (self.folder / name).unlink()

    def check(self) -> None:
        """Fail if two instances of one worker ever lived at the same time."""
        assert not self.story("OVERLAP")


@contextmanager
def tree(
    *children: ChildSpec, max_seconds: float = PERIOD, **options: Any
) -> Iterator[SupervisorRef]:
    """Run a supervisor of these children for the length of a block."""
    with Supervisor.start_link(children, max_seconds=max_seconds, **options) as supervisor:
        yield supervisor


def pids(supervisor: SupervisorRef) -> dict[str, int]:
    """Return the pid of each child's process, by id, in start order; 0 if it has none."""
    listing = reversed(supervisor.which_children())
    return {entry.id: entry.ref.pid if entry.ref else 0 for entry in listing}


def statuses(supervisor: SupervisorRef) -> dict[str, str]:
    """Return the status of each child, by id, in start order."""
    return {entry.id: entry.status for entry in reversed(supervisor.which_children())}
