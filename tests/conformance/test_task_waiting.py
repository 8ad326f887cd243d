"""Tasks: waiting for one or many without giving up, in Elixir's own cases, E214 to E244."""

import pytest

from beethoven import Exit, ExitReason, ReasonKind, clock
from beethoven.errors import NotOwner, ProcessExited, SpecError, TaskTimeout
from beethoven.tasks.many import await_many, first_result, yield_many
from beethoven.tasks.results import Exited, Ok
from beethoven.tasks.task import Task
from tests.conformance import task_work as work
from tests.conformance.cases import proves
from tests.integration import roles
from tests.integration.roles import Puppet, Trapper
from tests.processes import end, wait_until

pytestmark = pytest.mark.process

NORMAL = Exited(ExitReason(ReasonKind.NORMAL))


@pytest.fixture
def owner():
    """Return a role that starts tasks and is told of their ends."""
    ref = Trapper.start_link()
    yield ref
    end(ref)


@pytest.fixture
def held():
    """Return a task that never ends by itself."""
    task = Task.async_(work.hold)
    yield task
    task.shutdown("brutal_kill")


def over(task: Task) -> Task:
    """Return a task whose process has ended, its result or its end being there to be taken."""
    assert task.ref is not None
    assert task.ref.wait(10) is not None
    return task


def seen(ref):
    return ref.call((roles.seen,))


# await_many


@proves("E214", "E215")
def test_all_results_come_in_the_order_of_the_tasks_whatever_ends_first(tmp_path):
    first = Task.async_(work.wait_for, str(tmp_path / "go on"), "first")
    second = over(Task.async_(work.double, 2))
    third = Task.async_(work.touch, str(tmp_path / "go on"))
    assert await_many([first, second, third]) == ["first", 4, None]


@proves("E216")
def test_no_tasks_are_no_results_at_once():
    assert await_many([], None) == []


@proves("E217", "E218")
def test_messages_that_are_no_results_stay_in_the_mailbox(owner, tmp_path):
    path = str(tmp_path / "go on")
    tasks = [owner.call((work.start_task, work.wait_for, path, number)) for number in (1, 2)]
    replies = Puppet.start_link()
    replies.cast((roles.send_many_and_die, owner, ["before"]))
    assert replies.wait(10) is not None
    work.touch(path)
    assert owner.call((work.await_all, 10)) == [1, 2]
    wait_until(lambda: len(seen(owner)) == 3)
    assert seen(owner)[0] == "before"
    # The links tell of the ends, and nobody of anything else.
    assert {each.ref for each in seen(owner)[1:] if isinstance(each, Exit)} == set(tasks)


@proves("E219")
def test_all_tasks_together_have_one_timeout(held):
    tasks = [Task.completed(1), held, Task.async_(work.hold)]
    begun = clock.monotonic()
    with pytest.raises(TaskTimeout) as caught:
        await_many(tasks, 0.2)
    assert 0.2 <= clock.monotonic() - begun < 5
    assert caught.value.timeout == 0.2
    assert f"task {held}: no result in 0.2 s" == str(caught.value)
    # What comes later is dropped, that of the other one too.
    assert [task.request for task in tasks] == [None, None, None]
    assert tasks[2].shutdown() is None


def fail_at_once(held, *failing) -> ExitReason:
    """Await a task that never ends and one that fails; return the reason, which comes at once."""
    tasks = [held, Task.async_(*failing)]
    with pytest.raises(ProcessExited) as caught:
        await_many(tasks, 60)
    assert [task.request for task in tasks] == [None, None]
    assert isinstance(caught.value.reason, ExitReason)
    return caught.value.reason


@proves("E220", "E221")
def test_a_task_that_exits_ends_the_wait_for_all_at_once_with_its_reason(held):
    assert str(fail_at_once(held, work.end, "unknown")) == "unknown"


@proves("E222")
def test_a_task_that_is_killed_ends_the_wait_for_all_at_once(held):
    reason = fail_at_once(held, work.kill_oneself)
    assert reason == ExitReason(ReasonKind.KILLED)


@proves("E223")
def test_a_task_that_is_left_with_a_value_ends_the_wait_for_all_at_once(held):
    assert str(fail_at_once(held, work.end, ("thrown", 1))) == "('thrown', 1)"


@proves("E224")
def test_a_task_that_raises_ends_the_wait_for_all_at_once(held):
    assert str(fail_at_once(held, work.crash)) == "ValueError: boom"


@proves("E227", "E239")
def test_only_the_owner_may_wait_for_many(owner, held):
    owner.call((work.start_task, work.hold))
    foreign = owner.call((work.give_away,))
    for wait in (await_many, yield_many, first_result):
        with pytest.raises(NotOwner):
            wait([held, foreign])
    # A task of somebody else does not cost the caller its own.
    assert held.request is not None


# yield_


@proves("E228")
def test_a_result_wins_over_the_end_that_is_there_too():
    assert over(Task.async_(work.double, 2)).yield_(0) == Ok(4)


@proves("E229")
def test_no_result_in_time_is_none_and_the_task_stays_usable(tmp_path):
    task = Task.async_(work.wait_for, str(tmp_path / "go on"), "done")
    assert task.yield_(0.05) is None
    work.touch(str(tmp_path / "go on"))
    assert task.yield_() == Ok("done")


@proves("E230")
def test_a_task_that_ends_normally_without_a_result_is_an_exit():
    assert Task.async_(work.end, "normal").yield_() == NORMAL


@proves("E232")
def test_only_the_owner_may_yield(owner):
    owner.call((work.start_task, work.hold))
    task = owner.call((work.give_away,))
    with pytest.raises(NotOwner, match=f"owner, {owner.identity}"):
        task.yield_()


# yield_many


@proves("E233")
def test_results_win_over_ends_that_are_there_too():
    tasks = [over(Task.async_(work.double, number)) for number in (1, 2)]
    assert yield_many(tasks, 0) == [(tasks[0], Ok(2)), (tasks[1], Ok(4))]


@proves("E234")
def test_a_task_that_is_late_is_none_and_runs_on(tmp_path):
    task = Task.async_(work.wait_for, str(tmp_path / "go on"), "done")
    assert yield_many([task], 0.05) == [(task, None)]
    work.touch(str(tmp_path / "go on"))
    assert yield_many([task]) == [(task, Ok("done"))]


@proves("E235")
def test_tasks_that_are_late_are_killed_if_that_is_wanted(held):
    done = over(Task.async_(work.double, 1))
    assert yield_many([held, done], 0.1, on_timeout="kill_task") == [(held, None), (done, Ok(2))]
    assert not held.ref.is_alive()


@proves("E236")
def test_tasks_that_are_late_are_ignored_if_that_is_wanted(owner, tmp_path):
    path = str(tmp_path / "go on")
    ref = owner.call((work.start_task, work.wait_for, path, "done"))
    late = owner.call((work.yield_all, 0.05, "ignore"))
    assert late == [None]
    assert ref.is_alive()
    work.touch(path)
    assert ref.wait(10) is not None
    assert owner.call((work.yield_all, 0, "nothing")) == [None]
    assert seen(owner) == []


@proves("E237")
def test_of_many_tasks_one_that_ends_normally_without_a_result_is_an_exit():
    task = Task.async_(work.end, "normal")
    assert yield_many([task]) == [(task, NORMAL)]


@proves("E240")
def test_many_tasks_have_results_of_all_kinds(held):
    done, failed = Task.async_(work.double, 1), Task.async_(work.end, "unknown")
    over(done)
    over(failed)
    unknown = Exited(ExitReason(ReasonKind.OTHER, "unknown"))
    results = yield_many([done, held, failed], 0.05)
    assert results == [(done, Ok(2)), (held, None), (failed, unknown)]


@proves("E241")
def test_waiting_ends_when_there_are_enough_results(held):
    tasks = [Task.async_(work.double, 1), held, Task.async_(work.double, 2)]
    results = yield_many(tasks, 60, limit=2)
    assert results == [(tasks[0], Ok(2)), (held, None), (tasks[2], Ok(4))]


@proves("E242")
def test_waiting_ends_when_all_have_ended_though_more_would_be_taken():
    tasks = [Task.async_(work.double, number) for number in (1, 2)]
    assert yield_many(tasks, None, limit=5) == [(tasks[0], Ok(2)), (tasks[1], Ok(4))]


@proves("E243")
def test_nobody_is_killed_if_there_are_enough_results_in_time(held):
    done = Task.async_(work.double, 1)
    results = yield_many([held, done], 60, limit=1, on_timeout="kill_task")
    assert results == [(held, None), (done, Ok(2))]
    assert held.ref.is_alive()
    assert held.yield_(0) is None


@proves("E244")
def test_without_a_timeout_all_are_waited_for(tmp_path):
    task = Task.async_(work.wait_for, str(tmp_path / "go on"), "done")
    toucher = Task.async_(work.touch, str(tmp_path / "go on"))
    assert yield_many([task, toucher], None) == [(task, Ok("done")), (toucher, Ok(None))]


# What Elixir has no cases for


def test_whichever_ends_first_is_taken_first(held, tmp_path):
    late = Task.async_(work.wait_for, str(tmp_path / "go on"), "late")
    early = Task.async_(work.double, 1)
    assert first_result([held, late, early]) == (early, Ok(2))
    work.touch(str(tmp_path / "go on"))
    assert first_result([held, late, early]) == (late, Ok("late"))
    assert first_result([held, late, early], 0.05) is None
    assert first_result([late, early], None) is None


def test_a_result_whose_pieces_arrive_one_by_one_is_one_result():
    tasks = [Task.async_(work.large, 5_000_000) for _ in range(3)]
    assert [len(each) for each in await_many(tasks, 60)] == [5_000_000] * 3


def test_nobody_waits_in_vain_for_a_result_that_has_been_taken_or_given_up(held):
    taken = over(Task.async_(work.double, 1))
    assert taken.yield_() == Ok(2)
    assert held.ignore() is None
    for task in (taken, held):
        with pytest.raises(TaskTimeout, match="its result has been taken or given up"):
            task.yield_(60)
        assert yield_many([task], 60) == [(task, None)]


@pytest.mark.parametrize("wait", [await_many, yield_many, first_result])
def test_what_is_no_task_is_refused_where_many_are_waited_for(held, wait):
    for wrong in (1, held.ref):
        with pytest.raises(SpecError, match="tasks: expected each to be a Task, got: "):
            wait([held, wrong])
    assert held.request is not None


def test_options_are_checked(held):
    for options in ({"on_timeout": "explode"}, {"limit": 0}, {"timeout": -1}):
        with pytest.raises(SpecError):
            yield_many([held], **options)
    with pytest.raises(SpecError):
        await_many([held], "soon")  # type: ignore[arg-type]
    with pytest.raises(SpecError):
        held.await_("soon")
    assert held.request is not None
