"""
The mesh: the links of this node to all others. Performs what membership decides.

No policy here: whatever arrives becomes an event, every effect one act, and nothing waits.
"""

import random
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, assert_never

from beethoven import clock
from beethoven.cluster import membership_events as events
from beethoven.cluster.addresses import Address
from beethoven.cluster.dial import Answered, Dial, PortRefused, Result, Unanswered, Undialled
from beethoven.cluster.handshake import Established, Refused, SelfConnection
from beethoven.cluster.keyring import Keyring
from beethoven.cluster.link_messages import (
    LINK,
    AskAbout,
    Heartbeat,
    Introduction,
    Leave,
    Members,
    Vouch,
    heartbeat_of,
    introduction_of,
    member_to_record,
    record_to_member,
    vouch_for,
)
from beethoven.cluster.link_stream import LinkStream
from beethoven.cluster.member import Member
from beethoven.cluster.membership import Membership
from beethoven.cluster.messages import Hello, RefusalCode
from beethoven.cluster.quarrels import Quarrels
from beethoven.cluster.timing import Timing
from beethoven.cluster.wire import MessageTable, read_body
from beethoven.errors import WireError
from beethoven.log import get_log
from beethoven.runtime.poller import Poller

log = get_log("core_server")

# What one end says that has just been started may be late; a node that is well is not.
_SHORT_OF_TIME: Final = frozenset({RefusalCode.BUSY, RefusalCode.TIMEOUT})

Change = (
    events.NodeUp
    | events.MemberChanged
    | events.NodeSuspected
    | events.NodeRecovered
    | events.NodeDown
    | events.NodeLeft
)


@dataclass(slots=True, eq=False)
class _End:
    """
    This node's end of a link.

    Attributes:
        stream: The connection.
        hello: What the other end said in the handshake.
        dialled: The address that this node has dialled, if it has.
        deadline: When the other end must have introduced itself.
        number: The link's number, once it is one for membership.
        peer: Who is at the other end, from then on.
    """

    hello: Hello
    dialled: Address | None
    deadline: float
    stream: LinkStream | None = None
    number: int = 0
    peer: Member | None = None


class Mesh:
    """
    The links of one node.

    Args:
        own: This node.
        cluster: The name of its cluster.
        keyring: Its keys.
        timing: Its timers.
        poller: Watches the sockets.
        on_change: Told what becomes of other nodes, before anything that they say.
        on_link: Told of every link that has opened, also to a node that was a member already: its
            core server may be another one, which knows nothing.
        on_message: Told of the frames that are not about membership: from which node, and their
            fields.
        wake_at: Asked to call `tick` at a moment of `clock.elapsed`, or earlier.
    """

    def __init__(
        self,
        own: Member,
        cluster: str,
        keyring: Keyring,
        timing: Timing,
        poller: Poller,
        *,
        on_change: Callable[[Change], object],
        on_link: Callable[[str], object],
        on_message: Callable[[str, dict[str, Any]], object],
        wake_at: Callable[[float], object],
    ) -> None:
        self.own = own
        self._cluster, self._keyring, self._timing = cluster, keyring, timing
        self._poller = poller
        self._on_change, self._on_link = on_change, on_link
        self._on_message, self._wake_at = on_message, wake_at
        now = clock.elapsed()
        self.membership = Membership(own, timing, now=now, chance=random.random)
        self._quarrels = Quarrels()
        self._conflicts = Quarrels()
        self._dials: dict[Address, Dial] = {}
        # Links that membership knows, by number; and those whose other end is still to be named.
        self._ends: dict[int, _End] = {}
        self._nameless: set[_End] = set()
        self._last_number = 0
        self._events: deque[events.Event] = deque()
        self._is_pumping = False

    @property
    def is_dialling(self) -> bool:
        """Whether it is still open what comes of a dial, or of a link that was just accepted."""
        return bool(self._dials or self._nameless)

    @property
    def is_linked(self) -> bool:
        """Whether any link is open."""
        return any(end.stream is not None and end.stream.is_open for end in self._ends.values())

    @property
    def linked_addresses(self) -> frozenset[Address]:
        return frozenset(end.peer.address for end in self._ends.values() if end.peer is not None)

    def handle(self, event: events.Event) -> None:
        """Take an event."""
        self._events.append(event)
        if self._is_pumping:
            return
        self._is_pumping = True
        try:
            while self._events:
                now, event = clock.elapsed(), self._events.popleft()
                effects = self.membership.handle(event, now=now)
                if isinstance(event, events.LinkOpened):
                    self._introduce(event, effects)
                for effect in effects:
                    self._perform(effect)
                if isinstance(event, events.LinkOpened):
                    self._on_link(event.peer.node_id)
        finally:
            self._is_pumping = False
        self._wake_at(self.next_at())

    def accept(self, stream: socket.socket, established: Established) -> None:
        """Take a link that another node has opened."""
        self._open(stream, established, None)
        self._wake_at(self.next_at())

    def tick(self) -> None:
        """Note that time has passed. Everything that has arrived must have been read before."""
        now = clock.elapsed()
        for address, dial in list(self._dials.items()):
            # What comes of one dial may put an end to another, or another in its place.
            if self._dials.get(address) is dial and dial.next_at() <= now:
                dial.tick(now=now)
        for end in [end for end in self._nameless if end.deadline <= now]:
            self._lose(end, None)
        deadline = self.membership.next_deadline()
        if deadline is not None and deadline <= now:
            self.handle(events.Ticked())
        self._wake_at(self.next_at())

    def next_at(self) -> float:
        """Return when `tick` is due."""
        moments = [dial.next_at() for dial in self._dials.values()]
        moments += [end.deadline for end in self._nameless]
        if (deadline := self.membership.next_deadline()) is not None:
            moments.append(deadline)
        return min(moments, default=clock.elapsed() + self._timing.heartbeat)

    def send(self, node_id: str, table: MessageTable[Any], message: Any) -> None:
        """Send a message to one node; nothing happens if there is no link to it."""
        self._send_body(self.membership.link_to(node_id), table.encode(message))

    def broadcast(self, table: MessageTable[Any], message: Any) -> None:
        """Send a message to every node to which there is a link."""
        body = table.encode(message)
        for member in self.membership.members():
            self._send_body(self.membership.link_to(member.node_id), body)

    def close(self) -> None:
        """Close everything at once, in good order or not."""
        for dial in self._dials.values():
            dial.cancel()
        for end in (*self._ends.values(), *self._nameless):
            if end.stream is not None:
                end.stream.close()

    def _send_body(self, number: int | None, body: bytes) -> None:
        end = None if number is None else self._ends.get(number)
        if end is not None and end.stream is not None:
            end.stream.send(body)

    def _say(self, number: int, message: Any) -> None:
        self._send_body(number, LINK.encode(message))

    def _perform(self, effect: events.Effect) -> None:
        match effect:
            case events.Dial(address, timeout):
                self._dial(address, timeout)
            case events.SendHeartbeat(number, sent_at, echo):
                self._say(number, heartbeat_of(sent_at, echo))
            case events.SendMembers(number, members):
                self._say(number, Members(tuple(map(member_to_record, members))))
            case events.AskAbout(number, node_id):
                self._say(number, AskAbout(node_id))
            case events.Vouch(number, node_id, age):
                self._say(number, vouch_for(node_id, age))
            case events.AnnounceLeave(number):
                self._say(number, Leave())
            case events.CloseLink(number, reason):
                self._close_link(number, reason)
            case events.ReportLateness(lateness):
                log.warning("node_late", seconds=round(lateness, 1))
            case events.ReportConflict(other):
                if self._conflicts.is_news(other.address, other.name, now=clock.elapsed()):
                    log.error("name_taken", name=other.name, address=other.address)
            case _:
                self._on_change(effect)

    def _dial(self, address: Address, timeout: float) -> None:
        if (former := self._dials.pop(address, None)) is not None:
            former.cancel()
        dial = Dial(
            address,
            self.own,
            self._cluster,
            self._keyring,
            self._poller,
            timeout=timeout,
            on_result=self._dialled,
            wake_at=self._wake_at,
        )
        self._dials[address] = dial
        dial.begin()

    def _dialled(self, dial: Dial, result: Result) -> None:
        address = dial.address
        del self._dials[address]
        match result:
            case Answered(stream, established):
                self._quarrels.settle(address)
                self._open(stream, established, address)
                self._wake_at(self.next_at())
            case PortRefused():
                self.handle(events.DialRefused(address))
            case Unanswered() | Undialled():
                self.handle(events.DialTimedOut(address))
            case SelfConnection():
                self.handle(events.BeaconAnswered(address, self.own.node_id))
            case Refused(code) if code in _SHORT_OF_TIME:
                self.handle(events.DialTimedOut(address))
            case Refused(code, text):
                if self._quarrels.is_news(address, code, now=clock.elapsed()):
                    log.warning("node_refused", address=address, code=code, text=text)
                self.handle(events.DialRejected(address))
            case _:
                assert_never(result)

    def _open(
        self, stream: socket.socket, established: Established, dialled: Address | None
    ) -> None:
        """Begin to read from a link; it is one once the other end has introduced itself."""
        deadline = clock.elapsed() + self._timing.dial_timeout
        end = _End(established.peer, dialled, deadline)
        end.stream = LinkStream(
            stream,
            established.session,
            self._poller,
            on_body=lambda body: self._take(end, body),
            on_end=lambda problem: self._lose(end, problem),
        )
        self._nameless.add(end)
        if dialled is not None:
            end.stream.send(LINK.encode(introduction_of(self.own)))
        end.stream.begin(established.rest)

    def _take(self, end: _End, body: bytes) -> None:
        fields = read_body(body)
        message = LINK.from_wire(fields)
        if end.peer is None:
            self._introduced(end, message)
        elif message is None:
            self._on_message(end.peer.node_id, fields)
        elif (event := _event(end.number, message)) is not None:
            self.handle(event)

    def _introduced(self, end: _End, message: Any) -> None:
        """Take the first message of a link, which says who is there."""
        if not isinstance(message, Introduction):
            raise WireError("expected an introduction, got: another message")
        peer, hello = record_to_member(message), end.hello
        said = (peer.node_id, peer.name, str(peer.address), peer.incarnation)
        if said != (hello.node_id, hello.name, hello.address, hello.incarnation):
            raise WireError("expected the node of the handshake, got: another one")
        self._last_number += 1
        end.number, end.peer = self._last_number, peer
        self._nameless.discard(end)
        self._ends[end.number] = end
        self.handle(events.LinkOpened(end.number, peer, end.dialled))

    def _introduce(self, event: events.LinkOpened, effects: list[events.Effect]) -> None:
        """
        Say who is here to whoever has dialled this node, unless the link is not wanted.

        So the other end learns that it is not before it takes the link for one, and dials on in its
        own time.
        """
        is_refused = any(
            isinstance(each, events.CloseLink) and each.link == event.link for each in effects
        )
        if event.dialled is None and not is_refused:
            self._say(event.link, introduction_of(self.own))

    def _lose(self, end: _End, problem: WireError | None) -> None:
        """Note that a link has ended at the other end, or on its way."""
        if end.stream is not None:
            end.stream.close()
        if problem is not None:
            log.warning(
                "link_broken", node=end.hello.name, address=end.hello.address, cause=str(problem)
            )
        if end.peer is not None:
            if self._ends.pop(end.number, None) is not None:
                self.handle(events.LinkClosed(end.number))
            return
        self._nameless.discard(end)
        if end.dialled is not None:
            # Its beacon is well; its core server has not taken the link.
            self.handle(events.BeaconAnswered(end.dialled, end.hello.node_id))

    def _close_link(self, number: int, reason: events.CloseReason) -> None:
        end = self._ends.get(number)
        if end is None or end.stream is None:
            return
        if reason is not events.CloseReason.LEAVING:
            del self._ends[number]
            log.debug("link_closed", node=end.hello.name, reason=str(reason))
        end.stream.finish()


def _event(number: int, message: Any) -> events.Event | None:
    match message:
        case Heartbeat():
            return events.HeartbeatReceived(number, message.sent_at, message.echo)
        case Members(records):
            return events.MembersLearned(tuple(map(record_to_member, records)))
        case AskAbout(node_id):
            return events.AskedAbout(number, node_id)
        case Vouch(node_id, age):
            return events.Vouched(node_id, age)
        case Leave():
            return events.LeaveAnnounced(number)
    return None
