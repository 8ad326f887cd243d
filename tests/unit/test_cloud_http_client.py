"""One question by HTTP, over real sockets on loopback, and the first look of a node."""

import contextlib
import json
import math
import socket
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.cloud.azure import Azure
from beethoven.cloud.first_look import FirstLook, first_look
from beethoven.cloud.http_answer import LARGEST_BODY, LARGEST_HEAD, AnswerReader, NoHttp
from beethoven.cloud.http_client import ask
from beethoven.cloud.provider import Answered, Ask, Unanswered
from beethoven.cloud.settings import AzureSettings, Endpoint
from beethoven.cloud.site import Site
from beethoven.cloud.static import Static
from tests.processes import shortest

QUESTION = Ask("test", "GET", "/metadata/instance?api-version=1", {"Metadata": "true"}, timeout=5.0)
PATIENCE = 10.0


class Server:
    """
    Answers each connection by a function of its socket and of what was asked.

    Attributes:
        requests: What was asked, as it came.
    """

    def __init__(self, answer, host="127.0.0.1"):
        self._answer = answer
        self.requests: list[bytes] = []
        self._is_over = threading.Event()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self._listener.settimeout(0.05)
        self.endpoint = Endpoint(host, self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def _serve(self):
        while not self._is_over.is_set():
            try:
                stream, _ = self._listener.accept()
            except TimeoutError:
                continue
            thread = threading.Thread(target=self._talk, args=(stream,))
            self._threads.append(thread)
            thread.start()

    def _talk(self, stream):
        stream.settimeout(PATIENCE)
        with stream, contextlib.suppress(OSError):
            data = b""
            while b"\r\n\r\n" not in data:
                data += (more := stream.recv(4096))
                if not more:
                    break
            self.requests.append(data)
            self._answer(stream, data, self._is_over)

    def close(self):
        self._is_over.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        self._listener.close()


@pytest.fixture
def serve():
    servers = []

    def start(answer, **options):
        say = answer
        if isinstance(answer, bytes):
            say = lambda stream, data, over: stream.sendall(answer)  # noqa: E731
        servers.append(Server(say, **options))
        return servers[-1]

    yield start
    for each in servers:
        each.close()


def endlessly(part, first=b"", pause=0.0):
    """Answer with the same part again and again, until nobody listens."""

    def say(stream, data, over):
        stream.sendall(first)
        while not over.wait(pause):
            stream.sendall(part)

    return say


def silently(stream, data, over):
    over.wait(PATIENCE)


def asked(server, question=QUESTION):
    return ask(server.endpoint, question)


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE = [
    OK + b"Content-Length: 5\r\n\r\nhello",
    OK + b"Content-Length: 5\r\n\r\nhello and something else",
    OK + b"\r\nhello",
    OK + b"Connection: close\r\n\r\nhello",
    b"HTTP/1.0 200\r\n\r\nhello",
    b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
    CHUNKED + b"2;x=y\r\nhe\r\n003\r\nllo\r\n0\r\nTrailer: x\r\n\r\n",
    OK + b"content-length: 99\r\ntransfer-encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 5\r\n\r\nhello",
]


@pytest.mark.parametrize("data", WHOLE)
def test_a_whole_answer_is_read_however_its_length_is_told(serve, data):
    answer = asked(serve(data))
    assert isinstance(answer, Answered)
    assert (answer.purpose, answer.status, answer.body) == ("test", 200, b"hello")


def test_headers_are_known_by_small_letters(serve):
    answer = asked(serve(b"HTTP/1.1 429 Slow\r\nRetry-After:  7 \r\nDATE:x\r\n\r\n"))
    assert answer == Answered("test", 429, {"retry-after": "7", "date": "x"}, b"")


@pytest.mark.parametrize("status", [204, 304])
def test_some_answers_never_have_a_body(serve, status):
    head = f"HTTP/1.1 {status} x\r\nContent-Length: 5\r\n\r\n".encode()
    assert asked(serve(head)) == Answered("test", status, {"content-length": "5"}, b"")


BROKEN = [
    (b"", "no answer"),
    (b"HTTP/1.1 200 OK\r\nDate:", "ended before its headers did"),
    (OK + b"Content-Length: 50\r\n\r\nhello", "ended too early, after 5 bytes"),
    (CHUNKED + b"5\r\nhel", "ended too early, after 3 bytes"),
    (CHUNKED + b"5\r\nhello\r\n", "ended too early, after 5 bytes"),
    (CHUNKED + b"5\r\nhello\r", "ended too early"),
    (CHUNKED + b"5\r\nhelloo\r\n0\r\n\r\n", "longer than it says"),
    (CHUNKED + b"-5\r\nhello\r\n", "has no size"),
    (CHUNKED + b"z\r\n", "has no size"),
    (CHUNKED + b"FFFFFFFF\r\n", "larger than"),
    (CHUNKED + b"1" * 2000, "longer than"),
    (OK + b"Content-Length: -1\r\n\r\n", "its length is no number"),
    (OK + b"Content-Length: 99999999999\r\n\r\n", "larger than"),
    (OK + b"Transfer-Encoding: gzip\r\n\r\n", "transfer encoding is unknown"),
    (OK + b"odd line\r\n\r\n", "a header of it is none"),
    (OK + b"na me: x\r\n\r\n", "a header of it is none"),
    (b"SSH-2.0-OpenSSH_9.6\r\n", "no HTTP"),
    (b"HTTP/2 200\r\n\r\n", "no HTTP"),
    (b"HTTP/1.1 OK\r\n\r\n", "no HTTP"),
]


@pytest.mark.parametrize(("data", "words"), BROKEN)
def test_an_answer_that_is_none_is_told_in_words(serve, data, words):
    answer = asked(serve(data))
    assert isinstance(answer, Unanswered)
    assert words in answer.why


ENDLESS = [
    (endlessly(b"x" * 65536, OK + b"\r\n"), f"larger than {LARGEST_BODY}"),
    (endlessly(b"8000\r\n" + b"x" * 0x8000 + b"\r\n", CHUNKED), f"larger than {LARGEST_BODY}"),
    (endlessly(b"Header: value\r\n" * 1000, OK), f"longer than {LARGEST_HEAD}"),
    (endlessly(b"x" * 10_000, OK + b"Header: "), f"longer than {LARGEST_HEAD}"),
]


@pytest.mark.parametrize(("answer", "words"), ENDLESS, ids=range(len(ENDLESS)))
def test_an_answer_without_an_end_is_cut_off(serve, answer, words):
    found = asked(serve(answer))
    assert isinstance(found, Unanswered)
    assert words in found.why


SLOW = [
    silently,
    endlessly(b"x", OK + b"Content-Length: 100000\r\n\r\n", pause=0.01),
    endlessly(b"x", OK, pause=0.01),
    endlessly(b"1\r\nx\r\n", CHUNKED, pause=0.01),
    endlessly(b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.01),
    endlessly(b"", b"H"),
]


@pytest.mark.parametrize("answer", SLOW, ids=range(len(SLOW)))
def test_one_deadline_is_for_all_of_it(serve, answer):
    server = serve(answer)

    def slow_question() -> float:
        began = time.monotonic()
        found = asked(server, Ask("test", "GET", "/", timeout=0.3))
        assert found == Unanswered("test", "no answer within 0.3 s")
        return time.monotonic() - began

    assert 0.25 <= shortest(slow_question, 2.0) < 2.0


def test_an_answer_may_come_in_pieces(serve):
    def say(stream, data, over):
        for each in CHUNKED + b"5\r\nhello\r\n0\r\n\r\n":
            stream.sendall(bytes([each]))

    assert asked(serve(say)) == Answered("test", 200, {"transfer-encoding": "chunked"}, b"hello")


def test_nobody_there_is_told_in_words():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert ask(Endpoint("127.0.0.1", port), QUESTION) == Unanswered("test", "Connection refused")


def test_a_name_is_not_looked_up():
    answer = ask(Endpoint("localhost", 80), QUESTION)
    assert isinstance(answer, Unanswered)
    assert "localhost" in answer.why


def test_a_question_is_what_a_metadata_service_expects(serve):
    server = serve(OK + b"\r\n")
    asked(server)
    body = b'{"StartRequests": []}'
    asked(server, Ask("test", "POST", "/x", {"Metadata": "true"}, body))
    host = f"127.0.0.1:{server.endpoint.port}"
    get, post = server.requests
    assert get.decode().split("\r\n") == [
        "GET /metadata/instance?api-version=1 HTTP/1.1",
        f"Host: {host}",
        "Metadata: true",
        "Connection: close",
        "",
        "",
    ]
    assert post.startswith(b"POST /x HTTP/1.1\r\n")
    assert b"\r\nContent-Length: 21\r\n" in post
    assert post.endswith(b"\r\n\r\n" + body)
    assert b"forwarded" not in (get + post).lower()


@pytest.mark.parametrize("question", [
    Ask("test", "GET", "/a\r\nX-Forwarded-For: x"), Ask("test", "GET", "/\n"),
    Ask("test", "GET", "/", {"a": "b\r\nc"}), Ask("test", "GET", "/ü"),
])  # fmt: skip
def test_a_question_cannot_be_made_another(serve, question):
    server = serve(OK + b"\r\n")
    assert isinstance(asked(server, question), Unanswered)
    assert not any(server.requests)


def test_ipv6_is_asked_too(serve):
    server = serve(OK + b"\r\nhello", host="::1")
    answer = asked(server)
    assert isinstance(answer, Answered)
    assert f"Host: [::1]:{server.endpoint.port}".encode() in server.requests[0]


def test_a_redirection_is_not_followed(serve):
    trap = serve(OK + b"\r\n")
    location = f"Location: http://127.0.0.1:{trap.endpoint.port}/\r\n\r\n".encode()
    answer = asked(serve(b"HTTP/1.1 302 Found\r\n" + location))
    assert isinstance(answer, Answered)
    assert answer.status == 302
    assert trap.requests == []


def test_no_proxy_is_used_whatever_the_environment_says(serve, monkeypatch):
    trap = serve(OK + b"\r\ntrapped")
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{trap.endpoint.port}")
    monkeypatch.setenv("no_proxy", "")
    answer = asked(serve(OK + b"\r\nhello"))
    assert isinstance(answer, Answered)
    assert answer.body == b"hello"
    assert trap.requests == []


@given(st.binary(max_size=300), st.integers(0, 4), st.data())
def test_any_bytes_are_an_answer_or_none_however_they_are_cut(tail, start, data):
    whole = [b"", OK, CHUNKED, OK + b"\r\n", OK + b"Content-Length: 9\r\n\r\n"][start] + tail

    def read(parts):
        reader = AnswerReader()
        try:
            for part in parts:
                if not reader.is_complete:
                    reader.receive(part)
            if not reader.is_complete:
                reader.end()
        except NoHttp:
            return None
        return reader.status, reader.headers, reader.body

    cut = data.draw(st.integers(0, len(whole)))
    assert read([whole]) == read([whole[:cut], whole[cut:]])


DOCUMENT = {
    "compute": {"name": "web_3", "location": "westeurope"},
    "network": {
        "interface": [{"ipv4": {
            "ipAddress": [{"privateIpAddress": "127.0.0.2"}],
            "subnet": [{"address": "127.0.0.0", "prefix": "29"}],
        }}]
    },
}  # fmt: skip
DOCUMENTED = OK + b"\r\n" + json.dumps(DOCUMENT).encode()


def looked(server: Any, budget: float = 0.5) -> tuple[FirstLook, float]:
    began = time.monotonic()
    found = first_look(Azure(AzureSettings()), server.endpoint, budget)
    return found, time.monotonic() - began


def test_the_first_look_tells_the_site_and_asks_for_nothing_else(serve):
    server = serve(DOCUMENTED)
    found, took = looked(server, budget=30.0)
    assert found.site is not None
    assert found.site.machine == "web_3"
    assert found.why == ""
    assert took < 20.0
    assert len(server.requests) == 1


def test_the_first_look_finds_another_version(serve):
    def say(stream, data, over):
        if b"/metadata/versions" in data:
            stream.sendall(OK + b'\r\n{"apiVersions": ["2020-09-01"]}')
        elif b"2020-09-01" in data:
            stream.sendall(DOCUMENTED)
        else:
            stream.sendall(b"HTTP/1.1 404 Not Found\r\n\r\n")

    server = serve(say)
    assert looked(server, budget=5.0)[0].site is not None
    assert len(server.requests) == 3


def test_the_first_look_bears_a_short_failure(serve):
    answers = [b"HTTP/1.1 410 Gone\r\n\r\n", DOCUMENTED]
    server = serve(lambda stream, data, over: stream.sendall(answers.pop(0)))
    assert looked(server, budget=5.0)[0].site is not None


def test_the_first_look_says_why_there_is_nobody():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    found = first_look(Azure(AzureSettings()), Endpoint("127.0.0.1", port), 5.0)
    assert found == FirstLook(None, "Connection refused")


HOPELESS = [
    (silently, "no answer within"),
    (endlessly(b"x", OK + b"Content-Length: 100000\r\n\r\n", pause=0.01), "no answer within"),
    (b"HTTP/1.1 410 Gone\r\n\r\n", "410"),
    (b"HTTP/1.1 429 Slow\r\n\r\n", "429"),
    (b"HTTP/1.1 500 Oh\r\n\r\n", "500"),
    (OK + b"\r\n<html>", "cannot be read"),
    (b"SSH-2.0-OpenSSH_9.6\r\n", "no HTTP"),
]


@pytest.mark.parametrize(("answer", "words"), HOPELESS, ids=range(len(HOPELESS)))
def test_the_first_look_never_takes_longer_than_it_may(serve, answer, words):
    server = serve(answer)

    def hopeless_look() -> float:
        found, took = looked(server)
        assert found.site is None
        # A server that the machine has kept from answering in time tells nothing.
        return took if words in found.why else math.inf

    # The rest is for a machine that has other things to do.
    assert shortest(hopeless_look, 0.75) < 0.5 + 0.25


def test_the_first_look_at_what_is_known_asks_nobody():
    site = Site(machine="m")
    assert first_look(Static(site), Endpoint("127.0.0.1", 1), 0.5) == FirstLook(site)
