"""A server for tests: on loopback only, a thread for each connection, and nothing left behind."""

import contextlib
import ipaddress
import os
import selectors
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Final

from beethoven.testing.arguments import expect

_BACKLOG: Final = 128
_LAST_PORT: Final = 65_535
_PATIENCE: Final = 10.0


class LoopbackServer:
    """
    Listens from its making until `close`.

    Args:
        address: A numeric loopback address, such as `127.0.0.2` or `::1`.
        port: 0 is any free one.
        serve: Is given each connection, in a thread of its own, with the address of the client; it
            need not close it. `close` shuts the connection down, so that it ends.

    Raises:
        ValueError: The address is not one of loopback, or the port no number from 0 to 65535.
        OSError: The address or the port cannot be had.
    """

    def __init__(
        self, address: str, port: int, serve: Callable[[socket.socket, str], None]
    ) -> None:
        family = check_loopback(address)
        is_port = isinstance(port, int) and 0 <= port <= _LAST_PORT
        expect("port", f"a number from 0 to {_LAST_PORT}", port, holds=is_port)
        self._serve = serve
        self._pid = os.getpid()
        self._problems: list[Exception] = []
        self._lock = threading.Lock()
        self._is_closed = False
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._listener = socket.create_server((address, port), family=family, backlog=_BACKLOG)
        # A client may be gone again between the selector's word and `accept`.
        self._listener.setblocking(False)
        self.address: str = address
        self.port: int = self._listener.getsockname()[1]
        self._wake, self._waker = socket.socketpair()
        self._acceptor = threading.Thread(
            target=self._accept_all, name=f"accepts at {self.url}", daemon=True
        )
        self._acceptor.start()

    @property
    def url(self) -> str:
        """Where it is, such as `http://127.0.0.2:40123`."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self.port}"

    def close(self) -> None:
        """
        Stop listening, end all connections, and wait for their threads. May be called again.

        A forked process only closes what it has inherited.

        Raises:
            TimeoutError: `serve` has not returned within 10 s after its connection was shut down.
            ExceptionGroup: `serve` has failed.
        """
        if os.getpid() != self._pid:
            self._close_inherited()
            return
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        self._waker.send(b"\0")
        self._acceptor.join(_PATIENCE)
        for each in (self._listener, self._wake, self._waker):
            each.close()
        with self._lock:
            connections = dict(self._connections)
            for connection in connections.values():
                # One that the client has reset is not connected any more.
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in connections:
            if thread is not threading.current_thread():
                thread.join(_PATIENCE)
        if left := [thread for thread in connections if thread.is_alive()]:
            raise TimeoutError(f"{self.url}: {len(left)} connections did not end")
        if self._problems:
            raise ExceptionGroup(f"{self.url}: what was asked was not answered", self._problems)

    def _close_inherited(self) -> None:
        # Without the lock: a thread may have held it that was not forked.
        for each in (self._listener, self._wake, self._waker, *self._connections.values()):
            with contextlib.suppress(OSError):
                socket.close(each.detach())

    def _accept_all(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            is_last = False
            while not is_last:
                selector.select()
                # Read before the others are let in: whoever has connected before `close` is served.
                is_last = self._is_closed
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    while True:
                        self._take(*self._listener.accept())

    def _take(self, connection: socket.socket, client: tuple[str, int]) -> None:
        connection.setblocking(True)
        thread = threading.Thread(
            target=self._run, args=(connection, client[0]), name=f"serves {client}", daemon=True
        )
        with self._lock:
            self._connections[thread] = connection
        thread.start()

    def _run(self, connection: socket.socket, client: str) -> None:
        try:
            # The client, or `close`, may end the connection at any moment.
            with contextlib.suppress(OSError):
                self._serve(connection, client)
        except Exception as error:
            self._problems.append(error)
        finally:
            with self._lock:
                connection.close()
                del self._connections[threading.current_thread()]

    def __repr__(self) -> str:
        return f"LoopbackServer({self.url!r}, connections={len(self._connections)})"


def call_all(functions: Iterable[Callable[[], object]]) -> None:
    """Call functions, all of them though some fail; then raise the first error."""
    errors: list[Exception] = []
    for function in functions:
        try:
            function()
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]


def check_loopback(address: str) -> socket.AddressFamily:
    """
    Return the family of an address.

    Raises:
        ValueError: It is not a numeric one of loopback.
    """
    rule = "numeric and of loopback, such as '127.0.0.2'"
    expect("address", rule, address, holds=isinstance(address, str))
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        found = ipaddress.IPv4Address(0)
    is_ipv6 = found == ipaddress.IPv6Address("::1")
    is_ipv4 = found.version == 4 and found.is_loopback
    expect("address", rule, address, holds=is_ipv6 or is_ipv4)
    return socket.AF_INET6 if is_ipv6 else socket.AF_INET
