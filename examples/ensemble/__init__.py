"""Nodes for the examples: a cluster of their own in a temporary folder, that tells what happens."""

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Self

from beethoven import Connection, connect

_EAR = "ENSEMBLE_EAR"


def say(words: str) -> None:
    """Tell the ensemble something; for roles."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mouth:
        mouth.sendto(words.encode(), os.environ[_EAR])


class Ensemble:
    """
    Nodes that all run the same roles.

    Args:
        roles: What `app.toml` says. The program itself is the module `example` there.
    """

    def __init__(self, roles: str) -> None:
        self._folder = TemporaryDirectory(prefix="bt", dir="/tmp")
        folder = self._folder.name
        self._config = Path(folder, "app.toml")
        self._config.write_text(roles)
        copyfile(sys.argv[0], Path(folder, "example.py"))
        self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ear.bind(f"{folder}/ear")
        self._ear.settimeout(60)
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}
        # They meet no other cluster of this machine, and nothing of them outlives the example.
        self._cookie, self._port = secrets.token_hex(), free_port()
        self._environ = {
            **_unsettled(),
            "BEETHOVEN_COOKIE": self._cookie,
            "BEETHOVEN_LISTENER_PORT": str(self._port),
            "BEETHOVEN_RUNTIME_DIR": folder,
            "XDG_STATE_HOME": folder,
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path]),
            _EAR: f"{folder}/ear",
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for node in self._nodes.values():
            node.terminate()
        for node in self._nodes.values():
            node.wait()
        self._ear.close()
        self._folder.cleanup()

    def start(self, name: str) -> None:
        """Start a node, as in a terminal of its own."""
        self._nodes[name] = self._beethoven("run", str(self._config), "--name", name)

    def connect(self) -> Connection:
        """Speak to the roles as a program elsewhere does, by the first node."""
        return connect(f"127.0.0.1:{self._port}", cookie=self._cookie, cluster="beethoven")

    def drain(self, name: str) -> None:
        """Have a node hand over what it runs, leave and stop."""
        self._beethoven("drain", "--node", name).wait()

    def kill(self, name: str) -> None:
        """Kill a node, as if its machine had gone."""
        self._nodes[name].kill()
        self._nodes[name].wait()

    def hear(self, count: int = 1) -> list[str]:
        """Return the next things that roles say, sorted; at the same time no order is certain."""
        return sorted(self._ear.recv(4096).decode() for _ in range(count))

    def _beethoven(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "beethoven", *arguments]
        return subprocess.Popen(command, env=self._environ, stdout=subprocess.DEVNULL)


def _unsettled() -> dict[str, str]:
    """Return the environment without what it says of nodes: it is not meant for the example."""
    return {key: value for key, value in os.environ.items() if not key.startswith("BEETHOVEN_")}


@contextmanager
def apart() -> Iterator[int]:
    """
    Have this program meet no other node of this machine, whatever those are called.

    Yields:
        A port that is free.
    """
    with TemporaryDirectory(prefix="bt", dir="/tmp") as folder:
        settings = {"BEETHOVEN_RUNTIME_DIR": folder, "BEETHOVEN_COOKIE": secrets.token_hex()}
        environ = {**_unsettled(), **settings}
        os.environ.clear()
        os.environ.update(environ)
        yield free_port()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port
