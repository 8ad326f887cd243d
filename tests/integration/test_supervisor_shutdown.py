"""How a tree ends: in reverse order, each child by its own settings, whatever the children do."""

import os
import signal
import threading

import pytest

from beethoven import ChildSpec, Supervisor, clock
from beethoven.errors import CallTimeout, NoProcess, ProcessExited, SupervisionError
from beethoven.runtime.reason import KILLED
from tests.integration import roles
from tests.integration.trees import Journal, pids, statuses, tree
from tests.processes import is_running, shortest, wait_until

pytestmark = [pytest.mark.process, pytest.mark.shared_tree]


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path)


def when(journal, event):
    """Return at what time each child did that."""
    return {line.id: line.at for line in journal.lines() if line.event == event}


def test_children_stop_one_after_another_in_reverse_start_order(journal):
    with tree(*journal.workers("abc", stop=0.1)):
        pass
    assert journal.story("stopping", "stopped") == [
        *("stopping c", "stopped c"),
        *("stopping b", "stopped b"),
        *("stopping a", "stopped a"),
    ]
    assert {line.detail for line in journal.lines() if line.event == "stopping"} == {"shutdown"}


def test_a_child_added_later_stops_first_and_a_restart_changes_no_position(journal):
    with tree(*journal.workers("ab")) as supervisor:
        supervisor.start_child(journal.worker("z"))
        first = pids(supervisor)["a"]
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: pids(supervisor)["a"] not in {first, 0})
        wait_until(lambda: statuses(supervisor)["a"] == "running")
    assert journal.story("stopped") == ["stopped z", "stopped b", "stopped a"]


def test_stop_returns_when_the_last_process_is_gone(journal):
    supervisor = Supervisor.start_link(journal.workers("abc", stop=0.1, stray=True))
    everybody = list(pids(supervisor).values())
    supervisor.stop()
    assert not [pid for pid in everybody if is_running(pid)]
    with pytest.raises(NoProcess):
        supervisor.which_children()


def test_a_child_that_does_not_trap_exits_ends_without_terminate(journal):
    with tree(journal.worker("a", trap=False)):
        pass
    assert journal.story("up", "stopping") == ["up a"]


def test_a_child_that_ignores_shutdown_is_killed_when_its_time_is_over(journal):
    with tree(journal.worker("a"), journal.worker("b", stop=60.0, shutdown=0.3)):
        pass
    assert 0.25 < when(journal, "stopped")["a"] - when(journal, "stopping")["b"] < 5
    assert journal.story("stopped") == ["stopped a"]


def test_zero_seconds_of_patience_are_legal(journal):
    with tree(journal.worker("a", stop=60.0, shutdown=0)):
        pass
    assert journal.story("stopped") == []


def test_a_child_that_is_busy_in_a_callback_is_killed_without_terminate(journal):
    with tree(journal.worker("a", shutdown=0.3)) as supervisor:
        supervisor.child("a").cast((roles.spin,))
        with pytest.raises(CallTimeout):
            supervisor.child("a").call((roles.answer,), timeout=0.1)
    assert journal.story("stopping") == []


def test_a_brutal_kill_leaves_no_time(journal):
    with tree(journal.worker("a", shutdown="brutal_kill")):
        pass
    assert journal.story("up", "stopping") == ["up a"]


def test_infinity_waits_for_as_long_as_it_takes(journal):
    with tree(journal.worker("a", stop=1.2, shutdown="infinity")):
        pass
    assert journal.story("stopped") == ["stopped a"]


def test_a_terminate_that_raises_does_not_stop_the_stopping(journal):
    children = [journal.worker("a"), ChildSpec("b", roles.Trapper), journal.worker("c")]
    with tree(*children) as supervisor:
        supervisor.child("b").call((roles.write_will, "raise"))
    assert journal.story("stopped") == ["stopped c", "stopped a"]


def test_a_sibling_that_dies_while_the_tree_stops_is_not_restarted(journal):
    lingering = journal.flag("linger")
    slow = journal.worker("b", lingers=lingering, shutdown=60.0)
    supervisor = Supervisor.start_link([journal.worker("a"), slow])
    victim = pids(supervisor)["a"]
    stopping = threading.Thread(target=supervisor.stop)
    stopping.start()
    wait_until(lambda: journal.story("stopping"))
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: statuses(supervisor)["a"] == "stopped")
    journal.lower("linger")
    stopping.join()
    assert journal.story("begin") == ["begin a", "begin b"]


def test_a_management_call_while_the_tree_stops_is_refused_and_listings_are_answered(journal):
    lingering = journal.flag("linger")
    supervisor = Supervisor.start_link([journal.worker("a", lingers=lingering, shutdown=60.0)])
    stopping = threading.Thread(target=supervisor.stop)
    stopping.start()
    wait_until(lambda: journal.story("stopping"))
    assert statuses(supervisor) == {"a": "stopping"}
    with pytest.raises(SupervisionError, match="is stopping"):
        supervisor.start_child(journal.worker("b"))
    journal.lower("linger")
    stopping.join()


def test_somebody_who_waits_for_a_child_learns_of_the_end(journal):
    supervisor = Supervisor.start_link(journal.workers("ab", stop=0.3))
    supervisor.terminate_child("a")
    found = []

    def ask():
        try:
            supervisor.child("a", timeout=30)
        except ProcessExited as exited:
            found.append(str(exited.reason))

    asking = threading.Thread(target=ask)
    asking.start()
    with pytest.raises(CallTimeout):
        supervisor.child("a", timeout=0.3)
    supervisor.stop()
    asking.join()
    assert found == ["normal"]


def test_a_grandchild_stops_before_the_older_siblings_of_its_supervisor(journal):
    inner = Supervisor.child_spec("inner", journal.workers("bc"))
    with tree(journal.worker("a"), inner, journal.worker("d")):
        pass
    assert journal.story("stopped") == [f"stopped {child_id}" for child_id in "dcba"]


def test_whoever_waits_for_the_end_of_the_tree_learns_its_reason(journal):
    supervisor = Supervisor.start_link(journal.workers("a", stop=0.2))
    found = []
    waiting = threading.Thread(target=lambda: found.append(str(supervisor.wait(10))))
    waiting.start()
    assert supervisor.wait(0.2) is None
    supervisor.stop("normal")
    waiting.join()
    assert found == ["normal"]


def test_stop_with_a_timeout_returns_in_time_and_the_tree_goes_on_stopping(journal):
    lingering = journal.flag("linger")
    supervisor = Supervisor.start_link([journal.worker("a", lingers=lingering, shutdown=60.0)])
    with pytest.raises(CallTimeout):
        supervisor.stop(timeout=0.2)
    journal.lower("linger")
    assert supervisor.wait(10) is not None
    assert journal.story("stopped") == ["stopped a"]


def test_a_program_that_gives_up_its_start_need_not_wait_for_a_slow_child(journal):
    slow = journal.worker("b", init=60.0, start_timeout=60.0)
    with pytest.raises(Exception, match="within"):
        Supervisor.start_link([journal.worker("a"), slow], timeout=0.5)
    journal.check()


def test_a_child_told_to_stop_at_its_birth_hears_of_it(journal):
    """The signal may arrive together with the birth."""
    with tree(journal.worker("a", shutdown=600.0)) as supervisor:
        supervisor.terminate_child("a")
        for _ in range(20):
            supervisor.ref.cast(("restart_child", "a"))
            supervisor.terminate_child("a")
        assert statuses(supervisor) == {"a": "stopped"}


def test_a_block_that_raises_stops_the_tree_and_shows_its_own_error(journal):
    with pytest.raises(ZeroDivisionError), tree(*journal.workers("ab")):
        _ = 1 / 0
    assert journal.story("stopped") == ["stopped b", "stopped a"]


def test_a_block_may_find_its_tree_gone_at_the_end(journal):
    with tree(*journal.workers("a")) as supervisor:
        supervisor.stop()


def test_a_killed_root_takes_everything_along(journal):
    inner = Supervisor.child_spec("inner", journal.workers("bc", stray=True))

    def measure():
        with tree(journal.worker("a", stray=True), inner) as supervisor:
            everybody = [line.pid for line in journal.lines() if line.event == "up"]
            os.kill(supervisor.ref.pid, signal.SIGKILL)
            assert supervisor.wait(10) == KILLED
            begun = clock.monotonic()
            wait_until(lambda: not any(map(is_running, everybody)))
            return clock.monotonic() - begun

    assert shortest(measure, 1.0) < 1.0
    reasons = {line.detail for line in journal.lines() if line.event == "stopping"}
    assert reasons <= {"killed", "shutdown"}
