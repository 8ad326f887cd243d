"""
Bonds: links and monitors that this process has made to others, and the news of their ends.

Each is a connection of its own to the other process. That process says its reason on it before it
leaves; in any case its fork server is asked, so that the news comes when the process is reaped, its
name free, and everything that it ever sent lies in our buffers.
"""

import pickle
import socket
from collections.abc import Callable

from beethoven.runtime import deaths, framing
from beethoven.runtime.names import socket_path
from beethoven.runtime.poller import Poller
from beethoven.runtime.reason import NO_PROCESS, ExitReason, ReasonKind
from beethoven.runtime.reference import Ref
from beethoven.runtime.unixsocket import close_quietly, connect

OnEnd = Callable[[Ref, ExitReason], None]


class Bond:
    """One link or monitor to another process."""

    def __init__(self, ref: Ref, hello: bytes, poller: Poller, on_end: OnEnd) -> None:
        """
        Bind this process to another.

        Args:
            ref: The other process.
            hello: The LINK or MONITOR frame to begin with.
            poller: Drives the bond.
            on_end: Called once with the reason when the process has ended, with `noproc` at once
                if it is gone already.
        """
        self.ref = ref
        self._poller = poller
        self._on_end = on_end
        self._reason: ExitReason | None = None
        self._reader = framing.FrameReader()
        self._stream: socket.socket | None = None
        try:
            stream = connect(socket_path(ref.folder, ref.identity))
            stream.sendall(hello)
        except OSError:
            on_end(ref, NO_PROCESS)
            return
        stream.setblocking(False)
        self._stream = stream
        poller.register(stream, self._on_readable)

    def _on_readable(self) -> None:
        assert self._stream is not None
        try:
            for kind, _, payload in self._reader.receive(self._stream):
                if kind == framing.EXIT:
                    self._reason = pickle.loads(payload)
                elif kind == framing.UNLINK:
                    self.cut()
        except BlockingIOError:
            return
        except framing.StreamEnded:
            self.cut()
            await_death(self.ref, self._reason, self._poller, self._on_end)

    @property
    def is_bound(self) -> bool:
        """Whether the other process was there, and no end has been told yet."""
        return self._stream is not None

    def say(self, frame: bytes) -> None:
        """Tell the other process something."""
        if self._stream is not None:
            try:
                self._stream.send(frame)
            except OSError:
                return

    def cut(self) -> None:
        """End the bond; nothing is told any more."""
        if self._stream is not None:
            self._poller.unregister(self._stream)
            close_quietly(self._stream)
            self._stream = None


def await_death(ref: Ref, said: ExitReason | None, poller: Poller, on_end: OnEnd) -> None:
    """
    Call `on_end` once a process that has closed its connection is gone and reaped.

    Args:
        ref: The process.
        said: The reason that it gave itself, if it could.
        poller: Waits for the fork server's answer.
        on_end: Gets what the process said, else what the kernel knows.
    """
    stream = deaths.ask(ref.folder, ref.identity)
    if stream is None:
        on_end(ref, said or ExitReason(ReasonKind.OTHER, "unknown, for its fork server is gone"))
        return
    stream.setblocking(False)

    def on_answer() -> None:
        poller.unregister(stream)
        answer = deaths.read_answer(stream)
        stream.close()
        on_end(ref, said or answer)

    poller.register(stream, on_answer)
