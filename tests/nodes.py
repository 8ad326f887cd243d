"""Nodes for tests: a real `python -m beethoven`, its log, and what runs in it."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import psutil

from beethoven.errors import BeethovenError
from beethoven.node import presence
from beethoven.node.control import NodeClient
from scripts.ports import free_port
from tests.processes import is_running, wait_until

PYTHON = [sys.executable, "-m", "beethoven"]

ONE_ROLE = """
[roles.echo]
module = "beethoven.roles:TestRole"
args = { greeting = "hi" }
"""

_FIELD = re.compile(r'(?P<key>[^ =]+)=(?P<value>"(?:[^"\\]|\\.)*"|[^ ]*)')


def write(folder: Path, toml: str, name: str = "app.toml") -> Path:
    path = folder / name
    path.write_text(toml, "utf-8")
    return path


_ports: dict[Path, int] = {}


def port_of(config: Path) -> int:
    """Return the port on which the nodes of a file listen in this run, and no others."""
    if config not in _ports:
        _ports[config] = free_port()
    return _ports[config]


def alone(config: Path) -> dict[str, str]:
    """
    Return the environment of a node that is called "beethoven" and meets no node of another file.

    By default nodes of one machine find each other, and each is called after its address.
    """
    own = {"BEETHOVEN_NAME": "beethoven", "BEETHOVEN_LISTENER_PORT": str(port_of(config))}
    return {**os.environ, **own}


class Result:
    """How a verb ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def __repr__(self) -> str:
        return f"<exit {self.code}\n{self.out}\n{self.err}>"


def beethoven(*arguments: object, timeout: float = 60.0, **more: Any) -> Result:
    """Run a verb to its end."""
    done = subprocess.run(
        [*PYTHON, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout,
        check=False,
        **more,
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


class Node:
    """A node that runs in the background, with its log in a file."""

    def __init__(
        self,
        config: Path,
        *options: str,
        stdout: int | IO[bytes] | None = None,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.config = config
        self.log_path = config.with_suffix(".log")
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*PYTHON, "run", str(config), *options],
                stdin=subprocess.DEVNULL,
                stdout=log if stdout is None else stdout,
                stderr=log,
                env={**alone(config), **(env or {})},
                cwd=cwd,
            )
        self.pid = self.process.pid
        self.address = f"127.0.0.1:{port_of(config)}"

    @property
    def client(self) -> NodeClient:
        return NodeClient.find()

    def log(self) -> str:
        """Return what has been logged; of a line that is being written nothing."""
        data = self.log_path.read_bytes()
        return data[: data.rfind(b"\n") + 1].decode()

    def lines(self, event: str, **fields: object) -> list[dict[str, str]]:
        """Return the fields of the log's lines about an event that have these fields."""
        found = []
        for line in self.log().splitlines():
            words = line.split(maxsplit=3)
            if len(words) > 2 and words[2] == event:
                rest = words[3] if len(words) > 3 else ""
                have = {each["key"]: _plain(each["value"]) for each in _FIELD.finditer(rest)}
                have["level"] = words[1]
                if all(have.get(key) == str(value) for key, value in fields.items()):
                    found.append(have)
        return found

    def wait_for(self, event: str, *, count: int = 1, **fields: object) -> dict[str, str]:
        """Return the last line about an event, once there are that many."""
        wait_until(lambda: len(self.lines(event, **fields)) >= count, 30.0)
        return self.lines(event, **fields)[-1]

    def status(self) -> dict[str, Any]:
        return self.client.status()

    def instance(self, role: str) -> dict[str, Any]:
        """Return what `status` tells of a role's instance; nothing while there is none."""
        try:
            roles = {each["name"]: each["instances"] for each in self.status()["roles"]}
        except BeethovenError:
            return {"state": "unknown", "pid": None, "last_exit": None}
        return next(iter(roles[role]), {"state": "none", "pid": None, "last_exit": None})

    def state(self, role: str) -> str:
        return str(self.instance(role)["state"])

    def wait_state(self, role: str, state: str, timeout: float = 30.0) -> dict[str, Any]:
        seen: dict[str, Any] = {}

        def is_there() -> bool:
            seen.update(self.instance(role))
            return bool(seen["state"] == state)

        wait_until(is_there, timeout)
        return seen

    def wait_running(self, *roles: str, but: int | None = None) -> list[int]:
        """Return the pids of roles, once each runs and none has the pid `but`."""
        pids: list[int] = []

        def run() -> bool:
            instances = [self.instance(role) for role in roles]
            pids[:] = [each["pid"] for each in instances if each["state"] == "running"]
            return len(pids) == len(roles) and but not in pids

        wait_until(run, 30.0)
        return pids

    def component(self, name: str, but: int | None = None) -> int:
        """Return the pid of role_supervisor or role_server, once it is not `but`."""
        found: list[int] = []

        def run() -> bool:
            with contextlib.suppress(BeethovenError):
                found[:] = [self.client.process(f"beethoven.{name}").pid]
            return bool(found) and found[0] != but

        wait_until(run)
        return found[0]

    def fork_server(self) -> int:
        """Return the pid of the root's fork server."""
        children = psutil.Process(self.pid).children()
        (pid,) = (child.pid for child in children if child.status() != psutil.STATUS_ZOMBIE)
        return int(pid)

    def everything(self) -> list[int]:
        """Return the pids of all processes of the node."""
        try:
            below = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [self.pid, *(each.pid for each in below)]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = 20.0) -> int:
        return self.process.wait(timeout)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> list[int]:
        """Kill the root; return the pids of all that it had."""
        pids = self.everything()
        self.process.kill()
        self.process.wait()
        return pids


def _plain(value: str) -> str:
    return str(json.loads(value)) if value.startswith('"') and _is_json(value) else value


def _is_json(value: str) -> bool:
    try:
        json.loads(value)
    except ValueError:
        return False
    return True


@contextlib.contextmanager
def node(
    folder: Path,
    toml: str,
    *options: str,
    stdout: int | IO[bytes] | None = None,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    ready: bool = True,
) -> Iterator[Node]:
    """Run a node; at the end it is stopped, and what it leaves if it was killed is cleared away."""
    running = Node(write(folder, toml), *options, stdout=stdout, env=env, cwd=cwd)
    try:
        if ready:
            wait_ready(running)
        yield running
    finally:
        if running.process.poll() is None:
            running.signal(signal.SIGTERM)
            try:
                running.wait()
            except subprocess.TimeoutExpired:
                running.process.kill()
                running.process.wait()
        for path in Path(os.environ["BEETHOVEN_RUNTIME_DIR"]).glob("node-*"):
            if not presence._is_held(path):
                path.unlink()


def wait_ready(running: Node) -> None:
    """Return once a node can be asked and has looked after its roles."""

    def is_ready() -> bool:
        assert running.process.poll() is None, running.log()
        try:
            roles = running.client.status()["roles"]
        except BeethovenError:
            return False
        states = {each["state"] for role in roles for each in role["instances"]}
        return all(role["instances"] for role in roles) and "starting" not in states

    wait_until(is_ready, 30.0)


def all_gone(pids: list[int]) -> bool:
    return not any(map(is_running, pids))
