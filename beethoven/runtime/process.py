"""
One process of the tree, seen from inside: its mailbox, timers, links, monitors and children.

Messages arrive in `receive`, one at a time. The parent alone is heard at any moment, by a thread
that does nothing else: so a process that is busy still notices that it must end.
"""

import _thread
import contextlib
import os
import pickle
import signal
import socket
import threading
from collections import deque
from pathlib import Path
from typing import Any, Final

from beethoven import clock
from beethoven.runtime import birth, framing, kernel, launcher, names
from beethoven.runtime.answers import Answers, Due
from beethoven.runtime.bonds import Bond, await_death
from beethoven.runtime.client import Client, finish_sending
from beethoven.runtime.doorkeeper import Doorkeeper
from beethoven.runtime.exit_signals import (
    Down,
    Effect,
    Exit,
    ParentExit,
    Sender,
    effect_of,
    effect_of_sent,
    is_down,
)
from beethoven.runtime.forkserver_state import ORPHAN_GRACE
from beethoven.runtime.here import here
from beethoven.runtime.launcher import Child, ChildEvent, Exited
from beethoven.runtime.poller import Poller
from beethoven.runtime.process_info import ProcessInfo
from beethoven.runtime.reason import KILLED, ExitReason, ReasonKind
from beethoven.runtime.reference import Ref
from beethoven.runtime.status import CrashReport
from beethoven.runtime.timers import Timers
from beethoven.runtime.unixsocket import close_quietly

# A process that has ended waits so long for a caller that does not take the rest of its reply.
_LAST_PATIENCE: Final = 1.0


class Process:
    """
    The process itself.

    Attributes:
        ref: Its own reference.
        parent: Who started it, if that is a process of the tree.
        resident: What lives in it; may say whether it traps exits.
        lock: Held while bonds change, for processes whose mailbox another thread drives.
        queue: Messages that have been read and not been handled.
        continuation: What is to be handled before any message, as the arguments of a callback.
        label: What its user says that it is, for people.
        lineage: Itself, its parent, whose parent, and so on to the root of the tree.
        is_supervised: Whether its parent tells the log how it ended.
        crash_report: What it leaves behind for the log, if it ends abnormally.
    """

    def __init__(
        self,
        ref: Ref,
        *,
        parent: Ref | None,
        linked: bool,
        control: socket.socket | None,
        listener: socket.socket,
    ) -> None:
        self.ref = ref
        self.parent = parent
        self.resident: object = None
        self.continuation: tuple[Any, ...] | None = None
        self.label: str | None = None
        self.lineage: tuple[Ref, ...] = (ref,)
        self.is_supervised = False
        self.crash_report: CrashReport | None = None
        self.lock = threading.RLock()
        self.queue: deque[Any] = deque()
        self.poller = Poller()
        self.timers = Timers()
        self._linked = linked
        self._control = control
        self._listener = listener
        wake, self._wake = socket.socketpair()
        wake.setblocking(False)
        self.poller.register(wake, lambda: self._woken(wake))
        self._door = Doorkeeper(listener, self.poller, self._take_in, self._rouse)
        self._clients: dict[int, Client] = {}
        self.answers = Answers(self.poller, self._take_answer)
        self._links: dict[str, Bond] = {}
        self._monitors: dict[int, Bond] = {}
        self._last_monitor = 0
        self._children: dict[str, Child] = {}
        self._last_words: list[tuple[int, Any]] = []
        self._leaving = threading.Lock()
        self._is_orphaned = False

    @property
    def trap_exit(self) -> bool:
        """Whether signals of others arrive as messages, and `terminate` runs if the parent ends."""
        return bool(getattr(self.resident, "trap_exit", False))

    def watch_parent(self, reader: framing.FrameReader, frames: list[framing.Frame]) -> None:
        """
        Begin to listen to the parent.

        Args:
            reader: What has read from the control so far.
            frames: What has been read and not been heeded.
        """
        if self._control is not None:
            # Unlike `Thread.start` this does not wait until the thread runs.
            _thread.start_new_thread(self._watch, (reader, frames))

    def _watch(self, reader: framing.FrameReader, frames: list[framing.Frame]) -> None:
        assert self._control is not None
        try:
            while True:
                for kind, _, payload in frames:
                    if kind == birth.EXIT_SIGNAL:
                        self._hear(pickle.loads(payload), is_orphaned=False)
                frames = reader.receive(self._control)
        except framing.StreamEnded:
            if self._linked:
                launcher.orphan_all()
                self._is_orphaned = True
                self._hear(KILLED, is_orphaned=True)
                threading.Event().wait(ORPHAN_GRACE)
                kernel.kill_strays(os.getpid(), birth.mark_of(self.ref.identity))
                os.killpg(0, signal.SIGKILL)

    def _hear(self, reason: ExitReason, *, is_orphaned: bool) -> None:
        effect = effect_of(reason, traps_exits=self.trap_exit, from_parent=True)
        if effect is Effect.TERMINATE:
            self.post(ParentExit(reason, is_orphaned))
        else:
            self.leave(reason)

    def post(self, message: Any) -> None:
        """Put a message into the own mailbox, from any thread or signal handler."""
        self.queue.append(message)
        self._rouse()

    def _rouse(self) -> None:
        self._wake.send(b"\0")

    def _woken(self, wake: socket.socket) -> None:
        wake.recv(4096)
        self._door.open()

    def receive(self, *, wait: bool = True) -> Any:
        """
        Return the next message.

        Returns:
            A received frame as a tuple, or one of the message objects; None if there is none and
            `wait` is false.
        """
        if here.process is not self:
            self.end_copy()
        queue = self.queue
        while not queue:
            next_at = self.timers.next_at
            if next_at is None:
                self.poller.poll(None if wait else 0)
            else:
                # A new caller is ready once before its first message is.
                was_ready = self.poller.poll(next_at - clock.monotonic() if wait else 0)
                queue.extend(self.timers.due(clock.monotonic(), is_quiet=not was_ready))
            if not wait and not queue:
                return None
        return queue.popleft()

    def _take_in(self, stream: socket.socket) -> None:
        client = Client(stream, self)
        if client.uid == os.geteuid():
            self.admit(client)
        else:
            client.close()

    def admit(self, client: Client) -> None:
        """Take one more caller."""
        self._clients[client.serial] = client

    def client(self, serial: int) -> Client | None:
        """Return a caller that is connected, or None."""
        return self._clients.get(serial)

    def lose_client(self, client: Client) -> None:
        """A caller has gone."""
        self._clients.pop(client.serial, None)
        self._door.open()
        if self._last_words:
            self._deliver_deaths()

    def lose_link(self, ref: Ref, reason: ExitReason | None) -> None:
        """A process that had linked itself to this one has closed its connection."""
        await_death(ref, reason, self.poller, self._on_link_end)

    def link(self, ref: Ref) -> None:
        """End with another process, and let it end with this one."""
        with self.lock:
            bond = self._links.get(ref.identity)
            if (bond is None or not bond.is_bound) and self._client_link(ref) is None:
                hello = framing.pack(framing.LINK, 0, pickle.dumps(self.ref, 5))
                self._links[ref.identity] = Bond(ref, hello, self.poller, self._on_link_end)

    def unlink(self, ref: Ref) -> None:
        """Undo a link, whichever side made it."""
        with self.lock:
            bond = self._links.pop(ref.identity, None)
            if bond is not None:
                bond.say(framing.pack(framing.UNLINK, 0, b""))
                bond.cut()
            client = self._client_link(ref)
            if client is not None:
                client.link = None
                client.send(framing.UNLINK, 0, b"")
            child = self._children.pop(ref.identity, None)
            if child is not None:
                child.move_to(self.poller, lambda *_: None)

    def take_exit(self, sender: Ref, reason: ExitReason) -> None:
        """Heed an exit signal that somebody has sent on purpose."""
        match effect_of_sent(reason, traps_exits=self.trap_exit, sender=self._relation(sender)):
            case Effect.DELIVER:
                self.queue.append(Exit(sender, reason))
            case Effect.TERMINATE:
                self.queue.append(ParentExit(reason, is_orphaned=False))
            case Effect.DIE:
                self.leave(reason)

    def _relation(self, sender: Ref) -> Sender:
        if sender.identity == self.ref.identity:
            return Sender.ITSELF
        parent = "" if self.parent is None else self.parent.identity
        return Sender.PARENT if self._linked and sender.identity == parent else Sender.OTHER

    def info(self) -> ProcessInfo:
        """Return what anybody may know of this process."""
        linked = [bond.ref for bond in self._links.values() if bond.is_bound]
        linked += [client.link for client in self._clients.values() if client.link is not None]
        linked += [child.ref for child in self._children.values()]
        if self._linked and self.parent is not None:
            linked.append(self.parent)
        return ProcessInfo(
            ref=self.ref,
            name=self.ref.name,
            label=self.label,
            parent=self.parent,
            trap_exit=self.trap_exit,
            links=tuple(linked),
            monitors=tuple(bond.ref for bond in self._monitors.values()),
        )

    def _client_link(self, ref: Ref) -> Client | None:
        for client in self._clients.values():
            if client.link is not None and client.link.identity == ref.identity:
                return client
        return None

    def monitor(self, ref: Ref) -> int:
        """Ask for one `Down` when another process ends. Return the monitor's number."""
        self._last_monitor += 1
        number = self._last_monitor

        def on_end(ref: Ref, reason: ExitReason) -> None:
            self._monitors.pop(number, None)
            self._after_last_words(ref.pid, Down(number, ref, reason))

        hello = framing.pack(framing.MONITOR, 0, b"")
        bond = Bond(ref, hello, self.poller, on_end)
        if bond.is_bound:
            self._monitors[number] = bond
        return number

    def demonitor(self, number: int) -> None:
        """Undo a monitor; its `Down`, if it has come already, is taken back."""
        bond = self._monitors.pop(number, None)
        if bond is not None:
            bond.cut()
        for message in [each for each in self.queue if is_down(each, number)]:
            self.queue.remove(message)
        self._last_words = [each for each in self._last_words if not is_down(each[1], number)]

    def adopt(self, child: Child) -> None:
        """Be linked to a child that this process has started."""
        with self.lock:
            self._children[child.ref.identity] = child
            child.move_to(self.poller, self._on_child)

    def _on_child(self, child: Child, event: ChildEvent) -> None:
        self._children.pop(child.ref.identity, None)
        if isinstance(event, Exited):
            self._on_link_end(child.ref, event.reason)

    def _on_link_end(self, ref: Ref, reason: ExitReason) -> None:
        self._links.pop(ref.identity, None)
        match effect_of(reason, traps_exits=self.trap_exit, from_parent=False):
            case Effect.DELIVER:
                self._after_last_words(ref.pid, Exit(ref, reason))
            case Effect.DIE:
                self.leave(reason)

    def _after_last_words(self, pid: int, message: Exit | Down) -> None:
        """Deliver the news of a death after everything that the dead process has sent."""
        self._door.accept()
        self._last_words.append((pid, message))
        self._deliver_deaths()

    def _take_answer(self, answer: Due) -> None:
        self.queue.append(answer)
        if self._last_words:
            self._deliver_deaths()

    def _deliver_deaths(self) -> None:
        talking = {client.pid for client in self._clients.values()}
        for entry in list(self._last_words):
            if entry[0] not in talking and not self.answers.is_due(entry[1].ref):
                self._last_words.remove(entry)
                self.queue.append(entry[1])

    def say(self, kind: int, payload: bytes = b"") -> None:
        """Tell the parent something."""
        if self._control is not None:
            try:
                self._control.sendall(framing.pack(kind, self.ref.pid, payload))
            except OSError:
                return

    def leave(self, reason: ExitReason) -> None:
        """
        End this process now, with its last words to all who listen.

        Returns only in the watching thread, and only if another thread is leaving already.
        """
        self.end_copy()
        if not self._leaving.acquire(blocking=False):
            if threading.current_thread() is threading.main_thread():
                threading.Event().wait()
            return
        # The name first: nobody who hears of the end can still find the process.
        for step in (self.forget_name, lambda: self.tell_end(reason)):
            with contextlib.suppress(Exception):
                step()
        if self._is_orphaned:
            # The fork server may be gone too, and nobody else will look for what was started here.
            kernel.kill_strays(os.getpid(), birth.mark_of(self.ref.identity))
        if reason.kind is ReasonKind.KILLED:
            # So that the wait status tells the same to those who no longer hear our last words.
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(0 if not reason.is_abnormal else 1)

    def end_copy(self) -> None:
        """End here if this is a copy that user code has forked: the process speaks for itself."""
        if here.process is not self:
            os._exit(1)

    def forget_name(self) -> None:
        """Be nobody's to find any more."""
        Path(names.socket_path(self.ref.folder, self.ref.identity)).unlink(missing_ok=True)
        # Whoever has called while a callback ran is to get the reason like the others.
        self._door.accept()
        close_quietly(self._listener)
        if self.ref.name is not None:
            names.unregister(self.ref.folder, self.ref.name, self.ref.identity)

    def tell_end(self, reason: ExitReason) -> None:
        """Give the reason to everybody who is connected, and let the children go."""
        payload = pickle.dumps(reason, 5)
        clients = list(self._clients.values())
        for client in clients:
            client.send(framing.EXIT, 0, payload)
        for bond in list(self._links.values()):
            bond.say(framing.pack(framing.EXIT, 0, payload))
        launcher.orphan_all()
        # A reply that was given before wins over the end, also if it is long.
        finish_sending(clients, _LAST_PATIENCE)
        report = self.crash_report if self.is_supervised else None
        self.say(birth.EXITED, pickle.dumps((reason, report), 5))
