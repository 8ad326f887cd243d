"""
The orders that are hard to keep, in real trees: several deaths at once, starts that fail, stops.

What is expected is OTP's order (otp.md 1.5 to 1.7), written down by the workers themselves. Where
OTP lets generations overlap, here they do not: every test looks for that too.
"""

import re
import threading
from typing import Any

import pytest

from beethoven import ChildSpec, Supervisor, SupervisorRef, stop
from beethoven.errors import (
    ChildRestarting,
    ChildStartFailed,
    ProcessExited,
    StartFailed,
    SupervisionError,
)
from beethoven.runtime.reason import KILLED, SHUTDOWN
from beethoven.runtime.reference import ask_to_stop
from tests.conformance.cases import proves
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
    story,
    times,
)
from tests.integration.roles import Puppet
from tests.integration.test_supervisor_strategies import Brief
from tests.integration.trees import PERIOD, pids, statuses, tree
from tests.processes import is_running, wait_until

pytestmark = pytest.mark.process


def restarts(supervisor):
    return {each.id: each.restarts for each in reversed(supervisor.which_children())}


def in_background(function, *arguments):
    """Call in a thread; return the thread, and a list that gets what came of it."""
    outcome: list[object] = []

    def run():
        try:
            outcome.append(function(*arguments))
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def test_one_for_one_counts_each_of_several_deaths_at_once(journal):
    with tree(*journal.workers("abcd"), max_restarts=3) as supervisor:
        kill_at_once(supervisor, "a", "b", "d")
        wait_until(lambda: is_whole(supervisor) and sum(restarts(supervisor).values()) == 3)
        assert restarts(supervisor) == {"a": 1, "b": 1, "c": 0, "d": 1}


def test_one_for_one_gives_up_at_the_death_that_is_one_too_many(journal):
    with tree(*journal.workers("abcd"), max_restarts=2) as supervisor:
        kill_at_once(supervisor, "a", "b", "d")
        assert supervisor.wait(10) == SHUTDOWN
    assert times(journal, "begin c") == 1
    assert times(journal, "stopped c") == 1


def test_one_for_all_counts_several_deaths_at_once_as_one(journal):
    with tree(*journal.workers("abcd"), strategy="one_for_all", max_restarts=1) as supervisor:
        kill_at_once(supervisor, "b", "d")
        wait_until(lambda: times(journal, "up d") == 2)
        assert story(journal, "up d") == (
            "stopping c, stopped c, stopping a, stopped a, "
            "begin a, up a, begin b, up b, begin c, up c, begin d, up d"
        )


def test_rest_for_one_leaves_those_before_all_of_several_deaths_alone(journal):
    """Which of the two is heard first is open: it is one restart or two (otp.md 1.7)."""
    with tree(*journal.workers("abcd"), strategy="rest_for_one", max_restarts=2) as supervisor:
        before = kill_at_once(supervisor, "b", "d")
        wait_until(lambda: is_whole(supervisor) and times(journal, "up d") > 1)
        after = pids(supervisor)
        assert {each for each in before if before[each] == after[each]} == {"a"}
        assert times(journal, "begin b") == 2
        assert times(journal, "begin d") in {2, 3}


def test_a_death_of_one_that_was_to_be_stopped_anyway_is_no_second_restart(journal):
    children = [*journal.workers("abc"), journal.worker("d", lingers=journal.flag("lingers"))]
    with tree(*children, strategy="rest_for_one", max_restarts=1) as supervisor:
        before = pids(supervisor)
        kill(before["b"])
        wait_until(lambda: times(journal, "stopping d"))
        kill(before["c"])
        journal.lower("lingers")
        wait_until(lambda: times(journal, "up d") == 2)
        assert story(journal, "up d") == (
            "stopping d, stopped d, begin b, up b, begin c, up c, begin d, up d"
        )


def test_a_later_death_that_is_heard_first_is_restarted_and_then_again_with_the_earlier(journal):
    """Its start is not cut short: it comes up before anybody is told to stop."""
    flag = journal.folder / "hangs"
    children = [*journal.workers("ab"), journal.worker("c", hangs=str(flag), trap=False)]
    with tree(*children, strategy="rest_for_one", max_restarts=2) as supervisor:
        before = pids(supervisor)
        flag.touch()
        kill(before["c"])
        wait_until(lambda: times(journal, "begin c") == 2)
        kill(before["a"])
        flag.unlink()
        wait_until(lambda: times(journal, "up c") == 3)
        assert story(journal, "up c") == (
            "begin c, up c, stopping b, stopped b, begin a, up a, begin b, up b, begin c, up c"
        )


@pytest.mark.parametrize("max_restarts", [1, 2])
def test_a_death_in_the_middle_of_a_group_restart_waits_for_its_end_and_counts(
    journal, max_restarts
):
    flag = journal.folder / "hangs"
    children = [journal.worker("a"), journal.worker("b", hangs=str(flag), trap=False)]
    with tree(*children, strategy="one_for_all", max_restarts=max_restarts) as supervisor:
        flag.touch()
        kill(pids(supervisor)["a"])
        wait_until(lambda: times(journal, "begin b") == 2)
        kill(instances(journal, "a")[-1])
        flag.unlink()
        told = "begin a, up a, begin b, up b"
        if max_restarts == 1:
            assert supervisor.wait(10) == SHUTDOWN
            assert story(journal, "up b") == told
        else:
            wait_until(lambda: times(journal, "up b") == 3)
            assert story(journal, "up b") == f"{told}, {told}"


def failing(journal, how):
    """Return workers of which b fails to start in that way while a file exists, and the file."""
    flag = journal.folder / how
    options = {how: str(flag), "start_timeout": 1.5 if how == "hangs" else 30.0}
    return [journal.worker("a"), journal.worker("b", **options), journal.worker("c")], flag


RETRIES = {
    ("one_for_one", "b"): "(begin b, )+up b",
    ("rest_for_one", "a"): (
        "stopping c, stopped c, stopping b, stopped b, "
        "begin a, up a, (begin b, )+up b, begin c, up c"
    ),
    ("rest_for_one", "b"): "stopping c, stopped c, (begin b, )+up b, begin c, up c",
    ("one_for_all", "a"): (
        "stopping c, stopped c, stopping b, stopped b, "
        "(begin a, up a, begin b, stopping a, stopped a, )+"
        "begin a, up a, begin b, up b, begin c, up c"
    ),
    ("one_for_all", "c"): (
        "stopping b, stopped b, stopping a, stopped a, "
        "(begin a, up a, begin b, stopping a, stopped a, )+"
        "begin a, up a, begin b, up b, begin c, up c"
    ),
}


@proves("S34", "S43")
@pytest.mark.parametrize("how", ["fails", "hangs"])
@pytest.mark.parametrize(("strategy", "victim"), RETRIES)
def test_a_restart_that_fails_is_tried_again_from_where_the_strategy_says(
    journal, strategy, victim, how
):
    children, flag = failing(journal, how)
    with tree(*children, strategy=strategy, max_restarts=PATIENT) as supervisor:
        flag.touch()
        kill(pids(supervisor)[victim])
        wait_until(lambda: times(journal, "begin b") >= 3)
        flag.unlink()
        wait_until(lambda: is_whole(supervisor))
        told = story(journal, "up c")
        assert re.fullmatch(RETRIES[strategy, victim], told), told


IGNORED = {
    ("one_for_one", "b"): "begin b",
    ("rest_for_one", "a"): (
        "stopping c, stopped c, stopping b, stopped b, begin a, up a, begin b, begin c, up c"
    ),
    ("one_for_all", "c"): (
        "stopping b, stopped b, stopping a, stopped a, begin a, up a, begin b, begin c, up c"
    ),
}


@pytest.mark.parametrize(("strategy", "victim"), IGNORED)
def test_a_restart_that_is_ignored_is_done_and_holds_up_nobody(journal, strategy, victim):
    children, flag = failing(journal, "ignores")
    with tree(*children, strategy=strategy, max_restarts=1) as supervisor:
        flag.touch()
        kill(pids(supervisor)[victim])
        expected = {"a": "running", "b": "stopped", "c": "running"}
        wait_until(lambda: times(journal, "begin b") == 2 and statuses(supervisor) == expected)
        assert story(journal, "up c") == IGNORED[strategy, victim]
        flag.unlink()
        assert supervisor.restart_child("b") == supervisor.child("b")


GIVING_UP = {
    ("one_for_one", "b"): "begin b, begin b, stopping c, stopped c, stopping a, stopped a",
    ("rest_for_one", "a"): (
        "stopping c, stopped c, stopping b, stopped b, "
        "begin a, up a, begin b, begin b, stopping a, stopped a"
    ),
    ("one_for_all", "a"): (
        "stopping c, stopped c, stopping b, stopped b, "
        "begin a, up a, begin b, stopping a, stopped a, "
        "begin a, up a, begin b, stopping a, stopped a"
    ),
}


@proves("S31", "S33", "S42")
@pytest.mark.parametrize("how", ["fails", "hangs"])
@pytest.mark.parametrize(("strategy", "victim"), GIVING_UP)
def test_failing_restarts_spend_the_budget_and_the_rest_stops_in_reverse(
    journal, strategy, victim, how
):
    children, flag = failing(journal, how)
    with tree(*children, strategy=strategy, max_restarts=2) as supervisor:
        flag.touch()
        kill(pids(supervisor)[victim])
        assert supervisor.wait(30) == SHUTDOWN
    assert story(journal, "up c") == GIVING_UP[strategy, victim]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [("one_for_one", ""), ("rest_for_one", "begin c, up c"), ("one_for_all", "begin c, up c")],
)
def test_terminating_a_child_ends_the_retries_and_the_rest_of_its_group_comes_up(
    journal, strategy, expected
):
    """The rest of a group stays down in OTP: docs/supervision.md."""
    children, flag = failing(journal, "fails")
    with tree(*children, strategy=strategy, max_restarts=1_000_000) as supervisor:
        flag.touch()
        kill(pids(supervisor)["b"])
        wait_until(lambda: times(journal, "begin b") > 2)
        supervisor.terminate_child("b")
        wait_until(lambda: statuses(supervisor) == {"a": "running", "b": "stopped", "c": "running"})
        assert story(journal).endswith(expected)
        begun = times(journal, "begin b")
        assert supervisor.wait(0.3) is None
        assert times(journal, "begin b") == begun


@pytest.mark.parametrize("strategy", ["one_for_one", "rest_for_one", "one_for_all"])
def test_a_supervisor_that_tries_again_and_again_obeys_at_once(journal, strategy):
    children, flag = failing(journal, "fails")
    with tree(*children, strategy=strategy, max_restarts=1_000_000) as supervisor:
        flag.touch()
        kill(pids(supervisor)["b"])
        wait_until(lambda: times(journal, "begin b") > 3)
        supervisor.stop(timeout=10)
    assert {line.split()[1] for line in journal.story("stopped")} >= {"a", "c"}


def test_a_failure_goes_up_three_supervisors_one_after_another(journal):
    """Each gives up after one attempt, stops its others, and is restarted with its subtree."""
    flag = journal.folder / "fails"
    budget: dict[str, Any] = {"max_restarts": 1, "max_seconds": PERIOD}
    children = [journal.worker("i"), journal.worker("w", fails=str(flag))]
    inner = Supervisor.child_spec("inner", children, **budget)
    middle = Supervisor.child_spec("middle", [journal.worker("m"), inner], **budget)
    with tree(journal.worker("r"), middle, max_restarts=1) as supervisor:
        flag.touch()
        kill(instances(journal, "w")[-1])
        assert supervisor.wait(20) == SHUTDOWN
    assert story(journal, "up w").split(", ") == [
        *("begin w", "stopping i", "stopped i"),
        *("begin i", "up i", "begin w", "stopping i", "stopped i"),
        *("stopping m", "stopped m"),
        *("begin m", "up m", "begin i", "up i", "begin w"),
        *("stopping i", "stopped i", "stopping m", "stopped m"),
        *("stopping r", "stopped r"),
    ]


def test_the_budgets_of_three_nested_supervisors_multiply(journal):
    brief = ChildSpec("a", Brief, journal.worker("a").args)
    budget: dict[str, Any] = {"max_restarts": 1, "max_seconds": PERIOD}
    inner = Supervisor.child_spec("inner", [brief], **budget)
    middle = Supervisor.child_spec("middle", [inner], **budget)
    with tree(middle, max_restarts=1) as supervisor:
        assert supervisor.wait(30) == SHUTDOWN
    assert times(journal, "up a") == 2 * 2 * 2


def test_a_failure_goes_up_no_further_than_a_transient_supervisor(journal):
    inner = Supervisor.child_spec("inner", journal.workers("bc"), max_restarts=0)
    middle = Supervisor.child_spec("middle", [inner], max_restarts=0, restart="transient")
    with tree(journal.worker("a"), middle, max_restarts=0) as supervisor:
        kill(instances(journal, "b")[-1])
        wait_until(lambda: statuses(supervisor) == {"a": "running", "middle": "stopped"})
        assert entry(supervisor, "middle").last_exit == SHUTDOWN
        assert story(journal, "up c") == "stopping c, stopped c"


STARTING = {
    "it ends at once": {"trap": False},
    "it is killed when its time is over": {"shutdown": 0.3},
    "it is killed at once": {"shutdown": "brutal_kill"},
}


@pytest.mark.parametrize("options", STARTING.values(), ids=STARTING)
def test_a_child_that_hangs_in_its_start_stops_in_its_turn(journal, options):
    flag = journal.folder / "hangs"
    child = journal.worker("b", hangs=str(flag), start_timeout=60.0, **options)
    with tree(journal.worker("a"), child, journal.worker("c")) as supervisor:
        flag.touch()
        kill(pids(supervisor)["b"])
        wait_until(lambda: times(journal, "begin b") == 2)
        supervisor.stop(timeout=10)
    assert story(journal, "up c") == "begin b, stopping c, stopped c, stopping a, stopped a"


def test_a_child_that_comes_up_after_it_was_told_to_stop_terminates_in_good_order(journal):
    children = [journal.worker("a"), journal.worker("b", init=0.4)]
    with tree(*children) as supervisor:
        kill(pids(supervisor)["b"])
        wait_until(lambda: times(journal, "begin b") == 2)
        supervisor.stop(timeout=10)
    assert story(journal, "up b") == ("begin b, up b, stopping b, stopped b, stopping a, stopped a")


def test_a_subtree_that_still_starts_is_undone_in_reverse(journal):
    flag = journal.flag("hangs")
    hanging = journal.worker("d", hangs=flag, trap=False, start_timeout=60.0)
    inner = Supervisor.child_spec("inner", [*journal.workers("bc"), hanging])
    with tree(journal.worker("a")) as supervisor:
        thread, outcome = in_background(supervisor.start_child, inner)
        wait_until(lambda: times(journal, "begin d"))
        supervisor.stop(timeout=10)
        thread.join()
    assert isinstance(outcome[0], SupervisionError | ProcessExited)
    assert story(journal, "begin d") == (
        "stopping c, stopped c, stopping b, stopped b, stopping a, stopped a"
    )


def test_a_tree_that_is_stopped_before_it_is_up_has_not_started(journal):
    flag = journal.flag("hangs")
    hanging = journal.worker("c", hangs=flag, trap=False, start_timeout=60.0)

    def start():
        return Supervisor.start_link([*journal.workers("ab"), hanging], name="tree")

    thread, outcome = in_background(start)
    wait_until(lambda: times(journal, "begin c"))
    stop("tree", "shutdown", timeout=10)
    thread.join()
    assert isinstance(outcome[0], StartFailed)
    assert story(journal, "begin c") == "stopping b, stopped b, stopping a, stopped a"


def tell_to_stop(supervisor):
    """Tell a supervisor to stop; return when it knows."""
    ask_to_stop(supervisor.ref, SHUTDOWN)
    statuses(supervisor)


def test_a_stop_while_a_group_stops_goes_on_in_reverse_and_starts_nobody(journal):
    children = [*journal.workers("ab"), journal.worker("c", lingers=journal.flag("lingers"))]
    with tree(*children, strategy="one_for_all") as supervisor:
        kill(pids(supervisor)["a"])
        wait_until(lambda: times(journal, "stopping c"))
        tell_to_stop(supervisor)
        journal.lower("lingers")
        assert supervisor.wait(10) == SHUTDOWN
    assert story(journal, "up c") == "stopping c, stopped c, stopping b, stopped b"


def test_a_stop_while_a_group_starts_undoes_it_and_starts_no_more(journal):
    flag = journal.folder / "hangs"
    children = [journal.worker("a"), journal.worker("b", hangs=str(flag)), journal.worker("c")]
    with tree(*children, strategy="one_for_all") as supervisor:
        flag.touch()
        kill(pids(supervisor)["c"])
        wait_until(lambda: times(journal, "begin b") == 2)
        tell_to_stop(supervisor)
        flag.unlink()
        assert supervisor.wait(10) == SHUTDOWN
    assert story(journal, "up c") == (
        "stopping b, stopped b, stopping a, stopped a, begin a, up a, begin b, up b, "
        "stopping b, stopped b, stopping a, stopped a"
    )


def test_what_is_asked_while_a_group_restarts_is_done_after_it(journal):
    flag = journal.folder / "hangs"
    children = [journal.worker("a"), journal.worker("b", hangs=str(flag)), journal.worker("c")]
    with tree(*children, strategy="one_for_all") as supervisor:
        supervisor.terminate_child("c")
        flag.touch()
        kill(pids(supervisor)["a"])
        wait_until(lambda: times(journal, "begin b") == 2)
        adding, added = in_background(supervisor.start_child, journal.worker("d"))
        # In OTP the question waits, and is told that the group has revived it.
        with pytest.raises(ChildRestarting, match="child 'c' is restarting"):
            supervisor.restart_child("c")
        flag.unlink()
        adding.join()
        assert added == [supervisor.child("d")]
    told = "begin a, up a, begin b, up b, begin c, up c, begin d, up d"
    assert told in story(journal)


def test_slow_stuck_and_frozen_children_stop_in_their_turn(journal):
    children = [
        journal.worker("a"),
        journal.worker("slow", stop=0.3),
        journal.worker("stuck", stop=60.0, shutdown=1.0),
        journal.worker("frozen", shutdown=0.3),
        journal.worker("brutal", shutdown="brutal_kill"),
        journal.worker("z"),
    ]
    with tree(*children) as supervisor:
        for child_id in ("frozen", "brutal"):
            freeze(pids(supervisor)[child_id])
        supervisor.stop(timeout=10)
    assert story(journal, "up z") == (
        "stopping z, stopped z, stopping stuck, stopping slow, stopped slow, stopping a, stopped a"
    )


def test_a_group_restart_waits_for_a_frozen_member_no_longer_than_its_time(journal):
    children = [journal.worker("a"), journal.worker("b", shutdown=0.3), journal.worker("c")]
    with tree(*children, strategy="one_for_all") as supervisor:
        before = pids(supervisor)
        freeze(before["b"])
        kill(before["a"])
        wait_until(lambda: times(journal, "up c") == 2)
        assert story(journal, "up c") == (
            "stopping c, stopped c, begin a, up a, begin b, up b, begin c, up c"
        )


@pytest.mark.parametrize("stops", [0.0, 60.0])
def test_a_frozen_supervisor_is_killed_after_its_time_and_its_subtree_is_gone_first(journal, stops):
    """Before the siblings that were started earlier are told."""
    inner = Supervisor.child_spec(
        "inner", [journal.worker("b", stop=stops), journal.worker("c", stray=True)], shutdown=0.3
    )
    with tree(journal.worker("a"), inner) as supervisor:
        freeze(instances(journal, "c")[-1])
        freeze(pids(supervisor)["inner"])
        supervisor.stop(timeout=10)
    told = story(journal, "up c")
    assert told.endswith("stopping a, stopped a")
    assert times(journal, "stopping b") == 1


def test_a_child_that_freezes_in_its_start_is_killed_when_the_time_for_it_is_over(journal):
    flag = journal.folder / "hangs"
    child = journal.worker("b", hangs=str(flag), start_timeout=3.0)
    with tree(journal.worker("a"), child, max_restarts=PATIENT) as supervisor:
        flag.touch()
        kill(pids(supervisor)["b"])
        wait_until(lambda: times(journal, "begin b") == 2)
        freeze(instances(journal, "b")[-1])
        flag.unlink()
        wait_until(lambda: times(journal, "up b") == 2)
        assert times(journal, "begin b") == 3
        assert running(journal) == latest(journal)


def test_a_child_that_fails_to_start_by_hand_changes_nothing(journal):
    with tree(*journal.workers("ab"), strategy="one_for_all", max_restarts=0) as supervisor:
        before = pids(supervisor)
        with pytest.raises(ChildStartFailed):
            supervisor.start_child(journal.worker("c", fails=journal.flag("fails")))
        assert pids(supervisor) == before


def test_a_grandchild_that_dies_while_its_supervisor_stops_is_not_restarted(journal):
    inner = Supervisor.child_spec("inner", [journal.worker("b"), journal.worker("c", stop=0.5)])
    with tree(journal.worker("a"), inner) as supervisor:
        ref = SupervisorRef(supervisor.child("inner"))
        victim = pids(ref)["b"]
        thread, _ = in_background(supervisor.terminate_child, "inner")
        wait_until(lambda: times(journal, "stopping c"))
        kill(victim)
        thread.join()
        assert not is_running(victim)
        assert statuses(supervisor) == {"a": "running", "inner": "stopped"}
    assert times(journal, "begin b") == 1


FIRST_DEATH = {
    "one_for_one": "begin a, up a",
    "rest_for_one": (
        "stopping c, stopped c, stopping b, stopped b, begin a, up a, begin b, up b, begin c, up c"
    ),
    "one_for_all": (
        "stopping c, stopped c, stopping b, stopped b, begin a, up a, begin b, up b, begin c, up c"
    ),
}


@pytest.mark.parametrize("strategy", FIRST_DEATH)
def test_a_death_while_later_ones_start_for_the_first_time_is_heeded_when_all_are_up(
    journal, strategy
):
    """It is a restart, which counts, and no failure of the start."""
    children = [journal.worker("a"), journal.worker("b", init=0.4), journal.worker("c")]

    def start():
        return Supervisor.start_link(children, strategy=strategy, max_restarts=1)

    thread, outcome = in_background(start)
    wait_until(lambda: times(journal, "begin b"))
    kill(instances(journal, "a")[-1])
    thread.join()
    [supervisor] = outcome
    assert isinstance(supervisor, SupervisorRef)
    with supervisor:
        wait_until(lambda: story(journal, "up c").endswith(FIRST_DEATH[strategy]))
        told = f"begin a, up a, begin b, up b, begin c, up c, {FIRST_DEATH[strategy]}"
        assert story(journal) == told


def test_exit_signals_of_others_than_the_parent_end_no_supervisor(journal):
    inner = Supervisor.child_spec("inner", [journal.worker("a"), ChildSpec("child", Puppet)])
    with tree(inner, ChildSpec("stranger", Puppet), max_restarts=0) as supervisor:
        ref = supervisor.child("inner")
        for reason in ("normal", "shutdown", "odd"):
            ref.exit(reason)
            supervisor.child("stranger").call((send_exit, ref, reason))
            SupervisorRef(ref).child("child").call((send_exit, ref, reason))
        assert statuses(SupervisorRef(ref)) == {"a": "running", "child": "running"}
        assert statuses(supervisor) == {"inner": "running", "stranger": "running"}
    assert story(journal) == "begin a, up a, stopping a, stopped a"


@pytest.mark.parametrize("reason", ["normal", "shutdown", "odd"])
def test_an_exit_signal_of_the_parent_ends_a_supervisor_with_that_reason(journal, reason):
    with tree(*journal.workers("ab")) as supervisor:
        supervisor.ref.exit(reason)
        assert str(supervisor.wait(10)) == reason
    assert story(journal, "up b") == "stopping b, stopped b, stopping a, stopped a"


def send_exit(role, target, reason):
    target.exit(reason)


def test_the_exit_signal_kill_ends_a_supervisor_with_its_subtree(journal):
    inner = Supervisor.child_spec("inner", journal.workers("b"))
    with tree(journal.worker("a"), inner) as supervisor:
        supervisor.child("inner").exit("kill")
        wait_until(lambda: times(journal, "up b") == 2 and is_whole(supervisor))
        assert entry(supervisor, "inner").last_exit == KILLED
