"""
The baselines: plain `multiprocessing` and sockets, and what runs in their children.

Nothing of Beethoven is imported here, nor anything that plain Python would not need.
"""

import contextlib
import multiprocessing
import pickle
import socket
import struct
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

LENGTH = struct.Struct("<I")


@contextlib.contextmanager
def running(method: str, target: Callable[..., None]) -> Iterator[int]:
    """Run a child and, once it has sent a byte, yield its pid; wait for its end afterwards."""
    context: Any = multiprocessing.get_context(method)
    ready, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    try:
        ready.recv_bytes()
        yield process.pid
    finally:
        ready.close()
        process.join(10)
        process.close()


def say_ready(ready: "Connection[Any, Any]") -> None:
    """Send a byte and end."""
    ready.send_bytes(b"\0")


def stay(ready: "Connection[Any, Any]") -> None:
    """Send a byte and wait until the parent closes the pipe."""
    ready.send_bytes(b"\0")
    try:
        ready.recv_bytes()
    except EOFError:
        return


def echo_pipe(stream: "Connection[Any, Any]") -> None:
    """Send back every object until the parent closes the pipe."""
    try:
        while True:
            stream.send(stream.recv())
    except EOFError:
        return


def echo_socket(stream: socket.socket) -> None:
    """Send back every chunk of bytes until the parent closes the socket."""
    while data := stream.recv(65536):
        stream.sendall(data)


def receive_frames(stream: socket.socket, count: int) -> None:
    """Unpickle frames until the parent closes the socket; answer with a byte after each `count`."""
    rest = b""
    taken = 0
    while data := stream.recv(65536):
        rest += data
        start = 0
        while len(rest) - start >= LENGTH.size:
            (length,) = LENGTH.unpack_from(rest, start)
            end = start + LENGTH.size + length
            if end > len(rest):
                break
            pickle.loads(rest[start + LENGTH.size : end])
            start = end
            taken += 1
            if taken % count == 0:
                stream.sendall(b"\0")
        rest = rest[start:]
