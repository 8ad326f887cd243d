"""When a node leaves: until when it waits, what it has killed, and when it stops."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.engine.events import Note
from beethoven.node.leave_taking_state import (
    WITHDRAWAL,
    Effect,
    HandOver,
    KillAt,
    Later,
    LeaveTakingState,
    StopNode,
    TakeLeave,
)

TIMEOUT = 8.0
NOW = 100.0
LEAVING = Note("node_leaving", "info", {"node": "viola"})
TIMED_OUT = Note("drain_timed_out", "warning", {"node": "viola"})


@pytest.fixture
def leaving():
    return LeaveTakingState("viola", TIMEOUT)


@pytest.fixture
def begun(leaving):
    leaving.begin(NOW, None, is_alone=False)
    return leaving


def waiting(until, after):
    return [HandOver(until), Later(after, "depart")]


def test_it_waits_for_its_roles_and_no_longer(leaving):
    expected = [*waiting(NOW + TIMEOUT, TIMEOUT), LEAVING]
    assert leaving.begin(NOW, None, is_alone=False) == expected
    assert leaving.begin(NOW, None, is_alone=False) == []
    assert leaving.time_is_up(NOW + TIMEOUT) == [TIMED_OUT, TakeLeave()]
    assert leaving.time_is_up(NOW + TIMEOUT) == []
    assert leaving.depart(NOW + TIMEOUT) == []


@pytest.mark.parametrize("is_known_before", [True, False])
def test_it_waits_until_what_stops_too_slowly_was_killed(leaving, is_known_before):
    kill_at = NOW + 10.0
    done = leaving.begin(NOW, kill_at if is_known_before else None, is_alone=False)
    done += leaving.wait_for(NOW, kill_at)
    until = kill_at + WITHDRAWAL
    assert done[-2:] == waiting(until, until - NOW)
    # The timer of the beginning.
    [later] = leaving.time_is_up(NOW + TIMEOUT)
    assert later == Later(until - (NOW + TIMEOUT), "depart")
    assert leaving.time_is_up(until) == [TIMED_OUT, TakeLeave()]


def test_what_is_to_be_killed_sooner_changes_nothing(leaving):
    soon = NOW + 3.0
    assert leaving.wait_for(NOW, soon) == []
    done = leaving.begin(NOW, soon, is_alone=False)
    assert done == [*waiting(NOW + TIMEOUT, TIMEOUT), LEAVING]
    assert leaving.wait_for(NOW, None) == []


def test_it_withdraws_once_whatever_it_waited_for(begun):
    now = NOW + TIMEOUT - 1.0
    until, killed = now + WITHDRAWAL, KillAt(now + 2.0)
    assert begun.withdraw(now) == [*waiting(until, until - now), killed]
    assert begun.withdraw(now) == []
    assert begun.wait_for(now, now + 60.0) == []
    # The timer of the beginning.
    assert begun.time_is_up(NOW + TIMEOUT) == [Later(until - (NOW + TIMEOUT), "depart")]
    assert begun.remind() == [killed]
    assert begun.time_is_up(now + WITHDRAWAL) == [TIMED_OUT, TakeLeave()]


def test_a_node_that_is_alone_leaves_at_once(leaving):
    assert leaving.begin(NOW, None, is_alone=True) == [LEAVING, TakeLeave()]


def test_a_node_that_is_alone_waits_for_what_is_to_be_killed(leaving):
    begun = leaving.begin(NOW, NOW + 5.0, is_alone=True)
    assert begun == [*waiting(NOW + TIMEOUT, TIMEOUT), LEAVING]
    assert leaving.nobody_is_left(NOW) == []


def test_a_node_that_is_left_alone_leaves_at_once(leaving):
    assert leaving.nobody_is_left(NOW) == []
    leaving.begin(NOW, None, is_alone=False)
    assert leaving.nobody_is_left(NOW) == [TakeLeave()]


def test_whoever_is_in_haste_waits_for_what_is_to_be_killed_and_for_nothing_else(leaving):
    assert leaving.remind() == []
    assert leaving.hasten(NOW, None) == [StopNode()]
    assert KillAt(NOW + 2.0) in leaving.hasten(NOW, NOW + 10.0)


def test_a_successor_waits_as_long_as_was_left(leaving):
    assert leaving.go_on(NOW, NOW + 3.0) == waiting(NOW + 3.0, 3.0)
    assert LeaveTakingState("viola", TIMEOUT).go_on(NOW, NOW - 1.0) == waiting(NOW - 1.0, 0.0)


def test_it_stops_once_the_others_have_read_that_it_leaves(begun):
    begun.depart(NOW)
    assert begun.go(NOW + 0.49, is_linked=True) == [Later(0.01, "go")]
    assert begun.go(NOW + 0.49, is_linked=False) == [StopNode()]
    assert begun.go(NOW + 0.5, is_linked=True) == [StopNode()]


@dataclass
class Life:
    """A node whose timers ring when they should, and all that it did, with the moments."""

    state: LeaveTakingState = field(default_factory=lambda: LeaveTakingState("viola", TIMEOUT))
    now: float = NOW
    timers: list[float] = field(default_factory=list)
    done: list[tuple[float, Effect]] = field(default_factory=list)

    def take(self, effects: list[Effect]) -> None:
        self.done += [(self.now, each) for each in effects]
        self.timers += [self.now + each.after for each in effects if isinstance(each, Later)]

    def pass_until(self, moment: float) -> None:
        while due := [each for each in self.timers if each <= moment]:
            self.now = max(self.now, min(due))
            self.timers.remove(min(due))
            self.take(self.state.time_is_up(self.now))
        self.now = moment

    def moments(self, kind: type) -> list[float]:
        return [when for when, each in self.done if isinstance(each, kind)]

    def happens(self, name: str, ahead: float) -> None:
        match name:
            case "begin":
                self.take(self.state.begin(self.now, None, is_alone=False))
            case "begin hurried":
                self.take(self.state.begin(self.now, self.now + ahead, is_alone=False))
            case "hurry":
                self.take(self.state.wait_for(self.now, self.now + ahead))
            case "withdraw":
                self.take(self.state.withdraw(self.now))
            case "haste":
                self.take(self.state.hasten(self.now, self.now + ahead))


NAMES = ["begin", "begin hurried", "hurry", "withdraw", "haste"]
STEPS = st.tuples(st.sampled_from(NAMES), st.floats(0.0, 20.0), st.floats(0.0, 5.0))


@given(st.lists(STEPS, min_size=1, max_size=12))
def test_whatever_happens_it_leaves_once_and_in_time(steps):
    life = Life()
    for name, ahead, pause in steps:
        life.happens(name, ahead)
        life.pass_until(life.now + pause)
    has_begun = bool(life.moments(HandOver))
    life.pass_until(life.now + 60.0)
    left = life.moments(TakeLeave)
    assert len(left) == has_begun
    # What is killed is dead before the node goes, and that goes before its machine does.
    for when, effect in life.done:
        if isinstance(effect, KillAt) and when < left[0]:
            assert effect.moment == when + 2.0
            assert left[0] == pytest.approx(effect.moment + 0.8)
