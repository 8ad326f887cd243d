"""
The root of a node: this very process. Its end is the node's end.

It runs the root supervisor and the log collector and nothing else; signals arrive as messages in
its loop.
"""

import contextlib
import faulthandler
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Final

from beethoven import clock
from beethoven.log import get_log
from beethoven.node.addresses import own_address
from beethoven.node.log_collector import LogCollector
from beethoven.node.presence import Presence, announce, claimed
from beethoven.node.settings import NodeSettings
from beethoven.node.tree import ROOT, standard_tree
from beethoven.runtime import names, owner
from beethoven.runtime.here import here
from beethoven.runtime.process import ParentExit, Process
from beethoven.runtime.reason import SHUTDOWN, ExitReason
from beethoven.runtime.reference import Ref
from beethoven.runtime.unixsocket import listen
from beethoven.supervision.runner import Runner
from beethoven.supervision.supervisor_state import SupervisorState

log = get_log("root")

_FAREWELL: Final = 2.0
_STOP: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_RESERVED: Final = (signal.SIGHUP, signal.SIGUSR2)


def run_node(settings: NodeSettings) -> int:
    """
    Run a node until it is told to stop.

    Returns:
        The exit code: 0 after an orderly stop, 1 if the root gave up, 128 + the signal's number if
        a second SIGINT ended it at once.

    Raises:
        AlreadyRunning: A node of that name runs.
    """
    with claimed(settings.name) as claim:
        owner.connect_fork_server()[1].close()
        collector = LogCollector(here.folder, settings.logging, sys.stdout.fileno())
        try:
            collector.take_own("root")
            here.context = {"log": collector.context(), "node": settings.name}
            address = own_address(settings)
            presence = Presence(
                settings.name, os.getpid(), here.folder, address, clock.wall(), str(settings.path)
            )
            announce(claim, presence)
            return _Root(settings, presence).run()
        finally:
            owner.close()
            collector.close(_FAREWELL)


class _Root:
    """The root supervisor, in this process."""

    def __init__(self, settings: NodeSettings, presence: Presence) -> None:
        self._settings = settings
        self._presence = presence
        self._process = _become_process()
        flags, specs = standard_tree(settings)
        self._runner = Runner(self._process, SupervisorState(ROOT, flags, specs), ROOT)
        self._asked_to_stop = 0

    def run(self) -> int:
        for note in self._settings.notes:
            log.warning("configuration_note", note=note)
        log.info(
            "node_started",
            node=self._presence.name,
            address=self._presence.address,
            config=self._presence.config,
        )
        with self._signals():
            reason: ExitReason = self._runner.run()
        log.info("node_stopped", node=self._presence.name, reason=reason)
        self._process.forget_name()
        self._process.tell_end(reason)
        return 1 if reason.is_abnormal else 0

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        faulthandler.enable()
        faulthandler.register(signal.SIGUSR1, all_threads=True)
        arrived, wake = socket.socketpair()
        arrived.setblocking(False)
        wake.setblocking(False)
        self._process.poller.register(arrived, lambda: self._take_signals(arrived.recv(64)))
        before = signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        for number in (*_STOP, *_RESERVED):
            signal.signal(number, lambda *_: None)
        try:
            yield
        finally:
            for number in (*_STOP, *_RESERVED):
                signal.signal(number, signal.SIG_IGN)
            signal.set_wakeup_fd(before)
            self._process.poller.unregister(arrived)
            arrived.close()
            wake.close()

    def _take_signals(self, numbers: bytes) -> None:
        for number in numbers:
            name = signal.Signals(number).name
            if number in _RESERVED:
                log.warning("signal_reserved", signal=name)
                continue
            log.info("stop_requested", signal=name)
            if number == signal.SIGQUIT:
                faulthandler.dump_traceback(all_threads=True)
            self._asked_to_stop += 1
            if self._asked_to_stop > 1 and number == signal.SIGINT:
                owner.close()
                os._exit(128 + number)
            self._process.queue.append(ParentExit(SHUTDOWN, is_orphaned=False))


def _become_process() -> Process:
    """Make this program a process of its own tree, so that it can be found and called."""
    identity = f"{here.fork_server}-{secrets.token_hex(4)}"
    ref = Ref(identity, here.folder, os.getpid(), ROOT)
    listener = listen(names.socket_path(here.folder, identity))
    names.register(here.folder, ROOT, identity, ref.pid)
    return Process(ref, parent=None, linked=False, control=None, listener=listener)
