"""What a connection does with what arrives on it; the other side is played by the test."""

import gc
import pickle
import socket
import types

import pytest

from beethoven.errors import CallTimeout, Overloaded
from beethoven.runtime import connection, framing, line, unixsocket
from beethoven.runtime.line import Connection
from beethoven.runtime.reason import SHUTDOWN

LARGE = bytes(10_000_000)


class Waiter:
    def __init__(self):
        self.frames = []

    def take(self, frame):
        self.frames.append(frame)


class Interrupted(BaseException):
    """What a signal handler raises, at any place."""


def interrupt(*_):
    raise Interrupted


class Interruptible(Waiter):
    def take(self, frame):
        super().take(frame)
        if frame is not None:
            raise Interrupted


class SlowReader:
    """A socket whose other side takes little at once, every tenth of a second of its own clock."""

    def __init__(self, stream):
        self._stream = stream
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def send(self, data, *_):
        self.now += 0.1
        return min(len(data), 1000)

    def __getattr__(self, name):
        return getattr(self._stream, name)


class Process:
    """Whom the calls go to."""

    identity = "slow"

    def __init__(self, opened):
        self._opened = opened

    def connect(self, _timeout):
        return self._opened

    def death(self, _timeout):
        return None

    def __str__(self):
        return self.identity


@pytest.fixture
def ends():
    mine, theirs = socket.socketpair()
    line = Connection(mine)
    yield line, theirs
    mine.close()
    theirs.close()


def expect(line):
    """Send a call, and wait for the answer to it."""
    waiter = Waiter()
    number = line.send(framing.CALL, b"call", 1.0)
    line.waiters[number] = waiter
    return number, waiter


def answer(number, payload=b"reply", kind=framing.REPLY):
    return framing.pack(kind, number, payload)


def end():
    return answer(0, pickle.dumps(SHUTDOWN), framing.EXIT)


def test_answers_go_to_who_waits_for_them_in_whatever_order_they_come(ends):
    line, theirs = ends
    (first, one), (second, two) = expect(line), expect(line)
    number = line.send(framing.CALL, b"mine", 1.0)
    theirs.sendall(answer(second, b"2") + answer(number, b"3") + answer(first, b"1"))
    assert line.receive(number, 1.0) == (framing.REPLY, number, b"3")
    assert one.frames == [(framing.REPLY, first, b"1")]
    assert two.frames == [(framing.REPLY, second, b"2")]
    assert len(line.waiters) == 0


def test_a_second_answer_and_one_that_nobody_waits_for_are_dropped(ends):
    line, theirs = ends
    number, waiter = expect(line)
    gone, _ = expect(line)
    theirs.sendall(answer(number) + answer(number) + answer(gone) + answer(77))
    assert line.take_in(1.0)
    assert waiter.frames == [(framing.REPLY, number, b"reply")]
    assert not line.take_in(0)


def test_who_asks_between_the_last_words_and_the_end_is_told_the_reason(ends):
    line, theirs = ends
    _, before = expect(line)
    theirs.sendall(end())
    assert line.take_in(1.0)
    assert before.frames == [None]
    assert line.reason == SHUTDOWN
    _, after = expect(line)
    theirs.close()
    assert line.take_in(1.0)
    assert after.frames == [None]
    assert line.reason == SHUTDOWN


def test_the_answer_before_the_last_words_is_the_answer(ends):
    line, theirs = ends
    number = line.send(framing.CALL, b"call", 1.0)
    _, waiter = expect(line)
    theirs.sendall(answer(number) + end())
    assert line.receive(number, 1.0) == (framing.REPLY, number, b"reply")
    assert waiter.frames == [None]


def test_answers_are_taken_in_while_a_message_cannot_be_sent(ends):
    line, theirs = ends
    number, waiter = expect(line)
    theirs.sendall(answer(number))
    with pytest.raises(BlockingIOError):
        line.send(framing.CAST, bytes(10_000_000), 0.05)
    assert waiter.frames == [(framing.REPLY, number, b"reply")]


def test_what_interrupts_a_read_ends_the_wait_of_all(ends):
    """What was read then may be lost, so that nothing behind it can be found."""
    line, _ = ends
    _, waiter = expect(line)

    class Interrupted:
        def receive(self, *_):
            raise KeyboardInterrupt

    line._reader = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        line.take_in(1.0)
    assert waiter.frames == [None]
    assert str(line.reason) == "was interrupted while it answered"


def test_what_interrupts_between_reading_and_handing_out_ends_the_wait_of_all(ends, monkeypatch):
    line, theirs = ends
    (first, one), (_, two) = expect(line), expect(line)
    theirs.sendall(answer(first))
    monkeypatch.setattr(Connection, "_hand_out", interrupt)
    with pytest.raises(Interrupted):
        line.take_in(1.0)
    assert (one.frames, two.frames) == ([None], [None])
    assert line.has_ended()


def test_what_interrupts_the_wait_of_one_ends_that_of_all(ends, monkeypatch):
    line, theirs = ends
    other, waiter = expect(line)
    number = line.send(framing.CALL, b"mine", 1.0)
    theirs.sendall(answer(other) + answer(number))
    monkeypatch.setattr(Connection, "_hand_out", interrupt)
    with pytest.raises(Interrupted):
        line.receive(number, 1.0)
    assert waiter.frames == [None]
    assert line.has_ended()


def test_an_answer_taken_before_an_interruption_is_the_answer_and_others_are_told(ends):
    line, theirs = ends
    numbers = [line.send(framing.CALL, b"call", 1.0) for _ in range(3)]
    one, two, three = Waiter(), Interruptible(), Waiter()
    line.waiters.update(zip(numbers, (one, two, three), strict=True))
    theirs.sendall(b"".join(map(answer, numbers)))
    with pytest.raises(Interrupted):
        line.take_in(1.0)
    assert one.frames == [(framing.REPLY, numbers[0], b"reply")]
    # The first is the answer.
    assert two.frames == [(framing.REPLY, numbers[1], b"reply"), None]
    assert three.frames == [None]


def test_nothing_is_read_from_a_connection_that_was_broken_off(ends, monkeypatch):
    line, theirs = ends
    with monkeypatch.context() as patch:
        patch.setattr(Connection, "_hand_out", interrupt)
        theirs.sendall(answer(1))
        with pytest.raises(Interrupted):
            line.take_in(1.0)
    number, late = expect(line)
    theirs.sendall(answer(number, b"of another"))
    assert line.take_in(1.0)
    assert late.frames == [None]


def test_a_call_that_is_interrupted_ends_the_requests_on_its_connection(ends, monkeypatch):
    line, theirs = ends
    target, waiter = Process(line), Waiter()
    used, number = connection.begin(target, b"call", waiter, 1.0)
    assert used is line
    theirs.sendall(answer(number) + answer(number + 1))
    monkeypatch.setattr(Connection, "_hand_out", interrupt)
    with pytest.raises(Interrupted):
        connection.request(target, framing.CALL, b"call", 1.0)
    assert waiter.frames == [None]
    assert not connection.is_connected(target)


@pytest.fixture
def slow(monkeypatch):
    mine, theirs = socket.socketpair()
    reader = SlowReader(mine)
    clock = types.SimpleNamespace(monotonic=reader.monotonic, elapsed=reader.monotonic)
    monkeypatch.setattr(line, "clock", clock)
    monkeypatch.setattr(connection, "clock", clock)
    yield reader
    connection.drop(Process.identity)
    mine.close()
    theirs.close()


def test_a_call_is_not_sent_for_longer_than_its_timeout(slow):
    target = Process(Connection(slow))
    with pytest.raises(CallTimeout):
        connection.request(target, framing.CALL, LARGE, 1.0)
    assert slow.now < 1001.2


def test_a_request_with_a_deadline_is_not_sent_after_it(slow):
    target = Process(Connection(slow))
    with pytest.raises(Overloaded):
        connection.begin(target, LARGE, Waiter(), 5.0, slow.now + 1.0)
    assert slow.now < 1001.2


def test_a_cast_is_sent_for_as_long_as_the_receiver_takes_some_of_it(slow):
    target = Process(Connection(slow))
    assert connection.post(target, framing.CAST, bytes(100_000), 0.5)
    assert slow.now > 1009


def test_sending_and_receiving_share_the_timeout_of_a_call(slow, monkeypatch):
    waits = []

    def receive(_self, number, timeout):
        waits.append(timeout)
        raise BlockingIOError

    monkeypatch.setattr(Connection, "receive", receive)
    target = Process(Connection(slow))
    for _ in range(2):
        with pytest.raises(CallTimeout):
            connection.request(target, framing.CALL, bytes(70_000), 10.0)
    assert waits == pytest.approx([10 - 7.1, 10 - 7.1], abs=0.3)


def test_a_connection_is_closed_though_it_is_part_of_a_circle(tmp_path):
    path = str(tmp_path / "s")
    with unixsocket.listen(path) as listener:
        circle: list[object] = [unixsocket.connect(path)]
        circle.append(circle)
        other, _ = listener.accept()
        with other:
            del circle
            gc.collect()
            assert other.recv(1) == b""
