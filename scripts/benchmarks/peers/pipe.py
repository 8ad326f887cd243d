"""`multiprocessing.Pipe`, bare: `send` and `recv`, one pipe for each client."""

import multiprocessing
import platform
from multiprocessing.connection import Connection, wait
from typing import Any

from scripts.benchmarks.peers.crowd import Client, Crowd, plain
from scripts.benchmarks.peers.peer import Missing, Peer
from scripts.benchmarks.peers.timing import Samples, flood, milliseconds

_CAST = "cast"
_TAKEN = "taken"


def serve_one(end: "Connection[Any, Any]") -> None:
    """Send back what comes, until the pipe is closed; count the casts."""
    taken = 0
    while True:
        try:
            request = end.recv()
        except EOFError:
            return
        if type(request) is tuple:
            taken += 1
        elif request == _TAKEN:
            end.send(taken)
            taken = 0
        else:
            end.send(request)


def serve_many(ends: "list[Connection[Any, Any]]") -> None:
    """Send back what comes, until all pipes are closed."""
    while ends:
        for end in wait(ends):
            assert isinstance(end, Connection)
            try:
                end.send(end.recv())
            except EOFError:
                ends.remove(end)


def connect(end: "Connection[Any, Any]") -> Client:
    """Return a client at this end of a pipe."""

    def ping(payload: bytes) -> Any:
        end.send(payload)
        return end.recv()

    return plain(ping)


class Pipe(Peer):
    """One server for all pipes, and one for a single pipe, which needs not ask where to read."""

    def open(self, clients: int) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__])
        own, theirs = self._context.Pipe()
        pairs = [self._context.Pipe() for _ in range(clients + 1)]
        self._processes = [
            self._run(serve_one, theirs),
            self._run(serve_one, pairs[0][0]),
            self._run(serve_many, [pair[0] for pair in pairs[1:]]),
        ]
        self._control = own
        self._single = Crowd(connect, [pairs[0][1]])
        self._many = Crowd(connect, [pair[1] for pair in pairs[1:]])
        for end in (theirs, *(end for pair in pairs for end in pair)):
            end.close()

    def _run(self, target: Any, argument: Any) -> Any:
        process = self._context.Process(target=target, args=(argument,), daemon=True)
        process.start()
        return process

    def _crowd(self, clients: int) -> Crowd:
        return self._single if clients == 1 else self._many

    def prepare(self, size: int, clients: int) -> None:
        self._crowd(clients).prepare(size, clients)

    def echo(self, clients: int, count: int, seconds: float) -> list[Samples]:
        return self._crowd(clients).echo(clients, count, seconds)

    def casts(self, payload: bytes, count: int, seconds: float) -> float:
        def taken() -> int:
            self._control.send(_TAKEN)
            return int(self._control.recv())

        return flood(lambda each: self._control.send((_CAST, each)), taken, payload, count, seconds)

    def start(self) -> float:
        own, theirs = self._context.Pipe()

        def begin() -> None:
            self._processes.append(self._run(serve_one, theirs))
            own.send(b"up")
            own.recv()

        taken = milliseconds(begin)
        theirs.close()
        own.close()
        self._processes.pop().join()
        return taken

    def restart(self) -> float:
        raise Missing("nobody looks after a process")

    def close(self) -> None:
        self._single.close()
        self._many.close()
        self._control.close()
        for process in self._processes:
            process.join(5)
            process.kill()
            process.join()

    def version(self) -> str:
        return f"Python {platform.python_version()}"


PEER = Pipe
