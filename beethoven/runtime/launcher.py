"""
Launching: the parent's side of a birth and of the life and death that follow.

A `Child` is driven by a poller and tells its parent what happens to it, each at most once:
`Started`, `Ignored` or `Failed`; after `Started`, `Exited`. `Ignored`, `Failed` and `Exited` come
when the process and everything that it started are gone.
"""

import contextlib
import os
import pickle
import select
import signal
import socket
import weakref
from collections.abc import Callable
from dataclasses import dataclass

from beethoven import clock
from beethoven.runtime import birth, deaths, framing, kernel, owner
from beethoven.runtime.birth import Birth, Request, StartFailure
from beethoven.runtime.here import here
from beethoven.runtime.poller import HasFileno, Poller
from beethoven.runtime.reason import ExitReason, ReasonKind
from beethoven.runtime.reference import Ref
from beethoven.runtime.status import CrashReport
from beethoven.runtime.unixsocket import close_quietly

_LOST = ExitReason(ReasonKind.OTHER, "unknown, for its fork server is gone")


@dataclass(frozen=True, slots=True)
class Started:
    """The child's `init` has returned."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """The child's `init` returned `Ignore`; the process is gone."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The child did not start; the process is gone. `error` is its pickled exception, if any."""

    reason: ExitReason
    error: bytes = b""


@dataclass(frozen=True, slots=True)
class Exited:
    """The child had started, and is gone. `report`: what it left behind for the log, if that."""

    reason: ExitReason
    report: CrashReport | None = None


ChildEvent = Started | Ignored | Failed | Exited

_all: "weakref.WeakSet[Child]" = weakref.WeakSet()


class Child:
    """A process that this one started: its control and its connection to the fork server."""

    def __init__(
        self,
        begin: Birth,
        *,
        method: str,
        poller: Poller,
        notify: Callable[["Child", ChildEvent], None],
    ) -> None:
        payload = birth.pack_birth(begin)
        server, self._births = owner.connect_fork_server()
        identity = f"{server}-{os.urandom(4).hex()}"
        self.ref = Ref(identity, here.folder, 0, begin.plain_name)
        self._notify = notify
        self._poller = poller
        self.role = begin.label or begin.behaviour.__qualname__
        self._linked = begin.linked
        self._is_started = False
        self._is_lost = False
        self._is_over = False
        self._record: Ignored | Failed | Exited | None = None
        self._births_reader = framing.FrameReader()
        self._control_reader = framing.FrameReader()
        self._outgoing = memoryview(framing.pack(birth.BEGIN, 0, payload))
        self._control, theirs = socket.socketpair()
        self._pidfd: _PidFd | None = None
        request = Request(
            identity, begin.plain_name or "", here.identity, begin.linked, method, here.folder
        )
        # If the fork server ends just now, the end of both streams tells it.
        with theirs, contextlib.suppress(OSError):
            frame = framing.pack(birth.BIRTH, 0, request.text().encode())
            socket.send_fds(self._births, [frame], [theirs.fileno()])
        self._births.setblocking(False)
        self._control.setblocking(False)
        _all.add(self)
        self.move_to(poller, notify)
        self._write()

    def move_to(self, poller: Poller, notify: Callable[["Child", ChildEvent], None]) -> None:
        """Be driven by another poller from now on."""
        sources = self._sources()
        for source, _ in sources:
            self._poller.unregister(source)
        self._poller, self._notify = poller, notify
        for source, on_readable in sources:
            poller.register(source, on_readable)

    def _sources(self) -> list[tuple[HasFileno, Callable[[], None]]]:
        """Return what is watched, that which tells of the child's end first."""
        sources: list[tuple[HasFileno, Callable[[], None]]] = []
        if self._births.fileno() >= 0:
            sources.append((self._births, self._on_births))
        if self._pidfd is not None:
            sources.append((self._pidfd, self._on_pidfd))
        if self._control.fileno() >= 0:
            sources.append((self._control, self._on_control))
        return sources

    def stop(self, reason: ExitReason) -> None:
        """Send the child an exit signal from its parent."""
        frame = framing.pack(birth.EXIT_SIGNAL, 0, pickle.dumps(reason, 5))
        self._outgoing = memoryview(bytes(self._outgoing) + frame)
        self._write()

    def kill(self) -> None:
        """End the child at once, whatever it does."""
        if self._pidfd is not None:
            self._pidfd.kill()
            return
        if self._is_lost:
            self.orphan()
            return
        with contextlib.suppress(OSError):
            self._births.send(framing.pack(deaths.KILL, 0, b""))

    def orphan(self) -> None:
        """Let the child know that its parent is gone."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)

    def abandon(self) -> None:
        """Close this side: a linked child is an orphan then, an unlinked one is on its own."""
        for source, _ in self._sources():
            self._poller.unregister(source)
        close_quietly(self._births)
        close_quietly(self._control)
        if self._pidfd is not None:
            self._pidfd.close()
            self._pidfd = None

    def release_control(self) -> None:
        """Stop being the parent of an unlinked child; only its end is still watched for."""
        self._poller.unregister(self._control)
        self._control.close()

    def has_ended(self, timeout: float = 0.0) -> bool:
        """Look, without a poller, whether the child is gone or goes within `timeout` seconds."""
        deadline = clock.monotonic() + timeout
        while not self._is_over and (sources := self._sources()):
            source, on_readable = sources[0]
            poll = select.poll()
            poll.register(source, select.POLLIN)
            if not poll.poll(max(0.0, deadline - clock.monotonic()) * 1000):
                return False
            on_readable()
        return True

    def _write(self) -> None:
        try:
            while self._outgoing:
                sent = self._control.send(self._outgoing)
                self._outgoing = self._outgoing[sent:]
        except BlockingIOError:
            self._poller.register_writer(self._control, self._write)
            return
        except OSError:
            pass
        # What is left of a view, be it nothing, holds on to all of its bytes.
        self._outgoing = memoryview(b"")
        if self._control.fileno() >= 0:
            self._poller.unregister_writer(self._control)

    def _on_births(self) -> None:
        try:
            frames = self._births_reader.receive(self._births)
        except BlockingIOError:
            return
        except framing.StreamEnded:
            self._lose_fork_server()
            return
        for kind, _, payload in frames:
            if kind == birth.BORN:
                self._note_pid(int(payload))
            elif kind == deaths.DEAD:
                self._finish(deaths.read_death(payload))

    def _note_pid(self, pid: int) -> None:
        self.ref = Ref(self.ref.identity, self.ref.folder, pid, self.ref.name)

    def _on_control(self) -> None:
        try:
            frames = self._control_reader.receive(self._control)
        except BlockingIOError:
            return
        except framing.StreamEnded:
            self._poller.unregister(self._control)
            self._control.close()
            if self._is_lost and self._pidfd is None:
                self._finish(_LOST)
            return
        for kind, number, payload in frames:
            self._read_control(kind, number, payload)

    def _read_control(self, kind: int, pid: int, payload: bytes | bytearray) -> None:
        match kind:
            case birth.STARTED:
                self._note_pid(pid)
                self._is_started = True
                self._notify(self, Started())
            case birth.IGNORED:
                self._record = Ignored()
            case birth.FAILED:
                failure: StartFailure = pickle.loads(payload)
                self._record = Failed(failure.reason, failure.error)
            case birth.EXITED if self._record is None:
                self._record = Exited(*pickle.loads(payload))

    def _lose_fork_server(self) -> None:
        # Nobody will tell of the child's death any more. While it listens its pid is its own.
        self._is_lost = True
        self._poller.unregister(self._births)
        self._births.close()
        self._on_control_until_blocked()
        if self.ref.pid and self.ref.is_alive():
            self._pidfd = _PidFd.open(self.ref.pid)
        if self._pidfd is not None:
            self._poller.register(self._pidfd, self._on_pidfd)
        elif self._control.fileno() < 0:
            self._finish(_LOST)

    def _on_pidfd(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.ref.pid, signal.SIGKILL)
        kernel.kill_strays(self.ref.pid, birth.mark_of(self.ref.identity))
        self._finish(_LOST)

    def _on_control_until_blocked(self) -> None:
        if self._control.fileno() < 0:
            return
        with contextlib.suppress(framing.StreamEnded, BlockingIOError):
            while True:
                for kind, number, payload in self._control_reader.receive(self._control):
                    self._read_control(kind, number, payload)

    def _finish(self, death: ExitReason) -> None:
        self._on_control_until_blocked()
        self.abandon()
        self._is_over = True
        record = self._record
        if self._is_started:
            end = record if isinstance(record, Exited) else Exited(death)
            deaths.note(self.ref.identity, end.reason)
            self._notify(self, end)
        elif isinstance(record, Exited):
            self._notify(self, Failed(record.reason))
        else:
            self._notify(self, record or Failed(death))


class _PidFd:
    """A handle on a process that no other process can ever inherit the meaning of."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def open(cls, pid: int) -> "_PidFd | None":
        try:
            return cls(os.pidfd_open(pid))
        except (AttributeError, OSError):
            return None

    def fileno(self) -> int:
        return self._descriptor

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def close(self) -> None:
        os.close(self._descriptor)


def orphan_all() -> None:
    """Let every child know at once that this process is about to be gone."""
    for child in list(_all):
        child.orphan()


def _close_copies() -> None:
    # A copy of a control in a forked process would keep the child from noticing its parent's end.
    for child in list(_all):
        close_quietly(child._control)  # noqa: SLF001 - same file
        close_quietly(child._births)  # noqa: SLF001


os.register_at_fork(after_in_child=_close_copies)
