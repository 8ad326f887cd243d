"""A real beacon, among real strangers: none of them hurts it, and whoever belongs to it gets in."""

import contextlib
import os
import pickle
import resource
import signal
import socket
import struct
import threading
from collections import deque
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest

from beethoven import ChildSpec, Supervisor, clock, whereis
from beethoven.cluster.addresses import Address
from beethoven.cluster.beacon_server import NAME, BeaconArgs, BeaconServer
from beethoven.cluster.handshake import Established, Handshake, Refused, SelfConnection, Side
from beethoven.cluster.hello import hello_of
from beethoven.cluster.keyring import Keyring
from beethoven.cluster.member import Member
from beethoven.cluster.messages import HANDSHAKE, Hello, Proof
from beethoven.cluster.wire import LONGEST, FrameDecoder, frame
from beethoven.runtime.here import here
from beethoven.runtime.unixsocket import listen
from tests.integration.cluster.beacon_parts import Core, LoggedBeacon, PortHolder, descriptors
from tests.integration.roles import Puppet
from tests.processes import end, wait_until

pytestmark = pytest.mark.process

CLUSTER = "orchestra"
COOKIE = b"a cookie of the tests, quite long"
OWN = Member("beacon-1", "viola", Address("127.0.0.1", 33000), 1)
SEEKER = Member("seeker-1", "cello", Address("127.0.0.1", 33001), 1)
# Within which a seeker is served, also under attack, on a machine that is busy with other tests.
PATIENCE = 6.0
# Between two knocks on the port while nobody accepts: what waits there must not be all that may.
PAUSE = 0.005


class World:
    """A beacon and its neighbours, and what a stranger can do to it."""

    def __init__(self, folder, *, core=True):
        self.log_path = folder / "beacon.log"
        args = (str(self.log_path), BeaconArgs(OWN, CLUSTER, Keyring((COOKIE,))))
        children = [
            ChildSpec("root", PortHolder, name="port_holder"),
            *([ChildSpec("core", Core, name="core")] if core else []),
            ChildSpec("beacon", LoggedBeacon, args, name=NAME),
        ]
        self.tree = Supervisor.start_link(children, max_restarts=100)
        self.port = the("port_holder").call("port")

    @property
    def pid(self):
        return the(NAME).pid

    @property
    def core_pid(self):
        return the("core").pid

    def has_new_beacon(self, before):
        ref = whereis(NAME)
        return ref is not None and ref.pid != before

    def links(self):
        return the("core").call("links")

    def open_links(self):
        return the("core").call("open")

    def log(self):
        return self.log_path.read_text("utf-8")

    def connect(self):
        stream = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return stream

    def seek(self, stream=None, *, cookie=COOKIE, cluster=CLUSTER, pieces=0, **changes):
        """Run a whole handshake; return the stream and what came of it."""
        stream = stream or self.connect()
        hello = replace(hello_of(SEEKER, cluster), **changes)
        handshake = Handshake(Side.INITIATOR, hello, Keyring((cookie,)))
        step = handshake.begin()
        try:
            while True:
                for piece in cut(step.send, pieces):
                    stream.sendall(piece)
                if step.outcome is not None:
                    return stream, step.outcome
                step = handshake.receive(stream.recv(4096))
        except BaseException:
            stream.close()
            raise

    def served(self, name="cello"):
        """Serve a seeker up to an answer of the core; return the seconds that it took."""
        began = clock.monotonic()
        stream, outcome = self.seek(name=name)
        with stream:
            assert isinstance(outcome, Established), outcome
            assert echo(stream, outcome) == b"echo hello"
        return clock.monotonic() - began

    def close(self):
        self.tree.stop()


def the(name):
    """Return the process of that name."""
    ref = whereis(name)
    assert ref is not None, name
    return ref


def cut(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)] if size else [data]


def echo(stream, established):
    stream.sendall(established.session.seal(b"hello"))
    decoder = FrameDecoder(LONGEST)
    decoder.feed(established.rest)
    while (body := decoder.next_frame()) is None:
        data = stream.recv(4096)
        assert data, "closed"
        decoder.feed(data)
    return established.session.open(body)


def ends(stream):
    """Return all that comes until the other side closes; fail if it does not in time."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while data := stream.recv(4096):
            said += data
    return said


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def lonely(tmp_path):
    """A beacon whose core is not there."""
    made = World(tmp_path, core=False)
    yield made
    made.close()


@pytest.fixture
def unhurt(world):
    """Fails if the test has cost the beacon or the core its life, or a descriptor."""
    world.served()
    before = world.pid, world.core_pid
    wait_until(lambda: "link_passed" in world.log() and not world.open_links())
    opened = [descriptors(pid) for pid in before]
    yield
    assert world.served() < PATIENCE
    assert (world.pid, world.core_pid) == before

    def leaked():
        return [descriptors(pid) - old for pid, old in zip(before, opened, strict=True)]

    with contextlib.suppress(AssertionError):
        wait_until(lambda: not any(leaked()), 5)
    assert leaked() == [set(), set()]


def test_a_seeker_gets_in_and_its_link_reaches_the_core(world, unhurt):
    stream, outcome = world.seek()
    with stream:
        assert isinstance(outcome, Established)
        assert outcome.peer.name == "viola"
        assert echo(stream, outcome) == b"echo hello"
        assert echo(stream, outcome) == b"echo hello"
    # Not inherited by programs, not blocking, no delay.
    assert world.links()[-1] == ("cello", False, False, 1)


def test_frames_sent_right_behind_the_handshake_are_not_lost(world):
    hello = hello_of(SEEKER, CLUSTER)
    with world.connect() as stream:
        handshake = Handshake(Side.INITIATOR, hello, Keyring((COOKIE,)))
        stream.sendall(handshake.begin().send)
        step = handshake.receive(stream.recv(4096))
        # What stands behind the proof is no frame of the session: the core is to see that.
        stream.sendall(step.send + b"\0\0\0")
        step = handshake.receive(stream.recv(4096))
        assert isinstance(step.outcome, Established)
        sealed = step.outcome.session.seal(b"hello")
        assert sealed[:3] == b"\0\0\0"
        stream.sendall(sealed[3:])
        decoder = FrameDecoder(LONGEST)
        while (body := decoder.next_frame()) is None:
            decoder.feed(stream.recv(4096))
        assert step.outcome.session.open(body) == b"echo hello"


@pytest.mark.parametrize("size", [1, 7, 100])
def test_d26_a_message_in_many_segments_is_one_message(world, unhurt, size):
    stream, outcome = world.seek(pieces=size)
    with stream:
        assert isinstance(outcome, Established)
        assert echo(stream, outcome) == b"echo hello"


def test_d26_a_message_in_two_segments_is_one_message(world, unhurt):
    data = frame(HANDSHAKE.encode(hello_of(SEEKER, CLUSTER)))
    with world.connect() as stream:
        stream.sendall(data[:100])
        assert world.served() < PATIENCE
        stream.sendall(data[100:])
        decoder = FrameDecoder(1024)
        decoder.feed(stream.recv(4096))
        hello = HANDSHAKE.decode(decoder.next_frame() or b"")
        assert isinstance(hello, Hello)
        assert hello.name == "viola"


def test_d26_500_silent_connections_keep_no_seeker_waiting(world, unhurt):
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(world.connect()) for _ in range(500)]
        for _ in range(5):
            assert world.served() < PATIENCE
        assert len(descriptors(world.pid)) < 300
        for stream in silent:
            assert ends(stream) == b""
    assert world.log().count("seeker_refused") == 2  # busy, timeout
    assert "code=timeout" in world.log()


def flood_with_silence(world, stopping):
    kept: deque[socket.socket] = deque()
    while not stopping.is_set():
        with contextlib.suppress(OSError):
            kept.append(world.connect())
        if len(kept) > 400:
            kept.popleft().close()
    for stream in kept:
        stream.close()


def flood_with_garbage(world, stopping):
    while not stopping.is_set():
        with contextlib.suppress(OSError):
            say(world, b"GET / HTTP/1.1\r\n\r\n")


def flood_with_false_seekers(world, stopping):
    while not stopping.is_set():
        with contextlib.suppress(OSError):
            world.seek(cookie=b"another cookie, as long as it is")[0].close()


def served_at_last(world):
    """Serve a seeker that tries again when it has had to make room, as a node does."""
    began = clock.monotonic()
    while True:
        with contextlib.suppress(AssertionError, OSError):
            world.served()
            return clock.monotonic() - began
        assert clock.monotonic() - began < PATIENCE


@pytest.mark.parametrize(
    "attack", [flood_with_silence, flood_with_garbage, flood_with_false_seekers]
)
def test_seekers_are_served_while_others_attack(world, unhurt, attack):
    stopping = threading.Event()
    thread = threading.Thread(target=attack, args=(world, stopping))
    thread.start()
    try:
        for _ in range(20):
            assert served_at_last(world) < PATIENCE
    finally:
        stopping.set()
        thread.join()


def say(world, data, *, half_close=True):
    with world.connect() as stream, contextlib.suppress(ConnectionError):
        stream.sendall(data)
        if half_close:
            stream.shutdown(socket.SHUT_WR)
        return ends(stream)


GARBAGE = {
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "zeros": bytes(5000),
    "noise": bytes(range(256)) * 200,
    "length of gigabytes": b"\xff\xff\xff\xff" + bytes(1000),
    "no JSON": frame(b"{" * 500),
    "deep JSON": frame(b'{"type":' + b"[" * 900),
    "pickle": frame(pickle.dumps(OWN, 5)),
    "proof first": frame(HANDSHAKE.encode(Proof(bytes(32)))),
    "unknown messages": frame(b'{"type":"x"}') * 100,
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_harms_nobody(world, unhurt, garbage):
    for _ in range(30):
        assert b"viola" not in (say(world, garbage, half_close=False) or b"")
    assert world.served() < PATIENCE
    assert world.log().count("seeker_refused") == 1


def test_d4_a_search_for_open_ports_brings_nothing_down_and_is_not_logged(world, unhurt):
    for _ in range(112):
        world.connect().close()
    for _ in range(112):
        with world.connect() as stream:
            # Closed with a reset instead of an end.
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert world.served() < PATIENCE
    assert "seeker_refused" not in world.log()


def test_d3_valid_and_malformed_requests_one_after_the_other_bring_nothing_down(world, unhurt):
    for number in range(30):
        assert world.served(f"cello-{number}") < PATIENCE
        say(world, frame(b'{"type":"hello"}'))
    assert len(world.links()) == 31


def test_a_handshake_that_is_cut_anywhere_harms_nobody(world, unhurt):
    first = frame(HANDSHAKE.encode(hello_of(SEEKER, CLUSTER)))
    for size in range(len(first)):
        say(world, first[:size])
    for size in range(len(frame(HANDSHAKE.encode(Proof(bytes(32)))))):
        with world.connect() as stream:
            handshake = Handshake(Side.INITIATOR, hello_of(SEEKER, CLUSTER), Keyring((COOKIE,)))
            stream.sendall(handshake.begin().send)
            stream.sendall(handshake.receive(stream.recv(4096)).send[:size])
    assert len(world.links()) == 1


def test_the_question_of_a_locator_is_answered_and_not_logged(world, unhurt):
    for _ in range(3):
        with world.connect() as stream:
            stream.sendall(frame(HANDSHAKE.encode(hello_of(SEEKER, CLUSTER))))
            assert b"viola" in stream.recv(4096)
    wait_until(lambda: world.log().count("seeker_left") == 3)
    assert "seeker_refused" not in world.log()


def test_one_that_sends_a_byte_now_and_then_is_refused_after_its_time(world, unhurt):
    began = clock.monotonic()
    with world.connect() as stream, contextlib.suppress(ConnectionError):
        stream.sendall(b"\0\0\1\0")
        for _ in range(100):
            stream.sendall(b" ")
            stream.settimeout(0.1)
            with contextlib.suppress(TimeoutError):
                if stream.recv(4096) == b"":
                    break
    assert 1.5 < clock.monotonic() - began < 2 + PATIENCE
    assert "code=timeout" in world.log()


@pytest.mark.parametrize(
    ("changes", "code", "told"),
    [
        ({"cookie": b"another cookie, as long as it is"}, "wrong_cookie", "not know that cookie"),
        ({"cluster": "quartet"}, "wrong_cluster", "belongs to another cluster"),
        ({"protocol_min": 98, "protocol_max": 99}, "wrong_version", "speaks protocols 1 to 1"),
        ({"node_id": OWN.node_id, "incarnation": 7}, "duplicate_id", "goes by the same id"),
    ],
)
def test_whoever_does_not_belong_here_is_told_why_and_so_is_the_log(
    world, unhurt, changes, code, told
):
    for _ in range(20):
        stream, outcome = world.seek(**changes)
        with stream:
            assert isinstance(outcome, Refused)
            assert outcome.code == code
            assert told in outcome.text
            assert stream.recv(100) == b""
    assert world.log().count("seeker_refused") == 1
    assert f"seeker_refused host=127.0.0.1 code={code} text=" in world.log()
    assert COOKIE.decode() not in world.log()


def test_a_refusal_arrives_though_its_receiver_goes_on_talking(world, unhurt):
    hello = replace(hello_of(SEEKER, CLUSTER), cluster="quartet")
    with world.connect() as stream:
        stream.sendall(frame(HANDSHAKE.encode(hello)))
        assert stream.recv(1, socket.MSG_PEEK)
        for _ in range(20):
            stream.sendall(bytes(1000))
            threading.Event().wait(0.005)
        assert b"belongs to another cluster" in ends(stream)


def test_a_node_that_dials_itself_is_told_so_and_not_logged(world, unhurt):
    stream, outcome = world.seek(node_id=OWN.node_id, incarnation=OWN.incarnation)
    stream.close()
    assert isinstance(outcome, SelfConnection)
    assert "seeker_refused" not in world.log()


def test_d22_a_stranger_learns_nothing(world, unhurt):
    assert say(world, b"nodes?\n") == b""
    assert say(world, frame(b'{"type":"nodes"}')) == b""
    hello = replace(hello_of(SEEKER, CLUSTER), cluster="quartet")
    refusal = say(world, frame(HANDSHAKE.encode(hello)))
    assert refusal
    for secret in (OWN.name, OWN.node_id, CLUSTER, "cello"):
        assert secret.encode() not in refusal


def test_d23_a_seeker_cannot_make_the_node_dial_anybody(world, unhurt):
    with socket.create_server(("127.0.0.1", 0)) as bait:
        bait.setblocking(False)
        address = f"127.0.0.1:{bait.getsockname()[1]}"
        stream, outcome = world.seek(address=address)
        with stream:
            assert isinstance(outcome, Established)
            assert echo(stream, outcome) == b"echo hello"
        stream, outcome = world.seek(address=address, cookie=b"another cookie, as long as it is")
        stream.close()
        assert isinstance(outcome, Refused)
        assert world.served() < PATIENCE
        with pytest.raises(BlockingIOError):
            bait.accept()


def test_d24_the_cookie_alone_makes_nobody_a_member(world, unhurt):
    before = len(world.links())
    say(world, COOKIE)
    say(world, frame(COOKIE))
    say(world, frame(HANDSHAKE.encode(Proof(COOKIE[:32]))))
    stream, outcome = world.seek(cluster="quartet")
    stream.close()
    assert isinstance(outcome, Refused)
    assert len(world.links()) == before


def test_d25_names_from_the_wire_are_not_kept(world, unhurt):
    def ask(number):
        own = replace(SEEKER, name=f"stranger-{number}", node_id=f"id-{number}")
        hello = hello_of(own, CLUSTER)
        say(world, frame(HANDSHAKE.encode(hello)))

    beacon = psutil.Process(world.pid)
    for number in range(200):
        ask(number)
    before = beacon.memory_info().rss
    for number in range(200, 2200):
        ask(number)
    assert beacon.memory_info().rss - before < 2_000_000


def test_d5_the_port_stays_open_while_the_beacon_is_killed_again_and_again(world):
    stopping, refused, count = threading.Event(), [], 0

    def knock():
        nonlocal count
        while not stopping.wait(PAUSE):
            try:
                world.connect().close()
            except OSError as error:
                refused.append(error)
            count += 1

    def has_knocked(times):
        return count >= times

    thread = threading.Thread(target=knock)
    thread.start()
    try:
        for _ in range(6):
            before, knocked = world.pid, count
            os.kill(before, signal.SIGKILL)
            # The kernel lets the seeker in; the successor answers it.
            with world.connect() as stream:
                stream.settimeout(20)
                stream.sendall(frame(HANDSHAKE.encode(hello_of(SEEKER, CLUSTER))))
                with contextlib.suppress(ConnectionError):
                    stream.recv(4096)
            wait_until(partial(world.has_new_beacon, before), 20)
            assert world.served() < 20
            wait_until(partial(has_knocked, knocked + 3))
    finally:
        stopping.set()
        thread.join()
    assert refused == []


def test_links_outlive_the_beacon(world):
    stream, outcome = world.seek()
    with stream:
        assert echo(stream, outcome) == b"echo hello"
        os.kill(world.pid, signal.SIGKILL)
        assert echo(stream, outcome) == b"echo hello"


def test_a_link_that_nobody_takes_is_closed_at_once(lonely):
    lonely.connect().close()
    wait_until(lambda: "seeker_left" in lonely.log())
    opened = descriptors(lonely.pid)
    for _ in range(10):
        stream, outcome = lonely.seek()
        with stream:
            assert isinstance(outcome, Established)
            assert ends(stream) == b""
    assert lonely.log().count("link_not_passed") == 1
    wait_until(lambda: descriptors(lonely.pid) <= opened)


def test_a_frozen_core_delays_no_handshake_and_its_links_are_closed(world, unhurt):
    core = world.core_pid
    os.kill(core, signal.SIGSTOP)
    try:
        began = clock.monotonic()
        links = [world.seek() for _ in range(20)]
        assert all(isinstance(outcome, Established) for _, outcome in links)
        # To wait for the core would take a second for each.
        assert clock.monotonic() - began < PATIENCE
        for stream, _ in links:
            with stream:
                assert ends(stream) == b""
        assert 0.8 < clock.monotonic() - began < 2 * PATIENCE
    finally:
        os.kill(core, signal.SIGCONT)
    assert len(world.links()) == 1


def test_when_no_descriptor_is_left_the_beacon_goes_on(world, unhurt):
    pid = world.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    few = len(descriptors(pid)) + 10
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (few, limits[1]))
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(world.connect())
        for _ in range(3):
            assert world.served() < PATIENCE
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def test_when_not_even_one_descriptor_is_left_seekers_wait(world, unhurt):
    pid = world.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    with world.connect() as stream:
        wait_until(lambda: "accepting_paused" in world.log())
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        _, outcome = world.seek(stream)
        assert isinstance(outcome, Established)


def test_a_beacon_without_a_root_does_not_start():
    puppet = Puppet.start_link()
    with pytest.raises(FileNotFoundError):
        BeaconServer.start_link(BeaconArgs(OWN, CLUSTER, Keyring((COOKIE,))), name=NAME)
    end(puppet)


def established():
    """Return both ends of a session, without a handshake."""
    left = Handshake(Side.INITIATOR, hello_of(SEEKER, CLUSTER), Keyring((COOKIE,)))
    right = Handshake(Side.RESPONDER, hello_of(OWN, CLUSTER), Keyring((COOKIE,)))
    first = right.receive(left.begin().send)
    second = right.receive(left.receive(first.send).send)
    return left.receive(second.send).outcome, second.outcome


def framed(data):
    return struct.pack(">I", len(data)) + data


def garbage_at_the_desk():
    link = pickle.dumps(established()[1], 5)
    null = Path(os.devnull)
    with null.open("rb") as file, socket.socket() as stream:
        yield [], b""
        yield [], b"x"
        yield [], b"GET / HTTP/1.1\r\n\r\n"
        yield [], framed(link)  # no socket
        yield [file.fileno()], framed(link)  # no socket either
        yield [stream.fileno()], framed(link)[:-1]
        yield [stream.fileno()], framed(link) + b"x"
        yield [stream.fileno()] * 5, framed(b"no pickle")
        yield [stream.fileno()], framed(pickle.dumps("no link"))
        yield [stream.fileno()], b"\xff\xff\xff\xff"


def test_garbage_at_the_desk_and_at_the_listener_harms_nobody(world, unhurt):
    before = len(world.links())
    for door in ("links", "listener"):
        for descriptors_sent, data in garbage_at_the_desk():
            with socket.socket(socket.AF_UNIX) as stream:
                stream.settimeout(PATIENCE)
                stream.connect(f"{here.folder}/{door}")
                with contextlib.suppress(ConnectionError):
                    if data:
                        socket.send_fds(stream, [data], descriptors_sent)
                    stream.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionError):
                    while stream.recv(100):
                        continue
    assert len(world.links()) == before


def test_many_silent_ones_at_the_desk_keep_no_link_waiting(world, unhurt):
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stream = stack.enter_context(socket.socket(socket.AF_UNIX))
            stream.connect(f"{here.folder}/links")
        assert world.served() < PATIENCE
        assert len(descriptors(world.core_pid)) < 100


def test_a_core_without_descriptors_turns_links_away_and_does_not_spin(world, unhurt):
    pid, core = world.core_pid, psutil.Process(world.core_pid)
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(descriptors(pid)) + 8, limits[1]))
    with contextlib.ExitStack() as stack:
        answers = []
        for _ in range(20):
            stream = stack.enter_context(socket.socket(socket.AF_UNIX))
            stream.settimeout(PATIENCE)
            stream.connect(f"{here.folder}/links")
            answers.append(stream.recv(1))
        assert answers[0] == b"r"
        assert answers[-1] == b""
        before = sum(core.cpu_times()[:2])
        stream, outcome = world.seek()
        with stream:
            assert isinstance(outcome, Established)
            assert ends(stream) == b""
        threading.Event().wait(0.5)
        assert sum(core.cpu_times()[:2]) - before < 0.3
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def test_a_core_that_falls_silent_with_a_link_in_its_hands_has_it_closed(lonely):
    with listen(f"{here.folder}/links") as desk, lonely.connect() as stream:
        desk.settimeout(PATIENCE)
        began = clock.monotonic()
        lonely.seek(stream)
        passing, _ = desk.accept()
        with passing:
            passing.sendall(b"r")
            _, [descriptor], _, _ = socket.recv_fds(passing, 4096, 1)
            assert ends(stream) == b""
            assert 0.5 < clock.monotonic() - began < PATIENCE
            os.close(descriptor)
    Path(f"{here.folder}/links").unlink()
