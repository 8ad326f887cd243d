"""What a process has opened by one way to the nodes of a cluster, so that it can be closed."""

import os
import threading
from typing import Final
from weakref import ReferenceType

from beethoven.errors import NodeError
from beethoven.runtime import connection
from beethoven.runtime.line import Connection

# Fewer processes than this are not worth a look whether they are still spoken to.
_MANY: Final = 64


class Openings:
    """
    The connections that were opened one way. Threads may share it; nobody waits for a lock.

    Attributes:
        is_closed: Whether nothing goes this way any more.
    """

    def __init__(self) -> None:
        self.is_closed = False
        # Not a WeakSet: no other thread may add to that while it is copied.
        self._lines: set[ReferenceType[Connection]] = set()
        self._met = _Met()
        self._pid = os.getpid()

    def check_open(self) -> None:
        """
        Check that something can go this way.

        Raises:
            NodeError: The way is closed.
        """
        if self.is_closed:
            raise closed_way()

    def meet(self, identity: str) -> None:
        """
        Note that this thread speaks to a process of this machine, so that `close` can end it.

        Raises:
            NodeError: The way is closed.
        """
        if self.is_closed:
            raise closed_way()
        self._met.add(identity)

    def opened(self, line: Connection) -> None:
        """
        Note that a connection was opened, so that `close` can end it; from any thread.

        Raises:
            NodeError: The way is closed.
        """
        self._lines.add(ReferenceType(line, self._lines.discard))
        # Only now: whoever closes at this moment has seen the connection, or is seen here.
        self.check_open()

    def part(self, identity: str) -> None:
        """Note that this thread speaks to a process no more."""
        connection.drop(identity)
        self._met.identities.discard(identity)

    def close(self) -> None:
        """Close all connections. What other threads wait for on them ends."""
        self.is_closed = True
        lines = [line for each in list(self._lines) if (line := each()) is not None]
        if os.getpid() == self._pid:
            for line in lines:
                line.hang_up()
        connection.drop_lines(lines)
        for identity in self._met.identities:
            connection.drop(identity)
        self._met.identities.clear()


class _Met(threading.local):
    """The processes of this machine that one thread has spoken to, by identity."""

    def __init__(self) -> None:
        self.identities: set[str] = set()
        self._prune_at = _MANY

    def add(self, identity: str) -> None:
        """Note one; those whose connection is gone are forgotten from time to time."""
        known = self.identities
        if len(known) >= self._prune_at:
            self.identities = known = {each for each in known if connection.is_kept(each)}
            self._prune_at = 2 * len(known) + _MANY
        known.add(identity)


def closed_way() -> NodeError:
    """Return what is said of whatever goes by a way that is closed."""
    return NodeError("expected an open connection to the cluster, got: a closed one")
