"""
BeaconServer: answers whoever dials this node, and hands on those that belong to its cluster.

It may die at any moment: the root holds the port, and its successor fetches that again. It never
waits for anybody, tells strangers nothing that they have not shown to know, and dials nobody.
"""

import contextlib
import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from beethoven import clock
from beethoven.cluster.beacon_state import HalfOpen, Notices, host_of, is_quiet
from beethoven.cluster.dial_desk import DialDesk
from beethoven.cluster.directory import encode
from beethoven.cluster.handshake import (
    Established,
    Handshake,
    Outcome,
    Refused,
    SelfConnection,
    Side,
    Step,
)
from beethoven.cluster.hello import hello_of
from beethoven.cluster.identity import current
from beethoven.cluster.keyring import Keyring
from beethoven.cluster.listener import fetch_listener
from beethoven.cluster.member import Member
from beethoven.cluster.messages import RefusalCode
from beethoven.cluster.passing import PATIENCE, Offer
from beethoven.cluster.reception import Reception
from beethoven.errors import WireError
from beethoven.log import get_log
from beethoven.runtime.answers import Answer
from beethoven.runtime.descriptors import NONE_FREE
from beethoven.runtime.reason import ExitReason
from beethoven.runtime.requests import Reply, Response
from beethoven.runtime.role import Role

NAME: Final = "beethoven.beacon_server"
CORE_SERVER: Final = "beethoven.core_server"

# So many newcomers are taken in before the others get their turn.
_MOST_AT_ONCE: Final = 32
_CHUNK: Final = 4096
# What one that has been refused may still send before it is closed.
_MOST_IGNORED: Final = 64 * 1024
_MOST_OFFERS: Final = 128
# How long newcomers wait in the kernel when the system has no descriptor left, in seconds.
_PAUSE: Final = 0.1

log = get_log("beacon")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BeaconArgs:
    """What a beacon is started with: this node, the name of its cluster, and its keys."""

    own: Member
    cluster: str
    keyring: Keyring


@dataclass(slots=True, eq=False)
class _Visit:
    """
    A connection whose handshake is not over, or whose refusal is on its way.

    Attributes:
        received: How many bytes have come.
        is_greeted: Whether our hello has been sent.
        is_refused: Whether it is open only so that the refusal arrives.
    """

    stream: socket.socket
    host: str
    handshake: Handshake
    received: int = 0
    is_greeted: bool = False
    is_refused: bool = False


@dataclass(slots=True, eq=False)
class _Passing:
    """A connection that is being offered to the core server until `until`."""

    stream: socket.socket
    host: str
    peer: str
    offer: Offer
    until: float = field(default_factory=lambda: clock.monotonic() + PATIENCE)


class BeaconServer(Role):
    """Takes in connections, runs the handshake with each, and passes on those that pass it."""

    def init(self, args: BeaconArgs) -> None:
        """
        Begin to answer.

        Raises:
            OSError: The root does not hand out its listening socket.
        """
        self._args = args = replace(args, own=current(self.ref.folder, args.own))
        self._half_open: HalfOpen[_Visit] = HalfOpen()
        self._notices = Notices()
        # In the order in which their time is up.
        self._passing: dict[_Passing, None] = {}
        poller = self._process.poller
        self._reception = Reception(self.ref.folder, poller, self._ask_directory)
        self._timer: tuple[float, int] | None = None
        self._listener = fetch_listener(self.ref.folder)
        poller.register(self._listener, self._accept)
        self._dial_desk = DialDesk(
            self.ref.folder,
            args.own,
            args.cluster,
            args.keyring,
            lambda delay: self.send_after(delay, "dial"),
        )
        self._dial_desk.serve(poller)

    def _ask_directory(self) -> None:
        self.send_request(CORE_SERVER, "directory", "directory")

    def terminate(self, reason: ExitReason) -> None:
        self._dial_desk.close()

    def handle_info(self, message: Any) -> None:
        match message:
            case "tick":
                self._timer = None
                self._look_at_the_clock()
                self._set_timer()
            case "accept":
                self._process.poller.register(self._listener, self._accept)
            case "dial":
                self._dial_desk.tick()
            case Answer("directory", response):
                self._reception.tell_directory(_directory_in(response))
            case _:
                super().handle_info(message)

    def _accept(self) -> None:
        for _ in range(_MOST_AT_ONCE):
            try:
                stream, address = self._with_room(self._listener.accept)
            except (BlockingIOError, ConnectionError):
                break
            except OSError as error:
                self._pause(error)
                break
            self._admit(stream, host_of(address[0]))
        self._set_timer()

    def _with_room(self, action: Callable[[], T]) -> T:
        """Do what takes a descriptor; if none is left, close a connection and try once more."""
        try:
            return action()
        except OSError as error:
            if error.errno not in NONE_FREE or (victim := self._half_open.make_room()) is None:
                raise
            self._evict(victim)
            return action()

    def _pause(self, error: OSError) -> None:
        if self._notices.is_news("", "accept", now=clock.monotonic()):
            log.warning("accepting_paused", cause=error.strerror, seconds=_PAUSE)
        self._process.poller.unregister(self._listener)
        self.send_after(_PAUSE, "accept")

    def _admit(self, stream: socket.socket, host: str) -> None:
        hello = hello_of(self._args.own, self._args.cluster)
        visit = _Visit(stream, host, Handshake(Side.RESPONDER, hello, self._args.keyring))
        stream.setblocking(False)
        # One that is gone already cannot be told to send at once.
        with contextlib.suppress(OSError):
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        victim = self._half_open.admit(visit, host, now=clock.monotonic())
        if victim is not None:
            self._evict(victim)
        self._process.poller.register(stream, lambda: self._read(visit))

    def _evict(self, victim: _Visit) -> None:
        """Close one that has to make room; a seeker takes that for a reason to try again."""
        self._close(victim)
        if not victim.is_refused:
            self._tell(victim.host, RefusalCode.BUSY, "had to make room for others")

    def _read(self, visit: _Visit) -> None:
        try:
            data = visit.stream.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        visit.received += len(data)
        if not visit.is_refused:
            self._take(visit, visit.handshake.receive(data))
        elif not data or visit.received > _MOST_IGNORED:
            self._close(visit)

    def _take(self, visit: _Visit, step: Step) -> None:
        """Send what a step says, and do what it has led to."""
        is_sent = not step.send or self._send(visit, step.send)
        match step.outcome:
            case None:
                visit.is_greeted = visit.is_greeted or bool(step.send)
                if not is_sent:
                    self._close(visit)
            case Established() as established:
                if is_sent and established.peer.purpose:
                    self._forget(visit)
                    self._reception.take(visit.stream, established)
                    self._set_timer()
                elif is_sent:
                    self._offer(visit, established)
                else:
                    self._close(visit)
            case outcome:
                self._tell_end(visit, outcome)
                self._refuse(visit, is_told=bool(step.send) and is_sent)

    def _send(self, visit: _Visit, data: bytes) -> bool:
        # A few hundred bytes always fit into what the kernel keeps for a new connection.
        try:
            return visit.stream.send(data) == len(data)
        except OSError:
            return False

    def _refuse(self, visit: _Visit, *, is_told: bool) -> None:
        if not is_told:
            self._close(visit)
            return
        # To close before everything is read would throw away what is on its way to the other side.
        visit.is_refused = True
        with contextlib.suppress(OSError):
            visit.stream.shutdown(socket.SHUT_WR)

    def _offer(self, visit: _Visit, established: Established) -> None:
        self._forget(visit)
        stream, peer = visit.stream, established.peer.name
        try:
            if len(self._passing) >= _MOST_OFFERS:
                raise BlockingIOError(errno.EAGAIN, "too many links wait for it")
            offer = self._with_room(lambda: Offer(self.ref.folder, stream, established))
        except OSError as error:
            stream.close()
            self._tell_kept(visit.host, peer, str(error.strerror))
            return
        passing = _Passing(stream, visit.host, peer, offer)
        self._passing[passing] = None
        self._process.poller.register(offer, lambda: self._go_on(passing))
        self._set_timer()

    def _go_on(self, passing: _Passing) -> None:
        is_taken = passing.offer.go_on()
        if is_taken is None:
            return
        self._end_offer(passing)
        if is_taken:
            log.debug("link_passed", host=passing.host, peer=passing.peer)
        else:
            self._tell_kept(passing.host, passing.peer, "it went away")

    def _end_offer(self, passing: _Passing) -> None:
        self._passing.pop(passing, None)
        self._process.poller.unregister(passing.offer)
        passing.offer.close()
        passing.stream.close()

    def _look_at_the_clock(self) -> None:
        now = clock.monotonic()
        for visit in self._half_open.due(now=now):
            if not visit.is_refused:
                self._take(visit, visit.handshake.time_out())
            # Everything that it sent has been read: it gets its refusal, if there is one.
            self._close(visit)
        for passing in [each for each in self._passing if each.until <= now]:
            self._end_offer(passing)
            self._tell_kept(passing.host, passing.peer, "it does not answer")
        self._reception.tick(now=now)
        for each in self._notices.due(now=now):
            log.warning("seekers_suppressed", host=each.host, code=each.code, count=each.count)

    def _set_timer(self) -> None:
        """Have the clock looked at when the next time is up."""
        first = next((each.until for each in self._passing), None)
        others = (self._half_open, self._notices, self._reception)
        times = [first, *(each.next_at() for each in others)]
        next_at = min((each for each in times if each is not None), default=None)
        if next_at is None or (self._timer is not None and self._timer[0] <= next_at):
            return
        if self._timer is not None:
            self.cancel_timer(self._timer[1])
        number = self.send_after(max(0.0, next_at - clock.monotonic()), "tick")
        self._timer = next_at, number

    def _close(self, visit: _Visit) -> None:
        self._forget(visit)
        visit.stream.close()

    def _forget(self, visit: _Visit) -> None:
        self._half_open.leave(visit)
        if visit.stream.fileno() >= 0:
            self._process.poller.unregister(visit.stream)

    def _tell_end(self, visit: _Visit, outcome: Outcome) -> None:
        match outcome:
            case Refused(code, text):
                has_spoken = visit.received > 0
                if is_quiet(code, has_spoken=has_spoken, is_greeted=visit.is_greeted):
                    log.debug("seeker_left", host=visit.host, text=text)
                else:
                    self._tell(visit.host, code, text)
            case SelfConnection():
                log.debug("seeker_is_self", host=visit.host)

    def _tell(self, host: str, code: RefusalCode, text: str) -> None:
        if self._notices.is_news(host, code, now=clock.monotonic()):
            log.warning("seeker_refused", host=host, code=code, text=text)

    def _tell_kept(self, host: str, peer: str, cause: str) -> None:
        """Say that the core server did not take a link; the other node is going to try again."""
        if self._notices.is_news(host, "not_passed", now=clock.monotonic()):
            log.warning("link_not_passed", host=host, peer=peer, cause=cause)


def _directory_in(response: Response) -> bytes | None:
    """Return the directory as it is sent, if the core server has told one that can be."""
    with contextlib.suppress(WireError):
        if isinstance(response, Reply):
            return encode(response.value)
    return None
