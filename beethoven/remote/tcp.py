"""TCP between a process and its caller on another node: sent at once, and the end always seen."""

import contextlib
import fcntl
import socket
import termios
from typing import Final

# A machine that has vanished without a word is noticed within about this many seconds, unless
# something is on its way to it: then when the kernel gives up. Hazard: TCP_USER_TIMEOUT would be
# sooner, but it also ends the connection of one that lives and does not read for a while.
_SILENCE: Final = 30
_PROBE_EVERY: Final = 5


def keep_alive(stream: socket.socket) -> None:
    """Have small frames sent at once, and a peer noticed that has vanished without a word."""
    # One that is gone already cannot be set up; its end will tell.
    with contextlib.suppress(OSError):
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        probes = _SILENCE // _PROBE_EVERY - 1
        for name, value in (
            ("TCP_KEEPIDLE", _PROBE_EVERY),
            ("TCP_KEEPINTVL", _PROBE_EVERY),
            ("TCP_KEEPCNT", probes),
        ):
            if (option := getattr(socket, name, None)) is not None:
                stream.setsockopt(socket.IPPROTO_TCP, option, value)


def is_on_its_way(stream: socket.socket) -> bool:
    """Whether the machine at the other end has not confirmed everything yet."""
    return fcntl.ioctl(stream, termios.TIOCOUTQ, bytes(4)) != bytes(4)
