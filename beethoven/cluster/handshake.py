"""
Theory of operation of the handshake: two nodes prove to each other that they know the cookie.

```text
initiator                           responder
  hello           ───────────────▶              who I am, a nonce
                  ◀───────────────  hello       if the clusters and protocols agree
  proof           ───────────────▶              HMAC(cookie, "initiator", both hellos)
                  ◀───────────────  proof       HMAC(cookie, "responder", both hellos, that proof)
```

A proof covers both hellos to the last byte: cluster, protocols, identities, incarnations, nonces.
It also says which side speaks, so that an echo proves nothing. The side that dialled proves first;
one that listens never signs for a stranger. The responder signs with the key that the initiator
used, so both derive the session from the same one.

The caller brings what arrives (`receive`) and the time (`time_out`), sends what a `Step` says, and
closes the connection on any outcome but `Established`. A refusal tells the other side the reason
only if it has shown to speak this protocol, and never anything about this node's cluster or keys.
Everything that changes a handshake is in this file. Pure.
"""

import hashlib
import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Final, TypeAlias

from beethoven.cluster.keyring import Keyring
from beethoven.cluster.messages import (
    HANDSHAKE,
    LONGEST_REASON,
    NO_PORT,
    Hello,
    Proof,
    Refusal,
    RefusalCode,
)
from beethoven.cluster.session import Session, expand, extract
from beethoven.cluster.wire import LONGEST_BEFORE_AUTHENTICATION, FrameDecoder, frame, read_body
from beethoven.errors import WireError

# Two are needed; a newer node may say things that this one does not know.
MOST_FRAMES: Final = 4

_LABEL: Final = b"beethoven handshake 1"
_SESSION_LABEL: Final = b"beethoven session 1"
_LENGTH: Final = struct.Struct(">I")
_PROTOCOL: Final = struct.Struct(">H")


class Side(StrEnum):
    """Which end of the connection."""

    INITIATOR = "initiator"
    RESPONDER = "responder"


class Status(StrEnum):
    """What a handshake waits for."""

    AWAITING_HELLO = "awaiting_hello"
    AWAITING_PROOF = "awaiting_proof"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class HelloReceived:
    """The other side says who it is. `body` is what it sent, byte for byte."""

    hello: Hello
    body: bytes


@dataclass(frozen=True, slots=True)
class ProofReceived:
    """The other side proves that it knows the cookie, or tries to."""

    proof: Proof


@dataclass(frozen=True, slots=True)
class RefusalReceived:
    """The other side goes no further."""

    refusal: Refusal


@dataclass(frozen=True, slots=True)
class GarbageReceived:
    """What has arrived is no message of a handshake."""

    problem: str


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The caller waits no longer."""


@dataclass(frozen=True, slots=True)
class LinkClosed:
    """The other side has closed the connection."""


Event: TypeAlias = (
    HelloReceived | ProofReceived | RefusalReceived | GarbageReceived | TimedOut | LinkClosed
)


@dataclass(frozen=True, slots=True)
class Established:
    """
    The other side is a node of this cluster.

    Attributes:
        peer: Who it is.
        protocol: The newest protocol that both speak.
        session: Seals and opens every frame from here on.
        rest: What has arrived behind the handshake: the beginning of the session's frames.
        key: Which key of this node's keyring both used, 0 being the first.
    """

    peer: Hello
    protocol: int
    session: Session
    rest: bytes = field(default=b"", repr=False)
    key: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """The two do not belong together. `text` is the line for this node's log."""

    code: RefusalCode
    text: str


@dataclass(frozen=True, slots=True)
class SelfConnection:
    """The other side is this very node, or says so: nothing to log, nothing to dial again soon."""


Outcome: TypeAlias = Established | Refused | SelfConnection


@dataclass(frozen=True, slots=True)
class Step:
    """What to send now, and what the handshake has led to, if it is over."""

    send: bytes
    outcome: Outcome | None


class Handshake:
    """
    One side of one handshake.

    Args:
        side: Which one.
        hello: Who this node is. Its nonce must be new.
        keyring: What this node knows.

    Raises:
        WireError: The hello is none that the other side would read.
    """

    def __init__(self, side: Side, hello: Hello, keyring: Keyring) -> None:
        self._side = side
        self._own = hello
        self._keys = keyring.keys
        self._status = Status.AWAITING_HELLO
        self._outcome: Outcome | None = None
        self._decoder = FrameDecoder(LONGEST_BEFORE_AUTHENTICATION)
        self._frames = 0
        self._is_understood = False
        self._own_body = HANDSHAKE.encode(hello)
        # Known once the other side's hello has been accepted.
        self._peer = hello
        self._protocol = 0
        self._transcript = b""
        self._own_proof = b""

    def begin(self) -> Step:
        """Return what to send first; nothing, for a responder."""
        is_first = self._side is Side.INITIATOR
        return Step(_framed(self._own_body) if is_first else b"", None)

    def receive(self, data: bytes) -> Step:
        """Take in what has arrived; no bytes at all mean that the other side has closed."""
        if not data:
            return Step(self._handle(LinkClosed()), self._outcome)
        send = b""
        if self._status is not Status.ENDED:
            self._decoder.feed(data)
        while self._status is not Status.ENDED and (event := self._next_event()) is not None:
            send += self._handle(event)
        return Step(send, self._outcome)

    def time_out(self) -> Step:
        """Wait no longer."""
        return Step(self._handle(TimedOut()), self._outcome)

    def __repr__(self) -> str:
        return f"Handshake({self._side}, {self._status}, frames={self._frames})"

    def _next_event(self) -> Event | None:
        try:
            while (body := self._decoder.next_frame()) is not None:
                self._frames += 1
                if self._frames > MOST_FRAMES:
                    raise WireError(f"expected at most {MOST_FRAMES} frames, got: more")
                fields = read_body(body)
                self._is_understood = True
                match HANDSHAKE.from_wire(fields):
                    case Hello() as hello:
                        return HelloReceived(hello, body)
                    case Proof() as proof:
                        return ProofReceived(proof)
                    case Refusal() as refusal:
                        return RefusalReceived(refusal)
        except WireError as error:
            return GarbageReceived(str(error))
        return None

    def _handle(self, event: Event) -> bytes:
        """Do as the table says; return what to send."""
        return self._MOVES[self._status, type(event)](self, event)

    def _check_hello(self, event: HelloReceived) -> bytes:
        own, peer = self._own, event.hello
        if (peer.node_id, peer.incarnation) == (own.node_id, own.incarnation):
            self._end(SelfConnection())
            return refusal(RefusalCode.SELF, "")
        if peer.cluster != own.cluster:
            text = f"expected a node of cluster {own.cluster!r}, got: one of {peer.cluster!r}"
            told = "belongs to another cluster"
            return self._refuse(RefusalCode.WRONG_CLUSTER, text, told)
        if peer.node_id == own.node_id:
            text = f"another node, at {peer.address}, goes by the id of this one, {own.node_id}"
            told = "goes by the same id, but is another node"
            return self._refuse(RefusalCode.DUPLICATE_ID, text, told)
        protocol = min(own.protocol_max, peer.protocol_max)
        if protocol < max(own.protocol_min, peer.protocol_min):
            ours = f"protocols {own.protocol_min} to {own.protocol_max}"
            text = f"expected {ours}, got: {peer.protocol_min} to {peer.protocol_max}"
            return self._refuse(RefusalCode.WRONG_VERSION, text, f"speaks {ours}")
        self._accept(event, protocol)
        if self._side is Side.RESPONDER:
            return _framed(self._own_body)
        self._own_proof = self._proof(Side.INITIATOR, self._keys[0])
        return _framed(HANDSHAKE.encode(Proof(self._own_proof)))

    def _accept(self, event: HelloReceived, protocol: int) -> None:
        bodies = (self._own_body, event.body)
        first, second = bodies if self._side is Side.INITIATOR else reversed(bodies)
        self._transcript = _transcript(first, second)
        self._protocol = protocol
        self._peer = event.hello
        self._status = Status.AWAITING_PROOF

    def _check_proof(self, event: ProofReceived) -> bytes:
        if self._side is Side.INITIATOR:
            return self._check_responder(event.proof.proof)
        return self._check_initiator(event.proof.proof)

    def _check_initiator(self, proof: bytes) -> bytes:
        # Every key is tried whichever fits, so that the time taken tells nothing.
        fits = [hmac.compare_digest(self._proof(Side.INITIATOR, key), proof) for key in self._keys]
        if not any(fits):
            return self._refuse_cookie()
        at = fits.index(True)
        answer = self._proof(Side.RESPONDER, self._keys[at], proof)
        self._establish(at, proof)
        return _framed(HANDSHAKE.encode(Proof(answer)))

    def _check_responder(self, proof: bytes) -> bytes:
        expected = self._proof(Side.RESPONDER, self._keys[0], self._own_proof)
        if not hmac.compare_digest(expected, proof):
            return self._refuse_cookie()
        self._establish(0, self._own_proof)
        return b""

    def _proof(self, side: Side, key: bytes, before: bytes = b"") -> bytes:
        """Return the proof of a side; `before` is the other side's, if that came first."""
        signed = _LABEL + side.encode() + _PROTOCOL.pack(self._protocol) + self._transcript + before
        return hmac.digest(key, signed, "sha256")

    def _establish(self, at: int, initiator_proof: bytes) -> None:
        strong = extract(self._transcript, self._keys[at])
        info = _SESSION_LABEL + _PROTOCOL.pack(self._protocol) + initiator_proof
        keys = expand(strong, info, 64)
        sending, receiving = keys[:32], keys[32:]
        if self._side is Side.RESPONDER:
            sending, receiving = receiving, sending
        session, rest = Session(sending, receiving), self._decoder.take_rest()
        self._end(Established(self._peer, self._protocol, session, rest, at))

    def _refuse_order(self, _event: Event) -> bytes:
        problem = f"expected a {self._missing}, got: another message"
        return self._refuse(RefusalCode.MALFORMED, problem, problem)

    def _refuse_garbage(self, event: GarbageReceived) -> bytes:
        return self._refuse(RefusalCode.MALFORMED, event.problem, event.problem)

    def _refuse_wait(self, _event: TimedOut) -> bytes:
        problem = f"no {self._missing} in time"
        return self._refuse(RefusalCode.TIMEOUT, problem, problem)

    def _refuse_cookie(self) -> bytes:
        text = f"{self._who()} does not know the cookie of this one"
        return self._refuse(RefusalCode.WRONG_COOKIE, text, "does not know that cookie")

    def _who(self) -> str:
        """Return what the other side is: nobody can dial a program, whose port is none."""
        host, _, port = self._peer.address.rpartition(":")
        is_program = self._peer.purpose and int(port) == NO_PORT
        return f"a program at {host}" if is_program else f"the node at {self._peer.address}"

    def _end_refused(self, event: RefusalReceived) -> bytes:
        code = event.refusal.code
        if code == RefusalCode.SELF:
            self._end(SelfConnection())
        else:
            known = RefusalCode(code) if code in list(RefusalCode) else RefusalCode.OTHER
            text = f"refused by the other side: {event.refusal.text or code}"
            self._end(Refused(known, text))
        return b""

    def _end_closed(self, _event: LinkClosed) -> bytes:
        self._end(
            Refused(RefusalCode.CLOSED, f"closed by the other side without a {self._missing}")
        )
        return b""

    def _ignore(self, _event: Event) -> bytes:
        return b""

    @property
    def _missing(self) -> str:
        return self._status.removeprefix("awaiting_")

    def _refuse(self, code: RefusalCode, text: str, told: str) -> bytes:
        """End, with one text for this side's log and another for the other side's."""
        self._end(Refused(code, text))
        return refusal(code, told) if self._is_understood else b""

    def _end(self, outcome: Outcome) -> None:
        self._status = Status.ENDED
        self._outcome = outcome
        self._decoder.take_rest()

    # What every event leads to, whatever the handshake waits for.
    _MOVES: ClassVar[dict[tuple[Status, type[Event]], Callable[["Handshake", Any], bytes]]] = {
        (Status.AWAITING_HELLO, HelloReceived): _check_hello,
        (Status.AWAITING_HELLO, ProofReceived): _refuse_order,
        (Status.AWAITING_HELLO, RefusalReceived): _end_refused,
        (Status.AWAITING_HELLO, GarbageReceived): _refuse_garbage,
        (Status.AWAITING_HELLO, TimedOut): _refuse_wait,
        (Status.AWAITING_HELLO, LinkClosed): _end_closed,
        (Status.AWAITING_PROOF, HelloReceived): _refuse_order,
        (Status.AWAITING_PROOF, ProofReceived): _check_proof,
        (Status.AWAITING_PROOF, RefusalReceived): _end_refused,
        (Status.AWAITING_PROOF, GarbageReceived): _refuse_garbage,
        (Status.AWAITING_PROOF, TimedOut): _refuse_wait,
        (Status.AWAITING_PROOF, LinkClosed): _end_closed,
        (Status.ENDED, HelloReceived): _ignore,
        (Status.ENDED, ProofReceived): _ignore,
        (Status.ENDED, RefusalReceived): _ignore,
        (Status.ENDED, GarbageReceived): _ignore,
        (Status.ENDED, TimedOut): _ignore,
        (Status.ENDED, LinkClosed): _ignore,
    }


def refusal(code: RefusalCode, text: str) -> bytes:
    """Return what tells the other side the reason; alone, for one that is not listened to."""
    return _framed(HANDSHAKE.encode(Refusal(code, text[:LONGEST_REASON])))


def _framed(body: bytes) -> bytes:
    return frame(body, LONGEST_BEFORE_AUTHENTICATION)


def _transcript(first: bytes, second: bytes) -> bytes:
    """Return the hash of both hellos, in the order in which they were sent."""
    lengths = _LENGTH.pack(len(first)) + _LENGTH.pack(len(second))
    return hashlib.sha256(_LABEL + lengths + first + second).digest()
