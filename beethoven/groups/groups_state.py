"""
Theory of operation of a scope: the process of each node that knows who is in which group.

A scope is the authority on the processes of its own node. It tells the scopes of all other nodes
every change, and keeps a copy of what each of them has told. Nothing is agreed on: whoever asks is
told what this node knows now, and all nodes that reach each other come to know the same.

Whatever is sent may be lost, with a link, a core server or a scope. So each change has a number,
and builds on the one before: whoever misses one asks for everything. Everybody says from time to
time, and whenever a link opens or a scope begins, at which number it is; so the last change is not
missed for long either. A scope that was restarted counts anew, and is known by its identity.

The copy of a node goes with the node, and is asked for when it is back: members that cannot be
reached are none.

A scope that was restarted knows its own members from what was recorded, and those of the others a
moment later. Until then, but not for longer than `PATIENCE`, it is not ready to be asked. Those who
watch groups are told nothing in that time, and everything at its end. Pure.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final, assert_never

from beethoven.cluster.member import Member
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
    Wish,
)
from beethoven.groups.messages import (
    GroupsChange,
    GroupsMessage,
    GroupsPart,
    GroupsVersion,
    GroupsWanted,
)
from beethoven.groups.roster import MOST_MEMBERSHIPS, Listed, Roster, listed
from beethoven.runtime.reference import Ref

# How often it is to be told that time has passed, in seconds.
TICK: Final = 5.0
# How long after its start it is to be told that it is settled, and how long it waits for an answer
# before it asks again, in seconds.
PATIENCE: Final = 0.5
# Wishes that are known to be fulfilled when they are asked for again.
_MOST_FULFILLED: Final = 1024


@dataclass(slots=True)
class _Copy:
    """
    What another node has told.

    Attributes:
        node: Which node.
        version: What the roster is; None before it was told anything.
        roster: Its groups.
        asked_at: When it was asked for everything, unless it has answered.
        parts: What has come of its answer so far, all of one version.
    """

    node: Member
    version: GroupsVersion | None = None
    roster: Roster = field(default_factory=Roster)
    asked_at: float | None = None
    parts: list[GroupsPart] = field(default_factory=list)


class GroupsState:
    """
    The scope of one node.

    Args:
        scope: The identity of the process.

    Attributes:
        is_ready: Whether what it knows of other nodes is worth telling; once it is, it stays so.
    """

    def __init__(self, scope: str) -> None:
        self.is_ready = False
        self._scope = scope
        self._changes = 0
        self._roster = Roster()
        self._watches = Roster()
        self._refs: dict[str, Ref] = {}
        self._copies: dict[str, _Copy] = {}
        self._fulfilled: dict[str, bool] = {}
        self._order: deque[str] = deque()
        self._has_nodes = self._is_settled = False

    def handle(self, event: Event, *, now: float) -> list[Effect]:
        """Return what is to be done about an event; `now` is in seconds."""
        effects = self._handle(event, now)
        if not self.is_ready:
            self.is_ready = self._is_settled or self._has_all()
        return effects

    def _handle(self, event: Event, now: float) -> list[Effect]:
        match event:
            case Join() | Leave() | Watch() | Unwatch():
                return self._wish(event)
            case Ended(identity):
                return self._end(identity)
            case NodesTold(nodes):
                return self._follow(nodes, now)
            case NodeLinked(node_id):
                return [Send(node_id, self._version)]
            case Heard(node_id, message):
                copy = self._copies.get(node_id)
                return [] if copy is None else self._hear(copy, message, now)
            case Ticked():
                return [AskForNodes(), Broadcast(self._version)]
            case Settled():
                self._is_settled = True
                return self._news(set(self._watches.groups()))
        assert_never(event)

    def restore(self, wishes: list[Wish]) -> list[Effect]:
        """Return what is to be done when a predecessor has recorded these wishes."""
        for wish in wishes:
            self._wish(wish)
        return [Monitor(ref) for ref in self._refs.values()]

    def result(self, number: str) -> bool:
        """Return whether a wish that was heard has changed anything."""
        return self._fulfilled.get(number, False)

    @property
    def size(self) -> int:
        """How many wishes `wishes` returns."""
        return self._roster.size + self._watches.size

    def local_members(self, group: str) -> tuple[Ref, ...]:
        """Return the members of a group on this node, each as often as it has joined."""
        return tuple(self._refs[each] for each in self._roster.members(group))

    def distant_members(self, group: str) -> tuple[tuple[Member, tuple[str, ...]], ...]:
        """Return the other nodes with members of a group, and those members."""
        copies = sorted(self._copies.values(), key=lambda each: each.node.name)
        found = ((copy.node, copy.roster.members(group)) for copy in copies)
        return tuple((node, members) for node, members in found if members)

    def groups(self) -> list[str]:
        """Return the names of all groups that have a member."""
        found = set(self._roster.groups())
        for copy in self._copies.values():
            found.update(copy.roster.groups())
        return sorted(found)

    def wishes(self) -> list[Wish]:
        """Return wishes that lead to what this node has now."""
        joined = [Join("", group, self._refs[each]) for group, each in self._roster.memberships()]
        watched = [
            Watch("", group, self._refs[each]) for group, each in self._watches.memberships()
        ]
        return [*joined, *watched]

    def _has_all(self) -> bool:
        """Return whether all nodes that are there have told everything."""
        return self._has_nodes and all(each.version for each in self._copies.values())

    @property
    def _version(self) -> GroupsVersion:
        return GroupsVersion(self._scope, self._changes)

    def _wish(self, wish: Wish) -> list[Effect]:
        if wish.number in self._fulfilled:
            return []
        identity = wish.ref.identity
        was_known = self._is_known(identity)
        self._refs.setdefault(identity, wish.ref)
        effects: list[Effect] = []
        is_done = True
        match wish:
            case Join(group=group):
                is_done = self._roster.size < MOST_MEMBERSHIPS
                if is_done:
                    self._roster.add(group, identity)
                    effects = self._changed([(group, identity)], [])
            case Leave(group=group):
                is_done = self._roster.remove(group, identity)
                effects = self._changed([], [(group, identity)]) if is_done else []
            case Watch(group=group):
                is_done = identity not in self._watches.members(group)
                if is_done:
                    self._watches.add(group, identity)
            case Unwatch(group=group):
                is_done = self._watches.remove(group, identity)
        self._note(wish.number, is_done=is_done)
        if is_done:
            effects.insert(0, Record(wish))
        is_known = self._is_known(identity)
        if is_known and not was_known:
            effects.append(Monitor(wish.ref))
        if not is_known:
            del self._refs[identity]
            effects += [Demonitor(identity)] if was_known else []
        return effects

    def _note(self, number: str, *, is_done: bool) -> None:
        if number:
            self._fulfilled[number] = is_done
            self._order.append(number)
            if len(self._order) > _MOST_FULFILLED:
                del self._fulfilled[self._order.popleft()]

    def _is_known(self, identity: str) -> bool:
        return self._roster.has(identity) or self._watches.has(identity)

    def _end(self, identity: str) -> list[Effect]:
        self._watches.forget(identity)
        gone = self._roster.forget(identity)
        self._refs.pop(identity, None)
        return self._changed([], gone)

    def _changed(self, joined: list[tuple[str, str]], left: list[tuple[str, str]]) -> list[Effect]:
        """Tell what has changed on this node."""
        effects: list[Effect] = []
        nobody: Listed = {}
        for together in listed(joined):
            self._changes += 1
            effects.append(Broadcast(GroupsChange(self._scope, self._changes, together, nobody)))
        for together in listed(left):
            self._changes += 1
            effects.append(Broadcast(GroupsChange(self._scope, self._changes, nobody, together)))
        return effects + self._news({group for group, _ in (*joined, *left)})

    def _news(self, groups: set[str]) -> list[Effect]:
        """Tell those who watch groups that have changed."""
        if not self._is_settled:
            return []
        return [
            Tell(self._refs[each], group)
            for group in sorted(groups)
            for each in self._watches.members(group)
        ]

    def _follow(self, nodes: tuple[Member, ...], now: float) -> list[Effect]:
        self._has_nodes = True
        changed: set[str] = set()
        for node_id in self._copies.keys() - {each.node_id for each in nodes}:
            changed |= set(self._copies.pop(node_id).roster.groups())
        for node in nodes:
            copy = self._copies.get(node.node_id)
            if copy is not None:
                if copy.node.address != node.address:
                    # Its members are found there from now on.
                    changed |= set(copy.roster.groups())
                copy.node = node
        effects = self._news(changed)
        for node in nodes:
            if node.node_id not in self._copies:
                self._copies[node.node_id] = _Copy(node)
                # Whoever has asked before this scope was born asks again.
                effects.append(Send(node.node_id, self._version))
                effects += self._ask(self._copies[node.node_id], now)
        return effects

    def _ask(self, copy: _Copy, now: float) -> list[Effect]:
        """Ask a node for everything."""
        copy.asked_at = now
        return [Send(copy.node.node_id, GroupsWanted())]

    def _hear(self, copy: _Copy, message: GroupsMessage, now: float) -> list[Effect]:
        match message:
            case GroupsVersion():
                return [] if message == copy.version else self._ask(copy, now)
            case GroupsWanted():
                return self._everything(copy.node.node_id)
            case GroupsPart():
                return self._take_part(copy, message)
            case GroupsChange(scope, changes, joined, left):
                if copy.version == GroupsVersion(scope, changes):
                    return []
                if copy.version != GroupsVersion(scope, changes - 1):
                    # Many changes may follow until the answer is there.
                    is_asked = copy.asked_at is not None and now < copy.asked_at + PATIENCE
                    return [] if is_asked else self._ask(copy, now)
                copy.version = GroupsVersion(scope, changes)
                _apply(copy.roster, joined, left)
                return self._news(joined.keys() | left.keys())
        assert_never(message)

    def _everything(self, node_id: str) -> list[Effect]:
        lists = listed(self._roster.memberships()) or [{}]
        return [
            Send(node_id, GroupsPart(self._scope, self._changes, part, len(lists), each))
            for part, each in enumerate(lists)
        ]

    def _take_part(self, copy: _Copy, part: GroupsPart) -> list[Effect]:
        version = GroupsVersion(part.scope, part.changes)
        if part.part == 0:
            copy.parts = []
        if part.part != len(copy.parts) or any(_version_of(each) != version for each in copy.parts):
            return []
        copy.parts.append(part)
        if len(copy.parts) < part.parts:
            return []
        roster = Roster()
        for each in copy.parts:
            _apply(roster, each.groups, {})
        copy.parts, copy.asked_at = [], None
        changed = copy.roster.differs(roster)
        copy.roster, copy.version = roster, version
        return self._news(changed)


def _version_of(part: GroupsPart) -> GroupsVersion:
    return GroupsVersion(part.scope, part.changes)


def _apply(roster: Roster, joined: Listed, left: Listed) -> None:
    for group, members in left.items():
        for each in members:
            roster.remove(group, each)
    for group, members in joined.items():
        for each in members:
            roster.add(group, each)
