"""The roles that are measured."""

import socket
import struct
import sys
import time
from typing import Any

from beethoven import Caller, Role

STAMP = struct.Struct("<q")
HEAVY = ("asyncio", "psutil", "rich")


class Idle(Role):
    """A role that does nothing; tells which heavy modules its process has imported."""

    def handle_call(self, request: Any, caller: Caller) -> list[str]:
        return sorted(name for name in HEAVY if name in sys.modules)


class Echo(Role):
    """A role that replies with the request, and counts its casts until it is asked for them."""

    def init(self, args: Any) -> None:
        self.taken = 0

    def handle_call(self, request: Any, caller: Caller) -> Any:
        if request == "taken":
            taken, self.taken = self.taken, 0
            return taken
        return request

    def handle_cast(self, request: Any) -> None:
        self.taken += 1


class Stamped(Role):
    """A role that tells when its `init` returned, as a datagram to the socket `args`."""

    def init(self, args: Any) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stream:
            stream.connect(args)
            stream.send(STAMP.pack(time.monotonic_ns()))


class Placed(Role):
    """
    A role that tells when it is up and when it is about to go.

    What it tells is a datagram to the socket `args`: "up" or "down", its node, its name and the
    moment, in nanoseconds of the monotonic clock.
    """

    trap_exit = True

    def init(self, args: Any) -> None:
        self._address = args
        self._tell("up")

    def terminate(self, reason: Any) -> None:
        self._tell("down")

    def _tell(self, word: str) -> None:
        told = f"{word} {self.context.node} {self.context.role} {time.monotonic_ns()}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stream:
            stream.connect(self._address)
            stream.send(told.encode())
