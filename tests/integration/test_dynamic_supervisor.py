"""Children that come and go: started on demand, each for itself, stopped all at once."""

import os
import signal
import threading

import pytest

from beethoven import Backoff, ChildSpec, DynamicSupervisor, DynamicSupervisorRef, Supervisor, clock
from beethoven.errors import (
    ChildAlreadyPresent,
    ChildNotFound,
    ChildRunning,
    ChildStartFailed,
    MaxChildren,
    SpecError,
    SupervisionError,
)
from beethoven.runtime.reason import SHUTDOWN
from tests.integration import roles
from tests.integration.roles import Puppet
from tests.integration.trees import Journal, pids, statuses
from tests.processes import is_running, wait_until

pytestmark = [pytest.mark.process, pytest.mark.shared_tree]


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path)


def test_children_start_on_demand_and_ids_may_repeat():
    with DynamicSupervisor.start_link() as supervisor:
        first = supervisor.start_child(ChildSpec("a", Puppet))
        second = supervisor.start_child(ChildSpec("a", Puppet))
        assert first != second
        assert [each.ref for each in supervisor.which_children()] == [second, first]
        assert supervisor.count_children().active == 2
        with pytest.raises(SupervisionError, match="one child of id 'a', got: 2"):
            supervisor.terminate_child("a")
        assert second is not None
        supervisor.terminate_process(second)
        assert [each.ref for each in supervisor.which_children()] == [first]
        with pytest.raises(ChildNotFound):
            supervisor.terminate_process(second)


def test_a_child_is_restarted_by_its_type_and_forgotten_when_it_ends_for_good():
    with DynamicSupervisor.start_link(max_restarts=10) as supervisor:
        for kind in ("permanent", "transient", "temporary"):
            supervisor.start_child(ChildSpec(kind, Puppet, restart=kind))
        before = pids(supervisor)
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        expected = {"permanent": "running", "transient": "running"}
        wait_until(lambda: not set(before.values()) & set(pids(supervisor).values()))
        wait_until(lambda: statuses(supervisor) == expected)
        supervisor.child("transient").cast((roles.end, "normal"))
        wait_until(lambda: statuses(supervisor) == {"permanent": "running"})


def test_a_process_that_was_replaced_is_known_while_its_child_restarts(journal):
    flag = journal.folder / "fail"
    with DynamicSupervisor.start_link(max_restarts=1000) as supervisor:
        ref = supervisor.start_child(journal.worker("a", fails=str(flag), init=0.1))
        assert ref is not None
        flag.touch()
        os.kill(ref.pid, signal.SIGKILL)
        wait_until(lambda: statuses(supervisor) == {"a": "restarting"})
        supervisor.terminate_process(ref)
        assert statuses(supervisor) == {}


def test_a_child_that_does_not_start_is_not_recorded(journal):
    with DynamicSupervisor.start_link() as supervisor:
        with pytest.raises(ChildStartFailed, match="was told to fail"):
            supervisor.start_child(journal.worker("a", fails=journal.flag("fail")))
        assert supervisor.start_child(journal.worker("b", ignores=journal.flag("no"))) is None
        assert statuses(supervisor) == {}


def test_the_limit_of_children_is_kept(journal):
    with DynamicSupervisor.start_link(max_children=2) as supervisor:
        supervisor.start_child(journal.worker("a"))
        supervisor.start_child(journal.worker("b"))
        with pytest.raises(MaxChildren, match="at most 2 children"):
            supervisor.start_child(journal.worker("c"))
        supervisor.terminate_child("a")
        supervisor.start_child(journal.worker("c"))


def test_bad_options_are_refused():
    with pytest.raises(SpecError, match="expected max_children to be an integer >= 0 or None"):
        DynamicSupervisor.start_link(max_children=-1)
    with pytest.raises(SpecError, match="expected keep_ended to be True or False, got: 1"):
        DynamicSupervisor.start_link(keep_ended=1)  # type: ignore[arg-type]


def test_a_significant_child_is_refused(journal):
    with DynamicSupervisor.start_link() as supervisor, pytest.raises(SpecError, match="never"):
        supervisor.start_child(journal.worker("s", restart="transient", significant=True))


def test_all_children_stop_at_the_same_time(journal):
    with DynamicSupervisor.start_link() as supervisor:
        for child_id in "abcdefgh":
            supervisor.start_child(journal.worker(child_id, stop=2.0))
    story = journal.story("stopping", "stopped")
    assert [line.partition(" ")[0] for line in story] == ["stopping"] * 8 + ["stopped"] * 8


def test_each_child_is_given_its_own_time_to_stop(journal):
    with DynamicSupervisor.start_link() as supervisor:
        supervisor.start_child(journal.worker("obeys", stop=0.5))
        supervisor.start_child(journal.worker("defies", stop=60.0, shutdown=0.2))
        supervisor.start_child(journal.worker("brutal", shutdown="brutal_kill"))
    assert journal.story("stopped") == ["stopped obeys"]


def test_the_intensity_counts_over_all_children(journal):
    with DynamicSupervisor.start_link(max_restarts=1) as supervisor:
        supervisor.start_child(journal.worker("a"))
        supervisor.start_child(journal.worker("b"))
        before = pids(supervisor)
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        assert supervisor.wait(10) == SHUTDOWN


def test_slow_starts_run_side_by_side(journal):
    with DynamicSupervisor.start_link() as supervisor:
        threads = [
            threading.Thread(target=supervisor.start_child, args=[journal.worker(c, init=1.0)])
            for c in "abcdefgh"
        ]
        begun = clock.monotonic()
        for thread in threads:
            thread.start()
        wait_until(lambda: len(statuses(supervisor)) == 8)
        for thread in threads:
            thread.join()
        assert clock.monotonic() - begun < 8 * 1.0
        assert set(statuses(supervisor).values()) == {"running"}


def test_three_hundred_children_start_and_stop_and_leave_nothing():
    with DynamicSupervisor.start_link(name="crowd") as supervisor:
        for number in range(300):
            supervisor.start_child(ChildSpec(f"c{number}", Puppet, restart="temporary"))
        everybody = pids(supervisor)
        assert supervisor.count_children().active == 300
    assert not [pid for pid in everybody.values() if is_running(pid)]


def test_with_keep_ended_a_child_that_ended_for_good_stays_listed():
    with DynamicSupervisor.start_link(keep_ended=True) as supervisor:
        supervisor.start_child(ChildSpec("done", Puppet, restart="transient"))
        supervisor.start_child(ChildSpec("dead", Puppet, restart="temporary"))
        with pytest.raises(ChildRunning):
            supervisor.start_child(ChildSpec("done", Puppet))
        supervisor.child("done").cast((roles.end, "normal"))
        supervisor.child("dead").cast((roles.crash, "boom"))
        wait_until(lambda: statuses(supervisor) == {"done": "stopped", "dead": "stopped"})
        exits = {each.id: str(each.last_exit) for each in supervisor.which_children()}
        assert exits == {"done": "normal", "dead": "ValueError: boom"}
        with pytest.raises(ChildAlreadyPresent):
            supervisor.start_child(ChildSpec("done", Puppet))
        assert supervisor.restart_child("done") is not None
        supervisor.delete_child("dead")
        assert statuses(supervisor) == {"done": "running"}


def test_with_a_backoff_a_child_that_keeps_failing_ends_nobody(journal):
    flag = journal.folder / "fail"
    pause = Backoff(initial=0.05, maximum=0.1)
    with DynamicSupervisor.start_link(max_restarts=1, backoff=pause) as supervisor:
        supervisor.start_child(journal.worker("good"))
        supervisor.start_child(journal.worker("bad", fails=str(flag)))
        good = pids(supervisor)["good"]
        flag.touch()
        os.kill(pids(supervisor)["bad"], signal.SIGKILL)
        wait_until(lambda: statuses(supervisor)["bad"] == "failed")
        wait_until(lambda: journal.story("begin").count("begin bad") > 6)
        flag.unlink()
        wait_until(lambda: statuses(supervisor) == {"good": "running", "bad": "running"})
        assert pids(supervisor)["good"] == good


def test_a_nested_dynamic_supervisor_works_as_a_child(journal):
    with Supervisor.start_link([DynamicSupervisor.child_spec("pool", max_children=1)]) as tree:
        pool = DynamicSupervisorRef(tree.child("pool"))
        pool.start_child(journal.worker("a"))
        with pytest.raises(MaxChildren):
            pool.start_child(journal.worker("b"))
    assert journal.story("stopped") == ["stopped a"]
