"""
Locator: looks for other nodes, for ever; what it decides is in `locator_state`.

It may die at any moment: its successor looks again, from the start. Whatever it finds is told to
the core server, at most too often. Nothing here waits: names are looked up in threads.

Besides, it says when a search has come to nothing, so that whoever is alone may begin: only when
all names have been looked up once, or that took too long, and when nobody is connected but silent,
which a node might be whose beacon is just starting.
"""

import random
import resource
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any, Final

from beethoven import clock
from beethoven.cluster.addresses import Address
from beethoven.cluster.identity import current
from beethoven.cluster.locator_events import (
    ClusterChanged,
    Effect,
    Event,
    Found,
    HostName,
    LocatorSettings,
    NetworksChanged,
    Probe,
    Remember,
    ReportScan,
    ReportStranger,
    Resolve,
    Resolved,
    Started,
    Ticked,
)
from beethoven.cluster.locator_state import LocatorState
from beethoven.cluster.member import Member
from beethoven.cluster.peers_file import PeersFile
from beethoven.cluster.probing import MOST_SILENT, Prober
from beethoven.errors import Overloaded
from beethoven.log import get_log
from beethoven.runtime.loop import Timeout
from beethoven.runtime.reference import cast, cast_or_drop
from beethoven.runtime.role import Caller, Role

NAME: Final = "beethoven.locator"
CORE_SERVER: Final = "beethoven.core_server"
AZURE: Final = "beethoven.azure"

# For how long the first lookups are waited for before it is said that nobody is there, in seconds.
NAMES_PATIENCE: Final = 5.0
MOST_LOOKUPS: Final = 4
_MOST_HOSTS: Final = 128
# Descriptors that are not for asking, however few there are.
_RESERVED: Final = 64
_LEAST_ROOM: Final = 8

log = get_log("locator")


@dataclass(frozen=True, slots=True)
class LocatorArgs:
    """
    What the locator is started with.

    Attributes:
        own: This node.
        cluster: The name of its cluster.
        settings: Where to look, and how fast.
        state_file: Where nodes that were linked are remembered; `None`: nowhere.
    """

    own: Member
    cluster: str
    settings: LocatorSettings
    state_file: str | None = None


class Locator(Role):
    """The process."""

    def init(self, args: LocatorArgs) -> None:
        self._own = own = current(self.ref.folder, args.own)
        self._settings = args.settings
        self._file = PeersFile(args.state_file)
        self._remembered = self._file.read()
        now = clock.monotonic()
        most_asked, most_silent = _most_sockets(args.settings.most_in_flight)
        settings = replace(args.settings, most_in_flight=most_asked)
        self._state = LocatorState(
            own.address, own.node_id, args.cluster, settings, now=now, chance=random.random
        )
        self._prober = Prober(
            own,
            args.cluster,
            self._process.poller,
            self._on_event,
            self._on_released,
            most_silent=most_silent,
        )
        self._resolver = Resolver(lambda lookup: self._process.post(Timeout(lookup)))
        self._events: deque[Event] = deque()
        self._is_busy = False
        self._timer, self._timer_at = 0, float("inf")
        # Whether a search has ended that the core server was not told of, and what that waits for.
        self._is_due, self._searches = False, 0
        self._awaited: set[Address] = set()
        self._unresolved = set(args.settings.names)
        self._names_until = now + NAMES_PATIENCE
        self._has_searched = False
        self.continue_with("start")

    def handle_continue(self, argument: Any) -> None:
        self._tell("locator_up")
        # If there is one, it knows by now where to look.
        cast_or_drop(AZURE, ("locator_up",))
        self._on_event(Started(self._remembered))

    def handle_call(self, request: Any, caller: Caller) -> Any:
        if request == "statistics":
            return self._state.statistics()
        return f"expected 'statistics', got: {request!r}"

    def handle_cast(self, request: Any) -> None:
        match request:
            case ("linked", frozenset() as linked):
                self._on_event(ClusterChanged(linked))
            case ("networks", NetworksChanged() as news):
                self._on_event(news)
            case ("core_up",):
                self._greet_core()
            case _:
                log.warning("unexpected_message", role="Locator", message=repr(request))

    def handle_info(self, message: Any) -> None:
        match message:
            case Ticked():
                self._timer_at = float("inf")
                self._prober.expire()
                self._on_event(message)
            case Lookup(resolved):
                self._resolver.finish(message)
                self._on_event(resolved)
                self._await_names(resolved)
            case _:
                super().handle_info(message)

    def _greet_core(self) -> None:
        """Tell a core server that has just begun all that it needs; it has no links yet."""
        self._on_event(ClusterChanged(frozenset()))
        for address in dict.fromkeys((*self._settings.seeds, *self._remembered)):
            if address != self._own.address:
                self._tell("found", address)
        if self._has_searched:
            self._tell("searched")

    def _on_event(self, event: Event) -> None:
        """Do what an event leads to, and what that leads to at once, one after the other."""
        self._events.append(event)
        if self._is_busy:
            return
        self._is_busy = True
        while self._events:
            for effect in self._state.handle(self._events.popleft(), now=clock.monotonic()):
                self._perform(effect)
        self._is_busy = False
        self._note_end()
        self._set_timer()

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Probe(address, timeout):
                self._prober.ask(address, timeout)
            case Resolve(name):
                self._resolver.resolve(name)
            case Found(address):
                self._tell("found", address)
            case Remember(addresses):
                self._remembered = addresses
                self._file.write(addresses)
            case ReportStranger(address, answer):
                strange = {"cluster": answer.cluster, "name": answer.name}
                log.info("stranger_found", address=str(address), **strange)
            case ReportScan(probed, seconds):
                log.debug("searched", probed=probed, seconds=round(seconds, 3))

    def _note_end(self) -> None:
        """Notice the end of a search; who is silent then may be a node all the same."""
        searches = self._state.statistics().scans
        if searches != self._searches and not self._is_due:
            self._is_due = True
            self._awaited.update(self._prober.silent)
        self._searches = searches
        self._say_searched()

    def _await_names(self, resolved: Resolved) -> None:
        """Wait for those whom a name stands for, the first time that it is looked up."""
        if resolved.name in self._unresolved:
            self._unresolved.discard(resolved.name)
            asked = {Address(host, resolved.name.port) for host in resolved.hosts}
            self._awaited.update(address for address in asked if address in self._prober)
            self._say_searched()

    def _on_released(self, address: Address) -> None:
        self._awaited.discard(address)
        if not self._is_busy:
            self._say_searched()

    def _say_searched(self) -> None:
        if self._unresolved and clock.monotonic() >= self._names_until:
            self._unresolved.clear()
        if not self._is_due or self._awaited or self._unresolved:
            return
        self._is_due, self._has_searched = False, True
        self._tell("searched")

    def _tell(self, *message: object) -> None:
        try:
            cast(CORE_SERVER, message)
        except Overloaded:
            # Whatever is true is told again.
            log.warning("core_server_busy", message=str(message[0]))

    def _set_timer(self) -> None:
        moments = [self._state.next_deadline(), self._prober.next_deadline()]
        if self._unresolved:
            moments.append(self._names_until)
        moment = min((each for each in moments if each is not None), default=float("inf"))
        # One that comes too early does no harm, and most that are set need not be moved.
        if moment < self._timer_at:
            self.cancel_timer(self._timer)
            self._timer_at = moment
            self._timer = self.send_after(max(0.0, moment - clock.monotonic()), Ticked())


def _most_sockets(wanted: int) -> tuple[int, int]:
    """Return how many to ask at a time, and how many silent ones to listen to."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted, MOST_SILENT
    # Hazard: a process without a descriptor for a caller is heard by nobody any more.
    room = max(soft - _RESERVED, _LEAST_ROOM)
    most_silent = min(MOST_SILENT, room // 4)
    return min(wanted, room - most_silent), most_silent


@dataclass(frozen=True, slots=True)
class Lookup:
    """What came of looking up a name; `problem` is empty if it stands for anything."""

    resolved: Resolved
    problem: str = ""


class Resolver:
    """
    Looks up names in threads, since the system's resolver waits.

    Args:
        post: Called in any thread with each result, which is to be handed to `finish`.
        lookup: Returns the addresses of a host.
    """

    def __init__(
        self,
        post: Callable[[Lookup], object],
        lookup: Callable[[str], tuple[str, ...]] | None = None,
    ) -> None:
        self._post = post
        self._lookup = hosts_of if lookup is None else lookup
        self._waiting: deque[HostName] = deque()
        self._running: set[HostName] = set()
        self._failing: set[HostName] = set()

    def resolve(self, name: HostName) -> None:
        """Look up a name as soon as there is a thread for it, unless that goes on already."""
        if name not in self._running and name not in self._waiting:
            self._waiting.append(name)
            self._begin()

    def finish(self, lookup: Lookup) -> None:
        """Note the end of a lookup, and log that a name stands for nothing when that begins."""
        name = lookup.resolved.name
        self._running.discard(name)
        if not lookup.problem:
            self._failing.discard(name)
        elif name not in self._failing:
            self._failing.add(name)
            log.warning("name_unresolved", name=name.name, problem=lookup.problem)
        self._begin()

    def _begin(self) -> None:
        while self._waiting and len(self._running) < MOST_LOOKUPS:
            name = self._waiting.popleft()
            self._running.add(name)
            thread = threading.Thread(target=self._run, args=(name,), daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                self._post(Lookup(Resolved(name, ()), str(error)))

    def _run(self, name: HostName) -> None:
        try:
            hosts = self._lookup(name.name)
            problem = "" if hosts else "it stands for no address"
        except (OSError, ValueError) as error:
            hosts, problem = (), str(error)
        self._post(Lookup(Resolved(name, hosts), problem))


def hosts_of(name: str) -> tuple[str, ...]:
    """
    Return the addresses that a name stands for, numeric, each once.

    Raises:
        OSError, ValueError: It stands for none, or nobody knows.
    """
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    hosts = dict.fromkeys(str(each[4][0]) for each in found)
    # One with a zone means something on this machine only.
    return tuple(str(ip_address(host)) for host in hosts if "%" not in host)[:_MOST_HOSTS]
