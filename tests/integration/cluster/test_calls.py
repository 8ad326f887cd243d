"""Calls by the names of roles, across real nodes."""

import asyncio
import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

import beethoven
from beethoven import clock
from beethoven.errors import (
    BeethovenError,
    CallTimeout,
    ConfigError,
    HandshakeRefused,
    NodeError,
    NodeNotFound,
    ProcessExited,
    RoleNotRunning,
    SpecError,
)
from beethoven.node.control import NodeClient
from beethoven.remote.remote_ref import RemoteRef
from beethoven.remote.way import TcpWay
from tests.integration.cluster.nodes_apart import Apart, role
from tests.nodes import beethoven as run
from tests.processes import is_running, wait_until

pytestmark = pytest.mark.process


@pytest.fixture
def apart(tmp_path):
    made = Apart(tmp_path)
    yield made
    made.stop()


def test_a_role_is_called_from_everywhere(apart, tmp_path):
    apart.start(one=role("alpha"), two=role("bravo", file=tmp_path / "notes"))
    apart.wait_runs("alpha", "one")
    apart.wait_runs("bravo", "two")
    with beethoven.connect(node="one") as here:
        # From a program, and from a role: there, here, and to nobody.
        assert here.call("bravo", "where") == "two"
        assert here.call("alpha", "where") == "one"
        with pytest.raises(SpecError, match="expected to to be the name of one node"):
            here.ref("bravo", to="all")
        with pytest.raises(RoleNotRunning, match="not asked, for the time was up: running on two"):
            here.call("bravo", "where", 0)
        assert here.call("alpha", ("call", "bravo", "where", {})) == "two"
        assert here.call("alpha", ("call", "bravo", "where", {"to": "two"})) == "two"
        told = here.call("alpha", ("call", "brave", "where", {}))
        assert told == "RoleNotRunning: the cluster has no role 'brave', did you mean 'bravo'?"
        assert here.call("alpha", ("call", "alpha", "where", {})).startswith("CallingSelf")
        everything = ["one", beethoven.Reply("one"), ["one"], 0, True]
        assert here.call("bravo", ("everything", "alpha")) == everything
        wait_until(lambda: here.call("bravo", "answers") == [("mine", "one")])
        assert sorted(here.call("alpha", "answers")) == ["cast", "sent"]
        here.cast("bravo", ("write", "a cast"))
        wait_until((tmp_path / "notes").exists)
        assert here.call("bravo", ("length", os.urandom(50_000_000)), 60) == 50_000_000
        big = os.urandom(1_000_000)
        assert here.call("bravo", ("echo", big)) == big
        _check_threads_and_copies(here)
    _check_tcp(apart)
    _check_command_line()


def _check_threads_and_copies(handle):
    """Each thread, and the copy of a process, has connections of its own."""

    def echo(number):
        return [handle.call("bravo", ("echo", (number, each))) for each in range(20)]

    with ThreadPoolExecutor(8) as pool:
        for number, replies in enumerate(pool.map(echo, range(16))):
            assert replies == [(number, each) for each in range(20)]
    child = os.fork()
    if not child:
        os._exit(0 if handle.call("bravo", ("echo", "copy")) == "copy" else 1)
    assert [handle.call("bravo", ("echo", each)) for each in range(20)] == list(range(20))
    assert os.waitpid(child, 0)[1] == 0


def _check_tcp(apart):
    """Call from a program that has the cookie only."""
    for address in (apart.address("one"), f"localhost:{apart.port}"):
        with beethoven.connect(address) as far:
            assert far.call("alpha", "where") == "one"
            assert far.call("bravo", "where") == "two"
            assert far.multi_call("bravo", "where") == ({"two": "two"}, {})
            assert far.ref("bravo").call("where") == "two"
            assert "bravo on two" in str(far.ref("bravo"))
        with pytest.raises(NodeError, match="closed"):
            far.call("alpha", "where")
    secret = "s" * 40
    with pytest.raises(HandshakeRefused, match="another cookie") as refused:
        beethoven.connect(apart.address("one"), cookie=secret)
    assert secret not in repr(refused.value)
    with pytest.raises(HandshakeRefused, match="another cluster"):
        beethoven.connect(apart.address("one"), cluster="elsewhere")
    with pytest.raises(ConfigError, match="128 bits"):
        beethoven.connect(apart.address("one"), cookie=b"short")
    with pytest.raises(NodeNotFound, match="no node listens there"):
        beethoven.connect("127.0.0.77:1")
    for wrong in ("not an address:x", "", "a:abc", "127.0.0.1:99999", "127.0.0.1:0", "[::1]:0"):
        with pytest.raises(SpecError, match=r"a host and a port from 1 to 65535.*db\.internal"):
            beethoven.connect(wrong)
    with socket.create_server(("127.0.0.1", 0)) as other, ThreadPoolExecutor(1) as thread:
        thread.submit(_speak_http, other)
        with pytest.raises(NodeNotFound, match="speaks, but not as a node of Beethoven does"):
            beethoven.connect(f"127.0.0.1:{other.getsockname()[1]}")
    with pytest.raises(NodeNotFound, match="runs on this machine"):
        beethoven.connect(node="three")


def _speak_http(server):
    stream, _ = server.accept()
    with stream:
        stream.recv(4096)
        stream.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def _check_command_line():
    done = run("call", "--node", "one", "bravo", '"where"')
    assert (done.code, done.json) == (0, "two")
    assert run("call", "--node", "one", "--to", "two", "bravo", '"where"').json == "two"
    assert run("call", "--node", "one", "--to", "all", "bravo", '"where"').json == {"two": "two"}
    unknown = run("call", "--node", "one", "brave", "1")
    assert (unknown.code, unknown.out) == (1, "")
    assert "no role 'brave', did you mean 'bravo'?" in unknown.err
    nowhere = run("call", "--node", "one", "--to", "tow", "bravo", "1")
    assert nowhere.code == 1
    assert "no node 'tow', did you mean 'two'?" in nowhere.err
    late = run("call", "--node", "one", "--timeout", "1", "bravo", '["sleep", 2]')
    assert late.code == 1
    assert "no reply within 1 s" in late.err
    at_once = run("call", "--node", "one", "--timeout", "0", "bravo", '"where"')
    assert at_once.code == 1
    assert "beethoven.core_server" not in at_once.err


def test_the_nearest_and_then_the_least_busy_and_one_or_all(apart):
    everywhere = role("delta", 3)
    apart.start(one=everywhere + role("asker"), two=everywhere, three=everywhere)
    apart.wait_runs("delta", "one", "two", "three")
    apart.wait_runs("asker", "one")
    with beethoven.connect(node="two") as here, beethoven.connect(apart.address("three")) as far:
        assert {here.call("delta", "where") for _ in range(5)} == {"two"}
        # Idle nodes of one machine cannot be told apart: each has its turn.
        wait_until(lambda: len({far.call("delta", "where") for _ in range(30)}) > 1, 30)
        assert far.call("delta", "where", to="one") == "one"
        assert here.call("delta", "where", to="three") == "three"
        alike = {"one": "one", "two": "two", "three": "three"}
        told = here.call("delta", ("call all", "delta"))
        assert told == ({"one": "one", "three": "three"}, {"two": "CallingSelf"})
        assert here.multi_call("delta", "where") == (alike, {})
        assert far.call("delta", "where", to="all") == (alike, {})
        assert here.call("asker", ("call", "delta", "where", {"to": "all"})) == (alike, {})
        replies, errors = here.multi_call("delta", ("sleep", 2), 1.0)
        assert replies == {}
        assert {type(each) for each in errors.values()} == {CallTimeout}
        assert sorted(errors) == ["one", "three", "two"]
        far.cast("delta", ("note", "all"), to="all")
        noted = {node: ["all"] for node in alike}
        wait_until(lambda: here.multi_call("delta", "answers")[0] == noted)


def test_a_request_whose_time_is_up_is_never_begun(apart, tmp_path):
    notes = tmp_path / "notes"
    apart.start(one=role("alpha"), two=role("bravo", file=notes))
    apart.wait_runs("bravo", "two")
    with beethoven.connect(node="one") as here, beethoven.connect(node="two") as near:
        busy = beethoven.send_request(here.ref("bravo"), ("sleep", 3.0))
        for handle in (here, near):
            began = clock.monotonic()
            with pytest.raises(CallTimeout, match=r"no reply within 0.5 s"):
                handle.call("bravo", ("write", "late"), 0.5)
            assert clock.monotonic() - began < 2.0
        assert busy.receive_response(10) == beethoven.Reply("two")
        # It is taken in only when it is not busy, and then has too little time left.
        busy = beethoven.send_request(near.ref("bravo"), ("sleep", 0.8))
        with ThreadPoolExecutor(1) as other:
            began = clock.monotonic()
            late = other.submit(here.call, "bravo", ("sleep", 3), 1.5)
            assert isinstance(late.exception(), CallTimeout)
            assert 1.4 < clock.monotonic() - began < 3.0
        assert here.call("bravo", ("write", "in time")) == "two"
        assert notes.read_text() == "in time\n"


def test_coroutines_wait_together(apart, monkeypatch):
    both = role("delta", 2)
    apart.start(one=both + role("asker", kind="AsyncClerk"), two=both)
    apart.wait_runs("delta", "one", "two")
    apart.wait_runs("asker", "one")

    async def calls(handle):
        began = clock.monotonic()
        called = (handle.call_async("delta", ("sleep", 2.5), to=to) for to in ("one", "two"))
        assert await asyncio.gather(*called) == ["one", "two"]
        assert clock.monotonic() - began < 4.9
        with pytest.raises(RoleNotRunning, match="did you mean 'delta'"):
            await handle.call_async("deltas", 1)
        with pytest.raises(CallTimeout):
            await handle.call_async("delta", ("sleep", 1.0), 0.5, to="two")
        return await handle.call_async("delta", "where", to="all")

    with beethoven.connect(node="one") as here, beethoven.connect(apart.address("two")) as far:
        for handle in (here, far):
            assert asyncio.run(calls(handle)) == ({"one": "one", "two": "two"}, {})
        replies = here.call("asker", ("gather", "delta", ("echo", 1), 100), 30)
        assert replies == [1] * 100
        assert here.call("asker", ("all", "delta", "where")) == [{"one": "one", "two": "two"}, {}]
    _check_one_opening(apart, monkeypatch)


def _check_one_opening(apart, monkeypatch):
    """However many coroutines are the first to call a role: one of them connects to it."""
    opened, asked, connect, ask = [], [], RemoteRef.connect, TcpWay._ask

    def open_it(target, timeout):
        opened.append(target)
        return connect(target, timeout)

    def ask_it(way, timeout):
        asked.append(way)
        return ask(way, timeout)

    async def calls(handle):
        called = [handle.call_async("delta", ("echo", each), 20, to="two") for each in range(200)]
        tasks = [asyncio.ensure_future(each) for each in called]
        await asyncio.sleep(0)
        tasks.pop(0).cancel()
        assert await asyncio.gather(*tasks) == list(range(1, 200))

    monkeypatch.setattr(RemoteRef, "connect", open_it)
    monkeypatch.setattr(TcpWay, "_ask", ask_it)
    with beethoven.connect(apart.address("one")) as far:
        asyncio.run(calls(far))
    # On a busy machine a dial may take too long, and is made again.
    assert len(asked) <= 5
    assert 1 <= len(opened) <= 5


class Caller(threading.Thread):
    """Calls in a loop, and notes what became of each request."""

    def __init__(self, handle):
        super().__init__()
        self.handle = handle
        self.replies, self.errors = {}, {}
        self.done = threading.Event()
        self.failure = None

    def run(self):
        number = 0
        try:
            while not self.done.is_set():
                number += 1
                try:
                    self.replies[number] = self.handle.call("orders", ("write", number), 10)
                except (ProcessExited, RoleNotRunning) as error:
                    self.errors[number] = error
        except Exception as error:
            self.failure = error

    def count_since(self, moment):
        return sum(1 for at in list(self.replies) if at > moment)


def test_calls_follow_a_role_whose_node_is_killed(apart, tmp_path):
    notes = tmp_path / "notes"
    orders = role("orders", file=notes)
    apart.start(one=orders, two=orders, three=role("idle"))
    wait_until(lambda: apart.runs("orders", "three") in (["one"], ["two"]), 60)
    (first,) = apart.runs("orders", "three")
    other = {"one": "two", "two": "one"}[first]
    with beethoven.connect(node="three") as here, beethoven.connect(apart.address(other)) as far:
        callers = [Caller(here), Caller(far)]
        for caller in callers:
            caller.start()
        wait_until(lambda: all(len(caller.replies) > 20 for caller in callers))
        killed_at = clock.monotonic()
        marks = [max(caller.replies) for caller in callers]
        apart.kill(first)
        wait_until(
            lambda: all(
                caller.replies.get(max(caller.replies)) == other and caller.count_since(mark) > 5
                for caller, mark in zip(callers, marks, strict=True)
            ),
            20,
        )
        took = clock.monotonic() - killed_at
        for caller in callers:
            caller.done.set()
            caller.join()
    written = notes.read_text().split()
    for caller in callers:
        assert caller.failure is None
        assert set(caller.replies.values()) <= {first, other}
        # At most the one that was under way is lost, and its error says so.
        assert len(caller.errors) <= 1
        assert all(isinstance(each, ProcessExited) for each in caller.errors.values())
    # Both callers count from 1, so no number may be there more than twice; that of a reply is.
    for number in {number for caller in callers for number in caller.replies}:
        expected = sum(number in caller.replies for caller in callers)
        lost = sum(number in caller.errors for caller in callers)
        assert expected <= written.count(str(number)) <= expected + lost
    # Usually one; more on a machine that is busy with other tests.
    assert took < 10


def test_calls_wait_for_a_role_that_is_being_started(apart):
    apart.start(one=role("orders"), two=role("idle"))
    apart.wait_runs("orders", "one")
    with beethoven.connect(node="two") as here:
        ref = here.ref("orders")
        pid = ref.call("pid")
        os.kill(pid, signal.SIGKILL)
        # A zombie may still have a thread that holds the connection.
        wait_until(lambda: not psutil.pid_exists(pid))
        # The reference keeps the name on that node, and its connection is not used again.
        assert here.call("orders", "pid") != pid
        wait_until(ref.is_alive)
        assert ref.call("pid") != pid
        with pytest.raises(ProcessExited, match="it or the connection to its node has ended"):
            here.call("orders", "die")
        assert here.call("orders", "where") == "one"


def test_a_node_that_lets_nobody_in_delivers_nothing_and_that_is_told(apart):
    apart.start(one=role("orders"), two=role("idle"))
    apart.wait_runs("orders", "one")
    # Its port is open, and nobody accepts.
    apart.nodes["one"].process.send_signal(signal.SIGSTOP)
    pid = NodeClient.find("one").process("beethoven.beacon_server").pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_running(pid))
    # Of the last of its dials, for which almost no time was left, its own beacon may not tell.
    told = r"'orders' was not reached: .* (did not answer in time|does not answer)$"
    with beethoven.connect(node="two") as here, beethoven.connect(apart.address("two")) as far:
        for handle in (here, far):
            began = clock.monotonic()
            with pytest.raises(RoleNotRunning, match=told):
                handle.call("orders", "where", 1.0)
            assert clock.monotonic() - began < 3.0


def test_a_frozen_node_costs_the_others_nothing(apart):
    everywhere = role("delta", 3)
    apart.start(one=everywhere, two=everywhere, three=everywhere)
    apart.wait_runs("delta", "one", "two", "three")
    with (
        beethoven.connect(node="two") as here,
        beethoven.connect(apart.address("two")) as far,
        ThreadPoolExecutor(12) as threads,
    ):
        beacon = NodeClient.find("one").process("beethoven.beacon_server").pid
        apart.nodes["one"].process.send_signal(signal.SIGSTOP)
        os.kill(beacon, signal.SIGSTOP)
        began = clock.monotonic()
        casts = threads.submit(here.cast, "delta", ("note", "all"), to="all")
        asked = [threads.submit(each.multi_call, "delta", "where", 3) for each in (here, far)]
        asked.append(threads.submit(lambda: asyncio.run(_ask_all(here, 3))))
        calls = [threads.submit(far.call, "delta", "where", 3) for _ in range(8)]
        casts.result()
        # It waits for the one that does not answer, but for a dial at most: 1 s, not 5.
        assert clock.monotonic() - began < 4.0
        assert {call.result() for call in calls} <= {"two", "three"}
        for each in asked:
            replies, errors = each.result()
            assert replies == {"two": "two", "three": "three"}
            assert {node: str(error) for node, error in errors.items()} == {
                "one": "delta on one: no reply within 3 s"
            }
            assert isinstance(errors["one"], CallTimeout)
        assert clock.monotonic() - began < 7.0
        noted = {node: far.call("delta", "answers", to=node) for node in ("two", "three")}
        assert noted == {"two": ["all"], "three": ["all"]}
        os.kill(beacon, signal.SIGCONT)


async def _ask_all(handle, timeout):
    return await handle.call_async("delta", "where", timeout, to="all")


def test_a_handle_that_is_closed_says_so_and_ends_nobody_elses_calls(apart):
    apart.start(one=role("alpha"), two=role("bravo"))
    apart.wait_runs("bravo", "two")
    where = apart.address("one")
    mine, other, here = (
        beethoven.connect(where),
        beethoven.connect(where),
        beethoven.connect(node="one"),
    )
    with mine, other, here:
        for handle in (mine, other, here):
            assert handle.call("bravo", "where") == "two"
        waiting = [
            beethoven.send_request(each.ref("bravo"), ("sleep", 0.5)) for each in (other, here)
        ]
        mine.close()
        assert [type(each.receive_response(10)) for each in waiting] == [beethoven.Reply] * 2
        assert other.call("bravo", "where") == here.call("bravo", "where") == "two"
        # The connections of others, and what is known, are of no use to it any more.
        with pytest.raises(NodeError, match="a closed one"):
            mine.call("bravo", "where")
        with pytest.raises(NodeError, match="a closed one"):
            asyncio.run(mine.call_async("bravo", "where"))


def test_a_core_server_that_does_not_answer_holds_up_no_call_to_others(apart):
    apart.start(one=role("alpha"), two=role("bravo"))
    apart.wait_runs("bravo", "two")
    core = NodeClient.find("one").process("beethoven.core_server").pid
    with beethoven.connect(node="one") as here, beethoven.connect(apart.address("one")) as far:
        for handle in (here, far):
            assert handle.call("bravo", "where") == "two"
        os.kill(core, signal.SIGSTOP)
        try:
            for handle in (here, far):
                handle.way.forget()
                began = clock.monotonic()
                assert handle.call("bravo", "where", 20) == "two"
                assert clock.monotonic() - began < 5.0
        finally:
            os.kill(core, signal.SIGCONT)


def test_a_beacon_that_is_killed_is_no_failure(apart):
    apart.start(one=role("alpha"), two=role("bravo"))
    apart.wait_runs("bravo", "two")
    for name in ("one", "two"):
        os.kill(NodeClient.find(name).process("beethoven.beacon_server").pid, signal.SIGKILL)
    with beethoven.connect(node="one") as here:
        assert here.call("bravo", "where", 20) == "two"


def test_a_connection_goes_by_the_next_boot_of_its_node(apart):
    apart.start(one=role("alpha"))
    apart.wait_runs("alpha", "one")
    with beethoven.connect(node="one") as here:
        assert here.call("alpha", "where") == "one"
        apart.kill("one")
        # What it ran ends with it, but a moment later.
        wait_until(lambda: not _answers(here, "alpha"))
        apart.start(one=role("alpha"))
        apart.wait_runs("alpha", "one")
        assert here.call("alpha", "where") == "one"


def _answers(handle, role):
    try:
        return bool(handle.call(role, "where", 0.1))
    except BeethovenError:
        return False


def test_the_command_line_tells_what_went_wrong_on_which_node(apart):
    both = role("delta", 2)
    apart.start(one=both, two=both)
    apart.wait_runs("delta", "one", "two")
    done = run("call", "--node", "one", "--to", "all", "--timeout", "1", "delta", '["sleep", 2]')
    assert done.code == 1
    assert done.json == {}
    assert "one: " in done.err
    assert "two: " in done.err
