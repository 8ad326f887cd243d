"""
Machines on one network, of which nothing touches the real one: needs root and Linux.

Each machine is a network namespace, joined by a pair of virtual interfaces to a switch: bridges in
a namespace of their own. No interface leads out, nor does any route. What is done to the network is
done with `ip` alone: a cable is pulled by taking down the switch's end, islands are ports moved to
different bridges, and what one machine sends to another is lost by addressing it to nobody.
"""

import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Self

from tests.processes import is_running

# A private range, which is searched here and nowhere else.
NET: Final = "10.77.1"
MASK: Final = 24

_PREFIX: Final = "beethoven-hosts"
_NAMESPACES: Final = Path("/run/netns")
_NOBODY: Final = "02:be:ff:ff:ff:ff"
_NEW_NET: Final = 0x40000000

_runs = itertools.count()


def _ip(*arguments: str) -> str:
    """
    Run `ip` and return what it prints.

    Raises:
        AssertionError: It fails.
    """
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr.strip()}"
    return done.stdout


def why_not() -> str | None:
    """Return why there can be no machines here; `None` if there can."""
    if sys.platform != "linux":
        return "network namespaces need Linux"
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("ip", "nsenter"):
        if shutil.which(program) is None:
            return f"network namespaces need the program {program}"
    try:
        with Machines(1):
            return None
    except AssertionError as error:
        return f"network namespaces cannot be made here: {error}"


class Machines:
    """
    Some machines on one switch, by number from 0; as a context manager they are made and removed.

    Raises:
        AssertionError: They cannot be made.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._prefix = f"{_PREFIX}-{os.getpid()}-{next(_runs)}"
        self._switch = f"{self._prefix}-switch"
        self._lost: set[tuple[int, int]] = set()

    def __enter__(self) -> Self:
        _remove_leftovers()
        try:
            self._make()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _make(self) -> None:
        for namespace in self._namespaces():
            _ip("netns", "add", namespace)
            _ip("-n", namespace, "link", "set", "lo", "up")
        for number in range(self.count):
            bridge, port, host = f"br{number}", f"port{number}", self.namespace(number)
            self._on_switch("link", "add", bridge, "type", "bridge")
            self._on_switch("link", "set", bridge, "up")
            ends = ("name", port, "type", "veth", "peer", "name", "eth0", "netns", host)
            self._on_switch("link", "add", *ends)
            self._on_switch("link", "set", port, "master", "br0", "up")
            _ip("-n", host, "link", "set", "eth0", "address", _mac(number), "up")
            _ip("-n", host, "address", "add", f"{address(number)}/{MASK}", "dev", "eth0")

    def remove(self) -> None:
        """Remove all of it, with every process that is still there."""
        for namespace in self._namespaces():
            _remove(namespace)

    def _namespaces(self) -> list[str]:
        return [self._switch, *map(self.namespace, range(self.count))]

    def namespace(self, number: int) -> str:
        """Return the name of the network namespace of a machine."""
        return f"{self._prefix}-{number}"

    def inside(self, number: int, *command: str) -> list[str]:
        """Return the command that becomes another one on a machine, as the same process."""
        return ["nsenter", f"--net={_NAMESPACES / self.namespace(number)}", *command]

    def routes(self, number: int) -> str:
        """Return all routes of a machine but those to itself."""
        return _ip("-n", self.namespace(number), "route", "show").strip()

    def socket(self, number: int) -> socket.socket:
        """Return a socket for datagrams on a machine, bound to a free port of its address."""
        made: list[socket.socket] = []

        def make() -> None:
            # Only this thread is there; a socket stays where it was made.
            with (_NAMESPACES / self.namespace(number)).open("rb") as namespace:
                assert ctypes.CDLL(None).setns(namespace.fileno(), _NEW_NET) == 0
            made.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            made[0].bind((address(number), 0))

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        return made[0]

    def unplug(self, *numbers: int) -> None:
        """Pull the cables of machines: they have no carrier."""
        for number in numbers:
            self._on_switch("link", "set", f"port{number}", "down")

    def plug(self, *numbers: int) -> None:
        """Put the cables in again."""
        for number in numbers:
            self._on_switch("link", "set", f"port{number}", "up")

    def split(self, *islands: Iterable[int]) -> None:
        """Let only those reach each other that are on one island; all cables stay in."""
        for bridge, island in enumerate(islands):
            for number in island:
                self._on_switch("link", "set", f"port{number}", "master", f"br{bridge}")

    def join(self) -> None:
        """Let all reach each other again."""
        self.split(range(self.count))

    def lose(self, sender: int, receiver: int) -> None:
        """Lose all that one machine sends to another, in silence, and only in this direction."""
        self._set_neighbour(sender, receiver, _NOBODY, "permanent")
        self._lost.add((sender, receiver))

    def lose_nothing(self) -> None:
        """Deliver everything again."""
        for sender, receiver in self._lost:
            self._set_neighbour(sender, receiver, _mac(receiver), "reachable")
        self._lost.clear()

    def _set_neighbour(self, number: int, neighbour: int, mac: str, state: str) -> None:
        entry = (address(neighbour), "lladdr", mac, "dev", "eth0", "nud", state)
        _ip("-n", self.namespace(number), "neighbour", "replace", *entry)

    def _on_switch(self, *arguments: str) -> None:
        _ip("-n", self._switch, *arguments)


def address(number: int) -> str:
    """Return the address of a machine; they are not neighbours."""
    return f"{NET}.{11 + 40 * number}"


def _mac(number: int) -> str:
    return f"02:be:00:00:00:{number:02x}"


def _remove_leftovers() -> None:
    """Remove what runs of these tests have left behind that were killed."""
    if not _NAMESPACES.is_dir():
        return
    for path in _NAMESPACES.glob(f"{_PREFIX}-*"):
        pid = path.name.removeprefix(f"{_PREFIX}-").partition("-")[0]
        if pid.isdecimal() and not is_running(int(pid)):
            _remove(path.name)


def _remove(namespace: str) -> None:
    if not (_NAMESPACES / namespace).exists():
        return
    for pid in _ip("netns", "pids", namespace).split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    _ip("netns", "delete", namespace)
