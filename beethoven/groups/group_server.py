"""
GroupServer: the scope of a node, which knows who is in which group.

It performs what its state decides, runs no user code, and waits for nobody. It may die at any
moment: its successor reads in the journal whom this node has in which groups, and asks the other
nodes for the rest.
"""

import pickle
from typing import Any, Final, assert_never

from beethoven import clock
from beethoven.cluster.identity import current
from beethoven.cluster.member import Member
from beethoven.groups.audience import Audience, GroupChanged
from beethoven.groups.courier import Courier
from beethoven.groups.events import (
    AskForNodes,
    Broadcast,
    Demonitor,
    Effect,
    Ended,
    Event,
    Heard,
    Join,
    Leave,
    Monitor,
    NodeLinked,
    NodesTold,
    Record,
    Send,
    Settled,
    Tell,
    Ticked,
    Unwatch,
    Watch,
)
from beethoven.groups.groups_state import PATIENCE, TICK, GroupsState
from beethoven.groups.journal import Journal
from beethoven.log import get_log
from beethoven.runtime import framing
from beethoven.runtime.exit_signals import Down
from beethoven.runtime.reason import ExitReason
from beethoven.runtime.reference import Ref, cast_or_drop
from beethoven.runtime.role import Caller, NoReply, Role

NAME: Final = "beethoven.groups"
CORE_SERVER: Final = "beethoven.core_server"

log = get_log("groups")


class GroupServer(Role):
    """
    The process.

    Calls that it answers:

    - `Join`, `Leave`, `Watch` and `Unwatch`: whether that has changed anything.
    - `("audience", group)` and `("which_groups",)`, both as soon as the state is ready.
    - `("local_members", group)`.

    Casts that it takes:

    - `("deliver", group, payload)`: hand a message, which it does not open, to the members here.
    - `("nodes", members)`, `("linked", node_id)`, `("heard", node_id, message)`: from the core.
    """

    def init(self, own: Member) -> None:
        self._own = current(self.ref.folder, own)
        self._state = GroupsState(self.ref.identity)
        self._journal = Journal(self.ref.folder)
        self._courier = Courier(self.ref.folder, self._process.poller)
        self._monitors: dict[str, int] = {}
        self._waiting: list[tuple[Any, Caller]] = []
        self._perform(self._state.restore(self._journal.read()))
        self._tidy()
        cast_or_drop(CORE_SERVER, ("groups_up",))
        self.send_after(PATIENCE, "settled")
        self.send_after(TICK, "tick")

    def terminate(self, reason: ExitReason) -> None:
        self._courier.close()
        self._journal.close()

    def handle_call(self, request: Any, caller: Caller) -> Any:
        match request:
            case Join() | Leave() | Watch() | Unwatch():
                self._handle(request)
                return self._state.result(request.number)
            case ("local_members", str(group)):
                return self._state.local_members(group)
            case ("audience", str()) | ("which_groups",):
                self._waiting.append((request, caller))
                self._answer()
                return NoReply
        caller.client.refuse(caller.number, f"the groups of a node know no {request!r}")
        return NoReply

    def handle_cast(self, request: Any) -> None:
        match request:
            case ("deliver", str(group), bytes(payload)):
                self._deliver(group, payload)
            case ("nodes", tuple(nodes)):
                self._handle(NodesTold(nodes))
            case ("linked", str(node_id)):
                self._handle(NodeLinked(node_id))
            case ("heard", str(node_id), message):
                self._handle(Heard(node_id, message))
            case _:
                log.warning(
                    "unexpected_message", role=type(self).__qualname__, message=repr(request)
                )

    def handle_info(self, message: Any) -> None:
        match message:
            case Down(ref=ref):
                self._monitors.pop(ref.identity, None)
                self._handle(Ended(ref.identity))
            case "tick":
                self._handle(Ticked())
                self._tidy()
                self.send_after(TICK, "tick")
            case "settled":
                self._handle(Settled())
            case _:
                super().handle_info(message)

    def _handle(self, event: Event) -> None:
        self._perform(self._state.handle(event, now=clock.elapsed()))
        self._answer()

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Record(wish):
                    self._journal.add(wish)
                case Monitor(ref):
                    self._monitors[ref.identity] = self.monitor(ref)
                case Demonitor(identity):
                    self.demonitor(self._monitors.pop(identity))
                case Send(node_id, message):
                    cast_or_drop(CORE_SERVER, ("groups", node_id, message))
                case Broadcast(message):
                    cast_or_drop(CORE_SERVER, ("groups", "", message))
                case Tell(ref, group):
                    self._tell(ref, group)
                case AskForNodes():
                    cast_or_drop(CORE_SERVER, ("groups_up",))
                case _:
                    assert_never(effect)

    def _answer(self) -> None:
        """Answer those who wait until this process knows something, if it does."""
        if not self._waiting or not self._state.is_ready:
            return
        waiting, self._waiting = self._waiting, []
        for request, caller in waiting:
            match request:
                case ("audience", group):
                    self.reply(caller, self._audience(group))
                case _:
                    self.reply(caller, self._state.groups())

    def _audience(self, group: str) -> Audience:
        state = self._state
        return Audience(self._own, state.local_members(group), state.distant_members(group))

    def _deliver(self, group: str, payload: bytes) -> None:
        frame = framing.pack(framing.INFO, 0, payload)
        for identity in dict.fromkeys(ref.identity for ref in self._state.local_members(group)):
            self._courier.post(identity, frame)

    def _tell(self, ref: Ref, group: str) -> None:
        news = GroupChanged(group, self._audience(group).members())
        self._courier.post(ref.identity, framing.pack(framing.INFO, 0, pickle.dumps(news, 5)))

    def _tidy(self) -> None:
        """Make the journal small again, if it has grown for nothing."""
        if self._journal.is_overgrown(self._state.size):
            self._journal.replace(self._state.wishes())
