"""Nodes for the examples: a cluster of their own in a temporary folder, that tells what happens."""

import os
import secrets
import socket
import subprocess
import sys
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Self

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
        self._environ = {
            **os.environ,
            "BEETHOVEN_COOKIE": secrets.token_hex(),
            "BEETHOVEN_LISTENER_PORT": str(_free_port()),
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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port
