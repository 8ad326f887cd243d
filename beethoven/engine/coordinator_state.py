"""
Theory of operation of the coordinator.

Every node has one of these; that of the oldest node leads. Events come in, effects go out, time is
a number. Everything that decides who leads, which table holds and when a new one is made is in this
file; `view` holds what is known of the others, `assigner` makes the decision itself.

A node is in one of three conditions, which follow from what it knows:

following: another member is older. It takes the table of the highest epoch that it hears of, and
    runs what that says as soon as the table rests on its own report.
forming: it is the oldest, but there is no table yet. It waits until no node has come or gone for a
    while, or, alone, until the first search for others is over.
leading: it is the oldest. It raises the epoch above all that it has heard of, so that its tables
    win, takes over what the last table and the reports of the members say, and publishes a table
    whenever its decision changes.

When two clusters meet, the older coordinator sees an epoch that is not its own, raises its own
above it, and counts what runs in the other cluster as claims; the younger one sees an older member,
and follows. While the word of a member is outstanding the leader changes nothing, for a bounded
time.

In available mode the authority to decide is always there. In strict mode it hangs on a quorum, and
the places of lost nodes stay empty until their leases have ended: other values of `Authority`, the
same code.
"""

from dataclasses import replace

from beethoven.cluster.explanation import explain
from beethoven.cluster.member import Member
from beethoven.cluster.role_spec import Candidate
from beethoven.engine.assigner import Assigner, Inputs, Outcome
from beethoven.engine.authority import Authority
from beethoven.engine.avoidance import Avoidance
from beethoven.engine.commitment import Difference, commit, differences, merge
from beethoven.engine.events import (
    AdoptTable,
    DrainRequested,
    Effect,
    Event,
    MembershipChanged,
    Note,
    OutlookChanged,
    PublishTable,
    ReportReceived,
    SendTable,
    SettledAlone,
    TableReceived,
    Ticked,
)
from beethoven.engine.own_word import OwnWord
from beethoven.engine.settings import CoordinatorSettings
from beethoven.engine.table import (
    NO_EPOCH,
    NO_STAMP,
    Epoch,
    Report,
    Seniority,
    Stamp,
    Table,
    seniority,
)
from beethoven.engine.view import View


class CoordinatorState:
    """
    What one node decides about who runs what.

    Args:
        me: This node.
        settings: Its times.
        authority: What it takes to decide.
        life: Greater in each life of the process that holds this: one that has forgotten all must
            not publish a table under the stamp of another.
    """

    def __init__(
        self,
        me: Member,
        settings: CoordinatorSettings | None = None,
        authority: Authority | None = None,
        *,
        life: int = 0,
    ) -> None:
        self.me = me
        self.table = Table()
        self.word = OwnWord(me.node_id, seniority(me))
        self._settings = settings if settings is not None else CoordinatorSettings()
        self._authority = authority if authority is not None else Authority()
        self._life = life
        self._view = View(me, self._settings.patience)
        self._table_at = 0.0
        self._adopted = NO_STAMP
        # Invariant: _seen >= every epoch that this node has heard of, _own included.
        self._seen = NO_EPOCH
        self._own: Epoch | None = None
        self._reign_at = 0.0
        self._may_fill_at = 0.0
        self._avoidance = Avoidance(self._settings.avoidance)
        self._assigner = self._new_assigner()
        self._specs = dict(self.table.specs)
        self._changed_at: float | None = None
        self._hindered_at = 0.0
        # Of those whom the table tells, the ones that this node has been linked to itself.
        self._met: set[str] = set()
        self._gate_closed_at: float | None = None
        self._has_searched = False
        self._is_dirty = False
        self._review_at = 0.0
        self._sent: dict[str, float] = {}
        self._warned: set[Difference] = set()
        self._now = 0.0
        self._effects: list[Effect] = []

    def handle(self, event: Event, *, now: float) -> list[Effect]:
        """
        Return what to do about an event, in order.

        Args:
            event: What happened.
            now: Monotonic time in seconds. Never decreases from one call to the next.
        """
        self._now = now
        match event:
            case MembershipChanged(members):
                self._members_changed(members)
            case ReportReceived(node_id, report):
                self._report_received(node_id, report)
            case TableReceived(_, table):
                self._table_received(table)
            case SettledAlone():
                self._has_searched = True
            case DrainRequested(is_wanted):
                self.word.drain(is_wanted=is_wanted)
            case OutlookChanged():
                self.word.foresee(event)
            case Ticked():
                self._help_the_late()
        self._act()
        self._effects += self.word.news(seniority(self._view.eldest))
        self._effects += self.word.departure(self._view.mine, self.table, self._adopted)
        effects, self._effects = self._effects, []
        return effects

    def __repr__(self) -> str:
        what = "leading" if self.is_leading else "following"
        return f"<CoordinatorState {self.me.name!r} {what} table={self.table.stamp}>"

    @property
    def is_leading(self) -> bool:
        return self._own is not None

    @property
    def coordinator(self) -> Seniority:
        """The node that decides, as far as this one knows."""
        elder = self._view.elder_elsewhere(now=self._now)
        return elder if elder is not None else seniority(self._view.eldest)

    @property
    def adopted(self) -> Stamp:
        """The table that this node follows."""
        return self._adopted

    def complete(self, report: Report) -> Report:
        """Return this node's report with what only its coordinator knows."""
        return self.word.complete(report, seniority(self._view.eldest))

    @property
    def candidates(self) -> dict[str, Candidate]:
        """The nodes that have spoken, as places for roles."""
        return {each.node_id: each for each in self._view.candidates()}

    def explain(self, role: str) -> dict[str, str]:
        """Return why a role runs on each member or not, `{node_id: words}`."""
        elapsed = self._now - self._table_at
        failing = {
            node_id: left - elapsed
            for (each, node_id), left in self.table.avoided.items()
            if each == role and left > elapsed
        }
        situation = self._assigner.situation(self._inputs())
        pairs = frozenset((role, node_id) for node_id in failing)
        situation = replace(situation, avoided=situation.avoided | pairs)
        placed = {place.node_id: place.reason for place in self.table.places.get(role, ())}
        return {
            node_id: explain(situation, role, node_id, placed=placed, failing=failing)
            for node_id in self._view.members
        }

    def _members_changed(self, members: tuple[Member, ...]) -> None:
        joined, left, is_other = self._view.update(members, now=self._now)
        self._is_dirty |= is_other
        if not joined and not left and self._changed_at is not None:
            return
        self._changed_at = self._now
        self._met = (self._met & self.table.members) | self._view.members.keys()
        self._assigner.lose(left, now=self._now)
        self._warned = {each for each in self._warned if each.node_id in self._view.members}
        self._sent = {each: at for each, at in self._sent.items() if each in self._view.members}
        if self._own is not None:
            for node_id in joined:
                self._send(node_id)
        self._is_dirty = True

    def _report_received(self, node_id: str, report: Report) -> None:
        if self._view.hear(node_id, report, now=self._now):
            self._seen = max(self._seen, report.stamp.epoch)
            self._is_dirty = True

    def _table_received(self, table: Table) -> None:
        self._seen = max(self._seen, table.stamp.epoch)
        is_newer = table.stamp > self.table.stamp
        if self._own is None:
            if is_newer:
                self.table, self._table_at = table, self._now
            return
        self._specs = merge(self._specs, table.specs)
        if is_newer:
            self._assigner.absorb(table)
            self._is_dirty = True

    def _act(self) -> None:
        if not self._leads():
            self._own = None
            self._follow()
        elif self._may_begin():
            # Two leaders that do not see each other, with followers that see both, would outbid
            # each other with every message until one of them is told of the other.
            is_outbid = self._own is not None and self._own < self._seen
            if self._own is None or (
                is_outbid and self._now - self._reign_at >= self._settings.resend
            ):
                self._take_over()
            if not self._is_waiting() and (self._is_dirty or self._now >= self._review_at):
                self._decide()

    def _leads(self) -> bool:
        if self.coordinator.node_id != self.me.node_id:
            return False
        followers = [
            heard.at for each, heard in self._view.heard.items() if each != self.me.node_id
        ]
        return self._authority.holds([self._now, *followers], now=self._now)

    def _may_begin(self) -> bool:
        if self._own is not None:
            return True
        if self._changed_at is None:
            return False
        has_settled = self._now - self._changed_at >= self._settings.settle
        if self._adopted != NO_STAMP or self.table.members & self._view.members.keys():
            # The others have a table already, or a former life of this process had it. Of one whose
            # nodes cannot be reached yet this is no proof: its coordinator has only been faster
            # than this node's own eyes. Nor is gone who was never there in this life.
            return has_settled or self.table.members <= self._met
        is_alone = len(self._view.members) == 1
        return has_settled or (is_alone and self._has_searched)

    def _take_over(self) -> None:
        """Begin a reign: above every epoch ever heard of, with everything that is known."""
        if self._own is None:
            self._assigner = self._new_assigner()
            self._specs = dict(self.table.specs)
            elapsed = self._now - self._table_at
            left = {pair: seconds - elapsed for pair, seconds in self.table.avoided.items()}
            self._avoidance.adopt(left, now=self._now)
            if self.table.stamp != NO_STAMP:
                self._may_fill_at = self._now + self._authority.succession
        self._own = self._seen = Epoch(self._seen.counter + 1, self.me.node_id)
        self._reign_at = self._now
        self._is_dirty = True
        members = " ".join(sorted(member.name for member in self._view.members.values()))
        self._note("coordination_taken", epoch=self._own.counter, members=members)

    def _new_assigner(self) -> Assigner:
        within = self._settings.release_within
        return Assigner(self.table, self._avoidance, self._authority, within)

    def _is_waiting(self) -> bool:
        """Whether the word of a member is outstanding; never for longer than the patience."""
        heard_self = self.me.node_id in self._view.heard
        if heard_self and not self._view.awaited(now=self._now):
            self._gate_closed_at = None
            return False
        if self._gate_closed_at is None:
            self._gate_closed_at = self._now
        if self._now - self._gate_closed_at < self._settings.patience:
            return True
        # Nodes that come and go for ever must not put off decisions for ever.
        self._gate_closed_at = self._now
        return False

    def _inputs(self) -> Inputs:
        specs = tuple(self._specs[role].spec for role in sorted(self._specs))
        nodes = self._view.candidates()
        epoch = self._own if self._own is not None else self.table.stamp.epoch
        version = self.table.stamp.version if epoch == self.table.stamp.epoch else self._life
        return Inputs(
            now=self._now,
            specs=specs,
            nodes=nodes,
            heard=self._view.heard,
            table=self.table,
            stamp=Stamp(epoch, version + 1),
            may_fill=self._now >= self._may_fill_at,
            budget=self._budget(nodes),
        )

    def _budget(self, nodes: tuple[Candidate, ...]) -> int:
        """Return how many instances may move only to even out the load."""
        changed_at = max(self._changed_at or 0.0, self._hindered_at)
        rests = self._now - changed_at >= self._settings.rebalance_after
        if not self._settings.is_rebalancing or not rests:
            return 0
        if any(each.is_going for each in nodes) or not self._assigner.is_calm(self._view.heard):
            return 0
        return max(1, sum(map(len, self.table.places.values())) // 20)

    def _decide(self) -> None:
        self._specs = commit(self._specs, self._view.words)
        self._warn_of_differences()
        inputs = self._inputs()
        if any(each.is_going for each in inputs.nodes):
            self._hindered_at = self._now
        outcome = self._assigner.decide(inputs)
        table = Table(
            stamp=inputs.stamp,
            places={role: places for role, places in outcome.places.items() if places},
            specs=dict(self._specs),
            members=frozenset(inputs.heard),
            draining=frozenset(node.node_id for node in inputs.nodes if node.is_draining),
            cordoned=frozenset(node.node_id for node in inputs.nodes if node.is_cordoned),
            avoided=self._avoidance.left(now=self._now),
        )
        self._is_dirty = False
        self._review_at = self._now + self._settings.review
        self._note_outcome(outcome)
        is_new_reign = table.stamp.epoch != self.table.stamp.epoch
        if is_new_reign or outcome.told or not table.is_same_decision(self.table):
            self.table, self._table_at, self._adopted = table, self._now, table.stamp
            self._effects += [PublishTable(table), AdoptTable(table)]

    def _follow(self) -> None:
        """Run what the table says once it rests on this node's own word."""
        table = self.table
        if table.stamp == self._adopted:
            return
        # A coordinator that cannot hear this node, but decides for all others, counts it out. That
        # of another cluster, of which a newcomer tells before it comes itself, does not.
        leader = table.stamp.epoch.node_id
        is_out_of_reach = leader not in self._view.members and leader == self.coordinator.node_id
        if self.me.node_id in table.members or is_out_of_reach:
            self._adopted = table.stamp
            self._specs = dict(table.specs)
            self._assigner = self._new_assigner()
            self._effects.append(AdoptTable(table))

    def _help_the_late(self) -> None:
        """Send the table to members that lag behind it: it was lost, or cannot reach them."""
        patience = self._settings.resend if self.is_leading else 3 * self._settings.resend
        for node_id, heard in self._view.heard.items():
            last = max(self._table_at, self._sent.get(node_id, self._table_at))
            is_late = heard.report.stamp < self.table.stamp and self._now - last >= patience
            if is_late and node_id != self.me.node_id:
                self._send(node_id)

    def _send(self, node_id: str) -> None:
        if self.table.stamp != NO_STAMP:
            self._sent[node_id] = self._now
            self._effects.append(SendTable(node_id, self.table))

    def _warn_of_differences(self) -> None:
        for each in differences(self._specs, self._view.words):
            if each not in self._warned:
                self._warned.add(each)
                node, agreeing = self._view.name(each.node_id), self._view.name(each.agreeing)
                self._note("config_differs", "warning", role=each.role, node=node, holds=agreeing)

    def _note_outcome(self, outcome: Outcome) -> None:
        for (role, node_id), seconds in outcome.struck:
            name = self._view.name(node_id)
            self._note("role_avoided", "warning", role=role, node=name, seconds=round(seconds, 1))
        for role, source, target in outcome.placement.moves:
            names = {"source": self._view.name(source), "target": self._view.name(target)}
            self._note("role_moved", role=role, **names)

    def _note(self, event: str, level: str = "info", **fields: object) -> None:
        self._effects.append(Note(event, level, fields))
