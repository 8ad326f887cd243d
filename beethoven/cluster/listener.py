"""
The listening socket of a node: held by its root, used by its beacon.

The root binds the port and never accepts, so that the port stays open while a beacon is killed and
started again. Each beacon fetches a copy through the tree's private folder. A node that moves is
given another socket there; the former one stays open, though nobody answers, until it is retired.
"""

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from beethoven.runtime.descriptors import adopt_socket, close_descriptor, receive_descriptor
from beethoven.runtime.poller import Poller
from beethoven.runtime.unixsocket import connect, limit_wait, listen, peer

_NAME: Final = "listener"
# Where another socket is handed in.
_NEXT: Final = "next-listener"
_REPLACE: Final = b"+"
_RETIRE: Final = b"-"
_DONE: Final = b"\0"
# The root answers at once, unless it is frozen or gone.
_PATIENCE: Final = 5.0
# So many callers are let in before the process behind the door goes on with other things.
_MOST_AT_ONCE: Final = 32


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
        self._former: socket.socket | None = None
        self._poller: Poller | None = None
        self._callers: set[socket.socket] = set()
        self._door = Door(_path(folder), self._give)
        self._next_door = Door(f"{folder}/{_NEXT}", self._admit)

    def serve(self, poller: Poller) -> None:
        """Begin to answer, from the loop of the root."""
        self._poller = poller
        self._door.serve(poller)
        self._next_door.serve(poller)

    def close(self) -> None:
        """Give no more copies, and close the port if no beacon has one."""
        self._door.close()
        self._next_door.close()
        for caller in list(self._callers):
            self._dismiss(caller)
        self._retire()
        self._listener.close()

    def _give(self, stream: socket.socket) -> None:
        # One that has gone again needs no answer.
        with contextlib.suppress(OSError):
            socket.send_fds(stream, [_DONE], [self._listener.fileno()])
        stream.close()

    def _admit(self, stream: socket.socket) -> None:
        assert self._poller is not None
        self._callers.add(stream)
        self._poller.register(stream, lambda: self._heed(stream))

    def _heed(self, stream: socket.socket) -> None:
        """Do what somebody wants, and say so."""
        try:
            word, descriptor = receive_descriptor(stream, 1)
        except BlockingIOError:
            return
        except OSError:
            word, descriptor = b"", None
        with contextlib.suppress(OSError):
            if self._is_done(word, descriptor):
                stream.send(_DONE)
        self._dismiss(stream)

    def _is_done(self, word: bytes, descriptor: int | None) -> bool:
        """Do what a word says, if it says anything; so nobody is answered who is not understood."""
        if word == _REPLACE and descriptor is not None:
            self._retire()
            self._former, self._listener = self._listener, adopt_socket(descriptor)
            return True
        close_descriptor(descriptor)
        if word == _RETIRE:
            self._retire()
        return word == _RETIRE

    def _retire(self) -> None:
        if self._former is not None:
            self._former.close()
            self._former = None

    def _dismiss(self, stream: socket.socket) -> None:
        assert self._poller is not None
        self._callers.discard(stream)
        self._poller.unregister(stream)
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


def replace_listener(folder: str, listener: socket.socket) -> None:
    """
    Have the root hold another listening socket, and give that to the next beacon.

    Args:
        folder: The private folder of the tree.
        listener: Listens already. The root gets a copy.

    Raises:
        OSError: The root is gone, or does not answer.
    """
    _tell_root(folder, lambda stream: socket.send_fds(stream, [_REPLACE], [listener.fileno()]))


def retire_listener(folder: str) -> None:
    """
    Have the root close the socket that it held before, if it still does.

    Raises:
        OSError: The root is gone, or does not answer.
    """
    _tell_root(folder, lambda stream: stream.send(_RETIRE))


def _tell_root(folder: str, say: Callable[[socket.socket], object]) -> None:
    stream = connect(f"{folder}/{_NEXT}")
    try:
        limit_wait(stream, socket.SO_RCVTIMEO, _PATIENCE)
        say(stream)
        if stream.recv(1) != _DONE:
            raise ConnectionError("expected the root to take a word, got: nothing")
    finally:
        stream.close()


def _spare() -> int:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _path(folder: str) -> str:
    return f"{folder}/{_NAME}"
