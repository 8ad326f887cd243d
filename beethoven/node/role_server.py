"""
RoleServer: sees to it that this node runs what it should, and tells what it runs.

It may die at any moment: what runs goes on running, and its successor looks again.
"""

from dataclasses import dataclass
from typing import Any, Final

from beethoven.errors import CallError
from beethoven.log import get_log
from beethoven.node.role_process import child_spec
from beethoven.node.role_server_state import (
    RoleEnded,
    RoleStarted,
    StartRole,
    StopRole,
    news,
    reconcile,
    role_status,
)
from beethoven.node.settings import RoleSettings
from beethoven.runtime.exit_signals import Down
from beethoven.runtime.reference import call, cast
from beethoven.runtime.role import Caller, Role
from beethoven.supervision.listing import ChildEntry

NAME: Final = "beethoven.role_server"
ROLE_SUPERVISOR: Final = "beethoven.role_supervisor"

# How often it looks, in seconds: the bound within which a missing instance is noticed.
_INTERVAL: Final = 0.5
# While one starts, so that it is soon told that it runs.
_SHORT_INTERVAL: Final = 0.05
_ASK_TIMEOUT: Final = 2.0

log = get_log("role_server")


@dataclass(frozen=True, slots=True)
class RoleServerArgs:
    """What the role server is started with."""

    node: str
    roles: tuple[RoleSettings, ...]


class RoleServer(Role):
    """The process; what it decides is in `role_server_state`."""

    def init(self, args: RoleServerArgs) -> None:
        self._args = args
        self._wanted = {role.name: child_spec(role) for role in args.roles}
        self._is_supervised = True
        self._is_starting = False
        self._timer = 0
        self._has_monitor = False
        self._last_look: dict[str, ChildEntry] | None = None
        self.continue_with("look")

    def handle_continue(self, argument: Any) -> None:
        self._look()
        self.cancel_timer(self._timer)
        self._timer = self.send_after(_SHORT_INTERVAL if self._is_starting else _INTERVAL, "look")

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
            self._is_starting = True
            return None
        self._is_supervised = True
        if not self._has_monitor:
            self._has_monitor = True
            self.monitor(ROLE_SUPERVISOR)
        return list(children)

    def _look(self) -> None:
        children = self._children()
        if children is None:
            return
        self._tell(children)
        actions = reconcile(self._wanted, children)
        self._is_starting = bool(actions) or any(each.status == "starting" for each in children)
        for action in actions:
            match action:
                case StartRole(spec):
                    log.info("role_starting", role=spec.id)
                    cast(ROLE_SUPERVISOR, ("start_child", spec))
                case StopRole(name):
                    log.info("role_stopping", role=name)
                    cast(ROLE_SUPERVISOR, ("terminate_child", name))

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
            role_status(role.name, role.instances, self._args.node, children.get(role.name))
            for role in self._args.roles
        ]
