"""The mock of Azure's metadata: properties of what becomes of announcements."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from beethoven.testing.azure_events import Announcement, EventKind
from beethoven.testing.azure_events_state import Deed, EventsState

SECONDS = st.sampled_from([0.0, 0.5, 1.0, 3.0, 30.0])
NAMES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, unique=True).map(tuple)
ANNOUNCEMENTS = st.builds(
    Announcement,
    kind=st.sampled_from([*EventKind, "Meteor"]),
    machines=NAMES,
    notice=SECONDS,
    late=SECONDS,
    is_started=st.booleans(),
    evicted_after=SECONDS,
    returns_after=st.none() | SECONDS,
    listed_for=st.none() | SECONDS,
    lasts=SECONDS,
)
STEPS = st.lists(
    st.tuples(st.just("announce"), ANNOUNCEMENTS)
    | st.tuples(st.just("pass"), SECONDS)
    | st.tuples(st.sampled_from(["cancel", "approve"]), st.integers(0, 5)),
    max_size=20,
)
VERSION = "2024-07-09"
LONG = 1000.0


class Run:
    """A state, the time, and all that was ever announced or done."""

    def __init__(self):
        numbers = itertools.count()
        self.state = EventsState(lambda: str(next(numbers)))
        self.now = 0.0
        self.ids = []
        self.cancelled = set()
        self.done = []

    def step(self, what, value):
        match what:
            case "announce":
                self.ids.append(self.state.announce(value, now=self.now, wall=self.now))
            case "pass":
                self.now += value
            case "approve" if value < len(self.ids):
                self.state.approve([self.ids[value]], now=self.now)
            case "cancel" if value < len(self.ids):
                if self.status(self.ids[value]) == "Scheduled":
                    self.state.cancel(self.ids[value])
                    self.cancelled.add(self.ids[value])
        self.done += self.state.tick(self.now)

    def document(self):
        return self.state.document(VERSION)

    def status(self, event_id):
        shown = {event["EventId"]: event["EventStatus"] for event in self.document()["Events"]}
        return shown.get(event_id)


@settings(deadline=None)
@given(STEPS)
def test_the_incarnation_rises_whenever_the_events_change_and_only_then(steps):
    run = Run()
    for what, value in steps:
        before = run.document()
        assert run.document() == before
        run.step(what, value)
        after = run.document()
        assert after["DocumentIncarnation"] >= before["DocumentIncarnation"]
        if after["Events"] != before["Events"]:
            assert after["DocumentIncarnation"] > before["DocumentIncarnation"]
        if what == "pass" and value == 0.0:
            assert after == before


@settings(deadline=None)
@given(STEPS)
def test_an_event_is_scheduled_then_started_then_gone(steps):
    order = ["Scheduled", "Started", None]
    run = Run()
    seen: dict[str, int] = {}
    for what, value in [*steps, ("pass", LONG)]:
        run.step(what, value)
        for event_id in run.ids:
            status = order.index(run.status(event_id))
            assert status >= seen.get(event_id, 0)
            seen[event_id] = status


@settings(deadline=None)
@given(STEPS)
def test_each_machine_that_is_frozen_is_thawed_and_what_comes_back_was_evicted(steps):
    run = Run()
    for what, value in [*steps, ("pass", LONG)]:
        run.step(what, value)
    for name in "abc":
        deeds = [effect.deed for effect in run.done if effect.machine == name]
        assert deeds.count(Deed.FREEZE) == deeds.count(Deed.THAW)
        assert deeds.count(Deed.BRING_BACK) <= deeds.count(Deed.EVICT)


@settings(deadline=None)
@given(ANNOUNCEMENTS, st.booleans())
def test_what_is_cancelled_does_nothing_to_anybody(announcement, is_late):
    run = Run()
    run.step("announce", announcement)
    if is_late:
        run.step("pass", 1.0)
    run.step("cancel", 0)
    if run.cancelled:
        run.step("pass", LONG)
        assert run.done == []
