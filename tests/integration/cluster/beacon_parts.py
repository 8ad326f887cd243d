"""
The neighbours of a real beacon, as small roles: a root that holds the port, a core with a desk.

Children import this module, so it imports little.
"""

import contextlib
import socket
from pathlib import Path
from typing import Any

from beethoven import Caller, Role, log
from beethoven.cluster.beacon_server import BeaconArgs, BeaconServer
from beethoven.cluster.handshake import Established
from beethoven.cluster.listener import ListenerKeeper
from beethoven.cluster.passing import LinkDesk
from beethoven.cluster.wire import LONGEST, FrameDecoder


class PortHolder(Role):
    """Holds a listening socket, as the root does."""

    def init(self, args: Any) -> None:
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = listener.getsockname()[1]
        self.keeper = ListenerKeeper(listener, self.ref.folder)
        self.keeper.serve(self._process.poller)

    def handle_call(self, request: Any, caller: Caller) -> Any:
        return self.port


class Core(Role):
    """Takes links, and answers each frame on them with the same body after `echo `."""

    def init(self, args: Any) -> None:
        self.desk = LinkDesk(self.ref.folder, self.take)
        self.desk.serve(self._process.poller)
        self.links: list[tuple[str, bool, bool, int]] = []
        self.open = 0

    def handle_call(self, request: Any, caller: Caller) -> Any:
        return self.open if request == "open" else self.links

    def take(self, stream: socket.socket, established: Established) -> None:
        nodelay = stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        peer = established.peer.name
        self.open += 1
        self.links.append((peer, stream.get_inheritable(), stream.getblocking(), nodelay))
        decoder, session = FrameDecoder(LONGEST), established.session

        def heed(data: bytes) -> None:
            decoder.feed(data)
            while (body := decoder.next_frame()) is not None:
                stream.send(session.seal(b"echo " + session.open(body)))

        def read() -> None:
            try:
                data = stream.recv(4096)
            except ConnectionError:
                data = b""
            if data:
                heed(data)
            else:
                self._process.poller.unregister(stream)
                stream.close()
                self.open -= 1

        heed(established.rest)
        self._process.poller.register(stream, read)


class LoggedBeacon(BeaconServer):
    """A beacon that writes its log, debug lines included, to a file."""

    def init(self, args: tuple[str, BeaconArgs]) -> None:  # type: ignore[override]  # a test's own
        path, real = args
        stream = Path(path).open("a", encoding="utf-8")  # noqa: SIM115 - open as long as we live
        log.send_to(stream, level="debug")
        super().init(real)


def descriptors(pid: int) -> set[str]:
    """Return what a process has open: each descriptor and what it leads to."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(f"{entry.name} {entry.readlink()}")
    return found
