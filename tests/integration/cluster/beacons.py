"""What stands on a beacon's port: fakes for the locator to meet."""

import contextlib
import random
import socket
import threading

from beethoven.cluster.addresses import Address
from beethoven.cluster.handshake import refusal
from beethoven.cluster.hello import hello_of
from beethoven.cluster.member import Member
from beethoven.cluster.messages import HANDSHAKE, Hello
from beethoven.cluster.wire import LONGEST_BEFORE_AUTHENTICATION, FrameDecoder, frame

CLUSTER = "orchestra"


def member(host, port, name="viola", node_id="me"):
    return Member(node_id, name, Address(host, port), incarnation=1)


def free_port(*hosts):
    """Return a port that is free on all these addresses, and that no caller is given."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.ExitStack() as stack:
            try:
                for host in hosts:
                    probe = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
                    stack.enter_context(probe).bind((host, port))
            except OSError:
                continue
            return port


class FakeBeacon:
    """
    Listens, and lets `answer` deal with each connection, one at a time, in a thread of its own.

    Without `answer` connections are opened by the kernel, and nobody says anything: so does a node
    whose beacon is just starting, until `begin`.
    """

    def __init__(self, host, port, answer=None):
        self.address = Address(host, port)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=128)
        self._thread: threading.Thread | None = None
        self._is_over = threading.Event()
        self.hellos: list[Hello] = []
        self.count = 0
        if answer is not None:
            self.begin(answer)

    def begin(self, answer):
        self._thread = threading.Thread(target=self._serve, args=(answer,))
        self._thread.start()

    def _serve(self, answer):
        while True:
            try:
                stream, _ = self._listener.accept()
            except OSError:
                return
            with stream:
                stream.settimeout(10)
                if self._is_over.is_set():
                    return
                self.count += 1
                with contextlib.suppress(OSError):
                    answer(self, stream)

    def read_hello(self, stream):
        decoder = FrameDecoder(LONGEST_BEFORE_AUTHENTICATION)
        while (body := decoder.next_frame()) is None:
            data = stream.recv(4096)
            if not data:
                return
            decoder.feed(data)
        hello = HANDSHAKE.decode(body)
        assert isinstance(hello, Hello)
        self.hellos.append(hello)

    def wait(self, seconds):
        self._is_over.wait(seconds)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._is_over.set()
        if self._thread is not None:
            with contextlib.suppress(OSError):
                socket.create_connection((self.address.host, self.address.port), 1).close()
            self._thread.join(15)
        self._listener.close()


def hello_from(beacon, cluster=CLUSTER):
    own = member(beacon.address.host, beacon.address.port, "cello", "other")
    return frame(HANDSHAKE.encode(hello_of(own, cluster)))


def answering(beacon, stream):
    beacon.read_hello(stream)
    stream.sendall(hello_from(beacon))
    stream.recv(1)


def answering_bytewise(beacon, stream):
    beacon.read_hello(stream)
    for byte in hello_from(beacon):
        stream.sendall(bytes([byte]))
        beacon.wait(0.001)
    stream.recv(1)


def answering_another_cluster(beacon, stream):
    beacon.read_hello(stream)
    stream.sendall(hello_from(beacon, "quartet"))
    stream.recv(1)


def refusing(code, text=""):
    def answer(beacon, stream):
        beacon.read_hello(stream)
        stream.sendall(refusal(code, text))
        stream.recv(1)

    return answer


def saying(data, *, then_waits=False):
    """Send bytes without asking anything; close, or wait until the other side has."""

    def answer(beacon, stream):
        with contextlib.suppress(OSError):
            stream.sendall(data)
            while then_waits and stream.recv(4096):
                continue

    return answer


def echoing(beacon, stream):
    while data := stream.recv(4096):
        stream.sendall(data)


def resetting(beacon, stream):
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def trickling(beacon, stream):
    """Promise a long frame, and send a byte of it now and then."""
    stream.sendall(b"\0\0\4\0")
    while not beacon._is_over.is_set():
        stream.sendall(b" ")
        beacon.wait(0.2)
