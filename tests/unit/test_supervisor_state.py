"""What a static supervisor always does, and what is ours rather than OTP's."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beethoven import errors
from beethoven.runtime.reason import KILLED, NORMAL, SHUTDOWN
from beethoven.supervision import events as ev
from beethoven.supervision.backoff import Backoff
from tests.supervision_world import (
    CLEAN,
    CRASH,
    OK,
    Defy,
    Fail,
    Hang,
    Ignore,
    Obey,
    Outcome,
    Up,
    World,
    deeds,
    spec,
    supervisor,
)

IDS = ["a", "b", "c", "d"]
KINDS = ["permanent", "transient", "temporary"]
ACTIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("crash"), st.integers(0, 9), st.sampled_from([NORMAL, CLEAN, CRASH, KILLED])
        ),
        st.tuples(st.just("crash together"), st.permutations(range(4))),
        st.tuples(st.just("advance"), st.sampled_from([0.0, 0.05, 0.5, 7.0])),
        st.tuples(st.just("start"), st.sampled_from([*IDS, "e"]), st.sampled_from(KINDS)),
        st.tuples(
            st.sampled_from(["terminate", "restart", "delete"]), st.sampled_from([*IDS, "e"])
        ),
        st.tuples(st.just("shutdown"), st.sampled_from([SHUTDOWN, KILLED])),
    ),
    max_size=25,
)
REQUESTS: dict[str, Callable[..., ev.Event]] = {
    "terminate": ev.TerminateChildRequested,
    "restart": ev.RestartChildRequested,
    "delete": ev.DeleteChildRequested,
}


def act(world: World, action: tuple[Any, ...]) -> None:
    match action:
        case ("crash", index, reason):
            attempts = list(world.processes)
            if attempts:
                world.end(attempts[index % len(attempts)], reason)
        case ("crash together", order):
            running = world.running()
            world.crash(*[running[index] for index in order if index < len(running)])
        case ("advance", seconds):
            world.advance(seconds)
        case ("start", child_id, kind):
            world.request(ev.StartChildRequested, spec(child_id, restart=kind, start_timeout=2.0))
        case ("shutdown", reason):
            world.deliver(ev.ShutdownRequested(reason))
        case (verb, child_id):
            world.request(REQUESTS[verb], child_id)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]),
    st.integers(0, 5),
    st.booleans(),
    st.lists(st.sampled_from(KINDS), min_size=4, max_size=4),
    ACTIONS,
    st.integers(0, 2**16),
)
def test_whatever_happens_every_request_is_answered_and_nothing_is_left(
    strategy: str,
    restarts: int,
    is_patient: bool,
    kinds: list[str],
    actions: list[tuple[Any, ...]],
    seed: int,
) -> None:
    """The world itself checks that a child never has two processes, and what an exit leaves."""
    dice = random.Random(seed)
    children = [
        spec(
            child_id,
            restart=kind,
            significant=kind != "permanent" and dice.random() < 0.3,
            shutdown=dice.choice([0.0, 1.0, "brutal_kill"]),
            start_timeout=2.0,
        )
        for child_id, kind in zip(IDS, kinds, strict=True)
    ]
    backoff = Backoff() if is_patient and strategy == "one_for_one" else None
    mode = dice.choice(["any_significant", "all_significant"])
    world = supervisor(
        *children, strategy=strategy, max_restarts=restarts, backoff=backoff, auto_shutdown=mode
    )
    outcomes: list[Outcome] = [Up(), Up(), Up(), Up(0.1), Fail(), Fail(0.1), Ignore(), Hang()]
    answers: list[Obey | Defy] = [Obey(), Obey(0.3), Obey(5.0), Defy(), Obey(0.1, CRASH)]
    world.on_start = lambda _: dice.choice(outcomes)
    for child_id in [*IDS, "e"]:
        world.on_stop[child_id] = [dice.choice(answers) for _ in range(9)]
    world.begin()
    for action in actions:
        act(world, action)
        infos = world.ask(ev.WhichChildrenRequested)
        assert {info.attempt for info in infos} - {None} == set(world.processes)
    world.on_start = lambda _: Up()
    world.advance(120.0)
    assert set(world.asked) == set(world.replies)
    if world.exit is None:
        permanent = {info.id for info in world.listing().values() if info.restart == "permanent"}
        by_hand = {name for name, status in world.statuses().items() if status == "stopped"}
        assert permanent - by_hand <= set(world.running())
    world.deliver(ev.ShutdownRequested(SHUTDOWN))
    world.advance(120.0)
    assert world.exit is not None


@given(st.integers(0, 6), st.integers(1, 6), st.sampled_from(["one_for_one", "one_for_all"]))
def test_a_tree_of_permanent_children_survives_exactly_the_intensity(most, crashes, strategy):
    world = supervisor("a", "b", strategy=strategy, max_restarts=most).begin()
    for _ in range(crashes):
        if world.exit is None:
            world.crash("a")
    assert (world.exit is None) == (crashes <= most)


def test_listings_are_answered_while_the_first_child_still_starts() -> None:
    world = supervisor("a", "b")
    world.init["a"] = [Hang()]
    world.begin()
    assert world.statuses() == {"a": "starting", "b": "stopped"}
    assert world.counts() == (2, 0, 0, 2)


def test_under_one_for_one_a_slow_start_delays_no_other_restart() -> None:
    world = supervisor("a", "b", max_restarts=9).begin()
    world.init["a"] = [Hang()]
    world.crash("a", "b")
    assert world.statuses() == {"a": "restarting", "b": "running"}


def test_a_start_that_takes_too_long_is_killed_and_has_failed() -> None:
    world = supervisor("a", spec("b", start_timeout=2.0))
    world.init["b"] = [Hang()]
    world.begin()
    world.advance(2.0)
    assert world.trace[2:4] == ["kill b", "b ended: killed"]
    assert str(world.exit) == "shutdown: failed to start child 'b': start_timeout: 2 s"


def test_a_child_that_comes_up_while_it_is_killed_for_slowness_does_not_count() -> None:
    world = supervisor(spec("a", start_timeout=2.0)).begin()
    world.init["b"] = [Up(2.0)]
    waiting = world.request(ev.StartChildRequested, spec("b", start_timeout=2.0))
    world.advance(3.0)
    assert isinstance(world.replies[waiting], errors.ChildStartFailed | ev.Started)
    assert world.exit is None


def test_a_shutdown_stops_a_child_that_still_starts() -> None:
    world = supervisor("a", "b")
    world.init["b"] = [Hang()]
    world.begin()
    world.deliver(ev.ShutdownRequested(CLEAN))
    assert world.trace[2:] == ["stop b", "b ended: shutdown", "stop a", "a ended: shutdown"]
    assert world.exit == CLEAN


def test_a_shutdown_before_the_beginning_ends_it_without_a_start() -> None:
    world = supervisor("a")
    world.deliver(ev.ShutdownRequested(SHUTDOWN))
    assert world.trace == []
    assert world.exit == SHUTDOWN


def test_a_shutdown_refuses_the_starts_that_are_awaited_and_gives_up_retries_at_once() -> None:
    world = patient("a", max_restarts=0).begin()
    world.init["b"], world.on_stop["b"] = [Hang()], [Obey(1.0)]
    waiting = world.request(ev.StartChildRequested, spec("b"))
    world.crash("a")
    world.deliver(ev.ShutdownRequested(SHUTDOWN))
    assert str(world.replies[waiting]) == "supervisor 'tree' is stopping"
    assert world.statuses() == {"a": "stopped", "b": "stopping"}
    world.advance(1.0)
    assert world.exit == SHUTDOWN


def test_an_orphan_tells_everything_to_stop_at_once() -> None:
    world = supervisor("a", "b", "c").begin()
    for child_id in "abc":
        world.on_stop[child_id] = [Obey(1.0)]
    world.deliver(ev.ShutdownRequested(KILLED))
    assert [line for line in world.trace if line.startswith("stop")] == ["stop c"]
    world.deliver(ev.ShutdownRequested(KILLED))
    assert [line for line in world.trace if line.startswith("stop")] == [
        "stop c",
        "stop b",
        "stop a",
    ]
    world.advance(1.0)
    assert world.exit == KILLED


def test_a_second_shutdown_that_is_no_orphan_s_changes_nothing() -> None:
    world = supervisor("a", "b").begin()
    world.on_stop["b"] = [Obey(1.0)]
    world.deliver(ev.ShutdownRequested(SHUTDOWN))
    world.deliver(ev.ShutdownRequested(CLEAN))
    assert "stop a" not in world.trace
    world.advance(1.0)
    assert world.exit == SHUTDOWN


def test_a_management_call_while_stopping_is_refused() -> None:
    world = supervisor("a").begin()
    world.on_stop["a"] = [Obey(1.0)]
    world.deliver(ev.ShutdownRequested(SHUTDOWN))
    refused = world.ask(ev.StartChildRequested, spec("b"))
    assert str(refused) == "supervisor 'tree' is stopping"
    assert world.statuses() == {"a": "stopping"}


def test_a_child_terminated_while_its_group_restarts_leaves_the_group() -> None:
    world = supervisor("a", "b", "c", strategy="one_for_all").begin()
    world.init["a"] = [Up(1.0)]
    world.crash("c")
    assert world.statuses() == {"a": "restarting", "b": "restarting", "c": "restarting"}
    assert world.ask(ev.TerminateChildRequested, "b") == OK
    world.advance(1.0)
    assert world.statuses() == {"a": "running", "b": "stopped", "c": "running"}


def test_terminating_the_child_whose_restart_is_awaited_brings_up_the_rest() -> None:
    world = supervisor("a", "b", strategy="one_for_all").begin()
    world.init["a"] = [Hang()]
    world.crash("b")
    assert world.ask(ev.TerminateChildRequested, "a") == OK
    assert world.statuses() == {"a": "stopped", "b": "running"}


def test_a_start_by_hand_waits_for_a_group_restart_and_is_served_in_turn() -> None:
    world = supervisor("a", "b", strategy="one_for_all").begin()
    world.init["a"] = [Up(1.0)]
    world.crash("b")
    waiting = world.request(ev.StartChildRequested, spec("c"))
    assert waiting not in world.replies
    world.advance(1.0)
    assert isinstance(world.replies[waiting], ev.Started)
    assert world.running() == ["a", "b", "c"]


def test_a_restart_by_hand_waits_until_the_child_has_stopped() -> None:
    world = supervisor("a").begin()
    world.on_stop["a"] = [Obey(1.0)]
    stopping = world.request(ev.TerminateChildRequested, "a")
    starting = world.request(ev.RestartChildRequested, "a")
    world.advance(1.0)
    assert world.replies[stopping] == OK
    assert isinstance(world.replies[starting], ev.Started)


def test_a_child_that_is_terminated_while_it_starts_by_hand_is_not_kept() -> None:
    world = supervisor().begin()
    world.init["a"] = [Hang()]
    starting = world.request(ev.StartChildRequested, spec("a"))
    assert world.ask(ev.TerminateChildRequested, "a") == OK
    assert isinstance(world.replies[starting], errors.ChildStartFailed)
    assert world.statuses() == {}


def test_an_event_of_an_old_incarnation_is_ignored() -> None:
    world = supervisor("a").begin()
    old = world.attempt("a")
    world.crash("a")
    for event in (ev.ChildStarted(old), ev.ChildExited(old, CRASH), ev.ChildIgnored(old)):
        assert world.state.handle(event, now=world.now) == []
    assert world.state.handle(ev.TimerFired(("start", old)), now=world.now) == []
    assert world.running() == ["a"]


def test_ids_that_are_no_strings_are_nobody_s() -> None:
    world = supervisor("a").begin()
    for kind in (*REQUESTS.values(), ev.GetChildSpecRequested):
        assert isinstance(world.ask(kind, ["a"]), errors.ChildNotFound)


def test_listings_tell_how_often_and_why() -> None:
    world = supervisor("a").begin()
    world.advance(3.0)
    world.crash("a", reason=KILLED)
    info = world.listing()["a"]
    assert (info.restarts, info.last_exit, info.changed_at) == (1, KILLED, world.now)


def test_nothing_is_started_before_the_beginning() -> None:
    world = supervisor("a")
    assert world.statuses() == {"a": "stopped"}
    assert world.trace == []


def test_a_stopped_member_of_a_group_is_restarting_until_its_turn_comes() -> None:
    world = supervisor("a", "b", strategy="one_for_all").begin()
    world.ask(ev.TerminateChildRequested, "b")
    world.init["a"] = [Hang()]
    world.crash("a")
    assert world.statuses() == {"a": "restarting", "b": "restarting"}


def test_a_group_that_is_to_be_retried_is_restarting_until_its_turn_comes() -> None:
    world = supervisor("a", "b", strategy="one_for_all").begin()
    world.init["a"] = [Fail(1.0), Up()]
    world.init["c"] = [Hang()]
    world.crash("b")
    world.request(ev.StartChildRequested, spec("c"))
    world.advance(1.0)
    assert world.statuses() == {"a": "restarting", "b": "restarting", "c": "starting"}


def test_a_dead_child_is_restarting_until_its_turn_comes() -> None:
    world = supervisor("a", "b", strategy="one_for_all")
    world.init["b"] = [Hang()]
    world.begin()
    world.crash("a")
    assert world.statuses() == {"a": "restarting", "b": "starting"}


def test_a_child_that_ignores_its_start_after_it_was_told_to_stop_has_stopped() -> None:
    world = supervisor().begin()
    world.init["a"], world.on_stop["a"] = [Ignore(1.0)], [Defy()]
    starting = world.request(ev.StartChildRequested, spec("a"))
    stopping = world.request(ev.TerminateChildRequested, "a")
    world.advance(1.0)
    assert str(world.replies[starting]) == "child 'a' could not start: shutdown"
    assert world.replies[stopping] == OK
    assert world.statuses() == {}


def test_a_child_terminated_after_its_group_started_it_is_not_retried_with_the_group() -> None:
    world = supervisor("a", "b", "c", strategy="one_for_all").begin()
    world.init["c"] = [Fail(1.0), Up()]
    world.crash("a")
    assert world.ask(ev.TerminateChildRequested, "b") == OK
    world.advance(1.0)
    assert world.statuses() == {"a": "running", "b": "stopped", "c": "running"}


def test_a_group_that_is_retried_is_stopped_in_reverse_order_first() -> None:
    world = supervisor("a", "b", "c", strategy="one_for_all").begin()
    world.init["c"] = [Fail(1.0), Up()]
    world.crash("a")
    world.cleared()
    world.advance(1.0)
    assert [line for line in world.trace if line.startswith("stop")] == ["stop b", "stop a"]


def test_a_temporary_child_that_died_before_its_group_restarts_is_forgotten() -> None:
    world = supervisor("a", spec("b", restart="temporary"), "c", strategy="one_for_all")
    world.init["c"] = [Up(1.0)]
    world.begin()
    world.crash("a", "b")
    world.advance(2.0)
    assert world.statuses() == {"a": "running", "c": "running"}


def test_a_temporary_child_that_died_is_forgotten_when_it_is_terminated() -> None:
    world = supervisor(spec("a", restart="temporary"), "b", strategy="one_for_all")
    world.init["b"] = [Hang()]
    world.begin()
    world.crash("a")
    assert world.ask(ev.TerminateChildRequested, "a") == OK
    assert world.statuses() == {"b": "starting"}


def test_an_automatic_shutdown_is_reported() -> None:
    child = spec("a", significant=True, restart="transient")
    world = supervisor(child, auto_shutdown="any_significant").begin()
    world.crash("a", reason=NORMAL)
    assert world.reported("auto_shutdown") == ["a"]


def test_a_request_waits_for_those_about_the_same_child_and_for_no_others() -> None:
    world = supervisor("a", "b").begin()
    world.on_stop["a"] = [Obey(1.0), Obey()]
    world.request(ev.TerminateChildRequested, "a")
    world.request(ev.RestartChildRequested, "a")
    last = world.request(ev.TerminateChildRequested, "a")
    assert last not in world.replies
    assert str(world.ask(ev.DeleteChildRequested, "b")) == "child 'b' is running"
    world.cleared()
    world.advance(1.0)
    assert deeds(world.trace) == ["start a", "stop a"]
    assert world.replies[last] == OK


def test_a_request_that_waits_when_the_supervisor_stops_is_answered_once() -> None:
    world = supervisor(spec("a", restart="temporary")).begin()
    world.on_stop["a"] = [Obey(1.0)]
    world.request(ev.TerminateChildRequested, "a")
    waiting = world.request(ev.DeleteChildRequested, "a")
    world.deliver(ev.ShutdownRequested(SHUTDOWN))
    assert str(world.replies[waiting]) == "supervisor 'tree' is stopping"
    world.advance(1.0)
    assert world.exit == SHUTDOWN


# With a back-off.


def patient(*children: Any, **options: Any) -> World:
    return supervisor(*children, backoff=Backoff(initial=1.0, maximum=4.0), **options)


def test_with_a_backoff_a_child_that_fails_too_often_is_retried_after_growing_pauses() -> None:
    world = patient("good", "bad", max_restarts=1).begin()
    world.init["bad"] = [Fail()]
    world.crash("bad")
    assert world.statuses() == {"good": "running", "bad": "failed"}
    pauses = []
    for _ in range(4):
        at = world.listing()["bad"].retry_at
        assert at is not None
        pauses.append(at - world.now)
        world.advance(at - world.now)
    assert pauses == [1.0, 2.0, 4.0, 4.0]
    assert world.exit is None


def test_with_a_backoff_a_child_is_forgiven_when_it_has_stayed_up_for_its_window() -> None:
    world = patient("a", max_restarts=0, max_seconds=5.0).begin()
    world.crash("a")
    world.advance(1.0)
    assert world.listing()["a"].failures == 1
    world.advance(5.1)
    assert world.listing()["a"].failures == 0
    world.crash("a")
    assert world.listing()["a"].retry_at == world.now + 1.0


def test_with_a_backoff_a_child_that_was_up_for_just_its_window_is_not_forgiven() -> None:
    world = patient("a", max_restarts=0, max_seconds=5.0).begin()
    world.crash("a")
    world.advance(1.0)
    assert (world.listing()["a"].restarts, world.listing()["a"].retry_at) == (1, None)
    world.advance(5.0)
    assert world.listing()["a"].failures == 1
    world.crash("a")
    assert world.listing()["a"].retry_at == world.now + 2.0


def test_with_a_backoff_a_failing_first_start_is_kept_and_undoes_nothing() -> None:
    world = patient("a", "b", "c", max_restarts=0)
    world.init["b"] = [Fail(), Up()]
    world.begin()
    assert world.is_reported_started
    assert world.statuses() == {"a": "running", "b": "failed", "c": "running"}
    world.advance(1.0)
    assert world.statuses() == {"a": "running", "b": "running", "c": "running"}


def test_with_a_backoff_each_child_may_have_an_intensity_of_its_own() -> None:
    children = [spec("strict", max_restarts=0), spec("loose", max_restarts=3)]
    world = patient(*children, max_restarts=1).begin()
    world.crash("strict", "loose")
    assert world.statuses() == {"strict": "failed", "loose": "running"}


@pytest.mark.parametrize("verb", ["terminate", "delete", "restart"])
def test_with_a_backoff_a_failed_child_can_be_taken_in_hand(verb: str) -> None:
    world = patient("a", max_restarts=0).begin()
    world.crash("a")
    reply = world.ask(REQUESTS[verb], "a")
    world.advance(60.0)
    match verb:
        case "terminate":
            assert reply == OK
            assert world.statuses() == {"a": "stopped"}
        case "restart":
            assert isinstance(reply, ev.Started)
            assert world.statuses() == {"a": "running"}
        case "delete":
            assert isinstance(reply, errors.ChildRestarting)


def test_with_a_backoff_a_temporary_child_that_does_not_start_is_dropped() -> None:
    world = patient(spec("a", restart="temporary"), "b")
    world.init["a"] = [Fail()]
    assert world.begin().statuses() == {"b": "running"}


def test_with_a_backoff_a_child_whose_first_start_failed_is_kept_when_it_is_terminated() -> None:
    world = patient(max_restarts=0).begin()
    world.init["a"] = [Fail(), Hang()]
    world.ask(ev.StartChildRequested, spec("a"))
    world.advance(1.0)
    assert world.statuses() == {"a": "starting"}
    assert world.ask(ev.TerminateChildRequested, "a") == OK
    assert world.statuses() == {"a": "stopped"}


def test_the_state_shows_itself() -> None:
    assert repr(supervisor("a").state) == "<SupervisorState 'tree' plan=start active=0>"
    assert repr(supervisor("a").begin().state) == "<SupervisorState 'tree' plan=none active=1>"
