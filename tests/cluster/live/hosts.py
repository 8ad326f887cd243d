"""Clusters of one node per machine; `machines` is about those, and what may happen to them."""

import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from beethoven import clock
from beethoven.node import presence
from beethoven.node.control import NodeClient
from tests.cluster.live.checker import Life, Line, settled_at
from tests.cluster.live.cluster import ROOT, Cluster, Player, wait_until
from tests.cluster.live.machines import MASK, NET, Machines

PORT: Final = 33000

# What a machine runs before anything else whose time of day is wrong.
_SKEWED: Final = """
import time
_true = time.time
time.time = lambda: _true() + {skew}
"""


class HostPlayer(Player):
    """
    A node on a machine of its own.

    Args:
        number: Which machine.
        log: Where the node writes.
        runtime: The folder for its runtime files; a short path.
    """

    def __init__(self, number: int, log: Path, runtime: Path) -> None:
        super().__init__(number, log)
        self.runtime = runtime

    @property
    def client(self) -> NodeClient | None:
        if self._client is None or self._client.presence.pid != self.pid:
            found = presence._read(self.runtime / f"node-{host_name(self.number)}")
            self._client = NodeClient(found) if found and found.pid == self.pid else None
        return self._client


def host_name(number: int) -> str:
    return f"host{number + 1}"


class HostCluster(Cluster):
    """
    A cluster of one node per machine, which have nothing but the configuration and the cookie.

    Args:
        folder: As for `Cluster`.
        roles: As for `Cluster`.
        hosts: How many machines there are.
        preset: The timing.
        level: What the nodes log.
        skews: By how many seconds the clocks of machines are ahead, >= 0: the time of day, and what
            has passed since their boot.
    """

    def __init__(
        self,
        folder: Path,
        roles: Mapping[str, int],
        *,
        hosts: int = 3,
        preset: str = "fast",
        level: str = "info",
        skews: Mapping[int, int] | None = None,
    ) -> None:
        environ = {
            "BEETHOVEN_CLUSTER_NET": f"{NET}.0",
            "BEETHOVEN_CLUSTER_NET_MASK": str(MASK),
            "BEETHOVEN_LISTENER_PORT": str(PORT),
            "BEETHOVEN_COOKIE": secrets.token_hex(32),
            "BEETHOVEN_LOGGING__LEVEL": level,
        }
        super().__init__(folder, roles, nodes=hosts, preset=preset, environ=environ)
        self.machines = Machines(hosts)
        self._skews = dict(skews or {})
        # The address of a socket has little room.
        self._home = Path(tempfile.mkdtemp(prefix="bh"))
        self.players = [
            HostPlayer(number, folder / f"{host_name(number)}.log", self._home / str(number))
            for number in range(hosts)
        ]

    def __enter__(self) -> Self:
        try:
            self.machines.__enter__()
        except BaseException:
            shutil.rmtree(self._home)
            raise
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        try:
            super().__exit__(*error)
        finally:
            self.machines.remove()
            shutil.rmtree(self._home)

    def start(self, *numbers: int) -> None:
        for number in numbers or range(len(self.players)):
            player = self.players[number]
            assert not player.is_running
            player.is_ending = False
            node = ("-m", "beethoven", "run", str(self.config), "--name", host_name(number))
            with player.log_path.open("ab") as log:
                player.process = subprocess.Popen(
                    self.machines.inside(number, *self._skewed(number), sys.executable, *node),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._environ_of(number),
                    cwd=self.folder,
                )

    def _skewed(self, number: int) -> Sequence[str]:
        """Return what starts a program whose clocks of time since boot are ahead."""
        if (skew := self._skews.get(number)) is None:
            return ()
        return ("unshare", "--time", f"--monotonic={skew}", f"--boottime={skew}")

    def _environ_of(self, number: int) -> dict[str, str]:
        home = self._home / f"home-{number}"
        home.mkdir(exist_ok=True)
        skew = self._skews.get(number, 0)
        (home / "sitecustomize.py").write_text(_SKEWED.format(skew=skew), "utf-8")
        return {
            **self.environ,
            "PYTHONPATH": f"{home}:{ROOT}",
            "HOME": str(home),
            "BEETHOVEN_RUNTIME_DIR": str(self._home / str(number)),
        }

    def ledger(self) -> list[Line]:
        """Return the ledger, with all times by the clock of this process."""
        shift = {host_name(number): skew for number, skew in self._skews.items()}
        # Deaths were seen by this process.
        return [
            line if line.word == "death" else line._replace(at=line.at - shift.get(line.node, 0))
            for line in super().ledger()
        ]

    def settled(
        self,
        island: Collection[int],
        since: float,
        within: float,
        *,
        quiet: float = 0.5,
    ) -> float:
        """
        Wait until the roles are right on an island, and stay so.

        Args:
            island: The numbers of its machines.
            since: When it came to be.
            within: How long it may take, in seconds.
            quiet: How long the roles have to stay as they should be.

        Returns:
            When they were right, in seconds after `since`.
        """
        wanted = {role: min(count, len(island)) for role, count in self.roles.items()}
        names = set(map(host_name, island))
        found: list[float] = []

        def is_over() -> bool:
            now = clock.elapsed()
            here: list[Life] = [life for life in self.lives() if life.node in names]
            settled = settled_at(here, wanted, since, now)
            found[:] = [] if settled is None else [settled - since]
            return settled is not None and now > settled + quiet

        # A ledger that is read late tells the truth all the same.
        try:
            wait_until(is_over, within + quiet + 5.0, "the roles are right")
        except AssertionError:
            raise AssertionError(self.explain(f"{sorted(names)}: expected {wanted}")) from None
        assert found[0] <= within, self.explain(f"{sorted(names)}: right after {found[0]:.3f} s")
        return found[0]

    def island_story(self, island: Collection[int]) -> Any:
        """Return what all nodes of an island tell of it, as `story`; None unless they agree."""
        stories = [self.story(number) for number in island]
        if None in stories or any(each != stories[0] for each in stories):
            return None
        names = [name for name, _ in stories[0]["members"]]
        return stories[0] if names == sorted(map(host_name, island)) else None

    def wait_islands(self, *islands: Collection[int], timeout: float = 15.0) -> None:
        """Wait until all nodes of each island agree that they are a cluster of their own."""
        try:
            wait_until(lambda: all(map(self.island_story, islands)), timeout, "islands")
        except AssertionError:
            raise AssertionError(self.explain(f"expected {islands}")) from None

    def hosts_of(self, role: str) -> list[int]:
        """Return on which machines a role runs, as the nodes tell."""
        story = self.wait_counts()
        names = {name for name, _, state in story["roles"][role] if state == "running"}
        return [each.number for each in self.players if host_name(each.number) in names]

    def coordinator(self) -> int:
        """Return which machine's node places the roles."""
        by = self.wait_formed()["by"]
        return next(each.number for each in self.players if host_name(each.number) == by)
