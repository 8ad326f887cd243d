"""
How a process ended, asked of the fork server that buried it.

An identity begins with the number of the fork server that gave birth to it; that server keeps the
last few thousand wait statuses. What a process said itself before it left is better, and asked
first, by those who were connected to it.
"""

import contextlib
import socket
from typing import Final

from beethoven.runtime import framing, kernel, reason
from beethoven.runtime.names import socket_path
from beethoven.runtime.reason import ExitReason, ReasonKind
from beethoven.runtime.unixsocket import connect, is_listening, limit_wait

# To the fork server: kill that process, or the one that was born on this connection.
KILL: Final = 3
WHY: Final = 101
DEAD: Final = 102

UNKNOWN: Final = b"unknown"

# Of so many of its own children a process remembers what they said of their end.
_MOST_TOLD: Final = 1024
_GONE: Final = ExitReason(ReasonKind.NO_PROCESS, "its fork server is gone, and its reason with it")


_told: dict[str, ExitReason] = {}


def note(identity: str, why: ExitReason) -> None:
    """Remember how a child of this process has ended, in its own words if it had any."""
    if len(_told) >= _MOST_TOLD:
        _told.pop(next(iter(_told)), None)
    _told[identity] = why


def told(identity: str) -> ExitReason | None:
    """Return how a child of this process has ended, if it has, and not too many others since."""
    return _told.get(identity)


def wait_status(status: int, *, out_of_memory: bool) -> bytes:
    """Return the form in which the fork server tells how a process ended."""
    return f"{status} {int(out_of_memory)}".encode()


def not_born(error: OSError) -> bytes:
    """Return the form in which the fork server tells that it could not fork."""
    return f"no {error}".encode()


def read_death(message: bytes | bytearray) -> ExitReason:
    """Decode what the fork server tells of a death."""
    first, _, rest = message.decode().partition(" ")
    if first.isdigit():
        return reason.from_wait_status(int(first), out_of_memory=rest == "1")
    if first == "no":
        return ExitReason(ReasonKind.OTHER, f"could not fork: {rest}")
    return reason.NO_PROCESS


def fork_server_path(folder: str, identity: str) -> str:
    """Return where the fork server listens that gave birth to that process."""
    return f"{folder}/{identity.partition('-')[0]}.f"


def ask(folder: str, identity: str) -> socket.socket | None:
    """
    Ask how a process ended, or will end.

    Returns:
        A socket on which one DEAD frame arrives once the process is gone and reaped, or None if
        its fork server is gone.
    """
    try:
        stream = connect(fork_server_path(folder, identity))
    except OSError:
        return None
    with contextlib.suppress(OSError):
        stream.sendall(framing.pack(WHY, 0, identity.encode()))
    return stream


def kill(folder: str, identity: str, pid: int) -> None:
    """
    Kill a process, if it has not ended.

    Args:
        folder: The folder of its tree.
        identity: Its identity.
        pid: Its number, for the case that its fork server is gone.
    """
    try:
        with connect(fork_server_path(folder, identity)) as stream:
            stream.sendall(framing.pack(KILL, 0, identity.encode()))
    except OSError:
        kernel.kill_while(pid, lambda: is_listening(socket_path(folder, identity)))


def read_answer(stream: socket.socket) -> ExitReason:
    """Read the answer from what `ask` returned; the socket's timeout bounds the wait."""
    try:
        for kind, _, payload in framing.FrameReader().receive(stream):
            if kind == DEAD:
                return read_death(payload)
    except (framing.StreamEnded, BlockingIOError):
        pass
    return _GONE


def wait_for(folder: str, identity: str, timeout: float | None) -> ExitReason | None:
    """
    Wait until a process is gone and reaped.

    Args:
        folder: The folder of its tree.
        identity: Its identity.
        timeout: Seconds; None waits for ever.

    Returns:
        How it ended as far as the kernel knows, or None if it still lives after `timeout`.
    """
    stream = ask(folder, identity)
    if stream is None:
        return _GONE
    with stream:
        limit_wait(stream, socket.SO_RCVTIMEO, timeout)
        try:
            frames = framing.FrameReader().receive(stream)
        except BlockingIOError:
            return None
        except framing.StreamEnded:
            return _GONE
    return read_death(frames[0][2]) if frames else _GONE
