"""
Whole nodes in one process: membership and coordinator together, with pretended role processes.

Stands on `network`: hosts, links that behave as TCP does, faults. Adds what the core server does
with both state machines (`engine/coordinator.py` and `node/core_server.py` are the real thing), the
role server that outlives it, and the story of it all. Everything follows from one seed.
"""

import itertools
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from beethoven.cluster.member import Member
from beethoven.cluster.membership import Membership
from beethoven.cluster.membership_events import (
    Due,
    HeartbeatReceived,
    LeaveRequested,
    LinkOpened,
    MemberChanged,
    NodeDown,
    NodeLeft,
    NodeRecovered,
    NodeSuspected,
    NodeUp,
)
from beethoven.cluster.timing import DEFAULT, Timing
from beethoven.engine import events
from beethoven.engine.coordinator_state import CoordinatorState
from beethoven.engine.settings import CoordinatorSettings
from beethoven.engine.table import Report, Table
from tests.cluster.simulated.cluster_checks import check_released, check_tokens
from tests.cluster.simulated.cluster_node import LOCAL, About, ClusterNode, Ground
from tests.cluster.simulated.network import End, Host, Network
from tests.cluster.simulated.role_processes import Pace, RoleServer

TICK = 0.25
REPORT_EVERY = 5.0
# When the first search of the locator is over.
SEARCH = 0.7

_NEWS = NodeUp | MemberChanged | NodeDown | NodeLeft | NodeSuspected | NodeRecovered


class ClusterWorld(Network):
    """
    Hosts that run whole nodes.

    Args:
        seed: Everything random follows from it.
        hosts: How many there are; none runs a node at first.
        settings: The times of the coordinators.
        pace: How long role processes take to start and stop.
        others: As for `Network`.
    """

    def __init__(
        self,
        seed,
        hosts,
        *,
        timing: Timing = DEFAULT,
        settings: CoordinatorSettings | None = None,
        pace: Pace | None = None,
        **others,
    ):
        super().__init__(seed, hosts, timing=timing, **others)
        self.settings = settings or CoordinatorSettings(settle=timing.settle)
        self.pace = pace or Pace()
        self.about = {host: About() for host in self.hosts}
        self.story: list[tuple[float, str]] = []
        self.tables: list[tuple[float, str, Table]] = []
        self._all_boots = itertools.count(1)
        # So that nodes are the same however many messages they exchange.
        self._identities = random.Random(f"identities {seed}")

    # What a test does.

    def boot(self, host: Host):
        about = self.about[host]
        host.is_powered = True
        host.boots += 1
        member = Member(
            f"{self._identities.getrandbits(64):016x}",
            host.name,
            host.address,
            next(self._all_boots) + about.skew,
            about.labels,
            about.zone,
            self.now,
            host.name,
        )
        node = host.node = ClusterNode(host, member)
        node.roles = RoleServer(Ground(self, node), member.node_id, about.specs, self.pace)
        self.tell(f"{host.name} boots")
        self._start_core(node)

    def kill(self, host: Host):
        if host.node is not None:
            self.tell(f"{host.name} ends")
        super().kill(host)

    def cut_power(self, host: Host):
        if host.node is not None:
            self.tell(f"{host.name} has no power")
        super().cut_power(host)

    def leave(self, host: Host):
        if host.node is not None and host.node.core is not None and not host.node.is_paused:
            self.tell(f"{host.name} leaves")
            self._deliver(host.node, LeaveRequested())
            self.kill(host)

    def drain(self, host: Host):
        node = host.node
        if node is not None and node.state is not None and not node.is_paused:
            self.tell(f"{host.name} is to be drained")
            node.is_draining = True
            self.feed(node, events.DrainRequested())

    def foresee(self, node: ClusterNode, outlook: events.OutlookChanged):
        """Let a node know what lies ahead of it."""
        if node.core is not None and not node.is_paused:
            if outlook != node.outlook:
                self.tell(f"{node.host.name} foresees {outlook}")
            node.outlook = outlook
            self._deliver(node, Due(outlook.doomed))
            self.feed(node, outlook)

    def move(self, host: Host, **about: Any):
        """Let a node say something else of itself from now on: another address, other labels."""
        node = host.node
        if node is not None and not node.is_paused:
            self.tell(f"{host.name} is {about} now")
            host.address = about.get("address", host.address)
            self.by_address[host.address] = host
            node.member = replace(node.member, **about)
            self.lose_core(host)
            self.restore_core(host)

    def lose_core(self, host: Host):
        node = host.node
        if node is not None and node.core is not None and not node.is_paused:
            self.tell(f"{host.name} loses its core server")
            node.state = None
            super().lose_core(host)

    def lose_role_server(self, host: Host):
        """End the role server of a node: the next one knows no table, and the roles run on."""
        if host.node is not None and not host.node.is_paused:
            self.tell(f"{host.name} loses its role server")
            host.node.roles.table = None
            if host.node.state is not None and host.node.adopted is not None:
                self.adopt(host.node, host.node.adopted)

    def restore_core(self, host: Host):
        if host.node is not None and host.node.core is None:
            self.tell(f"{host.name} has a core server again")
            super().restore_core(host)

    def pause(self, host: Host):
        if host.node is not None and not host.node.is_paused:
            self.tell(f"{host.name} is frozen")
        super().pause(host)

    def resume(self, host: Host):
        node = host.node
        if node is None or not node.is_paused:
            return
        self.tell(f"{host.name} goes on")
        node.is_paused = False
        node.pauses[-1][1] = self.now
        self._note_trouble(host)
        # Whoever was frozen reads what came meanwhile before it looks at the clock.
        while node.mail and host.node is node:
            node.mail.popleft()()
        if host.node is node:
            self._ring(node)

    # What the parts of a node do.

    def tell(self, words: str):
        self.story.append((self.now, words))

    def later(self, node: ClusterNode, delay: float, action: Callable[[], None]):
        """Do something on a node, which may be frozen then, or have ended."""

        def act():
            if node.host.node is node:
                if node.is_paused:
                    node.mail.append(act)
                else:
                    action()

        self._at(self.now + delay, act)

    def feed(self, node: ClusterNode, event: events.Event):
        """Give an event to the coordinator of a node."""
        state = node.state
        if state is None or node.host.node is not node:
            return
        was_leading, before = state.is_leading, state.table
        if isinstance(event, events.TableReceived) and not was_leading:
            before = max(before, event.table, key=lambda table: table.stamp)
        for effect in state.handle(event, now=self.now):
            if node.state is state:
                self._coordinate(node, effect, before)
        if state.is_leading is not was_leading:
            self.tell(f"{node.host.name} {'follows' if was_leading else 'leads'}")

    def roles_changed(self, node: ClusterNode, here: Report):
        """Let the role server of a node tell its core server what is here."""
        if node.state is not None and node.is_welcome:
            node.here, node.here_at = here, self.now
            self.report(node)

    def report(self, node: ClusterNode):
        """Let a node tell all others and itself about itself."""
        if node.state is None or node.host.node is not node or node.here is None:
            return
        node.sequence = max(node.sequence + 1, int(self.now * 1e6))
        age = self.now - node.here_at
        running = {role: uptime + age for role, uptime in node.here.running.items()}
        here = replace(node.here, sequence=node.sequence, running=running)
        report = node.last_report = node.state.complete(here)
        node.reported_at = self.now
        for member in node.core.members():
            self._send_to(node, member.node_id, ("report", report))
        self.feed(node, events.ReportReceived(node.member.node_id, report))

    def _coordinate(self, node: ClusterNode, effect: events.Effect, before: Table):
        match effect:
            case events.PublishTable(table):
                check_tokens(before, table)
                self.tables.append((self.now, node.host.name, table))
                for member in node.core.members():
                    self._send_to(node, member.node_id, ("table", table))
                self._break_if_fragile(node)
            case events.SendTable(node_id, table):
                self._send_to(node, node_id, ("table", table))
            case events.AdoptTable(table):
                self.adopt(node, table)
            case events.SendReport():
                self.report(node)
            case events.Emptied(is_empty):
                if is_empty:
                    check_released(node)
            case events.Release():
                check_released(node)
                self.later(node, 0.0, lambda: self.leave(node.host))
            case events.Note("role_avoided", _, fields):
                self.tell(f"{fields['role']} is kept away from {fields['node']}")
            case events.Note("role_moved", _, fields):
                words = "{role} is moved from {source} to {target}".format(**fields)
                self.tell(words)

    def adopt(self, node: ClusterNode, table: Table):
        node.adopted = table
        self.later(node, LOCAL, lambda: node.roles.adopt(table))

    def _break_if_fragile(self, node: ClusterNode):
        about = self.about[node.host]
        if about.is_fragile:
            about.is_fragile = False
            self.lose_core(node.host)
            self._at(self.now + 0.3, lambda: self.restore_core(node.host))

    def _send_to(self, node: ClusterNode, node_id: str, payload):
        number = node.core.link_to(node_id)
        end = None if number is None else node.ends.get(number)
        if end is not None:
            self._send(end, payload)

    def _start_core(self, node: Any):
        node.sequence, node.reported_at = 0, self.now
        node.is_settled = node.is_welcome = node.is_draining = False
        node.here = node.last_report = node.adopted = None
        node.outlook = events.OutlookChanged()
        node.dials.clear()
        life = int(self.now * 1000)
        state = node.state = CoordinatorState(node.member, self.settings, life=life)
        super()._start_core(node)
        self._members_changed(node)
        self.later(node, self.dice.uniform(0.001, 0.02), lambda: self._welcome(node, state))
        self.later(node, self.dice.uniform(0, TICK), lambda: self._tick(node, state))
        self.later(node, SEARCH, lambda: self._settle(node, state))

    def _welcome(self, node: ClusterNode, state):
        """Tell a new core server what its role server knows."""
        if node.state is not state:
            return
        table, node.is_welcome = node.roles.table, True
        if table is not None:
            self.feed(node, events.TableReceived(node.member.node_id, table))
            if node.member.node_id in table.draining:
                node.is_draining = True
                self.feed(node, events.DrainRequested())
        self.roles_changed(node, node.roles.report())

    def _tick(self, node: ClusterNode, state):
        if node.state is not state:
            return
        self.feed(node, events.Ticked())
        if self.now - node.reported_at >= REPORT_EVERY:
            self.report(node)
        self.later(node, TICK, lambda: self._tick(node, state))

    def _settle(self, node: ClusterNode, state):
        """Say that the search is over, once no dial is under way."""
        if node.state is not state or node.is_settled:
            return
        if any(not end.is_closed and end.number is None for end in node.dials):
            self.later(node, 0.05, lambda: self._settle(node, state))
            return
        node.is_settled = True
        self.feed(node, events.SettledAlone())

    def _members_changed(self, node: ClusterNode):
        members = (node.member, *node.core.members())
        self.feed(node, events.MembershipChanged(members))

    # What `Network` is changed in.

    def _deliver(self, node: Any, event: Any):
        core: Membership = node.core
        if core is None or node.host.node is not node:
            return
        self.events += 1
        effects = core.handle(event, now=self.now)
        if not effects and isinstance(event, HeartbeatReceived):
            return  # puts off what was to come, and the alarm finds that out
        is_news = False
        for effect in effects:
            if node.core is not core:
                return  # it died in the middle of this
            self._perform(node, effect)
            if isinstance(effect, _NEWS):
                is_news = True
                self._changed(node, effect)
        if node.core is not core:
            return
        if is_news:
            self._check(node)
        if isinstance(event, LinkOpened) and event.link in node.ends:
            self._greet(node, event.peer.node_id)
        self._set_alarm(node)

    def _changed(self, node: ClusterNode, effect: Any):
        match effect:
            case NodeDown(member, cause):
                self.tell(f"{node.host.name} sees {member.name} go down: {cause}")
            case NodeUp(member):
                self.tell(f"{node.host.name} sees {member.name}")
        if not isinstance(effect, NodeSuspected | NodeRecovered):
            self._members_changed(node)

    def _greet(self, node: ClusterNode, node_id: str):
        """Tell a node to which a link has opened about this one: it may have forgotten all."""
        if node.last_report is not None:
            self._send_to(node, node_id, ("report", node.last_report))

    def _read(self, node: Any, end: End, payload):
        if payload[0] not in {"report", "table"}:
            super()._read(node, end, payload)
        elif not end.is_closed and node.host.node is node and end.number is not None:
            node_id = end.other.node.member.node_id
            kind = events.ReportReceived if payload[0] == "report" else events.TableReceived
            self.feed(node, kind(node_id, payload[1]))

    def _dial(self, node: Any, address, timeout):
        end = super()._dial(node, address, timeout)
        node.dials = {each for each in node.dials if each.number is None and not each.is_closed}
        node.dials.add(end)
        return end
