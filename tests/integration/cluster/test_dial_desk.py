"""The door at which processes have their beacon dial; both sides real, the beacon a thread."""

import contextlib
import errno
import os
import pickle
import resource
import socket
import struct
import sys
import tempfile
import threading

import pytest

from beethoven import clock
from beethoven.cluster import beacon_state, dial, dial_desk
from beethoven.cluster.addresses import Address
from beethoven.cluster.dial import Answered, PortRefused, Unanswered, Undialled
from beethoven.cluster.dial_desk import DialDesk, DialOrder, dial_by_beacon
from beethoven.cluster.handshake import Established, Handshake, Refused, Side
from beethoven.cluster.hello import hello_of
from beethoven.cluster.keyring import Keyring
from beethoven.cluster.member import Member
from beethoven.cluster.messages import Purpose
from beethoven.runtime.poller import Poller
from tests.processes import wait_until

pytestmark = pytest.mark.process

CLUSTER = "orchestra"
KEYRING = Keyring((b"a cookie of the tests, quite long",))
OWN = Member("desk-1", "viola", Address("127.0.0.1", 33000), 1)
NONE_FREE = Undialled(os.strerror(errno.EMFILE))
THERE = Member("there-1", "cello", Address("127.0.0.1", 33001), 1)


class Beacon:
    """A desk in a loop of its own."""

    def __init__(self, folder):
        self.poller = Poller()
        self.wakes = []
        self.desk = DialDesk(folder, OWN, CLUSTER, KEYRING, self.wake_after)
        self.desk.serve(self.poller)
        self.end = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def wake_after(self, delay):
        self.wakes.append(clock.elapsed() + delay)

    def run(self):
        while not self.end:
            self.poller.poll(0.01)
            if any(each <= clock.elapsed() for each in self.wakes):
                self.wakes = [each for each in self.wakes if each > clock.elapsed()]
                self.desk.tick()

    @property
    def orders(self):
        return len(self.desk._orders)

    def close(self):
        self.end = True
        self.thread.join()
        self.desk.close()
        self.poller.close()


@pytest.fixture
def folder():
    """Return a folder whose name is short: the address of a socket has little room."""
    with tempfile.TemporaryDirectory(prefix="bt", dir="/tmp") as made:
        yield made


@pytest.fixture
def beacon(folder):
    made = Beacon(folder)
    yield made
    made.close()


class Listener:
    """A port; with a node behind it that lets everybody in who knows the cookie, or nobody."""

    def __init__(self, keyring=KEYRING, *, is_silent=False):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = Address(*self.socket.getsockname())
        self.keyring = keyring
        self.outcomes, self.streams = [], []
        self.thread = threading.Thread(target=self.serve)
        if not is_silent:
            self.thread.start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                stream, _ = self.socket.accept()
                self.streams.append(stream)
                handshake = Handshake(Side.RESPONDER, hello_of(THERE, CLUSTER), self.keyring)
                step = handshake.begin()
                while step.outcome is None:
                    step = handshake.receive(stream.recv(4096))
                    stream.sendall(step.send)
                self.outcomes.append(step.outcome)

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        if self.thread.is_alive():
            self.thread.join()
        for stream in self.streams:
            stream.close()


@pytest.fixture
def listener():
    made = Listener()
    yield made
    made.close()


def order(address, timeout=5.0):
    return DialOrder(address, Purpose.ROLE, "orders", timeout)


def test_the_socket_comes_with_its_session(beacon, listener, folder):
    found = dial_by_beacon(folder, order(listener.address))
    assert isinstance(found, Answered)
    assert found.established.peer.name == "cello"
    # Its side notes that a moment later.
    wait_until(lambda: listener.outcomes)
    (there,) = listener.outcomes
    assert isinstance(there, Established)
    assert (there.peer.purpose, there.peer.target) == ("role", "orders")
    assert (there.peer.node_id, there.peer.name) == (OWN.node_id, OWN.name)
    sealed = found.established.session.seal(b"hello")
    found.stream.setblocking(True)
    found.stream.sendall(sealed)
    assert there.session.open(listener.streams[0].recv(4096)[4:]) == b"hello"
    # Nobody but us has it any more.
    found.stream.close()
    assert listener.streams[0].recv(1) == b""
    wait_until(lambda: beacon.orders == 0)


def test_why_nothing_came_of_it_is_told(beacon, folder):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = Address(*closed.getsockname())
    assert dial_by_beacon(folder, order(address)) == PortRefused()
    stranger = Listener(Keyring((b"another cookie, which is as long",)))
    found = dial_by_beacon(folder, order(stranger.address))
    stranger.close()
    assert isinstance(found, Refused)
    silent = Listener(is_silent=True)
    began = clock.monotonic()
    assert dial_by_beacon(folder, order(silent.address, 1.0)) == Unanswered()
    assert clock.monotonic() - began < 3.0
    silent.close()
    wait_until(lambda: beacon.orders == 0)


def test_a_beacon_that_dies_is_asked_again_when_it_is_back(folder, listener):
    path = f"{folder}/dial"
    with socket.socket(socket.AF_UNIX) as first:
        first.bind(path)
        first.listen()
        found = []
        asking = threading.Thread(
            target=lambda: found.append(dial_by_beacon(folder, order(listener.address)))
        )
        asking.start()
        # It takes the order, and dies.
        stream, _ = first.accept()
        assert stream.recv(1)
        stream.close()
    os.unlink(path)  # noqa: PTH108 - what the next one does first
    second = Beacon(folder)
    asking.join()
    second.close()
    assert isinstance(found[0], Answered)
    found[0].stream.close()


def test_without_a_beacon_the_time_is_kept(folder):
    began = clock.monotonic()
    away = Undialled("this node has no beacon server at this moment")
    assert dial_by_beacon(folder, order(THERE.address, 0.3)) == away
    assert 0.25 < clock.monotonic() - began < 2.0


def test_a_beacon_that_does_not_answer_is_not_taken_for_the_far_node(folder):
    with socket.socket(socket.AF_UNIX) as stopped:
        stopped.bind(f"{folder}/dial")
        stopped.listen()
        silent = Undialled("the beacon server of this node does not answer")
        assert dial_by_beacon(folder, order(THERE.address, 0.1)) == silent


def test_that_no_descriptor_is_free_is_told(folder):
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open("/dev/null", os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        found = dial_by_beacon(folder, order(THERE.address))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert found == NONE_FREE
    assert dial._failure(errno.EMFILE) == NONE_FREE


def test_that_no_descriptor_is_free_for_the_connection_is_told(folder, listener):
    beacon = Beacon(folder)
    found = dial_by_beacon(folder, order(listener.address))
    beacon.close()
    assert isinstance(found, Answered)
    found.stream.close()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{folder}/dial")  # noqa: PTH108 - what the next one does first
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(f"{folder}/dial")
        other.listen()
        asked = []
        asking = threading.Thread(
            target=lambda: asked.append(dial_by_beacon(folder, order(listener.address)))
        )
        asking.start()
        stream, _ = other.accept()
        with stream:
            # As the kernel passes it on to a process that has no descriptor free.
            stream.sendall(framed(found.established))
            asking.join()
    assert asked == [NONE_FREE]


def framed(value):
    body = pickle.dumps(value)
    return struct.pack(">I", len(body)) + body


@pytest.fixture
def caller(folder, beacon):
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(f"{folder}/dial")
        stream.settimeout(5)
        yield stream


def test_whoever_hangs_up_wants_nothing_any_more(beacon, caller):
    silent = Listener(is_silent=True)
    caller.sendall(framed(order(silent.address)))
    wait_until(lambda: beacon.orders == 1)
    there, _ = silent.socket.accept()
    caller.close()
    # The beacon has said hello, and closes.
    there.settimeout(5)
    while there.recv(4096):
        pass
    there.close()
    silent.close()
    wait_until(lambda: beacon.orders == 0)


class Exiting:
    """Exits when it is unpickled."""

    def __reduce__(self):
        return sys.exit, (5,)


@pytest.mark.parametrize(
    "data",
    [
        framed("no order"),
        framed(Exiting()),
        struct.pack(">I", 5) + b"\x80\x05gar",
        framed(order(THERE.address)) + b"and more",
        b"\0",
    ],
)
def test_whoever_says_something_else_is_let_go(beacon, caller, data):
    caller.sendall(data)
    # Whoever does not finish is let go after a second.
    assert caller.recv(1) in {b"", b"\0"}
    wait_until(lambda: beacon.orders == 0)
    assert beacon.thread.is_alive()


class Lines:
    """Stands for the log."""

    def __init__(self):
        self.found = []

    def warning(self, event, **fields):
        self.found.append((event, fields))


def test_what_is_not_taken_is_told_once_and_then_counted(folder, monkeypatch):
    told = Lines()
    monkeypatch.setattr(dial_desk, "log", told)
    monkeypatch.setattr(beacon_state, "_MINUTE", 3.0)
    beacon = Beacon(folder)
    with contextlib.closing(beacon):
        for _ in range(5):
            with socket.socket(socket.AF_UNIX) as caller:
                caller.connect(f"{folder}/dial")
                caller.settimeout(5)
                caller.sendall(framed("no order"))
                assert caller.recv(1) == b""
        wait_until(lambda: sum(each.get("count", 1) for _, each in told.found) == 5)
    cause = "expected an order, got: something else"
    assert told.found[0] == ("dial_not_taken", {"cause": cause})
    assert ("dials_suppressed", {"cause": cause, "count": 4}) in told.found


def test_there_is_room_for_so_many_and_the_oldest_goes_first(beacon, caller, folder, monkeypatch):
    monkeypatch.setattr(dial_desk, "_MOST_ORDERS", 3)
    with contextlib.ExitStack() as stack:
        others = []
        for _ in range(3):
            other = stack.enter_context(socket.socket(socket.AF_UNIX))
            other.connect(f"{folder}/dial")
            others.append(other)
        assert caller.recv(1) == b""
        wait_until(lambda: beacon.orders == 3)
    wait_until(lambda: beacon.orders == 0)
