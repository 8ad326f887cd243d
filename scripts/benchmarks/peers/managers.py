"""`multiprocessing.managers`: an object in a server process, and proxies of it."""

import platform
import tempfile
from multiprocessing import get_context
from multiprocessing.managers import BaseManager
from typing import Any

from scripts.benchmarks.peers.crowd import Client, Crowd, plain
from scripts.benchmarks.peers.peer import Missing, Peer
from scripts.benchmarks.peers.timing import Samples, milliseconds

_KEY = b"benchmark"


class Echo:
    """What the manager serves."""

    def echo(self, payload: bytes) -> bytes:
        return payload


_echo = Echo()


def the_echo() -> Echo:
    """Return the one of this process."""
    return _echo


class Manager(BaseManager):
    """A manager of one object."""


Manager.register("echo", the_echo)


def _manager(address: str) -> Any:
    return Manager(address=address, authkey=_KEY, ctx=get_context("forkserver"))


def connect(address: str) -> Client:
    """Return a client of the manager at an address."""
    manager = _manager(address)
    manager.connect()
    return plain(manager.echo().echo)


class Managers(Peer):
    """One manager; its server has a thread for each client."""

    def open(self, clients: int) -> None:
        get_context("forkserver").set_forkserver_preload([__name__])
        self._folder = tempfile.TemporaryDirectory()
        address = f"{self._folder.name}/manager"
        self._manager = _manager(address)
        self._manager.start()
        self._crowd = Crowd(connect, [address] * clients)
        self._started = 0

    def prepare(self, size: int, clients: int) -> None:
        self._crowd.prepare(size, clients)

    def echo(self, clients: int, count: int, seconds: float) -> list[Samples]:
        return self._crowd.echo(clients, count, seconds)

    def casts(self, payload: bytes, count: int, seconds: float) -> float:
        raise Missing("every method of a proxy waits for its result")

    def start(self) -> float:
        self._started += 1
        manager = _manager(f"{self._folder.name}/{self._started}")

        def begin() -> None:
            manager.start()
            manager.echo().echo(b"up")

        taken = milliseconds(begin)
        manager.shutdown()
        return taken

    def restart(self) -> float:
        raise Missing("nobody looks after the server")

    def close(self) -> None:
        self._crowd.close()
        self._manager.shutdown()
        self._folder.cleanup()

    def version(self) -> str:
        return f"Python {platform.python_version()}"


PEER = Managers
