"""
Ways: how this process reaches the nodes of a cluster, and learns who runs what there.

A process on a machine with a node of its user has that node's beacon dial, which has the cookie. A
program elsewhere has the cookie itself, and dials.
"""

import contextlib
import itertools
import secrets
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final

from beethoven import clock
from beethoven.cluster import directory as directories
from beethoven.cluster.addresses import Address
from beethoven.cluster.dial import Answered, Dial, PortRefused, Result, Unanswered, Undialled
from beethoven.cluster.dial_desk import DialOrder, dial_by_beacon
from beethoven.cluster.directory import Directory
from beethoven.cluster.handshake import Refused
from beethoven.cluster.keyring import Keyring
from beethoven.cluster.member import Member
from beethoven.cluster.messages import NO_PORT, Purpose, RefusalCode
from beethoven.errors import (
    CallTimeout,
    HandshakeRefused,
    NodeNotFound,
    NoProcess,
    ProcessExited,
)
from beethoven.remote.calling_state import share
from beethoven.remote.memory import Memory
from beethoven.remote.openings import Openings
from beethoven.remote.sealed_connection import SealedConnection
from beethoven.runtime import framing, names
from beethoven.runtime.arriving import arriving
from beethoven.runtime.here import here
from beethoven.runtime.poller import Poller
from beethoven.runtime.reference import Ref, Reference

CORE_SERVER: Final = "beethoven.core_server"
NODE_FACT: Final = "node"

# For how long a directory is believed, in seconds.
_FRESH: Final = 1.0
_PAUSE: Final = 0.02
# So long a directory that is known already waits for a newer one, in seconds.
_PATIENCE: Final = 0.5
_numbers: Final = itertools.count(1)


class _Silent(NodeNotFound):
    """No node has told the directory, but one that may be there did not answer in time."""


class Way(Openings, ABC):
    """
    One way to the nodes of a cluster. Threads may share it.

    Attributes:
        node: The name of the node on whose machine this process runs; empty if there is none.
        key: Begins the identity of the references that go this way: each has connections of its
            own, but for the one that all in a process of a node share.
        made: The references that were made with the directory of this moment, by node and role.
        last: The directory that was told last, however old; None before the first.
    """

    node: str = ""

    def __init__(self) -> None:
        super().__init__()
        self.key = f"{next(_numbers)}/"
        self.made: dict[tuple[str, str], Reference] = {}
        self.last: Directory | None = None
        self._memory = Memory()
        self._known: tuple[Directory, float] | None = None

    @abstractmethod
    def dial(self, address: Address, purpose: Purpose, target: str, timeout: float) -> Result:
        """Dial a node, within `timeout` seconds."""

    @abstractmethod
    def _ask(self, timeout: float) -> Directory:
        """Ask for the directory; raises as `directory` does."""

    def local(self, name: str) -> Ref | None:
        """Return who holds a name on this machine's node; it may have ended just now."""
        return None

    def process(self, identity: str) -> Ref | None:
        """Return the process with an identity on this machine's node, if there is one."""
        return None

    def directory(self, timeout: float) -> Directory:
        """
        Return the directory, as it was a moment ago; `last` again if it is not told soon.

        Raises:
            CallTimeout: Nobody told it in time.
            NodeNotFound: There is no node any more that could tell it.
            HandshakeRefused: This process does not belong to that cluster.
            NodeError: The way is closed.
        """
        self.check_open()
        known = self.known
        if known is not None:
            return known
        last = self.last
        try:
            found = self._ask(timeout if last is None else min(timeout / 2, _PATIENCE))
        except (CallTimeout, _Silent) as error:
            if last is None and isinstance(error, _Silent):
                raise NodeNotFound(str(error)) from None
            if last is None:
                raise
            # The node that tells it does not answer. Others may, and connections that are there.
            self._known = last, clock.monotonic()
            return last
        found = self._memory.completed(found, now=clock.monotonic())
        self.made.clear()
        self.last = found
        self._known = found, clock.monotonic()
        return found

    @property
    def known(self) -> Directory | None:
        """The directory as it was a moment ago; None if that is not known any more."""
        # Another thread may forget it at any moment.
        known = self._known
        if known is None or clock.monotonic() - known[1] >= _FRESH:
            return None
        return known[0]

    def forget(self) -> None:
        """Ask for the directory anew the next time: what it said has turned out to be wrong."""
        self._known = None


# The names of the nodes of this machine that this process has spoken to, by folder.
_nodes: dict[str, str] = {}


class LocalWay(Way):
    """
    By way of a node of this user on this machine.

    Args:
        folder: The private folder of its tree.
        node: Its name.
        find: Returns the folder of the next boot of the node, when it has ended; None if there is
            none. By default the way ends with the node.
    """

    def __init__(
        self, folder: str, node: str, find: Callable[[], str | None] = lambda: None
    ) -> None:
        super().__init__()
        self.folder = folder
        self.node = node
        self._find = find
        _nodes[folder] = node

    def local(self, name: str) -> Ref | None:
        found = names.holder(self.folder, name)
        return None if found is None else Ref(found[0], self.folder, found[1], name)

    def process(self, identity: str) -> Ref | None:
        return Ref(identity, self.folder)

    def dial(self, address: Address, purpose: Purpose, target: str, timeout: float) -> Result:
        return dial_by_beacon(self.folder, DialOrder(address, purpose, target, timeout))

    def _ask(self, timeout: float) -> Directory:
        deadline, cause = clock.monotonic() + timeout, ""
        while True:
            try:
                core = self.local(CORE_SERVER)
                if core is not None:
                    left = max(0.0, deadline - clock.monotonic())
                    try:
                        found: Directory = core.call("directory", left)
                    except CallTimeout:
                        raise self._late(timeout) from None
                    return found
            except NoProcess as error:
                cause = error.cause
            except ProcessExited:
                cause = ""
            if not Path(self.folder).exists():
                self._follow()
            if clock.monotonic() >= deadline:
                if cause:
                    raise _Silent(f"node {self.node!r} cannot be asked: {cause}")
                raise self._late(timeout)
            # Its successor is on its way.
            threading.Event().wait(_PAUSE)

    def _follow(self) -> None:
        """Go by the next boot of the node, if there is one."""
        found = self._find()
        if found is None:
            raise NodeNotFound(f"node {self.node!r} does not run any more")
        self.folder = found
        _nodes[found] = self.node

    def _late(self, timeout: float) -> CallTimeout:
        return CallTimeout(target=f"node {self.node}", timeout=timeout)

    def __repr__(self) -> str:
        return f"LocalWay({self.node!r})"


@lru_cache(maxsize=64)
def local_way(folder: str, node: str) -> LocalWay:
    """Return the way by a node of this machine: one for all, so that they share what is known."""
    way = LocalWay(folder, node)
    # References that came without a way go this one: they share its connections.
    way.key = ""
    return way


def way_from_here() -> LocalWay | None:
    """Return the way by the node that this process belongs to; None if it belongs to none."""
    node = here.context.get(NODE_FACT)
    return local_way(here.folder, node) if node and here.folder else None


def arriving_way() -> Way | None:
    """Return the way by which that has come which this thread unpickles; None for its node's."""
    source = arriving.source
    if isinstance(source, Ref):
        node = _nodes.get(source.folder)
        return local_way(source.folder, node) if node and source.folder != here.folder else None
    way = getattr(source, "way", None)
    return way if isinstance(way, Way) else None


class TcpWay(Way):
    """
    From a program that has the cookie.

    Args:
        address: Where a node listens; others are learnt from it.
        keyring: The cookie.
        cluster: The name of the cluster.
    """

    def __init__(self, address: Address, keyring: Keyring, cluster: str) -> None:
        super().__init__()
        self._first = address
        self._addresses: tuple[Address, ...] = (address,)
        self._keyring, self._cluster = keyring, cluster
        self._node_id = secrets.token_hex(8)

    def dial(self, address: Address, purpose: Purpose, target: str, timeout: float) -> Result:
        try:
            own = self._own(address)
            poller = Poller()
        except OSError as error:
            return Undialled(error.strerror or str(error))
        found: list[Result] = []
        dial = Dial(
            address,
            own,
            self._cluster,
            self._keyring,
            poller,
            timeout=timeout,
            on_result=lambda _, result: found.append(result),
            wake_at=lambda _: None,
            purpose=purpose,
            target=target,
        )
        try:
            dial.begin()
            while not found:
                poller.poll(dial.next_at() - clock.elapsed())
                if not found and clock.elapsed() >= dial.next_at():
                    dial.tick(now=clock.elapsed())
        finally:
            if not found:
                dial.cancel()
            poller.close()
        return found[0]

    def _own(self, address: Address) -> Member:
        """Return what this program says of itself: it is no node, and nobody dials it."""
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # Sends nothing, but tells by which of its addresses this machine gets there.
            probe.connect((address.host, address.port))
            host = probe.getsockname()[0]
        return Member(self._node_id, "client", Address(host, NO_PORT), incarnation=1)

    def _ask(self, timeout: float) -> Directory:
        deadline = clock.monotonic() + timeout
        problem, is_silent = "", False
        addresses = self._addresses
        for tried, address in enumerate(addresses):
            left = max(0.0, deadline - clock.monotonic())
            others = len(addresses) - tried - 1
            limit = share(left, others + 1) if others else left
            until = clock.monotonic() + limit
            result = self.dial(address, Purpose.DIRECTORY, "", limit)
            if isinstance(result, Answered):
                with contextlib.suppress(framing.StreamEnded, BlockingIOError, NoProcess):
                    return self._read(address, result, max(0.0, until - clock.monotonic()))
                result = Unanswered()
            # Whoever asks next begins with another one.
            self._addresses = (*(each for each in self._addresses if each != address), address)
            problem = problem or f"{address} {why(result)}"
            is_silent = is_silent or isinstance(result, Unanswered | Undialled)
            is_only = len(addresses) == 1
            if is_only and isinstance(result, Refused) and result.code is not RefusalCode.MALFORMED:
                raise self._refused(address, result)
        raise (_Silent if is_silent else NodeNotFound)(f"no node to be reached: {problem}")

    def _refused(self, address: Address, refused: Refused) -> HandshakeRefused:
        """Return the error that says what to do."""
        text = f"the node at {address}: {refused.text}"
        if refused.code is RefusalCode.WRONG_COOKIE:
            text = f"the node at {address} has another cookie than this program was given"
        elif refused.code is RefusalCode.WRONG_CLUSTER:
            text = f"the node at {address} belongs to another cluster than {self._cluster!r}"
        return HandshakeRefused(code=refused.code, text=text)

    def _read(self, address: Address, answered: Answered, timeout: float) -> Directory:
        line = SealedConnection(answered.stream, answered.established)
        try:
            kind, _, payload = line.receive(0, timeout)
        finally:
            line.stream.close()
        if kind != framing.DIRECTORY:
            raise NoProcess(target=str(address), cause=bytes(payload).decode(errors="replace"))
        found = directories.decode(bytes(payload))
        others = (Address.parse(each.address) for each in found.nodes)
        self._addresses = tuple(dict.fromkeys((address, *others, self._first)))
        return found

    def __repr__(self) -> str:
        return f"TcpWay({self._addresses[0]}, {self._cluster!r})"


def why(result: Result) -> str:
    """Return what came of a dial that failed, as the end of a sentence."""
    match result:
        case PortRefused():
            return "refuses: no node listens there"
        case Refused(RefusalCode.MALFORMED):
            return "speaks, but not as a node of Beethoven does"
        case Refused(code, text):
            return f"refused: {code}: {text}"
        case Undialled(cause):
            return f"was not dialled: {cause}"
    return "did not answer in time"
