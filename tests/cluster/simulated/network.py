"""
Many memberships in one process, under virtual time, over a network that can be hurt.

A host has an address, and at most one node at a time. Links behave as TCP does: in order, what is
lost is sent again, what cannot pass waits until it can or the link is closed, and the kernel of a
host answers for a process that is gone. Everything random comes from one seed.

After every event of every node the invariants are checked, see `Listener` and `_check`.
"""

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from beethoven.cluster.addresses import Address
from beethoven.cluster.member import Cause, Member, Status
from beethoven.cluster.membership import Membership
from beethoven.cluster.membership_events import (
    AddressFound,
    AnnounceLeave,
    AskAbout,
    AskedAbout,
    BeaconAnswered,
    CloseLink,
    Dial,
    DialRefused,
    DialTimedOut,
    Effect,
    Event,
    HeartbeatReceived,
    LeaveAnnounced,
    LeaveRequested,
    LinkClosed,
    LinkOpened,
    MembersLearned,
    NodeDown,
    NodeLeft,
    NodeRecovered,
    NodeSuspected,
    NodeUp,
    SendHeartbeat,
    SendMembers,
    Ticked,
    Vouch,
    Vouched,
)
from beethoven.cluster.timing import DEFAULT, Timing

HELLO, WELCOME, CONFIRM, BUSY, CLOSE = "hello", "welcome", "confirm", "busy", "close"


class Listener:
    """What a subscriber of one core server has been told; fails on what it must never be told."""

    def __init__(self):
        self.shown: dict[str, Status] = {}
        self.story: list[tuple[float, str, str]] = []

    def hear(self, effect: Effect, now: float):
        match effect:
            case NodeUp(member):
                assert member.node_id not in self.shown, "up twice"
                self.shown[member.node_id] = Status.ALIVE
            case NodeSuspected(member):
                assert self.shown.get(member.node_id) is Status.ALIVE, "suspected out of turn"
                self.shown[member.node_id] = Status.SUSPECT
            case NodeRecovered(member):
                assert self.shown.get(member.node_id) is Status.SUSPECT, "recovered out of turn"
                self.shown[member.node_id] = Status.ALIVE
            case NodeDown(member) | NodeLeft(member):
                assert member.node_id in self.shown, "down twice"
                del self.shown[member.node_id]
            case _:
                return
        self.story.append((now, type(effect).__name__, member.node_id))


@dataclass(eq=False)
class Pipe:
    """One direction of a connection."""

    queue: deque[Any] = field(default_factory=deque)
    is_pumping: bool = False


@dataclass(eq=False)
class End:
    """One end of a connection; its link has a number once it is open."""

    host: "Host"
    node: Any = None
    number: int | None = None
    dialled: Address | None = None
    # Who answered a dial: what a core server says of its node it says over links of its own.
    answered: Member | None = None
    is_closed: bool = False
    other: "End" = field(init=False, repr=False)
    out: Pipe = field(default_factory=Pipe)


@dataclass(eq=False)
class Host:
    address: Address
    name: str
    is_powered: bool = True
    node: Any = None
    boots: int = 0


@dataclass(eq=False)
class Node:
    """A running root; its core server may be gone for a while."""

    host: Host
    member: Member
    core: Any = None
    listener: Listener = field(default_factory=Listener)
    is_paused: bool = False
    mail: deque[Any] = field(default_factory=deque)
    ends: dict[int, End] = field(default_factory=dict)
    alarm: float | None = None
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    pauses: list[list[float]] = field(default_factory=list)


class Network:
    """
    Hosts, their nodes, and what lies between them.

    Args:
        seed: Everything random follows from it.
        hosts: How many there are; none runs a node at first.
        timing: The timers of all nodes.
        delay: How long a message takes, at least and at most.
        loss: The part of messages that is lost and sent again.
    """

    def __init__(self, seed, hosts, *, timing: Timing = DEFAULT, delay=(0.0005, 0.02), loss=0.0):
        self.dice = random.Random(seed)
        self.timing = timing
        self.delay, self.loss = delay, loss
        self.now = 0.0
        self.hosts = [
            Host(Address(f"10.0.0.{index}", 33000), f"n{index}") for index in range(1, hosts + 1)
        ]
        self.by_address = {host.address: host for host in self.hosts}
        self.blocked: set[tuple[Host, Host]] = set()
        self.has_locator = True
        self.trouble: dict[frozenset[Host], float] = {}
        self.events = 0
        self.downs: list[tuple[float, Host, Host, Cause]] = []
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    # What a test does.

    def advance(self, seconds):
        end = self.now + seconds
        while self._heap and self._heap[0][0] <= end:
            self.now, _, action = heapq.heappop(self._heap)
            action()
        self.now = end

    def boot(self, host: Host):
        host.is_powered = True
        host.boots += 1
        node_id = f"{self.dice.getrandbits(64):016x}"
        member = Member(node_id, host.name, host.address, host.boots, joined_at=self.now)
        node = host.node = Node(host, member)
        self._start_core(node)

    def kill(self, host: Host):
        """Kill every process of a node; the kernel closes their sockets."""
        node, host.node = host.node, None
        if node is not None:
            for end in list(node.ends.values()):
                self._close(end)

    def cut_power(self, host: Host):
        """Stop a host without a word."""
        node, host.node, host.is_powered = host.node, None, False
        if node is not None:
            for end in node.ends.values():
                end.is_closed = True

    def leave(self, host: Host):
        if host.node is not None and host.node.core is not None and not host.node.is_paused:
            self._deliver(host.node, LeaveRequested())
            self.kill(host)

    def pause(self, host: Host):
        if host.node is not None and not host.node.is_paused:
            host.node.is_paused = True
            host.node.pauses.append([self.now, self.now])

    def resume(self, host: Host):
        node = host.node
        if node is None or not node.is_paused:
            return
        node.is_paused = False
        node.pauses[-1][1] = self.now
        self._note_trouble(host)
        reads_first = self.dice.random() < 0.5
        if not reads_first:
            self._ring(node)
        while node.mail and host.node is node:
            node.mail.popleft()()
        if host.node is node:
            self._ring(node)

    def lose_core(self, host: Host):
        """End the core server of a node; its beacon and its root live on."""
        node = host.node
        if node is not None and node.core is not None and not node.is_paused:
            node.core = None
            for end in list(node.ends.values()):
                self._close(end)

    def restore_core(self, host: Host):
        if host.node is not None and host.node.core is None:
            self._start_core(host.node)

    def cut(self, source: Host, target: Host):
        """Let nothing pass from one host to another; the way back is another matter."""
        self.blocked.add((source, target))

    def split(self, *islands):
        for left, right in itertools.permutations(islands, 2):
            self.blocked |= set(itertools.product(left, right))

    def heal(self):
        for pair in self.blocked:
            self.trouble[frozenset(pair)] = self.now
        self.blocked.clear()

    # What a test looks at.

    def running(self):
        return [host for host in self.hosts if host.node is not None]

    def view(self, host: Host) -> dict[str, Status]:
        """Return what the node of a host takes the others for, by name."""
        return {view.member.name: view.status for view in host.node.core.views()}

    def alive(self, host: Host) -> set[str]:
        return {view.member.node_id for view in host.node.core.views() if view.status == "alive"}

    def suspects(self, host: Host) -> set[str]:
        return {view.member.node_id for view in host.node.core.views() if view.status == "suspect"}

    def has_converged(self):
        up = {host.node.member.node_id for host in self.running()}
        return all(
            host.node.core is not None
            and self.alive(host) == up - {host.node.member.node_id}
            and not self.suspects(host)
            for host in self.running()
        )

    def until_converged(self, limit):
        """Advance until all views agree; return how long it took, `None` if longer than allowed."""
        began = self.now
        while not self.has_converged():
            if self.now - began > limit:
                return None
            self.advance(0.05)
        return self.now - began

    # How it works.

    def _at(self, moment, action):
        heapq.heappush(self._heap, (moment, next(self._numbers), action))

    def _latency(self):
        latency = self.dice.uniform(*self.delay)
        for attempt in range(3):
            if self.dice.random() >= self.loss:
                break
            latency += 0.2 * 2**attempt
        return latency

    def _note_trouble(self, host: Host):
        for other in self.hosts:
            self.trouble[frozenset((host, other))] = self.now

    def _start_core(self, node: Node):
        node.core = Membership(
            node.member, self.timing, now=self.now, chance=random.Random(self.dice.random()).random
        )
        node.listener = Listener()
        self._set_alarm(node)
        self._scan(node, node.core)

    def _scan(self, node: Node, core: Membership):
        """Stand in for the locator, which knows where to look, and looks for ever."""
        if node.core is not core or node.host.node is not node:
            return
        known = {member.address for member in core.members()} | {node.host.address}
        for host in self.hosts:
            if host.address not in known and self.has_locator:
                moment = self.now + self.dice.uniform(0, 0.5)
                self._at(moment, lambda host=host: self._find(node, core, host))
        pause = self.timing.heartbeat * (5 if core.members() else 2)
        self._at(self.now + pause, lambda: self._scan(node, core))

    def _find(self, node: Node, core: Membership, host: Host):
        is_cut = {(node.host, host), (host, node.host)} & self.blocked
        if node.core is core and not node.is_paused and host.node is not None and not is_cut:
            self._deliver(node, AddressFound(host.address))

    def _set_alarm(self, node: Node):
        deadline = node.core.next_deadline() if node.core is not None else None
        if deadline is None or (node.alarm is not None and node.alarm <= deadline):
            return
        node.alarm = deadline
        self._at(max(deadline, self.now), lambda: self._alarm(node, deadline))

    def _alarm(self, node: Node, deadline):
        if node.alarm == deadline and node.host.node is node and not node.is_paused:
            self._ring(node)

    def _ring(self, node: Node):
        node.alarm = None
        if node.core is None:
            return
        deadline = node.core.next_deadline()
        if deadline is not None and deadline <= self.now:
            self._deliver(node, Ticked())
        else:
            self._set_alarm(node)

    def _deliver(self, node: Node, event: Event):
        if node.core is None or node.host.node is not node:
            return
        self.events += 1
        effects = node.core.handle(event, now=self.now)
        for effect in effects:
            self._perform(node, effect)
        self._check(node)
        self._set_alarm(node)

    def _perform(self, node: Node, effect: Effect):
        match effect:
            case Dial(address, timeout):
                self._dial(node, address, timeout)
            case SendHeartbeat(link, sent_at, echo):
                self._send(node.ends[link], ("heartbeat", sent_at, echo))
            case SendMembers(link, members):
                self._send(node.ends[link], ("members", members))
            case AskAbout(link, node_id):
                self._send(node.ends[link], ("ask", node_id))
            case Vouch(link, node_id, age):
                self._send(node.ends[link], ("vouch", node_id, age))
            case AnnounceLeave(link):
                self._send(node.ends[link], ("leave",))
            case CloseLink(link):
                self._close(node.ends[link])
            case NodeDown(member, cause):
                node.listener.hear(effect, self.now)
                self._judge(node, member, cause)
            case _:
                node.listener.hear(effect, self.now)

    def _dial(self, node: Node, address: Address, timeout) -> End:
        assert address != node.host.address, "dialled itself"
        target = self.by_address[address]
        end, far = End(node.host, node, dialled=address), End(target)
        end.other, far.other = far, end
        self._send(end, (HELLO,))
        core, deadline = node.core, self.now + timeout

        def expire():
            if end.number is None and not end.is_closed:
                end.is_closed = True
                self._send(end, (CLOSE,))
                self._mail(node, core, DialTimedOut(address))

        self._at(deadline, expire)
        return end

    def _mail(self, node: Node, core: Membership | None, event: Event):
        """Deliver an event to the core server that it is meant for, when that can read it."""

        def deliver():
            if node.core is core:
                self._deliver(node, event)

        if node.is_paused:
            node.mail.append(deliver)
        else:
            deliver()

    def _send(self, end: End, payload):
        pipe = end.out
        pipe.queue.append((self.now + self._latency(), payload))
        if not pipe.is_pumping:
            pipe.is_pumping = True
            self._at(pipe.queue[0][0], lambda: self._pump(end))

    def _pump(self, end: End):
        pipe, target = end.out, end.other.host
        if (end.host, target) in self.blocked or not target.is_powered:
            if end.is_closed and len(pipe.queue) > 50:
                return
            self._at(self.now + self.dice.uniform(0.2, 0.6), lambda: self._pump(end))
            return
        _, payload = pipe.queue.popleft()
        self._arrive(end.other, payload)
        if pipe.queue:
            self._at(max(self.now, pipe.queue[0][0]), lambda: self._pump(end))
        else:
            pipe.is_pumping = False

    def _arrive(self, end: End, payload):
        """Take what has come to a host."""
        if payload[0] == HELLO:
            end.node = end.host.node
            if end.node is None or end.other.dialled != end.host.address:
                self._send(end, (CLOSE, "refused"))
                return
            end.answered = end.node.member
        node = end.node
        if end.is_closed or node is None or end.host.node is not node:
            if payload[0] != CLOSE:
                self._send(end, (CLOSE,))
            return
        if node.is_paused:
            node.mail.append(lambda: self._read(node, end, payload))
        else:
            self._read(node, end, payload)

    def _read(self, node: Node, end: End, payload):
        if end.is_closed or node.host.node is not node:
            return
        match payload:
            case ("hello",):
                self._send(end, (BUSY if node.core is None else WELCOME,))
            case ("welcome",):
                self._send(end, (CONFIRM,))
                self._open(node, end)
            case ("confirm",) if node.core is None or end.answered != node.member:
                self._close(end)
            case ("confirm",):
                self._open(node, end)
            case ("busy",):
                self._close(end)
                other = end.other.host.node
                if other is not None:
                    answer = BeaconAnswered(end.other.host.address, other.member.node_id)
                    self._deliver(node, answer)
            case ("close", *how):
                self._closed(node, end, bool(how))
            case _ if end.number is not None:
                self._deliver(node, self._event(end.number, payload))

    def _open(self, node: Node, end: End):
        end.number = next(node.numbers)
        node.ends[end.number] = end
        self._deliver(node, LinkOpened(end.number, end.other.node.member, end.dialled))

    def _closed(self, node: Node, end: End, was_refused):
        end.is_closed = True
        if end.number is not None:
            node.ends.pop(end.number, None)
            self._deliver(node, LinkClosed(end.number))
        elif end.dialled is not None:
            ended = DialRefused if was_refused else DialTimedOut
            self._deliver(node, ended(end.dialled))

    def _event(self, number, payload) -> Event:
        match payload:
            case ("heartbeat", sent_at, echo):
                return HeartbeatReceived(number, sent_at, echo)
            case ("members", members):
                return MembersLearned(members)
            case ("ask", node_id):
                return AskedAbout(number, node_id)
            case ("vouch", node_id, age):
                return Vouched(node_id, age)
        return LeaveAnnounced(number)

    def _close(self, end: End):
        end.is_closed = True
        if end.node is not None and end.number is not None:
            end.node.ends.pop(end.number, None)
        self._send(end, (CLOSE,))

    # What must hold.

    def _judge(self, node: Node, member: Member, cause: Cause):
        """Fail if a node is called down that was well and could be reached."""
        host = self.by_address[member.address]
        if cause is Cause.DUE:
            return  # it is not judged by its silence
        self.downs.append((self.now, node.host, host, cause))
        accused = host.node
        if accused is None or accused.member != member:
            return
        pair = frozenset((node.host, host))
        is_cut = {(node.host, host), (host, node.host)} & self.blocked
        if accused.is_paused or is_cut:
            return
        # Only the time counts in which the accuser listened.
        ended = self.trouble.get(pair, float("-inf"))
        listened = self.now - ended
        for begin, end in node.pauses:
            listened -= max(0.0, end - max(begin, ended))
        patience = self.timing.silence + 3 * self.timing.heartbeat
        assert listened <= patience, f"{node.host.name} called {host.name} down: {cause}"

    def _check(self, node: Node):
        """Fail if a view is not what was told, or shows two boots of one node."""
        views = node.core.views()
        shown = {
            view.member.node_id: view.status
            for view in views
            if view.status in {Status.ALIVE, Status.SUSPECT}
        }
        assert shown == node.listener.shown, "the view is not what was told"
        assert len({view.member.name for view in views}) == len(views), "two boots of one node"
        assert len({view.member.address for view in views}) == len(views), "two boots of one node"
        assert node.member.node_id not in {view.member.node_id for view in views}
        for peer in node.core._roll.peers():
            assert peer.links or peer.health.status is not Status.ALIVE, "alive without a link"
            assert not peer.links or peer.health.is_up, "a link to who is gone"
