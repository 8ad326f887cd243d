"""The role server of a simulated node, and the processes of its roles, which only pretend."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from beethoven.cluster.role_spec import RoleSpec
from beethoven.engine.table import NO_STAMP, Report, Table

# How long a supervisor waits until it tries a role again that does not start.
RETRY = 3.0


@dataclass(frozen=True)
class Pace:
    """How long processes, and the looks at them, take: at least and at most, in seconds."""

    start: tuple[float, float] = (0.05, 1.0)
    stop: tuple[float, float] = (0.0, 0.8)
    stubborn_stop: tuple[float, float] = (2.0, 3.0)
    look: tuple[float, float] = (0.0, 0.06)


@dataclass(eq=False)
class RoleProcess:
    """An instance of a role: starting, running or stopping."""

    state: str = "starting"
    since: float = 0.0


class Ground(Protocol):
    """What a role server stands on."""

    @property
    def now(self) -> float: ...

    def later(self, delay: tuple[float, float], action: Callable[[], None]) -> None:
        """Do something on this node after a random delay, or never if the node ends first."""

    def tell(self, words: str) -> None:
        """Tell the story."""

    def is_flaky(self, role: str) -> bool: ...

    def is_stubborn(self, role: str) -> bool: ...

    def tell_core(self, here: Report) -> None:
        """Tell the core server, if there is one, what is here."""


class RoleServer:
    """Runs what the last table that it was given says for its node."""

    def __init__(self, ground: Ground, node_id: str, specs: Iterable[RoleSpec], pace: Pace):
        self.ground, self.node_id, self.pace = ground, node_id, pace
        self.specs = {spec.name: spec for spec in specs}
        self.table: Table | None = None
        self.wanted: set[str] = set()
        self.processes: dict[str, RoleProcess] = {}
        self.failing: dict[str, float] = {}
        self.starts: list[tuple[float, str]] = []

    def adopt(self, table: Table):
        self.table = table
        self.tell_core()
        wanted = {role for role in table.roles_of(self.node_id) if role in self.specs}
        if wanted != self.wanted:
            self.wanted = wanted
            self.reconcile()

    def reconcile(self):
        is_changed = False
        for role, process in list(self.processes.items()):
            if role not in self.wanted and process.state != "stopping":
                self._stop(role, process)
                is_changed = True
        now = self.ground.now
        for role in sorted(self.wanted):
            if role not in self.processes and self.failing.get(role, 0.0) <= now:
                self._start(role)
                is_changed = True
        if is_changed:
            self.changed()

    def crash(self, role: str):
        """Let an instance die; its supervisor brings it back."""
        process = self.processes.get(role)
        if process is not None and process.state == "running":
            del self.processes[role]
            self.ground.tell(f"loses {role}")
            self.reconcile()

    def changed(self):
        """Tell the core server what is here then, at the next look."""
        self.ground.later(self.pace.look, self.tell_core)

    def tell_core(self):
        self.ground.tell_core(self.report())

    def report(self) -> Report:
        now = self.ground.now
        if self.failing:
            self.failing = {role: at for role, at in self.failing.items() if at > now}
        processes = self.processes.items()
        return Report(
            sequence=0,
            roles=self.specs,
            running={role: now - p.since for role, p in processes if p.state == "running"},
            held=frozenset(self.processes),
            failing={role: at - now for role, at in self.failing.items()},
            stamp=NO_STAMP if self.table is None else self.table.stamp,
        )

    def runs(self, role: str) -> bool:
        return role in self.processes and self.processes[role].state == "running"

    def _start(self, role: str):
        assert role not in self.processes, f"I1: {role} twice on one node"
        process = self.processes[role] = RoleProcess(since=self.ground.now)
        self.starts.append((self.ground.now, role))
        self.ground.tell(f"starts {role}")
        self.ground.later(self.pace.start, lambda: self._started(role, process))

    def _started(self, role: str, process: RoleProcess):
        if self.processes.get(role) is not process or process.state != "starting":
            return
        if self.ground.is_flaky(role):
            del self.processes[role]
            self.failing[role] = self.ground.now + RETRY
            self.ground.tell(f"cannot start {role}")
            self.ground.later((RETRY + 0.01, RETRY + 0.01), self.reconcile)
        else:
            process.state, process.since = "running", self.ground.now
            self.ground.tell(f"runs {role}")
        self.changed()

    def _stop(self, role: str, process: RoleProcess):
        process.state = "stopping"
        self.ground.tell(f"stops {role}")
        pace = self.pace.stubborn_stop if self.ground.is_stubborn(role) else self.pace.stop
        self.ground.later(pace, lambda: self._stopped(role, process))

    def _stopped(self, role: str, process: RoleProcess):
        if self.processes.get(role) is process:
            del self.processes[role]
            self.ground.tell(f"has stopped {role}")
            self.reconcile()
            self.changed()
