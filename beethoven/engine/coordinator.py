"""
The coordinator of one node at work: performs what its state decides, and reports about the node.

No policy here, and no sockets: messages to other nodes go to whoever made it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, assert_never

from beethoven import clock
from beethoven.cluster.load import Load
from beethoven.cluster.member import Member
from beethoven.cluster.role_spec import RoleSpec
from beethoven.engine import events
from beethoven.engine.authority import Authority
from beethoven.engine.coordinator_state import CoordinatorState
from beethoven.engine.messages import (
    Instance,
    ReportMessage,
    TableMessage,
    report_from_wire,
    report_to_wire,
    table_from_wire,
    table_to_wire,
)
from beethoven.engine.records import stamp_from_wire
from beethoven.engine.settings import CoordinatorSettings
from beethoven.engine.table import NO_STAMP, Epoch, Report, Stamp, Table
from beethoven.errors import WireError
from beethoven.log import get_log

log = get_log("coordinator")

# How often a node reports though nothing has changed, in seconds.
_REPORT_INTERVAL: Final = 5.0
# Epochs grow by one with each reign: no two clusters that meet are further apart.
_LONGEST_LEAP: Final = 2**32
# How often its state is told that time has passed.
TICK: Final = 0.25

NO_LOAD: Final = Load()


@dataclass(frozen=True, slots=True)
class RolesHere:
    """
    What a node has of its roles, as its role server says.

    Attributes:
        running: For how many seconds each running role has been running.
        held: The roles of which it has a process in any state, or may have one any moment.
        finished: The roles that ended for good, as they were meant to.
        failing: The roles that fail there, and for how many seconds more they are not tried.
        instances: All of them, for people.
        stamp: The table that the role server had then.
    """

    running: Mapping[str, float] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    finished: frozenset[str] = frozenset()
    failing: Mapping[str, float] = field(default_factory=dict)
    instances: tuple[Instance, ...] = ()
    stamp: Stamp = NO_STAMP


class Surroundings(Protocol):
    """What a coordinator needs of the node that it serves."""

    def send(self, node_id: str, message: Any) -> None:
        """Send a message to one node."""

    def broadcast(self, message: Any) -> None:
        """Send a message to all other nodes that can be reached."""

    def adopt(self, table: Table) -> None:
        """See to it that this node runs what a table says for it."""

    def release(self) -> None:
        """Let this node go: no role is left on it."""

    def emptied(self, *, is_empty: bool) -> None:
        """Note whether this node, which is cordoned, has no role left."""


class Coordinator:
    """
    The coordinator of one node.

    Args:
        me: This node.
        roles: The roles in its configuration.
        settings: Its times.
        authority: What it takes to decide.
        surroundings: Performs what concerns others.
    """

    def __init__(
        self,
        me: Member,
        roles: Mapping[str, RoleSpec],
        settings: CoordinatorSettings,
        authority: Authority,
        surroundings: Surroundings,
    ) -> None:
        life = int(clock.elapsed() * 1000)
        self.state = CoordinatorState(me, settings, authority, life=life)
        self.reports: dict[str, ReportMessage] = {}
        self._me = me.node_id
        self.specs = roles
        self._around = surroundings
        self._here: RolesHere | None = None
        self._here_at = 0.0
        self._load = NO_LOAD
        self._sequence = 0
        self._reported_at = 0.0

    @property
    def here(self) -> RolesHere:
        """What this node has of its roles, as far as that is known."""
        return self._here if self._here is not None else RolesHere()

    def handle(self, event: events.Event) -> None:
        """Take an event."""
        for effect in self.state.handle(event, now=clock.elapsed()):
            self._perform(effect)

    def members_changed(self, members: tuple[Member, ...]) -> None:
        """Note who can be reached now."""
        reachable = {member.node_id for member in members}
        for node_id in self.reports.keys() - reachable:
            del self.reports[node_id]
        self.handle(events.MembershipChanged(members))

    def roles_changed(self, here: RolesHere) -> None:
        """Note what this node has of its roles."""
        self._here, self._here_at = here, clock.elapsed()
        self.report()

    def load_changed(self, load: Load) -> None:
        """Note how busy this node is."""
        self._load = load
        self.report()

    def receive(self, node_id: str, message: Any) -> None:
        """
        Take a message of another node.

        Raises:
            WireError: It tells of an epoch that cannot be. As every coordinator goes above all
                epochs that it has heard of, one such would stay in the cluster for ever.
        """
        if isinstance(message, ReportMessage | TableMessage):
            self._check_epoch(stamp_from_wire(message.stamp).epoch)
        match message:
            case ReportMessage():
                self.reports[node_id] = message
                self.handle(events.ReportReceived(node_id, report_from_wire(message)))
            case TableMessage():
                self.handle(events.TableReceived(node_id, table_from_wire(message)))

    def _check_epoch(self, epoch: Epoch) -> None:
        known = self.state.table.stamp
        if known != NO_STAMP and epoch.counter - known.epoch.counter > _LONGEST_LEAP:
            raise WireError(f"expected an epoch near {known.epoch.counter}, got: {epoch.counter}")

    def greet(self, node_id: str) -> None:
        """Tell a node to which a link has opened about this one: it may have forgotten all."""
        message = self.reports.get(self._me)
        if message is not None:
            self._around.send(node_id, message)

    def tick(self) -> None:
        """Note that time has passed; at least every `TICK` seconds."""
        self.handle(events.Ticked())
        if clock.elapsed() - self._reported_at >= _REPORT_INTERVAL:
            self.report()

    def report(self) -> None:
        """Tell all others, and the own state, about this node, as soon as its roles are known."""
        if self._here is None:
            return
        now = self._reported_at = clock.elapsed()
        age = now - self._here_at
        # Grows also from one life of this process to the next.
        self._sequence = max(self._sequence + 1, int(now * 1e6))
        report = self.state.complete(
            Report(
                sequence=self._sequence,
                roles=self.specs,
                running={role: uptime + age for role, uptime in self._here.running.items()},
                held=self._here.held,
                finished=self._here.finished,
                failing=self._here.failing,
                load=self._load.score,
                stamp=self._here.stamp,
            )
        )
        message = report_to_wire(report, self._here.instances, self._load)
        self.reports[self._me] = message
        self._around.broadcast(message)
        self.handle(events.ReportReceived(self._me, report))

    def _perform(self, effect: events.Effect) -> None:
        match effect:
            case events.PublishTable(table):
                self._around.broadcast(table_to_wire(table))
            case events.SendTable(node_id, table):
                self._around.send(node_id, table_to_wire(table))
            case events.AdoptTable(table):
                self._around.adopt(table)
            case events.SendReport():
                self.report()
            case events.Release():
                self._around.release()
            case events.Emptied(is_empty):
                self._around.emptied(is_empty=is_empty)
            case events.Note(name, level, fields):
                getattr(log, level)(name, **fields)
            case _:
                assert_never(effect)
