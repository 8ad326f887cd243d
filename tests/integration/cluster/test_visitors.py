"""Visitors of real processes, by way of a real beacon, with a client's side written by hand."""

import contextlib
import os
import pickle
import signal
import socket
import threading
from pathlib import Path

import psutil
import pytest

from beethoven import ChildSpec, DynamicSupervisor, Supervisor, clock, debug
from beethoven.cluster import reception
from beethoven.cluster.addresses import Address
from beethoven.cluster.beacon_server import CORE_SERVER, NAME, BeaconArgs
from beethoven.cluster.directory import decode
from beethoven.cluster.handshake import Established, Refused
from beethoven.cluster.hello import hello_of
from beethoven.cluster.keyring import Keyring
from beethoven.cluster.member import Member
from beethoven.cluster.messages import Purpose, RefusalCode
from beethoven.cluster.reception import hand
from beethoven.cluster.sealed import SealedReader, seal
from beethoven.cluster.session import Session
from beethoven.node.component_names import (
    ALLOCATOR,
    GROUPS,
    NAMESPACE,
    ROLE_SERVER,
    ROLE_SUPERVISOR,
    ROOT,
    TASK_SUPERVISOR,
    VISITORS,
)
from beethoven.node.settings import NodeSettings
from beethoven.runtime import framing, names, owner, unixsocket
from beethoven.runtime.here import here
from beethoven.runtime.reason import NORMAL, SHUTDOWN
from tests.integration import roles
from tests.integration.cluster import visited_roles
from tests.integration.cluster.beacon_parts import LoggedBeacon, PortHolder, descriptors
from tests.integration.cluster.visited_roles import Directing, LoggedPuppet
from tests.integration.cluster.visiting import CLUSTER, COOKIE, VISITOR, Visit
from tests.integration.roles import AsyncPuppet, Puppet
from tests.nodes import ONE_ROLE, node
from tests.processes import holder_of, is_running, wait_until

pytestmark = pytest.mark.process

OWN = Member("beacon-1", "viola", Address("127.0.0.1", 33000), 1)
DEFAULT_CLUSTER = NodeSettings(Path("none")).cluster
MEGABYTE = 1 << 20
# Within which something is noticed, on a machine that is busy with other tests.
SOON = 5.0


class World:
    """A beacon, a role that is visited, and another one."""

    def __init__(self, folder):
        owner.open_tree([])
        here.context = {"visitors": VISITORS}
        self.folder = folder
        beacon = (str(folder / "beacon.log"), BeaconArgs(OWN, CLUSTER, Keyring((COOKIE,))))
        children = [
            ChildSpec("root", PortHolder, name="port_holder"),
            ChildSpec("puppet", LoggedPuppet, str(folder / "puppet.log"), name="puppet"),
            ChildSpec("other", Puppet, name="other"),
            ChildSpec("component", Puppet, name="beethoven.component"),
            ChildSpec("groups", Puppet, name="beethoven.groups"),
            ChildSpec("beacon", LoggedBeacon, beacon, name=NAME),
        ]
        self.tree = Supervisor.start_link(children, max_restarts=100)
        self.port = holder_of("port_holder").call("port")

    @property
    def puppet(self):
        return holder_of("puppet")

    @property
    def beacon(self):
        return holder_of(NAME)

    def visit(self, target="puppet", **options):
        return Visit(self.port, target, **options)

    def log(self, of="puppet"):
        return (self.folder / f"{of}.log").read_text("utf-8")

    def serves(self):
        """Whether everything is well, and the role has no other visitor."""
        with self.visit() as visit:
            first = visit.frame()
            if first is None or first[0] != framing.WELCOME:
                return False
            return visit.call((roles.answer, "well")) == "well"

    def has_no_visitors(self):
        # This test itself is one caller.
        return self.puppet.call((visited_roles.callers,)) == 1

    def close(self):
        self.tree.stop()
        here.context = {}


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def unhurt(world):
    """Fails if the test has cost the beacon or the role its life, or a descriptor."""
    assert world.serves()
    wait_until(world.has_no_visitors)
    before = world.beacon.pid, world.puppet.pid
    opened = [descriptors(pid) for pid in before]
    yield
    assert world.serves()
    assert (world.beacon.pid, world.puppet.pid) == before

    def leaked():
        return [descriptors(pid) - old for pid, old in zip(before, opened, strict=True)]

    with contextlib.suppress(AssertionError):
        wait_until(lambda: not any(leaked()), SOON)
    assert leaked() == [set(), set()]
    wait_until(world.has_no_visitors)


def absent(visit):
    """Return what the beacon says of a process that is not there; it must be its last word."""
    kind, _, payload = visit.frame()
    assert kind == framing.ABSENT
    assert visit.frame() is None
    return payload.decode()


def test_a_call_reaches_the_role_and_its_reply_comes_back(world, unhurt):
    with world.visit() as visit:
        visit.welcomed()
        assert visit.call((roles.answer, "hello")) == "hello"
        pid, name = visit.call((visited_roles.name_of_caller,))
        assert pid < 0
        assert name.startswith("visitor client at 127.0.0.1:")


def test_a_process_is_visited_by_its_identity(world, unhurt):
    with world.visit(world.puppet.identity, purpose=Purpose.PROCESS) as visit:
        assert visit.welcomed().call((roles.pid,)) == world.puppet.pid


def test_messages_of_all_kinds_keep_their_order(world, unhurt):
    with world.visit() as visit:
        visit.welcomed()
        for number in range(100):
            visit.cast((roles.note, number))
        visit.send(framing.INFO, pickle.dumps("plain"))
        assert visit.call((roles.seen,)) == [*range(100), "plain"]


def test_replies_may_come_later_and_from_another_process(world):
    with world.visit() as visit, world.visit() as second:
        visit.welcomed()
        later = visit.ask((roles.defer,))
        assert second.welcomed().call((roles.kept_callers,)) == 1
        assert second.call((roles.answer_deferred, "late")) is None
        assert visit.answer(later) == "late"
        assert visit.call((visited_roles.pass_on, "other")) == "from other"


def test_a_large_request_has_a_large_reply(world, unhurt):
    payload = os.urandom(MEGABYTE) * 50
    with world.visit() as visit:
        visit.welcomed()
        number = visit.ask((roles.answer, payload))
        assert visit.answer(number) == payload
        assert visit.call((roles.answer, "next")) == "next"


def test_a_hundred_visitors_at_once(world, unhurt):
    with contextlib.ExitStack() as stack:
        visits = [stack.enter_context(world.visit()) for _ in range(100)]
        numbers = [each.welcomed().ask((roles.answer, at)) for at, each in enumerate(visits)]
        answers = [each.answer(at) for each, at in zip(visits, numbers, strict=True)]
        assert answers == list(range(100))


def test_a_busy_role_lets_its_visitors_wait(world, unhurt):
    with world.visit() as first:
        number = first.welcomed().ask((roles.answer_after, 2.0, "done"))
        with world.visit(patience=0.2) as second:
            with pytest.raises(TimeoutError):
                second.frame()
            # It waits on after all.
            second.stream.settimeout(SOON)
            assert first.answer(number) == "done"
            assert second.welcomed().call((roles.answer, "at last")) == "at last"


def test_a_frozen_role_finds_out_that_its_visitors_have_gone(world, unhurt):
    pid = world.puppet.pid
    with world.visit() as before:
        before.welcomed()
        os.kill(pid, signal.SIGSTOP)
        try:
            visits = [world.visit(patience=0.2) for _ in range(5)]
            for each in visits:
                with pytest.raises(TimeoutError):
                    each.frame()
                each.close()
            number = before.ask((roles.answer, "thawed"))
        finally:
            os.kill(pid, signal.SIGCONT)
        assert before.answer(number) == "thawed"


def test_the_end_of_a_killed_role_is_seen_at_once(world):
    with world.visit() as visit:
        visit.welcomed()
        visit.ask((roles.sleep, 60))
        wait_until(lambda: psutil.Process(world.puppet.pid).status() == psutil.STATUS_SLEEPING)
        began = clock.monotonic()
        os.kill(world.puppet.pid, signal.SIGKILL)
        assert visit.ends() == []
        assert clock.monotonic() - began < SOON
    wait_until(world.serves)


def test_an_orderly_end_is_told_with_its_reason_after_the_last_reply(world):
    with world.visit() as visit:
        visit.welcomed()
        number = visit.ask((roles.end_with_large_reply, 20 * MEGABYTE))
        assert visit.answer(number) == bytes(20 * MEGABYTE)
        kind, _, payload = visit.frame()
        assert (kind, pickle.loads(payload)) == (framing.EXIT, NORMAL)
        assert visit.ends() == []


def test_the_last_reply_arrives_also_if_the_visitor_has_said_more_meanwhile(world):
    with world.visit() as visit:
        visit.welcomed()
        number = visit.ask((roles.end_with_large_reply, 20 * MEGABYTE))
        visit.cast((roles.note_long, 1, bytes(MEGABYTE)))
        assert visit.answer(number) == bytes(20 * MEGABYTE)
        assert visit.ends() == [framing.EXIT]


def test_a_visitor_can_stop_a_role_and_send_it_an_exit_signal(world):
    for way, message in [
        (framing.STOP, SHUTDOWN),
        (framing.EXIT_SIGNAL, (None, SHUTDOWN)),
    ]:
        wait_until(world.serves)
        with world.visit() as visit:
            visit.welcomed().send(way, pickle.dumps(message, 5))
            kind, _, payload = visit.frame()
            assert (kind, pickle.loads(payload)) == (framing.EXIT, SHUTDOWN)


def test_an_exit_signal_is_from_nobody_of_this_tree(world, unhurt):
    claimed = (holder_of("other"), SHUTDOWN)
    with world.visit() as visit:
        visit.welcomed().call((roles.trap,))
        visit.send(framing.EXIT_SIGNAL, pickle.dumps(claimed, 5))
        (message,) = visit.call((roles.seen,))
        assert message.reason == SHUTDOWN
        assert message.ref.identity == ""
        assert "client at 127.0.0.1" in message.ref.name


def test_an_exit_signal_that_cannot_be_opened_is_none(world, unhurt):
    with world.visit() as visit:
        visit.welcomed().send(framing.EXIT_SIGNAL, pickle.dumps(roles.ExitsElsewhere(), 5))
        assert visit.call((roles.answer, 1)) == 1


def test_established_conversations_outlive_the_beacon(world):
    with world.visit() as visit:
        visit.welcomed()
        before = world.beacon.pid
        os.kill(before, signal.SIGKILL)
        assert visit.call((roles.answer, "still here")) == "still here"
        wait_until(lambda: not is_running(before))
        wait_until(world.serves)
        assert visit.call((roles.answer, "and now")) == "and now"


def test_a_call_whose_deadline_has_passed_is_not_begun(world, unhurt):
    with world.visit() as visit:
        assert abs(visit.welcomed().clock - clock.elapsed()) < SOON
        assert visit.call((roles.answer, "in time"), within=SOON) == "in time"
        visit.ask((roles.note, "too late"), within=-0.001)
        visit.ask((roles.sleep, 1.0), within=SOON)
        visit.ask((roles.note, "too late, for it was busy"), within=0.1)
        assert visit.answer(visit.number - 1) is None
        assert visit.call((roles.seen,)) == []
    assert world.log().count("call_expired") == 2


def test_roles_with_coroutines_and_supervisors_have_visitors_too(world):
    role = AsyncPuppet.start_link(name="asynchronous")
    with world.visit("asynchronous") as visit:
        visit.welcomed().ask((roles.note, "too late"), within=-1.0)
        assert visit.call((roles.await_and_answer, "hello"), within=SOON) == "hello"
        assert visit.call((roles.seen,)) == []
    role.stop()
    supervisor = DynamicSupervisor.start_link(name=TASK_SUPERVISOR)
    with world.visit(TASK_SUPERVISOR) as visit:
        visit.welcomed().ask(("start_child", "too late"), within=-1.0)
        verdict, counts = visit.call(("count_children",), within=SOON)
        assert (verdict, counts.active) == ("ok", 0)
        visit.send(framing.CALL_BY, b"short")
        assert visit.frame()[0] == framing.REFUSED
    supervisor.stop()


def test_a_suspended_role_forgets_what_expires_meanwhile(world, unhurt):
    with world.visit() as visit:
        visit.welcomed()
        debug.suspend("puppet")
        late = visit.ask((roles.note, "late"), within=0.2)
        on_time = visit.ask((roles.note, "on time"), within=SOON)
        threading.Event().wait(0.3)
        debug.resume("puppet")
        assert visit.answer(on_time) is None
        assert late < on_time
        assert visit.call((roles.seen,)) == ["on time"]


def test_a_call_by_a_moment_that_is_none_is_refused(world, unhurt):
    with world.visit() as visit:
        visit.welcomed().send(framing.CALL_BY, b"short")
        kind, number, payload = visit.frame()
        assert (kind, number) == (framing.REFUSED, visit.number)
        assert "expected a moment" in pickle.loads(payload)[1]


def test_a_visitor_may_ask_for_the_clock(world, unhurt):
    with world.visit() as visit:
        number = visit.welcomed().send(framing.CLOCK, b"")
        kind, its_number, payload = visit.frame()
        assert (kind, its_number, len(payload)) == (framing.CLOCK, number, 8)


def test_a_wrong_cookie_reaches_nobody(world, unhurt):
    with world.visit(cookie=b"another cookie, just as long as it") as visit:
        assert isinstance(visit.outcome, Refused)
        assert visit.outcome.code is RefusalCode.WRONG_COOKIE
    with world.visit(cluster="quartet") as visit:
        assert visit.outcome.code is RefusalCode.WRONG_CLUSTER


def test_whoever_cannot_be_served_is_told_why(world, unhurt):
    unknown = "0a1b-0c2d3e4f"
    for purpose, target, text in [
        ("role", "nobody", "role nobody is not here"),
        ("role", "", "role  is not here"),
        ("role", "beethoven.component", "role beethoven.component is not here"),
        ("role", NAME, f"role {NAME} is not here"),
        ("process", unknown, f"process {unknown} is not here any more"),
        ("process", "", "process  is not here"),
        ("process", "..", "process .. is not here any more"),
        (
            "process",
            component := holder_of("beethoven.component").identity,
            f"process {component} is not here",
        ),
        ("party", "x", "this node does not know what a connection for 'party' is for"),
        ("directory", "", "this node cannot tell its directory now"),
    ]:
        with world.visit(target, purpose=purpose) as visit:
            assert absent(visit) == text


def test_some_processes_of_a_node_are_for_visitors(world, unhurt):
    with world.visit("beethoven.groups") as visit:
        assert visit.welcomed().call((roles.answer, 1)) == 1


def test_a_replayed_frame_ends_the_conversation_and_nothing_else(world, unhurt):
    with world.visit() as visit:
        visit.welcomed()
        (sealed,) = seal(visit.session, framing.CAST, 1, pickle.dumps((roles.note, "once"), 5))
        visit.stream.sendall(sealed)
        wait_until(lambda: world.puppet.call((roles.seen,)))
        visit.stream.sendall(sealed)
        assert visit.ends() == []
    assert world.puppet.call((roles.seen,)) == ["once"]
    assert world.log().count("visitor_dismissed") == 1


def test_garbage_ends_the_conversation_with_one_warning(world, unhurt):
    for count, garbage in enumerate(
        [b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\x20" + bytes(32), bytes(300), b"\xff" * 10_000], 1
    ):
        with world.visit() as visit:
            visit.welcomed().stream.sendall(garbage)
            assert visit.ends() == [], garbage
        assert world.log().count("visitor_dismissed") == count, garbage


def test_a_frame_that_is_cut_short_is_no_warning(world, unhurt):
    with world.visit() as visit:
        sealed = visit.welcomed().session.seal(framing.pack(framing.CALL, 1, b"request"))
        visit.stream.sendall(sealed[:-1])
    wait_until(world.has_no_visitors)
    assert "visitor_dismissed" not in world.log()


def test_nothing_is_unpickled_before_its_seal_has_been_checked(world, unhurt, tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    payload = pickle.dumps(Bomb())
    frame = framing.pack(framing.CALL, 1, payload)
    with world.visit() as visit:
        sealed = bytearray(visit.welcomed().session.seal(frame))
        sealed[-1] ^= 1
        visit.stream.sendall(sealed + frame)
        assert visit.ends() == []
    # Nor before the beacon has heard a proof.
    with socket.create_connection(("127.0.0.1", world.port), SOON) as stream:
        stream.sendall(frame + payload)
        with contextlib.suppress(ConnectionError):
            assert stream.recv(100) == b""
    assert not (tmp_path / "exploded").exists()


def test_what_no_visitor_may_send_ends_the_conversation(world, unhurt):
    forbidden = [
        framing.LINK,
        framing.UNLINK,
        framing.MONITOR,
        framing.INSPECT,
        framing.SYSTEM,
        framing.PASS_ON,
        framing.ADOPT,
        framing.REPLY,
        framing.EXIT,
        framing.WELCOME,
        77,
    ]
    for kind in forbidden:
        with world.visit() as visit:
            visit.welcomed().send(kind, pickle.dumps(world.puppet, 5))
            assert visit.ends() == [], kind
    assert world.log().count("visitor_dismissed") == len(forbidden)


def test_one_that_never_reads_keeps_nobody_waiting(world, unhurt):
    with world.visit() as deaf, world.visit() as other:
        deaf.welcomed()
        other.welcomed()
        number = deaf.ask((roles.large_answer, 30 * MEGABYTE))
        began = clock.monotonic()
        assert other.call((roles.answer, 1)) == 1
        # Nothing more is read from it until it has taken its reply: here it would be "2".
        deaf.ask((roles.note, 2))
        assert other.call((roles.seen,)) == []
        assert clock.monotonic() - began < SOON
        assert len(deaf.answer(number)) == 30 * MEGABYTE
        assert deaf.answer(number + 1) is None
        assert other.call((roles.seen,)) == [2]


def test_a_process_that_takes_no_more_callers_keeps_the_beacon_from_nothing(world, unhurt):
    path = names.socket_path(here.folder, "full")
    with socket.socket(socket.AF_UNIX) as full, socket.socket(socket.AF_UNIX) as caller:
        full.bind(path)
        full.listen(0)
        caller.connect(path)
        with world.visit("full", purpose=Purpose.PROCESS) as visit:
            text = "process full takes no more callers now: Resource temporarily unavailable"
            assert absent(visit) == text
    Path(path).unlink()


@pytest.mark.parametrize("spare", [0, 1])
def test_a_role_without_a_descriptor_to_spare_takes_no_visitor_and_loses_nothing(world, spare):
    puppet = world.puppet
    with world.visit() as early:
        early.welcomed()
        puppet.call((visited_roles.use_up_descriptors, spare))
        with world.visit(patience=0.5) as visit, contextlib.suppress(TimeoutError):
            assert visit.frame() is None
        assert early.call((roles.answer, "well")) == "well"
        puppet.call((visited_roles.free_descriptors,))
    # One caller has gone: others are let in again.
    wait_until(world.serves)
    assert world.puppet.pid == puppet.pid


def test_what_came_with_the_handshake_belongs_to_the_conversation(world, unhurt):
    keys = bytes(range(32)), bytes(range(32, 64))
    session, theirs = Session(*keys), Session(*reversed(keys))
    request = framing.pack(framing.CALL, 7, pickle.dumps((roles.answer, "early"), 5))
    sealed = session.seal(request)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname(), SOON)
        accepted, _ = listener.accept()
    with ours, accepted:
        ours.sendall(sealed[20:])
        established = Established(hello_of(VISITOR, CLUSTER), 1, theirs, sealed[:20])
        hand(here.folder, world.puppet.identity, accepted, established)
        accepted.close()
        reader = SealedReader(session)
        frames: list[framing.Frame] = []
        while len(frames) < 2:
            frames += reader.feed(ours.recv(4096))
        assert [kind for kind, _, _ in frames] == [framing.WELCOME, framing.REPLY]
        assert pickle.loads(frames[1][2]) == "early"


def test_the_names_that_are_for_visitors_are_those_of_components():
    assert {GROUPS, TASK_SUPERVISOR} == reception.OPEN_NAMES
    assert reception.OWN_NAMES == NAMESPACE


def test_one_that_is_told_that_nobody_is_here_and_never_closes_is_closed(world, unhurt):
    with world.visit("nobody", patience=30.0) as visit:
        # It neither reads nor closes: the beacon forgets it in time.
        beacon = world.beacon.pid
        opened = len(descriptors(beacon))
        wait_until(lambda: len(descriptors(beacon)) < opened, 30.0)
        assert absent(visit) == "role nobody is not here"


def test_many_at_once_that_are_told_so_are_bounded(world, unhurt):
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(world.visit("nobody"))
        held = [each for each in descriptors(world.beacon.pid) if "socket" in each]
        assert len(held) < 160


def test_no_other_process_holds_a_visitor(world, unhurt):
    with world.visit() as visit:
        visit.welcomed()
        port = visit.stream.getsockname()[1]
        holders = {
            process.pid
            for process in psutil.Process().children(recursive=True)
            for each in process.net_connections("tcp")
            if each.raddr and each.raddr.port == port
        }
        assert holders == {world.puppet.pid}


def is_closed_by(ref, message):
    """Hand over a message and a descriptor; return once the process has closed both."""
    ours, theirs = socket.socketpair()
    with ours, unixsocket.connect(names.socket_path(ref.folder, ref.identity)) as stream:
        socket.send_fds(stream, [message], [theirs.fileno()])
        theirs.close()
        for each in (ours, stream):
            each.settimeout(SOON)
            assert each.recv(1) == b"", message


def test_a_descriptor_that_is_no_visitor_is_closed(world, unhurt):
    messages = [
        framing.pack(framing.ADOPT, 0, b"no pickle"),
        framing.pack(framing.ADOPT, 0, pickle.dumps("no visitor")),
        framing.pack(framing.CAST, 0, pickle.dumps((roles.note, 1))),
        framing.pack(framing.ADOPT, 0, b"x" * 100)[:50],
        2 * framing.pack(framing.ADOPT, 0, b""),
        b"\xff" * 100,
    ]
    for count, message in enumerate(messages, 1):
        is_closed_by(world.puppet, message)
        assert world.log().count("visitor_refused") == count, message
    assert world.puppet.call((roles.seen,)) == []


def test_an_adoption_without_a_descriptor_is_no_message(world, unhurt):
    puppet = world.puppet
    with unixsocket.connect(names.socket_path(puppet.folder, puppet.identity)) as stream:
        stream.sendall(framing.pack(framing.ADOPT, 0, b""))
    assert puppet.call((roles.seen,)) == []


def test_a_tree_without_visitors_takes_none(world, unhurt):
    here.context = {}
    puppet = Puppet.start_link()
    is_closed_by(puppet, framing.pack(framing.ADOPT, 0, b""))
    puppet.stop()


def test_the_directory_is_told_however_long_it_is(world):
    for nodes in (0, 3, 900):
        core = Directing.start_link(nodes, name=CORE_SERVER)
        with world.visit(purpose=Purpose.DIRECTORY) as visit:
            kind, _, payload = visit.frame()
            assert kind == framing.DIRECTORY
            assert len(decode(bytes(payload)).nodes) == nodes
            assert visit.frame() is None
        core.stop()


def test_many_who_want_the_directory_ask_for_it_together(world):
    core = Directing.start_link(900, name=CORE_SERVER)
    os.kill(core.pid, signal.SIGSTOP)
    with contextlib.ExitStack() as stack:
        visits = [stack.enter_context(world.visit(purpose=Purpose.DIRECTORY)) for _ in range(20)]
        os.kill(core.pid, signal.SIGCONT)
        for each in visits:
            assert each.frame()[0] == framing.DIRECTORY
            assert each.frame() is None
    assert core.call("asked") <= 2
    core.stop()


def test_a_core_server_that_never_answers_keeps_the_beacon_from_nothing(world):
    core = Directing.start_link(-1, name=CORE_SERVER)
    with world.visit(purpose=Purpose.DIRECTORY) as visit:
        assert world.serves()
        assert visit.frame() is None
    # Its successor is asked anew.
    core.stop()
    core = Directing.start_link(1, name=CORE_SERVER)
    with world.visit(purpose=Purpose.DIRECTORY) as visit:
        assert visit.frame()[0] == framing.DIRECTORY
    core.stop()


def test_a_real_node_serves_its_roles_and_hides_its_components(tmp_path):
    settings = {"BEETHOVEN_COOKIE": COOKIE.decode()}
    with node(tmp_path, ONE_ROLE, env=settings) as running:
        port = int(running.address.rpartition(":")[2])

        def visit(target, purpose=Purpose.ROLE):
            return Visit(port, target, purpose=purpose, cookie=COOKIE, cluster=DEFAULT_CLUSTER)

        (pid,) = running.wait_running("echo")
        with visit("echo") as conversation:
            assert conversation.welcomed().call(("echo", [1, 2]), within=SOON) == [1, 2]
            for name in (ROOT, ROLE_SUPERVISOR, CORE_SERVER, NAME, ROLE_SERVER, ALLOCATOR):
                with visit(name) as refused:
                    assert "is not here" in absent(refused)

            def holders():
                with visit("", Purpose.DIRECTORY) as asking:
                    kind, _, payload = asking.frame()
                    assert kind == framing.DIRECTORY
                    return [each.name for each in decode(bytes(payload)).holders("echo")]

            # The core server hears of what runs a moment after it runs.
            wait_until(holders)
            assert holders() == ["beethoven"]
            os.kill(pid, signal.SIGKILL)
            assert conversation.ends() == []
        running.wait_running("echo", but=pid)
        with visit("echo") as conversation:
            conversation.welcomed()
            running.signal(signal.SIGTERM)
            assert conversation.ends() == [framing.EXIT]
            assert running.wait() == 0


def test_visitors_that_come_and_go_in_crowds_leave_nothing(world, unhurt):
    def come_and_go():
        for at in range(30):
            with world.visit() as visit:
                if at % 3:
                    visit.welcomed().ask((roles.answer, at))

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    wait_until(world.has_no_visitors)
