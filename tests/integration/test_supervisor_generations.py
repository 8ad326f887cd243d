"""No two generations overlap: a successor starts when everything of its predecessor is gone."""

import contextlib
import os
import random
import signal

import pytest

from beethoven import DynamicSupervisor, DynamicSupervisorRef, Supervisor
from tests.integration.trees import Journal, pids, statuses, tree
from tests.processes import is_running, wait_until

pytestmark = [pytest.mark.process, pytest.mark.shared_tree]


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path)


def latest(journal):
    """Return the pid of the present instance of each worker."""
    return {line.id: line.pid for line in journal.lines() if line.event == "up"}


def kill_and_settle(journal, victim, ids):
    """Kill a process, and wait until each of these workers runs in a new one."""
    before = latest(journal).values()
    os.kill(victim.pid, signal.SIGKILL)
    wait_until(lambda: settled(journal, ids, before))


def settled(journal, ids, before=()):
    """Whether each of these workers runs in a process that is not one of those before."""
    now = latest(journal)
    return all(
        child_id in now and now[child_id] not in before and is_running(now[child_id])
        for child_id in ids
    )


def test_a_killed_child_is_replaced_when_what_it_started_is_gone(journal):
    with tree(*journal.workers("a", stray=True), max_restarts=100) as supervisor:
        for _ in range(5):
            kill_and_settle(journal, supervisor.child("a"), "a")
        journal.check()


@pytest.mark.parametrize("stop", [0.0, 0.3, 60.0])
def test_a_killed_supervisor_is_replaced_when_its_whole_subtree_is_gone(journal, stop):
    """Also if the children trap exits, and take long or for ever to terminate."""
    innermost = Supervisor.child_spec("innermost", journal.workers("de", stop=stop))
    inner = Supervisor.child_spec(
        "inner", [*journal.workers("bc", stop=stop, stray=True), innermost]
    )
    with tree(journal.worker("a"), inner, max_restarts=100) as supervisor:
        for _ in range(3):
            untouched = latest(journal)["a"]
            kill_and_settle(journal, supervisor.child("inner"), "bcde")
            assert latest(journal)["a"] == untouched
        journal.check()
        # Do not wait for those that would take a minute to terminate.
        os.kill(supervisor.ref.pid, signal.SIGKILL)
        supervisor.wait(10)


def kill(pid):
    """Kill a process that may be about to end anyway, and wait until it has."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_running(pid))


def test_a_killed_dynamic_supervisor_loses_its_children_for_good(journal):
    with tree(DynamicSupervisor.child_spec("inner")) as supervisor:
        for child_id in "ab":
            pool = DynamicSupervisorRef(supervisor.child("inner"))
            pool.start_child(journal.worker(child_id, stray=True))
        before = latest(journal).values()
        killed = supervisor.child("inner")
        os.kill(killed.pid, signal.SIGKILL)
        wait_until(lambda: supervisor.child("inner") != killed)
        assert not [pid for pid in before if is_running(pid)]
        assert DynamicSupervisorRef(supervisor.child("inner")).count_children().specs == 0


def test_fifty_crashes_leave_the_tree_whole_and_no_instance_twice(journal):
    dice = random.Random(1)
    inner = Supervisor.child_spec("inner", journal.workers("bc", stray=True), max_restarts=1000)
    children = [journal.worker("a"), inner, journal.worker("d")]
    with tree(*children, strategy="rest_for_one", max_restarts=1000) as supervisor:
        for _ in range(50):
            wait_until(lambda: settled(journal, "abcd"))
            wait_until(lambda: set(statuses(supervisor).values()) == {"running"})
            victims = {**latest(journal), "inner": pids(supervisor)["inner"]}
            victim = dice.choice(sorted(victims))
            kill(victims[victim])
        wait_until(lambda: settled(journal, "abcd"))
        journal.check()
