"""
AF_UNIX stream sockets between processes of one user.

Whoever connects or is connected to is checked: a peer of another user is never listened to.
"""

import contextlib
import errno
import os
import select
import socket
import struct
from pathlib import Path
from typing import Final

_CREDENTIALS: Final = struct.Struct("3i")
_TIMEVAL: Final = struct.Struct("@ll")
_BACKLOG: Final = 1024


class _Stream(socket.socket):
    """
    A connection that is closed when nobody refers to it any more.

    Also if it goes together with what would have closed it: of garbage whose parts refer to each
    other nobody knows which part goes first.
    """

    __slots__ = ()

    def __del__(self) -> None:
        # One that could not be made, for want of descriptors, has nothing to close.
        if self.fileno() >= 0:
            self.close()


def listen(path: str) -> socket.socket:
    """Return a socket that listens at `path`, open to this user only."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.settimeout(None)
    try:
        listener.bind(path)
        Path(path).chmod(0o600)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def connect(path: str, timeout: float | None = None) -> socket.socket:
    """
    Connect to the process that listens at `path`.

    Args:
        path: Where it listens.
        timeout: Seconds to wait for a process that takes no more callers; None waits for ever.
            Later it limits every blocking send.

    Raises:
        ConnectionError, FileNotFoundError: Nobody listens there (any more).
        BlockingIOError: The process took no caller for `timeout` seconds.
        PermissionError: The listener belongs to another user.
    """
    stream = _Stream(socket.AF_UNIX, socket.SOCK_STREAM)
    # User code may have set another default for all sockets of the process.
    stream.settimeout(None)
    try:
        if timeout is not None:
            limit_wait(stream, socket.SO_SNDTIMEO, timeout)
        stream.connect(path)
        if peer(stream)[1] != os.geteuid():
            raise PermissionError(f"{path}: its listener belongs to another user")
    except BaseException:
        stream.close()
        raise
    return stream


def peer(stream: socket.socket) -> tuple[int, int]:
    """
    Return the pid and the user of the other side, as they were when it connected.

    Where the system does not tell, the pid is 0 and the user ours: the folder's mode is the guard.
    """
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return 0, os.geteuid()
    pid, uid, _ = _CREDENTIALS.unpack(
        stream.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size)
    )
    return pid, uid


def limit_wait(stream: socket.socket, option: int, timeout: float | None) -> None:
    """
    Let the kernel end a wait on a blocking socket.

    Unlike `settimeout` this costs no further system call in each send or receive.

    Args:
        stream: A blocking socket.
        option: `socket.SO_RCVTIMEO` or `socket.SO_SNDTIMEO`.
        timeout: Seconds; None waits for ever.
    """
    # Zero means for ever to the kernel; the shortest wait is a microsecond.
    whole = 0 if timeout is None else max(1, int(timeout * 1_000_000))
    stream.setsockopt(socket.SOL_SOCKET, option, _TIMEVAL.pack(*divmod(whole, 1_000_000)))


def takes_more(stream: socket.socket, timeout: float) -> bool:
    """Whether the other side takes more data, now or within `timeout` seconds."""
    poll = select.poll()
    poll.register(stream, select.POLLOUT)
    return bool(poll.poll(timeout * 1000))


def is_listening(path: str) -> bool:
    """
    Whether a living process listens at `path`.

    So it is as far as one can see if there is no descriptor to look with: who connects is told.
    """
    # The kernel refuses a probe of another type before it troubles the listener: so those who only
    # look never take the place of a caller.
    try:
        probe = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    except OSError:
        return True
    with probe:
        try:
            probe.connect(path)
        except OSError as error:
            return error.errno == errno.EPROTOTYPE
    return False


def close_quietly(stream: socket.socket | None) -> None:
    """Close a socket that may be closed or broken already."""
    if stream is not None:
        with contextlib.suppress(OSError):
            stream.close()
