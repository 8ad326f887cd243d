"""Descriptors: how open sockets pass from one process of this user to another."""

import contextlib
import errno
import os
import socket
from typing import Final

from beethoven.runtime.unixsocket import close_quietly

# Of a process, or of the whole machine, no descriptor is free.
NONE_FREE: Final = frozenset({errno.EMFILE, errno.ENFILE})
_CLOSE_ON_EXEC: Final = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


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
