"""
The root of a node: this very process. Its end is the node's end.

It runs the root supervisor and the log collector, and owns the socket on which other nodes find
this one: as long as it lives that port does not refuse, and no longer. Signals arrive as messages
in its loop.
"""

import faulthandler
import os
import secrets
import socket
from dataclasses import dataclass
from typing import Final

from beethoven import clock
from beethoven.cluster.addresses import Address
from beethoven.cluster.cookie import VARIABLE as COOKIE_VARIABLE
from beethoven.cluster.cookie import load_keyring
from beethoven.cluster.keyring import Keyring
from beethoven.cluster.listener import ListenerKeeper
from beethoven.cluster.member import Member
from beethoven.errors import AddressTaken
from beethoven.log import get_log
from beethoven.node.addresses import node_name, open_listener
from beethoven.node.component_names import CORE_SERVER, MODULES, ROOT
from beethoven.node.log_collector import LogCollector
from beethoven.node.orphans import bury, end_orphans
from beethoven.node.presence import Presence, announce, claimed, end_the_dead
from beethoven.node.settings import NodeSettings
from beethoven.node.signals import EndNow, Signals
from beethoven.node.tree import standard_tree
from beethoven.runtime import kernel, names, owner
from beethoven.runtime.here import here
from beethoven.runtime.process import ParentExit, Process
from beethoven.runtime.reason import SHUTDOWN
from beethoven.runtime.reference import Ref, cast_or_drop
from beethoven.runtime.unixsocket import listen
from beethoven.supervision.runner import Runner
from beethoven.supervision.supervisor_state import SupervisorState

log = get_log("root")

_STDOUT: Final = 1
_STDERR: Final = 2
_FAREWELL: Final = 2.0
# The core server gives up a hand-over that takes too long; this is for one that is not well itself.
_MARGIN: Final = 2.0


@dataclass(frozen=True, slots=True)
class _Node:
    """What a node is made of before any of its processes run."""

    settings: NodeSettings
    own: Member
    listener: socket.socket
    keyring: Keyring


def run_node(settings: NodeSettings) -> int:
    """
    Run a node until it is told to stop.

    Returns:
        The exit code: 0 after an orderly stop, 1 if the root gave up, 130 if a second SIGINT ended
        it at once.

    Raises:
        AlreadyRunning: A node of that name runs.
        NodeError: There is no address to listen on.
        ConfigError: There is no fit cookie.
    """
    keyring = load_keyring(settings.cookie_file, os.environ)
    # What a role starts is none of the cluster's business.
    os.environ.pop(COOKIE_VARIABLE, None)
    listener, address = _listen(settings)
    try:
        own = Member(
            node_id=secrets.token_hex(8),
            name=node_name(settings, address),
            address=address,
            incarnation=_incarnation(),
            labels=settings.labels,
            zone=settings.zone,
            joined_at=clock.wall(),
        )
        with claimed(own.name) as claim, Signals() as signals:
            return _live(_Node(settings, own, listener, keyring), claim, signals)
    finally:
        listener.close()


def _listen(settings: NodeSettings) -> tuple[socket.socket, Address]:
    """Return what `open_listener` does; a process of a dead node may be stuck with the port."""
    try:
        return open_listener(settings)
    except AddressTaken:
        end_the_dead()
        return open_listener(settings, patience=0.5)


def _incarnation() -> int:
    """Return a number that is greater at each boot, and hardly ever that of another node."""
    return (int(clock.wall() * 1000) << 16) | secrets.randbits(16)


def _live(node: _Node, claim: int, signals: Signals) -> int:
    faulthandler.enable(_STDERR)
    kernel.allow_many_descriptors()
    kernel.adopt_orphans()
    owner.open_tree(MODULES)
    collector = LogCollector(here.folder, node.settings.logging, _STDOUT)
    keeper = ListenerKeeper(node.listener, here.folder)
    name = node.own.name
    try:
        signals.dump_to(collector.begin("root"))
        here.context = {"log": collector.context(), "node": name}
        address, since = str(node.own.address), node.own.joined_at
        presence = Presence(name, os.getpid(), here.folder, address, since, str(node.settings.path))
        process = _become_process()
        keeper.serve(process.poller)
        announce(claim, presence)
        return _run(node, process, signals)
    except EndNow as end:
        log.warning("node_killed", node=name, signal=end.signal.name)
        return 128 + end.signal
    finally:
        keeper.close()
        owner.close()
        collector.close(_FAREWELL)


def _run(node: _Node, process: Process, signals: Signals) -> int:
    """Run the root supervisor in this process."""
    settings, name = node.settings, node.own.name
    flags, specs = standard_tree(settings, node.own, node.keyring)
    runner = Runner(process, SupervisorState(ROOT, flags, specs), ROOT)
    for note in settings.notes:
        log.warning("configuration_note", note=note)
    log.info("node_started", node=name, address=node.own.address, config=settings.path)
    patience = settings.drain_timeout + _MARGIN
    signals.deliver_to(
        process.poller, on_stop=_Stopping(process, patience), on_child=_look_after_orphans
    )
    reason = runner.run()
    log.info("node_stopped", node=name, reason=reason)
    process.forget_name()
    process.tell_end(reason)
    return 1 if reason.is_abnormal else 0


class _Stopping:
    """
    What happens when an operator asks the node to stop: first the roles go elsewhere.

    Asked again, it stops at once.

    Args:
        process: The root.
        patience: How long the core server may take, in seconds.
    """

    def __init__(self, process: Process, patience: float) -> None:
        self._process = process
        self._patience = patience
        self._has_asked = False

    def __call__(self) -> None:
        end = ParentExit(SHUTDOWN, is_orphaned=False)
        if self._has_asked or not cast_or_drop(CORE_SERVER, ("leave",)):
            self._process.queue.append(end)
        else:
            self._process.timers.set(clock.monotonic() + self._patience, end)
        self._has_asked = True


def _look_after_orphans() -> None:
    bury()
    end_orphans(here.folder)


def _become_process() -> Process:
    """Make this program a process of its own tree, so that it can be found and called."""
    identity = f"{here.fork_server}-{secrets.token_hex(4)}"
    ref = Ref(identity, here.folder, os.getpid(), ROOT)
    listener = listen(names.socket_path(here.folder, identity))
    names.register(here.folder, ROOT, identity, ref.pid)
    return Process(ref, parent=None, linked=False, control=None, listener=listener)
