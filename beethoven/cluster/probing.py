"""
Probing: asks addresses who is there, many at a time, without waiting for any.

The question is the hello of a handshake that goes no further; the answer is the other's hello, or
why it refuses. Whoever answers is a stranger: nothing but the fields of these messages is taken
from it. Where somebody takes the connection and says nothing, it is listened to for a while after
the question is settled, since the beacon of a node that is just starting answers late.

What comes of a question is told as the events of the locator.
"""

import errno
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias

from beethoven import clock
from beethoven.cluster.addresses import Address
from beethoven.cluster.handshake import MOST_FRAMES
from beethoven.cluster.hello import hello_of
from beethoven.cluster.locator_events import Answer, ProbeAnswered, ProbeRefused, ProbeTimedOut
from beethoven.cluster.member import Member
from beethoven.cluster.messages import HANDSHAKE, Hello, Refusal, RefusalCode
from beethoven.cluster.wire import LONGEST_BEFORE_AUTHENTICATION, FrameDecoder, frame
from beethoven.errors import WireError
from beethoven.log import get_log
from beethoven.runtime.poller import Poller

# For how long somebody is listened to who has not answered in time, in seconds.
PATIENCE: Final = 5.0
# To how many of them at a time.
MOST_SILENT: Final = 128

_CHUNK: Final = 4096
_MOST_LOGGED: Final = 256
# Hints of a passing state, or of none of our business.
_PASSING: Final = {RefusalCode.BUSY, RefusalCode.TIMEOUT, RefusalCode.CLOSED, RefusalCode.SELF}

Outcome: TypeAlias = ProbeAnswered | ProbeRefused | ProbeTimedOut

log = get_log("probing")


@dataclass(eq=False, slots=True)
class _Conversation:
    """
    A connection, from the attempt to open it to its end.

    Attributes:
        ends_at: When it is closed, answered or not; `None` until it is silent.
        nonce: Of the hello that was sent; empty until it is connected.
    """

    address: Address
    stream: socket.socket
    ends_at: float | None = None
    nonce: bytes = b""
    frames: int = 0
    decoder: FrameDecoder = field(
        default_factory=partial(FrameDecoder, LONGEST_BEFORE_AUTHENTICATION)
    )


class Prober:
    """
    The questions that are asked right now.

    Args:
        own: This node.
        cluster: The name of its cluster.
        poller: Watches the sockets.
        tell: Told once per question what came of it, and once more if an answer comes late.
        released: Told after that when nobody can answer there any more. Both may be called while
            `ask` runs.
        most_silent: How many who are silent are listened to at a time.
    """

    def __init__(
        self,
        own: Member,
        cluster: str,
        poller: Poller,
        tell: Callable[[Outcome], object],
        released: Callable[[Address], object],
        *,
        most_silent: int = MOST_SILENT,
    ) -> None:
        self._own, self._cluster = own, cluster
        self._poller = poller
        self._tell, self._released = tell, released
        self._most_silent = most_silent
        # Both in order of time: each question is given the same, and so is each who is silent.
        self._asked: dict[Address, float] = {}
        self._silent: dict[Address, _Conversation] = {}
        self._open: dict[Address, _Conversation] = {}
        self._logged: set[tuple[Address, str]] = set()
        self._is_short = False

    def ask(self, address: Address, timeout: float) -> None:
        """
        Ask an address, unless it is being asked.

        Args:
            address: Who is asked.
            timeout: Seconds until the question is settled at the latest, the same for all.
        """
        if address in self._asked:
            return
        self._asked[address] = clock.monotonic() + timeout
        # Somebody who has been silent so far is asked already, and may answer still.
        if address not in self._open:
            self._connect(address)

    @property
    def silent(self) -> Iterable[Address]:
        """Who has taken the connection, has not answered in time, and is still listened to."""
        return self._silent.keys()

    def __contains__(self, address: Address) -> bool:
        """Whether somebody may still answer there."""
        return address in self._open

    def next_deadline(self) -> float | None:
        """Return when to call `expire`."""
        moments = [next(iter(self._asked.values()))] if self._asked else []
        if self._silent:
            ends_at = next(iter(self._silent.values())).ends_at
            assert ends_at is not None
            moments.append(ends_at)
        return min(moments, default=None)

    def expire(self) -> None:
        """Settle the questions whose time is over."""
        now = clock.monotonic()
        while self._silent:
            oldest = next(iter(self._silent.values()))
            assert oldest.ends_at is not None
            if oldest.ends_at > now:
                break
            self._end(oldest, ProbeTimedOut(oldest.address))
        while self._asked:
            address, deadline = next(iter(self._asked.items()))
            if deadline > now:
                break
            self._time_out(self._open[address], now)

    def close(self) -> None:
        """Close all connections; nothing is told."""
        self._asked.clear()
        for conversation in list(self._open.values()):
            self._drop(conversation)

    def __repr__(self) -> str:
        return f"<Prober asked={len(self._asked)} silent={len(self._silent)}>"

    def _connect(self, address: Address) -> None:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        try:
            stream = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            # The system is out of descriptors, or has no IPv6.
            self._log_shortage(error)
            self._settle(ProbeTimedOut(address))
            return
        stream.setblocking(False)
        conversation = self._open[address] = _Conversation(address, stream)
        code = _connect_code(stream, address)
        if code in {0, errno.EINPROGRESS}:
            self._poller.register_writer(stream, partial(self._connected, conversation))
        else:
            self._end(conversation, _outcome_of(code, address))

    def _connected(self, conversation: _Conversation) -> None:
        stream = conversation.stream
        code = stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._end(conversation, _outcome_of(code, conversation.address))
            return
        try:
            is_sent = self._say_hello(conversation)
        except OSError:
            is_sent = False
        if not is_sent:
            self._end(conversation, ProbeRefused(conversation.address))
            return
        self._poller.register(stream, partial(self._read, conversation))
        self._poller.unregister_writer(stream)

    def _say_hello(self, conversation: _Conversation) -> bool:
        hello = hello_of(self._own, self._cluster)
        conversation.nonce = hello.nonce
        data = frame(HANDSHAKE.encode(hello), LONGEST_BEFORE_AUTHENTICATION)
        # A new connection takes a kilobyte at once, or there is something wrong with it.
        return conversation.stream.send(data) == len(data)

    def _read(self, conversation: _Conversation) -> None:
        address = conversation.address
        try:
            data = conversation.stream.recv(_CHUNK)
            conversation.decoder.feed(data)
            outcome = self._next_outcome(conversation) if data else ProbeRefused(address)
        except BlockingIOError:
            return
        except (OSError, WireError):
            outcome = ProbeRefused(address)
        if outcome is not None:
            self._end(conversation, outcome)

    def _next_outcome(self, conversation: _Conversation) -> Outcome | None:
        """
        Return what the messages that have arrived mean; `None` until one is complete.

        Raises:
            WireError: They are none of ours.
        """
        address = conversation.address
        while (body := conversation.decoder.next_frame()) is not None:
            conversation.frames += 1
            if conversation.frames > MOST_FRAMES:
                return ProbeRefused(address)
            match HANDSHAKE.decode(body):
                case None:
                    # A newer node may say things that this one does not know.
                    continue
                # Hazard: TCP may connect the two ends of one socket, if the port that is asked is
                # given to the caller (RFC 9293, "simultaneous open"). So what is heard may be one's
                # own words, and nobody is there.
                case Hello() as hello if hello.nonce != conversation.nonce:
                    return ProbeAnswered(address, Answer(hello.node_id, hello.cluster, hello.name))
                case Refusal(RefusalCode.SELF):
                    own = self._own
                    return ProbeAnswered(address, Answer(own.node_id, self._cluster, own.name))
                case Refusal(code, text):
                    self._log_refusal(address, code, text)
            # A refusal, an echo of what was sent, or a message out of turn.
            return ProbeRefused(address)
        return None

    def _time_out(self, conversation: _Conversation, now: float) -> None:
        """Settle a question in vain, and go on listening to who has taken the connection."""
        address = conversation.address
        if not conversation.nonce:
            self._end(conversation, ProbeTimedOut(address))
            return
        if conversation.ends_at is None:
            conversation.ends_at = now + PATIENCE
            self._silent[address] = conversation
        self._settle(ProbeTimedOut(address))
        if len(self._silent) > self._most_silent:
            oldest = next(iter(self._silent.values()))
            self._end(oldest, ProbeTimedOut(oldest.address))

    def _end(self, conversation: _Conversation, outcome: Outcome) -> None:
        self._drop(conversation)
        self._settle(outcome)
        self._released(conversation.address)

    def _settle(self, outcome: Outcome) -> None:
        is_asked = self._asked.pop(outcome.address, None) is not None
        if is_asked or isinstance(outcome, ProbeAnswered):
            self._tell(outcome)

    def _drop(self, conversation: _Conversation) -> None:
        self._open.pop(conversation.address, None)
        self._silent.pop(conversation.address, None)
        self._poller.unregister(conversation.stream)
        conversation.stream.close()

    def _log_refusal(self, address: Address, code: str, text: str) -> None:
        """Log once per address what one who is no peer says of itself."""
        if code in _PASSING or (address, code) in self._logged:
            return
        if len(self._logged) < _MOST_LOGGED:
            self._logged.add((address, code))
            if code == RefusalCode.WRONG_CLUSTER:
                log.info("stranger_found", address=str(address))
            else:
                log.warning("probe_refused", address=str(address), code=code, text=text)

    def _log_shortage(self, error: OSError) -> None:
        if not self._is_short and error.errno != errno.EAFNOSUPPORT:
            self._is_short = True
            log.warning("probe_failed", problem=error.strerror)


def _connect_code(stream: socket.socket, address: Address) -> int:
    try:
        return stream.connect_ex((address.host, address.port))
    except OSError as error:
        return error.errno or errno.EIO


def _outcome_of(code: int, address: Address) -> Outcome:
    if code in {errno.ECONNREFUSED, errno.ECONNRESET}:
        return ProbeRefused(address)
    return ProbeTimedOut(address)
