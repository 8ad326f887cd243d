"""Ray: an actor on a local cluster; the clients are actors too."""

import os
import signal
import tempfile
from typing import Any

import ray

from scripts.benchmarks.peers.peer import Peer
from scripts.benchmarks.peers.timing import (
    Samples,
    flood,
    milliseconds,
    pings,
    until_answers,
    warm_ups,
)

_TIMEOUT = 120
_STORE = 4_000_000_000


class Echo:
    """An actor that replies with the payload, counts, and tells who it is."""

    def __init__(self) -> None:
        self._taken = 0

    def echo(self, payload: bytes) -> bytes:
        return payload

    def note(self, payload: bytes) -> None:
        self._taken += 1

    def count(self) -> int:
        taken, self._taken = self._taken, 0
        return taken

    def pid(self) -> int:
        return os.getpid()


class Driver:
    """An actor that calls another one."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._payload = b""

    def prepare(self, size: int) -> None:
        self._payload = os.urandom(size)
        self.echo(warm_ups(len(self._payload)), 1.0)

    def echo(self, count: int, seconds: float) -> Samples:
        def ping(payload: bytes) -> Any:
            return ray.get(self._server.echo.remote(payload), timeout=_TIMEOUT)

        return pings(ping, self._payload, count, seconds)


class Ray(Peer):
    """A cluster of this machine, which ends with the program."""

    distribution = "ray"

    def open(self, clients: int) -> None:
        ray.init(
            num_cpus=2,
            object_store_memory=_STORE,
            include_dashboard=False,
            log_to_driver=False,
            _temp_dir=tempfile.gettempdir(),
        )
        self._actor_class = ray.remote(num_cpus=0, max_restarts=-1)(Echo)
        self._server, self._doomed = self._actor_class.remote(), self._actor_class.remote()
        driver = ray.remote(num_cpus=0)(Driver)
        self._drivers = [driver.remote(self._server) for _ in range(clients)]
        self.prepare(1, clients)

    def prepare(self, size: int, clients: int) -> None:
        _get([each.prepare.remote(size) for each in self._drivers[:clients]])

    def echo(self, clients: int, count: int, seconds: float) -> list[Samples]:
        found = _get([each.echo.remote(count, seconds) for each in self._drivers[:clients]])
        return [Samples(*each) for each in found]

    def casts(self, payload: bytes, count: int, seconds: float) -> float:
        # Every message has a result; they are not asked for.
        return flood(
            self._server.note.remote,
            lambda: int(_get(self._server.count.remote())),
            payload,
            count,
            seconds,
        )

    def start(self) -> float:
        started: list[Any] = []

        def begin() -> None:
            started.append(self._actor_class.remote())
            _get(started[0].pid.remote())

        taken = milliseconds(begin)
        ray.kill(started[0])
        return taken

    def restart(self) -> float:
        before = _get(self._doomed.pid.remote())
        os.kill(before, signal.SIGKILL)
        return milliseconds(
            lambda: until_answers(lambda: _get(self._doomed.pid.remote()) != before)
        )

    def close(self) -> None:
        ray.shutdown()


def _get(what: Any) -> Any:
    return ray.get(what, timeout=_TIMEOUT)


PEER = Ray
