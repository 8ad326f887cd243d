"""Thespian: actors that are processes, over TCP; the clients are processes outside the system."""

import os
import signal
from typing import Any

from thespian.actors import Actor, ActorExitRequest, ActorSystem, ChildActorExited

from scripts.benchmarks.peers.crowd import Client, Crowd, plain
from scripts.benchmarks.peers.peer import Peer
from scripts.benchmarks.peers.timing import Samples, flood, milliseconds, until_answers
from scripts.ports import free_port

_TIMEOUT = 100
_SHORT = 0.05


class Echo(Actor):
    """An actor that replies with the payload, counts tuples, and tells who it is."""

    def __init__(self) -> None:
        super().__init__()
        self._taken = 0

    def receiveMessage(self, message: Any, sender: Any) -> None:  # noqa: N802 - its name there
        match message:
            case tuple():
                self._taken += 1
            case "taken":
                self.send(sender, self._taken)
                self._taken = 0
            case "pid":
                self.send(sender, os.getpid())
            case bytes():
                self.send(sender, message)


class Parent(Actor):
    """An actor that has one child, and another as soon as it has ended; it tells who it is."""

    def __init__(self) -> None:
        super().__init__()
        self._child: Any = None
        self._asks: Any = None

    def receiveMessage(self, message: Any, sender: Any) -> None:  # noqa: N802 - its name there
        match message:
            case "pid":
                self._child = self._child or self.createActor(Echo)
                self._asks = sender
                self.send(self._child, "pid")
            case int():
                self.send(self._asks, message)
            case ChildActorExited():
                self._child = self.createActor(Echo)


def connect(address: tuple[dict[str, Any], str]) -> Client:
    """Return a client of the actor with a global name, in the system of an administrator."""
    capabilities, name = address
    system = ActorSystem("multiprocTCPBase", capabilities)
    actor = system.createActor(Echo, globalName=name)
    return plain(lambda payload: system.ask(actor, payload, _TIMEOUT))


class Thespian(Peer):
    """A system of actors with an administrator of its own."""

    distribution = "thespian"

    def open(self, clients: int) -> None:
        capabilities = {"Admin Port": free_port()}
        self._system = ActorSystem("multiprocTCPBase", capabilities)
        self._actor = self._system.createActor(Echo, globalName="echo")
        self._parent = self._system.createActor(Parent)
        self._crowd = Crowd(connect, [(capabilities, "echo")] * clients)

    def prepare(self, size: int, clients: int) -> None:
        self._crowd.prepare(size, clients)

    def echo(self, clients: int, count: int, seconds: float) -> list[Samples]:
        return self._crowd.echo(clients, count, seconds)

    def casts(self, payload: bytes, count: int, seconds: float) -> float:
        return flood(
            lambda each: self._system.tell(self._actor, (each,)),
            lambda: int(self._system.ask(self._actor, "taken", _TIMEOUT)),
            payload,
            count,
            seconds,
        )

    def start(self) -> float:
        started: list[Any] = []

        def begin() -> None:
            started.append(self._system.createActor(Echo))
            self._system.ask(started[0], "pid", _TIMEOUT)

        taken = milliseconds(begin)
        self._system.tell(started[0], ActorExitRequest())
        return taken

    def restart(self) -> float:
        before = self._system.ask(self._parent, "pid", _TIMEOUT)
        os.kill(before, signal.SIGKILL)

        def is_another() -> bool:
            return self._system.ask(self._parent, "pid", _SHORT) not in {None, before}

        return milliseconds(lambda: until_answers(is_another))

    def close(self) -> None:
        self._crowd.close()
        self._system.shutdown()


PEER = Thespian
