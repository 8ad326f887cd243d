"""
What a beacon decides: whom it listens to, for how long, and what of it is worth a line in the log.

A connection is half open until its handshake is over. A newcomer is always admitted: if there are
too many, the oldest of the host that has most of them is closed in its favour, so that whoever
holds connections open and says nothing keeps nobody else waiting. Pure; time is a number.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Generic, TypeVar

from beethoven.cluster.messages import RefusalCode

K = TypeVar("K", bound=Hashable)

# How long a handshake may take, in seconds.
HANDSHAKE_TIMEOUT: Final = 2.0
MOST_HALF_OPEN: Final = 256
# A host may have so large a part of them.
_SHARE: Final = 0.5

_MINUTE: Final = 60.0
_MOST_NOTED: Final = 256
_MAPPED: Final = "::ffff:"
# Whoever has one address of IPv6 has all that begin with these bytes.
_PREFIX_SIZE: Final = 8

# Stands for every host, once there are too many to be told apart.
OTHER_HOSTS: Final = "(others)"


def host_of(address: str) -> str:
    """Return the host with this address, as it is shown: one of IPv4 in its own form."""
    return address.removeprefix(_MAPPED) if "." in address else address.partition("%")[0]


class HalfOpen(Generic[K]):
    """
    The connections whose handshake is not over.

    Args:
        most: How many there may be.
        timeout: How long each may last, in seconds.
    """

    def __init__(self, *, most: int = MOST_HALF_OPEN, timeout: float = HANDSHAKE_TIMEOUT) -> None:
        self._most = max(1, most)
        self._most_of_host = max(1, int(self._most * _SHARE))
        self._timeout = timeout
        # Both in the order in which the connections came, so that the first is due first.
        self._deadlines: dict[K, float] = {}
        self._groups: dict[str, dict[K, None]] = {}
        self._group_of: dict[K, str] = {}

    def __len__(self) -> int:
        return len(self._deadlines)

    def __contains__(self, connection: object) -> bool:
        return connection in self._deadlines

    def admit(self, connection: K, host: str, *, now: float) -> K | None:
        """
        Let a newcomer in.

        Returns:
            The connection that is to be closed in its favour, no longer one of these; or `None`.
        """
        group = _group(host)
        mates = self._groups.setdefault(group, {})
        victim = None
        if len(mates) >= self._most_of_host:
            victim = next(iter(mates))
            self.leave(victim)
        elif len(self._deadlines) >= self._most:
            victim = self.make_room()
        # The group may have lost its last one just now.
        self._groups.setdefault(group, {})[connection] = None
        self._group_of[connection] = group
        self._deadlines[connection] = now + self._timeout
        return victim

    def make_room(self) -> K | None:
        """Return the connection that is to be closed first, no longer one of these, if any."""
        if not self._deadlines:
            return None
        largest = max(self._groups.values(), key=len)
        victim = next(iter(largest))
        self.leave(victim)
        return victim

    def leave(self, connection: K) -> None:
        """Forget a connection; its handshake is over, or it is closed."""
        if self._deadlines.pop(connection, None) is None:
            return
        group = self._group_of.pop(connection)
        mates = self._groups[group]
        del mates[connection]
        if not mates:
            del self._groups[group]

    def due(self, *, now: float) -> list[K]:
        """Return the connections that have lasted too long, oldest first; they have not left."""
        found = []
        for connection, deadline in self._deadlines.items():
            if deadline > now:
                break
            found.append(connection)
        return found

    def next_at(self) -> float | None:
        """Return when `due` has something to return, or `None`."""
        return next(iter(self._deadlines.values()), None)


@dataclass(frozen=True, slots=True)
class Suppressed:
    """`count` refusals that were not logged, of one host for one reason, within a minute."""

    host: str
    code: str
    count: int


@dataclass(slots=True)
class _Tally:
    until: float
    count: int = 0


class Notices:
    """
    What is worth a line: the first refusal of a host for a reason, then a count once a minute.

    Args:
        most: How many pairs of host and reason are told apart; all others count together, by
            reason.
    """

    def __init__(self, *, most: int = _MOST_NOTED) -> None:
        self._most = most
        self._tallies: dict[tuple[str, str], _Tally] = {}

    def __len__(self) -> int:
        return len(self._tallies)

    def is_news(self, host: str, code: str, *, now: float) -> bool:
        """Return whether a refusal deserves a line of its own; if not, it is counted."""
        key = (host, code)
        if key not in self._tallies and len(self._tallies) >= self._most:
            key = (OTHER_HOSTS, code)
        tally = self._tallies.get(key)
        if tally is None:
            self._tallies[key] = _Tally(now + _MINUTE)
            return True
        tally.count += 1
        return False

    def due(self, *, now: float) -> list[Suppressed]:
        """Return the counts of the minutes that are over."""
        found = []
        for key, tally in list(self._tallies.items()):
            if tally.until > now:
                continue
            # At its end again, so that the first is always the next one due.
            del self._tallies[key]
            if tally.count:
                found.append(Suppressed(*key, tally.count))
                self._tallies[key] = _Tally(now + _MINUTE)
        return found

    def next_at(self) -> float | None:
        """Return when `due` has something to do, or `None`."""
        return next((tally.until for tally in self._tallies.values()), None)


def is_quiet(code: RefusalCode, *, has_spoken: bool, is_greeted: bool) -> bool:
    """
    Return whether the end of a handshake is nothing to tell an operator.

    A search for open ports says nothing and closes; a locator wants no more than our hello.

    Args:
        code: How it ended.
        has_spoken: Whether the other side has sent anything.
        is_greeted: Whether it was sent our hello.
    """
    return code is RefusalCode.CLOSED and (is_greeted or not has_spoken)


def _group(host: str) -> str:
    """Return what stands for all addresses that one machine can take at will."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return host if address.version == 4 else address.packed[:_PREFIX_SIZE].hex()
