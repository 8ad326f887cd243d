"""
CoreServer: whom this node takes for a member, and who runs what.

It holds the links to all other nodes and the coordinator, and never runs user code. It may die at
any moment: its successor has the same identity, the others dial it, and its siblings tell it what
they know.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from beethoven import clock
from beethoven.cloud.outlook import Outlook
from beethoven.cluster.addresses import Address
from beethoven.cluster.handshake import Established
from beethoven.cluster.identity import current
from beethoven.cluster.keyring import Keyring
from beethoven.cluster.load import Load
from beethoven.cluster.member import Member, Status
from beethoven.cluster.membership_events import (
    AddressFound,
    MemberChanged,
    NodeDown,
    NodeLeft,
    NodeRecovered,
    NodeSuspected,
    NodeUp,
)
from beethoven.cluster.mesh import Change, Mesh
from beethoven.cluster.passing import LinkDesk
from beethoven.cluster.quarrels import Flaps, Quarrels
from beethoven.cluster.role_spec import RoleSpec
from beethoven.cluster.timing import Timing
from beethoven.engine.authority import Authority
from beethoven.engine.coordinator import TICK, Coordinator, RolesHere
from beethoven.engine.events import SettledAlone, TableReceived
from beethoven.engine.messages import COORDINATION, DrainMessage, StateMessage
from beethoven.engine.settings import CoordinatorSettings
from beethoven.engine.table import Stamp, Table
from beethoven.log import get_log
from beethoven.node import overview
from beethoven.node.component_names import (
    ALLOCATOR,
    AZURE,
    CORE_SERVER,
    LOCATOR,
    ROLE_SERVER,
)
from beethoven.node.foresight import Foreseen, Foresight
from beethoven.node.group_relay import GroupRelay
from beethoven.node.leave_taking import LeaveTaking
from beethoven.node.watchers import Watchers
from beethoven.runtime.reason import ExitReason
from beethoven.runtime.reference import cast_or_drop
from beethoven.runtime.role import Caller, Role

NAME: Final = CORE_SERVER

# After a freeze, how often it looks for mail that came meanwhile.
_MOST_GLANCES: Final = 64

log = get_log("core_server")


@dataclass(frozen=True, slots=True)
class CoreServerArgs:
    """
    What the core server is started with.

    Attributes:
        own: This node.
        cluster: The name of its cluster.
        keyring: Its keys.
        timing: Its timers.
        roles: The roles in its configuration.
        coordination: The times of its coordinator.
        drain_timeout: How long its roles may take to come to run elsewhere when it leaves, in
            seconds.
    """

    own: Member
    cluster: str
    keyring: Keyring
    timing: Timing
    roles: Mapping[str, RoleSpec]
    coordination: CoordinatorSettings
    drain_timeout: float


class CoreServer(Role):
    """The process; membership and coordination are decided elsewhere."""

    def init(self, args: CoreServerArgs) -> None:
        self._own = current(self.ref.folder, args.own)
        self._timer, self._timer_at = 0, float("inf")
        self._roles_told = 0
        self._has_searched = self._is_settled = False
        self._assigned: Table | None = None
        self._flaps, self._flap_news = Flaps(), Quarrels()
        poller = self._process.poller
        self._coordinator = Coordinator(
            self._own, args.roles, args.coordination, Authority(), _Surroundings(self)
        )
        self.mesh = Mesh(
            self._own,
            args.cluster,
            args.keyring,
            args.timing,
            poller,
            on_change=self._changed,
            on_link=self._greet,
            on_message=self._heard,
            wake_at=self._wake_at,
        )
        self._watchers = Watchers(self.ref.folder)
        self._groups = GroupRelay(self.mesh, self._watchers)
        self._desk = LinkDesk(self.ref.folder, self._linked)
        self._desk.serve(poller)
        self.leave_taking = LeaveTaking(
            self.mesh, self._coordinator, self.ref.folder, self.send_after, args.drain_timeout
        )
        self._foresight = Foresight(self.mesh, self._coordinator, self.send_after, self.ref.folder)
        self._tell_members()
        for sibling in (LOCATOR, ALLOCATOR, ROLE_SERVER, AZURE):
            cast_or_drop(sibling, ("core_up",))
        self._tell_locator()
        self._groups.tell_nodes()
        self._watchers.greet()
        self._wake_at(0.0)
        self.send_after(TICK, "coordinate")
        # Those who are well are linked again by then.
        self.send_after(args.timing.convergence, "catch_up")
        self._go_on()

    def _go_on(self) -> None:
        """Go on with what a predecessor had begun, or had been told to begin."""
        self.leave_taking.go_on()
        if (outlook := self._foresight.remembered()) is not None:
            self._heed(outlook)

    def terminate(self, reason: ExitReason) -> None:
        self._desk.close()
        self.mesh.close()

    def handle_cast(self, request: Any) -> None:
        match request:
            case ("found", Address() as address):
                self.mesh.handle(AddressFound(address))
            case ("searched",):
                self._has_searched = True
                self._settle()
            case ("locator_up",):
                self._tell_locator()
            case ("load", Load() as load):
                self._coordinator.load_changed(load)
                self._tell_allocator(load.roles)
            case ("state", RolesHere() as here):
                self._coordinator.roles_changed(here)
                self._tell_allocator(None)
                self._remind(here.stamp)
                self.leave_taking.remind()
            case ("table", Table() as table):
                # What this node followed before this process was born.
                self._coordinator.handle(TableReceived(self._own.node_id, table))
            case ("snapshot", str(role), int(slot), bytes(state)):
                self.mesh.broadcast(COORDINATION, StateMessage(role, slot, state))
            case ("watching",):
                self._watchers.greet()
            case ("groups_up",):
                self._groups.tell_nodes()
            case ("groups", str(node_id), message):
                self._groups.send(node_id, message)
            case ("leave",):
                self._leave()
            case ("go",):
                self.leave_taking.hasten(self._foresight.hurried_at)
            case ("outlook", Outlook() as outlook):
                self._heed(outlook)
            case _:
                super().handle_cast(request)

    def handle_call(self, request: Any, caller: Caller) -> Any:
        match request:
            case "overview":
                return overview.overview(self.mesh.membership, self._coordinator)
            case "allocation_list":
                return overview.allocation_list(self.mesh.membership, self._coordinator)
            case "directory":
                return overview.directory(self.mesh.membership, self._coordinator)
            case ("explain", str(role)):
                return overview.explanation(self.mesh.membership, self._coordinator, role)
            case ("drain", str(name)):
                return self._drain(name)
            case "members":
                return (self._own, *self.mesh.membership.members())
        return super().handle_call(request, caller)

    def handle_info(self, message: Any) -> None:
        match message:
            case "tick":
                self._timer_at = float("inf")
                self._read_all_mail()
                self.mesh.tick()
                self._settle()
            case "coordinate":
                self._coordinator.tick()
                self.send_after(TICK, "coordinate")
            case "depart":
                self.leave_taking.time_is_up()
            case "catch_up":
                members = self.mesh.membership.members()
                self._watchers.catch_up({each.node_id for each in members})
                self._groups.tell_nodes()
                if not members:
                    self.leave_taking.nobody_is_left()
            case Foreseen():
                if self._foresight.must_leave(message):
                    self.leave_taking.withdraw()
            case "go":
                self.leave_taking.go()
            case _:
                super().handle_info(message)

    def _wake_at(self, moment: float) -> None:
        if moment < self._timer_at:
            self.cancel_timer(self._timer)
            self._timer_at = moment
            self._timer = self.send_after(max(0.0, moment - clock.elapsed()), "tick")

    def _read_all_mail(self) -> None:
        """Whoever was frozen reads what came meanwhile before it looks at the clock."""
        for _ in range(_MOST_GLANCES):
            if not self._process.poller.poll(0):
                return

    def _linked(self, stream: socket.socket, established: Established) -> None:
        self.mesh.accept(stream, established)

    def _changed(self, change: Change) -> None:
        name, address = change.member.name, change.member.address
        match change:
            case NodeUp():
                log.info("node_up", node=name, address=address)
            case NodeSuspected(member, cause):
                self._flaps.add(member.node_id, now=clock.elapsed())
                if not self._is_flapping(member):
                    log.warning("node_suspect", node=name, address=address, cause=cause)
            case NodeRecovered(member):
                if not self._is_flapping(member):
                    log.info("node_recovered", node=name, address=address)
            case NodeDown(_, cause):
                log.warning("node_down", node=name, address=address, cause=cause)
            case NodeLeft():
                log.info("node_left", node=name, address=address)
            case MemberChanged(member):
                log.info("node_changed", node=name, address=address, zone=member.zone)
        if not isinstance(change, NodeSuspected | NodeRecovered):
            self._tell_members()
        if isinstance(change, NodeUp | NodeDown | NodeLeft):
            self._flaps.forget(change.member.node_id)
            self._watchers.tell(change)
            self._groups.tell_nodes()
        elif isinstance(change, MemberChanged):
            self._watchers.change(change.member)
            self._groups.tell_nodes()
        self._tell_locator()

    def _is_flapping(self, member: Member) -> bool:
        """Return whether a node comes and goes all the time, and tell so once in a while."""
        now = clock.elapsed()
        if not self._flaps.comes_and_goes(member.node_id, now=now):
            return False
        if self._flap_news.is_news(member.address, member.node_id, now=now):
            log.warning("node_flapping", node=member.name, address=member.address)
        return True

    def _heard(self, node_id: str, fields: dict[str, Any]) -> None:
        match COORDINATION.from_wire(fields):
            case None:
                self._groups.take(node_id, fields)
            case StateMessage(role, slot, state):
                cast_or_drop(ROLE_SERVER, ("state_of", role, slot, state))
            case DrainMessage(node_id, is_wanted):
                if is_wanted and node_id == self._own.node_id:
                    self._leave()
            case message:
                self._coordinator.receive(node_id, message)

    def _greet(self, node_id: str) -> None:
        self._coordinator.greet(node_id)
        self._groups.tell_link(node_id)

    def _tell_members(self) -> None:
        self._coordinator.members_changed((self._own, *self.mesh.membership.members()))

    def _tell_locator(self) -> None:
        cast_or_drop(LOCATOR, ("linked", self.mesh.linked_addresses))

    def _tell_allocator(self, known: int | None) -> None:
        """Tell how many roles run here, unless that is known."""
        running = len(self._coordinator.here.running)
        if running != (self._roles_told if known is None else known):
            self._roles_told = running
            cast_or_drop(ALLOCATOR, ("roles", running))

    def _settle(self) -> None:
        """Whoever is alone when the search is over, and waits for nobody, may begin."""
        if self._has_searched and not self._is_settled and not self.mesh.is_dialling:
            self._is_settled = True
            self._coordinator.handle(SettledAlone())

    def assign(self, table: Table) -> None:
        """Have the role server follow a table."""
        self._assigned = table
        cast_or_drop(ROLE_SERVER, ("assigned", table))

    def _remind(self, stamp: Stamp) -> None:
        """Tell the role server again what it has missed."""
        if self._assigned is not None and self._assigned.stamp != stamp:
            self.assign(self._assigned)

    def _heed(self, outlook: Outlook) -> None:
        self._foresight.look(outlook)
        self.leave_taking.wait_for(outlook.hand_over_until)
        if outlook.is_leaving:
            self.leave_taking.withdraw()

    def _leave(self) -> None:
        self.leave_taking.begin(self._foresight.hurried_at)

    def _drain(self, name: str) -> str:
        """Have a node leave; return "ok", or why it cannot."""
        if name in {self._own.name, ""}:
            self._leave()
            return "ok"
        for view in self.mesh.membership.views():
            if view.member.name == name and view.status in {Status.ALIVE, Status.SUSPECT}:
                node_id = view.member.node_id
                self.mesh.send(node_id, COORDINATION, DrainMessage(node_id, is_wanted=True))
                return "ok"
        return f"no node named {name!r} is a member"


class _Surroundings:
    """What the coordinator has done by the core server."""

    def __init__(self, core: CoreServer) -> None:
        self._core = core

    def send(self, node_id: str, message: Any) -> None:
        self._core.mesh.send(node_id, COORDINATION, message)

    def broadcast(self, message: Any) -> None:
        self._core.mesh.broadcast(COORDINATION, message)

    def adopt(self, table: Table) -> None:
        self._core.assign(table)

    def release(self) -> None:
        self._core.leave_taking.depart()

    def emptied(self, *, is_empty: bool) -> None:
        cast_or_drop(AZURE, ("emptied", is_empty))
