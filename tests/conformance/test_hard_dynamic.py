"""The hard orders of a dynamic supervisor: its children come, go and die all at the same time."""

import threading

import pytest

from beethoven import DynamicSupervisor, DynamicSupervisorRef
from beethoven.errors import ChildNotFound, ProcessExited, SupervisionError
from beethoven.runtime.reason import KILLED, SHUTDOWN
from tests.conformance.hard import (
    PATIENT,
    entry,
    freeze,
    instances,
    is_whole,
    kill,
    kill_at_once,
    latest,
    running,
    times,
)
from tests.integration.trees import PERIOD, pids, statuses, tree
from tests.processes import wait_until

pytestmark = pytest.mark.process


def pool_of(*specs, **options):
    """Start a dynamic supervisor with these children."""
    pool = DynamicSupervisor.start_link(max_seconds=PERIOD, **options)
    for spec in specs:
        pool.start_child(spec)
    return pool


def test_each_of_several_deaths_at_once_counts(journal):
    with pool_of(*journal.workers("abcd"), max_restarts=3) as pool:
        kill_at_once(pool, "a", "b", "c")
        wait_until(lambda: is_whole(pool) and len(journal.story("up")) == 7)
        kill(pids(pool)["d"])
        assert pool.wait(10) == SHUTDOWN


def test_slow_stuck_and_frozen_children_stop_side_by_side(journal):
    children = [
        journal.worker("slow", stop=1.0),
        journal.worker("stuck", stop=60.0, shutdown=1.0),
        journal.worker("frozen", shutdown=0.4),
        journal.worker("brutal", shutdown="brutal_kill"),
    ]
    with pool_of(*children) as pool:
        for child_id in ("frozen", "brutal"):
            freeze(pids(pool)[child_id])
        pool.stop(timeout=10)
    lines = {(line.id, line.event): line.at for line in journal.lines()}
    assert lines["stuck", "stopping"] < lines["slow", "stopped"]
    assert [line.id for line in journal.lines() if line.event == "stopped"] == ["slow"]


def test_children_that_still_start_are_told_to_stop_with_the_others(journal):
    pool = pool_of(journal.worker("a"))
    hanging = journal.worker("b", hangs=journal.flag("hangs"), trap=False, start_timeout=60.0)
    outcome: list[object] = []

    def start():
        try:
            pool.start_child(hanging)
        except (SupervisionError, ProcessExited) as error:
            outcome.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    wait_until(lambda: times(journal, "begin b"))
    pool.stop(timeout=10)
    thread.join()
    assert len(outcome) == 1
    assert journal.story("stopped") == ["stopped a"]


def test_a_child_that_cannot_start_again_is_found_by_the_reference_it_had(journal):
    flag = journal.folder / "fails"
    child = journal.worker("a", fails=str(flag))
    with pool_of(max_restarts=1_000_000) as pool:
        ref = pool.start_child(child)
        flag.touch()
        kill(ref.pid)
        wait_until(lambda: times(journal, "begin a") > 3)
        pool.terminate_process(ref)
        assert pool.which_children() == []
        begun = times(journal, "begin a")
        assert pool.wait(0.3) is None
        assert times(journal, "begin a") == begun
        with pytest.raises(ChildNotFound):
            pool.terminate_process(ref)


def test_a_restart_that_hangs_is_killed_in_its_time_and_counts(journal):
    flag = journal.folder / "hangs"
    child = journal.worker("a", hangs=str(flag), start_timeout=1.5)
    with pool_of(child, journal.worker("b"), max_restarts=2) as pool:
        flag.touch()
        kill(pids(pool)["a"])
        assert pool.wait(30) == SHUTDOWN
    assert times(journal, "begin a") == 3
    assert journal.story("stopped") == ["stopped b"]


def starts(pool, journal):
    """Begin to start a child that hangs."""
    flag = journal.flag("flag")
    pool.ref.cast(("start_child", journal.worker("x", hangs=flag, start_timeout=60.0)))
    wait_until(lambda: times(journal, "begin x"))


def restarts(pool, journal):
    """Try again and again to restart a child."""
    flag = journal.flag("flag")
    kill(instances(journal, "a")[-1])
    wait_until(lambda: times(journal, "begin a") > 3)
    assert flag


def terminates(pool, journal):
    """Await the end of a child."""
    journal.flag("lingers")
    pool.ref.cast(("terminate_child", "b"))
    wait_until(lambda: times(journal, "stopping b"))


def gives_up(pool, journal):
    """Stop all children, since one has died too often."""
    journal.flag("lingers")
    kill(instances(journal, "c")[-1])
    wait_until(lambda: times(journal, "stopping b"))


MOMENTS = [(starts, PATIENT), (restarts, 1_000_000), (terminates, PATIENT), (gives_up, 0)]


@pytest.mark.parametrize(("script", "max_restarts"), MOMENTS)
def test_one_that_is_killed_in_the_middle_is_replaced_empty(journal, script, max_restarts):
    spec = DynamicSupervisor.child_spec("pool", max_restarts=max_restarts)
    with tree(spec, journal.worker("z")) as root:
        pool = DynamicSupervisorRef(root.child("pool"))
        pool.start_child(journal.worker("a", fails=str(journal.folder / "flag")))
        lingers = str(journal.folder / "lingers")
        pool.start_child(journal.worker("b", lingers=lingers, stray=True))
        pool.start_child(journal.worker("c"))
        script(pool, journal)
        kill(pool.ref.pid)
        wait_until(lambda: pids(root)["pool"] not in {0, pool.ref.pid} and is_whole(root))
        assert [child_id for child_id, _ in running(journal)] == ["z"]
        assert entry(root, "pool").last_exit == KILLED
        successor = DynamicSupervisorRef(root.child("pool"))
        assert successor.which_children() == []
        for child_id in "bc":
            successor.start_child(journal.worker(child_id))
        assert statuses(successor) == {"b": "running", "c": "running"}
        assert {pid for _, pid in running(journal)} <= {pid for _, pid in latest(journal)}
