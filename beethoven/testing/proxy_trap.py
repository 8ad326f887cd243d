"""A proxy that nobody may use: it shows that a client goes past the proxies of its environment."""

import contextlib
import itertools
import socket
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from beethoven.testing.loopback_server import LoopbackServer

_VARIABLES: Final = ("http_proxy", "https_proxy", "all_proxy")
_MOST_READ: Final = 4096
_PATIENCE: Final = 2.0
_REFUSAL: Final = b"HTTP/1.1 502 Touched the trap\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Touch:
    """
    One connection to the trap.

    Attributes:
        client: The numeric address that it came from.
        first_bytes: What the client said first, at most 4096 bytes; empty if it said nothing.
    """

    client: str
    first_bytes: bytes = b""


class ProxyTrap:
    """
    A server that records every touch and answers 502.

    As a context manager it fails the test when it was touched.

    Args:
        address: A numeric loopback address.
        port: 0 is any free one.

    Raises:
        ValueError: The address is not one of loopback.
        OSError: The address or the port cannot be had.
    """

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        self._lock = threading.Lock()
        self._touches: dict[int, Touch] = {}
        self._numbers = itertools.count()
        self._server = LoopbackServer(address, port, self._serve)

    @property
    def url(self) -> str:
        """Where it is, such as `http://127.0.0.1:40123`."""
        return self._server.url

    @property
    def environment(self) -> dict[str, str]:
        """
        What makes a program use it: `http_proxy` and its like in small and capital letters.

        `no_proxy` is among them, and empty, so that loopback is no exception.
        """
        pointing = dict.fromkeys(_VARIABLES, self.url) | {"no_proxy": ""}
        return pointing | {name.upper(): value for name, value in pointing.items()}

    @property
    def touches(self) -> tuple[Touch, ...]:
        """All connections until now, in order."""
        with self._lock:
            return tuple(self._touches.values())

    def forgive(self) -> tuple[Touch, ...]:
        """Forget all touches until now, and return them."""
        with self._lock:
            forgiven = tuple(self._touches.values())
            self._touches.clear()
        return forgiven

    def assert_untouched(self) -> None:
        """
        Return if nobody has connected.

        Raises:
            AssertionError: Somebody has; it says who, and what they said.
        """
        if touches := self.touches:
            raise AssertionError(f"expected nobody to use the proxy, got: {touches!r}")

    def close(self) -> None:
        """Stop listening. May be called again; what was recorded stays."""
        self._server.close()

    def __enter__(self) -> "ProxyTrap":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        if kind is None:
            self.assert_untouched()

    def _serve(self, connection: socket.socket, client: str) -> None:
        # Recorded before anything is read: a connection alone is a touch.
        with self._lock:
            number = next(self._numbers)
            self._touches[number] = Touch(client)
        connection.settimeout(_PATIENCE)
        with contextlib.suppress(TimeoutError):
            said = connection.recv(_MOST_READ)
            with self._lock:
                if number in self._touches:
                    self._touches[number] = Touch(client, said)
            connection.sendall(_REFUSAL)

    def __repr__(self) -> str:
        return f"ProxyTrap({self.url!r}, touches={len(self.touches)})"
