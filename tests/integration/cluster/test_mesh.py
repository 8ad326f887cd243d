"""The mesh over real sockets: links opened, frames refused, dials that fail in every way."""

import contextlib
import resource
import select
import socket
import struct
from typing import Any

import pytest

from beethoven import clock
from beethoven.cluster import membership_events as events
from beethoven.cluster.addresses import Address
from beethoven.cluster.handshake import Established, Handshake, Side
from beethoven.cluster.hello import hello_of
from beethoven.cluster.keyring import Keyring
from beethoven.cluster.link_messages import LINK, Leave, introduction_of
from beethoven.cluster.member import Member
from beethoven.cluster.mesh import Mesh
from beethoven.cluster.timing import FAST
from beethoven.engine.messages import COORDINATION, DrainMessage
from beethoven.runtime.poller import Poller
from tests.processes import shortest

pytestmark = [pytest.mark.process, pytest.mark.shared_tree]

KEYRING = Keyring((b"0123456789abcdef0123456789abcdef",))
OTHER = Keyring((b"another cookie, another cluster!",))
CLUSTER = "beethoven"


def listening():
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    return listener, Address(*listener.getsockname()[:2])


class Beacon:
    """Accepts and authenticates, as a beacon does, and gives the links to a mesh."""

    def __init__(self, poller, keyring=KEYRING, cluster=CLUSTER, gives_on=True):
        self.listener, self.address = listening()
        self.poller, self.keyring, self.cluster, self.gives_on = poller, keyring, cluster, gives_on
        self.mesh: Any = None
        self.own: Any = None
        self.streams = []
        poller.register(self.listener, self._accept)

    def _accept(self):
        stream, _ = self.listener.accept()
        self.streams.append(stream)
        handshake = Handshake(Side.RESPONDER, hello_of(self.own, self.cluster), self.keyring)

        def read():
            step = handshake.receive(stream.recv(4096))
            if step.send:
                stream.send(step.send)
            if step.outcome is None:
                return
            self.poller.unregister(stream)
            if isinstance(step.outcome, Established) and self.gives_on:
                self.mesh.accept(stream, step.outcome)
            else:
                stream.close()

        self.poller.register(stream, read)

    def close(self):
        self.poller.unregister(self.listener)
        self.listener.close()
        for stream in self.streams:
            with contextlib.suppress(OSError):
                stream.close()


class Party:
    """A mesh with its beacon, and what it was told."""

    def __init__(self, world, name, number, node_id=None, **options):
        self.beacon = Beacon(world.poller, **options)
        self.own = Member(node_id or f"id-{name}", name, self.beacon.address, number)
        self.changes: list[Any] = []
        self.messages: list[Any] = []
        self.wakes: list[float] = []
        self.mesh = Mesh(
            self.own,
            CLUSTER,
            KEYRING,
            FAST,
            world.poller,
            on_change=self.changes.append,
            on_link=lambda _: None,
            on_message=lambda node_id, fields: self.messages.append((node_id, fields)),
            wake_at=self.wakes.append,
        )
        self.beacon.mesh, self.beacon.own = self.mesh, self.own

    def saw(self, kind):
        return [change.member.name for change in self.changes if isinstance(change, kind)]


class World:
    def __init__(self):
        self.poller = Poller()
        self.sides = []

    def side(self, name, number=1, **options):
        self.sides.append(Party(self, name, number, **options))
        return self.sides[-1]

    def until(self, condition, timeout=10.0):
        deadline = clock.monotonic() + timeout
        while not condition():
            assert clock.monotonic() < deadline, [side.changes for side in self.sides]
            self.poller.poll(0.01)
            for side in self.sides:
                side.mesh.tick()

    def run(self, seconds):
        end = clock.monotonic() + seconds
        self.until(lambda: clock.monotonic() >= end)

    def close(self):
        for side in self.sides:
            side.mesh.close()
            side.beacon.close()
        self.poller.close()


@pytest.fixture
def world():
    made = World()
    yield made
    made.close()


def test_two_nodes_that_know_the_cookie_become_members_of_each_other(world):
    a, b = world.side("a", 1), world.side("b", 2)
    a.mesh.handle(events.AddressFound(b.own.address))
    world.until(lambda: a.saw(events.NodeUp) == ["b"] and b.saw(events.NodeUp) == ["a"])
    assert a.mesh.linked_addresses == {b.own.address}


def test_a_message_reaches_the_other_node_with_the_name_of_its_sender(world):
    a, b = world.side("a", 1), world.side("b", 2)
    a.mesh.handle(events.AddressFound(b.own.address))
    world.until(lambda: a.saw(events.NodeUp) and b.saw(events.NodeUp))
    a.mesh.send("id-b", COORDINATION, DrainMessage("id-b", is_wanted=True))
    world.until(lambda: b.messages)
    assert b.messages[0][0] == "id-a"
    assert b.messages[0][1]["type"] == "drain"


def test_a_third_node_is_found_through_the_second(world):
    a, b, c = (world.side(name, number) for number, name in enumerate("abc", 1))
    a.mesh.handle(events.AddressFound(b.own.address))
    world.until(lambda: b.saw(events.NodeUp))
    c.mesh.handle(events.AddressFound(b.own.address))
    world.until(lambda: all(len(side.saw(events.NodeUp)) == 2 for side in (a, b, c)))


def test_a_node_whose_port_refuses_when_its_link_closes_is_down_at_once(world):
    a, names = world.side("a", 1), iter("bcd")

    def measure():
        name = next(names)
        b = world.side(name, 2)
        a.mesh.handle(events.AddressFound(b.own.address))
        world.until(lambda: name in a.saw(events.NodeUp))
        began = clock.monotonic()
        b.beacon.close()
        b.mesh.close()
        world.sides.remove(b)
        world.until(lambda: name in a.saw(events.NodeDown))
        return clock.monotonic() - began

    limit = FAST.silence / 2
    assert shortest(measure, limit) < limit


def test_a_node_whose_core_is_away_is_suspect_and_not_down_while_its_beacon_answers(world):
    a, b = world.side("a", 1), world.side("b", 2)
    a.mesh.handle(events.AddressFound(b.own.address))
    world.until(lambda: a.saw(events.NodeUp))
    b.beacon.gives_on = False
    b.mesh.close()
    world.sides.remove(b)
    world.until(lambda: a.saw(events.NodeSuspected) == ["b"])
    world.run(2 * FAST.silence)
    assert a.saw(events.NodeDown) == []
    b.beacon.close()


@pytest.mark.parametrize(
    "options", [{"keyring": OTHER}, {"cluster": "another"}], ids=["cookie", "cluster"]
)
def test_a_node_that_does_not_belong_here_never_becomes_a_member(world, options):
    a, b = world.side("a", 1), world.side("b", 2, **options)
    a.mesh.handle(events.AddressFound(b.own.address))
    world.until(lambda: b.beacon.streams)
    world.run(0.3)
    assert a.saw(events.NodeUp) == []
    assert b.saw(events.NodeUp) == []


def test_a_dial_of_the_own_beacon_makes_no_member_and_is_not_repeated(world):
    a = world.side("a", 1)
    a.mesh.handle(events.AddressFound(a.own.address))
    # By another address, as through a second interface.
    twin = Beacon(world.poller)
    twin.mesh, twin.own = a.mesh, a.own
    a.mesh.handle(events.AddressFound(twin.address))
    world.until(lambda: twin.streams)
    world.run(1.0)
    assert a.changes == []
    assert len(twin.streams) == 1
    twin.close()


def linked(world, name="b"):
    """Return a mesh, and the bare other end of a link to it, past its introduction."""
    a = world.side("a", 1)
    peer = Member(f"id-{name}", name, Address("127.0.0.1", 9), 2)
    stream = socket.create_connection(("127.0.0.1", a.own.address.port))
    stream.setblocking(False)
    world.poller.register(stream, lambda: None)
    handshake = Handshake(Side.INITIATOR, hello_of(peer, CLUSTER), KEYRING)
    stream.send(handshake.begin().send)
    outcome = None
    while outcome is None:
        world.poller.poll(0.01)
        with contextlib.suppress(BlockingIOError):
            step = handshake.receive(stream.recv(4096))
            if step.send:
                stream.send(step.send)
            outcome = step.outcome
    world.poller.unregister(stream)
    assert isinstance(outcome, Established)
    return a, peer, stream, outcome.session


def is_closed(stream):
    with contextlib.suppress(BlockingIOError, ConnectionResetError):
        while data := stream.recv(65536):
            assert data
        return True
    return False


@pytest.mark.parametrize(
    "harm",
    [
        lambda session: struct.pack(">I", 2**31),
        lambda session: struct.pack(">I", 40) + bytes(40),
        lambda session: session.seal(b"no JSON"),
        lambda session: session.seal(b'{"type": "heartbeat"}'),
        lambda session: session.seal(b'{"type": "report"}'),
    ],
    ids=["length", "seal", "json", "field", "report"],
)
def test_a_node_that_sends_what_it_must_not_is_dropped_and_the_others_stay(world, harm, caplog):
    a, peer, stream, session = linked(world)
    b = world.side("c", 3)
    a.mesh.handle(events.AddressFound(b.own.address))
    stream.send(session.seal(LINK.encode(introduction_of(peer))))
    world.until(lambda: sorted(a.saw(events.NodeUp)) == ["b", "c"])
    a.mesh._on_message = lambda _, fields: COORDINATION.from_wire(fields)
    stream.send(harm(session))
    world.until(lambda: a.saw(events.NodeSuspected) == ["b"])
    world.until(lambda: is_closed(stream))
    world.run(0.5)
    assert a.saw(events.NodeDown) in ([], ["b"])
    assert [member.name for member in a.mesh.membership.members() if member.name == "c"] == ["c"]
    assert caplog.text.count("link_broken") == 1
    stream.close()


def test_whoever_introduces_itself_as_another_than_in_the_handshake_is_dropped(world):
    a, _, stream, session = linked(world)
    stream.send(session.seal(LINK.encode(introduction_of(a.own))))
    world.until(lambda: is_closed(stream))
    assert a.changes == []
    stream.close()


def test_whoever_says_something_before_it_introduces_itself_is_dropped(world):
    a, _, stream, session = linked(world)
    stream.send(session.seal(LINK.encode(Leave())))
    world.until(lambda: is_closed(stream))
    assert a.changes == []
    stream.close()


def test_whoever_never_introduces_itself_is_dropped(world):
    a, _, stream, _ = linked(world)
    world.until(lambda: is_closed(stream))
    assert a.changes == []
    assert not a.mesh.is_dialling
    stream.close()


def test_an_unknown_message_of_a_newer_node_is_passed_over(world):
    a, peer, stream, session = linked(world)
    stream.send(session.seal(LINK.encode(introduction_of(peer))))
    stream.send(session.seal(b'{"type": "news_of_tomorrow", "x": [1]}'))
    world.until(lambda: a.messages)
    assert a.saw(events.NodeSuspected) == []
    stream.close()


def test_a_beacon_that_dies_before_it_has_spoken_is_asked_again_at_once(world):
    a = world.side("a", 1)

    def measure():
        listener, address = listening()
        hung_up = []

        def hang_up():
            hung_up.append(clock.monotonic())
            listener.accept()[0].close()

        world.poller.register(listener, hang_up)
        a.mesh.handle(events.AddressFound(address))
        world.until(lambda: len(hung_up) >= 3)
        world.poller.unregister(listener)
        listener.close()
        return hung_up[2] - hung_up[0]

    assert shortest(measure, FAST.redial_least) < FAST.redial_least


def test_a_leave_is_told_before_the_link_is_closed(world):
    a, b = world.side("a", 1), world.side("b", 2)
    a.mesh.handle(events.AddressFound(b.own.address))
    world.until(lambda: a.saw(events.NodeUp) and b.saw(events.NodeUp))
    b.mesh.handle(events.LeaveRequested())
    world.until(lambda: a.saw(events.NodeLeft) == ["b"])
    world.until(lambda: not b.mesh.is_linked)
    assert a.saw(events.NodeSuspected) == []


def test_a_dial_that_ends_before_a_word_asks_to_be_woken_for_its_next_try(world):
    """So a node that is just going is not waited for until something else happens."""
    party = world.side("a")
    listener, address = listening()
    with listener:
        party.mesh.handle(events.AddressFound(address))
        world.until(lambda: listener in select.select([listener], [], [], 0)[0])
        listener.accept()[0].close()
        party.wakes.clear()
        deadline = clock.monotonic() + 10
        while not party.wakes:
            assert clock.monotonic() < deadline
            world.poller.poll(0.1)
    assert min(party.wakes) < clock.elapsed() + 0.1
    world.until(lambda: not party.mesh.is_dialling)


def test_two_nodes_of_one_name_say_so_once_and_do_not_dial_in_a_circle(world, caplog):
    old, third = world.side("twin", 1, node_id="id-old"), world.side("third", 2)
    old.mesh.handle(events.AddressFound(third.own.address))
    world.until(lambda: third.saw(events.NodeUp) == ["twin"])
    new = world.side("twin", 3, node_id="id-new")
    new.mesh.handle(events.AddressFound(third.own.address))
    world.until(lambda: third.saw(events.NodeUp) == ["twin", "twin"])
    new.mesh.handle(events.AddressFound(old.own.address))
    old.mesh.handle(events.AddressFound(new.own.address))
    world.until(lambda: caplog.text.count("name_taken") == 2)
    world.run(2.0)
    assert caplog.text.count("name_taken") == 2
    assert len(old.changes) < 10
    assert len(third.beacon.streams) < 20


class Forgetful:
    """Stands for membership: has one address dialled anew when a dial of another is over."""

    def __init__(self, when, anew):
        self.when, self.anew = when, anew
        self.taken: list[Any] = []

    def handle(self, event, *, now):
        self.taken.append(event)
        is_it = event == events.DialTimedOut(self.when)
        return [events.Dial(self.anew, 60.0)] if is_it else []

    def next_deadline(self):
        return None


def test_a_dial_whose_place_another_has_taken_meanwhile_is_over(world):
    party = world.side("a")
    listener, silent = listening()
    with listener:
        first, second = Address("127.0.0.2", silent.port), silent
        forgetful = party.mesh.membership = Forgetful(first, second)
        party.mesh._dial(first, 0.0)
        party.mesh._dial(second, 0.0)
        party.mesh.tick()
        assert forgetful.taken == [events.DialTimedOut(first)]
        assert list(party.mesh._dials) == [second]


def test_a_node_without_descriptors_dials_later(world):
    party, other = world.side("a"), world.side("b")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        party.mesh.handle(events.AddressFound(other.own.address))
        party.mesh.tick()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert party.changes == []
    world.until(lambda: party.saw(events.NodeUp) == ["b"])
