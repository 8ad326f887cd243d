"""
Theory of operation of the dial desk: a beacon dials for the processes of its node.

They do not have the cookie, so they ask at the door `dial` of the tree's folder.

```text
process                             beacon
  length, pickle of an order  ────▶   dials, and authenticates
                              ◀────   length, pickle of what came of it, the socket if there is one
```

The desk waits for nobody. An order ends with its deadline, or as soon as its process hangs up. One
whose beacon dies was not delivered; the process asks the next beacon. Both ends belong to one user,
who is checked; whoever says garbage is dropped.
"""

import errno
import os
import pickle
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from beethoven import clock
from beethoven.cluster.addresses import Address
from beethoven.cluster.beacon_state import Notices
from beethoven.cluster.dial import Answered, Dial, Result, Undialled
from beethoven.cluster.handshake import Established
from beethoven.cluster.keyring import Keyring
from beethoven.cluster.listener import Door
from beethoven.cluster.member import Member
from beethoven.cluster.messages import Purpose
from beethoven.log import get_log
from beethoven.runtime.descriptors import (
    NONE_FREE,
    adopt_socket,
    close_descriptor,
    receive_descriptor,
)
from beethoven.runtime.poller import Poller
from beethoven.runtime.unixsocket import close_quietly, connect, limit_wait

log = get_log("beacon")

_NAME: Final = "dial"
_LENGTH: Final = struct.Struct(">I")
# Far more than an order, or than what has arrived behind a handshake.
_LONGEST: Final = 128 * 1024
_MOST_ORDERS: Final = 256
# How long a process may take to say what it wants, in seconds.
_PATIENCE: Final = 1.0
_LONGEST_DIAL: Final = 60.0
# How long a process waits before it looks for the next beacon, in seconds.
_PAUSE: Final = 0.02
# So much sooner than the process the beacon gives up, in seconds.
_MARGIN: Final = 0.3
_SILENT: Final = "the beacon server of this node does not answer"
_AWAY: Final = "this node has no beacon server at this moment"


@dataclass(frozen=True, slots=True)
class DialOrder:
    """
    Whom to dial.

    Attributes:
        address: Where.
        purpose: What the connection is for.
        target: Whom it is to reach there.
        timeout: How long the dial may take, in seconds.
    """

    address: Address
    purpose: Purpose
    target: str
    timeout: float


@dataclass(slots=True, eq=False)
class _Order:
    """One process at the desk."""

    stream: socket.socket
    data: bytearray = field(default_factory=bytearray)
    dial: Dial | None = None
    until: float = field(default_factory=lambda: clock.elapsed() + _PATIENCE)

    def next_at(self) -> float:
        """Return when it must be looked after."""
        return self.until if self.dial is None else self.dial.next_at()


class DialDesk:
    """
    The beacon's side.

    Args:
        folder: The private folder of the tree.
        own: This node.
        cluster: The name of its cluster.
        keyring: Its keys.
        wake_after: Asked to have `tick` called after so many seconds.
    """

    def __init__(
        self,
        folder: str,
        own: Member,
        cluster: str,
        keyring: Keyring,
        wake_after: Callable[[float], object],
    ) -> None:
        self._own, self._cluster, self._keyring = own, cluster, keyring
        self._wake_after = wake_after
        self._wakes_at = float("inf")
        self._poller: Poller | None = None
        self._orders: dict[_Order, None] = {}
        self._notices = Notices()
        self._door = Door(f"{folder}/{_NAME}", self._begin)

    def serve(self, poller: Poller) -> None:
        """Begin to take orders, from the loop of the beacon."""
        self._poller = poller
        self._door.serve(poller)

    def close(self) -> None:
        """Take no more orders, and drop those that there are."""
        self._door.close()
        for order in list(self._orders):
            self._drop(order)

    def tick(self) -> None:
        """Note that time has passed."""
        self._wakes_at = float("inf")
        now = clock.elapsed()
        for order in [each for each in self._orders if each.next_at() <= now]:
            if order.dial is not None:
                order.dial.tick(now=now)
            else:
                self._drop(order)
        for each in self._notices.due(now=now):
            log.warning("dials_suppressed", cause=each.code, count=each.count)
        times = [self._notices.next_at(), *(order.next_at() for order in self._orders)]
        if next_at := min((each for each in times if each is not None), default=None):
            self._wake_at(next_at)

    def _wake_at(self, moment: float) -> None:
        if moment < self._wakes_at:
            self._wakes_at = moment
            self._wake_after(max(0.0, moment - clock.elapsed()))

    def _begin(self, stream: socket.socket) -> None:
        if len(self._orders) >= _MOST_ORDERS:
            self._tell("too many are waiting")
            self._drop(next(iter(self._orders)))
        order = _Order(stream)
        self._orders[order] = None
        assert self._poller is not None
        self._poller.register(stream, lambda: self._read(order))
        self._wake_at(order.until)

    def _read(self, order: _Order) -> None:
        try:
            data = order.stream.recv(_LONGEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        # Whoever hangs up, or goes on talking, wants nothing any more.
        if not data or order.dial is not None:
            self._drop(order)
            return
        order.data += data
        body = _whole(order.data)
        if body is not None:
            wanted = _opened(body)
            if isinstance(wanted, DialOrder):
                self._dial(order, wanted)
            else:
                self._tell("expected an order, got: something else")
                self._drop(order)

    def _tell(self, cause: str) -> None:
        """Say why an order is not taken, now or together with the others of this minute."""
        now = clock.elapsed()
        if self._notices.is_news("", cause, now=now):
            log.warning("dial_not_taken", cause=cause)
            self._wake_at(self._notices.next_at() or now)

    def _dial(self, order: _Order, wanted: DialOrder) -> None:
        assert self._poller is not None
        order.dial = Dial(
            wanted.address,
            self._own,
            self._cluster,
            self._keyring,
            self._poller,
            purpose=wanted.purpose,
            target=wanted.target,
            timeout=min(wanted.timeout, _LONGEST_DIAL),
            on_result=lambda _, result: self._answer(order, result),
            wake_at=self._wake_at,
        )
        order.dial.begin()
        self._wake_at(order.next_at())

    def _answer(self, order: _Order, result: Result) -> None:
        """Give a process what came of its order; one that is gone needs nothing."""
        # The socket is new, its buffer empty: what is sent is the whole message.
        try:
            match result:
                case Answered(stream, established):
                    with stream:
                        message = _framed(established)
                        socket.send_fds(order.stream, [message], [stream.fileno()])
                case failure:
                    order.stream.send(_framed(failure))
        except OSError as error:
            log.debug("dial_not_passed", cause=error.strerror)
        self._drop(order)

    def _drop(self, order: _Order) -> None:
        self._orders.pop(order, None)
        if order.dial is not None:
            order.dial.cancel()
        if self._poller is not None and order.stream.fileno() >= 0:
            self._poller.unregister(order.stream)
        close_quietly(order.stream)


def dial_by_beacon(folder: str, order: DialOrder) -> Result:
    """
    Have the beacon of a node dial, and wait for what comes of it.

    A beacon that dies meanwhile, or is just being started, is asked again within the order's time.

    Args:
        folder: The private folder of the node's tree.
        order: Whom to dial. Its timeout limits all of this.
    """
    deadline = clock.elapsed() + order.timeout
    problem = _SILENT
    while (left := deadline - clock.elapsed()) > 0:
        # The beacon answers before this process gives up: else nobody knows who is silent.
        order = replace(order, timeout=left - min(_MARGIN, left / 3))
        try:
            found = _ask(folder, order, left)
        except BlockingIOError:
            problem = _SILENT
            break
        except (ConnectionError, FileNotFoundError):
            found, problem = None, _AWAY
        except OSError as error:
            if error.errno not in NONE_FREE:
                raise
            return Undialled(os.strerror(error.errno))
        if found is not None:
            return found
        threading.Event().wait(min(_PAUSE, left))
    return Undialled(problem)


def _ask(folder: str, order: DialOrder, timeout: float) -> Result | None:
    """Ask once; None if the beacon went away."""
    stream = connect(f"{folder}/{_NAME}", timeout)
    descriptor: int | None = None
    try:
        stream.sendall(_framed(order))
        limit_wait(stream, socket.SO_RCVTIMEO, timeout)
        received = bytearray()
        while (body := _whole(received)) is None:
            data, found = receive_descriptor(stream, _LONGEST)
            if found is not None:
                close_descriptor(descriptor)
                descriptor = found
            if not data:
                return None
            received += data
        told: Established | Result = pickle.loads(body)
        if not isinstance(told, Established):
            return told
        if descriptor is None:
            # The kernel has let it go.
            return Undialled(os.strerror(errno.EMFILE))
        taken, descriptor = descriptor, None
        return Answered(adopt_socket(taken), told)
    finally:
        close_descriptor(descriptor)
        stream.close()


def _framed(value: object) -> bytes:
    body = pickle.dumps(value, 5)
    return _LENGTH.pack(len(body)) + body


def _whole(data: bytearray) -> bytes | None:
    """Return the body of a message once all of it is there."""
    if len(data) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack_from(data)
    body = bytes(data[_LENGTH.size :])
    return body if len(body) >= length else None


def _opened(body: bytes) -> object:
    try:
        value: object = pickle.loads(body)
    except BaseException:
        # What is none may do anything, such as exit.
        return None
    return value
