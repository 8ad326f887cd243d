"""
The fork server: gives birth to the processes of a tree, buries them, and keeps their reasons.

One per tree, single-threaded, started by the program that owns the tree and gone with it. Being the
parent of every process in the kernel's eyes it alone reaps, so each wait status is read exactly
once; being the adopter of orphans it finds what a dead process left behind. It runs no user code
except that it imports modules which one of its children has imported without harm. What it decides
is in `forkserver_state`; what it speaks is in `birth`.
"""

import contextlib
import gc
import importlib
import os
import signal
import socket
import sys
from collections import OrderedDict
from dataclasses import replace
from multiprocessing import spawn
from pathlib import Path
from typing import Final, NoReturn, assert_never

from beethoven import clock
from beethoven.runtime import birth, deaths, framing, kernel, life, names, published
from beethoven.runtime import role as _role  # noqa: F401 - there when a role is born
from beethoven.runtime.folder import remove_folder
from beethoven.runtime.forkserver_state import (
    Announce,
    Effect,
    Finish,
    ForkServerState,
    Kill,
    Life,
    Terminate,
)
from beethoven.runtime.poller import Poller
from beethoven.runtime.preloads import Preloads
from beethoven.runtime.unixsocket import close_quietly, peer

_KEPT_DEATHS: Final = 4096
# While a module is imported ahead no birth is served.
_PRELOAD_TIMEOUT: Final = 2.0
# When to look again at a process of which it cannot be told yet whose it is, in seconds.
_LOOK_AGAIN: Final = 0.002


def _too_long(*_: object) -> None:
    raise TimeoutError("a module takes too long to be imported ahead")


class ForkServer:
    """The runner of the fork server."""

    def __init__(
        self, owner: socket.socket, listener: socket.socket, folder: str, *, owns_folder: bool
    ) -> None:
        self._owner = owner
        self._owns_folder = owns_folder
        self._listener = listener
        self._folder = folder
        self._state = ForkServerState()
        self._poller = Poller()
        self._connections: set[_Connection] = set()
        self._parents: dict[str, _Connection] = {}
        self._waiting: dict[str, list[_Connection]] = {}
        self._marks: dict[str, tuple[str, int]] = {}
        self._deaths: OrderedDict[str, bytes] = OrderedDict()
        self._memory_kills = kernel.out_of_memory_kills()
        self._preloads: list[birth.Preload] = []
        self._imported = Preloads()
        self._is_done = False
        self._is_unsure = False

    def run(self) -> None:
        """Serve until the owner is gone and every process with it."""
        wake, self._wakeup = socket.socketpair()
        for end in (wake, self._wakeup, self._owner, self._listener):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._poller.register(self._listener, self._accept)
        self._poller.register(self._owner, self._lose_owner)
        self._poller.register(wake, lambda: wake.recv(4096))
        while not self._is_done:
            busy = self._poller.poll(self._patience())
            self._perform(self._state.due(now=clock.monotonic()))
            self._reap()
            if self._is_unsure:
                self._settle()
            if not busy and self._preloads:
                self._preload(self._preloads.pop(0))
        self._end_strays()
        if self._owns_folder:
            remove_folder(Path(self._folder))

    def _patience(self) -> float | None:
        if self._preloads:
            return 0
        deadline = self._state.next_deadline()
        patience = None if deadline is None else deadline - clock.monotonic()
        if self._is_unsure:
            return _LOOK_AGAIN if patience is None else min(_LOOK_AGAIN, patience)
        return patience

    def _lose_owner(self) -> None:
        self._poller.unregister(self._owner)
        self._poller.unregister(self._listener)
        self._listener.close()
        self._perform(self._state.owner_ended(now=clock.monotonic()))
        self._settle()

    def _accept(self) -> None:
        # Without a descriptor to spare the caller waits until one is free.
        with contextlib.suppress(OSError):
            stream, _ = self._listener.accept()
            if peer(stream)[1] == os.geteuid():
                self._connections.add(_Connection(stream, self, self._poller))
            else:
                stream.close()

    def forget(self, connection: "_Connection") -> None:
        """A connection has closed: its process needs no announcement any more."""
        self._connections.discard(connection)

    def give_birth(self, request: birth.Request, control: int, parent: "_Connection") -> None:
        """Fork a process that lives on `control`."""
        if not self._state.can_bear(request.parent, request.identity):
            # The request outlived who sent it. Its child would be nobody's, and nobody would wait
            # for its end before the successor of its parent begins.
            parent.close()
            return
        self._marks[request.identity] = (request.name, kernel.socket_inode(control))
        try:
            pid = os.fork()
        except OSError as error:
            self._deaths[request.identity] = message = deaths.not_born(error)
            parent.send(deaths.DEAD, message)
            return
        if pid == 0:
            try:
                self._become_child(request, control)
            finally:
                os._exit(255)
        self._state.born(request.identity, pid, parent=request.parent, linked=request.linked)
        self._parents[request.identity] = parent
        parent.send(birth.BORN, str(pid).encode())

    def _become_child(self, request: birth.Request, control: int) -> NoReturn:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        for connection in self._connections:
            connection.stream.detach()
        self._poller.close()
        for stream in (self._listener, self._owner, self._wakeup):
            stream.detach()
        os.dup2(control, life.CONTROL, inheritable=False)
        os.closerange(life.CONTROL + 1, os.sysconf("SC_OPEN_MAX"))
        if self._imported.are_outdated():
            request = replace(request, method="spawn")
        life.enter(request)

    def kill(self, identity: str) -> None:
        """Kill a process on behalf of its parent, or of whoever names it."""
        self._perform(self._state.kill_requested(identity))

    def tell_death(self, identity: str, connection: "_Connection") -> None:
        """Answer how a process ended, now or when it does."""
        if (message := self._deaths.get(identity)) is not None:
            connection.send(deaths.DEAD, message)
        elif identity in self._state.lives:
            self._waiting.setdefault(identity, []).append(connection)
        else:
            connection.send(deaths.DEAD, deaths.UNKNOWN)

    def preload(self, wish: birth.Preload) -> None:
        """Import a module when nothing else is to be done, so that later births find it there."""
        # What has been imported once stays as it was then, also if it has been edited since.
        if wish not in self._preloads and wish not in self._imported:
            self._preloads.append(wish)

    def _preload(self, wish: birth.Preload) -> None:
        path, sys.path[:] = sys.path[:], wish.path
        streams, known = (sys.stdout, sys.stderr), set(sys.modules)
        signal.signal(signal.SIGALRM, _too_long)
        signal.setitimer(signal.ITIMER_REAL, _PRELOAD_TIMEOUT)
        try:
            with Path(os.devnull).open("w") as sys.stdout:
                sys.stderr = sys.stdout
                if wish.main:
                    spawn.import_main_path(wish.main)
                else:
                    importlib.import_module(wish.module)
        except BaseException:
            pass
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            sys.stdout, sys.stderr = streams
            sys.path[:] = path
        self._imported.note(wish, set(sys.modules) - known)
        gc.collect()
        gc.freeze()

    def _reap(self) -> None:
        seen = False
        with contextlib.suppress(ChildProcessError):
            while info := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                seen = True
                if (life := self._state.running(info.si_pid)) is not None:
                    self._bury(life)
                else:
                    os.waitpid(info.si_pid, 0)
        if seen:
            self._settle()

    def _bury(self, life: Life) -> None:
        # The zombie still holds its number, so the group cannot be anybody else's.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(life.pid, signal.SIGKILL)
        _, status = os.waitpid(life.pid, 0)
        name = self._marks[life.identity][0]
        if name:
            names.unregister(self._folder, name, life.identity)
        Path(names.socket_path(self._folder, life.identity)).unlink(missing_ok=True)
        published.withdraw(self._folder, life.identity)
        self._deaths[life.identity] = message = deaths.wait_status(
            status, out_of_memory=not life.was_killed and self._is_memory(status)
        )
        if len(self._deaths) > _KEPT_DEATHS:
            self._deaths.popitem(last=False)
        for connection in self._waiting.pop(life.identity, []):
            connection.send(deaths.DEAD, message)
        self._state.ended(life.identity, now=clock.monotonic())

    def _is_memory(self, status: int) -> bool:
        """Whether it was most likely the system that has killed, since it has killed somewhere."""
        if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            return False
        before, self._memory_kills = self._memory_kills, kernel.out_of_memory_kills()
        return self._memory_kills > before

    def _settle(self) -> None:
        alive = {life.pid for life in self._state.lives.values() if not life.has_ended}
        strangers = kernel.own_children() - alive
        self._is_unsure = False
        with_strays = {
            life.identity
            for life in self._state.ended_lives()
            if strangers and self._kill_strays(life, strangers)
        }
        self._perform(self._state.settle(with_strays))

    def _kill_strays(self, life: Life, strangers: frozenset[int]) -> bool:
        """Kill what a dead process left behind. Return whether anything of it may still run."""
        mark = f"{birth.MARK}={life.identity}".encode()
        inode = self._marks[life.identity][1]
        may_run = False
        for pid in strangers:
            is_stray = kernel.descends_from(pid, session=life.pid, mark=mark, inode=inode)
            if is_stray:
                os.kill(pid, signal.SIGKILL)
            may_run = may_run or is_stray is not False
            self._is_unsure = self._is_unsure or is_stray is None
        return may_run

    def _end_strays(self) -> None:
        while strangers := kernel.own_children():
            for pid in strangers:
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, 0)

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Kill(pid):
                    os.kill(pid, signal.SIGKILL)
                case Terminate(pid):
                    os.kill(pid, signal.SIGTERM)
                case Announce(identity):
                    self._marks.pop(identity, None)
                    parent = self._parents.pop(identity)
                    parent.send(deaths.DEAD, self._deaths[identity])
                    parent.close()
                case Finish():
                    self._is_done = True
                case _:
                    assert_never(effect)


class _Connection:
    """One request to the fork server, and the answers to it."""

    def __init__(self, stream: socket.socket, server: ForkServer, poller: Poller) -> None:
        self.stream = stream
        self._server = server
        self._poller = poller
        self._reader = framing.FrameReader()
        self._identity = ""
        stream.setblocking(False)
        poller.register(stream, self._on_ready)

    def _on_ready(self) -> None:
        try:
            if self._identity:
                self._take(self._reader.receive(self.stream), [])
                return
            data, descriptors, _, _ = socket.recv_fds(self.stream, 65536, 1)
            if not data:
                raise framing.StreamEnded
            self._take(framing.cut(data), list(descriptors))
        except (framing.StreamEnded, OSError, ValueError):
            self.close()

    def _take(self, frames: list[framing.Frame], descriptors: list[int]) -> None:
        for kind, _, payload in frames:
            text = bytes(payload).decode()
            match kind:
                case birth.BIRTH if descriptors:
                    request = birth.Request.parse(text)
                    self._identity = request.identity
                    control = descriptors.pop()
                    try:
                        self._server.give_birth(request, control, self)
                    finally:
                        os.close(control)
                case deaths.WHY:
                    self._identity = text
                    self._server.tell_death(text, self)
                case deaths.KILL:
                    self._server.kill(text or self._identity)
                case birth.PRELOAD:
                    self._server.preload(birth.Preload.parse(text))

    def send(self, kind: int, payload: bytes) -> None:
        with contextlib.suppress(OSError):
            self.stream.send(framing.pack(kind, 0, payload))

    def close(self) -> None:
        if self.stream.fileno() >= 0:
            self._poller.unregister(self.stream)
            close_quietly(self.stream)
        self._server.forget(self)


def main(owner: int, listener: int, folder: str, owns_folder: bool) -> NoReturn:  # noqa: FBT001
    """Run a fork server whose owner holds the other end of the socket `owner`, then exit."""
    os.setsid()
    life.settle_in()
    kernel.adopt_orphans()
    kernel.allow_many_descriptors()
    gc.collect()
    gc.freeze()
    ForkServer(
        socket.socket(fileno=owner),
        socket.socket(fileno=listener),
        folder,
        owns_folder=owns_folder,
    ).run()
    os._exit(0)
