"""
`Groups`: processes of all nodes join groups by name, and are found and told things there.

Semantics are those of Erlang's `pg`. Each node knows what its own processes have joined, tells the
others, and answers with what it knows now.
"""

import os
import pickle
import threading
from pathlib import Path
from typing import Any, Final

from beethoven import clock
from beethoven.cluster.messages import Purpose
from beethoven.errors import (
    CallTimeout,
    NodeNotFound,
    NoProcess,
    Overloaded,
    ProcessExited,
    SpecError,
)
from beethoven.groups.audience import Audience
from beethoven.groups.events import Join, Leave, Unwatch, Watch, Wish
from beethoven.groups.messages import LONGEST_NAME
from beethoven.groups.roster import MOST_MEMBERSHIPS
from beethoven.remote.remote_ref import RemoteRef
from beethoven.remote.way import LocalWay, Way
from beethoven.runtime import connection, framing
from beethoven.runtime.here import here, is_self
from beethoven.runtime.reference import (
    DEFAULT_TIMEOUT,
    Ref,
    Reference,
    Target,
    check_timeout,
    pickled,
    resolve,
)

SCOPE: Final = "beethoven.groups"

# How long those of one broadcast who do not read are waited for, all of them together, and each of
# them when that is over; in seconds.
_PATIENCE: Final = 2.0
_SHORTEST_WAIT: Final = 0.02
_PAUSE: Final = 0.02


class Groups:
    """
    The groups of a cluster, as one node knows them.

    A group exists while it has a member. A member that ends, or whose node cannot be reached any
    more, is none. What a process does is known on its own node at once, and on the others a moment
    later.

    All methods raise CallTimeout if the node does not answer in time, and SpecError if what they
    are given cannot be the name of a group.

    Args:
        way: How this process reaches the nodes.
    """

    __slots__ = ("_way",)

    def __init__(self, way: Way) -> None:
        self._way = way

    def join(
        self, group: str, process: Target | None = None, *, timeout: float = DEFAULT_TIMEOUT
    ) -> None:
        """
        Have a process join a group; it may do so several times, and must leave as often.

        Args:
            group: Up to 128 printable characters.
            process: A process of this node; this one if None.
            timeout: Seconds to wait for the node.

        Raises:
            SpecError: The process is none of this node, or the node has too many memberships.
            NoProcess: The process has ended, or nobody holds the name.
        """
        if not self._wish(Join, group, process, timeout):
            rule = f"at most {MOST_MEMBERSHIPS} for all processes of a node"
            raise SpecError(
                subject=f"group {group!r}", field="memberships", expected=rule, got="one more"
            )

    def leave(
        self, group: str, process: Target | None = None, *, timeout: float = DEFAULT_TIMEOUT
    ) -> bool:
        """Have a process leave a group once. Return whether it was in it; else as `join`."""
        return self._wish(Leave, group, process, timeout)

    def monitor(self, group: str, *, timeout: float = DEFAULT_TIMEOUT) -> tuple[Reference, ...]:
        """
        Have this process told, in `handle_info`, who is in a group whenever that changes.

        It gets `GroupChanged(group, members)`, also after what may have been a change, until it
        ends or demonitors.

        Returns:
            The members now.

        Raises:
            SpecError: This is no process of a node.
        """
        self._wish(Watch, group, None, timeout)
        return self.members(group, timeout=timeout)

    def demonitor(self, group: str, *, timeout: float = DEFAULT_TIMEOUT) -> bool:
        """Have this process told no more of a group. Return whether it was."""
        return self._wish(Unwatch, group, None, timeout)

    def members(self, group: str, *, timeout: float = DEFAULT_TIMEOUT) -> tuple[Reference, ...]:
        """Return the members on all nodes, each as often as it has joined; those here first."""
        return self._audience(group, timeout).members(self._way, is_here=self._is_near)

    def local_members(self, group: str, *, timeout: float = DEFAULT_TIMEOUT) -> tuple[Ref, ...]:
        """
        Return the members on this node, each as often as it has joined.

        Raises:
            SpecError: This program is connected to nodes of other machines.
        """
        self._local_way("local_members")
        found: tuple[Ref, ...] = self._ask(("local_members", check_group(group)), timeout)
        return found

    def which_groups(self, *, timeout: float = DEFAULT_TIMEOUT) -> list[str]:
        """Return the names of all groups, sorted."""
        found: list[str] = self._ask(("which_groups",), timeout)
        return found

    def broadcast(self, group: str, message: Any, *, timeout: float = DEFAULT_TIMEOUT) -> int:
        """
        Send a plain message to every member, which gets it in `handle_info`.

        Each process gets it once, however often it has joined, and also the one that sends it if
        that is a member. Whoever takes nothing for too long does not get it: all of these together
        keep this process for about two seconds.

        Args:
            group: Its name; nothing happens if nobody is in it.
            message: Any value that can be pickled.
            timeout: Seconds to wait for this node to say who is in the group.

        Returns:
            How many members it was handed to, or to their nodes for them.
        """
        audience = self._audience(group, timeout)
        payload = pickled(message, "message", f"group {group!r}")
        nodes = list(audience.there)
        until = _Until(_PATIENCE)
        reached = 0
        if self._is_near:
            for ref in dict.fromkeys(audience.here):
                reached += self._send(ref, payload, until)
        elif audience.here:
            nodes.append((audience.node, tuple(each.identity for each in audience.here)))
        order = pickle.dumps(("deliver", group, payload), 5) if nodes else b""
        for node, members in nodes:
            scope = self._scope_of(node.name, node.node_id, str(node.address))
            if _post(scope, framing.CAST, order, until):
                reached += len(set(members))
        return reached

    def _send(self, ref: Ref, payload: bytes, until: "_Until") -> bool:
        if is_self(ref.identity) and here.process is not None:
            # Nobody reads from its socket meanwhile.
            here.process.post((framing.INFO, None, 0, payload))
            return True
        if ref.folder != here.folder:
            self._way.meet(ref.identity)
        return _post(ref, framing.INFO, payload, until)

    def _audience(self, group: str, timeout: float) -> Audience:
        found: Audience = self._ask(("audience", check_group(group)), timeout)
        return found

    def _wish(self, kind: type[Wish], group: str, process: Target | None, timeout: float) -> bool:
        folder = self._local_way(kind.__name__.lower()).folder
        ref = _this_process() if process is None else resolve(process)
        if ref.folder != folder:
            rule = "one of the node"
            raise SpecError(subject="groups", field="the process", expected=rule, got=str(ref))
        if process is not None and not ref.is_alive():
            raise NoProcess(target=str(ref))
        # Asked for again if the scope dies meanwhile, which does it once.
        number = os.urandom(8).hex()
        return bool(self._ask(kind(number, check_group(group), ref), timeout))

    @property
    def _is_near(self) -> bool:
        return isinstance(self._way, LocalWay)

    def _local_way(self, what: str) -> LocalWay:
        if isinstance(self._way, LocalWay):
            return self._way
        rule = "a node of this machine"
        raise SpecError(subject=what, field="the connection", expected=rule, got=repr(self._way))

    def _ask(self, request: Any, timeout: float) -> Any:
        """Return the answer of a scope; while it is being restarted, its successor's."""
        check_timeout(timeout, "groups")
        until = _Until(timeout)
        while True:
            for scope in self._scopes(until):
                try:
                    return scope.call(request, until.left())
                except (NoProcess, ProcessExited):
                    continue
            if until.left() <= _PAUSE:
                raise CallTimeout(target="groups", timeout=timeout)
            threading.Event().wait(_PAUSE)

    def _scopes(self, until: "_Until") -> list[Reference]:
        """Return the scopes that may be asked, the best first."""
        if isinstance(self._way, LocalWay):
            found = self._way.local(SCOPE)
            if found is not None:
                self._way.meet(found.identity)
                return [found]
            if not Path(self._way.folder).exists():
                raise NodeNotFound(f"node {self._way.node!r} does not run any more")
            return []
        nodes = self._way.directory(until.left()).nodes
        return [self._scope_of(each.name, each.node_id, each.address) for each in nodes]

    def _scope_of(self, name: str, node_id: str, address: str) -> RemoteRef:
        return RemoteRef(name, node_id, address, Purpose.ROLE, SCOPE, self._way)

    def __repr__(self) -> str:
        return f"<Groups by {self._way!r}>"


def check_group(group: object) -> str:
    """Return the name of a group; SpecError if it can be none."""
    if isinstance(group, str) and 0 < len(group) <= LONGEST_NAME and group.isprintable():
        return str.__str__(group)
    rule = f"a text of 1 to {LONGEST_NAME} printable characters"
    raise SpecError(subject="group", field="name", expected=rule, got=group)


def _this_process() -> Ref:
    if here.process is None:
        rule = "one of the node; this program is none"
        raise SpecError(subject="groups", field="the process", expected=rule, got=None)
    ref: Ref = here.process.ref
    return ref


def _post(target: Reference, kind: int, payload: bytes, until: "_Until") -> bool:
    """Hand over a message. Return whether that was possible within a bounded time."""
    try:
        return connection.post(target, kind, payload, max(until.left(), _SHORTEST_WAIT))
    except Overloaded:
        return False


class _Until:
    """A moment until which all of something must be done."""

    def __init__(self, timeout: float) -> None:
        self._moment = clock.monotonic() + timeout

    def left(self) -> float:
        return max(0.0, self._moment - clock.monotonic())
