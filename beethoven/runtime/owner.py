"""
Owning a tree: its private folder and its fork server.

A program becomes an owner with the first process that it starts, and stops being one when the last
has ended: then the fork server is gone too, and the folder. A process inside a tree becomes the
owner of a fork server only if the one that it was told of has died. The owner's end of a socket is
the fork server's lifeline: whatever ends the owner, the fork server learns of it and takes every
process along.
"""

import atexit
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import util
from pathlib import Path
from typing import Final, Protocol

from beethoven import clock
from beethoven.log import get_log
from beethoven.runtime import birth, framing
from beethoven.runtime.folder import make_folder, remove_folder
from beethoven.runtime.here import here
from beethoven.runtime.reference import Ref
from beethoven.runtime.unixsocket import close_quietly, connect, limit_wait, listen

# A fork server that was let go needs to end its last processes (see `forkserver_state`).
_FAREWELL: Final = 3.0
_LAST_GRACE: Final = 1.0
# So many processes are no burden, also if they have ended.
_FEW: Final = 64


@dataclass(frozen=True, slots=True)
class _Server:
    number: str
    lifeline: socket.socket
    pid: int


class Tracked(Protocol):
    """A process that this program started and whose end it watches for."""

    ref: Ref

    def has_ended(self, timeout: float = 0.0) -> bool: ...
    def orphan(self) -> None: ...
    def kill(self) -> None: ...
    def abandon(self) -> None: ...


log = get_log("owner")

_lock = threading.RLock()
_servers: list[_Server] = []
_children: list[Tracked] = []
_folder_handle = -1
_starts_under_way = 0
_sweep_at = _FEW


def connect_fork_server() -> tuple[str, socket.socket]:
    """
    Connect to the fork server, starting one if there is none (any more).

    Returns:
        The number of the fork server, with which identities begin, and the connection.
    """
    with _lock:
        if here.fork_server:
            try:
                return here.fork_server, connect(f"{here.folder}/{here.fork_server}.f")
            except (ConnectionError, FileNotFoundError):
                log.warning("fork_server_lost", fork_server=here.fork_server)
                _bury_servers()
        here.fork_server = _start_server()
        return here.fork_server, connect(f"{here.folder}/{here.fork_server}.f")


def open_tree(modules: Iterable[str]) -> None:
    """
    Start the fork server before its first birth.

    Args:
        modules: What it imports ahead as soon as it can: modules of the library that births need,
            and whose import is known to leave nothing but themselves.
    """
    path = tuple(sys.path)
    wishes = (birth.Preload("", module, path).text().encode() for module in modules)
    with connect_fork_server()[1] as stream:
        stream.sendall(b"".join(framing.pack(birth.PRELOAD, 0, wish) for wish in wishes))


def _start_server() -> str:
    global _folder_handle
    if not here.folder:
        folder, _folder_handle = make_folder()
        here.folder = str(folder)
        here.on_stopped = release
        atexit.register(close)
    number = os.urandom(2).hex()
    lifeline, theirs = socket.socketpair()
    owns_folder = not here.identity
    with theirs, listen(f"{here.folder}/{number}.f") as listener:
        inherited = [theirs.fileno(), listener.fileno()]
        arguments = f"{theirs.fileno()},{listener.fileno()},{here.folder!r},{owns_folder}"
        if owns_folder:
            inherited.append(_folder_handle)
        call = f"from beethoven.runtime.forkserver import main;main({arguments})"
        command, path = birth.new_interpreter(call)
        try:
            pid = util.spawnv_passfds(
                os.fsencode(sys.executable), command, sorted([*inherited, path])
            )
        finally:
            os.close(path)
    _servers.append(_Server(number, lifeline, pid))
    return number


def _bury_servers() -> None:
    for server in _servers:
        close_quietly(server.lifeline)
        with contextlib.suppress(ChildProcessError):
            if not _has_gone(server.pid):
                os.kill(server.pid, signal.SIGKILL)
                os.waitpid(server.pid, 0)
    _servers.clear()


def _has_gone(pid: int) -> bool:
    """Wait a little for a fork server that was let go; one that was stopped never goes."""
    deadline = clock.monotonic() + _LAST_GRACE
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        if clock.monotonic() > deadline:
            return False
        threading.Event().wait(0.005)
    return True


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """Keep the tree while a process is started, also if the last one of others ends meanwhile."""
    _count_starts(1)
    try:
        yield
    except BaseException:
        _count_starts(-1)
        release()
        raise
    _count_starts(-1)


def _count_starts(change: int) -> None:
    global _starts_under_way  # noqa: PLW0603
    with _lock:
        _starts_under_way += change


def track(child: Tracked) -> None:
    """Keep a process that this program started, and with it the tree."""
    global _sweep_at  # noqa: PLW0603
    with _lock:
        if len(_children) >= _sweep_at:
            # Whoever starts many short lives must not keep what is left of each.
            _children[:] = [each for each in _children if not each.has_ended()]
            _sweep_at = 2 * len(_children) + _FEW
        _children.append(child)


def release(stopped: str = "") -> None:
    """
    Let the tree go if nothing of it lives any more.

    Args:
        stopped: A process that is known to have ended; what it left behind is waited for.
    """
    with _lock:
        if here.identity or not here.folder:
            return
        _children[:] = [
            child
            for child in _children
            if not child.has_ended(_FAREWELL if child.ref.identity == stopped else 0.0)
        ]
        if not _children and not _starts_under_way:
            close()


def close() -> None:
    """End everything that this program started, and wait until it is gone."""
    global _folder_handle  # noqa: PLW0603
    with _lock:
        for child in _children:
            child.orphan()
        for server in _servers:
            with contextlib.suppress(OSError):
                server.lifeline.shutdown(socket.SHUT_WR)
                limit_wait(server.lifeline, socket.SO_RCVTIMEO, _FAREWELL)
                server.lifeline.recv(1)
        _bury_servers()
        # Only a child whose own fork server died before can still be there.
        for child in _children:
            if not child.has_ended(_FAREWELL):
                child.kill()
            child.abandon()
        _children.clear()
        if _folder_handle >= 0:
            os.close(_folder_handle)
            _folder_handle = -1
        folder, here.folder, here.fork_server = here.folder, "", ""
        if folder and not here.identity:
            # Its fork server has done so already, unless that had to be killed.
            remove_folder(Path(folder))
        atexit.unregister(close)


def _forget() -> None:
    global _folder_handle, _lock, _starts_under_way  # noqa: PLW0603
    _lock, _starts_under_way = threading.RLock(), 0
    for server in _servers:
        close_quietly(server.lifeline)
    _servers.clear()
    _children.clear()
    if _folder_handle >= 0:
        os.close(_folder_handle)
        _folder_handle = -1
    atexit.unregister(close)


os.register_at_fork(after_in_child=_forget)
