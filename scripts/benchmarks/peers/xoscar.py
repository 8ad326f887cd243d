"""xoscar: an actor in a process of a pool; the clients are processes outside the pool."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Coroutine
from typing import Any

import xoscar

from scripts.benchmarks.peers.crowd import Client, Crowd
from scripts.benchmarks.peers.peer import Peer
from scripts.benchmarks.peers.timing import Samples, async_pings

_PATIENCE = 30.0
_GLANCE = 0.0005


class Echo(xoscar.StatelessActor):
    """An actor that replies with the payload, counts, and tells who it is."""

    def __init__(self) -> None:
        self._taken = 0

    def echo(self, payload: bytes) -> bytes:
        return payload

    def note(self, payload: bytes) -> None:
        self._taken += 1

    def count(self) -> int:
        return self._taken

    def pid(self) -> int:
        return os.getpid()


def connect(address: str) -> Client:
    """Return a client of the actor at an address."""
    loop = asyncio.new_event_loop()
    actor = loop.run_until_complete(xoscar.actor_ref(address=address, uid="echo"))

    def client(payload: bytes, count: int, seconds: float) -> Samples:
        return loop.run_until_complete(async_pings(actor.echo, payload, count, seconds))

    return client


class Xoscar(Peer):
    """A pool of two processes besides that of the program; one of them is killed."""

    distribution = "xoscar"

    def open(self, clients: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._run(self._open())
        self._crowd = Crowd(connect, [self._server.address] * clients)
        self._started = 0

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(work)

    async def _open(self) -> None:
        self._pool = await xoscar.create_actor_pool("127.0.0.1:0", n_process=2)
        self._place, doomed = self._pool.sub_processes
        self._server = await self._create("echo", self._place)
        self._doomed = await self._create("doomed", doomed)

    def _create(self, uid: str, place: str) -> Awaitable[Any]:
        created: Awaitable[Any] = xoscar.create_actor(Echo, uid=uid, address=place)
        return created

    def prepare(self, size: int, clients: int) -> None:
        self._crowd.prepare(size, clients)

    def echo(self, clients: int, count: int, seconds: float) -> list[Samples]:
        return self._crowd.echo(clients, count, seconds)

    def casts(self, payload: bytes, count: int, seconds: float) -> float:
        return float(self._run(self._casts(payload, count, seconds)))

    async def _casts(self, payload: bytes, count: int, seconds: float) -> float:
        before = await self._server.count()
        begin = time.monotonic()
        sent = 0
        while sent < count and time.monotonic() - begin < seconds:
            await self._server.note.tell(payload)
            sent += 1
        handled = await self._server.count() - before
        if handled != sent:
            raise AssertionError(f"expected {sent} messages to be handled, got: {handled}")
        return sent / (time.monotonic() - begin)

    def start(self) -> float:
        return float(self._run(self._start()))

    async def _start(self) -> float:
        self._started += 1
        begin = time.monotonic()
        actor = await self._create(f"another {self._started}", self._place)
        await actor.pid()
        taken = time.monotonic() - begin
        await xoscar.destroy_actor(actor)
        return taken * 1000

    def restart(self) -> float:
        return float(self._run(self._restart()))

    async def _restart(self) -> float:
        before = await self._doomed.pid()
        begin = time.monotonic()
        os.kill(before, signal.SIGKILL)
        while await self._pid() in {None, before}:
            if time.monotonic() - begin > _PATIENCE:
                raise TimeoutError(f"no successor within {_PATIENCE} s")
            await asyncio.sleep(_GLANCE)
        return (time.monotonic() - begin) * 1000

    async def _pid(self) -> int | None:
        try:
            return int(await asyncio.wait_for(self._doomed.pid(), 1.0))
        except Exception:
            return None

    def close(self) -> None:
        self._crowd.close()
        self._run(self._pool.stop())
        self._loop.close()


PEER = Xoscar
