"""Ours against a small model of OTP's supervisor, in random trees with random faults."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from beethoven import errors
from beethoven.runtime.reason import KILLED, NORMAL
from beethoven.supervision import events as ev
from tests.conformance.otp_model import ModelChild, OtpModel
from tests.supervision_world import (
    CLEAN,
    CRASH,
    Fail,
    Ignore,
    Outcome,
    Up,
    World,
    deeds,
    spec,
    supervisor,
)

REASONS = {"normal": NORMAL, "shutdown": CLEAN, "crash": CRASH, "killed": KILLED}
OUTCOMES: dict[str, Outcome] = {"up": Up(), "fail": Fail(), "ignore": Ignore()}
IDS = "abcde"


@dataclass(frozen=True)
class Plan:
    """What a child is like: its restart type, whether it matters, and what its starts come to."""

    id: str
    restart: str
    is_significant: bool
    outcomes: tuple[str, ...]


@st.composite
def plans(draw: st.DrawFn, child_id: str, auto_shutdown: str) -> Plan:
    restart = draw(st.sampled_from(["permanent", "transient", "temporary"]))
    may_matter = auto_shutdown != "never" and restart != "permanent"
    outcome = st.sampled_from(["up", "up", "up", "fail", "ignore"])
    outcomes = ("up", *draw(st.lists(outcome, max_size=5)))
    return Plan(child_id, restart, may_matter and draw(st.booleans()), outcomes)


STEPS = st.one_of(
    st.tuples(
        st.just("crash"),
        st.lists(
            st.tuples(st.sampled_from(IDS), st.sampled_from(sorted(REASONS))),
            min_size=1,
            max_size=3,
            unique_by=lambda pair: pair[0],
        ),
    ),
    st.tuples(st.sampled_from(["start", "terminate", "restart", "delete"]), st.sampled_from(IDS)),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 2.0, 6.0])),
)


@st.composite
def stories(draw: st.DrawFn) -> tuple[dict[str, Any], list[Plan], list[Plan], list[object]]:
    """Return flags, the children at first, those that may be added, and what happens."""
    auto_shutdown = draw(st.sampled_from(["never", "never", "any_significant", "all_significant"]))
    flags = {
        "strategy": draw(st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"])),
        "max_restarts": draw(st.integers(0, 5)),
        "max_seconds": 5.0,
        "auto_shutdown": auto_shutdown,
    }
    everybody = [draw(plans(child_id, auto_shutdown)) for child_id in IDS]
    count = draw(st.integers(0, len(IDS)))
    return flags, everybody[:count], everybody[count:], draw(st.lists(STEPS, max_size=12))


WORDS = {
    errors.ChildNotFound: "not_found",
    errors.ChildRestarting: "restarting",
    errors.ChildAlreadyPresent: "already_present",
    errors.ChildStartFailed: "fail",
}


KINDS: dict[str, Callable[..., ev.Event]] = {
    "terminate": ev.TerminateChildRequested,
    "restart": ev.RestartChildRequested,
    "delete": ev.DeleteChildRequested,
}


class Both:
    """Ours and the model, told the same."""

    def __init__(self, flags: dict[str, Any], first: list[Plan], later: list[Plan]) -> None:
        self.plans = {plan.id: plan for plan in [*first, *later]}
        # Ours restarts several at once, and one that is being restarted counts as active: whether
        # another that ends meanwhile was the last significant one depends on that.
        self.is_parallel = (
            flags["strategy"] == "one_for_one" and flags["auto_shutdown"] == "all_significant"
        )
        self.scripts = {plan.id: deque(plan.outcomes) for plan in self.plans.values()}
        self.ours: World = supervisor(*(self.spec(plan) for plan in first), **flags)
        for plan in self.plans.values():
            self.ours.init[plan.id] = [OUTCOMES[each] for each in (*plan.outcomes, "up")]
        self.model = OtpModel([self.child(plan) for plan in first], **flags)
        self.ours.begin()
        self.model.begin()

    def spec(self, plan: Plan):
        return spec(plan.id, restart=plan.restart, significant=plan.is_significant)

    def child(self, plan: Plan) -> ModelChild:
        return ModelChild(plan.id, plan.restart, plan.is_significant, self.scripts[plan.id])

    def do(self, what: str, whom) -> None:
        match what:
            case "crash":
                self.crash([pair for pair in whom if pair[0] in self.ours.running()])
            case "wait":
                self.ours.advance(whom)
                self.model.now += whom
            case _:
                self.manage(what, whom)

    def crash(self, deaths: list[tuple[str, str]]) -> None:
        if self.is_parallel:
            deaths = deaths[:1]
        for child_id, reason in deaths:
            self.ours.die(child_id, REASONS[reason])
        self.ours.advance(0.0)
        self.model.crash(*deaths)

    def manage(self, what: str, child_id: str) -> None:
        if what == "start":
            plan = self.plans[child_id]
            reply = self.ours.ask(ev.StartChildRequested, self.spec(plan))
            expected = self.model.start_child(self.child(plan))
        else:
            reply = self.ours.ask(KINDS[what], child_id)
            expected = getattr(self.model, f"{what}_child")(child_id)
        assert word_for(reply, what) == expected

    def compare(self) -> None:
        assert deeds(self.ours.cleared()) == self.model.trace
        self.model.trace.clear()
        assert (self.ours.exit is None) is (self.model.exit is None)
        if self.model.exit is None:
            assert statuses(self.ours) == {each.id: each.status for each in self.model.children}


def word_for(reply: object, what: str) -> str:
    match reply:
        case ev.Started():
            return "up"
        case ev.Ignored():
            return "ignore"
        case errors.ChildRunning():
            return "already_started" if what == "start" else "running"
        case ("ok", None):
            return "ok"
    return WORDS[type(reply)]


def statuses(world: World) -> dict[str, str]:
    return {
        child_id: "undefined" if status == "stopped" else status
        for child_id, status in world.statuses().items()
    }


@given(stories())
@settings(max_examples=500, deadline=None)
def test_ours_does_what_the_model_does(story) -> None:
    flags, first, later, steps = story
    both = Both(flags, first, later)
    both.compare()
    for what, whom in steps:
        if both.model.exit is not None:
            break
        both.do(what, whom)
        both.compare()
