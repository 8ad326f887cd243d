"""The allocator: real processes that measure, set signals, die and hang."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from beethoven import ChildSpec, Supervisor, cast
from beethoven.cluster.allocator import CORE_SERVER, NAME, Allocator
from beethoven.cluster.load import score
from tests.integration.cluster.allocator_roles import (
    Blind,
    FakeCore,
    QuickAllocator,
    SteadyAllocator,
    User,
    WithoutCpu,
)
from tests.processes import end, is_running, wait_until

pytestmark = [pytest.mark.process, pytest.mark.shared_tree]

MEBIBYTE = 1024 * 1024


@pytest.fixture
def start():
    """Start roles that end with the test, the last one first."""
    started = []

    def start_role(role, args=None, *, name=None):
        started.append(role.start_link(args, name=name))
        return started[-1]

    yield start_role
    for ref in reversed(started):
        end(ref)


@pytest.fixture
def core(start):
    return start(FakeCore, name=CORE_SERVER)


@pytest.fixture
def allocator(start, core):
    return start(SteadyAllocator, name=NAME)


@pytest.fixture
def user(start):
    return start(User)


def told(core):
    return core.call("told")


def wait_for_signals(core, expected):
    wait_until(lambda: told(core) and dict(told(core)[-1].signals) == expected)
    return told(core)[-1]


def wait_for_news(core):
    before = len(told(core))
    wait_until(lambda: len(told(core)) > before)


def wait_for_samples(allocator, count):
    before = allocator.call("samples")
    wait_until(lambda: allocator.call("samples") >= before + count)


def test_it_measures_this_machine_and_tells_the_core(start, core):
    start(QuickAllocator, name=NAME)
    wait_until(lambda: told(core))
    load = told(core)[0]
    assert 0 <= load.cpu <= 100
    assert abs(load.memory - psutil.virtual_memory().percent) < 20
    assert load.score == score(load.cpu, load.memory, 0, {})


def test_psutil_is_imported_by_the_process_that_measures_and_only_there(start, core):
    allocator = start(QuickAllocator, name=NAME)
    wait_until(lambda: told(core))
    assert allocator.call("psutil")
    source = "import sys, beethoven, beethoven.cluster.allocator; sys.exit('psutil' in sys.modules)"
    subprocess.run([sys.executable, "-c", source], check=True)


def test_a_load_that_stays_is_told_once(core, allocator):
    wait_until(lambda: told(core))
    wait_for_samples(allocator, 20)
    assert len(told(core)) == 1


def test_a_core_that_comes_up_is_told_at_once(core, allocator):
    wait_until(lambda: told(core))
    cast(NAME, ("core_up",))
    wait_until(lambda: len(told(core)) == 2)
    first, second = told(core)
    assert abs(first.score - second.score) < 0.05


def test_a_core_that_was_not_there_is_told_when_it_is(start):
    allocator = start(SteadyAllocator, name=NAME)
    wait_for_samples(allocator, 3)
    core = start(FakeCore, name=CORE_SERVER)
    wait_until(lambda: told(core))


def test_a_core_that_hangs_keeps_the_allocator_from_nothing(core, allocator, user):
    wait_until(lambda: told(core))
    os.kill(core.pid, signal.SIGSTOP)
    try:
        for number in range(1000):
            cast(NAME, ("roles", number % 2))
            cast(NAME, ("core_up",))
        wait_for_samples(allocator, 5)
    finally:
        os.kill(core.pid, signal.SIGCONT)
    user.call(("set", "queue", 3))
    wait_for_signals(core, {"queue": 3.0})


def test_roles_hosted_count(core, allocator):
    wait_until(lambda: told(core))
    cast(NAME, ("roles", 3))
    wait_until(lambda: told(core)[-1].roles == 3)
    before, after = told(core)[0], told(core)[-1]
    assert after.score - before.score == pytest.approx(3 * 0.05, abs=0.03)


def test_signals_change_the_score(core, allocator, user):
    wait_until(lambda: told(core))
    before = told(core)[-1].score
    user.call(("set", "queue", 5, {"weight": 0.2}))
    user.call(("set", "disk", 50, {"kind": "percent"}))
    load = wait_for_signals(core, {"disk": 0.5, "queue": 1.0})
    assert load.score - before == pytest.approx(1.5, abs=0.05)
    user.call(("set", "disk", 100, {"kind": "percent"}))
    wait_for_signals(core, {"disk": 1.0, "queue": 1.0})
    user.call(("forget", "queue"))
    wait_for_signals(core, {"disk": 1.0})


def test_a_flood_of_changes_is_told_as_it_is_in_the_end(core, allocator, user):
    user.call(("count", "jobs", 50_000), timeout=30)
    wait_for_signals(core, {"jobs": 50_000.0})
    # One for each sample, however long it took.
    assert len(told(core)) < 1000


def test_the_same_signal_of_two_processes_is_summed(start, core, allocator, user):
    other = start(User)
    user.call(("set", "queue", 2))
    other.call(("set", "queue", 3))
    wait_for_signals(core, {"queue": 5.0})
    other.call(("forget", "queue"))
    wait_for_signals(core, {"queue": 2.0})


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_process_that_ends_takes_its_signals_along(start, core, allocator, user, how):
    other = start(User, name="other")
    user.call(("set", "queue", 2))
    other.call(("set", "queue", 3))
    other.call(("set", "mine", 1))
    wait_for_signals(core, {"mine": 1.0, "queue": 5.0})
    if how == "killed":
        os.kill(other.pid, signal.SIGKILL)
    else:
        other.stop()
    wait_for_signals(core, {"queue": 2.0})


def test_a_killed_allocator_learns_again_what_was_set(core, user):
    spec = ChildSpec("allocator", SteadyAllocator, name=NAME)
    with Supervisor.start_link([spec], max_restarts=100) as tree:
        user.call(("set", "queue", 2))
        user.call(("set", "gone", 2))
        wait_for_signals(core, {"gone": 2.0, "queue": 2.0})
        user.call(("forget", "gone"))
        wait_for_signals(core, {"queue": 2.0})
        for _ in range(3):
            allocator = tree.child("allocator")
            os.kill(allocator.pid, signal.SIGKILL)
            wait_for_news(core)
            wait_for_signals(core, {"queue": 2.0})
        assert is_running(user.pid)


def test_an_allocator_that_comes_late_learns_what_was_set(start, core, user):
    assert user.call(("set", "queue", 2)) < 3.0
    start(SteadyAllocator, name=NAME)
    wait_for_signals(core, {"queue": 2.0})


def test_an_allocator_that_hangs_delays_nobody(core, allocator, user):
    user.call(("set", "queue", 1))
    wait_for_signals(core, {"queue": 1.0})
    os.kill(allocator.pid, signal.SIGSTOP)
    try:
        # To wait for it once would take 5 s.
        assert user.call(("count", "queue", 10_000), timeout=30) < 4.0
    finally:
        os.kill(allocator.pid, signal.SIGCONT)
    wait_for_signals(core, {"queue": 10_001.0})


def test_a_machine_that_cannot_be_measured_costs_a_log_line_and_nothing_else(
    start, core, user, tmp_path
):
    """Upstream's application goes down with a change of the system's statistics (D20)."""
    log = tmp_path / "log"
    allocator = start(Blind, str(log), name=NAME)
    user.call(("set", "queue", 2))
    load = wait_for_signals(core, {"queue": 2.0})
    assert (load.cpu, load.memory, load.score) == (None, None, 0.5 + 0.25 + 2.0)
    wait_for_samples(allocator, 20)
    cpu, memory = log.read_text("utf-8").splitlines()
    assert "warning load_unknown what=cpu" in cpu
    assert "KeyError: 'a column that this kernel does not have'" in cpu
    assert "what=memory" in memory


def test_what_can_be_measured_is(start, core):
    start(WithoutCpu, name=NAME)
    wait_until(lambda: told(core))
    load = told(core)[0]
    assert load.cpu is None
    assert 20 <= load.memory <= 21


def test_a_signal_that_is_none_is_refused_with_one_line(start, core, user, tmp_path):
    log = tmp_path / "log"
    allocator = start(SteadyAllocator, str(log), name=NAME)
    for value in ("many", None, float("nan")):
        allocator.cast(("signal", "queue", 1.0, "count", value, user))
    for number in range(100):
        allocator.cast(("signal", f"s{number}", 1.0, "count", 1, user))
    wait_until(lambda: told(core) and len(told(core)[-1].signals) == 64)
    (line,) = log.read_text("utf-8").splitlines()
    assert "signal_refused signal=queue" in line
    assert "expected value to be a finite number, got: 'many'" in line


def test_a_signal_of_a_process_that_is_gone_is_not_kept(core, allocator, user):
    user.stop()
    allocator.cast(("signal", "queue", 1.0, "count", 5, user))
    wait_for_samples(allocator, 3)
    cast(NAME, ("core_up",))
    wait_for_signals(core, {})


def test_it_is_small(start, core):
    allocator = start(Allocator, name=NAME)
    wait_until(lambda: told(core))
    assert psutil.Process(allocator.pid).memory_full_info().uss < 20 * MEBIBYTE
