"""What the role server decides and tells."""

import pytest

from beethoven.node.role_server_state import (
    RoleEnded,
    RoleStarted,
    StartRole,
    StopRole,
    is_late,
    laggards,
    news,
    reconcile,
    role_status,
)
from beethoven.roles import TestRole as Echo
from beethoven.runtime.reason import KILLED, NORMAL, SHUTDOWN
from beethoven.runtime.reference import Ref
from beethoven.supervision.child_spec import ChildSpec
from beethoven.supervision.listing import ChildEntry

STATES = ["running", "starting", "restarting", "stopping", "stopped", "failed"]
SPECS = {name: ChildSpec(name, Echo) for name in ("a", "b")}


def entry(name, status="running", *, pid=7, restarts=0, last_exit=None):
    ref = Ref(f"1-{pid}", "/x", pid, name) if status == "running" else None
    return ChildEntry(name, ref, status, "worker", "permanent", restarts, last_exit, 0.0)


@pytest.mark.parametrize("status", STATES)
def test_a_role_that_has_an_instance_in_any_state_is_left_alone(status):
    assert reconcile(SPECS, [entry("a", status)]) == [StartRole(SPECS["b"])]


def test_what_is_missing_is_started_and_what_is_too_much_stopped_first():
    actions = reconcile(SPECS, [entry("z"), entry("y")])
    assert actions == [StopRole("y"), StopRole("z"), *map(StartRole, SPECS.values())]
    assert reconcile({}, []) == []


def test_what_was_told_to_stop_and_has_not_ended_lags_behind():
    children = [entry(f"role-{status}", status) for status in STATES]
    assert laggards(children) == ["role-stopping"]


def told(before, now):
    return news({each.id: each for each in before}, now)


def test_a_start_that_was_asked_for_is_told_once():
    assert told([], [entry("a")]) == [RoleStarted("a", 7)]
    assert told([entry("a", "starting")], [entry("a")]) == [RoleStarted("a", 7)]
    assert told([entry("a")], [entry("a")]) == []
    assert told([entry("a")], [entry("a", pid=8)]) == [RoleStarted("a", 8)]


def test_what_the_supervisor_tells_is_not_told_again():
    assert told([entry("a")], [entry("a", pid=8, restarts=1, last_exit=KILLED)]) == []
    assert told([entry("a")], [entry("a", "failed", last_exit=KILLED)]) == []
    assert told([entry("a")], [entry("a", "stopped", last_exit=KILLED)]) == []
    assert told([entry("a")], []) == []


@pytest.mark.parametrize(
    ("last_exit", "reason"), [(NORMAL, "normal"), (SHUTDOWN, "shutdown"), (None, "ignored")]
)
def test_work_that_is_done_is_told_once(last_exit, reason):
    done = entry("a", "stopped", last_exit=last_exit)
    assert told([entry("a")], [done]) == told([], [done]) == [RoleEnded("a", reason)]
    assert told([done], [done]) == []


@pytest.mark.parametrize("status", STATES)
def test_the_status_counts_what_runs(status):
    shown = role_status("a", 2, "n", entry("a", status, last_exit=KILLED))
    assert shown["wanted"] == 2
    assert shown["running"] == (status == "running")
    assert shown["instances"] == [
        {
            "node": "n",
            "pid": 7 if status == "running" else None,
            "state": status,
            "restarts": 0,
            "since": "1970-01-01T00:00:00.000Z",
            "last_exit": "killed",
        }
    ]
    assert role_status("a", 1, "n", None)["instances"] == []


# Since when it is unwanted, when the hand-over is over, when all is killed; is it late at 10?
LATE = [
    (0.0, None, None, False),
    (0.0, 10.1, None, False),
    (0.0, 10.0, None, True),
    (8.0, 9.0, None, True),
    (8.1, 9.0, None, False),
    (10.0, 0.0, None, False),
    (8.1, 9.0, 10.0, True),
    (10.0, None, 10.0, True),
    (8.1, 9.0, 10.1, False),
    (0.0, None, 10.1, False),
]


@pytest.mark.parametrize(("since", "until", "kill_at", "expected"), LATE)
def test_what_is_to_end_is_given_a_moment_but_not_beyond_the_end(since, until, kill_at, expected):
    assert is_late(since, until=until, kill_at=kill_at, now=10.0) is expected
