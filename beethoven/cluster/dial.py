"""
A dial: one attempt to open a link, from the connection to the end of the handshake.

Nothing here waits. A connection that ends before the other side has said a word is tried again
within the time that the dial has: there a beacon has just died, or a node is just going.
"""

import contextlib
import errno
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from beethoven import clock
from beethoven.cluster.addresses import Address
from beethoven.cluster.handshake import Established, Handshake, Refused, SelfConnection, Side
from beethoven.cluster.hello import hello_of
from beethoven.cluster.keyring import Keyring
from beethoven.cluster.member import Member
from beethoven.cluster.messages import RefusalCode
from beethoven.runtime.descriptors import NONE_FREE
from beethoven.runtime.poller import Poller

_CHUNK: Final = 4096
_FIRST_PAUSE: Final = 0.01
# Lets the kernel choose the port when it knows the other end; Python has no name for it.
_BIND_ADDRESS_NO_PORT: Final = 24


@dataclass(frozen=True, slots=True)
class Answered:
    """The handshake is done; the socket goes to whoever is told."""

    stream: socket.socket
    established: Established


@dataclass(frozen=True, slots=True)
class PortRefused:
    """Nobody listens there."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Nobody answered in time, or the address could not be reached."""


@dataclass(frozen=True, slots=True)
class Undialled:
    """Nobody was asked: it failed on this machine, for a cause in words."""

    cause: str


Result: TypeAlias = Answered | PortRefused | Unanswered | Undialled | Refused | SelfConnection


class Dial:
    """
    One attempt.

    Args:
        address: Where to.
        own: This node.
        cluster: The name of its cluster.
        keyring: Its keys.
        poller: Watches the socket.
        timeout: How long all of it may take, in seconds.
        on_result: Told once what came of it, after `begin` has returned; not after `cancel`.
        wake_at: Asked to have `tick` called at another moment than `next_at` has told so far.
        purpose: What the connection is for, a `Purpose`.
        target: Whom it is to reach.
    """

    def __init__(
        self,
        address: Address,
        own: Member,
        cluster: str,
        keyring: Keyring,
        poller: Poller,
        *,
        timeout: float,
        on_result: Callable[["Dial", Result], object],
        wake_at: Callable[[float], object],
        purpose: str = "",
        target: str = "",
    ) -> None:
        self.address = address
        self.deadline = clock.elapsed() + timeout
        self._own, self._cluster, self._keyring = own, cluster, keyring
        self._poller = poller
        self._on_result = on_result
        self._wake_at = wake_at
        self._purpose, self._target = purpose, target
        self._stream: socket.socket | None = None
        self._handshake: Handshake | None = None
        self._failure: Result | None = None
        self._pause = _FIRST_PAUSE
        self._again_at = 0.0

    def begin(self) -> None:
        """Connect. What fails at once is told by the next `tick`."""
        family = socket.AF_INET6 if ":" in self.address.host else socket.AF_INET
        try:
            stream = self._stream = socket.socket(family, socket.SOCK_STREAM)
            stream.setblocking(False)
            self._bind(stream)
            code = stream.connect_ex((self.address.host, self.address.port))
        except OSError as error:
            code = error.errno or errno.EIO
        if code in {0, errno.EINPROGRESS}:
            self._poller.register_writer(stream, self._connected)
        else:
            self.cancel()
            self._failure = _failure(code)

    def next_at(self) -> float:
        """Return when `tick` is to be called."""
        if self._failure is not None:
            return 0.0
        return self.deadline if self._stream is not None else self._again_at

    def tick(self, *, now: float) -> None:
        """Note that time has passed."""
        if self._failure is not None:
            self._on_result(self, self._failure)
        elif now >= self.deadline:
            self._settle(Unanswered())
        elif self._stream is None and now >= self._again_at:
            self.begin()

    def cancel(self) -> None:
        """Give up; nothing is told."""
        if self._stream is not None:
            self._poller.unregister(self._stream)
            self._stream.close()
            self._stream = None

    def _bind(self, stream: socket.socket) -> None:
        """Let the other end see the address by which this node is known."""
        if (":" in self._own.address.host) == (":" in self.address.host):
            stream.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
            stream.bind((self._own.address.host, 0))

    def _connected(self) -> None:
        assert self._stream is not None
        self._poller.unregister(self._stream)
        code = self._stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == errno.ECONNRESET:
            self._try_again()
            return
        if code:
            self._settle(_failure(code))
            return
        hello = hello_of(self._own, self._cluster, self._purpose, self._target)
        self._handshake = Handshake(Side.INITIATOR, hello, self._keyring)
        self._poller.register(self._stream, self._read)
        self._send(self._handshake.begin().send)

    def _send(self, data: bytes) -> None:
        assert self._stream is not None
        # A few hundred bytes always fit into what the kernel keeps for a new connection.
        with contextlib.suppress(OSError):
            self._stream.send(data)

    def _read(self) -> None:
        assert self._stream is not None
        assert self._handshake is not None
        try:
            data = self._stream.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        step = self._handshake.receive(data)
        if step.send:
            self._send(step.send)
        match step.outcome:
            case None:
                return
            case Refused(RefusalCode.CLOSED):
                self._try_again()
            case Established() as established:
                stream, self._stream = self._stream, None
                self._poller.unregister(stream)
                self._on_result(self, Answered(stream, established))
            case outcome:
                self._settle(outcome)

    def _try_again(self) -> None:
        self.cancel()
        self._again_at = clock.elapsed() + self._pause
        self._pause *= 2
        self._wake_at(self._again_at)

    def _settle(self, result: Result) -> None:
        self.cancel()
        self._on_result(self, result)


def _failure(code: int) -> Result:
    if code in NONE_FREE:
        return Undialled(os.strerror(code))
    return PortRefused() if code == errno.ECONNREFUSED else Unanswered()
