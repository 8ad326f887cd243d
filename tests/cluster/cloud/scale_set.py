"""A scale set of a mocked Azure: real nodes, one machine for each, all in one subnet."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from beethoven import clock
from beethoven.runtime.folder import base_folder, let_go
from beethoven.testing import AzureFabric, AzureMetadata, Interface, ProxyTrap
from tests.cluster.cloud.spans import Absence, Span, lacks, surpluses
from tests.cluster.live.checker import Life, counts
from tests.cluster.live.cluster import Cluster, Player, wait_until

# Azure keeps the first four addresses of a subnet for itself.
_FIRST: Final = 4
_EVENTS: Final = "/metadata/scheduledevents"


class Work(NamedTuple):
    """
    A role.

    Attributes:
        instances: How many of it.
        zone: The only one where it runs; empty for any.
        slow: How long a stop of it takes, in seconds.
    """

    instances: int = 1
    zone: str = ""
    slow: float = 0.0

    def toml(self, name: str, folder: Path) -> str:
        args = f'{{ folder = {json.dumps(str(folder))}, role = "{name}", slow = {self.slow} }}'
        requires = json.dumps([f"az.zone={self.zone}"] if self.zone else [])
        return (
            f'[roles.{name}]\nmodule = "tests.cluster.cloud.beating_role:BeatingRole"\n'
            f"instances = {self.instances}\nrequires = {requires}\nshutdown = 10\nargs = {args}\n"
        )


class ScaleSet(Cluster):
    """
    Nodes that nobody has told where they stand, on machines that come and go.

    What is expected of the roles is that as many run as can on the machines that are there and of
    which nothing is announced.

    Args:
        folder: Where the configuration, the logs and the ledger lie.
        net: The first 24 bits of the addresses, of this cluster alone.
        work: The roles.
        zones: The zone of each machine.
    """

    def __init__(self, folder: Path, net: str, work: Mapping[str, Work], zones: str) -> None:
        self.work, self.net, self.zones = dict(work), net, zones
        self.absences: list[Absence] = []
        self.still: list[Absence] = []
        # How the nodes of machines have ended that were evicted.
        self.codes: dict[int, int] = {}
        roles = "\n".join(each.toml(name, folder) for name, each in work.items())
        super().__init__(
            folder,
            {name: each.instances for name, each in work.items()},
            nodes=len(zones),
            preset="default",
            toml=f"[beethoven]\nuse_az_net = true\n{roles}",
        )
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.trap = self._stack.enter_context(ProxyTrap())
        self.environ |= self.trap.environment
        # What a machine leaves that was killed as a whole is removed by the next node there.
        self._stack.callback(_sweep)
        self._stack.push(super().__exit__)
        super().__enter__()
        self.fabric = self._stack.enter_context(AzureFabric())
        self.machines = [self._machine(player) for player in self.players]
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def _machine(self, player: Player) -> AzureMetadata:
        number, address = player.number, self.name(player.number)

        def processes() -> list[int]:
            # The pid of a process that was waited for may be another's by now.
            return player.processes() if player.is_running else []

        return AzureMetadata(
            address,
            name=f"web_{number}",
            fabric=self.fabric,
            zone=self.zones[number],
            interfaces=[Interface(f"000D3A14{number:04X}", (address,), (f"{self.net}.0/27",))],
            processes=processes,
            on_evicted=lambda: self.codes.update({number: self.wait(number)}),
            on_returned=lambda: self._boot(number),
        )

    def _boot(self, number: int) -> None:
        now, name = clock.elapsed(), self.name(number)
        self.absences = [
            replace(each, again=now) if each.node == name and each.until > now else each
            for each in self.absences
        ]
        self.start(number)

    def environ_of(self, number: int) -> Mapping[str, str]:
        # One that is told its address too late, as a busy machine may, keeps its first one's name.
        return {
            **self.environ,
            "BEETHOVEN_AZURE__ENDPOINT": self.machines[number].endpoint,
            "BEETHOVEN_NAME": self.name(number),
        }

    def begin(self) -> Self:
        """Start all nodes; return once they are one cluster, and everything runs and is watched."""
        self.start()
        self.wait_sited()
        self.wait_formed(len(self.players), timeout=60.0)
        self.wait_counts(60.0)
        for machine in self.machines:
            machine.wait_for_requests(2, path=_EVENTS, timeout=30.0)
        return self

    def wait_sited(self) -> None:
        """Return once all nodes say of all on which machine they are."""

        def are_sited() -> bool:
            told = [self.status(player.number) for player in self.awake]
            return all(
                each and all(one["machine"] for one in each["members"] if one["state"] == "alive")
                for each in told
            )

        wait_until(are_sited, 60.0, "all know their machines")

    def name(self, number: int) -> str:
        """Return the name of a node, which is its address."""
        return f"{self.net}.{_FIRST + number}"

    def number(self, name: str) -> int:
        return int(name.rpartition(".")[2]) - _FIRST

    def hosts(self, role: str) -> set[int]:
        """Return on which nodes a role runs, but for those that stand still."""
        now = clock.elapsed()
        still = {each.node for each in self.still if each.is_at(now)}
        running = [each.node for each in self.instances(role) if each.ended is None]
        return {self.number(each) for each in running if each not in still}

    def host(self, role: str) -> int:
        """Return where a role runs that runs once."""
        [number] = self.hosts(role)
        return number

    def coordinator(self) -> int:
        return self.number(self.wait_counts()["by"])

    def able(self, role: str) -> set[str]:
        """Return the names of the nodes that can run a role, if they are there."""
        zone = self.work[role].zone
        return {self.name(each) for each, its in enumerate(self.zones) if zone in {"", its}}

    def wanted(self) -> dict[str, int]:
        awake = {self.name(player.number) for player in self.awake}
        return {
            role: min(work.instances, len(self.able(role) & awake))
            for role, work in self.work.items()
        }

    def announce(self, kind: str, number: int, **details: Any) -> str:
        """Announce something for a machine; from now on nothing is expected of its node."""
        self.absences.append(Absence(self.name(number), clock.elapsed()))
        return self.fabric.announce(kind, f"web_{number}", **details)

    def evict(self, number: int, notice: float, **details: Any) -> str:
        self.players[number].is_ending = True
        return self.announce("Preempt", number, notice=notice, **details)

    def expect_all(self) -> None:
        """From now on, expect of all nodes what they can do."""
        now = clock.elapsed()
        self.absences = [replace(each, until=min(each.until, now)) for each in self.absences]

    def wait_read(self, *numbers: int) -> None:
        """Return once nodes have read what is announced now, and have read it once more."""
        for number in numbers or range(len(self.players)):
            asked = len(self.machines[number].wait_for_requests(0, path=_EVENTS))
            self.machines[number].wait_for_requests(asked + 3, path=_EVENTS)

    def wait_elsewhere(self, number: int, *roles: str, timeout: float) -> None:
        """Return once roles that run once do so on other nodes than one, and have ended there."""

        def are_so() -> bool:
            places = [self.hosts(role) for role in roles]
            return all(len(each) == 1 and number not in each for each in places)

        try:
            wait_until(are_so, timeout, f"{roles} run elsewhere than on {number}")
        except AssertionError as error:
            raise AssertionError(self.explain(str(error))) from None

    def wait_left(self, number: int) -> None:
        """Return once a node has ended; it must have left, even if the rest of it was killed."""
        self.wait(number)
        said = [
            each.split()[3]
            for each in self.events("node_started", "node_stopped")
            if each.startswith(f"{number}: ")
        ]
        assert said[-1:] == ["node_stopped"], self.explain(f"{number} ended: {self.codes}")

    def wait_exact(self) -> None:
        """Return once exactly as many of each role run as can, by what they write themselves."""
        right = {role: count for role, count in self.wanted().items() if count}
        try:
            wait_until(
                lambda: counts(self.lives(), clock.elapsed()) == right, 20.0, f"exactly {right}"
            )
        except AssertionError as error:
            raise AssertionError(self.explain(f"{error}: {self.lives()}")) from None

    def instances(self, role: str) -> list[Life]:
        return [life for life in self.lives() if life.role == role]

    def lacks(self, role: str, within: Span) -> list[Span]:
        """Return when fewer ran than could."""
        return lacks(
            self.instances(role),
            wanted=self.work[role].instances,
            able=self.able(role),
            absences=self.absences,
            within=within,
        )

    def surpluses(self, role: str, within: Span) -> list[Span]:
        """Return when more acted than wanted."""
        return surpluses(
            self.instances(role),
            wanted=self.work[role].instances,
            still=self.still,
            within=within,
        )

    def beats(self, node: int, within: Span) -> int:
        """Return how often the instances of a node beat within a stretch of time."""
        lines = (self.folder / "beats").read_text("utf-8").splitlines()
        name = self.name(node)
        moments = [float(each[4]) for line in lines if (each := line.split())[1] == name]
        return sum(within.since <= moment < within.until for moment in moments)


def _sweep() -> None:
    for path in base_folder().iterdir():
        let_go(path)
