"""RPyC: a service in a server process, and connections to it."""

import contextlib
import multiprocessing
import tempfile
from collections import deque
from pathlib import Path
from typing import Any

import rpyc
from rpyc.utils.factory import unix_connect
from rpyc.utils.server import ThreadedServer

from scripts.benchmarks.peers.crowd import Client, Crowd, plain
from scripts.benchmarks.peers.peer import Missing, Peer
from scripts.benchmarks.peers.timing import Samples, flood, milliseconds, until_answers

_UNDER_WAY = 100
_CONFIG = {"sync_request_timeout": 80}


class Echo(rpyc.Service):
    """What the server offers to each connection."""

    taken = 0

    def exposed_echo(self, payload: bytes) -> bytes:
        return payload

    def exposed_note(self, payload: bytes) -> None:
        self.taken += 1

    def exposed_count(self) -> int:
        taken, self.taken = self.taken, 0
        return taken


def serve(path: str) -> None:
    """Listen until killed."""
    ThreadedServer(Echo, socket_path=path).start()


def connect(path: str) -> Client:
    """Return a client of the server at an address."""
    return plain(unix_connect(path, config=_CONFIG).root.echo)


class Rpyc(Peer):
    """One server with a thread for each connection."""

    distribution = "rpyc"

    def open(self, clients: int) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__])
        self._folder = tempfile.TemporaryDirectory()
        self._started = 0
        self._server, self._connection = self._run()
        self._crowd = Crowd(connect, [self._path()] * clients)

    def _path(self) -> str:
        return f"{self._folder.name}/{self._started}"

    def _run(self) -> tuple[Any, Any]:
        """Start a server; return its process and a connection to it."""
        process = self._context.Process(target=serve, args=(self._path(),), daemon=True)
        process.start()
        found: list[Any] = []

        def is_there() -> bool:
            found.append(unix_connect(self._path()))
            return True

        until_answers(is_there)
        return process, found[0]

    def prepare(self, size: int, clients: int) -> None:
        self._crowd.prepare(size, clients)

    def echo(self, clients: int, count: int, seconds: float) -> list[Samples]:
        return self._crowd.echo(clients, count, seconds)

    def casts(self, payload: bytes, count: int, seconds: float) -> float:
        # There is no message without a reply; the replies are taken, but a while later.
        note = rpyc.async_(self._connection.root.note)
        under_way: deque[Any] = deque()

        def cast(payload: bytes) -> None:
            under_way.append(note(payload))
            if len(under_way) > _UNDER_WAY:
                under_way.popleft().wait()

        return flood(cast, lambda: int(self._connection.root.count()), payload, count, seconds)

    def start(self) -> float:
        self._started += 1
        ended: list[Any] = []

        def begin() -> None:
            process, connection = self._run()
            connection.root.echo(b"up")
            ended.append(process)

        taken = milliseconds(begin)
        _end(ended[0])
        return taken

    def restart(self) -> float:
        raise Missing("nobody looks after the server")

    def close(self) -> None:
        self._crowd.close()
        _end(self._server)
        with contextlib.suppress(FileNotFoundError):
            Path(self._folder.name, "0").unlink()
        self._folder.cleanup()


def _end(process: Any) -> None:
    process.kill()
    process.join()


PEER = Rpyc
