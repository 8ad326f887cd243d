"""
The roll: all other nodes that one node knows, with their links and what became of them.

Turns each change of a status into effects. Whose signs they are, membership decides.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from beethoven.cluster.addresses import Address
from beethoven.cluster.dialler import Dialler
from beethoven.cluster.failure_detector import Health, Sign
from beethoven.cluster.links import Link, keep
from beethoven.cluster.member import Cause, Member, MemberView, Status
from beethoven.cluster.membership_events import (
    CloseLink,
    CloseReason,
    Effect,
    MemberChanged,
    NodeDown,
    NodeLeft,
    NodeRecovered,
    NodeSuspected,
    NodeUp,
)
from beethoven.cluster.timing import Timing

# Nodes that are down or have left and are remembered; beyond it the longest gone is forgotten.
MOST_GONE: Final = 256


@dataclass(slots=True)
class Peer:
    """
    Another node.

    Attributes:
        member: Who it is.
        health: What is known of its life.
        spoke_at: When the last message came over a link of ours, monotonic.
        links: The open links to it.
        last_sent_at: What its last heartbeat said of its time.
        acknowledged_at: When we sent the latest heartbeat that it is known to have received.
    """

    # Invariant: health.status is ALIVE implies links; it is DOWN or LEFT implies no links
    member: Member
    health: Health
    spoke_at: float
    links: tuple[Link, ...] = ()
    last_sent_at: float | None = None
    acknowledged_at: float | None = None


class Roll:
    """
    The other nodes.

    Args:
        own: Who this node is.
        timing: The timers.
        chance: Gives a random number from 0 to 1.
        most_gone: How many nodes that are gone are remembered.
    """

    def __init__(
        self,
        own: Member,
        timing: Timing,
        *,
        chance: Callable[[], float],
        most_gone: int = MOST_GONE,
    ) -> None:
        self.dialler = Dialler(timing, chance)
        self._own = own
        self._most_gone = most_gone
        self._simultaneous = 2 * timing.dial_timeout
        self._peers: dict[str, Peer] = {}
        self._effects: list[Effect] = []

    def peers(self) -> list[Peer]:
        """Return all, those that are gone too, in a list of its own."""
        return list(self._peers.values())

    def linked(self) -> list[Peer]:
        """Return those to which a link is open."""
        return [peer for peer in self._peers.values() if peer.links]

    def members(self) -> tuple[Member, ...]:
        """Return those that are alive or suspect, by id."""
        up = [peer.member for peer in self._peers.values() if peer.health.is_up]
        return tuple(sorted(up, key=lambda member: member.node_id))

    def views(self) -> tuple[MemberView, ...]:
        """Return what is known of each, by id."""
        return tuple(
            MemberView(
                peer.member,
                peer.health.status,
                peer.health.since,
                peer.health.cause,
                peer.spoke_at,
                peer.acknowledged_at,
            )
            for _, peer in sorted(self._peers.items())
        )

    def find(self, node_id: str) -> Peer | None:
        """Return the node of that id, if it is known."""
        return self._peers.get(node_id)

    def by_link(self, number: int) -> Peer | None:
        """Return the node to which that link is open, if there is one."""
        for peer in self._peers.values():
            if any(link.number == number for link in peer.links):
                return peer
        return None

    def at(self, address: Address) -> Peer | None:
        """Return the node that goes by that address, if there is one."""
        for peer in self._peers.values():
            if peer.member.address == address:
                return peer
        return None

    def rivals(self, member: Member) -> list[Peer]:
        """Return the nodes that go by the same name or address."""
        return [peer for peer in self._peers.values() if member.succeeds(peer.member)]

    def emit(self, effect: Effect) -> None:
        """Have something done."""
        self._effects.append(effect)

    def drain(self) -> list[Effect]:
        """Remove and return what is to be done, in order."""
        effects, self._effects = self._effects, []
        return effects

    def link(self, member: Member, link: Link, *, now: float) -> Peer:
        """Note that a link to a node was opened, and return the node."""
        peer = self._peers.get(member.node_id)
        if peer is None:
            peer = Peer(member, Health.first(now=now), now, (link,))
            self._peers[member.node_id] = peer
            self.emit(NodeUp(member))
            self._pursue(peer, now)
        else:
            self.dialler.forget(peer.member.address)
            if peer.member != member and peer.health.is_up:
                self.emit(MemberChanged(member))
            peer.member, peer.spoke_at = member, now
            peer.links = (*peer.links, link)
            self.sign(peer, Sign.LINKED, now=now)
            self._pursue(peer, now)
        self.prune_links(peer, now=now)
        return peer

    def unlink(self, peer: Peer, number: int, *, now: float) -> None:
        """Note that a link to a node has closed."""
        peer.links = tuple(link for link in peer.links if link.number != number)
        if not peer.links:
            self.sign(peer, Sign.UNLINKED, now=now)
            self._pursue(peer, now)

    def main_link(self, peer: Peer) -> Link:
        """Return the link over which a node is spoken to."""
        wins = self._own.node_id < peer.member.node_id
        return keep(peer.links, dials_win=wins, simultaneous=self._simultaneous)

    def prune_links(self, peer: Peer, *, now: float) -> None:
        """Close the links that are not kept, unless the other end is about to."""
        kept = self.main_link(peer)
        for link in peer.links:
            apart = max(abs(link.opened_at - kept.opened_at), now - link.opened_at)
            is_theirs = not link.is_dialled and apart <= self._simultaneous
            if link is not kept and not is_theirs:
                peer.links = tuple(each for each in peer.links if each is not link)
                self.emit(CloseLink(link.number, CloseReason.SURPLUS))

    def sign(self, peer: Peer, sign: Sign, *, now: float, vouched_at: float = 0.0) -> None:
        """Take a sign of a node's life or death, and do what follows."""
        before = peer.health.status
        peer.health = peer.health.after(sign, now=now, vouched_at=vouched_at)
        after = peer.health.status
        if after is before:
            return
        match before, after:
            case Status.SUSPECT, Status.ALIVE:
                self.emit(NodeRecovered(peer.member))
            case _, Status.ALIVE:
                self.emit(NodeUp(peer.member))
            case _, Status.SUSPECT:
                self.emit(NodeSuspected(peer.member, peer.health.cause or Cause.QUIET))
            case _, Status.DOWN:
                self.emit(NodeDown(peer.member, peer.health.cause or Cause.SILENT))
            case ((Status.ALIVE | Status.SUSPECT), Status.LEFT):
                self.emit(NodeLeft(peer.member))
        self._pursue(peer, now)
        if not peer.health.is_up:
            self._close(peer, CloseReason.GONE)
            self._forget_longest_gone()

    def replace(self, peer: Peer) -> None:
        """Take a node off the roll, because a later boot of it takes its place."""
        if peer.health.is_up:
            self.emit(NodeDown(peer.member, Cause.REPLACED))
        self._close(peer, CloseReason.OUTDATED)
        self._forget(peer)

    def _pursue(self, peer: Peer, now: float) -> None:
        """Dial a node if, and only if, that could bring it back."""
        if peer.health.status in {Status.SUSPECT, Status.DOWN}:
            at_once = peer.health.status is Status.SUSPECT
            self.dialler.want(peer.member.address, now=now, at_once=at_once)
        else:
            self.dialler.forget(peer.member.address)

    def _close(self, peer: Peer, reason: CloseReason) -> None:
        for link in peer.links:
            self.emit(CloseLink(link.number, reason))
        peer.links = ()

    def _forget_longest_gone(self) -> None:
        gone = [peer for peer in self._peers.values() if not peer.health.is_up]
        if len(gone) > self._most_gone:
            self._forget(min(gone, key=lambda peer: peer.health.since))

    def _forget(self, peer: Peer) -> None:
        del self._peers[peer.member.node_id]
        self.dialler.forget(peer.member.address)
