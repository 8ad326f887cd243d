"""Tasks: ending them, in Elixir's own cases, E245 to E267."""

import threading

import pytest

from beethoven import ExitReason, ReasonKind
from beethoven.errors import NotOwner, SpecError, TaskTimeout
from beethoven.tasks.results import Exited, Ok
from beethoven.tasks.task import Task
from tests.conformance import task_work as work
from tests.conformance.cases import proves
from tests.integration import roles
from tests.integration.roles import Puppet, Trapper
from tests.processes import end, fork_servers, is_running, wait_until

pytestmark = pytest.mark.process

NORMAL = ExitReason(ReasonKind.NORMAL)
SHUTDOWN = ExitReason(ReasonKind.SHUTDOWN)
KILLED = ExitReason(ReasonKind.KILLED)
LEFT = ExitReason(ReasonKind.EXIT_CODE, "0")
NOPROC = Exited(ExitReason(ReasonKind.NO_PROCESS))

IN_GOOD_ORDER, BRUTALLY = 5.0, "brutal_kill"


def over(task: Task) -> Task:
    """Return a task whose process has ended, its result or its end being there to be taken."""
    assert task.ref is not None
    assert task.ref.wait(10) is not None
    return task


def held() -> Task:
    return Task.async_(work.hold)


def ended_by(signal: str) -> Task:
    """Return a task that was ended from outside before its function returned."""
    task = held()
    assert task.ref is not None
    task.ref.exit(signal)
    return over(task)


def check_result_wins(how: str, expected: ExitReason, timeout) -> None:
    """Check that a result that is there is returned, whatever became of the process after that."""
    task = Task.async_(work.answer_and_end, "value", how)
    assert task.ref is not None
    # Of one that was gone before the question only what the kernel knows is told.
    assert task.ref.wait(10) in {expected, LEFT}
    assert task.shutdown(timeout) == Ok("value")
    assert task.shutdown(timeout) == NOPROC


@proves("E245")
def test_a_result_wins_over_an_abnormal_end():
    check_result_wins("abnormally", ExitReason(ReasonKind.EXIT_CODE, "3"), IN_GOOD_ORDER)


@proves("E246")
def test_a_result_wins_over_a_normal_end():
    check_result_wins("normally", NORMAL, IN_GOOD_ORDER)


@proves("E247")
def test_a_result_wins_over_a_shutdown():
    check_result_wins("shutdown", SHUTDOWN, IN_GOOD_ORDER)


@proves("E248")
def test_a_task_that_is_shut_down_has_no_result_and_is_gone():
    task = held()
    assert task.ref is not None
    assert task.shutdown() is None
    assert not task.ref.is_alive()


@proves("E248")
def test_shutting_a_task_down_does_not_end_the_owner():
    for role in (Puppet, Trapper):
        owner = role.start_link()
        owner.call((work.start_task, work.hold))
        assert owner.call((work.use_task, "shutdown")) is None
        assert owner.call((roles.seen,)) == []
        end(owner)


@proves("E249")
def test_a_task_that_has_failed_already_has_that_reason():
    result = over(Task.async_(work.crash)).shutdown()
    assert isinstance(result, Exited)
    assert str(result.reason) == "ValueError: boom"


@proves("E250")
def test_a_task_that_has_ended_normally_already_is_an_exit():
    assert over(Task.async_(work.end, "normal")).shutdown() == Exited(NORMAL)


@proves("E251")
def test_a_task_that_has_shut_down_already_has_no_result():
    assert over(Task.async_(work.end, "shutdown")).shutdown() is None
    assert ended_by("shutdown").shutdown() is None


@proves("E252")
def test_a_task_that_somebody_else_has_killed_is_an_exit():
    assert ended_by("kill").shutdown() == Exited(KILLED)


@proves("E254")
def test_a_task_without_a_process_can_be_shut_down():
    task = Task.completed("value")
    assert task.shutdown() == Ok("value")
    assert task.shutdown() == NOPROC
    assert Task.completed("value").shutdown("brutal_kill") == Ok("value")


@proves("E255")
def test_only_the_owner_may_shut_a_task_down():
    owner = Puppet.start_link()
    ref = owner.call((work.start_task, work.hold))
    task = owner.call((work.give_away,))
    for timeout in (IN_GOOD_ORDER, BRUTALLY):
        with pytest.raises(NotOwner):
            task.shutdown(timeout)
    assert ref.is_alive()
    end(owner)


@proves("E256")
def test_a_task_that_traps_exits_can_be_killed_and_its_owner_is_not_told(tmp_path):
    owner = Trapper.start_link()
    path = tmp_path / "begun"
    ref = owner.call((work.start_task, work.trap_touch_and_hold, str(path)))
    wait_until(path.exists)
    assert owner.call((work.use_task, "shutdown", "brutal_kill")) is None
    assert not ref.is_alive()
    assert owner.call((roles.seen,)) == []
    end(owner)


@proves("E257")
def test_a_task_whose_result_has_been_taken_is_no_process():
    task = Task.async_(work.double, 1)
    assert task.await_() == 2
    assert task.shutdown() == NOPROC


@proves("E258")
def test_a_result_wins_over_an_abnormal_end_and_a_kill():
    check_result_wins("abnormally", ExitReason(ReasonKind.EXIT_CODE, "3"), BRUTALLY)


@proves("E259")
def test_a_result_wins_over_a_normal_end_and_a_kill():
    check_result_wins("normally", NORMAL, BRUTALLY)


@proves("E260")
def test_a_result_wins_over_a_shutdown_and_a_kill():
    check_result_wins("shutdown", SHUTDOWN, BRUTALLY)


@proves("E261")
def test_a_task_that_is_killed_as_it_should_be_has_no_result():
    task = held()
    assert task.ref is not None
    assert task.shutdown("brutal_kill") is None
    assert not task.ref.is_alive()
    assert ended_by("kill").shutdown("brutal_kill") is None


@proves("E262")
def test_a_task_that_had_failed_before_the_kill_has_that_reason():
    result = over(Task.async_(work.crash)).shutdown("brutal_kill")
    assert isinstance(result, Exited)
    assert str(result.reason) == "ValueError: boom"


@proves("E263")
def test_a_task_that_had_ended_normally_before_the_kill_is_an_exit():
    assert over(Task.async_(work.end, "normal")).shutdown("brutal_kill") == Exited(NORMAL)


@proves("E264")
def test_a_task_that_had_shut_down_before_the_kill_is_an_exit():
    assert ended_by("shutdown").shutdown("brutal_kill") == Exited(SHUTDOWN)


@proves("E266")
def test_a_task_that_does_not_end_in_time_is_killed_which_is_an_exit(tmp_path):
    path = tmp_path / "begun"
    task = Task.async_(work.trap_touch_and_hold, str(path))
    wait_until(path.exists)
    assert task.ref is not None
    assert task.shutdown(0.1) == Exited(KILLED)
    assert not task.ref.is_alive()


@proves("E266")
def test_a_task_that_is_stuck_in_c_is_killed_when_its_time_is_over(tmp_path):
    path = tmp_path / "begun"
    task = Task.async_(work.touch_and_hold_the_interpreter, str(path))
    wait_until(path.exists)
    assert task.shutdown(0.1) == Exited(KILLED)


def test_a_task_that_was_too_late_can_still_be_ended(tmp_path):
    task = held()
    assert task.ref is not None
    with pytest.raises(TaskTimeout):
        task.await_(0.01)
    assert task.shutdown() is None
    assert not task.ref.is_alive()
    assert task.shutdown() == NOPROC
    path = tmp_path / "begun"
    task = Task.async_(work.trap_touch_and_hold, str(path))
    wait_until(path.exists)
    assert task.ignore() is None
    assert task.shutdown(0.1) == Exited(KILLED)


def test_what_has_ended_is_not_ended_again_however_slow_the_machine_is():
    task = held()
    with pytest.raises(TaskTimeout):
        task.await_(0.01)
    assert task.shutdown() is None
    (server,) = fork_servers()
    server.suspend()
    later = threading.Timer(0.3, server.resume)
    later.start()
    assert task.shutdown() == NOPROC
    later.join()


@proves("E267")
def test_a_task_whose_result_has_been_taken_cannot_be_killed():
    task = Task.async_(work.double, 1)
    assert task.yield_() == Ok(2)
    assert task.shutdown("brutal_kill") == NOPROC


def test_the_timeout_is_checked():
    task = held()
    for wrong, rule in (
        ("brutal", "seconds >= 0, None, 'infinity' or 'brutal_kill'"),
        (-1, "seco"),
    ):
        with pytest.raises(SpecError, match=f"expected timeout to be {rule}"):
            task.shutdown(wrong)  # type: ignore[arg-type]
    assert task.ref is not None
    assert task.shutdown("infinity") is None
    assert not is_running(task.ref.pid)
