"""
Theory of operation of the locator: it decides when to look where for other nodes, for ever.

Two kinds of places. *Watched* addresses (seeds, what names stand for, nodes that were ever linked)
are asked one by one as long as no link to them is open: every 1 or 2 s while we are alone, every
10 s otherwise. The *networks* are searched as a whole: again and again while we are
alone, with pauses from 1 s to 60 s, and every 5 to 10 minutes otherwise; a search that took long is
followed by a rest as long. All pauses are scattered.

Never asked are the own address, nodes to which a link is open, and an address whose last question
is not settled. Not too many are asked at a time, and not too many in a second. Where a node of
our cluster answers, membership is told; that it becomes a member is not the locator's business.

Events come in, effects go out, time is a number: nothing here waits.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from beethoven.cluster.addresses import Address, scan_targets
from beethoven.cluster.locator_events import (
    Answer,
    ClusterChanged,
    Effect,
    Event,
    Found,
    HostName,
    LocatorSettings,
    NetworksChanged,
    Probe,
    ProbeAnswered,
    ProbeRefused,
    ProbeTimedOut,
    Remember,
    ReportScan,
    ReportStranger,
    Resolve,
    Resolved,
    Started,
    Ticked,
)
from beethoven.cluster.pace import Pace

# Pauses in seconds; those that grow double from the first to the longest.
FIRST_PAUSE: Final = 1.0
LONELY_WATCH_PAUSE: Final = 2.0
WATCH_PAUSE: Final = 10.0
RESOLVE_PAUSE: Final = 30.0
LONELY_SCAN_PAUSE: Final = 60.0
SCAN_PAUSE: Final = 300.0
LONGEST_SCAN_PAUSE: Final = 600.0

MOST_REMEMBERED: Final = 128
_MOST_STRANGERS: Final = 256


@dataclass(slots=True)
class _Watch:
    """A watched address, or a name: how often it was asked in vain, and when it is due."""

    due_at: float
    failures: int = 0


@dataclass(frozen=True, slots=True)
class LocatorStatistics:
    """How many searches have ended, and how many addresses are watched, and asked right now."""

    scans: int
    watched: int
    in_flight: int


class LocatorState:
    """
    What the locator decides.

    Args:
        own: Where this node listens.
        node_id: Which boot of this node it is.
        cluster: The name of the cluster.
        settings: Where to look, and how fast.
        now: Monotonic time.
        chance: Gives a random number from 0 to 1, to scatter the pauses.
    """

    def __init__(
        self,
        own: Address,
        node_id: str,
        cluster: str,
        settings: LocatorSettings,
        *,
        now: float,
        chance: Callable[[], float],
    ) -> None:
        self.settings = settings
        self._own_addresses = {own}
        self._own, self._node_id, self._cluster = own, node_id, cluster
        self._chance = chance
        self._pace = Pace(settings.per_second, now=now)
        self._search = NetworksChanged(
            settings.networks, settings.per_second, settings.skip_azure_reserved
        )
        self._linked: frozenset[Address] = frozenset()
        self._remembered: tuple[Address, ...] = ()
        self._resolutions: dict[HostName, tuple[Address, ...]] = {}
        self._strangers: set[tuple[Address, str]] = set()
        self._watches: dict[Address | HostName, _Watch] = {}
        # Whoever is watched is in here with its due time; other entries are out of date.
        self._queue: list[tuple[float, int, Address | HostName]] = []
        self._queued = 0
        self._in_flight: dict[Address, float] = {}
        self._scan: Iterator[Address] | None = None
        self._scan_at: float | None = None
        # Asked by a search that has asked everybody, and not settled yet.
        self._scan_left: set[Address] | None = None
        self._scan_began, self._scan_probed, self._scans, self._lonely_scans = now, 0, 0, 0
        self._has_started = False
        self._effects: list[Effect] = []

    def handle(self, event: Event, *, now: float) -> list[Effect]:
        """
        Return what to do about an event, in order.

        Args:
            event: What happened.
            now: Monotonic time in seconds. Never decreases from one call to the next.
        """
        self._take(event, now)
        self._begin_scan(now)
        self._launch(now)
        if self._scan_left is not None and not self._scan_left:
            self._end_scan(now)
        effects, self._effects = self._effects, []
        return effects

    def next_deadline(self) -> float | None:
        """Return when to deliver `Ticked`, or `None` if there is nothing to look for."""
        moments = [] if self._scan_at is None else [self._scan_at]
        if self._in_flight:
            moments.append(next(iter(self._in_flight.values())))
        has_room = len(self._in_flight) < self.settings.most_in_flight
        if self._scan is not None and has_room:
            moments.append(self._pace.next_at())
        watch_at = self._next_watch()
        if watch_at is not None and has_room:
            moments.append(max(watch_at, self._pace.next_at()))
        return min(moments, default=None)

    def statistics(self) -> LocatorStatistics:
        """Return the counts."""
        return LocatorStatistics(self._scans, len(self._watches), len(self._in_flight))

    def __repr__(self) -> str:
        return f"<LocatorState of {self._own} {self.statistics()}>"

    def _take(self, event: Event, now: float) -> None:
        match event:
            case Started(remembered):
                self._start(remembered, now)
            case ProbeAnswered(address, answer):
                self._answered(address, answer, now)
            case ProbeRefused(address) | ProbeTimedOut(address):
                self._settled(address, now)
            case Resolved(name, hosts):
                self._resolved(name, tuple(Address(host, name.port) for host in hosts), now)
            case ClusterChanged(linked):
                self._cluster_changed(linked, now)
            case NetworksChanged():
                if event != self._search:
                    self._search_elsewhere(event, now)
            case Ticked():
                self._expire(now)

    def _start(self, remembered: tuple[Address, ...], now: float) -> None:
        self._remembered = remembered[:MOST_REMEMBERED]
        self._scan_at = now
        self._has_started = True
        for address in (*self.settings.seeds, *self._remembered):
            self._watch(address, now)
        for name in self.settings.names:
            self._watch(name, now)

    def _search_elsewhere(self, news: NetworksChanged, now: float) -> None:
        self._search = news
        self._pace = Pace(news.per_second, now=now)
        if self._has_started:
            self._scan, self._scan_left, self._scan_at = None, None, now

    def _answered(self, address: Address, answer: Answer, now: float) -> None:
        self._settled(address, now)
        if answer.node_id == self._node_id:
            self._own_addresses.add(address)
            self._watches.pop(address, None)
        elif answer.cluster != self._cluster:
            stranger = (address, answer.cluster)
            if stranger not in self._strangers and len(self._strangers) < _MOST_STRANGERS:
                self._strangers.add(stranger)
                self._effects.append(ReportStranger(address, answer))
        elif address not in self._linked:
            self._effects.append(Found(address, answer))

    def _resolved(self, name: HostName, addresses: tuple[Address, ...], now: float) -> None:
        self._settled(name, now)
        if addresses:
            former = self._resolutions.get(name, ())
            self._resolutions[name] = addresses
            self._unwatch(former)
            for address in addresses:
                self._watch(address, now)

    def _cluster_changed(self, linked: frozenset[Address], now: float) -> None:
        was_alone, self._linked = self._is_alone, linked
        new = sorted(linked - self._own_addresses - set(self._remembered))
        if new:
            every = (*new, *self._remembered)
            self._remembered = every[:MOST_REMEMBERED]
            self._effects.append(Remember(self._remembered))
            for address in new:
                self._watch(address, now)
            self._unwatch(every[MOST_REMEMBERED:])
        if self._is_alone and not was_alone:
            self._lonely_scans = 0
            if self._scan_at is not None:
                self._scan_at = now + FIRST_PAUSE * self._chance()
            for place, watch in self._watches.items():
                watch.failures = 0
                self._queue_at(place, watch, now + FIRST_PAUSE * self._chance())
        elif was_alone and not self._is_alone and self._scan_at is not None:
            self._scan_at = now + self._scan_pause()

    @property
    def _is_alone(self) -> bool:
        return not self._linked

    def _watch(self, place: Address | HostName, now: float) -> None:
        if place not in self._watches and place not in self._own_addresses:
            watch = self._watches[place] = _Watch(now)
            self._queue_at(place, watch, now)

    def _unwatch(self, addresses: Iterable[Address]) -> None:
        """Watch addresses no more, unless there is another reason to."""
        kept = {*self.settings.seeds, *self._remembered}
        kept.update(*self._resolutions.values())
        for address in set(addresses) - kept:
            self._watches.pop(address, None)

    def _queue_at(self, place: Address | HostName, watch: _Watch, moment: float) -> None:
        watch.due_at = moment
        self._queued += 1
        heapq.heappush(self._queue, (moment, self._queued, place))

    def _next_watch(self) -> float | None:
        """Return when somebody who is watched is due."""
        while self._queue:
            moment, _, place = self._queue[0]
            watch = self._watches.get(place)
            if watch is not None and watch.due_at == moment:
                return moment
            heapq.heappop(self._queue)
        return None

    def _settled(self, place: Address | HostName, now: float) -> None:
        """Note that a question is settled, and when it is to be asked again."""
        if isinstance(place, Address):
            self._in_flight.pop(place, None)
            if self._scan_left is not None:
                self._scan_left.discard(place)
        watch = self._watches.get(place)
        if watch is None:
            return
        is_address = isinstance(place, Address)
        pause = WATCH_PAUSE if is_address else RESOLVE_PAUSE
        if self._is_alone:
            longest = LONELY_WATCH_PAUSE if is_address else RESOLVE_PAUSE
            pause = min(longest, FIRST_PAUSE * 2 ** min(watch.failures, 8))
        watch.failures += 1
        self._queue_at(place, watch, now + self._scattered(pause))

    def _scattered(self, pause: float) -> float:
        return pause * (0.75 + 0.5 * self._chance())

    def _scan_pause(self) -> float:
        if not self._is_alone:
            return SCAN_PAUSE + (LONGEST_SCAN_PAUSE - SCAN_PAUSE) * self._chance()
        pause = min(LONELY_SCAN_PAUSE, FIRST_PAUSE * 2 ** min(self._lonely_scans, 8))
        self._lonely_scans += 1
        return self._scattered(pause)

    def _begin_scan(self, now: float) -> None:
        if self._scan is None and self._scan_at is not None and self._scan_at <= now:
            self._scan, self._scan_at = self._targets(), None
            self._scan_began, self._scan_probed = now, 0

    def _targets(self) -> Iterator[Address]:
        skips = self._search.skip_azure_reserved
        for network in self._search.networks:
            for host in scan_targets(network, self._own.host, skip_azure_reserved=skips):
                yield Address(host, self.settings.port)

    def _launch(self, now: float) -> None:
        """Ask as many as the pace and the room allow; those that are watched first."""
        room = self.settings.most_in_flight - len(self._in_flight)
        for _ in range(min(room, self._pace.allows(now=now))):
            place = self._next_place(now)
            if place is None:
                return
            self._pace.spend()
            if isinstance(place, HostName):
                self._effects.append(Resolve(place))
            else:
                # Nearly in order of time: each is given the same.
                self._in_flight[place] = now + 2 * self.settings.probe_timeout
                self._effects.append(Probe(place, self.settings.probe_timeout))

    def _next_place(self, now: float) -> Address | HostName | None:
        while (moment := self._next_watch()) is not None and moment <= now:
            place = heapq.heappop(self._queue)[2]
            if place in self._linked or place in self._in_flight:
                self._queue_at(place, self._watches[place], now + self._scattered(WATCH_PAUSE))
                continue
            if isinstance(place, HostName):
                # Asked again after a while even if no answer comes.
                self._queue_at(place, self._watches[place], now + 2 * RESOLVE_PAUSE)
            return place
        for address in self._scan or ():
            if not self._is_settled(address):
                self._scan_probed += 1
                return address
        if self._scan is not None:
            self._scan, self._scan_left = None, set(self._in_flight)
        return None

    def _is_settled(self, address: Address) -> bool:
        return (
            address in self._own_addresses or address in self._linked or address in self._in_flight
        )

    def _end_scan(self, now: float) -> None:
        self._scan_left = None
        seconds = now - self._scan_began
        # A large network is not searched without a rest.
        self._scan_at = now + max(self._scan_pause(), min(seconds, LONGEST_SCAN_PAUSE))
        self._scans += 1
        if self._scan_probed:
            self._effects.append(ReportScan(self._scan_probed, seconds))

    def _expire(self, now: float) -> None:
        """Settle the questions whose end was never told."""
        late = takewhile(lambda item: item[1] <= now, self._in_flight.items())
        for address, _ in list(late):
            self._settled(address, now)
