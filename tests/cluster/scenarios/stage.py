"""
A stage for stories: whole nodes in virtual time, and what happens to them in words.

A line of a transcript has the time in seconds since the story began, who, and what. What several
do within a tenth of a second is one line. Nothing is told of nodes that come to know each other.
"""

from textwrap import dedent

from beethoven.cluster.role_spec import RoleSpec
from beethoven.engine.settings import CoordinatorSettings
from tests.cluster.simulated.cluster_checks import where, wrongs
from tests.cluster.simulated.cluster_world import ClusterWorld
from tests.cluster.simulated.network import Host
from tests.cluster.simulated.role_processes import Pace

LONELY = RoleSpec("lonely", digest="1")
PAIR = RoleSpec("pair", instances=2, digest="1")


class Stage:
    """
    Nodes n1, n2 … on which every message takes 2 ms, every start 0.5 s and every stop 0.2 s.

    Args:
        count: How many nodes.
        roles: What they have in their configuration.
        off: How many of them are off at first.
    """

    def __init__(self, count: int, roles: tuple[RoleSpec, ...] = (LONELY, PAIR), *, off: int = 0):
        pace = Pace((0.5, 0.5), (0.2, 0.2), (3.0, 3.0), look=(0.0, 0.0))
        settings = CoordinatorSettings(is_rebalancing=False)
        self.world = ClusterWorld(1, count, settings=settings, pace=pace, delay=(0.002, 0.002))
        self.hosts = self.world.hosts
        self._began, self._told = 0.0, 0
        for host in self.hosts:
            self.world.about[host].specs = roles
        for host in self.hosts[: count - off]:
            self.world.boot(host)
            self.world.advance(0.01)

    def settle(self):
        """Wait until all is well, and begin the story there."""
        self.world.advance(8.0)
        assert self.is_well()
        self._began, self._told = self.world.now, len(self.world.story)

    def play(self, seconds: float):
        self.world.advance(seconds)

    def is_well(self) -> bool:
        return not wrongs(self.world)

    def cast(self) -> str:
        """Return who runs what."""
        lines = []
        for host in self.world.running():
            roles = sorted(role for role in host.node.roles.processes)
            lines.append(f"{host.name}: {', '.join(roles) or 'nothing'}")
        return "\n".join(lines)

    def named(self, name: str) -> Host:
        return next(host for host in self.hosts if host.name == name)

    def runs(self, role: str) -> Host:
        """Return the first node that runs a role."""
        return self.named(where(self.world, role)[0])

    def story(self) -> str:
        """Return what happened since the story began."""
        told: dict[tuple[str, str], list[str]] = {}
        for at, words in self.world.story[self._told :]:
            who, _, what = words.partition(" ")
            if not _is_dull(what):
                names = told.setdefault((f"{at - self._began:.1f}", what), [])
                names += [who] if who not in names else []
        return "\n".join(
            f"{moment:<6}{', '.join(sorted(names, key=_order))}{self._link(names[0])} {what}"
            for (moment, what), names in told.items()
        )

    def _link(self, who: str) -> str:
        """Return what stands between a subject and what is said of it."""
        return ":" if who in {host.name for host in self.hosts} else ""


def _is_dull(what: str) -> bool:
    return what.startswith("sees") and "down" not in what


def _order(name: str) -> tuple[int, str]:
    return len(name), name


def text(words: str) -> str:
    """Return a transcript as it stands in a test."""
    return dedent(words).strip("\n")
