"""Requests and answers of HTTP, as values; and the reading and writing of them on a stream."""

import http.client
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import BinaryIO, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from beethoven.testing.arguments import expect

_STATUSES: Final = range(100, 1000)
_LONGEST_LINE: Final = 8192
_LARGEST_BODY: Final = 65_536
_WORDS_OF_A_REQUEST: Final = 3


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """
    What a client has asked.

    Attributes:
        at: When it was read, in seconds by the clock of the fabric.
        client: The numeric address of the client.
        method: Of HTTP, as sent.
        target: As sent: path and query.
        headers: By name in small letters; of a name that came twice, both values with `, ` between.
        body: As sent; empty if there was none.
        status: What was answered; None as long as nothing was, and if that was no HTTP.
    """

    at: float
    client: str
    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    status: int | None = None

    @property
    def path(self) -> str:
        """The path, without query and escapes; a slash at its end is left out."""
        return unquote(urlsplit(self.target).path).rstrip("/")

    @property
    def query(self) -> tuple[tuple[str, str], ...]:
        """Names and values of the query, in order, as often as they were sent."""
        return tuple(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def keeps_alive(self) -> bool:
        """Whether the client may ask again on the same connection."""
        return self.headers.get("connection", "").casefold() != "close"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """
    An answer of HTTP, right or wrong.

    Attributes:
        status: Of HTTP, such as 503.
        body: Any bytes.
        headers: Besides `Server` and `Content-Length`; `Content-Type` is that of JSON, and `Date`
            that of the fabric, if they are not among them.

    Raises:
        ValueError: One of them is of another type, or `status` is not 100 to 999.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        is_status = isinstance(self.status, int) and self.status in _STATUSES
        expect("status", "a number from 100 to 999", self.status, holds=is_status)
        expect("body", "bytes", self.body, holds=isinstance(self.body, bytes))
        expect("headers", "texts by name", self.headers, holds=isinstance(self.headers, Mapping))


def read_request(stream: BinaryIO, *, client: str, now: float) -> RecordedRequest | None:
    """
    Read the next request.

    Args:
        stream: Of one connection.
        client: The numeric address at its other end.
        now: In seconds, by the clock of the fabric.

    Returns:
        The request; None if the client has ended the connection.

    Raises:
        ValueError: What came is no request of HTTP/1.1, or is too large.
    """
    line = stream.readline(_LONGEST_LINE)
    words = line.decode("latin-1").split()
    if not words:
        return None
    if len(words) != _WORDS_OF_A_REQUEST or not words[2].startswith("HTTP/1."):
        raise ValueError(f"expected a request of HTTP/1.1, got: {line!r}")
    try:
        parsed = http.client.parse_headers(stream)
    except http.client.HTTPException as error:
        raise ValueError(f"expected headers of HTTP, got: {error!r}") from error
    headers: dict[str, str] = {}
    for name, value in parsed.items():
        before = headers.get(name.lower())
        headers[name.lower()] = value if before is None else f"{before}, {value}"
    body = stream.read(_body_length(headers))
    return RecordedRequest(now, client, words[0], words[1], headers, body)


def _body_length(headers: Mapping[str, str]) -> int:
    text = headers.get("content-length", "0")
    if not text.isdecimal() or int(text) > _LARGEST_BODY:
        raise ValueError(f"expected Content-Length to be 0 to {_LARGEST_BODY}, got: {text!r}")
    return int(text)


def head_of(answer: HttpAnswer, *, length: int | None, keeps_alive: bool) -> bytes:
    """
    Return what comes before the body of an answer.

    Args:
        answer: Whose status and headers to write.
        length: What to say of the length of the body, in bytes; None is not to say it.
        keeps_alive: Whether the connection may be used again.
    """
    try:
        phrase = HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = "Unknown"
    headers = {"Content-Type": "application/json; charset=utf-8", "Server": "IMDS"}
    headers |= answer.headers
    if length is not None:
        headers["Content-Length"] = str(length)
    if not keeps_alive:
        headers["Connection"] = "close"
    lines = [f"HTTP/1.1 {answer.status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")
