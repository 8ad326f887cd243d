"""A sealed connection, with the other side played by the test."""

import contextlib
import pickle
import socket
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest

from beethoven.clock import monotonic
from beethoven.cluster.handshake import Established
from beethoven.cluster.messages import PROTOCOL_MAX, Hello, Purpose
from beethoven.cluster.sealed import LONGEST_BODY, SealedReader, seal
from beethoven.cluster.session import Session
from beethoven.errors import NoProcess
from beethoven.remote import sealed_connection
from beethoven.remote.remote_ref import RemoteRef
from beethoven.remote.sealed_connection import SealedConnection
from beethoven.runtime import framing
from beethoven.runtime.reason import SHUTDOWN

TARGET = RemoteRef("one", "id1", "127.0.0.1:1", Purpose.ROLE, "orders")
ONE, TWO = bytes(range(32)), bytes(range(32, 64))
PEER = Hello("beethoven", 1, PROTOCOL_MAX, "id1", "one", 1, "127.0.0.1:1", bytes(32))


class Clock:
    """Stands for the module `clock` where the time is asked for."""

    now = 1000.0

    def elapsed(self):
        return self.now


class Other:
    """The process at the other end."""

    def __init__(self, stream):
        self.stream = stream
        self.session = Session(TWO, ONE)
        self.reader = SealedReader(self.session)
        self.frames = []

    def send(self, kind, number, payload):
        for sealed in seal(self.session, kind, number, payload):
            self.stream.sendall(sealed)

    def welcome(self, moment=5.0):
        self.send(framing.WELCOME, 0, struct.pack("<d", moment))

    def receive(self):
        while not self.frames:
            self.frames += self.reader.feed(self.stream.recv(1 << 20))
        return self.frames.pop(0)


@pytest.fixture
def time(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(sealed_connection, "clock", clock)
    return clock


@pytest.fixture
def ends(time):
    mine, theirs = socket.socketpair()
    line = SealedConnection(mine, Established(PEER, 1, Session(ONE, TWO)))
    yield line, Other(theirs)
    mine.close()
    theirs.close()


def test_it_counts_as_open_once_the_process_has_welcomed(ends):
    line, other = ends
    with pytest.raises(BlockingIOError):
        line.wait_welcome(TARGET, 0.01)
    other.welcome()
    line.wait_welcome(TARGET, 1.0)
    assert not line.has_ended()


@pytest.mark.parametrize(
    ("kind", "payload", "cause"),
    [
        (framing.ABSENT, b"role orders is not here", "role orders is not here"),
        (framing.EXIT, pickle.dumps(SHUTDOWN), "it ended"),
    ],
)
def test_whoever_is_not_there_is_no_process(ends, kind, payload, cause):
    line, other = ends
    other.send(kind, 0, payload)
    with pytest.raises(NoProcess, match=cause):
        line.wait_welcome(TARGET, 1.0)


def test_an_end_without_a_welcome_delivers_nothing(ends):
    line, other = ends
    other.stream.close()
    with pytest.raises(NoProcess, match="has ended"):
        line.wait_welcome(TARGET, 1.0)


def test_the_welcome_may_come_with_the_end_of_the_handshake(time):
    mine, theirs = socket.socketpair()
    session = Session(TWO, ONE)
    rest = b"".join(seal(session, framing.WELCOME, 0, struct.pack("<d", 5.0)))
    line = SealedConnection(mine, Established(PEER, 1, Session(ONE, TWO), rest))
    line.wait_welcome(TARGET, 1.0)
    theirs.close()


def test_that_the_other_side_has_closed_is_seen_before_anything_is_sent(ends):
    line, other = ends
    other.welcome()
    line.wait_welcome(TARGET, 1.0)
    other.send(framing.EXIT, 0, pickle.dumps(SHUTDOWN))
    other.stream.close()
    assert line.has_ended()
    assert line.reason == SHUTDOWN


def test_what_was_altered_ends_it_and_is_told(ends):
    line, other = ends
    other.welcome()
    line.wait_welcome(TARGET, 1.0)
    (sealed,) = seal(other.session, framing.REPLY, 1, b"reply")
    other.stream.sendall(sealed[:-1] + bytes([sealed[-1] ^ 1]))
    with pytest.raises(framing.StreamEnded):
        line.receive(1, 1.0)
    assert line.has_ended()
    assert "altered" in str(line.reason)


def test_payloads_of_any_length_pass_in_bodies_that_are_bounded(ends):
    line, other = ends
    other.welcome()
    line.wait_welcome(TARGET, 1.0)
    for size in (0, 1, framing.LARGE - 1, framing.LARGE, LONGEST_BODY + 1, 3 * LONGEST_BODY):
        with ThreadPoolExecutor() as pool:
            received = pool.submit(other.receive)
            number = line.send(framing.CAST, bytes(size), 5.0)
            assert received.result(5) == (framing.CAST, number, bytes(size))


def test_a_long_message_is_not_sent_for_longer_than_it_may(ends):
    """However quickly it is taken."""
    line, _ = ends
    taken = []

    class Quick:
        def __init__(self, stream):
            self._stream = stream

        def send(self, data, *_):
            taken.append(len(data))
            return len(data)

        def __getattr__(self, name):
            return getattr(self._stream, name)

    line.stream = Quick(line.stream)
    with pytest.raises(BlockingIOError):
        line.send(framing.CALL, bytes(100 * LONGEST_BODY), 5.0, monotonic())
    assert len(taken) < 100


def test_the_time_there_is_not_asked_for_longer_than_the_call_may_take(ends, time):
    line, other = ends
    other.welcome()
    line.wait_welcome(TARGET, 1.0)
    time.now += 61.0
    with pytest.raises(BlockingIOError):
        # As much as the two kernels take: nobody reads.
        line.send(framing.CAST, bytes(50_000_000), 0.0)
    with pytest.raises(BlockingIOError):
        line.their_time(time.now + 0.01)


def test_a_deadline_is_one_of_the_other_clock_and_never_too_late(ends, time):
    line, other = ends
    # It was sent at 1000 and says 5; it has been on its way for 0.2 s.
    other.welcome(5.0)
    time.now = 1000.2
    line.wait_welcome(TARGET, 1.0)
    # The truth is that 1010 is 15 there.
    assert line.their_time(1010.0) == pytest.approx(14.8)
    assert line.their_time(float("inf")) == float("inf")


def test_after_a_minute_the_clock_is_asked_for_and_the_answer_can_only_help(ends, time):
    line, other = ends
    other.welcome(5.0)
    line.wait_welcome(TARGET, 1.0)
    time.now += 61.0
    assert line.their_time(2000.0) == pytest.approx(1005.0)
    assert line.their_time(2000.0) == pytest.approx(1005.0)
    kind, number, _ = other.receive()
    assert kind == framing.CLOCK
    # The answer is 66 at 1061, and lies there for ten seconds before anybody reads it.
    other.send(framing.CLOCK, number, struct.pack("<d", 66.0))
    time.now += 10.0
    assert line.take_in(1.0)
    assert line.their_time(2000.0) == pytest.approx(1005.0, abs=0.1)
    # It was asked for once, and is asked for again only when it is old.
    other.stream.setblocking(False)
    with pytest.raises(BlockingIOError):
        other.receive()


def test_what_nobody_confirms_is_not_waited_for_twice(time):
    with socket.create_server(("127.0.0.1", 0)) as server:
        mine = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    line = SealedConnection(mine, Established(PEER, 1, Session(ONE, TWO)))
    Other(theirs).welcome()
    line.wait_welcome(TARGET, 5.0)
    number = line.send(framing.CALL, b"call", 1.0)
    with pytest.raises(BlockingIOError):
        line.receive(number, 0.05)
    # The other machine has it; only the process takes its time.
    assert not line.has_ended()
    # As much as the two kernels take; the rest is on its way for as long as nobody reads.
    mine.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
    with pytest.raises(BlockingIOError):
        line.send(framing.CALL, bytes(50_000_000), 0.05)
    with pytest.raises(BlockingIOError):
        line.receive(number + 1, 0.05)
    assert line.has_ended()
    theirs.close()


@pytest.fixture
def held_up(time):
    """Make a connection that was dialled at some moment."""
    with contextlib.ExitStack() as stack:

        def make(dialled_at):
            mine, theirs = map(stack.enter_context, socket.socketpair())
            established = Established(PEER, 1, Session(ONE, TWO))
            return SealedConnection(mine, established, dialled_at), Other(theirs)

        yield make


def test_who_was_held_up_while_it_was_welcomed_asks_what_time_it_is(time, held_up):
    line, other = held_up(time.now)
    # It was sent at 1000 and says 5, and is read two seconds later.
    other.welcome(5.0)
    time.now = 1002.0
    with ThreadPoolExecutor(1) as pool:
        welcomed = pool.submit(line.wait_welcome, TARGET, 20.0)
        kind, number, _ = other.receive()
        assert kind == framing.CLOCK
        other.send(framing.CLOCK, number, struct.pack("<d", 7.0))
        welcomed.result(20)
    assert line.their_time(1010.0) == pytest.approx(15.0)
    # It was enough to ask once.
    other.stream.setblocking(False)
    with pytest.raises(BlockingIOError):
        other.receive()


def test_one_that_is_too_busy_to_say_what_time_it_is_counts_as_open_and_is_asked_again(
    time, held_up
):
    line, other = held_up(time.now - 1.0)
    other.welcome(5.0)
    line.wait_welcome(TARGET, 0.05)
    assert other.receive()[0] == framing.CLOCK
    assert line.their_time(1010.0) == pytest.approx(15.0)
    assert other.receive()[0] == framing.CLOCK
