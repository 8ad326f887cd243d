"""
Theory of operation of membership: whom one node takes for a member of its cluster.

Every node keeps a link to every other. Whoever learns of an address (from the locator, or from
another node) dials it; an open link makes its other end a member, and each end then tells the other
whom it knows, so that a new node soon has a link to all. A node is a member as long as it is heard.

- A link closes: the node is suspect, and is dialled at once. If its port refuses it is down, since
  the root of a node owns that port as long as it lives. If it answers it is well again.
- Silence: after half of `silence` the node is suspect; others are asked whether they hear it, and
  it is dialled anew. After all of `silence`, heard by nobody, it is down.
- Down is not for ever: the node is dialled on, often at first, then rarely. So islands grow
  together again without anybody's help.
- A later boot of the same name or address takes the place of the former without a wait.
- A node that says that it leaves is gone at once, and not dialled any more.
- A node whose machine is known to be about to go is not waited for: once it is suspect it is down.
- A node may say something else of itself with every link that it opens, such as another address.

Late ticks are doubted, not believed: a node that was frozen has heard nothing because it did not
listen. All clocks of silence are put forward by the lateness, and its mail is read first.

Events come in, effects go out, time is a number: nothing here waits. `failure_detector` has the
table of statuses, `roll` the nodes, `dialler` the pauses, `links` the choice between two links.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from beethoven.cluster.addresses import Address
from beethoven.cluster.failure_detector import Sign
from beethoven.cluster.links import Link
from beethoven.cluster.member import Member, MemberView, Status
from beethoven.cluster.membership_events import (
    AddressFound,
    AnnounceLeave,
    AskAbout,
    AskedAbout,
    BeaconAnswered,
    CloseLink,
    CloseReason,
    Dial,
    DialRefused,
    DialRejected,
    DialTimedOut,
    Due,
    Effect,
    Event,
    HeartbeatReceived,
    LeaveAnnounced,
    LeaveRequested,
    LinkClosed,
    LinkOpened,
    MembersLearned,
    ReportConflict,
    ReportLateness,
    SendHeartbeat,
    SendMembers,
    Ticked,
    Vouch,
    Vouched,
)
from beethoven.cluster.roll import MOST_GONE, Peer, Roll
from beethoven.cluster.timing import Timing

# How many others are asked about a node that we do not hear.
_WITNESSES: Final = 3
# What others tell of is dialled so many at a time: a member that invents nodes must not keep this
# one busy. What does not fit is told again.
_MOST_DIALLED: Final = 256


@dataclass(frozen=True, slots=True)
class MembershipStatistics:
    """How many other nodes there are of each status, and how many addresses are dialled."""

    alive: int
    suspect: int
    down: int
    left: int
    dialled: int


class Membership:
    """
    What one node decides about all others.

    Args:
        own: Who this node is.
        timing: The timers; the same at all nodes.
        now: Monotonic time.
        chance: Gives a random number from 0 to 1, to scatter what should not happen at once.
        most_gone: How many nodes that are gone are remembered.
    """

    def __init__(
        self,
        own: Member,
        timing: Timing,
        *,
        now: float,
        chance: Callable[[], float],
        most_gone: int = MOST_GONE,
    ) -> None:
        self.own = own
        self.timing = timing
        self._chance = chance
        self._roll = Roll(own, timing, chance=chance, most_gone=most_gone)
        self._own_addresses = {own.address}
        self._beat_at = now
        self._gossip_at = now + timing.gossip
        self._beats = 0
        self._has_left = False
        self._due: frozenset[str] = frozenset()

    def handle(self, event: Event, *, now: float) -> list[Effect]:
        """
        Return what to do about an event, in order.

        Args:
            event: What happened. One about a link that is closed is ignored.
            now: Monotonic time in seconds, of a clock that goes on while the machine sleeps. Never
                decreases from one call to the next.
        """
        if self._has_left:
            if isinstance(event, LinkOpened):
                return [CloseLink(event.link, CloseReason.LEAVING)]
            return []
        self._take(event, now)
        if not self._has_left:
            self._give_up_the_due(now)
            timeout = self.timing.dial_timeout
            for address in self._roll.dialler.due(now=now):
                self._roll.emit(Dial(address, timeout))
        return self._roll.drain()

    def next_deadline(self) -> float | None:
        """Return when to deliver `Ticked`, or `None` after leaving."""
        if self._has_left:
            return None
        moments = [peer.health.next_judgement(self.timing) for peer in self._roll.peers()]
        moments += [peer.health.due_at(self.timing) for peer in self._due_peers()]
        moments += [self._roll.dialler.next_at(), self._beat_at]
        return min(each for each in moments if each is not None)

    def views(self) -> tuple[MemberView, ...]:
        """Return what is known of every other node, by id; also of those that are gone."""
        return self._roll.views()

    def members(self) -> tuple[Member, ...]:
        """Return the other nodes that are alive or suspect, by id."""
        return self._roll.members()

    def link_to(self, node_id: str) -> int | None:
        """Return the number of the link over which a node is spoken to, or `None`."""
        peer = self._roll.find(node_id)
        return self._roll.main_link(peer).number if peer is not None and peer.links else None

    def statistics(self) -> MembershipStatistics:
        """Return the counts."""
        statuses = [peer.health.status for peer in self._roll.peers()]
        counts = {str(status): statuses.count(status) for status in Status}
        return MembershipStatistics(**counts, dialled=len(self._roll.dialler))

    def __repr__(self) -> str:
        statuses = {view.member.name: str(view.status) for view in self.views()}
        return f"<Membership of {self.own.name!r} {statuses}>"

    def _take(self, event: Event, now: float) -> None:
        match event:
            case LinkOpened():
                self._link_opened(event, now)
            case MembersLearned(members):
                for member in members:
                    self._learned(member, now)
            case AddressFound(address):
                self._found(address, now)
            case DialRefused(address):
                self._refused(address, now)
            case DialTimedOut(address):
                self._roll.dialler.failed(address, now=now)
            case DialRejected(address):
                self._roll.dialler.failed(address, now=now, is_hopeless=True)
            case BeaconAnswered(address, node_id):
                self._beacon_answered(address, node_id, now)
            case Vouched(node_id, age):
                self._vouched(node_id, now - max(0.0, age), now)
            case Due(machines):
                self._due = machines - {""}
            case LeaveRequested():
                self._leave()
            case Ticked():
                self._tick(now)
            case _:
                peer = self._roll.by_link(event.link)
                if peer is not None:
                    self._take_from(peer, event, now)

    def _take_from(
        self,
        peer: Peer,
        event: LinkClosed | HeartbeatReceived | AskedAbout | LeaveAnnounced,
        now: float,
    ) -> None:
        """Take what came over the link of a node."""
        if isinstance(event, LinkClosed):
            self._roll.unlink(peer, event.link, now=now)
            return
        peer.spoke_at = now
        self._roll.sign(peer, Sign.HEARD, now=now)
        match event:
            case HeartbeatReceived(_, sent_at, echo):
                peer.last_sent_at = sent_at
                if echo is not None and echo <= now:
                    peer.acknowledged_at = max(echo, peer.acknowledged_at or echo)
            case AskedAbout(link, node_id):
                self._witness(link, node_id, now)
            case LeaveAnnounced():
                self._roll.sign(peer, Sign.LEAVING, now=now)

    def _link_opened(self, event: LinkOpened, now: float) -> None:
        peer, dialled = event.peer, event.dialled
        refusal = self._refusal(peer, dialled)
        if dialled is not None:
            self._dial_ended(dialled, now)
        if refusal is not None:
            self._roll.emit(CloseLink(event.link, refusal))
            if refusal is CloseReason.SELF and dialled is not None:
                self._own_addresses.add(dialled)
            elif refusal is CloseReason.TAKEN:
                self._roll.emit(ReportConflict(peer))
            return
        for rival in self._roll.rivals(peer):
            self._roll.replace(rival)
        link = Link(event.link, dialled is not None, now)
        known = self._roll.link(peer, link, now=now)
        if self._roll.main_link(known) == link:
            self._roll.emit(SendHeartbeat(link.number, now, known.last_sent_at))
            self._roll.emit(SendMembers(link.number, self._others(peer)))

    def _dial_ended(self, dialled: Address, now: float) -> None:
        """Dial an address no more, unless the node that we know there is still not reached."""
        peer = self._roll.at(dialled)
        if peer is None or peer.health.status in {Status.ALIVE, Status.LEFT}:
            self._roll.dialler.forget(dialled)
        else:
            self._roll.dialler.failed(dialled, now=now)

    def _refusal(self, peer: Member, dialled: Address | None) -> CloseReason | None:
        """Return why a link to a node is not wanted, or `None` if it is."""
        if peer.node_id == self.own.node_id:
            return CloseReason.SELF
        if peer.succeeds(self.own):
            return CloseReason.TAKEN
        if not all(_gives_way(rival, peer, dialled) for rival in self._roll.rivals(peer)):
            return CloseReason.OUTDATED
        known = self._roll.find(peer.node_id)
        if known is not None and known.health.status is Status.LEFT:
            return CloseReason.GONE
        return None

    def _others(self, peer: Member) -> tuple[Member, ...]:
        return tuple(each for each in self._roll.members() if each.node_id != peer.node_id)

    def _learned(self, member: Member, now: float) -> None:
        """Dial a node that another one knows, unless we know better."""
        is_own = member.node_id == self.own.node_id or member.succeeds(self.own)
        known = self._roll.find(member.node_id)
        if is_own or (known is not None and not _has_moved(known, member)):
            return
        rivals = self._roll.rivals(member)
        has_room = len(self._roll.dialler) < _MOST_DIALLED
        if has_room and all(rival.member.incarnation < member.incarnation for rival in rivals):
            self._roll.dialler.want(member.address, now=now)

    def _found(self, address: Address, now: float) -> None:
        peer = self._roll.at(address)
        is_linked = peer is not None and bool(peer.links)
        if address not in self._own_addresses and not is_linked:
            self._roll.dialler.want(address, now=now, at_once=True)

    def _refused(self, address: Address, now: float) -> None:
        self._roll.dialler.failed(address, now=now)
        peer = self._roll.at(address)
        if peer is not None and not peer.links:
            self._roll.sign(peer, Sign.REFUSED, now=now)

    def _beacon_answered(self, address: Address, node_id: str, now: float) -> None:
        if node_id == self.own.node_id:
            self._own_addresses.add(address)
            self._roll.dialler.forget(address)
            return
        self._roll.dialler.failed(address, now=now)
        self._vouched(node_id, now, now)

    def _vouched(self, node_id: str, heard_at: float, now: float) -> None:
        peer = self._roll.find(node_id)
        if peer is not None:
            self._roll.sign(peer, Sign.VOUCHED, now=now, vouched_at=heard_at)

    def _give_up_the_due(self, now: float) -> None:
        for peer in self._due_peers():
            moment = peer.health.due_at(self.timing)
            if moment is not None and now >= moment:
                self._roll.sign(peer, Sign.DUE, now=now)

    def _due_peers(self) -> list[Peer]:
        if not self._due:
            return []
        return [each for each in self._roll.peers() if each.member.machine in self._due]

    def _witness(self, link: int, node_id: str, now: float) -> None:
        """Say when we heard a node ourselves, if it was of late."""
        peer = self._roll.find(node_id)
        if peer is not None and peer.links and now - peer.spoke_at < self.timing.suspicion:
            self._roll.emit(Vouch(link, node_id, now - peer.spoke_at))

    def _leave(self) -> None:
        for peer in self._roll.linked():
            number = self._roll.main_link(peer).number
            self._roll.emit(AnnounceLeave(number))
            for link in peer.links:
                self._roll.emit(CloseLink(link.number, CloseReason.LEAVING))
        self._has_left = True

    def _tick(self, now: float) -> None:
        lateness = now - (self.next_deadline() or now)
        if lateness > self.timing.heartbeat:
            for peer in self._roll.peers():
                peer.health = peer.health.extended(lateness, now=now)
            self._roll.emit(ReportLateness(lateness))
        for peer in self._roll.peers():
            sign = peer.health.judge(self.timing, now=now)
            if sign is not None:
                self._roll.sign(peer, sign, now=now)
        if now >= self._beat_at:
            self._beat(now)

    def _beat(self, now: float) -> None:
        self._beat_at += self.timing.heartbeat
        if self._beat_at <= now:
            self._beat_at = now + self.timing.heartbeat
        self._beats += 1
        for peer in self._roll.linked():
            self._roll.prune_links(peer, now=now)
            number = self._roll.main_link(peer).number
            self._roll.emit(SendHeartbeat(number, now, peer.last_sent_at))
        self._ask_about_suspects()
        self._gossip(now)
        for address in self._roll.dialler.stale(now=now):
            if self._roll.at(address) is None:
                self._roll.dialler.forget(address)  # hearsay, and it never answered

    def _ask_about_suspects(self) -> None:
        peers = self._roll.peers()
        well = [peer for peer in peers if peer.health.status is Status.ALIVE]
        first = self._beats % len(well) if well else 0
        witnesses = (well[first:] + well[:first])[:_WITNESSES]
        for suspect in peers:
            if suspect.health.status is Status.SUSPECT:
                for witness in witnesses:
                    number = self._roll.main_link(witness).number
                    self._roll.emit(AskAbout(number, suspect.member.node_id))

    def _gossip(self, now: float) -> None:
        """Tell one of the others whom we know, in case it has missed somebody."""
        linked = self._roll.linked()
        if now < self._gossip_at or not linked:
            return
        self._gossip_at = now + self.timing.gossip
        peer = linked[min(int(self._chance() * len(linked)), len(linked) - 1)]
        number = self._roll.main_link(peer).number
        self._roll.emit(SendMembers(number, self._others(peer.member)))


def _has_moved(known: Peer, told: Member) -> bool:
    """Return whether a node that cannot be reached may be where another one says that it is."""
    is_lost = known.health.status in {Status.SUSPECT, Status.DOWN}
    return is_lost and told.address != known.member.address


def _gives_way(known: Peer, to: Member, dialled: Address | None) -> bool:
    """
    Return whether another boot takes the place of a known one of the same name or address.

    The newer one does. An older one does too if the known is gone, for instance because the clock
    of a machine was put back, and if it answered where the known should have: one port has one
    owner.
    """
    if not known.health.is_up or to.incarnation > known.member.incarnation:
        return True
    return not known.links and dialled == known.member.address
