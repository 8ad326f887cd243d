"""What a dynamic supervisor always does, and what is ours rather than Elixir's."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beethoven import errors
from beethoven.runtime.reason import KILLED, NORMAL, SHUTDOWN, ExitReason
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
    dynamic,
    spec,
)

IDS = ["a", "b", "c"]
ACTIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("crash"), st.integers(0, 9), st.sampled_from([NORMAL, CLEAN, CRASH, KILLED])
        ),
        st.tuples(st.just("advance"), st.sampled_from([0.0, 0.05, 0.5, 7.0])),
        st.tuples(
            st.just("start"),
            st.sampled_from(IDS),
            st.sampled_from(["permanent", "transient", "temporary"]),
            st.sampled_from([0.0, 1.0, "brutal_kill"]),
        ),
        st.tuples(st.sampled_from(["terminate", "restart", "delete"]), st.sampled_from(IDS)),
        st.tuples(st.just("terminate process"), st.integers(1, 12)),
        st.tuples(st.just("shutdown"), st.sampled_from([SHUTDOWN, KILLED])),
    ),
    max_size=25,
)


def act(world: World, action: tuple[Any, ...]) -> None:
    match action:
        case ("crash", index, reason):
            attempts = list(world.processes)
            if attempts:
                world.end(attempts[index % len(attempts)], reason)
        case ("advance", seconds):
            world.advance(seconds)
        case ("start", child_id, restart, shutdown):
            child = spec(child_id, restart=restart, shutdown=shutdown, start_timeout=2.0)
            world.request(ev.StartChildRequested, child)
        case ("terminate", child_id):
            world.request(ev.TerminateChildRequested, child_id)
        case ("restart", child_id):
            world.request(ev.RestartChildRequested, child_id)
        case ("delete", child_id):
            world.request(ev.DeleteChildRequested, child_id)
        case ("terminate process", attempt):
            world.request(ev.TerminateDynamicChildRequested, attempt)
        case ("shutdown", reason):
            world.deliver(ev.ShutdownRequested(reason))


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from([None, 3]),
    st.integers(0, 5),
    st.sampled_from([None, Backoff()]),
    st.booleans(),
    ACTIONS,
    st.integers(0, 2**16),
)
def test_whatever_happens_every_request_is_answered_and_nothing_is_left(
    most: int | None,
    restarts: int,
    backoff: Backoff | None,
    keep: bool,
    actions: list[tuple[Any, ...]],
    seed: int,
) -> None:
    world = dynamic(max_children=most, max_restarts=restarts, backoff=backoff, keep_ended=keep)
    dice = random.Random(seed)
    outcomes: list[Outcome] = [Up(), Up(), Up(0.1), Fail(), Fail(0.1), Ignore(), Hang()]
    answers: list[Obey | Defy] = [Obey(), Obey(0.3), Obey(5.0), Defy(), Obey(0.1, CRASH)]
    world.on_start = lambda _: dice.choice(outcomes)
    for child_id in IDS:
        world.on_stop[child_id] = [dice.choice(answers) for _ in range(9)]
    for action in actions:
        act(world, action)
        infos = world.ask(ev.WhichChildrenRequested)
        assert {info.attempt for info in infos} - {None} == set(world.processes)
        assert most is None or len(infos) <= most
        assert not keep or len({info.id for info in infos}) == len(infos)
        assert keep or not [info for info in infos if info.status is ev.ChildStatus.STOPPED]
    world.on_start = lambda _: Up()
    world.advance(60.0)
    assert set(world.asked) == set(world.replies)
    world.deliver(ev.ShutdownRequested(SHUTDOWN))
    world.advance(60.0)
    assert world.exit is not None


def started(world: World, child_id: str, **options: Any) -> int:
    reply = world.ask(ev.StartChildRequested, spec(child_id, **options))
    assert isinstance(reply, ev.Started)
    return reply.attempt


def test_a_slow_start_delays_nobody() -> None:
    world = dynamic()
    world.init["slow"] = [Hang()]
    waiting = world.request(ev.StartChildRequested, spec("slow", start_timeout=2.0))
    started(world, "a")
    world.crash("a")
    assert world.statuses() == {"slow": "starting", "a": "running"}
    world.advance(2.0)
    failure = world.replies[waiting]
    assert isinstance(failure, errors.ChildStartFailed)
    assert str(failure.reason) == "start_timeout: 2 s"


def test_it_has_started_at_once() -> None:
    assert dynamic().is_reported_started


def test_only_starts_by_the_supervisor_itself_count_as_restarts() -> None:
    world = dynamic(keep_ended=True)
    started(world, "a", restart="transient")
    world.crash("a", reason=NORMAL)
    world.ask(ev.RestartChildRequested, "a")
    assert world.listing()["a"].restarts == 0
    world.crash("a")
    assert world.listing()["a"].restarts == 1


def test_there_is_nothing_to_delete_where_ended_children_are_not_kept() -> None:
    world = dynamic()
    started(world, "a")
    refused = world.ask(ev.DeleteChildRequested, "a")
    assert str(refused) == "dynamic supervisor 'tree' keeps no stopped child 'a'"


def test_a_child_that_ignores_its_start_after_it_was_told_to_stop_has_stopped() -> None:
    world = dynamic()
    world.init["a"], world.on_stop["a"] = [Ignore(1.0)], [Defy()]
    starting = world.request(ev.StartChildRequested, spec("a"))
    stopping = world.request(ev.TerminateChildRequested, "a")
    world.advance(1.0)
    assert str(world.replies[starting]) == "child 'a' could not start: shutdown"
    assert world.replies[stopping] == OK
    assert world.statuses() == {}


def test_an_intensity_that_is_exceeded_is_reported() -> None:
    world = dynamic(max_restarts=0)
    started(world, "a")
    world.crash("a")
    assert world.reported("intensity_exceeded") == ["a"]


def test_a_start_that_is_awaited_when_the_supervisor_stops_is_refused_at_once() -> None:
    world = dynamic()
    world.init["a"], world.on_stop["a"] = [Hang()], [Obey(1.0)]
    waiting = world.request(ev.StartChildRequested, spec("a"))
    world.deliver(ev.ShutdownRequested(SHUTDOWN))
    assert str(world.replies[waiting]) == "supervisor 'tree' is stopping"


def test_an_attempt_that_was_replaced_is_nobody() -> None:
    world = dynamic()
    first = started(world, "a")
    world.crash("a")
    gone = world.ask(ev.TerminateDynamicChildRequested, first)
    assert str(gone) == f"no child of attempt {first}"
    assert world.ask(ev.TerminateDynamicChildRequested, world.attempt("a")) == OK


def test_an_event_of_an_old_incarnation_is_ignored() -> None:
    world = dynamic()
    old = started(world, "a")
    world.crash("a")
    for event in (ev.ChildStarted(old), ev.ChildExited(old, CRASH), ev.ChildIgnored(old)):
        assert world.state.handle(event, now=world.now) == []
    assert world.running() == ["a"]


def test_a_child_may_be_addressed_by_its_id_where_only_one_has_it() -> None:
    world = dynamic()
    started(world, "a")
    assert world.ask(ev.GetChildSpecRequested, "a") == spec("a")
    assert isinstance(world.ask(ev.RestartChildRequested, "a"), errors.ChildRunning)
    assert isinstance(world.ask(ev.RestartChildRequested, "b"), errors.ChildNotFound)
    assert world.ask(ev.TerminateChildRequested, "a") == OK
    assert isinstance(world.ask(ev.TerminateChildRequested, "a"), errors.ChildNotFound)
    started(world, "c")
    started(world, "c")
    refused = world.ask(ev.TerminateChildRequested, "c")
    assert str(refused) == "expected one child of id 'c', got: 2"


def test_with_a_backoff_a_bad_child_harms_nobody_and_is_retried() -> None:
    world = dynamic(max_restarts=0, backoff=Backoff(initial=1.0))
    started(world, "good")
    world.init["bad"] = [Fail(), Fail(), Fail(), Up()]
    reply = world.ask(ev.StartChildRequested, spec("bad"))
    assert isinstance(reply, errors.ChildStartFailed)
    assert world.statuses() == {"good": "running", "bad": "failed"}
    world.advance(1.0)
    assert world.listing()["bad"].failures == 2
    assert isinstance(world.ask(ev.RestartChildRequested, "bad"), errors.ChildStartFailed)
    assert world.listing()["bad"].retry_at == world.now + 4.0
    world.advance(4.0)
    assert world.statuses() == {"good": "running", "bad": "running"}


def test_a_failed_child_can_be_terminated_under_the_attempt_that_last_ran() -> None:
    world = dynamic(max_restarts=0, backoff=Backoff())
    attempt = started(world, "a")
    world.crash("a")
    assert world.statuses() == {"a": "failed"}
    assert world.ask(ev.TerminateDynamicChildRequested, attempt) == OK
    world.advance(60.0)
    assert world.statuses() == {}
    assert not world.processes


def test_with_a_backoff_a_temporary_child_that_does_not_start_is_forgotten() -> None:
    world = dynamic(backoff=Backoff())
    world.init["a"] = [Fail()]
    world.ask(ev.StartChildRequested, spec("a", restart="temporary"))
    assert world.statuses() == {}


def test_restarting_a_child_that_restarts_is_refused() -> None:
    world = dynamic()
    started(world, "a")
    world.init["a"] = [Hang()]
    world.crash("a")
    assert isinstance(world.ask(ev.RestartChildRequested, "a"), errors.ChildRestarting)


def test_requests_while_stopping_are_refused_and_listings_answered() -> None:
    world = dynamic()
    started(world, "a")
    world.on_stop["a"] = [Obey(1.0)]
    world.deliver(ev.ShutdownRequested(CLEAN))
    world.deliver(ev.ShutdownRequested(KILLED))
    refused = world.ask(ev.StartChildRequested, spec("b"))
    assert str(refused) == "supervisor 'tree' is stopping"
    assert world.statuses() == {"a": "stopping"}
    world.advance(1.0)
    assert world.exit == CLEAN


def test_the_state_shows_itself() -> None:
    assert repr(dynamic().state).startswith("<DynamicSupervisorState 'tree' ChildCounts(specs=0,")


@pytest.mark.parametrize(
    ("restart", "reason"),
    [
        pytest.param("transient", NORMAL, id="transient after a normal exit"),
        pytest.param("transient", CLEAN, id="transient after a shutdown"),
        pytest.param("temporary", NORMAL, id="temporary after a normal exit"),
        pytest.param("temporary", CRASH, id="temporary after a crash"),
    ],
)
def test_keep_ended_lists_a_child_that_ended_for_good(restart: str, reason: ExitReason) -> None:
    world = dynamic(keep_ended=True)
    started(world, "a", restart=restart)
    world.crash("a", reason=reason)
    assert world.statuses() == {"a": "stopped"}
    assert world.listing()["a"].last_exit == reason
    assert world.counts() == (1, 0, 0, 1)


def test_keep_ended_lists_a_child_that_ignored_its_start() -> None:
    world = dynamic(keep_ended=True)
    world.init["a"] = [Ignore()]
    assert world.ask(ev.StartChildRequested, spec("a")) == ev.Ignored()
    assert world.statuses() == {"a": "stopped"}


def test_keep_ended_lists_a_temporary_child_that_did_not_start_but_no_other() -> None:
    world = dynamic(keep_ended=True)
    for restart in ("permanent", "transient", "temporary"):
        world.init[restart] = [Fail()]
        world.ask(ev.StartChildRequested, spec(restart, restart=restart))
    assert world.statuses() == {"temporary": "stopped"}
    assert world.listing()["temporary"].last_exit == CRASH


def test_keep_ended_makes_ids_unique() -> None:
    world = dynamic(keep_ended=True)
    started(world, "a", restart="transient")
    assert isinstance(world.ask(ev.StartChildRequested, spec("a")), errors.ChildRunning)
    world.crash("a", reason=NORMAL)
    assert isinstance(world.ask(ev.StartChildRequested, spec("a")), errors.ChildAlreadyPresent)


def test_an_ended_child_that_is_kept_can_be_started_deleted_or_terminated() -> None:
    world = dynamic(keep_ended=True)
    first = started(world, "a", restart="temporary", args=5)
    assert isinstance(world.ask(ev.DeleteChildRequested, "a"), errors.ChildRunning)
    world.crash("a")
    assert isinstance(world.ask(ev.RestartChildRequested, "a"), ev.Started)
    assert world.statuses() == {"a": "running"}
    assert world.ask(ev.GetChildSpecRequested, "a").args == 5
    world.crash("a")
    assert world.ask(ev.DeleteChildRequested, "a") == OK
    assert isinstance(world.ask(ev.DeleteChildRequested, "a"), errors.ChildNotFound)
    again = started(world, "a", restart="temporary")
    world.crash("a")
    assert isinstance(world.ask(ev.TerminateDynamicChildRequested, first), errors.ChildNotFound)
    assert world.ask(ev.TerminateDynamicChildRequested, again) == OK
    started(world, "a", restart="temporary")
    world.crash("a")
    assert world.ask(ev.TerminateChildRequested, "a") == OK
    assert world.statuses() == {}


def test_an_ended_child_that_fails_to_start_again_by_hand_stays_ended() -> None:
    world = dynamic(keep_ended=True, max_restarts=0)
    started(world, "a", restart="transient")
    world.crash("a", reason=NORMAL)
    world.init["a"] = [Fail()]
    assert isinstance(world.ask(ev.RestartChildRequested, "a"), errors.ChildStartFailed)
    assert world.statuses() == {"a": "stopped"}
    assert world.exit is None


def test_an_ended_child_counts_for_the_limit_and_not_for_the_shutdown() -> None:
    world = dynamic(keep_ended=True, max_children=1)
    started(world, "a", restart="temporary")
    world.crash("a")
    assert isinstance(world.ask(ev.StartChildRequested, spec("b")), errors.MaxChildren)
    world.deliver(ev.ShutdownRequested(SHUTDOWN))
    assert world.exit == SHUTDOWN


def test_terminating_a_running_child_removes_it_also_if_ended_ones_are_kept() -> None:
    world = dynamic(keep_ended=True)
    started(world, "a")
    assert world.ask(ev.TerminateChildRequested, "a") == OK
    assert world.statuses() == {}
