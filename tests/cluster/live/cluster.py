"""Clusters of real nodes on loopback: started, frozen, killed, and asked how they are."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

import psutil

from beethoven import clock
from beethoven.errors import BeethovenError
from beethoven.node import presence
from beethoven.node.control import NodeClient
from beethoven.runtime.folder import base_folder
from scripts.ports import free_port
from tests.cluster.live.checker import (
    Life,
    Line,
    counts,
    lives,
    overlaps,
    parse,
    settled_at,
)
from tests.processes import is_running

ROOT: Final = Path(__file__).resolve().parents[3]

# Room for 30 nodes.
_MASK: Final = 27
_GLANCE: Final = 0.05


def wait_until(condition: Callable[[], object], timeout: float, what: str) -> None:
    """
    Return as soon as a condition holds.

    Raises:
        AssertionError: It does not within `timeout` seconds.
    """
    deadline = clock.monotonic() + timeout
    while not condition():
        assert clock.monotonic() < deadline, f"not within {timeout} s: {what}"
        threading.Event().wait(_GLANCE)


class Watcher:
    """Adds to a ledger when the processes of role instances have gone."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        self._read = 0
        self._open: dict[int, Line] = {}
        # All that are open were alive then.
        self._alive_at = clock.elapsed()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        poll = select.poll()
        while not self._end.is_set():
            for line in self._new_lines():
                if line.word == "start":
                    self._begin(line, poll)
            looked_at = clock.elapsed()
            for descriptor, _ in poll.poll(5):
                self._note_death(self._open.pop(descriptor))
                poll.unregister(descriptor)
                os.close(descriptor)
            self._alive_at = looked_at
        for descriptor in self._open:
            os.close(descriptor)

    def _begin(self, line: Line, poll: select.poll) -> None:
        try:
            descriptor = os.pidfd_open(line.pid)
        except ProcessLookupError:
            self._note_death(line)
            return
        self._open[descriptor] = line
        poll.register(descriptor, select.POLLIN)

    def _new_lines(self) -> list[Line]:
        with contextlib.suppress(FileNotFoundError), self._ledger.open("rb") as file:
            file.seek(self._read)
            data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._read += len(whole)
            return parse(whole.decode())
        return []

    def _note_death(self, line: Line) -> None:
        # Whoever looks late does not make anybody live longer.
        text = f"death {line.node} {line.role} {line.pid} {self._alive_at:.6f}\n"
        with self._ledger.open("ab", buffering=0) as file:
            file.write(text.encode())


class Player:
    """One place for a node: what runs there ends, and may be started again."""

    def __init__(self, number: int, log: Path) -> None:
        self.number = number
        self.log_path = log
        self.process: subprocess.Popen[bytes] | None = None
        self.is_frozen = False
        self.is_ending = False
        self._client: NodeClient | None = None

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def client(self) -> NodeClient | None:
        """How the node that runs here now is spoken to; None until it can be."""
        if self._client is None or self._client.presence.pid != self.pid:
            found = [each for each in presence.running_nodes() if each.pid == self.pid]
            self._client = NodeClient(found[0]) if found else None
        return self._client

    @property
    def name(self) -> str:
        """The name of the node, which has one once it runs."""
        assert self.client is not None, f"node {self.number} is not up:\n{self.log()[-2000:]}"
        return self.client.presence.name

    def log(self) -> str:
        return self.log_path.read_text("utf-8") if self.log_path.exists() else ""

    def processes(self) -> list[int]:
        """Return the pids of the node's processes, its root first."""
        try:
            below = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [self.pid, *(each.pid for each in below)]


class Cluster:
    """
    Several nodes of one configuration on this machine.

    As a context manager it leaves nothing behind.

    Args:
        folder: Where the configuration, the logs and the ledger lie.
        roles: How many instances of which roles, all `LedgerRole`; more about a role stands in
            `options`.
        nodes: How many places there are for nodes.
        preset: The timing.
        toml: A configuration to take instead.
        options: Lines of TOML for each role.
        environ: More variables for every node.
    """

    def __init__(
        self,
        folder: Path,
        roles: Mapping[str, int] | None = None,
        *,
        nodes: int = 3,
        preset: str = "fast",
        toml: str | None = None,
        options: str = "max_restarts = 1000000",
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.roles = dict(roles or {})
        self.config = folder / "app.toml"
        self.config.write_text(toml or self._toml(options), "utf-8")
        self.port = free_port()
        self.environ = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "BEETHOVEN_LISTENER_PORT": str(self.port),
            "BEETHOVEN_CLUSTER_NET_MASK": str(_MASK),
            "BEETHOVEN_TIMING": preset,
            # A node that was the first by a second takes all, and would lose some of it meanwhile.
            "BEETHOVEN_REBALANCE": "false",
            **(environ or {}),
        }
        self.players = [Player(number, folder / f"node-{number}.log") for number in range(nodes)]
        self.ledger_path = folder / "ledger"
        self._watcher: Watcher | None = None

    def _toml(self, options: str) -> str:
        return "\n".join(
            f'[roles.{role}]\nmodule = "tests.cluster.live.ledger_role:LedgerRole"\n'
            f"instances = {count}\n{options}\n"
            f'args = {{ folder = {json.dumps(str(self.folder))}, role = "{role}" }}\n'
            for role, count in self.roles.items()
        )

    def __enter__(self) -> Self:
        self._watcher = Watcher(self.ledger_path)
        return self

    def __exit__(self, *_: object) -> None:
        pids = [pid for player in self.running for pid in player.processes()]
        running = {player.number for player in self.running}
        self.kill_all(running)
        wait_until(lambda: not any(map(is_running, pids)), 10.0, "all is gone")
        assert self._watcher is not None
        self._watcher.close()
        for path in base_folder().glob("node-*"):
            if not presence._is_held(path):
                path.unlink()

    @property
    def running(self) -> list[Player]:
        return [player for player in self.players if player.is_running]

    @property
    def awake(self) -> list[Player]:
        return [player for player in self.running if not player.is_frozen]

    def names(self) -> dict[int, str]:
        """Return the names of the nodes that run, by number."""
        return {player.number: player.name for player in self.running}

    def start(self, *numbers: int) -> None:
        """Start nodes, all of them if none is named, at the same instant."""
        for number in numbers or range(len(self.players)):
            player = self.players[number]
            assert not player.is_running
            with player.log_path.open("ab") as log:
                player.process = subprocess.Popen(
                    [sys.executable, "-m", "beethoven", "run", str(self.config)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self.environ_of(number),
                    cwd=self.folder,
                )
            # Only now: meanwhile another thread may look whether a node has ended that should not.
            player.is_ending = False

    def environ_of(self, number: int) -> Mapping[str, str]:
        """Return the variables of a node; here all have the same."""
        return self.environ

    def kill(self, number: int) -> None:
        """Kill the root of a node, with which all of the node ends."""
        self.kill_all([number])

    def kill_all(self, numbers: Collection[int] | None = None) -> None:
        """Kill nodes at the same instant."""
        every = range(len(self.players))
        chosen = [self.players[number] for number in (every if numbers is None else numbers)]
        for player in chosen:
            assert player.process is not None
            player.is_ending = True
            player.process.kill()
        for player in chosen:
            assert player.process is not None
            player.process.wait()
            player.is_frozen = False

    def kill_process(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def terminate(self, number: int) -> None:
        """Tell a node to stop in good order; do not wait for it."""
        process = self.players[number].process
        assert process is not None
        self.players[number].is_ending = True
        process.send_signal(signal.SIGTERM)

    def wait(self, number: int, timeout: float = 30.0) -> int:
        """Return the exit code of a node, once it has ended."""
        process = self.players[number].process
        assert process is not None
        return process.wait(timeout)

    def stop(self, number: int) -> int:
        """Stop a node in good order; return its exit code."""
        self.terminate(number)
        return self.wait(number)

    def freeze(self, number: int) -> None:
        """Freeze every process of a node."""
        player = self.players[number]
        player.is_frozen = True
        frozen: set[int] = set()
        while new := set(player.processes()) - frozen:
            # First the root, which would start others.
            for pid in sorted(new, key=lambda each: each != player.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
            frozen |= new

    def thaw(self, number: int) -> None:
        player = self.players[number]
        for pid in reversed(player.processes()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        player.is_frozen = False

    def component(self, number: int, name: str, but: int | None = None) -> int:
        """Return the pid of a part of a node, such as `core_server`, once it is not `but`."""
        found: list[int] = []

        def is_there() -> bool:
            client = self.players[number].client
            with contextlib.suppress(BeethovenError):
                found[:] = [client.process(f"beethoven.{name}").pid] if client else []
            return bool(found) and found[0] != but

        wait_until(is_there, 20.0, f"{name} of node {number} is back")
        return found[0]

    def components(self, number: int) -> list[str]:
        """Return the names of the parts of a node."""
        client = self.players[number].client
        assert client is not None
        return [child["id"] for child in client.tree()["children"] if child["pid"] is not None]

    def status(self, number: int) -> dict[str, Any] | None:
        """Return what a node says of the cluster; None if it cannot say anything now."""
        client = self.players[number].client
        if client is None:
            return None
        try:
            return client.status(2.0)
        except (BeethovenError, StopIteration):
            return None

    def story(self, number: int) -> Any:
        """
        Return the part of a status in which all nodes must agree.

        None if there is none, or if the node does not know yet what became of another.
        """
        status = self.status(number)
        if status is None or any(each["state"] == "suspect" for each in status["members"]):
            return None
        members = [(each["name"], each["state"]) for each in status["members"]]
        roles = {
            role["name"]: sorted(
                (each["node"], each["pid"], each["state"]) for each in role["instances"]
            )
            for role in status["roles"]
        }
        alive = [each for each in members if each[1] == "alive"]
        return {"members": sorted(alive), "by": status["node"]["coordinator"], "roles": roles}

    def one_story(self) -> Any:
        """Return what all nodes that are awake tell; None if they differ, or some tell nothing."""
        stories = [self.story(player.number) for player in self.awake]
        if not stories or None in stories or any(each != stories[0] for each in stories):
            return None
        return stories[0]

    def wait_formed(self, count: int | None = None, timeout: float = 30.0) -> Any:
        """
        Wait until all nodes that are awake are one cluster and say so.

        Returns:
            What they say, as `story`.
        """
        wanted = len(self.awake) if count is None else count
        found: list[Any] = [None]

        def is_formed() -> bool:
            for player in self.players:
                failed = player.process is not None and not player.is_running
                assert player.is_ending or not failed, f"node {player.number} has ended"
            found[0] = self.one_story()
            return found[0] is not None and len(found[0]["members"]) == wanted

        try:
            wait_until(is_formed, timeout, f"{wanted} nodes are one cluster")
        except AssertionError:
            raise AssertionError(self.explain(f"not one cluster of {wanted}")) from None
        return found[0]

    def wait_counts(self, timeout: float = 30.0, wanted: Mapping[str, int] | None = None) -> Any:
        """
        Wait until every role runs as often as it can, and all nodes that are awake say so.

        Returns:
            What they say, as `story`.
        """
        expected = self.wanted() if wanted is None else dict(wanted)
        found: list[Any] = [None]

        def are_right() -> bool:
            found[0] = self.one_story()
            return found[0] is not None and expected == {
                role: sum(state == "running" for _, _, state in instances)
                for role, instances in found[0]["roles"].items()
            }

        try:
            wait_until(are_right, timeout, "the roles are right")
        except AssertionError:
            raise AssertionError(self.explain(f"expected {expected}")) from None
        return found[0]

    def explain(self, problem: str) -> str:
        """Return a problem with what all nodes say and the ends of their logs."""
        stories = [f"{each.number}: {self.story(each.number)}" for each in self.awake]
        logs = [f"--- node {each.number}\n{each.log()[-4000:]}" for each in self.players]
        return "\n".join([problem, *stories, *logs])

    def wanted(self) -> dict[str, int]:
        """Return how often each role should run on the nodes that are awake."""
        return {role: min(count, len(self.awake)) for role, count in self.roles.items()}

    def ledger(self) -> list[Line]:
        return parse(self.ledger_path.read_text("utf-8")) if self.ledger_path.exists() else []

    def lives(self) -> list[Life]:
        return lives(self.ledger())

    def check(self, since: float, within: float = 10.0, quiet: float = 1.0) -> float:
        """
        Check P3 for all times, and P4 from a moment on.

        Args:
            since: When the last fault was over, and all nodes knew each other that were started.
            within: The bound of P4.
            quiet: How long the roles have to stay as they should be.

        Returns:
            When the roles were right, in seconds after `since`.
        """
        found: list[float] = []

        def is_over() -> bool:
            now = clock.elapsed()
            settled = settled_at(self.lives(), self.wanted(), since, now)
            found[:] = [] if settled is None else [settled]
            return settled is not None and now > settled + quiet

        try:
            wait_until(is_over, max(0.0, since + within + quiet - clock.elapsed()), "P4")
        except AssertionError:
            have = dict(counts(self.lives(), clock.elapsed()))
            text = f"P4: expected {self.wanted()} within {within} s, got: {have}"
            raise AssertionError(self.explain(text)) from None
        problems = overlaps(self.ledger())
        assert not problems, self.explain("P3: " + "\n".join(problems))
        return found[0] - since

    def events(self, *names: str) -> list[str]:
        """Return the lines of all logs about some events."""
        return [
            f"{player.number}: {line}"
            for player in self.players
            for line in player.log().splitlines()
            if any(f" {name} " in line for name in names)
        ]


@contextlib.contextmanager
def undisturbed(cluster: Cluster, *names: str, but: Iterable[int] = ()) -> Iterator[None]:
    """Check that no instance ends within the block, but on some nodes, and no event is logged."""
    nodes = [cluster.players[number].name for number in but]
    before = [life for life in cluster.lives() if life.ended is None and life.node not in nodes]
    events = Counter(cluster.events(*names))
    yield
    ended = {(life.node, life.pid) for life in cluster.lives() if life.ended is not None}
    lost = [life for life in before if (life.node, life.pid) in ended]
    new = Counter(cluster.events(*names)) - events
    assert not lost, cluster.explain(f"ended: {lost}")
    assert not new, cluster.explain(f"expected nothing of that, got: {new}")
