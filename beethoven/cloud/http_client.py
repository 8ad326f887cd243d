"""
Asks one question by plain HTTP, and waits for the answer, for as long as that may take in all.

There is no proxy, whatever the environment says; the host is a number, so no name server is asked;
a redirection is an answer like any other; and an answer that is too large, or ends too early, is
none. What is not an answer is returned in words: nothing here raises.
"""

import os
import socket
from ipaddress import ip_address
from typing import Final

from beethoven import clock
from beethoven.cloud.http_answer import AnswerReader, NoHttp
from beethoven.cloud.provider import Answered, Ask, Unanswered
from beethoven.cloud.settings import Endpoint

_CHUNK: Final = 65536


def ask(endpoint: Endpoint, question: Ask) -> Answered | Unanswered:
    """
    Return the answer to a question, or why there is none.

    Args:
        endpoint: Who is asked.
        question: What is asked; its `timeout` is for everything from the connection to the last
            byte.
    """
    deadline = clock.monotonic() + question.timeout
    try:
        with _socket(endpoint) as stream:
            return _exchange(stream, endpoint, question, deadline)
    except TimeoutError:
        why = f"no answer within {round(question.timeout, 2):g} s"
    except NoHttp as error:
        why = str(error)
    except (OSError, ValueError) as error:
        code = error.errno if isinstance(error, OSError) else None
        why = os.strerror(code) if code else str(error)
    return Unanswered(question.purpose, why)


def _socket(endpoint: Endpoint) -> socket.socket:
    is_six = ip_address(endpoint.host).version == 6
    return socket.socket(socket.AF_INET6 if is_six else socket.AF_INET, socket.SOCK_STREAM)


def _exchange(
    stream: socket.socket, endpoint: Endpoint, question: Ask, deadline: float
) -> Answered:
    request = _request(endpoint, question)
    stream.settimeout(_left(deadline))
    stream.connect((endpoint.host, endpoint.port))
    stream.settimeout(_left(deadline))
    # The time of `sendall` is for all of it.
    stream.sendall(request)
    reader = AnswerReader()
    while not reader.is_complete:
        stream.settimeout(_left(deadline))
        data = stream.recv(_CHUNK)
        if data:
            reader.receive(data)
        else:
            reader.end()
    return Answered(question.purpose, reader.status, reader.headers, reader.body)


def _left(deadline: float) -> float:
    left = deadline - clock.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _request(endpoint: Endpoint, question: Ask) -> bytes:
    """
    Return the bytes of a question.

    Raises:
        ValueError: A part of it would be taken for another.
    """
    fields = {"Host": endpoint.authority, **question.headers, "Connection": "close"}
    if question.body or question.method == "POST":
        fields["Content-Length"] = str(len(question.body))
    lines = [f"{question.method} {question.target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    if not all(line.isascii() and line.isprintable() for line in lines):
        raise ValueError("the question has characters that HTTP has not")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + question.body
