"""Beethoven: roles; the clients are roles too."""

import os
import signal
from typing import Any

from beethoven import Caller, ChildSpec, Ref, Request, Role, Supervisor, call, send_request
from beethoven.supervision.supervisor import SupervisorRef
from beethoven.vocabulary import VERSION
from scripts.benchmarks.peers.peer import Peer
from scripts.benchmarks.peers.timing import (
    Samples,
    flood,
    milliseconds,
    pings,
    until_answers,
    warm_ups,
)

_TIMEOUT = 120.0


class Echo(Role):
    """A role that replies with the request, counts its casts, and tells who it is."""

    def init(self, args: Any) -> None:
        self._taken = 0

    def handle_call(self, request: Any, caller: Caller) -> Any:
        match request:
            case "taken":
                taken, self._taken = self._taken, 0
                return taken
            case "pid":
                return os.getpid()
        return request

    def handle_cast(self, request: Any) -> None:
        self._taken += 1


class Client(Role):
    """A role that calls the one in its args."""

    def init(self, args: Any) -> None:
        self._server: Ref = args
        self._payload = b""

    def handle_call(self, request: Any, caller: Caller) -> Any:
        match request:
            case ("prepare", size):
                self._payload = os.urandom(size)
                return self._pings(warm_ups(len(self._payload)), 1.0) and None
            case ("echo", count, seconds):
                return self._pings(count, seconds)
        raise ValueError(f"expected an order, got: {request!r}")

    def _pings(self, count: int, seconds: float) -> Samples:
        return pings(lambda payload: self._server.call(payload, 60), self._payload, count, seconds)


class Beethoven(Peer):
    """Processes of one tree, started by this program."""

    def open(self, clients: int) -> None:
        self._server = Echo.start_link()
        self._clients = [Client.start_link(self._server) for _ in range(clients)]
        self._tree: SupervisorRef | None = None

    def prepare(self, size: int, clients: int) -> None:
        for client in self._clients[:clients]:
            client.call(("prepare", size), _TIMEOUT)

    def echo(self, clients: int, count: int, seconds: float) -> list[Samples]:
        order = ("echo", count, seconds)
        requests = [send_request(client, order) for client in self._clients[:clients]]
        return [_value(request) for request in requests]

    def casts(self, payload: bytes, count: int, seconds: float) -> float:
        return flood(
            self._server.cast,
            lambda: int(self._server.call("taken", _TIMEOUT)),
            payload,
            count,
            seconds,
        )

    def start(self) -> float:
        started: list[Ref] = []

        def begin() -> None:
            started.append(Echo.start_link())
            started[0].call("pid")

        taken = milliseconds(begin)
        started[0].stop()
        return taken

    def restart(self) -> float:
        if self._tree is None:
            spec = ChildSpec("supervised", Echo, name="supervised")
            self._tree = Supervisor.start_link([spec], max_restarts=1_000_000)
        pid = self._tree.child("supervised").pid
        os.kill(pid, signal.SIGKILL)
        return milliseconds(lambda: until_answers(lambda: call("supervised", "pid") != pid))

    def close(self) -> None:
        if self._tree is not None:
            self._tree.stop()
        for each in (*self._clients, self._server):
            each.stop()

    def version(self) -> str:
        return VERSION


def _value(request: Request) -> Any:
    response = request.receive_response(_TIMEOUT)
    if response is None:
        raise TimeoutError(f"a client did not answer within {_TIMEOUT} s")
    return response.unwrap()


PEER = Beethoven
