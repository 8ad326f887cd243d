"""A supervisor of tasks: what it starts, for whom, and how that ends. Its streams are elsewhere."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from beethoven import (
    DynamicSupervisorRef,
    Exited,
    ExitReason,
    Ok,
    ReasonKind,
    Supervisor,
    Task,
    TaskSupervisor,
    TaskSupervisorRef,
    whereis,
)
from beethoven.errors import ChildNotFound, MaxChildren, ProcessExited, SpecError
from beethoven.runtime.reason import KILLED, NORMAL, SHUTDOWN
from tests.conformance import streaming
from tests.conformance.cases import proves
from tests.integration import roles
from tests.integration.roles import Puppet, Trapper
from tests.processes import end, is_running, wait_until

pytestmark = pytest.mark.process


@pytest.fixture
def tasks() -> Iterator[TaskSupervisorRef]:
    with TaskSupervisor.start_link() as running:
        yield running


@pytest.fixture
def consumer() -> Iterator[Any]:
    puppet = Puppet.start_link()
    yield puppet
    end(puppet)


@proves("E302")
def test_it_can_be_a_child_of_a_supervisor():
    with Supervisor.start_link([TaskSupervisor.child_spec(name="jobs")]):
        assert TaskSupervisorRef("jobs").async_(streaming.double, 21).await_() == 42


@proves("E304")
def test_its_id_is_its_name_and_two_without_a_name_clash():
    first, second = (TaskSupervisor.child_spec(name=name) for name in ("jobs", "chores"))
    with Supervisor.start_link([first, second]) as tree:
        assert {each.id for each in tree.which_children()} == {"jobs", "chores"}
    unnamed = [TaskSupervisor.child_spec(), TaskSupervisor.child_spec()]
    with pytest.raises(SpecError, match="child ids to be unique, got: 'TaskSupervisor'"):
        Supervisor.start_link(unnamed)


@proves("E305")
def test_it_counts_and_lists_its_tasks(tasks):
    as_supervisor = DynamicSupervisorRef(tasks.ref)
    assert tasks.children() == tasks.which_children() == as_supervisor.which_children() == []
    assert as_supervisor.count_children() == tasks.count_children()
    assert tasks.count_children().specs == tasks.count_children().active == 0
    ref = tasks.start_child(streaming.wait_for_ever)
    assert tasks.children() == [ref]
    assert as_supervisor.count_children() == tasks.count_children()
    assert tasks.count_children().active == tasks.count_children().workers == 1


@proves("E306")
def test_a_task_is_a_child_of_the_supervisor_and_linked_to_who_asked(tasks, consumer, tmp_path):
    work = (partial(streaming.wait_for_files, str(tmp_path)), 1)
    ref = consumer.call((streaming.start_and_watch, tasks, "async_", *work))
    assert tasks.children() == [ref]
    assert ref.identity in consumer.call((streaming.ties,))
    tmp_path.joinpath("go on").touch()
    assert consumer.call((streaming.await_kept,)) is None
    wait_until(lambda: consumer.call((roles.seen,)))
    [down] = consumer.call((roles.seen,))
    assert (down.ref, down.reason) == (ref, NORMAL)
    # Who is linked hears of the end before the supervisor does.
    wait_until(lambda: not tasks.children())


@pytest.mark.parametrize(
    ("kind", "ends"),
    [("async_", True), ("async_nolink", False)],
)
@proves("E306", "E311")
def test_only_a_link_makes_who_asked_end_with_the_task(tasks, kind, ends):
    consumer = Puppet.start_link()
    ref = consumer.call((streaming.start_and_watch, tasks, kind, streaming.wait_for_ever))
    ref.exit("kill")
    if ends:
        assert consumer.wait(10) == KILLED
    else:
        wait_until(lambda: consumer.call((roles.seen,)))
        end(consumer)


@pytest.mark.parametrize(
    ("kind", "ends"),
    [("async_", True), ("async_nolink", False)],
)
@proves("E306", "E311")
def test_only_a_link_makes_the_task_end_with_who_asked(tasks, kind, ends):
    consumer = Puppet.start_link()
    ref = consumer.call((streaming.start_and_watch, tasks, kind, streaming.wait_for_ever))
    consumer.exit("kill")
    consumer.wait(10)
    if ends:
        assert ref.wait(10) == KILLED
    else:
        assert tasks.children() == [ref]


@proves("E311")
def test_without_a_link_there_is_a_result_and_then_an_end(tasks, consumer, tmp_path):
    work = (partial(streaming.wait_for_files, str(tmp_path)), 1)
    ref = consumer.call((streaming.start_and_watch, tasks, "async_nolink", *work))
    assert tasks.children() == [ref]
    assert ref.identity not in consumer.call((streaming.ties,))
    tmp_path.joinpath("go on").touch()
    assert consumer.call((streaming.yield_kept,)) == Ok(None)
    wait_until(lambda: consumer.call((roles.seen,)))
    [down] = consumer.call((roles.seen,))
    assert (down.ref, down.reason) == (ref, NORMAL)


@pytest.mark.parametrize("kind", ["async_", "async_nolink", "start_child"])
@pytest.mark.parametrize(("shutdown", "reason"), [("brutal_kill", KILLED), (5, SHUTDOWN)])
@proves("E307", "E312", "E317")
def test_the_supervisor_stops_each_task_in_its_own_way(kind, shutdown, reason):
    watcher = Trapper.start_link()
    with TaskSupervisor.start_link() as tasks:
        started = getattr(tasks, kind)(streaming.wait_for_ever, shutdown=shutdown)
        ref = started if kind == "start_child" else started.ref
        watcher.call((roles.monitor, ref))
    wait_until(lambda: watcher.call((roles.seen,)))
    [down] = watcher.call((roles.seen,))
    assert (down.ref, down.reason) == (ref, reason)
    end(watcher)


@pytest.mark.parametrize("kind", ["async_", "async_nolink", "start_child"])
@proves("E308", "E313")
def test_one_task_too_many_is_an_error_that_names_the_limit(kind):
    with TaskSupervisor.start_link(max_children=1) as tasks:
        getattr(tasks, kind)(streaming.wait_for_ever)
        with pytest.raises(MaxChildren, match="expected at most 1 children"):
            getattr(tasks, kind)(streaming.wait_for_ever)
        assert len(tasks.children()) == 1


def test_a_task_whose_result_is_out_no_longer_counts():
    with TaskSupervisor.start_link(max_children=1) as tasks:
        for item in range(10):
            assert tasks.async_(streaming.double, item).await_() == 2 * item
            assert isinstance(tasks.async_nolink(streaming.fail).yield_(), Exited)


def test_a_process_that_takes_its_time_to_end_is_waited_for_when_its_place_is_needed():
    with TaskSupervisor.start_link(max_children=1) as tasks:
        assert tasks.async_(streaming.double_and_end_late, 1, 1.0).await_() == 2
        assert tasks.async_(streaming.double, 2).await_() == 4


def test_a_task_whose_result_nobody_takes_counts():
    """Not even a result so large that only a part of it is on its way."""
    with TaskSupervisor.start_link(max_children=1) as tasks:
        task = tasks.async_(bytes, 20_000_000)
        with pytest.raises(MaxChildren):
            tasks.async_(streaming.double, 1)
        assert len(task.await_()) == 20_000_000
        assert tasks.async_(streaming.double, 1).await_() == 2


@proves("E309", "E319")
def test_a_task_knows_who_asked_for_it_which_is_not_its_supervisor(tasks, consumer, tmp_path):
    for kind in ("async_", "async_nolink"):
        consumer.call((streaming.start_and_watch, tasks, kind, streaming.who_asked_and_whose_child))
        assert consumer.call((streaming.await_kept,)) == ((consumer,), tasks.ref)
    found = str(tmp_path / "found")
    consumer.call((streaming.start_for_its_effects, tasks, streaming.write_who_asked, found))
    wait_until((tmp_path / "found").exists)
    wait_until(lambda: (tmp_path / "found").read_text("utf-8") == consumer.identity)


@proves("E310", "E314")
@pytest.mark.parametrize("kind", ["async_", "async_nolink"])
def test_a_task_takes_a_function_with_its_arguments(tasks, kind):
    assert getattr(tasks, kind)(streaming.power, 3, 2).await_() == 8
    assert getattr(tasks, kind)(streaming.power, 3, item=2).await_() == 8


@proves("E315")
def test_a_task_for_its_effects_gives_no_result_and_no_link(tasks, consumer, tmp_path):
    ref = consumer.call(
        (streaming.start_for_its_effects, tasks, streaming.note_and_wait, str(tmp_path), 0)
    )
    wait_until(lambda: [each.name for each in tmp_path.iterdir()] == [str(ref.pid)])
    assert tasks.children() == [ref]
    assert consumer.call((streaming.ties,)) == []
    ref.exit("kill")
    wait_until(lambda: not tasks.children())
    assert consumer.call((roles.seen,)) == []


@proves("E316")
def test_a_task_for_its_effects_takes_a_function_with_its_arguments(tasks, tmp_path):
    tasks.start_child(streaming.note_and_double_all_but, str(tmp_path), late=1, item=2)
    wait_until(lambda: list(tmp_path.iterdir()))


@proves("E318")
def test_a_permanent_task_is_run_again(tmp_path):
    with TaskSupervisor.start_link(max_restarts=10) as tasks:
        first = tasks.start_child(streaming.note_and_wait, str(tmp_path), 0, restart="permanent")
        wait_until(lambda: len(list(tmp_path.iterdir())) == 1)
        first.exit("kill")
        wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
        wait_until(lambda: [each.status for each in tasks.which_children()] == ["running"])
        assert tasks.children() != [first]


def test_other_tasks_are_run_once(tasks, tmp_path):
    first = tasks.start_child(streaming.note_and_wait, str(tmp_path), 0)
    wait_until(lambda: len(list(tmp_path.iterdir())) == 1)
    first.exit("kill")
    wait_until(lambda: not tasks.children())
    assert len(list(tmp_path.iterdir())) == 1


@proves("E320")
def test_a_task_can_be_terminated_once(tasks):
    ref = tasks.start_child(streaming.wait_for_ever)
    assert tasks.terminate_child(ref) is None
    assert not is_running(ref.pid)
    assert tasks.children() == []
    with pytest.raises(ChildNotFound):
        tasks.terminate_child(ref)


def test_a_task_that_is_awaited_can_be_terminated_too(tasks):
    task = tasks.async_nolink(streaming.wait_for_ever)
    tasks.terminate_child(task)
    assert not is_running(task.ref.pid)
    with pytest.raises(ChildNotFound):
        tasks.terminate_child(Task.completed(1))
    with pytest.raises(SpecError, match="expected the task to end to be a Task or the Ref of one"):
        tasks.terminate_child("f")


@proves("E321")
def test_who_has_given_up_waiting_hears_no_more(tasks, consumer, tmp_path):
    work = (partial(streaming.wait_for_files, str(tmp_path)), 1)
    ref = consumer.call((streaming.start_and_give_up, tasks, *work))
    tmp_path.joinpath("go on").touch()
    wait_until(lambda: not tasks.children())
    assert not ref.is_alive()
    assert consumer.call((roles.seen,)) == []
    assert consumer.call((streaming.ties,)) == []


@pytest.mark.parametrize(
    ("work", "kind", "detail"),
    [
        pytest.param((streaming.leave,), ReasonKind.EXCEPTION, "SystemExit: 3", id="thrown"),
        pytest.param(
            (streaming.fail, 7), ReasonKind.EXCEPTION, "ValueError: failed on 7", id="error"
        ),
        pytest.param((streaming.stop_with, "unknown"), ReasonKind.OTHER, "unknown", id="exit"),
    ],
)
@proves("E322", "E323", "E324")
def test_whoever_waits_for_a_task_gets_the_reason_of_its_end(tasks, work, kind, detail):
    with pytest.raises(ProcessExited) as caught:
        tasks.async_nolink(*work).await_()
    assert (caught.value.reason.kind, caught.value.reason.detail) == (kind, detail)
    [result] = [tasks.async_nolink(*work).yield_()]
    assert isinstance(result, Exited)
    assert isinstance(result.reason, ExitReason)
    assert result.reason.detail == detail


def test_a_name_finds_the_successor_too():
    with Supervisor.start_link([TaskSupervisor.child_spec(name="jobs")]) as tree:
        jobs = TaskSupervisorRef("jobs")
        before = jobs.ref
        before.exit("kill")
        wait_until(lambda: whereis("jobs") not in (None, before))
        assert tree.child("jobs") == jobs.ref
        assert jobs.async_(streaming.double, 21).await_() == 42


def test_the_end_of_the_supervisor_ends_its_tasks(tmp_path):
    tasks = TaskSupervisor.start_link()
    ref = tasks.start_child(streaming.note_and_wait, str(tmp_path), 0)
    wait_until(lambda: list(tmp_path.iterdir()))
    tasks.ref.exit("kill")
    assert ref.wait(10) == KILLED
    wait_until(lambda: not is_running(ref.pid))


def test_the_supervisor_reads_nothing_of_a_task(tasks):
    """A function that cannot be found ends its own task alone."""
    with pytest.raises(SpecError, match="top level"):
        tasks.async_(lambda: None)
    assert tasks.children() == []


def test_a_block_ends_well_though_its_supervisor_is_gone():
    with TaskSupervisor.start_link(name="jobs"), TaskSupervisorRef("jobs") as tasks:
        ref = tasks.ref
        ref.exit("kill")
        ref.wait(10)
    assert not ref.is_alive()
