"""What one node knows of the others: who is there, and what each has told. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from beethoven.cluster.member import Member
from beethoven.cluster.role_spec import Candidate
from beethoven.engine.table import Report, Seniority, seniority


@dataclass(frozen=True, slots=True)
class Heard:
    """A report, and when it came."""

    report: Report
    at: float

    def since(self, role: str) -> float | None:
        """Return when a role began to run there, by the clock of this node."""
        uptime = self.report.running.get(role)
        return None if uptime is None else self.at - uptime


class View:
    """
    The members that this node can reach, and their reports.

    Args:
        me: This node.
        patience: How long the word of a member is waited for, and how long the word of others that
            a departed member is still there is not believed; in seconds > 0.
    """

    def __init__(self, me: Member, patience: float) -> None:
        self.me = me
        self.members: dict[str, Member] = {me.node_id: me}
        self.eldest = me
        self._patience = patience
        self._heard: dict[str, Heard] = {}
        self._joined: dict[str, float] = {me.node_id: 0.0}
        self._departed: dict[str, float] = {}

    def update(self, members: Iterable[Member], *, now: float) -> tuple[list[str], list[str], bool]:
        """
        Take who can be reached now.

        Returns:
            Who joined, who left, and whether any of the others says something else of itself.
        """
        after = {member.node_id: member for member in members} | {self.me.node_id: self.me}
        joined = sorted(after.keys() - self.members.keys())
        left = sorted(self.members.keys() - after.keys())
        is_other = any(after.get(each, member) != member for each, member in self.members.items())
        self.members = {node_id: after[node_id] for node_id in sorted(after)}
        self.eldest = min(after.values(), key=seniority)
        old = now - self._patience
        self._departed = {each: at for each, at in self._departed.items() if at > old}
        for node_id in left:
            del self._joined[node_id]
            self._heard.pop(node_id, None)
            self._departed[node_id] = now
        for node_id in joined:
            self._joined[node_id] = now
            self._departed.pop(node_id, None)
        # The word of a newcomer may come before the news that it is there, but not much before.
        for node_id in [each for each in self._heard if each not in self.members or each in joined]:
            if self._heard[node_id].at < old:
                del self._heard[node_id]
        return joined, left, is_other

    def hear(self, node_id: str, report: Report, *, now: float) -> bool:
        """Take a report, and return whether it is news."""
        before = self._heard.get(node_id)
        if before is not None and before.report.sequence >= report.sequence:
            return False
        self._heard[node_id] = Heard(report, now)
        return True

    @property
    def heard(self) -> dict[str, Heard]:
        """The latest word of each member that has spoken, sorted."""
        return {each: self._heard[each] for each in self.members if each in self._heard}

    @property
    def mine(self) -> Report | None:
        """The latest word of this node itself, if it has spoken."""
        heard = self._heard.get(self.me.node_id)
        return None if heard is None else heard.report

    @property
    def words(self) -> list[tuple[str, Report]]:
        """The reports of all members, the eldest's first."""
        eldest_first = sorted(self.members.values(), key=seniority)
        heard = self._heard
        return [
            (member.node_id, heard[member.node_id].report)
            for member in eldest_first
            if member.node_id in heard
        ]

    @property
    def doomed(self) -> frozenset[str]:
        """The machines of which any member knows that they are about to go."""
        heard = self.heard.values()
        return frozenset[str]().union(*(each.report.doomed for each in heard)) - {""}

    def name(self, node_id: str) -> str:
        member = self.members.get(node_id)
        return node_id if member is None else member.name

    def awaited(self, *, now: float) -> list[str]:
        """Return the members whose word is still worth waiting for."""
        return [
            each
            for each in self.members
            if each not in self._heard and now - self._joined[each] < self._patience
        ]

    def elder_elsewhere(self, *, now: float) -> Seniority | None:
        """
        Return a node older than all members that a member can reach, though this node cannot.

        If only this node's own way to the oldest is cut, it had better not lead as well. For a
        while after the oldest has gone the others may just not have noticed.
        """
        oldest = mine = seniority(self.eldest)
        for node_id, heard in self._heard.items():
            elder = heard.report.eldest
            if elder is None or node_id not in self.members:
                continue
            if elder >= oldest or node_id == self.me.node_id or elder.node_id in self.members:
                continue
            departed = self._departed.get(elder.node_id)
            if departed is not None and now - departed < self._patience:
                continue
            oldest = min(oldest, elder)
        return oldest if oldest < mine else None

    def candidates(self) -> tuple[Candidate, ...]:
        """Return the members that have spoken as places for roles."""
        doomed = self.doomed
        return tuple(
            Candidate(
                node_id=node_id,
                roles=frozenset(heard.report.roles),
                unable=heard.report.unable,
                labels=self.members[node_id].labels,
                zone=self.members[node_id].zone,
                load=heard.report.load,
                is_draining=heard.report.is_draining,
                is_cordoned=heard.report.is_cordoned or self.members[node_id].machine in doomed,
                is_at_risk=heard.report.is_at_risk,
            )
            for node_id, heard in self.heard.items()
        )
