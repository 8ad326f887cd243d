"""Dask: an actor in a worker of a local cluster; the clients are tasks in workers of their own."""

import os
from typing import Any

from distributed import Client, LocalCluster

from scripts.benchmarks.peers.peer import Missing, Peer
from scripts.benchmarks.peers.timing import Samples, flood, milliseconds, pings, warm_ups

_TIMEOUT = 120
_UP = 60
_SETTINGS = {"distributed.scheduler.work-stealing": False}


class Echo:
    """An actor that replies with the payload, and counts."""

    def __init__(self) -> None:
        self._taken = 0

    def echo(self, payload: bytes) -> bytes:
        return payload

    def note(self, payload: bytes) -> None:
        self._taken += 1

    def count(self) -> int:
        taken, self._taken = self._taken, 0
        return taken


def drive(actor: Any, size: int, count: int, seconds: float) -> Samples:
    """Make exchanges with an actor, in a task."""
    payload = os.urandom(size)
    return pings(lambda each: actor.echo(each).result(), payload, count, seconds)


class Dask(Peer):
    """A cluster of this machine: one worker with the actor, one for each client."""

    distribution = "distributed"

    def open(self, clients: int) -> None:
        import dask

        dask.config.set(_SETTINGS)
        self._cluster = LocalCluster(
            host="127.0.0.1",
            n_workers=clients + 1,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            worker_dashboard_address=None,
        )
        self._client = Client(self._cluster, direct_to_workers=True, timeout=_UP)
        self._client.wait_for_workers(clients + 1, timeout=_UP)
        self._place, *self._places = self._client.scheduler_info(n_workers=-1)["workers"]
        self._actor = self._create()
        self._size = 0

    def _create(self) -> Any:
        future = self._client.submit(Echo, actor=True, workers=[self._place], pure=False)
        return future.result(_TIMEOUT)

    def prepare(self, size: int, clients: int) -> None:
        self._size = size
        self.echo(clients, warm_ups(size), 1.0)

    def echo(self, clients: int, count: int, seconds: float) -> list[Samples]:
        futures = [
            self._client.submit(
                drive, self._actor, self._size, count, seconds, workers=[place], pure=False
            )
            for place in self._places[:clients]
        ]
        return [future.result(_TIMEOUT) for future in futures]

    def casts(self, payload: bytes, count: int, seconds: float) -> float:
        # Every message has an answer; they are not waited for, but for the last.
        return flood(
            self._actor.note,
            lambda: int(self._actor.count().result(_TIMEOUT)),
            payload,
            count,
            seconds,
        )

    def start(self) -> float:
        return milliseconds(lambda: self._create().echo(b"up").result(_TIMEOUT))

    def restart(self) -> float:
        raise Missing("the worker comes back, the actor does not")

    def close(self) -> None:
        self._client.close()
        self._cluster.close()


PEER = Dask
