"""
What a message costs, counted: Python functions and system calls on both sides.

No figure here depends on a clock or on how busy the machine is, so each is exact. One that has
grown is a regression: take out what need not be there. One that has shrunk, or has grown for a good
reason, is written down here and in docs/performance.md, "What a message takes".
"""

import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import beethoven
from beethoven.node.control import NodeClient
from beethoven.runtime import framing
from beethoven.runtime.names import socket_path
from beethoven.runtime.unixsocket import connect
from tests.integration.cluster.nodes_apart import Apart
from tests.integration.counted_roles import BEGIN, END, REQUEST, Calls, Counted
from tests.processes import end

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]
MANY = 100
# So few are not one for each message.
FEW = 10
# What runs once for all that is found together, of new clients, their messages and their ends.
WAKING = ("Poller.poll", "Doorkeeper.accept")

ADVICE = (
    "what a message takes has changed: take out what need not be there; or, if it takes less or "
    "must take more, write the new figure down here and in docs/performance.md"
)


@pytest.fixture
def role():
    ref = Counted.start_link()
    yield ref
    end(ref)


@pytest.fixture
def apart(tmp_path):
    made = Apart(tmp_path)
    yield made
    made.stop()


def functions(role, send, *, at_once=False):
    """
    Return which functions of Beethoven run for each message: of the sender, and of the role.

    Args:
        role: To whom it is sent.
        send: Sends one.
        at_once: Whether the role is to find all of them together.
    """
    send(REQUEST)
    here = usual(send)
    role.call("start")
    if at_once:
        os.kill(role.pid, signal.SIGSTOP)
    for _ in range(MANY):
        send(REQUEST)
    os.kill(role.pid, signal.SIGCONT)
    return here, each(role.call("stop"))


def usual(send):
    """Return which functions run here for most messages; now and then something else is done."""
    taken: Counter[frozenset[tuple[str, int]]] = Counter()
    for _ in range(MANY):
        calls = Calls()
        calls.start()
        send(REQUEST)
        taken[frozenset(calls.stop().items())] += 1
    [(most, _)] = taken.most_common(1)
    return Counter(dict(most))


def each(counted):
    """Return what is counted for each message; what is done for several at once is left out."""
    return Counter({name: count // MANY for name, count in counted.items() if count >= MANY})


def check(counted, expected):
    assert tuple(side.total() for side in counted) == expected, f"{ADVICE}\n{counted}"


def test_a_call_takes_so_many_functions(role):
    check(functions(role, role.call), (10, 12))


def test_a_cast_takes_so_many_functions(role):
    check(functions(role, role.cast, at_once=True), (5, 4))


def test_a_call_of_a_marked_method_takes_so_many_functions(role):
    check(functions(role, Counted.front(role).echo), (13, 14))


def test_a_cast_of_a_marked_method_takes_so_many_functions(role):
    check(functions(role, Counted.front(role).take, at_once=True), (8, 6))


def test_a_call_between_nodes_takes_so_many_functions(apart):
    counted = "[roles.counted]\nmodule = 'tests.integration.counted_roles:Counted'\n"
    apart.start(one="", two=counted)
    apart.wait_runs("counted", "two")
    role = NodeClient.find("two").process("counted")
    with beethoven.connect(node="one") as cluster:
        check(functions(role, cluster.ref("counted").call), (18, 17))
        # What is known of the cluster is asked for anew each second: that is not for each message.
        check(functions(role, partial(cluster.call, "counted")), (44, 20))


def system_calls(tmp_path, kind, many=MANY):
    """Return which system calls the sender and the role make between the marks, by process."""
    if sys.platform != "linux":
        pytest.skip("strace is for Linux")
    assert shutil.which("strace"), "install strace, as .ci/run does: system calls are counted by it"
    gate, told = tmp_path / "gate", tmp_path / f"{kind}.strace"
    os.mkfifo(gate)
    program = [sys.executable, "-m", "tests.integration.counted_roles", kind, many, gate]
    trace = ["strace", "-f", "-qq", "-e", "signal=none", "-o", told, *program]
    done = subprocess.run(
        [*map(str, trace)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip(f"this machine forbids to trace a process: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    made: defaultdict[str, Counter[str]] = defaultdict(Counter)
    counting = set()
    for line in told.read_text("utf-8", "replace").splitlines():
        match = re.match(r"(\d+) +(\w+)\(", line)
        if match is None:
            continue
        process, name = match.groups()
        if BEGIN in line:
            counting.add(process)
        elif END in line:
            counting.discard(process)
        elif process in counting:
            made[process][name] += 1
    sender, role = sorted(made.values(), key=lambda calls: "epoll_wait" in calls)
    return sender, role


def check_system_calls(made, expected):
    """What is not of messages (memory, a thread that begins) happens by chance, and seldom."""
    others = made - Counter(expected)
    assert {name: made[name] for name in expected} == expected, f"{ADVICE}\n{made}"
    assert others.total() <= FEW, f"{ADVICE}\n{made}"


def test_a_call_takes_so_many_system_calls(tmp_path):
    sender, role = system_calls(tmp_path, "call")
    check_system_calls(sender, {"sendto": MANY, "recvfrom": MANY})
    # And the reply to the first mark, and the wait for the last.
    once = MANY + 1
    check_system_calls(role, {"epoll_wait": once, "recvfrom": once, "sendto": once})


def test_a_cast_takes_one_system_call_and_those_that_wait_are_read_together(tmp_path):
    sender, role = system_calls(tmp_path, "cast")
    check_system_calls(sender, {"sendto": MANY})
    assert role["recvfrom"] <= 3, f"{ADVICE}\n{role}"
    assert role.total() <= 2 * FEW, f"{ADVICE}\n{role}"


def strangers(role, count):
    """Call a role once over each of so many new connections, and keep these."""
    streams = [connect(socket_path(role.folder, role.identity)) for _ in range(count)]
    for stream in streams:
        stream.sendall(framing.pack(framing.CALL, 1, pickle.dumps(REQUEST, 5)))
        assert stream.recv(framing.READ_SIZE)
    return streams


def close(streams):
    for stream in streams:
        stream.close()


def test_a_role_does_no_more_for_a_message_the_more_clients_it_has(role):
    for count in (50, 400):
        streams = strangers(role, count)
        check(functions(role, role.call), (10, 12))
        close(streams)


def test_a_role_does_no_more_for_a_new_client_the_more_it_has(role):
    taken_in = []
    for count in (100, 200):
        role.call("start")
        close(strangers(role, count))
        role.call("ready")
        ran = role.call("stop")
        woken = sum(ran.pop(name) for name in WAKING)
        assert woken <= 4 * count, woken
        taken_in.append(rates(ran, count))
    assert taken_in[0] == taken_in[1], taken_in


def rates(counted, many):
    """Return how often each function runs for one of so many, a few more or less of all aside."""
    found = {name: round(count / many) for name, count in counted.items()}
    return {name: rate for name, rate in found.items() if rate}


def aliases(role, count):
    """Return so many references that look like different processes, and are all this one."""
    refs = [replace(role, identity=f"{role.identity}-{count}-{number}") for number in range(count)]
    for ref in refs:
        Path(socket_path(ref.folder, ref.identity)).symlink_to(
            socket_path(role.folder, role.identity)
        )
    return refs


def open_more_and_more(role):
    """Return which functions run for each of 100 connections of a caller, and of 200 more."""
    opened = []
    for count in (100, 200):
        refs = aliases(role, count)
        calls = Calls()
        calls.start()
        for ref in refs:
            ref.call(REQUEST)
        opened.append(rates(calls.stop(), count))
        check(functions(role, role.call), (10, 12))
    return opened


def test_a_caller_does_no_more_for_a_role_the_more_it_has_called(role):
    # A thread that is new has no connection left of another test, which it would close meanwhile.
    with ThreadPoolExecutor(1) as fresh:
        opened = fresh.submit(open_more_and_more, role).result()
    assert opened[0] == opened[1], opened
