"""
The listening socket of a node: held by its root, used by its beacon.

The root binds the port and never accepts, so that the port stays open while a beacon is killed and
started again. Each beacon fetches a copy through the tree's private folder.
"""

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from beethoven.runtime.poller import Poller
from beethoven.runtime.unixsocket import close_quietly, connect, limit_wait, listen, peer

_NAME: Final = "listener"
# The root answers at once, unless it is frozen or gone.
_PATIENCE: Final = 5.0
# So many callers are let in before the process behind the door goes on with other things.
_MOST_AT_ONCE: Final = 32
_CLOSE_ON_EXEC: Final = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


class Door:
    """
    A place in the tree's private folder where processes of this user hand something over.

    Nobody at the door can block the process behind it.

    Args:
        path: Where; whatever a dead process has left there is replaced.
        on_caller: Takes a caller's stream, which does not block, and closes it in the end.
    """

    def __init__(self, path: str, on_caller: Callable[[socket.socket], None]) -> None:
        self._path = path
        self._on_caller = on_caller
        Path(path).unlink(missing_ok=True)
        self._listener = listen(path)
        self._listener.setblocking(False)
        self._poller: Poller | None = None
        self._spare = _spare()

    def serve(self, poller: Poller) -> None:
        """Open the door, from the loop of a process."""
        self._poller = poller
        poller.register(self._listener, self._accept)

    def close(self) -> None:
        """Close the door, for good."""
        if self._listener.fileno() < 0:
            return
        if self._poller is not None:
            self._poller.unregister(self._listener)
        Path(self._path).unlink(missing_ok=True)
        self._listener.close()
        close_descriptor(self._spare)
        self._spare = -1

    def _accept(self) -> None:
        for _ in range(_MOST_AT_ONCE):
            try:
                stream, _ = self._listener.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError:
                self._turn_away()
                return
            stream.setblocking(False)
            if peer(stream)[1] == os.geteuid():
                self._on_caller(stream)
            else:
                stream.close()

    def _turn_away(self) -> None:
        """No descriptor is left: give up the spare one, so that a caller need not wait in vain."""
        close_descriptor(self._spare)
        with contextlib.suppress(OSError):
            stream, _ = self._listener.accept()
            stream.close()
        self._spare = _spare()


class ListenerKeeper:
    """
    The root's side: gives a copy of the listening socket to whoever asks.

    Args:
        listener: Listens already. It is closed with the keeper.
        folder: The private folder of the tree.
    """

    def __init__(self, listener: socket.socket, folder: str) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._door = Door(_path(folder), self._give)

    def serve(self, poller: Poller) -> None:
        """Begin to answer, from the loop of the root."""
        self._door.serve(poller)

    def close(self) -> None:
        """Give no more copies, and close the port if no beacon has one."""
        self._door.close()
        self._listener.close()

    def _give(self, stream: socket.socket) -> None:
        # One that has gone again needs no answer.
        with contextlib.suppress(OSError):
            socket.send_fds(stream, [b"\0"], [self._listener.fileno()])
        stream.close()


def fetch_listener(folder: str) -> socket.socket:
    """
    Return a copy of the node's listening socket. It does not block, and no `exec` inherits it.

    Args:
        folder: The private folder of the tree.

    Raises:
        OSError: The root is gone, or does not answer.
    """
    stream = connect(_path(folder))
    try:
        limit_wait(stream, socket.SO_RCVTIMEO, _PATIENCE)
        _, descriptor = receive_descriptor(stream, 1)
    finally:
        stream.close()
    if descriptor is None:
        raise ConnectionError("expected the root to send its listening socket, got: nothing")
    return adopt_socket(descriptor)


def receive_descriptor(stream: socket.socket, size: int) -> tuple[bytes, int | None]:
    """
    Receive at most `size` bytes, and the descriptor that comes with them, if any.

    The descriptor is closed on `exec`. Of several in one message the kernel closes all but one.

    Raises:
        OSError: As `recv` does.
    """
    data, descriptors, _, _ = socket.recv_fds(stream, size, 1, _CLOSE_ON_EXEC)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return data, descriptors[0] if descriptors else None


def adopt_socket(descriptor: int) -> socket.socket:
    """
    Return a received descriptor as a socket, which does not block.

    Raises:
        OSError: It is none; it has been closed.
    """
    try:
        received = socket.socket(fileno=descriptor)
    except OSError:
        close_descriptor(descriptor)
        raise
    try:
        received.setblocking(False)
    except OSError:
        close_quietly(received)
        raise
    return received


def close_descriptor(descriptor: int | None) -> None:
    """Close a descriptor that may be closed already; a negative one and `None` are none."""
    if descriptor is not None and descriptor >= 0:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _spare() -> int:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _path(folder: str) -> str:
    return f"{folder}/{_NAME}"
