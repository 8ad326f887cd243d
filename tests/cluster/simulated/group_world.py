"""
A world of scopes: nodes whose processes join and leave groups, and everything between that fails.

Messages of one link keep their order, as on a real one. A message is lost if its link closes before
it arrives, if a core server or the scope on its way does not live, or by chance.
"""

import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

from beethoven.cluster.addresses import Address
from beethoven.cluster.member import Member
from beethoven.groups import events
from beethoven.groups.groups_state import PATIENCE, TICK, GroupsState
from beethoven.groups.messages import GroupsMessage
from beethoven.runtime.reference import Ref

SILENCE = 3.0
DELAY = (0.001, 0.05)


class GroupNode:
    """One node: its processes, its core server and its scope."""

    def __init__(self, number: int) -> None:
        self.member = Member(f"n{number}", f"node{number}", Address("127.0.0.1", 1 + number), 1)
        self.joined: Counter[tuple[str, str]] = Counter()
        self.watching: set[tuple[str, str]] = set()
        self.seen: dict[tuple[str, str], Counter[tuple[str, str]]] = {}
        self.living: dict[str, Ref] = {}
        self.monitored: set[str] = set()
        self.journal: list[events.Wish] = []
        self.scope: GroupsState | None = None
        self.scopes = self.births = self.wishes = 0
        self.has_core = True
        self.knows: set[str] = set()

    @property
    def node_id(self) -> str:
        return self.member.node_id

    def members(self, group: str) -> Counter[tuple[str, str]]:
        """Return whom the scope names: node and identity of each."""
        assert self.scope is not None
        found = Counter((self.node_id, ref.identity) for ref in self.scope.local_members(group))
        for node, members in self.scope.distant_members(group):
            found.update((node.node_id, each) for each in members)
        return found


class GroupWorld:
    """Some nodes, all linked at first."""

    def __init__(self, seed: int, count: int) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.loss, self.mishap = 0.0, 0.2
        self._agenda: list[tuple[float, int, Callable[[], object]]] = []
        self._count = 0
        self._arrives: dict[tuple[str, str], float] = {}
        self._links: dict[frozenset[str], int] = {}
        self.islands: dict[str, int] = {}
        self.nodes = [GroupNode(number) for number in range(count)]
        self._by_id = {each.node_id: each for each in self.nodes}
        for node in self.nodes:
            self.start_scope(node)
            self._tick(node)
        self.split([self.nodes])

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (self.now + seconds, self._count, act))

    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while self._agenda and self._agenda[0][0] <= until:
            self.now, _, act = heapq.heappop(self._agenda)
            act()
            self._check()
        self.now = until

    def split(self, islands: Iterable[Iterable[GroupNode]]) -> None:
        """Cut all links between islands, and open those within."""
        self.islands = {
            node.node_id: number for number, island in enumerate(islands) for node in island
        }
        for one in self.nodes:
            for other in self.nodes:
                if one.node_id < other.node_id:
                    self._cut_or_link(one, other)

    def flap(self, one: GroupNode, other: GroupNode) -> None:
        """Close a link, and open it again at once."""
        if self._linked(one, other):
            self._close(one, other)
            self.after(0.1, partial(self._open, one, other))

    def kill_core(self, node: GroupNode) -> None:
        if not node.has_core:
            return
        node.has_core = False
        for other in self.nodes:
            self._close(node, other)
        self.after(self.random.uniform(0.05, 0.5), partial(self._restore_core, node))

    def kill_scope(self, node: GroupNode) -> None:
        if node.scope is not None:
            node.scope = None
            self.after(self.random.uniform(0.01, 0.3), partial(self.start_scope, node))

    def start_scope(self, node: GroupNode) -> None:
        node.scopes += 1
        node.monitored = set()
        node.scope = GroupsState(f"{node.node_id}-scope-{node.scopes}")
        self._perform(node, node.scope.restore(list(node.journal)))
        self._perform(node, [events.AskForNodes()])
        self.after(PATIENCE, partial(self._settle, node, node.scope))

    def born(self, node: GroupNode) -> Ref:
        node.births += 1
        ref = Ref(f"{node.node_id}-{node.births}", "/tree", 100 + node.births)
        node.living[ref.identity] = ref
        return ref

    def die(self, node: GroupNode, ref: Ref) -> None:
        """End a process; it is heard of as soon as there is somebody to hear it."""
        node.living.pop(ref.identity, None)
        for each in [key for key in node.joined if key[1] == ref.identity]:
            del node.joined[each]
        node.watching = {key for key in node.watching if key[1] != ref.identity}
        if node.scope is not None and ref.identity in node.monitored:
            self._give(node, events.Ended(ref.identity))

    def wish(self, node: GroupNode, kind: type[events.Wish], group: str, ref: Ref) -> None:
        """
        Have a process join, leave, watch or unwatch.

        Sometimes it asks twice, because the scope has died before it could answer.
        """
        if node.scope is None:
            return
        node.wishes += 1
        wish = kind(str(node.wishes), group, ref)
        self._give(node, wish)
        if self.random.random() < self.mishap:
            self.start_scope(node)
            self._give(node, wish)
        key = (group, ref.identity)
        match wish:
            case events.Join():
                node.joined[key] += 1
            case events.Leave():
                assert node.scope.result(wish.number) is (node.joined[key] > 0)
                node.joined[key] -= 1
                node.joined += Counter()
            case events.Watch():
                if key not in node.watching:
                    node.seen[key] = node.members(group)
                node.watching.add(key)
            case events.Unwatch():
                node.watching.discard(key)

    def truth(self, node: GroupNode, group: str) -> Counter[tuple[str, str]]:
        """Return who is in a group on the nodes that a node can reach."""
        found: Counter[tuple[str, str]] = Counter()
        for other in self.nodes:
            if self.islands[other.node_id] == self.islands[node.node_id]:
                for (joined, identity), count in other.joined.items():
                    if joined == group:
                        found[other.node_id, identity] += count
        return found

    def _check(self) -> None:
        """What a node says of its own processes is always right."""
        for node in self.nodes:
            if node.scope is not None:
                have = Counter(
                    (group, ref.identity)
                    for group in {key[0] for key in node.joined}
                    for ref in node.scope.local_members(group)
                )
                assert have == +node.joined, node.node_id

    def _linked(self, one: GroupNode, other: GroupNode) -> bool:
        return self._key(one, other) in self._links

    def _key(self, one: GroupNode, other: GroupNode) -> frozenset[str]:
        return frozenset({one.node_id, other.node_id})

    def _cut_or_link(self, one: GroupNode, other: GroupNode) -> None:
        if self.islands[one.node_id] == self.islands[other.node_id]:
            self.after(self.random.uniform(0, 1), partial(self._open, one, other))
            return
        self._close(one, other)
        for node, lost in ((one, other), (other, one)):
            silence = SILENCE + self.random.uniform(0, 1)
            self.after(silence, partial(self._down, node, lost))

    def _close(self, one: GroupNode, other: GroupNode) -> None:
        self._links.pop(self._key(one, other), None)

    def _open(self, one: GroupNode, other: GroupNode) -> None:
        same = self.islands[one.node_id] == self.islands[other.node_id]
        if not same or self._linked(one, other) or not (one.has_core and other.has_core):
            return
        self._count += 1
        self._links[self._key(one, other)] = self._count
        for node, peer in ((one, other), (other, one)):
            if peer.node_id not in node.knows:
                node.knows.add(peer.node_id)
                self._tell_nodes(node)
            self._from_core(node, events.NodeLinked(peer.node_id))

    def _down(self, node: GroupNode, lost: GroupNode) -> None:
        if not self._linked(node, lost) and node.has_core:
            node.knows.discard(lost.node_id)
            self._tell_nodes(node)

    def _restore_core(self, node: GroupNode) -> None:
        node.has_core = True
        self._tell_nodes(node)
        for other in self.nodes:
            if other is not node:
                self._open(node, other)
        self.after(SILENCE, partial(self._catch_up, node))

    def _catch_up(self, node: GroupNode) -> None:
        node.knows = {
            other.node_id for other in self.nodes if other is not node and self._linked(node, other)
        }
        self._tell_nodes(node)

    def _tell_nodes(self, node: GroupNode) -> None:
        if node.has_core:
            nodes = tuple(self._by_id[each].member for each in sorted(node.knows))
            self._from_core(node, events.NodesTold(nodes))

    def _from_core(self, node: GroupNode, event: events.Event) -> None:
        if node.scope is not None and node.has_core and not self._loses():
            self._give(node, event)

    def _loses(self) -> bool:
        return self.random.random() < self.loss

    def _settle(self, node: GroupNode, scope: GroupsState) -> None:
        if node.scope is scope:
            self._give(node, events.Settled())

    def _tick(self, node: GroupNode) -> None:
        self._give(node, events.Ticked())
        self.after(TICK, partial(self._tick, node))

    def _give(self, node: GroupNode, event: events.Event) -> None:
        if node.scope is not None:
            self._perform(node, node.scope.handle(event, now=self.now))

    def _perform(self, node: GroupNode, effects: list[events.Effect]) -> None:
        for effect in effects:
            match effect:
                case events.Record(wish):
                    node.journal.append(wish)
                case events.Monitor(ref):
                    assert ref.identity not in node.monitored
                    node.monitored.add(ref.identity)
                    if ref.identity not in node.living:
                        self._give(node, events.Ended(ref.identity))
                case events.Demonitor(identity):
                    node.monitored.remove(identity)
                case events.Send(node_id, message):
                    self._send(node, node_id, message)
                case events.Broadcast(message):
                    for other in self.nodes:
                        if other is not node:
                            self._send(node, other.node_id, message)
                case events.Tell(ref, group):
                    node.seen[group, ref.identity] = node.members(group)
                case events.AskForNodes():
                    self._tell_nodes(node)

    def _send(self, node: GroupNode, to: str, message: GroupsMessage) -> None:
        link = self._links.get(self._key(node, self._by_id[to]))
        if link is None or not node.has_core or self._loses():
            return
        way = (node.node_id, to)
        at = max(self._arrives.get(way, 0.0), self.now + self.random.uniform(*DELAY))
        self._arrives[way] = at
        self.after(at - self.now, partial(self._arrive, link, node, self._by_id[to], message))

    def _arrive(self, link: int, node: GroupNode, to: GroupNode, message: GroupsMessage) -> None:
        if self._links.get(self._key(node, to)) == link:
            self._from_core(to, events.Heard(node.node_id, message))
