"""What a connection does with what arrives on it; the other side is played by the test."""

import pickle
import socket

import pytest

from beethoven.runtime import framing
from beethoven.runtime.connection import Connection
from beethoven.runtime.reason import SHUTDOWN


class Waiter:
    def __init__(self):
        self.frames = []

    def take(self, frame):
        self.frames.append(frame)


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
