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
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from beethoven import clock
from beethoven.cloud.site import Site
from beethoven.cluster.addresses import Address
from beethoven.cluster.cookie import VARIABLE as COOKIE_VARIABLE
from beethoven.cluster.cookie import CookieSource, load_keyring, source_of
from beethoven.cluster.keyring import Keyring
from beethoven.cluster.listener import ListenerKeeper
from beethoven.cluster.member import Member
from beethoven.errors import AddressTaken, ConfigError
from beethoven.log import get_log
from beethoven.node.addresses import network, node_name, open_listener
from beethoven.node.component_names import CLOUD_MODULES, CORE_SERVER, MODULES, ROOT, VISITORS
from beethoven.node.identity import member_at, secret_problem
from beethoven.node.leave_taking_state import WITHDRAWAL
from beethoven.node.log_collector import LogCollector
from beethoven.node.metadata import first_site
from beethoven.node.orphans import bury, end_orphans
from beethoven.node.presence import Presence, announce, claimed, end_the_dead
from beethoven.node.settings import NodeSettings
from beethoven.node.signals import EndNow, Signals
from beethoven.node.tree import standard_tree
from beethoven.runtime import adoption, kernel, launcher, names, owner
from beethoven.runtime.exit_signals import ParentExit
from beethoven.runtime.here import here
from beethoven.runtime.process import Process
from beethoven.runtime.reason import SHUTDOWN
from beethoven.runtime.reference import Ref, cast_or_drop
from beethoven.runtime.unixsocket import listen
from beethoven.supervision.runner import Runner
from beethoven.supervision.supervisor_state import SupervisorState

log = get_log("root")

_STDOUT: Final = 1
_STDERR: Final = 2
# How long the log may take to be written at the end, in seconds: usually, and after a kill.
_FAREWELL: Final = 2.0
_SHORT_FAREWELL: Final = 0.1
# The core server gives up a hand-over that takes too long; this is for one that is not well itself.
_MARGIN: Final = 2.0
# How long a node whose machine is about to go may take to leave and to stop, in seconds.
_WITHDRAWAL: Final = WITHDRAWAL + 0.7


@dataclass(frozen=True, slots=True)
class _Node:
    """What a node is made of before any of its processes run."""

    settings: NodeSettings
    own: Member
    listener: socket.socket
    keyring: Keyring
    source: CookieSource
    site: Site
    absence: str


def run_node(settings: NodeSettings, signals: Signals | None = None) -> int:
    """
    Run a node until it is told to stop.

    Args:
        settings: What its configuration says.
        signals: How it is told to stop; by default by signals alone.

    Returns:
        The exit code: 0 after an orderly stop, 1 if the root gave up, 128 and the number of the
        signal that ended it at once: 130 after a second SIGINT.

    Raises:
        AlreadyRunning: A node of that name runs.
        NodeError: There is no address to listen on.
        ConfigError: There is no fit cookie.
    """
    source = source_of(settings.cookie_file, os.environ)
    site, absence = first_site(settings)
    if problem := secret_problem(site, source):
        raise ConfigError([f"{settings.path}: beethoven.cookie_file: {problem}"])
    keyring = load_keyring(settings.cookie_file, os.environ)
    # What a role starts is none of the cluster's business.
    os.environ.pop(COOKIE_VARIABLE, None)
    listener, address = _listen(settings, site)
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
        own = member_at(own, settings, site, address)
        with claimed(own.name) as claim, signals or Signals() as handled:
            node = _Node(settings, own, listener, keyring, source, site, absence)
            return _live(node, claim, handled)
    finally:
        listener.close()


def _listen(settings: NodeSettings, site: Site) -> tuple[socket.socket, Address]:
    """Return what `open_listener` does; a process of a dead node may be stuck with the port."""
    try:
        return open_listener(settings, site)
    except AddressTaken:
        end_the_dead()
        return open_listener(settings, site, patience=0.5)


def _incarnation() -> int:
    """Return a number that is greater at each boot, and hardly ever that of another node."""
    return (int(clock.wall() * 1000) << 16) | secrets.randbits(16)


def _live(node: _Node, claim: int, signals: Signals) -> int:
    faulthandler.enable(_STDERR)
    kernel.allow_many_descriptors()
    kernel.adopt_orphans()
    owner.open_tree((*MODULES, *CLOUD_MODULES) if node.settings.use_az_net else MODULES)
    collector = LogCollector(here.folder, node.settings.logging, _STDOUT)
    keeper = ListenerKeeper(node.listener, here.folder)
    name, farewell = node.own.name, _FAREWELL
    try:
        signals.dump_to(collector.begin("root"))
        here.context = {"log": collector.context(), "node": name, adoption.MODULE: VISITORS}
        address, since = str(node.own.address), node.own.joined_at
        presence = Presence(name, os.getpid(), here.folder, address, since, str(node.settings.path))
        process = _become_process()
        keeper.serve(process.poller)
        announce(claim, presence)
        return _run(node, process, signals)
    except EndNow as end:
        log.warning("node_killed", node=name, signal=end.signal.name)
        farewell = _SHORT_FAREWELL
        launcher.orphan_all()
        return 128 + end.signal
    finally:
        keeper.close()
        owner.close()
        collector.close(farewell)


def _run(node: _Node, process: Process, signals: Signals) -> int:
    """Run the root supervisor in this process."""
    settings, name = node.settings, node.own.name
    flags, specs = standard_tree(settings, node.own, node.keyring, node.site, node.source)
    runner = Runner(process, SupervisorState(ROOT, flags, specs), ROOT)
    for note in settings.notes:
        log.warning("configuration_note", note=note)
    if node.absence:
        endpoint, net = settings.azure.endpoint, network(settings)
        log.warning("azure_unavailable", endpoint=endpoint, cause=node.absence, searched=net)
    log.info("node_started", node=name, address=node.own.address, config=settings.path)
    signals.deliver_to(
        process.poller, on_stop=_stopping(process, settings), on_child=_look_after_orphans
    )
    reason = runner.run()
    log.info("node_stopped", node=name, reason=reason)
    process.forget_name()
    process.tell_end(reason)
    return 1 if reason.is_abnormal else 0


def _stopping(process: Process, settings: NodeSettings) -> "_Stopping":
    patience = settings.drain_timeout + _MARGIN
    if not settings.use_az_net:
        return _Stopping(process, [("leave", patience)])
    # A notice may come while the node leaves.
    patience += settings.azure.hand_over_within + _WITHDRAWAL
    return _Stopping(process, [("leave", patience), ("go", _WITHDRAWAL)])


class _Stopping:
    """
    What happens when an operator asks the node to stop: first the roles go elsewhere.

    Asked again, it stops at once, but for a node that might know that its machine is about to go:
    that stops at once unless it does know.

    Args:
        process: The root.
        steps: What the core server is told the first time, the next, and so on, and how long it may
            take, in seconds; after those the node stops at once.
    """

    def __init__(self, process: Process, steps: Sequence[tuple[str, float]]) -> None:
        self._process = process
        self._steps = iter(steps)

    def __call__(self) -> None:
        end = ParentExit(SHUTDOWN, is_orphaned=False)
        request, patience = next(self._steps, ("", 0.0))
        if request and cast_or_drop(CORE_SERVER, (request,)):
            self._process.timers.set(clock.monotonic() + patience, end)
        else:
            self._process.queue.append(end)


def _look_after_orphans() -> None:
    bury()
    end_orphans(here.folder)


def _become_process() -> Process:
    """Make this program a process of its own tree, so that it can be found and called."""
    identity = f"{here.fork_server}-{secrets.token_hex(4)}"
    ref = Ref(identity, here.folder, os.getpid(), ROOT)
    listener = listen(names.socket_path(here.folder, identity))
    names.register(here.folder, ROOT, identity, ref.pid)
    process = Process(ref, parent=None, linked=False, control=None, listener=listener)
    here.process = process
    return process
