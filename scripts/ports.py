"""Ports for nodes that tests and experiments start: free ones, and each for one user at a time."""

import fcntl
import os
import random
import socket
from pathlib import Path
from typing import Final

# Above those of well-known services, below those that systems give to outgoing connections.
_FIRST: Final = 20_000
_LAST: Final = 32_000

_taken: set[int] = set()
_locks: list[int] = []


def free_port() -> int:
    """
    Return a TCP port that nobody on this machine listens on, at any address.

    No other call of this function returns it as long as this process lives, in any process.

    Raises:
        OSError: There is none.
    """
    candidates = [port for port in range(_FIRST, _LAST) if port not in _taken]
    for port in random.sample(candidates, len(candidates)):
        if _reserve(port) and _is_free(port):
            _taken.add(port)
            return port
    raise OSError(f"expected a free port from {_FIRST} to {_LAST}, got none")


def _reserve(port: int) -> bool:
    """Take this process's lock of a port: a byte of one file, let go when the process ends."""
    if not _locks:
        path = Path(f"/tmp/beethoven-ports-{os.geteuid()}")
        _locks.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    try:
        fcntl.lockf(_locks[0], fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
