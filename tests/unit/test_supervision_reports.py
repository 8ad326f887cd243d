"""What supervisors report of children that end: each end once, with what is done about it."""

import pytest

from beethoven.runtime.reason import NORMAL
from beethoven.supervision import events as ev
from beethoven.supervision.backoff import Backoff
from tests.supervision_world import CRASH, Fail, Hang, dynamic, spec, supervisor


def actions(world):
    """Return what was reported to be done about each child's end."""
    reports = [each for each in world.reports if each.event == "child_terminated"]
    return [(each.fields["child"], str(each.fields["action"])) for each in reports]


@pytest.mark.parametrize(
    ("restart", "flags", "action"),
    [
        ("permanent", {}, "restarted"),
        ("transient", {}, "restarted"),
        ("temporary", {}, "forgotten"),
        ("permanent", {"max_restarts": 0}, "escalated"),
        ("permanent", {"max_restarts": 0, "backoff": Backoff(5, 1, 5)}, "retried later"),
    ],
)
def test_a_crash_is_reported_with_what_follows(restart, flags, action):
    world = supervisor(spec("a", restart=restart), **flags).begin()
    world.crash("a")
    assert actions(world) == [("a", action)]
    world = dynamic(**flags)
    world.ask(ev.StartChildRequested, spec("a", restart=restart))
    world.crash("a")
    assert actions(world) == [("a", action)]


def test_a_normal_end_is_reported_of_a_permanent_child_only():
    world = supervisor(spec("a"), spec("b", restart="transient")).begin()
    world.crash("a", "b", reason=NORMAL)
    assert actions(world) == [("a", "restarted")]


def test_a_kept_child_is_reported_as_stopped():
    world = dynamic(keep_ended=True)
    world.ask(ev.StartChildRequested, spec("a", restart="temporary"))
    world.crash("a")
    assert actions(world) == [("a", "stopped")]


def test_a_report_counts_the_restarts_before():
    world = supervisor("a").begin()
    world.crash("a")
    world.crash("a")
    assert [each.fields["restarts"] for each in world.reports if "restarts" in each.fields] == [
        0,
        1,
    ]


def test_a_crash_that_a_group_restart_covers_is_reported_all_the_same():
    world = supervisor("a", spec("b", restart="temporary"), "c", strategy="one_for_all").begin()
    world.init["a"] = [Hang()]
    world.crash("a", "b")
    assert {each.fields["child"] for each in world.reports if each.fields.get("reason")} == {
        "a",
        "b",
    }


def test_a_crash_that_waits_when_the_supervisor_stops_is_reported():
    world = supervisor("a", "b", strategy="one_for_all")
    world.init["b"] = [Hang()]
    world.begin()
    world.crash("a")
    assert actions(world) == []
    world.deliver(ev.ShutdownRequested(NORMAL))
    assert actions(world) == [("a", "stopped")]


def test_a_crash_that_waits_when_its_child_is_terminated_is_reported():
    world = supervisor("a", "b", strategy="one_for_all")
    world.init["b"] = [Hang()]
    world.begin()
    world.crash("a", reason=CRASH)
    world.request(ev.TerminateChildRequested, "a")
    assert actions(world) == [("a", "stopped")]


def test_the_end_of_a_child_is_reported_with_its_process_and_as_loud_as_it_is_wrong():
    world = supervisor("a").begin()
    attempts = [world.attempt("a")]
    world.crash("a")
    attempts.append(world.attempt("a"))
    world.crash("a", reason=NORMAL)
    reports = [each for each in world.reports if each.event == "child_terminated"]
    assert [each.level for each in reports] == ["warning", "info"]
    assert [each.fields["attempt"] for each in reports] == attempts


def test_a_start_that_failed_is_reported():
    world = supervisor("a")
    world.init["a"] = [Fail()]
    world.begin()
    assert world.reported("start_error") == ["a"]


def test_a_failed_child_is_reported_with_how_often_and_until_when():
    world = supervisor("a", max_restarts=0, backoff=Backoff(5, 1, 5)).begin()
    world.crash("a")
    report = world.reports[-1]
    assert (report.event, report.level) == ("child_failed", "error")
    assert (report.fields["failures"], report.fields["retry_in"]) == (1, 5.0)


def test_a_crash_is_not_reported_again_when_a_sibling_crashes():
    world = supervisor("a", "b", strategy="one_for_all").begin()
    world.crash("a")
    world.crash("b")
    assert actions(world) == [("a", "restarted"), ("b", "restarted")]
