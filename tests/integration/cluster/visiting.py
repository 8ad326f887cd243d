"""A visitor written by hand: what the client's side of a call across nodes does, byte by byte."""

import pickle
import socket
from dataclasses import replace

from beethoven import clock
from beethoven.cluster.addresses import Address
from beethoven.cluster.handshake import Established, Handshake, Side
from beethoven.cluster.hello import hello_of
from beethoven.cluster.keyring import Keyring
from beethoven.cluster.member import Member
from beethoven.cluster.messages import Purpose
from beethoven.cluster.sealed import SealedReader, seal
from beethoven.runtime import framing
from beethoven.runtime.deadlines import call_by, unpack_moment

CLUSTER = "orchestra"
COOKIE = b"a cookie of the tests, quite long"
VISITOR = Member("visitor-1", "client", Address("127.0.0.1", 33001), 1)
PATIENCE = 10.0


class Visit:
    """One connection from elsewhere, up to where its first frame is to come."""

    def __init__(
        self,
        port,
        target="",
        *,
        purpose=Purpose.ROLE,
        cookie=COOKIE,
        cluster=CLUSTER,
        patience=PATIENCE,
    ):
        self.stream = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        hello = replace(hello_of(VISITOR, cluster), purpose=purpose, target=target)
        handshake = Handshake(Side.INITIATOR, hello, Keyring((cookie,)))
        step = handshake.begin()
        try:
            while step.outcome is None:
                self.stream.sendall(step.send)
                step = handshake.receive(self.stream.recv(4096))
            self.stream.sendall(step.send)
        except BaseException:
            self.close()
            raise
        # The beacon always answers; whom it leads to need not.
        self.stream.settimeout(patience)
        self.outcome = step.outcome
        self.number = 0
        self._frames = []
        if isinstance(self.outcome, Established):
            self.session = self.outcome.session
            self._reader = SealedReader(self.session)
            self._frames = self._reader.feed(self.outcome.rest)

    def frame(self):
        """Return the next frame; None at the end."""
        while not self._frames:
            try:
                data = self.stream.recv(1 << 16)
            except ConnectionError:
                return None
            if not data:
                return None
            self._frames = self._reader.feed(data)
        return self._frames.pop(0)

    def welcomed(self):
        """Return the visit, once the process has taken it in."""
        kind, _, payload = self.frame()
        assert kind == framing.WELCOME, kind
        self.clock = unpack_moment(payload)
        return self

    def send(self, kind, payload):
        self.number += 1
        for sealed in seal(self.session, kind, self.number, payload):
            self.stream.sendall(sealed)
        return self.number

    def ask(self, request, *, within=None):
        """Send a call, with a deadline if there is one; return its number."""
        payload = pickle.dumps(request, 5)
        if within is None:
            return self.send(framing.CALL, payload)
        return self.send(framing.CALL_BY, call_by(clock.elapsed() + within, payload))

    def answer(self, number):
        """Return what is in the answer to a call; its kind must be REPLY."""
        frame = self.frame()
        assert frame is not None, "closed"
        kind, its_number, payload = frame
        assert (kind, its_number) == (framing.REPLY, number), (frame[:2], pickle.loads(payload))
        return pickle.loads(payload)

    def call(self, request, **options):
        return self.answer(self.ask(request, **options))

    def cast(self, request):
        self.send(framing.CAST, pickle.dumps(request, 5))

    def ends(self):
        """Wait for the end; return the kinds of the frames that still came."""
        kinds = []
        while (frame := self.frame()) is not None:
            kinds.append(frame[0])
        return kinds

    def close(self):
        self.stream.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
