"""Pykka: actors that are threads of one process; so are the clients."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pykka

from scripts.benchmarks.peers.peer import Missing, Peer
from scripts.benchmarks.peers.timing import Samples, flood, milliseconds, pings, warm_ups

_TIMEOUT = 60


class Echo(pykka.ThreadingActor):
    """An actor that replies with the message, and counts those that come in a tuple."""

    def on_start(self) -> None:
        self._taken = 0

    def on_receive(self, message: Any) -> Any:
        if type(message) is tuple:
            self._taken += 1
            return None
        if message == "taken":
            taken, self._taken = self._taken, 0
            return taken
        return message


class Pykka(Peer):
    """One actor; the clients are threads."""

    distribution = "pykka"

    def open(self, clients: int) -> None:
        self._actor = Echo.start()
        self._threads = ThreadPoolExecutor(clients)
        self._payload = b""

    def prepare(self, size: int, clients: int) -> None:
        self._payload = os.urandom(size)
        self.echo(clients, warm_ups(len(self._payload)), 1.0)

    def echo(self, clients: int, count: int, seconds: float) -> list[Samples]:
        ask = partial(self._actor.ask, timeout=_TIMEOUT)
        futures = [
            self._threads.submit(pings, ask, self._payload, count, seconds) for _ in range(clients)
        ]
        return [future.result() for future in futures]

    def casts(self, payload: bytes, count: int, seconds: float) -> float:
        return flood(
            lambda each: self._actor.tell((each,)),
            lambda: int(self._actor.ask("taken", timeout=_TIMEOUT)),
            payload,
            count,
            seconds,
        )

    def start(self) -> float:
        started: list[Any] = []

        def begin() -> None:
            started.append(Echo.start())
            started[0].ask("up")

        taken = milliseconds(begin)
        started[0].stop()
        return taken

    def restart(self) -> float:
        raise Missing("a thread cannot be killed, and nobody looks after one that has ended")

    def close(self) -> None:
        pykka.ActorRegistry.stop_all()
        self._threads.shutdown()


PEER = Pykka
