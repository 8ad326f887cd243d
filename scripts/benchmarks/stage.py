"""A cluster on this machine for the cluster's rows: nodes that are started, killed and frozen."""

import contextlib
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import psutil

from scripts.benchmarks.births import ROOT
from scripts.ports import free_port

_PATIENCE = 60.0
_GLANCE = 0.02

_APP = """\
[beethoven]
cluster_net = "{net}"
cluster_net_mask = {mask}
listener_port = {port}
timing = "{timing}"
cookie_file = "{cookie}"
rebalance = false
"""

_ROLE = """
[roles.{name}]
module = "scripts.benchmarks.roles:Placed"
args = "{address}"
instances = {instances}
"""


class Told(NamedTuple):
    """What a role has told: "up" or "down", its node, its name and when, monotonic, in ns."""

    word: str
    node: str
    role: str
    moment: int


class Player:
    """A node."""

    def __init__(self, name: str, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self.name = name
        self.log = Path(environ["BENCH_FOLDER"], f"{name}-{time.monotonic_ns()}.log")
        self.begun = time.monotonic_ns()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--name", name], env=environ, stdout=log, stderr=log, cwd=ROOT
            )
        self._frozen: list[psutil.Process] = []

    def events(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """Return the lines of its log about an event."""
        found = []
        for line in self.log.read_text("utf-8", "replace").splitlines():
            with contextlib.suppress(ValueError):
                about = json.loads(line)
                if about["event"] == event and fields.items() <= about.items():
                    found.append(about)
        return found

    def component(self, name: str) -> int:
        """Return the pid of a component that was started once."""
        return int(self.events("child_started", child=name)[-1]["child_pid"])

    def processes(self) -> list[psutil.Process]:
        """Return the root and all processes below it."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def own_processes(self) -> list[psutil.Process]:
        """Return its processes but those of roles."""
        started = self.events("child_started", supervisor="beethoven.root")
        pids = {self.process.pid, *(int(line["child_pid"]) for line in started)}
        pids.add(psutil.Process(self.component("role_supervisor")).ppid())
        return [each for each in self.processes() if each.pid in pids]

    def kill(self) -> int:
        """Kill the root, and return when; the rest goes by itself."""
        moment = time.monotonic_ns()
        self.process.kill()
        self.process.wait()
        return moment

    def terminate(self) -> int:
        """Ask the node to stop, and return when."""
        moment = time.monotonic_ns()
        self.process.terminate()
        return moment

    def freeze(self) -> int:
        """Stop every process, the root first, and return when."""
        self._frozen = self.processes()
        moment = time.monotonic_ns()
        self._signal(signal.SIGSTOP)
        return moment

    def thaw(self) -> int:
        """Let all go on, and return when."""
        moment = time.monotonic_ns()
        self._signal(signal.SIGCONT)
        self._frozen = []
        return moment

    def _signal(self, number: int) -> None:
        for each in self._frozen:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.send_signal(number)

    def close(self) -> None:
        """End it, frozen or not."""
        self.thaw()
        self.process.terminate()
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Stage:
    """
    Nodes of one configuration, and what their roles tell.

    Args:
        folder: For its files; a short path.
        roles: How many instances of which roles.
        timing: The preset.
        net: The first address of the network that is searched.
        mask: How many leading bits its addresses share.
        before: The command that runs a node's command, for instance in a namespace.
    """

    def __init__(
        self,
        folder: str,
        roles: Mapping[str, int],
        *,
        timing: str = "default",
        net: str = "127.0.0.0",
        mask: int = 29,
        before: Sequence[str] = (),
    ) -> None:
        self._stream = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._stream.bind(f"{folder}/told")
        cookie = Path(folder, "cookie")
        cookie.touch(0o600)
        cookie.write_text(secrets.token_hex(32))
        text = _APP.format(net=net, mask=mask, port=free_port(), timing=timing, cookie=cookie)
        for name, instances in roles.items():
            address = self._stream.getsockname()
            text += _ROLE.format(name=name, address=address, instances=instances)
        app = Path(folder, "app.toml")
        app.write_text(text)
        self._command = [*before, sys.executable, "-m", "beethoven", "run", str(app)]
        self._environ = _environ(folder)
        self.players: dict[str, Player] = {}
        # Where which role runs, and since when.
        self.running: dict[tuple[str, str], int] = {}
        self.told: list[Told] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for player in self.players.values():
            player.close()
        self._stream.close()

    def start(self, name: str) -> Player:
        """Start a node, in the place of a former one of that name if there was one."""
        player = self.players[name] = Player(name, self._command, self._environ)
        return player

    def drop(self, name: str) -> Player:
        """Forget a node that is about to be killed."""
        for key in [key for key in self.running if key[0] == name]:
            del self.running[key]
        return self.players.pop(name)

    def holders(self, role: str) -> list[str]:
        """Return the nodes on which a role runs."""
        return [node for node, name in self.running if name == role]

    def wait(self, condition: Callable[[], object], seconds: float = _PATIENCE) -> None:
        """
        Listen to the roles until something is so.

        Raises:
            RuntimeError: It is not so in time; has the end of the logs.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                logs = [each.log.read_text("utf-8", "replace") for each in self.players.values()]
                told = "\n".join(log[-3000:] for log in logs)
                raise RuntimeError(f"not within {seconds} s; the nodes said:\n{told}")
            self._listen(_GLANCE)

    def rest(self, seconds: float) -> None:
        """Listen to the roles for a while."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._listen(left)

    def _listen(self, seconds: float) -> None:
        if not select.select([self._stream], [], [], seconds)[0]:
            return
        word, node, role, moment = self._stream.recv(512).decode().split()
        told = Told(word, node, role, int(moment))
        self.told.append(told)
        if word == "up":
            self.running[node, role] = told.moment
        else:
            self.running.pop((node, role), None)

    def wait_linked(self, *names: str) -> None:
        """Return once each of these nodes has taken each other for a member since its start."""
        pairs = {(one, other) for one in names for other in names if one != other}

        def are_linked() -> bool:
            for one, other in list(pairs):
                if self.players[one].events("node_up", node=other):
                    pairs.discard((one, other))
            return not pairs

        self.wait(are_linked)


def _environ(folder: str) -> dict[str, str]:
    environ = {name: os.environ[name] for name in os.environ if name[:10] != "BEETHOVEN_"}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    return {
        **environ,
        "PYTHONPATH": str(ROOT),
        "BENCH_FOLDER": folder,
        "BEETHOVEN_RUNTIME_DIR": f"{folder}/run",
        "BEETHOVEN_LOGGING__LEVEL": "debug",
        "BEETHOVEN_LOGGING__FORMAT": "json",
        "XDG_CONFIG_HOME": f"{folder}/home",
        "XDG_STATE_HOME": f"{folder}/home",
    }


@contextlib.contextmanager
def cached() -> Iterator[None]:
    """Have byte code cached for a while, as in any installation, but not in the sources."""
    name = "PYTHONPYCACHEPREFIX"
    before = os.environ.get(name)
    with tempfile.TemporaryDirectory(prefix="beethoven-bench-") as folder:
        os.environ[name] = folder
        try:
            yield
        finally:
            del os.environ[name]
            if before is not None:
                os.environ[name] = before


@contextlib.contextmanager
def staged(roles: Mapping[str, int], **more: Any) -> Iterator[Stage]:
    """Make a stage in a folder of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="beethoven-bench-") as folder,
        Stage(folder, roles, **more) as stage,
    ):
        yield stage
