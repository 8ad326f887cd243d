"""What follows for a node from notices: a table of rules, and what holds whatever is announced."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.cloud.notice import Notice, NoticeKind
from beethoven.cloud.notices_state import (
    FATAL,
    Acknowledge,
    Emptied,
    Foresee,
    MachineLearned,
    NoticesRead,
    NoticesSettings,
    NoticesState,
    Ticked,
)
from beethoven.cloud.outlook import CALM, Outlook
from beethoven.cloud.provider import Note

ME, OTHER = "web_3", "web_4"
DEFAULT = frozenset({NoticeKind.TERMINATE, NoticeKind.REDEPLOY, NoticeKind.REBOOT})
SETTINGS = NoticesSettings(DEFAULT, hand_over_within=10.0, tolerance=2.0)


class World:
    """A node that reads notices, at a time that the test says."""

    def __init__(self, settings=SETTINGS, machine=ME):
        self.state = NoticesState(settings, machine)
        self.now = 1000.0
        self.acknowledged = []
        self.notes = []

    def tell(self, event):
        effects = self.state.handle(event, now=self.now)
        self.acknowledged += [each for each in effects if isinstance(each, Acknowledge)]
        self.notes += [each.event for each in effects if isinstance(each, Note)]
        told = [each.outlook for each in effects if isinstance(each, Foresee)]
        assert len(told) <= 1
        assert not told or told[0] == self.state.outlook
        return effects

    def read(self, *notices):
        self.tell(NoticesRead(notices))
        return self.state.outlook

    def at(self, moment):
        """Let time pass, with every tick in its time."""
        while (deadline := self.state.next_deadline()) is not None and deadline <= moment:
            self.now = max(self.now, deadline)
            self.tell(Ticked())
        self.now = moment
        return self.state.outlook


def notice(kind=NoticeKind.PREEMPT, begins_in=30.0, **more):
    values = {"machines": frozenset({ME}), "begins_in": begins_in, **more}
    return Notice("n1", NoticeKind(kind), **values)


def test_nothing_is_said_before_the_first_reading():
    world = World()
    assert world.tell(Ticked()) == world.tell(Emptied(is_empty=True)) == []
    assert world.state.outlook is None
    assert world.read() == CALM


def test_what_has_not_changed_is_not_told_again():
    world = World()
    world.read(notice())
    world.now += 1
    assert world.tell(NoticesRead((notice(begins_in=29.0),))) == []


@pytest.mark.parametrize("kind", sorted(FATAL))
def test_a_notice_for_this_machine_cordons_it_at_once(kind):
    world = World()
    assert world.read(notice(kind)) == Outlook(
        is_cordoned=True,
        hand_over_until=1010.0,
        leave_at=1027.0,
        doomed=frozenset({ME}),
        why=f"{kind} is announced",
    )
    assert world.notes == ["notice_received"]


# Seconds of notice; until when it hands over; when it leaves, both from the reading.
LEAVES = [
    (900.0, 10.0, 897.0),
    (30.0, 10.0, 27.0),
    (12.0, 9.0, 9.0),
    (8.0, 5.0, 5.0),
    (4.0, 1.0, 1.0),
    (3.0, 0.0, 0.0),
    (2.0, 0.0, 0.0),
    (1.0, 0.0, 0.0),
    (0.0, 0.0, 0.0),
    (None, 10.0, 10.0),
]


@pytest.mark.parametrize(("begins_in", "until", "leaves"), LEAVES)
def test_it_hands_over_lingers_and_leaves(begins_in, until, leaves):
    world = World()
    outlook = world.read(notice(begins_in=begins_in))
    assert outlook.hand_over_until == 1000.0 + until
    assert outlook.is_leaving == (leaves == 0.0)
    if leaves:
        assert world.state.next_deadline() == 1000.0 + leaves
        assert not world.at(1000.0 + leaves - 0.001).is_leaving
    assert world.at(1000.0 + leaves).is_leaving


# Seconds of notice, and when the machine may be gone, from the reading.
DUE = [(900.0, 899.0), (8.0, 7.0), (1.5, 0.5), (1.0, 0.0), (0.0, 0.0), (None, None)]


@pytest.mark.parametrize("machines", [frozenset({ME}), frozenset({OTHER, "web_5"})])
@pytest.mark.parametrize(("begins_in", "due"), DUE)
def test_a_machine_that_may_be_gone_is_due(begins_in, due, machines):
    world = World()
    outlook = world.read(notice(begins_in=begins_in, machines=machines))
    assert outlook.due == (machines if due == 0.0 else frozenset())
    if due:
        assert not world.at(1000.0 + due - 0.001).due
        assert world.state.next_deadline() == 1000.0 + due
        assert world.at(1000.0 + due).due == machines
    assert world.at(9000.0).due == (frozenset() if due is None else machines)
    assert world.state.next_deadline() is None


@pytest.mark.parametrize("kind", sorted(NoticeKind))
def test_what_has_begun_is_due_if_the_machine_goes(kind):
    world = World()
    others = frozenset({OTHER})
    outlook = world.read(notice(kind, None, is_started=True, machines=others))
    assert outlook.due == (others if kind in FATAL else frozenset())
    assert not world.read().due


@pytest.mark.parametrize("kind", sorted(FATAL))
def test_what_has_begun_makes_it_leave_at_once(kind):
    world = World()
    world.read()
    outlook = world.read(notice(kind, None, is_started=True))
    assert outlook.is_leaving
    assert outlook.hand_over_until == world.now


@pytest.mark.parametrize("kind", sorted(FATAL))
def test_a_node_may_have_booted_after_what_had_begun_before_it_read(kind):
    world = World()
    outlook = world.read(notice(kind, None, is_started=True))
    is_over = kind in {NoticeKind.REBOOT, NoticeKind.REDEPLOY}
    assert outlook.is_cordoned
    assert outlook.is_leaving != is_over
    if is_over:
        world.now += 100
        assert not world.read(notice(kind, None, is_started=True)).is_leaving
        assert world.read() == CALM


def test_what_is_learned_of_the_machine_later_counts_for_what_was_read():
    world = World(machine="")
    outlook = world.read(notice(begins_in=20.0))
    assert outlook == Outlook(doomed=frozenset({ME}))
    world.now += 5
    world.tell(MachineLearned(ME))
    found = world.state.outlook
    assert found == Outlook(
        is_cordoned=True,
        hand_over_until=1010.0,
        leave_at=1017.0,
        doomed=frozenset({ME}),
        why="Preempt is announced",
    )
    assert world.state.next_deadline() == 1017.0


def test_a_notice_that_is_taken_back_uncordons():
    world = World()
    world.read(notice())
    assert world.at(1020.0).is_cordoned
    assert world.read() == CALM
    assert world.notes == ["notice_received", "notice_gone"]
    assert world.state.next_deadline() is None


def test_one_that_is_taken_back_too_late_does_not():
    world = World()
    world.read(notice(begins_in=5.0))
    assert world.at(1003.0).is_leaving
    assert world.read().is_leaving


def test_a_hand_over_does_not_begin_anew_but_may_have_to_end_sooner():
    world = World()
    assert world.read(notice(begins_in=60.0)).hand_over_until == 1010.0
    world.now = 1004.0
    assert world.read(notice(begins_in=56.0)).hand_over_until == 1010.0
    assert world.read(notice(begins_in=4.0)).hand_over_until == 1005.0
    assert world.read(notice(begins_in=90.0)).hand_over_until == 1005.0
    assert world.state.next_deadline() == 1004.0 + 87.0


def test_a_successor_takes_what_has_begun_meanwhile_for_what_it_is():
    reboot = notice(NoticeKind.REBOOT, None, is_started=True)
    assert not World().read(reboot).is_leaving
    world = World()
    world.state = NoticesState(SETTINGS, ME, is_successor=True)
    assert world.read(reboot).is_leaving


def test_a_moment_that_is_told_in_whole_seconds_does_not_make_it_leave_again_and_again():
    world = World()
    leave_at = world.read(notice(begins_in=60.0)).leave_at
    for late in (0.9, 0.4, 0.7):
        world.now += 1.0
        assert world.read(notice(begins_in=60.0 - (world.now - 1000.0) + late)).leave_at == leave_at
    # A hand-over before a pause may take all of its time.
    freeze = notice(NoticeKind.FREEZE, 4.0, lasts=60.0)
    assert World().read(freeze).hand_over_until == 1010.0


def test_a_notice_that_is_put_off_makes_it_leave_later():
    world = World()
    world.read(notice(begins_in=5.0))
    world.now = 1002.0
    world.read(notice(begins_in=60.0))
    assert not world.at(1010.0).is_leaving
    assert world.at(1060.0).is_leaving


def test_of_several_notices_the_first_counts():
    world = World()
    late = replace(notice(NoticeKind.REBOOT, 900.0), notice_id="n2")
    outlook = world.read(late, notice(begins_in=6.0))
    assert outlook.hand_over_until == 1003.0
    assert world.state.next_deadline() == 1003.0
    assert outlook.why == "Reboot is announced; Preempt is announced"
    assert world.read(late).is_cordoned


# Whether it has begun, how long it lasts, and whether that cordons.
FREEZES = [
    (False, None, True),
    (False, 0.0, False),
    (False, 2.0, False),
    (False, 2.1, True),
    (True, None, True),
    (True, 0.0, False),
    (True, 2.0, False),
    (True, 60.0, True),
]


@pytest.mark.parametrize(("is_started", "lasts", "cordons"), FREEZES)
def test_a_freeze_cordons_if_it_is_long_but_nobody_leaves(is_started, lasts, cordons):
    world = World()
    begins_in = None if is_started else 900.0
    freeze = notice(NoticeKind.FREEZE, begins_in, is_started=is_started, lasts=lasts)
    outlook = world.read(freeze)
    assert outlook.is_cordoned == cordons
    assert outlook.hand_over_until == (1010.0 if cordons else None)
    assert outlook.doomed == frozenset()
    assert world.state.next_deadline() is None
    assert not world.at(5000.0).is_leaving
    assert world.read() == CALM


def test_a_hint_makes_others_preferred_and_no_more():
    world = World()
    hint = notice(NoticeKind.REBALANCE, None)
    assert world.read(hint) == Outlook(
        is_at_risk=True, why="SpotRebalanceRecommendation is announced"
    )
    assert world.at(9000.0) == world.state.outlook
    assert world.read() == CALM


@pytest.mark.parametrize("kind", sorted(NoticeKind))
def test_notices_of_others_doom_those_and_nobody_else(kind):
    world = World()
    others = frozenset({OTHER, "web_5"})
    outlook = world.read(notice(kind, machines=others))
    assert outlook == Outlook(doomed=others if kind in FATAL else frozenset())
    assert world.notes == []
    assert world.read() == CALM


def test_a_node_that_does_not_know_its_machine_takes_no_notice_for_its_own():
    world = World(machine="")
    assert world.read(notice(machines=frozenset({""}))) == Outlook(doomed=frozenset({""}))


ACKNOWLEDGED = [
    (NoticeKind.PREEMPT, DEFAULT, False),
    (NoticeKind.TERMINATE, DEFAULT, True),
    (NoticeKind.REDEPLOY, DEFAULT, True),
    (NoticeKind.REBOOT, DEFAULT, True),
    (NoticeKind.FREEZE, DEFAULT, False),
    (NoticeKind.PREEMPT, frozenset({NoticeKind.PREEMPT}), True),
    (NoticeKind.FREEZE, frozenset({NoticeKind.FREEZE}), True),
    (NoticeKind.REBALANCE, frozenset(NoticeKind), False),
    (NoticeKind.TERMINATE, frozenset(), False),
]


@pytest.mark.parametrize(("kind", "kinds", "is_wanted"), ACKNOWLEDGED)
def test_only_some_kinds_are_acknowledged_and_only_once(kind, kinds, is_wanted):
    world = World(replace(SETTINGS, acknowledge=kinds))
    world.read(notice(kind, 600.0))
    assert world.acknowledged == []
    for _ in range(3):
        world.tell(Emptied(is_empty=True))
        world.read(notice(kind, 600.0))
    assert world.acknowledged == ([Acknowledge(("n1",))] if is_wanted else [])


def test_what_concerns_others_too_is_not_acknowledged():
    world = World()
    world.read(notice(NoticeKind.REBOOT, 600.0, machines=frozenset({ME, OTHER})))
    world.tell(Emptied(is_empty=True))
    assert world.acknowledged == []


def test_what_has_begun_is_not_acknowledged():
    world = World()
    world.read(notice(NoticeKind.REBOOT, None, is_started=True))
    world.tell(Emptied(is_empty=True))
    assert world.acknowledged == []


def test_a_node_that_may_have_got_roles_since_is_not_taken_for_empty():
    world = World()
    world.read(notice(NoticeKind.REBOOT, 600.0))
    world.tell(Emptied(is_empty=True))
    world.tell(Emptied(is_empty=False))
    other = replace(notice(NoticeKind.TERMINATE, 600.0), notice_id="n2")
    world.read(other)
    assert world.acknowledged == [Acknowledge(("n1",))]
    world.tell(Emptied(is_empty=True))
    assert world.acknowledged[1:] == [Acknowledge(("n2",))]
    world.read()
    world.read(replace(other, notice_id="n3"))
    assert len(world.acknowledged) == 2, "it was uncordoned meanwhile"


NOTICES = st.builds(
    Notice,
    notice_id=st.sampled_from(["a", "b", "c"]),
    kind=st.sampled_from(NoticeKind),
    machines=st.frozensets(st.sampled_from([ME, OTHER, "web_5", ""])),
    is_started=st.booleans(),
    begins_in=st.none() | st.floats(0, 1000),
    lasts=st.none() | st.floats(0, 100),
)
EVENTS = st.one_of(
    st.builds(NoticesRead, st.lists(NOTICES, max_size=4).map(tuple)),
    st.builds(Emptied, st.booleans()),
    st.just(Ticked()),
    st.builds(MachineLearned, st.sampled_from([ME, OTHER])),
)
STEPS = st.lists(st.tuples(st.floats(0, 50), EVENTS), max_size=25)


@given(STEPS, st.frozensets(st.sampled_from(NoticeKind)))
def test_whatever_is_announced(steps, kinds):
    world, has_left = World(replace(SETTINGS, acknowledge=kinds)), False
    acknowledged: list[str] = []
    read: tuple[Notice, ...] = ()
    for pause, event in steps:
        world.now += pause
        for effect in world.tell(event):
            if isinstance(effect, Acknowledge):
                acknowledged += effect.notice_ids
        read = event.notices if isinstance(event, NoticesRead) else read
        outlook = world.state.outlook
        if outlook is None:
            assert not read
            continue
        # Nobody comes back from leaving, and nobody leaves who is not cordoned.
        assert outlook.is_leaving or not has_left
        assert outlook.is_cordoned or not outlook.is_leaving
        has_left = outlook.is_leaving
        fatal = [each.machines for each in read if each.kind in FATAL]
        assert outlook.doomed == frozenset().union(*fatal)
        assert outlook.due <= outlook.doomed
        if outlook.hand_over_until is not None:
            assert outlook.hand_over_until <= world.now + SETTINGS.hand_over_within
        if not read and not has_left:
            assert outlook == CALM
        deadline = world.state.next_deadline()
        assert deadline is None or deadline > world.now
    assert len(acknowledged) == len(set(acknowledged))


@given(STEPS)
def test_a_tick_too_many_changes_nothing(steps):
    world = World()
    for pause, event in steps:
        world.now += pause
        world.tell(event)
        assert world.tell(Ticked()) == []
