"""
Many coordinators in one process: virtual time, a seeded network, executors that only pretend.

Membership is an oracle with delays: each node learns late, and at another moment than the others,
whom it can reach. A link keeps its order, as TCP does, and loses what is under way when it is cut.
"""

import heapq
from collections.abc import Callable, Iterable
from functools import partial
from random import Random

from beethoven.cluster.addresses import Address
from beethoven.cluster.member import Member
from beethoven.cluster.role_spec import RoleSpec
from beethoven.engine.authority import Authority
from beethoven.engine.coordinator_state import CoordinatorState
from beethoven.engine.events import (
    AdoptTable,
    DrainRequested,
    Event,
    MembershipChanged,
    Note,
    PublishTable,
    Release,
    ReportReceived,
    SendReport,
    SendTable,
    SettledAlone,
    TableReceived,
    Ticked,
)
from beethoven.engine.settings import CoordinatorSettings
from beethoven.engine.table import NO_STAMP, Report, Table

ADDRESS = Address("127.0.0.1", 33000)  # nothing here depends on it
TICK = 0.5
SEARCH = 0.7
REPORT_EVERY = 4.0


class Process:
    """An instance of a role, starting, running or stopping."""

    def __init__(self) -> None:
        self.state, self.since = "starting", 0.0


class SimulatedNode:
    def __init__(self, world: "World", name: str, specs: Iterable[RoleSpec], **about) -> None:
        self.world, self.name = world, name
        boots = world.boots = world.boots + 1
        self.id = f"{name}-{boots}"
        self.reported_at = 0.0
        self.member = Member(self.id, name, ADDRESS, about.pop("incarnation", boots), **about)
        self.specs = {spec.name: spec for spec in specs}
        self.state = CoordinatorState(self.member, world.settings, world.authority)
        self.is_up, self.is_released = True, False
        self.is_draining = False
        self.processes: dict[str, Process] = {}
        self.wanted: set[str] = set()
        self.stamp = NO_STAMP
        self.starts: list[tuple[float, str]] = []
        self.failing: dict[str, float] = {}
        self.sequence = 0
        self.known: set[str] = set()
        self.notes: list[Note] = []

    def boot(self) -> None:
        self.feed(MembershipChanged((self.member,)))
        self.report()
        self.world.after(self.world.random.uniform(0, TICK), self.tick)
        self.world.after(SEARCH, lambda: self.feed(SettledAlone()))

    def tick(self) -> None:
        if self.is_up:
            self.feed(Ticked())
            self.world.after(TICK, self.tick)
            if self.world.now - self.reported_at > REPORT_EVERY:
                self.report()

    def see(self) -> None:
        """Learn whom it can reach."""
        if not self.is_up:
            return
        reach = {node.id: node for node in self.world.reachable(self)}
        joined, self.known = reach.keys() - self.known, set(reach)
        self.feed(MembershipChanged(tuple(node.member for node in reach.values())))
        for node_id in sorted(joined):
            self.send(reach[node_id], ReportReceived(self.id, self.last_report))

    def feed(self, event: Event) -> None:
        if not self.is_up:
            return
        for effect in self.state.handle(event, now=self.world.now):
            match effect:
                case PublishTable(table):
                    self.world.published(self, table)
                    for node in self.peers():
                        self.send(node, TableReceived(self.id, table))
                case SendTable(node_id, table):
                    for node in self.peers():
                        if node.id == node_id:
                            self.send(node, TableReceived(self.id, table))
                case AdoptTable(table):
                    self.wanted, self.stamp = set(table.roles_of(self.id)), table.stamp
                    self.world.after(0, self.report)
                    self.reconcile()
                case SendReport():
                    self.world.after(0, self.report)
                case Release():
                    self.is_released = True
                    self.world.after(0, lambda: self.world.crash(self))
                case Note():
                    self.notes.append(effect)

    def peers(self) -> list["SimulatedNode"]:
        return [node for node in self.world.up() if node.id in self.known and node is not self]

    def send(self, node: "SimulatedNode", event: Event) -> None:
        self.world.send(self, node, event)

    def report(self) -> None:
        if not self.is_up:
            return
        self.sequence += 1
        now = self.world.now
        self.failing = {role: until for role, until in self.failing.items() if until > now}
        report = Report(
            sequence=self.sequence,
            roles=self.specs,
            running={r: now - p.since for r, p in self.processes.items() if p.state == "running"},
            held=frozenset(self.processes),
            failing={role: until - now for role, until in self.failing.items()},
            stamp=self.stamp,
        )
        self.last_report, self.reported_at = self.state.complete(report), now
        for node in self.peers():
            self.send(node, ReportReceived(self.id, self.last_report))
        self.feed(ReportReceived(self.id, self.last_report))

    def reconcile(self) -> None:
        now, random = self.world.now, self.world.random
        changed = False
        for role, process in list(self.processes.items()):
            if role not in self.wanted and process.state != "stopping":
                process.state = "stopping"
                self.world.after(random.uniform(0, 0.8), partial(self.stopped, role))
                changed = True
        for role in sorted(self.wanted):
            if role not in self.processes and self.failing.get(role, 0) <= now:
                process = self.processes[role] = Process()
                self.starts.append((now, role))
                delay = random.uniform(0.05, 1.0)
                self.world.after(delay, partial(self.started, role, process))
                changed = True
        if changed:
            self.world.after(0, self.report)

    def started(self, role: str, process: Process) -> None:
        if not self.is_up or self.processes.get(role) is not process:
            return
        if process.state == "starting":
            if (self.name, role) in self.world.flaky:
                del self.processes[role]
                self.failing[role] = self.world.now + 3.0
                self.world.after(3.01, self.reconcile)
            else:
                process.state, process.since = "running", self.world.now
        self.report()

    def stopped(self, role: str) -> None:
        if self.is_up:
            self.processes.pop(role, None)
            self.reconcile()
            self.report()

    def crash_role(self, role: str) -> None:
        """The instance dies, and the node's own supervisor brings it back."""
        if self.is_up and self.processes.get(role) and self.processes[role].state == "running":
            del self.processes[role]
            self.reconcile()

    def drain(self) -> None:
        self.is_draining = True
        self.feed(DrainRequested())

    def running(self, role: str) -> bool:
        return role in self.processes and self.processes[role].state == "running"


class World:
    def __init__(
        self,
        seed: int,
        *,
        loss: float = 0.0,
        settings: CoordinatorSettings | None = None,
        authority: Authority | None = None,
    ) -> None:
        self.random = Random(seed)
        self.settings = settings or CoordinatorSettings()
        self.authority = authority or Authority()
        self.loss, self.now, self.boots = loss, 0.0, 0
        self.nodes: list[SimulatedNode] = []
        self.cut: set[frozenset[str]] = set()
        self.flaky: set[tuple[str, str]] = set()
        self.detection = 1.0
        self.published_tables: list[tuple[float, str, Table]] = []
        self.check: Callable[[World], None] = lambda world: None
        self._queue: list[tuple[float, int, Callable[[], object]]] = []
        self._count = 0
        self._links: dict[tuple[str, str], float] = {}

    def after(self, delay: float, action: Callable[[], object]) -> None:
        self._count += 1
        heapq.heappush(self._queue, (self.now + delay, self._count, action))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._queue and self._queue[0][0] <= end:
            self.now, _, action = heapq.heappop(self._queue)
            action()
            self.check(self)
        self.now = end

    def up(self) -> list[SimulatedNode]:
        return [node for node in self.nodes if node.is_up]

    def reachable(self, node: SimulatedNode) -> list[SimulatedNode]:
        return [each for each in self.up() if frozenset((each.id, node.id)) not in self.cut]

    def boot(self, name: str, specs: Iterable[RoleSpec], **about) -> SimulatedNode:
        node = SimulatedNode(self, name, specs, **about)
        # A cut keeps apart what it cut: a newcomer sees everybody.
        self.nodes.append(node)
        node.boot()
        self.tell_everybody()
        return node

    def crash(self, node: SimulatedNode) -> None:
        node.is_up = False
        node.processes.clear()
        self.tell_everybody()

    def islands(self, groups: list[list[SimulatedNode]]) -> None:
        for index, group in enumerate(groups):
            for other in groups[index + 1 :]:
                self.cut |= {frozenset((a.id, b.id)) for a in group for b in other}
        self.tell_everybody()

    def heal(self) -> None:
        self.cut.clear()
        self.tell_everybody()

    def tell_everybody(self) -> None:
        for node in self.up():
            self.after(self.random.uniform(0.005, self.detection), node.see)

    def send(self, source: SimulatedNode, target: SimulatedNode, event: Event) -> None:
        if not self.is_linked(source, target) or self.random.random() < self.loss:
            return
        link = (source.id, target.id)
        delay = self.random.choice((0.001, 0.005, 0.02, 0.1))
        at = max(self._links.get(link, 0.0), self.now + delay)
        self._links[link] = at

        def deliver() -> None:
            if self.is_linked(source, target):
                target.feed(event)

        self.after(at - self.now, deliver)

    def is_linked(self, source: SimulatedNode, target: SimulatedNode) -> bool:
        return target.is_up and frozenset((source.id, target.id)) not in self.cut

    def published(self, node: SimulatedNode, table: Table) -> None:
        for role, places in table.places.items():
            nodes = [place.node_id for place in places]
            assert len(set(nodes)) == len(nodes), f"I1: {role} twice on one node: {nodes}"
            assert set(nodes) <= table.members, f"{role} on a node that said nothing: {nodes}"
        self.published_tables.append((self.now, node.id, table))

    def leaders(self) -> list[str]:
        return [node.name for node in self.up() if node.state.is_leading]

    def where(self, role: str) -> list[str]:
        return sorted(node.name for node in self.up() if node.running(role))

    def eligible(self, spec: RoleSpec) -> list[SimulatedNode]:
        return [
            node
            for node in self.up()
            if spec.name in node.specs
            and not node.is_draining
            and spec.requires <= node.member.labels
        ]

    def wrongs(self, specs: Iterable[RoleSpec]) -> list[str]:
        """Return what is not as it should be once faults have stopped."""
        found = []
        if self.up() and len(self.leaders()) != 1:
            found.append(f"leaders {self.leaders()}")
        for spec in specs:
            # What must go counts while it exists, what must come when it runs.
            held = [node.name for node in self.up() if spec.name in node.processes]
            want = min(spec.instances, len(self.eligible(spec)))
            if len(held) != want or len(self.where(spec.name)) != want:
                found.append(
                    f"{spec.name}: {want} wanted, on {held}, running {self.where(spec.name)}"
                )
        return found
