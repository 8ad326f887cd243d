"""Which processes are replaced when one ends: by strategy, restart type and exit reason."""

import os
import signal

import pytest

from beethoven import ChildSpec, Supervisor
from beethoven.errors import ProcessExited
from beethoven.runtime.reason import SHUTDOWN, shutdown
from tests.integration import roles
from tests.integration.roles import Puppet, Trapper
from tests.integration.trees import Journal, note, pids, statuses, tree
from tests.processes import wait_until

pytestmark = [pytest.mark.process, pytest.mark.shared_tree]


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path)


def killed(supervisor, child_id):
    """Kill a child, wait until the tree is whole again, and return which pids changed."""
    before = pids(supervisor)
    restarts = entry(supervisor, child_id).restarts
    os.kill(before[child_id], signal.SIGKILL)
    wait_until(lambda: entry(supervisor, child_id).restarts > restarts)
    wait_until(lambda: set(statuses(supervisor).values()) == {"running"})
    after = pids(supervisor)
    return {name for name in before if before[name] != after[name]}


def entry(supervisor, child_id):
    return next(each for each in supervisor.which_children() if each.id == child_id)


@pytest.mark.parametrize(
    ("strategy", "victim", "replaced"),
    [
        ("one_for_one", "b", "b"),
        ("one_for_all", "b", "abcd"),
        ("rest_for_one", "b", "bcd"),
        ("rest_for_one", "d", "d"),
        ("rest_for_one", "a", "abcd"),
    ],
)
def test_a_strategy_replaces_exactly_its_processes(journal, strategy, victim, replaced):
    with tree(*journal.workers("abcd"), strategy=strategy) as supervisor:
        assert killed(supervisor, victim) == set(replaced)
        journal.check()


def test_one_for_all_stops_the_others_in_reverse_and_starts_all_in_order(journal):
    with tree(*journal.workers("abcd"), strategy="one_for_all") as supervisor:
        assert killed(supervisor, "b") == set("abcd")
    story = journal.story("up", "stopped")
    assert story[4:11] == [
        *("stopped d", "stopped c", "stopped a"),
        *("up a", "up b", "up c", "up d"),
    ]


def test_rest_for_one_stops_the_later_ones_in_reverse_and_starts_them_in_order(journal):
    with tree(*journal.workers("abcd"), strategy="rest_for_one") as supervisor:
        assert killed(supervisor, "b") == set("bcd")
    story = journal.story("up", "stopped")
    assert story[4:9] == ["stopped d", "stopped c", "up b", "up c", "up d"]


def test_a_group_restart_drops_the_temporary_siblings_and_revives_the_stopped_ones(journal):
    children = [*journal.workers("ab"), journal.worker("t", restart="temporary")]
    with tree(*children, strategy="one_for_all") as supervisor:
        supervisor.terminate_child("b")
        assert statuses(supervisor) == {"a": "running", "b": "stopped", "t": "running"}
        os.kill(pids(supervisor)["a"], signal.SIGKILL)
        wait_until(lambda: statuses(supervisor) == {"a": "running", "b": "running"})


def test_a_crash_of_a_temporary_or_finished_child_disturbs_nobody(journal):
    children = [
        journal.worker("a"),
        journal.worker("t", restart="temporary"),
        journal.worker("f", restart="transient"),
    ]
    with tree(*children, strategy="one_for_all", max_restarts=0) as supervisor:
        before = pids(supervisor)["a"]
        os.kill(pids(supervisor)["t"], signal.SIGKILL)
        supervisor.child("f").cast((roles.end, "normal"))
        wait_until(lambda: statuses(supervisor) == {"a": "running", "f": "stopped"})
        assert pids(supervisor)["a"] == before


def test_several_children_dead_at_once_are_one_restart_of_all(journal):
    with tree(*journal.workers("abcdef"), strategy="one_for_all", max_restarts=1) as supervisor:
        before = pids(supervisor)
        # So that it cannot begin to restart them before all are dead.
        os.kill(supervisor.ref.pid, signal.SIGSTOP)
        for victim in before.values():
            os.kill(victim, signal.SIGKILL)
        os.kill(supervisor.ref.pid, signal.SIGCONT)
        wait_until(lambda: not set(before.values()) & set(pids(supervisor).values()))
        wait_until(lambda: set(statuses(supervisor).values()) == {"running"})
        journal.check()


REASONS = [
    pytest.param((roles.end, "normal"), "normal", False, id="normal"),
    pytest.param((roles.end, "shutdown"), "shutdown", False, id="shutdown"),
    pytest.param((roles.end, shutdown("done")), "shutdown: done", False, id="shutdown, detail"),
    pytest.param((roles.end, "odd"), "odd", True, id="another value"),
    pytest.param((roles.crash,), "ValueError: boom", True, id="an exception"),
    pytest.param((roles.leave, 0), "exit code 0", True, id="os._exit(0)"),
    pytest.param((roles.leave, 3), "exit code 3", True, id="os._exit(3)"),
    pytest.param((roles.leave_by_signal, signal.SIGKILL), "killed", True, id="SIGKILL"),
    pytest.param((roles.leave_by_signal, signal.SIGTERM), "signal SIGTERM", True, id="SIGTERM"),
    pytest.param((roles.leave_by_signal, signal.SIGSEGV), "signal SIGSEGV", True, id="SIGSEGV"),
]


@pytest.mark.parametrize(("request_", "reason", "is_abnormal"), REASONS)
def test_restart_types_follow_the_exit_reason(request_, reason, is_abnormal):
    kinds = ("permanent", "transient", "temporary")
    children = [ChildSpec(kind, Puppet, restart=kind) for kind in kinds]
    with tree(*children, max_restarts=3) as supervisor:
        before = pids(supervisor)
        for kind in kinds:
            supervisor.child(kind).cast(request_)
        wait_until(lambda: "temporary" not in statuses(supervisor))
        wait_until(lambda: entry(supervisor, "permanent").last_exit is not None)
        wait_until(lambda: entry(supervisor, "transient").last_exit is not None)
        expected = "running" if is_abnormal else "stopped"
        wait_until(lambda: statuses(supervisor) == {"permanent": "running", "transient": expected})
        assert str(entry(supervisor, "permanent").last_exit) == reason
        assert str(entry(supervisor, "transient").last_exit) == reason
        assert pids(supervisor)["permanent"] != before["permanent"]


def test_an_exception_is_told_with_its_traceback():
    with tree(ChildSpec("a", Puppet)) as supervisor:
        supervisor.child("a").cast((roles.crash, "boom"))
        wait_until(lambda: entry(supervisor, "a").last_exit is not None)
        assert "in crash\n    raise ValueError(text)" in entry(supervisor, "a").last_exit.traceback


def test_the_intensity_ends_the_tree_with_shutdown_at_the_restart_that_is_one_too_many(journal):
    with tree(*journal.workers("abc"), max_restarts=2, max_seconds=60) as supervisor:
        assert killed(supervisor, "b") == {"b"}
        assert killed(supervisor, "c") == {"c"}
        os.kill(pids(supervisor)["a"], signal.SIGKILL)
        assert supervisor.wait(10) == SHUTDOWN
    story = journal.story("up", "stopped")
    assert story == ["up a", "up b", "up c", "up b", "up c", "stopped c", "stopped b"]


def test_a_child_that_cannot_start_again_spends_the_intensity_and_ends_the_tree(journal):
    flag = journal.folder / "fail"
    for strategy in ("one_for_one", "one_for_all", "rest_for_one"):
        record = Journal(journal.folder / strategy)
        record.folder.mkdir()
        children = [record.worker("a"), record.worker("b", fails=str(flag))]
        with tree(*children, strategy=strategy, max_restarts=3, max_seconds=60) as supervisor:
            flag.touch()
            os.kill(pids(supervisor)["b"], signal.SIGKILL)
            assert supervisor.wait(10) == SHUTDOWN
        assert record.story("begin").count("begin b") == 1 + 3
        flag.unlink()


def test_a_child_that_fails_to_restart_is_retried_until_it_starts(journal):
    flag = journal.folder / "fail"
    child = journal.worker("b", fails=str(flag))
    with tree(journal.worker("a"), child, max_restarts=1000) as supervisor:
        flag.touch()
        os.kill(pids(supervisor)["b"], signal.SIGKILL)
        wait_until(lambda: entry(supervisor, "b").restarts > 3)
        assert "was told to fail" in str(entry(supervisor, "b").last_exit)
        flag.unlink()
        wait_until(lambda: entry(supervisor, "b").status == "running")


def test_crashes_further_apart_than_the_window_are_survived():
    with tree(ChildSpec("a", Puppet), max_restarts=1, max_seconds=0.2) as supervisor:
        for _ in range(4):
            assert killed(supervisor, "a") == {"a"}
            assert supervisor.wait(0.3) is None


def test_a_caller_of_a_crashing_child_learns_why():
    with (
        tree(ChildSpec("a", Puppet)) as supervisor,
        pytest.raises(ProcessExited, match="ValueError: boom") as caught,
    ):
        supervisor.child("a").call((roles.crash, "boom"))
    assert "in crash" in str(caught.value)


def test_an_inner_supervisor_that_gives_up_is_restarted_by_the_outer_one(journal):
    inner = Supervisor.child_spec("inner", journal.workers("ab"), max_restarts=0)
    with tree(inner, journal.worker("c")) as supervisor:
        before = pids(supervisor)
        [victim] = [line.pid for line in journal.lines() if line[2:4] == ("a", "up")]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: entry(supervisor, "inner").restarts == 1)
        wait_until(lambda: entry(supervisor, "inner").status == "running")
        assert entry(supervisor, "inner").last_exit == SHUTDOWN
        assert pids(supervisor)["c"] == before["c"]
        journal.check()
    assert journal.story("up") == ["up a", "up b", "up c", "up a", "up b"]


def test_an_inner_supervisor_that_is_transient_and_gives_up_stays_down(journal):
    inner = Supervisor.child_spec(
        "inner", journal.workers("a"), max_restarts=0, restart="transient"
    )
    with tree(inner) as supervisor:
        os.kill(journal.lines()[-1].pid, signal.SIGKILL)
        wait_until(lambda: statuses(supervisor) == {"inner": "stopped"})
        assert entry(supervisor, "inner").last_exit == SHUTDOWN


def test_budgets_of_nested_supervisors_multiply(journal):
    """A worker that fails soon after each start is initialised (I1 + 1) (I2 + 1) times."""
    brief = ChildSpec("a", Brief, journal.worker("a").args)
    inner = Supervisor.child_spec("inner", [brief], max_restarts=1, max_seconds=60)
    with tree(inner, max_restarts=1, max_seconds=60) as supervisor:
        assert supervisor.wait(20) == SHUTDOWN
    assert journal.story("up") == ["up a"] * 4


class Brief(Puppet):
    """Starts, and fails at once."""

    def init(self, args):
        note(args.journal, args.id, "up")
        self.continue_with("fail")

    def handle_continue(self, argument):
        raise ValueError("brief")


@pytest.mark.parametrize("reason", ["normal", "odd"])
def test_the_own_end_of_any_significant_child_ends_the_tree(journal, reason):
    children = [
        journal.worker("a"),
        journal.worker("s", restart="temporary", significant=True),
        journal.worker("z"),
    ]
    with tree(*children, auto_shutdown="any_significant") as supervisor:
        supervisor.child("s").cast((roles.end, reason))
        assert supervisor.wait(10) == SHUTDOWN
    assert journal.story("stopped") == ["stopped s", "stopped z", "stopped a"]


def test_the_end_of_all_significant_children_ends_the_tree(journal):
    children = journal.workers("ab", restart="transient", significant=True)
    with tree(*children, journal.worker("z"), auto_shutdown="all_significant") as supervisor:
        supervisor.child("a").cast((roles.end, "normal"))
        wait_until(lambda: statuses(supervisor)["a"] == "stopped")
        supervisor.child("b").cast((roles.crash,))
        wait_until(lambda: entry(supervisor, "b").restarts == 1)
        supervisor.child("b").stop()
        assert supervisor.wait(10) == SHUTDOWN


def test_terminating_a_significant_child_does_not_end_the_tree(journal):
    child = journal.worker("s", restart="temporary", significant=True)
    with tree(journal.worker("a"), child, auto_shutdown="any_significant") as supervisor:
        supervisor.terminate_child("s")
        assert statuses(supervisor) == {"a": "running"}


def test_a_child_told_to_stop_from_outside_is_restarted():
    with tree(ChildSpec("a", Trapper, name="a")) as supervisor:
        first = supervisor.child("a")
        first.stop("shutdown")
        wait_until(lambda: entry(supervisor, "a").restarts == 1)
        assert supervisor.child("a") != first
        assert entry(supervisor, "a").last_exit == SHUTDOWN
