"""
Theory of operation of the reception: what becomes of visitors, once the beacon has let them in.

A visitor is a connection that is for one process of this node, or for the directory, and no link.
That of a process is handed to it, over its own socket, as the first message of a caller; from then
on the two speak without this node's components. All others get one last message from here: that
there is no such process, or the directory. Then the connection is closed, in such a way that the
message arrives: only when the other end has closed too, or its time is up.

Nothing here waits.
"""

import errno
import os
import pickle
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from beethoven import clock
from beethoven.cluster.handshake import Established
from beethoven.cluster.messages import Purpose
from beethoven.cluster.sealed import seal
from beethoven.log import get_log
from beethoven.runtime import framing, names
from beethoven.runtime.poller import Poller
from beethoven.runtime.unixsocket import peer

# The names of this node's own processes begin so; only some of them are for visitors.
OWN_NAMES: Final = "beethoven"
OPEN_NAMES: Final = frozenset({"beethoven.task_supervisor", "beethoven.groups"})

# How long a visitor may take to get its last message, and to close, in seconds.
_PATIENCE: Final = 5.0
_MOST_GUESTS: Final = 128
# What one that is to close may still send before it is closed.
_MOST_IGNORED: Final = 64 * 1024
_CHUNK: Final = 4096

log = get_log("beacon")


@dataclass(slots=True, eq=False)
class _Guest:
    """
    A connection that is not handed to a process.

    Attributes:
        unsent: What is left to send.
        is_waiting: Whether it waits for the directory.
        ignored: How many bytes have come although nothing was to come any more.
    """

    stream: socket.socket
    established: Established
    unsent: bytes = b""
    is_waiting: bool = False
    ignored: int = 0
    until: float = field(default_factory=lambda: clock.monotonic() + _PATIENCE)


class Reception:
    """
    Takes visitors in.

    Args:
        folder: The private folder of the tree.
        poller: Watches the connections that are not handed on.
        ask_directory: Asks the core server, which answers with `tell_directory` later.
    """

    def __init__(self, folder: str, poller: Poller, ask_directory: Callable[[], object]) -> None:
        self._folder = folder
        self._poller = poller
        self._ask_directory = ask_directory
        self._is_asking = False
        # In the order in which their time is up.
        self._guests: dict[_Guest, None] = {}

    def take(self, stream: socket.socket, established: Established) -> None:
        """Take over the connection of a visitor."""
        visitor = established.peer
        match visitor.purpose:
            case Purpose.ROLE:
                self._lead(stream, established, _holder(self._folder, visitor.target))
            case Purpose.PROCESS if _is_closed(self._folder, visitor.target):
                self._lead(stream, established, None)
            case Purpose.PROCESS:
                self._lead(stream, established, visitor.target)
            case Purpose.DIRECTORY:
                self._have_wait(stream, established)
            case purpose:
                text = f"this node does not know what a connection for {purpose!r} is for"
                self._dismiss(self._seat(stream, established), text)

    def tell_directory(self, directory: bytes | None) -> None:
        """Answer all who wait for the directory; None if it is not to be had."""
        self._is_asking = False
        for guest in [each for each in self._guests if each.is_waiting]:
            guest.is_waiting = False
            if directory is None:
                self._dismiss(guest, "this node cannot tell its directory now")
            else:
                self._say(guest, framing.DIRECTORY, directory)

    def next_at(self) -> float | None:
        """Return when `tick` has something to do, by `clock.monotonic`; None for never."""
        return next((each.until for each in self._guests), None)

    def tick(self, *, now: float) -> None:
        """Close those whose time is up."""
        for guest in [each for each in self._guests if each.until <= now]:
            self._close(guest)

    def _lead(self, stream: socket.socket, established: Established, identity: str | None) -> None:
        visitor = established.peer
        cause = "is not here"
        if identity:
            try:
                hand(self._folder, identity, stream, established)
            except (FileNotFoundError, ConnectionRefusedError):
                cause = "is not here any more"
            except OSError as error:
                cause = f"takes no more callers now: {error.strerror}"
            else:
                stream.close()
                log.debug("visitor_handed", peer=visitor.name, target=visitor.target)
                return
        self._dismiss(
            self._seat(stream, established), f"{visitor.purpose} {visitor.target} {cause}"
        )

    def _have_wait(self, stream: socket.socket, established: Established) -> None:
        self._seat(stream, established).is_waiting = True
        if not self._is_asking:
            self._is_asking = True
            self._ask_directory()

    def _seat(self, stream: socket.socket, established: Established) -> _Guest:
        if len(self._guests) >= _MOST_GUESTS:
            self._close(next(iter(self._guests)))
        guest = _Guest(stream, established)
        self._guests[guest] = None
        self._poller.register(stream, lambda: self._read(guest))
        return guest

    def _dismiss(self, guest: _Guest, text: str) -> None:
        visitor = guest.established.peer
        log.debug("visitor_turned_away", peer=visitor.name, target=visitor.target, text=text)
        self._say(guest, framing.ABSENT, text.encode())

    def _say(self, guest: _Guest, kind: int, payload: bytes) -> None:
        guest.unsent = b"".join(seal(guest.established.session, kind, 0, payload))
        self._write(guest)

    def _write(self, guest: _Guest) -> None:
        try:
            guest.unsent = guest.unsent[guest.stream.send(guest.unsent) :]
            if guest.unsent:
                raise BlockingIOError
            self._poller.unregister_writer(guest.stream)
            # To close at once would take back what the other end has not read yet.
            guest.stream.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            self._poller.register_writer(guest.stream, lambda: self._write(guest))
        except OSError:
            self._close(guest)

    def _read(self, guest: _Guest) -> None:
        try:
            data = guest.stream.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        guest.ignored += len(data)
        if not data or guest.ignored > _MOST_IGNORED:
            self._close(guest)

    def _close(self, guest: _Guest) -> None:
        if self._guests.pop(guest, guest) is None:
            self._poller.unregister(guest.stream)
            guest.stream.close()


def hand(folder: str, identity: str, stream: socket.socket, established: Established) -> None:
    """
    Give a connection to a process, which takes it as soon as it reads. Never waits.

    Args:
        folder: The private folder of its tree.
        identity: Which process.
        stream: Stays with the caller, who closes its copy in the end.
        established: What belongs to the connection. Unusable here from then on.

    Raises:
        BlockingIOError: The process takes no more callers.
        OSError: It is gone.
    """
    path = names.socket_path(folder, identity)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.setblocking(False)
        door.connect(path)
        if peer(door)[1] != os.geteuid():
            raise PermissionError(f"{path}: its listener belongs to another user")
        message = framing.pack(framing.ADOPT, 0, pickle.dumps(established, 5))
        # The socket is new, its buffer empty: either all of this fits, or the process gets none.
        if socket.send_fds(door, [message], [stream.fileno()]) != len(message):
            raise BlockingIOError(errno.EAGAIN, "its mailbox is full")


def _holder(folder: str, name: str) -> str | None:
    """Return the identity of the process that holds a name, if it is one for visitors."""
    if not name or (name.startswith(OWN_NAMES) and name not in OPEN_NAMES):
        return None
    found = names.holder(folder, name)
    return None if found is None else found[0]


def _is_closed(folder: str, identity: str) -> bool:
    """Whether a process is one of this node's own that is not for visitors."""
    own = (name for name in names.begin_alike(folder, OWN_NAMES) if name not in OPEN_NAMES)
    return any((found := names.holder(folder, name)) and found[0] == identity for name in own)
