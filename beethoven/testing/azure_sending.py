"""How answers are sent, and how they go wrong on the way."""

import socket
import struct
from collections.abc import Callable
from typing import Final

from beethoven.testing.azure_faults import Fault
from beethoven.testing.azure_requests import HttpAnswer, RecordedRequest, head_of

# The beginning of TLS, as from a server that was asked for something else.
_NO_HTTP: Final = b"\x15\x03\x01\x00\x02\x02\x46\x00\xff\xfe\r\n\r\n"
_BLOCK: Final = b" " * 65_536
_BLOCKS: Final = 1024
# Close at once, and throw away what was not sent: the client sees a reset.
_ABORT: Final = struct.pack("ii", 1, 0)


def send_nothing(
    connection: socket.socket, fault: Fault, pause: Callable[[float | None], bool]
) -> None:
    """
    Perform a fault that comes before any answer: `HANG`, `RESET` or `GARBAGE`.

    Args:
        connection: To whom; it is closed by the caller.
        fault: Which.
        pause: Waits until so many seconds after the request, None is for ever; returns whether to
            go on.
    """
    match fault:
        case Fault.HANG:
            pause(None)
        case Fault.RESET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        case Fault.GARBAGE:
            connection.sendall(_NO_HTTP)


def send(
    connection: socket.socket,
    request: RecordedRequest,
    answer: HttpAnswer,
    fault: Fault | HttpAnswer | None,
    pause: Callable[[float | None], bool],
) -> bool:
    """
    Send an answer, or what a fault makes of it.

    Args:
        connection: To whom; it is closed by the caller.
        request: What was asked.
        answer: The right one, or that of the fault.
        fault: What goes wrong with it on the way: `TRUNCATED`, `CUT_OFF`, `DRIP` or `ENDLESS`;
            nothing for any other.
        pause: Waits until so many seconds after the request; returns whether to go on.

    Returns:
        Whether the connection can be used again.
    """
    body = b"" if request.method == "HEAD" else answer.body
    half = body[: len(body) // 2]
    match fault:
        case Fault.ENDLESS:
            connection.sendall(head_of(answer, length=None, keeps_alive=False))
            for _ in range(_BLOCKS):
                connection.sendall(_BLOCK)
            return False
        case Fault.CUT_OFF:
            connection.sendall(head_of(answer, length=len(body), keeps_alive=False) + half)
            return False
        case Fault.DRIP:
            connection.sendall(head_of(answer, length=len(body), keeps_alive=False))
            for position, byte in enumerate(body):
                if not pause(float(position)):
                    break
                connection.sendall(bytes([byte]))
            return False
        case Fault.TRUNCATED:
            body = half
        case _:
            pass
    alive = request.keeps_alive
    connection.sendall(head_of(answer, length=len(body), keeps_alive=alive) + body)
    return alive
