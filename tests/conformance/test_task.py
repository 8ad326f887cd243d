"""Tasks: `Task` in Elixir's own cases, E186 to E213."""

import importlib
import os
import textwrap
import threading

import pytest

from beethoven import Exit, ExitReason, ReasonKind, Supervisor, Task, callers, debug
from beethoven.errors import (
    CallTimeout,
    NotOwner,
    ProcessExited,
    RequestRefused,
    SpecError,
    TaskTimeout,
)
from beethoven.runtime.patience import TOO_SLOW
from beethoven.tasks.results import Exited, Ok
from beethoven.tasks.task_process import RESULT
from tests.conformance import task_work as work
from tests.conformance.accounts import Mute
from tests.conformance.cases import proves
from tests.integration import roles
from tests.integration.roles import AsyncPuppet, Puppet, Trapper
from tests.log_lines import LogLines
from tests.processes import end, fork_servers, is_running, program, wait_until

pytestmark = pytest.mark.process

NORMAL = ExitReason(ReasonKind.NORMAL)


@pytest.fixture
def owner():
    """Return a role that starts tasks and ends with them."""
    ref = Puppet.start_link()
    yield ref
    end(ref)


@pytest.fixture
def trapper():
    """Return a role that starts tasks and is told of their ends."""
    ref = Trapper.start_link()
    yield ref
    end(ref)


def over(task: Task) -> Task:
    """Return a task whose process has ended, its result or its end being there to be taken."""
    assert task.ref is not None
    assert task.ref.wait(10) is not None
    return task


def seen(ref):
    return ref.call((roles.seen,))


# Starting


@proves("E186")
def test_a_task_is_a_temporary_child_of_a_supervisor(tmp_path):
    spec = Task.child_spec("task", work.touch, [str(tmp_path / "done")])
    with Supervisor.start_link([spec]) as tree:
        wait_until((tmp_path / "done").exists)
        wait_until(lambda: tree.which_children() == [])
        assert tree.ref.is_alive()


@proves("E186")
def test_a_supervisor_stops_its_task_at_once_though_the_function_runs(tmp_path):
    path = tmp_path / "begun"
    with Supervisor.start_link([Task.child_spec("task", work.touch_and_hold, [str(path)])]) as tree:
        wait_until(path.exists)
        ref = tree.child("task")
        tree.terminate_child("task")
        assert not ref.is_alive()


@proves("E187")
def test_a_task_is_restarted_only_if_it_is_told_to_be(tmp_path):
    assert Task.child_spec("task", work.double, [1]).restart == "temporary"
    spec = Task.child_spec("task", work.crash_at_first, [str(tmp_path / "x")], restart="transient")
    with Supervisor.start_link([spec]) as tree:
        wait_until((tmp_path / "try-1").exists)
        wait_until(lambda: [each.status for each in tree.which_children()] == ["stopped"])
    assert not (tmp_path / "try-2").exists()


@proves("E188")
def test_a_task_is_linked_to_its_owner_and_knows_it(trapper, tmp_path):
    path = str(tmp_path / "go on")
    ref = trapper.call((work.start_task, work.wait_for, path, "done"))
    assert trapper.call((work.metadata,)) == (ref, trapper, f"{work.__name__}.wait_for")
    work.touch(path)
    # The result comes first, then the end.
    assert trapper.call((work.use_task, "await_")) == "done"
    wait_until(lambda: seen(trapper) == [Exit(ref, NORMAL)])


@proves("E188")
def test_a_task_that_fails_ends_its_owner(owner, tmp_path):
    ref = owner.call((work.start_task, work.crash_after, str(tmp_path / "go on")))
    work.touch(str(tmp_path / "go on"))
    reason = owner.wait(10)
    assert reason is not None
    assert str(reason) == "ValueError: boom"
    assert not ref.is_alive()


@proves("E188")
def test_a_task_ends_with_its_owner(owner):
    ref = owner.call((work.start_task, work.hold))
    owner.exit("kill")
    assert ref.wait(10) is not None


@proves("E189")
def test_a_task_runs_a_function_with_its_arguments():
    assert Task.async_(work.double, 21).await_() == 42
    assert Task.async_(work.greet, "hello", name="world").await_() == "hello, world"
    assert Task.async_(work.Method(40).add, 2).await_() == 42


@proves("E190")
def test_a_task_knows_who_asked_for_it_and_who_had_asked_that_one(owner):
    ref = owner.call((work.start_task, work.report_callers_of_inner))
    task, chain = owner.call((work.use_task, "await_"))
    assert task == ref
    assert chain == (ref, owner)


@proves("E190")
def test_a_task_of_a_program_has_no_callers_and_nothing_else_has():
    assert Task.async_(work.report_callers).await_() == ()
    assert callers() == ()


@proves("E191")
def test_an_unlinked_task_fails_alone_and_outlives_who_started_it(owner, trapper, tmp_path):
    crashed = owner.call((work.start_unlinked, work.crash))
    assert str(crashed.wait(10)) in {"ValueError: boom", "exit code 1"}
    path = tmp_path / "begun"
    ref = owner.call((work.start_unlinked, work.touch_and_hold, str(path)))
    wait_until(path.exists)
    # The other role keeps the tree.
    owner.stop()
    assert ref.is_alive()
    assert trapper.is_alive()
    ref.stop()


@proves("E192")
def test_an_unlinked_task_runs_a_function_with_its_arguments(tmp_path):
    ref = Task.start(work.touch, path=str(tmp_path / "done"))
    assert ref.wait(10) is not None
    assert (tmp_path / "done").exists()


@proves("E193")
def test_a_completed_task_has_its_result_and_no_process():
    before = fork_servers()
    task = Task.completed([1, 2])
    assert task.ref is None
    assert task.await_() == [1, 2]
    assert Task.completed(3).yield_() == Ok(3)
    assert fork_servers() == before


@proves("E194")
def test_a_linked_task_without_a_result_ends_with_its_starter_and_the_other_way_round(owner):
    held = owner.call((work.start_linked, work.hold))
    owner.call((work.start_linked, work.crash))
    assert str(owner.wait(10)) == "ValueError: boom"
    assert held.wait(10) is not None


@proves("E195")
def test_a_linked_task_without_a_result_runs_a_function_with_its_arguments(owner, tmp_path):
    ref = owner.call((work.start_linked, work.touch, str(tmp_path / "done")))
    assert ref.wait(10) is not None
    assert (tmp_path / "done").exists()
    assert owner.call((roles.answer, 1)) == 1


@proves("E196")
def test_a_linked_task_without_a_result_knows_who_asked_for_it(owner, tmp_path):
    path = tmp_path / "callers"
    owner.call((work.start_linked, work.report_callers_to, str(path)))
    wait_until(lambda: path.exists() and path.read_text("utf-8") == owner.identity)


# Ignoring


@proves("E197")
def test_ignoring_a_task_returns_a_result_that_is_there_once():
    task = over(Task.async_(work.double, 2))
    assert task.ignore() == Ok(4)
    with pytest.raises(CallTimeout):
        task.await_(0)


@proves("E198")
def test_a_result_that_comes_after_ignoring_never_reaches_the_owner(trapper, tmp_path):
    ref = trapper.call((work.start_task, work.wait_for, str(tmp_path / "go on")))
    assert trapper.call((work.use_task, "ignore")) is None
    work.touch(str(tmp_path / "go on"))
    assert ref.wait(10) is not None
    assert isinstance(trapper.call((work.use_task, "yield_", 0)), TaskTimeout)
    assert seen(trapper) == []


@proves("E199")
def test_ignoring_a_task_returns_a_failure_that_is_there(trapper):
    ref = trapper.call((work.start_task, work.crash))
    assert ref.wait(10) is not None
    result = trapper.call((work.use_task, "ignore"))
    assert isinstance(result, Exited)
    assert str(result.reason) == "ValueError: boom"


@proves("E200")
def test_a_failure_that_comes_after_ignoring_never_reaches_the_owner(owner, trapper, tmp_path):
    for each in (owner, trapper):
        path = str(tmp_path / each.identity)
        ref = each.call((work.start_task, work.crash_after, path))
        assert each.call((work.use_task, "ignore")) is None
        work.touch(path)
        assert ref.wait(10) is not None
        assert seen(each) == []


@proves("E202")
def test_ignoring_a_completed_task_returns_its_value():
    assert Task.completed("value").ignore() == Ok("value")


# Awaiting


@proves("E203")
def test_after_a_timeout_neither_the_result_nor_the_end_arrives(trapper, tmp_path):
    path = str(tmp_path / "go on")
    ref = trapper.call((work.start_task, work.wait_for, path, bytes(2_000_000)))
    assert isinstance(trapper.call((work.use_task, "await_", 0.01)), TaskTimeout)
    work.touch(path)
    # Nor does the process wait for somebody to take the result.
    assert ref.wait(10) is not None
    assert isinstance(trapper.call((work.use_task, "await_", 0.01)), TaskTimeout)
    # As in Elixir the link is left, and only that.
    wait_until(lambda: seen(trapper) == [Exit(ref, NORMAL)])


@proves("E204")
def test_a_timeout_names_the_task_and_the_limit():
    task = Task.async_(work.hold)
    with pytest.raises(TaskTimeout) as caught:
        task.await_(0.05)
    assert task.ref is not None
    text = f"task {work.__name__}.hold (pid {task.ref.pid}): no result in 0.05 s"
    assert str(caught.value) == text
    assert caught.value.timeout == 0.05
    assert task.shutdown() is None


def awaited(function, *arguments) -> ExitReason:
    """Return the reason with which the await of a task fails."""
    task = Task.async_(function, *arguments)
    with pytest.raises(ProcessExited) as caught:
        task.await_()
    assert isinstance(caught.value.reason, ExitReason)
    assert str(task) in str(caught.value)
    return caught.value.reason


@proves("E205")
def test_awaiting_a_task_that_ends_normally_without_a_result_fails():
    assert awaited(work.end, "normal") == NORMAL


@proves("E206")
def test_awaiting_a_task_that_is_left_with_a_value_of_its_own_fails_with_that():
    assert awaited(work.end, ("thrown", 1)) == ExitReason(ReasonKind.OTHER, "('thrown', 1)")


@proves("E207")
def test_awaiting_a_task_that_raises_fails_with_the_remote_traceback():
    reason = awaited(work.crash, "oh")
    assert (reason.kind, reason.detail) == (ReasonKind.EXCEPTION, "ValueError: oh")
    assert "in crash" in reason.traceback
    task = Task.async_(work.crash)
    with pytest.raises(ProcessExited, match="in crash"):
        task.await_()


@proves("E208")
def test_awaiting_a_task_whose_module_is_found_nowhere_says_so():
    reason = awaited(work.FoundElsewhere("no_such_module", "function"))
    assert reason.detail == "ModuleNotFoundError: No module named 'no_such_module'"


@proves("E209")
def test_awaiting_a_task_whose_function_is_found_nowhere_says_so():
    reason = awaited(work.FoundElsewhere(work.__name__, "no_such_function"))
    assert "has no attribute 'no_such_function'" in reason.detail


@proves("E210")
def test_awaiting_a_task_that_ends_with_a_reason_of_its_own_fails_with_that():
    mine = ExitReason(ReasonKind.SHUTDOWN, "enough")
    assert awaited(work.end, mine) == mine
    assert awaited(work.end, "unknown") == ExitReason(ReasonKind.OTHER, "unknown")


# Owning


def assert_is_refused(error, task, user):
    """Check that an error names the owner of a task and who has used it instead."""
    assert isinstance(error, NotOwner), error
    assert error.owner == str(task.owner)
    assert error.user == str(user)
    assert task.label in str(error)


@proves("E213")
def test_only_the_owner_may_await(owner, trapper):
    owner.call((work.start_task, work.hold))
    task = owner.call((work.give_away,))
    assert_is_refused(trapper.call((work.use_other, task, "await_")), task, trapper)
    with pytest.raises(NotOwner, match=f"pid {os.getpid()}"):
        task.await_()


@proves("E213")
def test_a_forked_copy_of_the_owner_may_not_await():
    task = Task.async_(work.double, 1)
    if (child := os.fork()) == 0:
        try:
            task.await_()
        except NotOwner as error:
            parent, me = f"pid {os.getppid()}", f"pid {os.getpid()}"
            os._exit(7 if error.owner.endswith(parent) and error.user == me else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert task.await_() == 2


# Crash reports


@proves("E300")
def test_the_log_tells_of_a_task_that_fails_what_it_did_for_whom_and_why(capfd):
    log = LogLines(capfd)
    trapper = Trapper.start_link()
    ref = trapper.call((work.start_task, work.crash, "oh"))
    report = log.wait_for("process_crashed")
    assert report["role"] == "task"
    assert report["pid"] == str(ref.pid)
    assert report["function"] == f"{work.__name__}.crash"
    assert report["arguments"] == "('oh',)"
    assert report["started_from"] == str(trapper)
    assert report["reason"] == "ValueError: oh"
    assert "in crash" in report["traceback"]
    end(trapper)


@proves("E300")
def test_the_log_tells_of_a_supervised_task_that_fails_the_same(capfd):
    log = LogLines(capfd)
    spec = Task.child_spec("child", work.crash, kwargs={"text": "oh"})
    with Supervisor.start_link([spec]) as tree:
        report = log.wait_for("child_terminated", child="child")
        assert report["function"] == f"{work.__name__}.crash"
        assert report["arguments"] == "()"
        assert report["keywords"] == "{'text': 'oh'}"
        assert report["reason"] == "ValueError: oh"
        assert str(tree.ref) in report["ancestors"]
    assert not log.of("process_crashed")


@proves("E301")
def test_the_log_tells_how_a_task_that_fails_had_called_itself(capfd):
    log = LogLines(capfd)
    with pytest.raises(ProcessExited):
        Task.async_(work.crash_with_label, "row 17").await_()
    assert log.wait_for("process_crashed")["label"] == "row 17"


def test_the_log_does_not_tell_keyword_arguments_that_are_secret(capfd):
    log = LogLines(capfd)
    secrets = {"password": "is-4711", "options": {"api_token": "is-4711"}}
    with pytest.raises(ProcessExited):
        Task.async_(work.fail_to_log_in, "ada", **secrets).await_()
    report = log.wait_for("process_crashed")
    assert report["arguments"] == "('ada',)"
    assert report["keywords"] == "{'options': {'api_token': '***'}, 'password': '***'}"
    assert "is-4711" not in log.read()


def test_what_cannot_be_pickled_is_refused_without_secret_arguments():
    with pytest.raises(SpecError, match="arguments") as caught:
        Task.async_(work.fail_to_log_in, work.lock(), password="4711")
    assert "4711" not in str(caught.value)


def test_a_task_whose_arguments_do_not_say_what_they_are_is_reported_all_the_same(capfd):
    log = LogLines(capfd)
    ref = Task.async_(work.crash_slowly, Mute()).ref
    assert ref is not None
    assert ref.wait(10) is not None
    report = log.wait_for("process_crashed")
    assert report["reason"] == f"MuteError: {TOO_SLOW}"
    assert report["arguments"] == TOO_SLOW
    assert "in crash_slowly" in report["traceback"]


# What Elixir has no cases for


WRONG = {
    "lambda": ([lambda: 1], "a lambda"),
    "closure": ([lambda function: function], "lambda"),
    "no function": (["text"], "'text'"),
    "coroutine function": ([work.wait_awake], "plain one call asyncio.run, got: one with async"),
    "argument": ([work.double, threading.Lock()], "arguments"),
}


@pytest.mark.parametrize(("arguments", "text"), WRONG.values(), ids=WRONG.keys())
def test_what_no_other_process_can_have_is_refused_where_the_task_is_started(arguments, text):
    for start in (Task.async_, Task.start, Task.start_link):
        with pytest.raises(SpecError, match=text):
            start(*arguments)


def test_a_function_inside_a_function_is_refused():
    def local():
        pass

    with pytest.raises(
        SpecError, match=r"task .*local: expected function to be what a new process"
    ):
        Task.async_(local)


def test_a_result_that_cannot_be_pickled_is_a_failure_that_says_so():
    reason = awaited(work.lock)
    assert "expected a reply that can be pickled, got: lock" in reason.detail


def test_the_traceback_of_a_task_begins_in_its_function():
    lines = awaited(work.crash).traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].endswith("in crash")


def test_a_failure_that_passes_through_several_tasks_has_one_line(owner):
    reason = awaited(work.await_crash)
    assert reason.detail.endswith("exited: ValueError: boom")
    assert "\n" not in reason.detail
    # What happened there is still told.
    assert "in crash" in reason.traceback


def test_a_large_result_waits_for_an_owner_that_does_something_else(owner):
    owner.call((work.start_task, work.large, 20_000_000))
    owner.call((roles.sleep, 1.5))
    assert len(owner.call((work.use_task, "await_"))) == 20_000_000


def test_a_task_whose_result_nobody_wants_any_more_ends():
    task = Task.async_(work.large, 20_000_000)
    ref = task.ref
    assert ref is not None
    del task
    assert ref.wait(10) is not None


def test_a_task_that_another_thread_drops_ends():
    tasks = [Task.async_(work.large, 20_000_000)]
    ref = tasks[0].ref
    assert ref is not None
    dropping = threading.Thread(target=tasks.clear)
    dropping.start()
    dropping.join()
    assert ref.wait(10) is not None


def test_a_copy_of_the_owner_that_drops_a_task_does_not_end_it(tmp_path):
    task = Task.async_(work.wait_for, str(tmp_path / "go"), "done")
    if (pid := os.fork()) == 0:
        del task
        os._exit(0)
    os.waitpid(pid, 0)
    (tmp_path / "go").touch()
    assert task.await_() == "done"


def test_a_failure_at_once_is_never_lost():
    """Twenty times, for it is a race: the process fails before it has been asked for anything."""
    for _ in range(20):
        assert awaited(work.crash).detail == "ValueError: boom"


def test_a_process_that_is_killed_tells_that_it_was():
    task = Task.async_(work.hold)
    assert task.ref is not None
    task.ref.exit("kill")
    assert task.yield_() == Exited(ExitReason(ReasonKind.KILLED))


def test_a_task_may_start_tasks():
    assert Task.async_(work.double_in_inner, 4).await_() == 8


def test_many_tasks_in_one_callback_cost_no_descriptors(owner):
    owner.call((work.run_many, 10), timeout=60)
    before, after = owner.call((work.run_many, 100), timeout=60)
    assert after - before < 80


def test_a_coroutine_awaits_a_task_while_others_run(tmp_path):
    ref = AsyncPuppet.start_link()
    assert ref.call((work.await_in_coroutine, work.double, 4)) == 8
    assert ref.call((work.await_what_a_coroutine_lets_go_on, str(tmp_path / "go on"))) == "done"
    end(ref)


def test_a_task_answers_nobody_else(trapper):
    ref = trapper.call((work.start_task, work.hold))
    for ask in (lambda: ref.call(RESULT), lambda: ref.call(1), lambda: debug.get_state(ref)):
        with pytest.raises(RequestRefused, match="refused: it is a task, which answers its owner"):
            ask()


MODULE = """
    import os

    IMPORTED_BY = os.getpid()

    def imports():
        return IMPORTED_BY == os.getpid()
"""


def test_the_module_of_a_function_is_imported_ahead_for_the_next_task(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "preloaded_tasks.py").write_text(textwrap.dedent(MODULE), "utf-8")
    function = importlib.import_module("preloaded_tasks").imports
    assert Task.async_(function).await_()
    wait_until(lambda: not Task.async_(function).await_())


PROGRAM = """
    import os
    from beethoven import Task

    def work(path):
        open(path, "w").close()
        return os.getpid()

    def hold():
        print(os.getpid(), flush=True)
        while True:
            pass

    if __name__ == "__main__":
        print(Task.async_(work, "{path}").await_(), flush=True)
        held = Task.async_(hold)
        held.await_(None)
"""


def test_tasks_of_a_main_script_end_with_it_whatever_ends_it(tmp_path):
    with program(PROGRAM.format(path=tmp_path / "done"), tmp_path) as running:
        assert int(running.line()) > 0
        pid = int(running.line())
        running.kill()
        wait_until(lambda: not is_running(pid), timeout=5.0)
    assert (tmp_path / "done").exists()


def test_stopping_a_task_does_not_wait_for_its_function():
    ref = Task.start(work.hold)
    ref.stop("shutdown", timeout=5)
    assert not ref.is_alive()


@pytest.mark.parametrize("reason", ["normal", "shutdown", "kill"])
def test_the_end_of_the_owner_ends_a_task_in_the_middle_of_its_function(owner, reason, tmp_path):
    path = tmp_path / "begun"
    ref = owner.call((work.start_task, work.touch_and_hold, str(path)))
    wait_until(path.exists)
    if reason == "kill":
        owner.exit("kill")
    else:
        owner.stop(reason)
    assert ref.wait(10) is not None
