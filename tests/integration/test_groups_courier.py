"""The courier of groups: it waits for nobody, and loses nothing within its bounds."""

import pickle
import socket

import pytest

from beethoven.groups import courier
from beethoven.groups.courier import Courier
from beethoven.runtime import framing
from beethoven.runtime.names import socket_path
from beethoven.runtime.poller import Poller
from beethoven.runtime.unixsocket import listen
from tests.processes import wait_until

pytestmark = pytest.mark.process


class Member:
    """A process that takes what it is sent only when it is told to."""

    def __init__(self, folder, identity):
        self.listener = listen(socket_path(folder, identity))
        self.stream: socket.socket | None = None
        self.reader = framing.FrameReader()

    def take(self):
        """Return what has been sent."""
        if self.stream is None:
            self.stream, _ = self.listener.accept()
            self.stream.setblocking(False)
        found = []
        try:
            while True:
                found += [pickle.loads(each[2]) for each in self.reader.receive(self.stream)]
        except BlockingIOError:
            return found

    def close(self):
        self.listener.close()
        if self.stream is not None:
            self.stream.close()


def frame(message):
    return framing.pack(framing.INFO, 0, pickle.dumps(message, 5))


@pytest.fixture
def poller():
    made = Poller()
    yield made
    made.close()


@pytest.fixture
def post(tmp_path, poller):
    made = Courier(str(tmp_path), poller)
    yield made.post
    made.close()


@pytest.fixture
def member(tmp_path):
    made = Member(str(tmp_path), "1-a")
    yield made
    made.close()


def test_what_is_not_taken_at_once_is_kept_in_order(post, member, poller):
    messages = [(number, "x" * 100_000) for number in range(50)]
    for message in messages:
        post("1-a", frame(message))
    found = []

    def is_all():
        found.extend(member.take())
        poller.poll(0)
        return len(found) == len(messages)

    wait_until(is_all)
    assert found == messages


def test_what_is_too_much_is_dropped_and_told_once_each_time(
    post, member, poller, caplog, monkeypatch
):
    monkeypatch.setattr(courier, "_MOST_UNSENT", 1_000_000)
    long = "y" * 3_000_000
    # One message is always kept, however long it is.
    for message in (long, "lost", "lost too"):
        post("1-a", frame(message))
    assert caplog.text.count("group_member_behind") == 1
    found = []

    def has(count):
        def is_there():
            found.extend(member.take())
            poller.poll(0)
            return len(found) == count

        return is_there

    wait_until(has(1))
    poller.poll(0)
    post("1-a", frame("again"))
    wait_until(has(2))
    assert found == [long, "again"]
    for message in (long, "lost"):
        post("1-a", frame(message))
    assert caplog.text.count("group_member_behind") == 2


def test_a_member_that_does_not_read_keeps_nobody_waiting(tmp_path, post, member, poller):
    other = Member(str(tmp_path), "1-b")
    try:
        for number in range(100):
            post("1-a", frame("z" * 100_000))
            post("1-b", frame(number))
        assert other.take() == list(range(100))
    finally:
        other.close()


def test_a_member_that_is_gone_costs_nothing(post, member, poller):
    post("1-gone", frame("nobody"))
    post("1-a", frame(1))
    assert member.take() == [1]
    member.close()
    poller.poll(0)
    post("1-a", frame(2))


def test_the_line_of_one_that_ends_while_much_is_left_is_closed(post, member, poller):
    post("1-a", frame("w" * 3_000_000))
    member.take()
    member.close()
    poller.poll(0)
    post("1-a", frame("nobody"))
