"""
RoleServer: sees to it that this node runs what it should, and tells what it runs.

It may die at any moment: what runs goes on running, and its successor asks the core server for the
table and looks again. While it knows no table it starts and stops nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from beethoven import clock
from beethoven.engine.coordinator import RolesHere
from beethoven.engine.records import LONGEST_STATE
from beethoven.engine.table import NO_STAMP, Place, Table
from beethoven.errors import CallError
from beethoven.log import get_log
from beethoven.node import handing_over
from beethoven.node.component_names import CORE_SERVER, ROLE_SERVER, ROLE_SUPERVISOR
from beethoven.node.handle import Node
from beethoven.node.role_process import child_spec, context_of
from beethoven.node.role_server_state import (
    RoleEnded,
    RoleStarted,
    StartRole,
    StopRole,
    is_late,
    is_settled,
    laggards,
    news,
    reconcile,
    role_status,
    roles_here,
)
from beethoven.node.settings import RoleSettings
from beethoven.runtime.exit_signals import Down
from beethoven.runtime.reference import Ref, call, cast, cast_or_drop, send_or_drop, whereis
from beethoven.runtime.role import Caller, Role
from beethoven.runtime.role_context import RoleContext, SnapshotRequest
from beethoven.supervision.listing import ChildEntry

NAME: Final = ROLE_SERVER

# How often it looks, in seconds: the bound within which a missing instance is noticed.
_INTERVAL: Final = 0.5
# While one starts or stops, so that it is soon told that it runs or is gone.
_SHORT_INTERVAL: Final = 0.05
_ASK_TIMEOUT: Final = 2.0
# How often the core server is told what runs here though nothing has changed.
_STATE_INTERVAL: Final = 2.0

log = get_log("role_server")


@dataclass(frozen=True, slots=True)
class RoleServerArgs:
    """
    What the role server is started with.

    Attributes:
        node: This node.
        roles: The roles in its configuration.
    """

    node: Node
    roles: tuple[RoleSettings, ...]


class RoleServer(Role):
    """The process; what it decides is in `role_server_state`."""

    def init(self, args: RoleServerArgs) -> None:
        self._args = args
        self._roles = {role.name: role for role in args.roles}
        self._table: Table | None = None
        self._states = handing_over.States(self.ref.folder)
        self._slots: dict[str, int] = {}
        self._places_told: dict[str, tuple[Ref, RoleContext]] = {}
        self._is_supervised = True
        self._is_busy = False
        # Until when what is told to stop may take its time, by `clock.elapsed`.
        self._hand_over_until: float | None = None
        # When all that is left is killed; by then everything is to stop, whatever the table says.
        self._kill_at: float | None = None
        self._unwanted_since: dict[str, float] = {}
        self._timer = 0
        self._has_monitor = False
        self._last_look: dict[str, ChildEntry] | None = None
        self._told: tuple[RolesHere, float] | None = None
        self.continue_with("look")

    def handle_continue(self, argument: Any) -> None:
        self._look()
        self.cancel_timer(self._timer)
        self._timer = self.send_after(_SHORT_INTERVAL if self._is_busy else _INTERVAL, "look")

    def handle_info(self, message: Any) -> None:
        match message:
            case "look":
                self.continue_with("look")
            case Down():
                # The role supervisor has ended, and its roles with it.
                self._has_monitor = False
                self.continue_with("look")
            case _:
                super().handle_info(message)

    def handle_cast(self, request: Any) -> None:
        match request:
            case ("assigned", Table() as table):
                self._table = table
                places = table.roles_of(self._args.node.node_id)
                self._slots.update({role: place.slot for role, place in places.items()})
                self.continue_with("look")
            case ("snapshot", str(role), bytes(state)):
                self._states.answered(role)
                if 0 < len(state) <= LONGEST_STATE:
                    cast_or_drop(CORE_SERVER, ("snapshot", role, self._slots.get(role, 0), state))
                elif state:
                    log.warning("state_too_large", role=role, bytes=len(state))
                self.continue_with("look")
            case ("state_of", str(role), int(slot), bytes(state)):
                if role in self._roles:
                    self._states.receive(role, slot, state)
            case ("hurry", float() | None as until):
                self._hand_over_until = until
            case ("withdraw", float(kill_at)):
                self._kill_at = kill_at if self._kill_at is None else min(kill_at, self._kill_at)
                self.continue_with("look")
            case ("core_up",):
                if self._table is not None:
                    cast_or_drop(CORE_SERVER, ("table", self._table))
                self._told = None
                self.continue_with("look")
            case _:
                super().handle_cast(request)

    def handle_call(self, request: Any, caller: Caller) -> Any:
        match request:
            case "status":
                return self._status()
            case "look":
                self._look()
                return None
            case ("restarting", str(role)):
                log.info("role_restarting", role=role)
                return None
        return f"expected 'status', 'look' or ('restarting', role), got: {request!r}"

    def _children(self) -> list[ChildEntry] | None:
        """Return what the role supervisor has, or None while there is no role supervisor."""
        try:
            _, children = call(ROLE_SUPERVISOR, ("which_children",), timeout=_ASK_TIMEOUT)
        except CallError as error:
            if self._is_supervised:
                log.warning("role_supervisor_missing", reason=error)
            self._is_supervised = False
            self._is_busy = True
            return None
        self._is_supervised = True
        if not self._has_monitor:
            self._has_monitor = True
            self.monitor(ROLE_SUPERVISOR)
        return list(children)

    def _look(self) -> None:
        self._states.expire()
        children = self._children()
        if children is None:
            return
        self._tell(children)
        self._tell_core(children)
        if self._table is None:
            return
        node = self._args.node
        places = {} if self._kill_at is not None else self._table.roles_of(node.node_id)
        wanted = {
            name: child_spec(role, node, places[name])
            for name, role in self._roles.items()
            if name in places
        }
        unwanted = [child.id for child in children if child.id not in wanted]
        now = clock.elapsed()
        self._unwanted_since = {name: self._unwanted_since.get(name, now) for name in unwanted}
        self._tell_places(places, children)
        self._hurry(children)
        actions = reconcile(wanted, children)
        self._is_busy = bool(actions) or not all(map(is_settled, children))
        starting = [action.spec.id for action in actions if isinstance(action, StartRole)]
        self._states.lay_out({name: places[name].slot for name in starting})
        processes = {child.id: child.ref for child in children}
        for action in actions:
            match action:
                case StartRole(spec):
                    log.info("role_starting", role=spec.id)
                    cast(ROLE_SUPERVISOR, ("start_child", spec))
                case StopRole(name):
                    self._stop(name, processes[name])

    def _tell_places(self, places: Mapping[str, Place], children: list[ChildEntry]) -> None:
        """Tell the roles that run what place they have, if that is news to the process."""
        told: dict[str, tuple[Ref, RoleContext]] = {}
        for child in children:
            if child.ref is None or child.status != "running" or child.id not in places:
                continue
            context = context_of(child.id, self._args.node, places[child.id])
            told[child.id] = child.ref, context
            if self._places_told.get(child.id) != told[child.id]:
                send_or_drop(child.ref, context)
        self._places_told = told

    def _stop(self, name: str, process: Ref | None) -> None:
        """Stop a role, once it has given its state if it has one to give."""
        identity = None if process is None else process.identity
        if process is not None and self._states.ask(name, process.identity):
            send_or_drop(process, SnapshotRequest(NAME, name))
        if self._is_late(name) or not self._states.is_awaited(name, identity):
            self._states.forget(name)
            log.info("role_stopping", role=name)
            cast(ROLE_SUPERVISOR, ("terminate_child", name))

    def _hurry(self, children: list[ChildEntry]) -> None:
        """End what takes too long to stop on a node that is about to go."""
        for name in laggards(children):
            process = whereis(name) if self._is_late(name) else None
            if process is not None:
                log.warning("role_hurried", role=name, role_pid=process.pid)
                process.exit("kill")

    def _is_late(self, name: str) -> bool:
        """Return whether a role should have ended by now."""
        now = clock.elapsed()
        since = self._unwanted_since.get(name, now)
        return is_late(since, until=self._hand_over_until, kill_at=self._kill_at, now=now)

    def _tell_core(self, children: list[ChildEntry]) -> None:
        """Tell the core server what is here, if that is new or was told long ago."""
        stamp = NO_STAMP if self._table is None else self._table.stamp
        here, now = roles_here(children, stamp, wall=clock.wall()), clock.monotonic()
        if self._told is not None:
            before, told_at = self._told
            is_same = (before.instances, before.stamp) == (here.instances, stamp)
            if is_same and now - told_at < _STATE_INTERVAL:
                return
        if cast_or_drop(CORE_SERVER, ("state", here)):
            self._told = here, now

    def _tell(self, children: list[ChildEntry]) -> None:
        """Log what is new since the last look; a first look finds nothing new."""
        before, self._last_look = self._last_look, {child.id: child for child in children}
        for item in news(before, children) if before is not None else []:
            match item:
                case RoleStarted(role, pid):
                    log.info("role_started", role=role, role_pid=pid)
                case RoleEnded(role, reason):
                    log.info("role_ended", role=role, reason=reason)

    def _status(self) -> list[dict[str, Any]]:
        children = {child.id: child for child in self._children() or []}
        return [
            role_status(role.name, role.instances, self._args.node.name, children.get(role.name))
            for role in self._args.roles
        ]
