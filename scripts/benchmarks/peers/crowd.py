"""Client processes: plain ones, for peers that have no way of their own to run clients."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

from scripts.benchmarks.peers.timing import Samples, pings, warm_ups

# Makes exchanges: the payload, how many, and for how many seconds.
Client: TypeAlias = Callable[[bytes, int, float], Samples]
# Makes a client of an address, in its process.
Connect: TypeAlias = Callable[[Any], Client]

_PATIENCE = 120.0


class Crowd:
    """
    Client processes.

    Args:
        connect: Makes a client in its process; a function that another process can import.
        addresses: What `connect` is given, for each client.
    """

    def __init__(self, connect: Connect, addresses: Sequence[Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self._controls: list[Connection[Any, Any]] = []
        self._processes = []
        for address in addresses:
            control, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, connect, address), daemon=True)
            process.start()
            theirs.close()
            self._controls.append(control)
            self._processes.append(process)
        for control in self._controls:
            _answer(control)

    def prepare(self, size: int, clients: int) -> None:
        """Have the first `clients` of them warm up with requests of `size` bytes."""
        self._all(("prepare", size), clients)

    def echo(self, clients: int, count: int, seconds: float) -> list[Samples]:
        """Have them make exchanges, all at the same time."""
        return self._all(("echo", count, seconds), clients)

    def _all(self, order: tuple[Any, ...], clients: int) -> list[Any]:
        for control in self._controls[:clients]:
            control.send(order)
        return [_answer(control) for control in self._controls[:clients]]

    def close(self) -> None:
        """End them."""
        for control in self._controls:
            control.close()
        for process in self._processes:
            process.join(5)
            process.kill()
            process.join()


def plain(ping: Callable[[bytes], Any]) -> Client:
    """Return the client that makes exchanges by a plain function."""
    return partial(pings, ping)


def _answer(control: "Connection[Any, Any]") -> Any:
    if not control.poll(_PATIENCE):
        raise TimeoutError(f"a client did not answer within {_PATIENCE} s")
    answer = control.recv()
    if isinstance(answer, Exception):
        raise answer
    return answer


def _serve(control: "Connection[Any, Any]", connect: Connect, address: Any) -> None:
    client: Client | None = None
    payload = b""
    order: tuple[Any, ...] = ("connect",)
    while True:
        answer: Any = None
        try:
            if client is None:
                client = connect(address)
            match order:
                case ("prepare", size):
                    payload = os.urandom(size)
                    client(payload, warm_ups(size), 1.0)
                case ("echo", count, seconds):
                    answer = client(payload, count, seconds)
        except Exception as error:
            answer = RuntimeError(f"{type(error).__name__}: {error}")
        try:
            control.send(answer)
            order = control.recv()
        except (EOFError, OSError):
            return
