"""What is asked of every peer: the same four things, as far as it has them."""

from abc import ABC, abstractmethod
from typing import ClassVar

from scripts.benchmarks.peers.timing import Samples


class Missing(Exception):
    """The peer has no such thing; the text says why, for the notes of the table."""


class Peer(ABC):
    """
    One server that echoes, its clients, and what else the peer can do.

    Attributes:
        distribution: The package whose version is told; empty for what comes with Python.
    """

    distribution: ClassVar[str] = ""

    @abstractmethod
    def open(self, clients: int) -> None:
        """Start the server and so many clients, each of which can use it at once."""

    @abstractmethod
    def prepare(self, size: int, clients: int) -> None:
        """Have the first `clients` clients make requests of `size` bytes, and warm up."""

    @abstractmethod
    def echo(self, clients: int, count: int, seconds: float) -> list[Samples]:
        """Have the clients make `count` calls each, all at the same time, for `seconds`."""

    @abstractmethod
    def casts(self, payload: bytes, count: int, seconds: float) -> float:
        """Return how many messages without a reply are sent and handled in a second."""

    @abstractmethod
    def start(self) -> float:
        """Return the milliseconds until a new server answers; it is gone afterwards."""

    @abstractmethod
    def restart(self) -> float:
        """Return the milliseconds from the SIGKILL of a server until its successor answers."""

    @abstractmethod
    def close(self) -> None:
        """End everything that was started."""

    def version(self) -> str:
        """Return what is measured, as a version."""
        from importlib.metadata import version

        return version(self.distribution) if self.distribution else ""
