"""
The root of a node: this very process. Its end is the node's end.

It runs the root supervisor and the log collector and nothing else; signals arrive as messages in
its loop.
"""

import faulthandler
import os
import secrets
from typing import Final

from beethoven import clock
from beethoven.log import get_log
from beethoven.node.addresses import own_address
from beethoven.node.log_collector import LogCollector
from beethoven.node.orphans import bury, end_orphans
from beethoven.node.presence import Presence, announce, claimed
from beethoven.node.settings import NodeSettings
from beethoven.node.signals import EndNow, Signals
from beethoven.node.tree import ROOT, standard_tree
from beethoven.runtime import kernel, names, owner
from beethoven.runtime.here import here
from beethoven.runtime.process import ParentExit, Process
from beethoven.runtime.reason import SHUTDOWN
from beethoven.runtime.reference import Ref
from beethoven.runtime.unixsocket import listen
from beethoven.supervision.runner import Runner
from beethoven.supervision.supervisor_state import SupervisorState

log = get_log("root")

_STDOUT: Final = 1
_STDERR: Final = 2
_FAREWELL: Final = 2.0


def run_node(settings: NodeSettings) -> int:
    """
    Run a node until it is told to stop.

    Returns:
        The exit code: 0 after an orderly stop, 1 if the root gave up, 130 if a second SIGINT ended
        it at once.

    Raises:
        AlreadyRunning: A node of that name runs.
    """
    with claimed(settings.name) as claim, Signals() as signals:
        faulthandler.enable(_STDERR)
        kernel.allow_many_descriptors()
        kernel.adopt_orphans()
        owner.connect_fork_server()[1].close()
        collector = LogCollector(here.folder, settings.logging, _STDOUT)
        try:
            signals.dump_to(collector.begin("root"))
            here.context = {"log": collector.context(), "node": settings.name}
            address = own_address(settings)
            presence = Presence(
                settings.name, os.getpid(), here.folder, address, clock.wall(), str(settings.path)
            )
            process = _become_process()
            announce(claim, presence)
            return _run(settings, presence, process, signals)
        except EndNow as end:
            log.warning("node_killed", node=settings.name, signal=end.signal.name)
            return 128 + end.signal
        finally:
            owner.close()
            collector.close(_FAREWELL)


def _run(settings: NodeSettings, presence: Presence, process: Process, signals: Signals) -> int:
    """Run the root supervisor in this process."""
    flags, specs = standard_tree(settings)
    runner = Runner(process, SupervisorState(ROOT, flags, specs), ROOT)
    for note in settings.notes:
        log.warning("configuration_note", note=note)
    log.info("node_started", node=presence.name, address=presence.address, config=presence.config)
    signals.deliver_to(
        process.poller,
        on_stop=lambda: process.queue.append(ParentExit(SHUTDOWN, is_orphaned=False)),
        on_child=_look_after_orphans,
    )
    reason = runner.run()
    log.info("node_stopped", node=presence.name, reason=reason)
    process.forget_name()
    process.tell_end(reason)
    return 1 if reason.is_abnormal else 0


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
