"""
How the nodes of one user on one machine are found: a locked file for each, by name.

The lock is the proof of life. It ends with its process, so what a killed node left behind never
keeps another from starting. Its last processes may still be ending then: the next node of its name
waits for them, so that no role ever has two instances here.
"""

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from beethoven import clock
from beethoven.errors import AlreadyRunning, NodeNotFound
from beethoven.node.orphans import end_leftovers
from beethoven.runtime.folder import KEPT, base_folder, has_base_folder, let_go, locked
from beethoven.runtime.unixsocket import is_listening

# What a killed node leaves is gone within a second; on a machine under load it may take longer.
_LONGEST_WAIT: Final = 5.0
_GLANCE: Final = 0.01
_CHOICE: Final = "--node NAME, or connect(node=NAME) in a program"


@dataclass(frozen=True, slots=True)
class Presence:
    """
    A node that runs on this machine.

    Attributes:
        name: The node's name.
        pid: Its root process.
        folder: The private folder of its tree.
        address: Where other nodes find it.
        since: When it started, in seconds since 1970.
        config: Its configuration file.
    """

    name: str
    pid: int
    folder: str
    address: str
    since: float
    config: str


def _path(name: str) -> Path:
    return base_folder() / f"node-{name}"


@contextlib.contextmanager
def claimed(name: str) -> Iterator[int]:
    """
    Hold a node's name; the file is removed in the end.

    Yields:
        The open file, for `announce`.

    Raises:
        AlreadyRunning: A living node holds it.
    """
    path = _path(name)
    handle = _lock(path)
    found = _read(path)
    if handle is None:
        raise AlreadyRunning(name=name, pid=found.pid if found else 0)
    try:
        if found is not None:
            _wait_until_gone(Path(found.folder))
            end_leftovers(Path(found.folder))
            let_go(Path(found.folder))
        os.ftruncate(handle, 0)
        yield handle
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _lock(path: Path) -> int | None:
    """Return the open file with its lock held, or None if another process holds it."""
    while True:
        with _nobody_else_looks():
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Its last holder may have removed it between our two steps.
                if os.fstat(handle).st_ino == path.stat().st_ino:
                    return handle
            except BlockingIOError:
                os.close(handle)
                return None
            except FileNotFoundError:
                pass
            os.close(handle)


@contextlib.contextmanager
def _nobody_else_looks() -> Iterator[None]:
    """Keep others from trying a lock: for that moment they hold it, as if they were the node."""
    with locked(base_folder() / "lock"):
        yield


def _wait_until_gone(folder: Path) -> None:
    """Wait for the processes of a node whose root is dead."""
    deadline = clock.monotonic() + _LONGEST_WAIT
    while _is_alive(folder) and clock.monotonic() < deadline:
        threading.Event().wait(_GLANCE)


def _is_alive(folder: Path) -> bool:
    """Whether a tree has its fork server still or, if that was killed, a process that listens."""
    try:
        with (folder / "lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return any(is_listening(str(path)) for path in folder.glob("*.s"))
    except BlockingIOError:
        return True
    except OSError:
        return False


def end_the_dead() -> None:
    """
    End what the dead nodes of this user have left here, if any of it is stuck or stopped.

    Processes of a node that is well end within a second of its root.
    """
    with _nobody_else_looks():
        for path in base_folder().glob("node-*"):
            with contextlib.suppress(OSError):
                if not _is_held(path) and (found := _read(path)) is not None:
                    end_leftovers(Path(found.folder))


def announce(handle: int, presence: Presence) -> None:
    """Let the node be found; if it is killed, the next of its name looks what it has left."""
    Path(presence.folder, KEPT).touch(mode=0o600)
    os.pwrite(handle, json.dumps(asdict(presence)).encode(), 0)


def move(name: str, address: str) -> None:
    """
    Let a node be found at another address, from whichever process of it.

    Args:
        name: The node's name.
        address: Where other nodes find it from now on.
    """
    path = _path(name)
    with _nobody_else_looks(), contextlib.suppress(FileNotFoundError):
        if (found := _read(path)) is None:
            return
        data = json.dumps(asdict(replace(found, address=address))).encode()
        # The same file, since the lock is on it, and never a part of its content.
        with path.open("r+b", buffering=0) as file:
            file.write(data.ljust(os.fstat(file.fileno()).st_size))


def _read(path: Path) -> Presence | None:
    try:
        return Presence(**json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _is_held(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def running_nodes() -> list[Presence]:
    """Return the nodes of this user that run on this machine, by name."""
    found: list[Presence] = []
    if not has_base_folder():
        return found
    with _nobody_else_looks():
        for path in sorted(base_folder().glob("node-*")):
            with contextlib.suppress(OSError):
                if _is_held(path) and (presence := _read(path)) is not None:
                    found.append(presence)
    return found


def find_node(name: str | None) -> Presence:
    """
    Return the node that is meant.

    Args:
        name: Its name, or None for the only one.

    Raises:
        NodeNotFound: There is none, or several and none was named.
    """
    nodes = running_nodes()
    names = ", ".join(node.name for node in nodes)
    if name is None and len(nodes) == 1:
        return nodes[0]
    if name is None and nodes:
        raise NodeNotFound(f"several nodes run here: {names}; choose one: {_CHOICE}")
    for node in nodes:
        if node.name == name:
            return node
    wanted = "no node" if name is None else f"no node named {name!r}"
    running = f"; running: {names}" if names else ""
    raise NodeNotFound(f"{wanted} runs on this machine for this user{running}")
