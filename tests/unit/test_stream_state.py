"""What a stream does next, whatever its tasks do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.errors import SpecError
from beethoven.tasks.stream_state import (
    Deliver,
    Finished,
    Pull,
    StreamOptions,
    StreamState,
    Wait,
)


def stream(most: int = 2, **options) -> StreamState:
    return StreamState(StreamOptions(most, **options), cores=99)


def fill(state: StreamState, now: float = 0.0) -> list[int]:
    """Start tasks as long as the stream wants more of them; return their positions."""
    started = []
    while state.next_step() == Pull():
        started.append(state.started(now))
    return started


def test_it_begins_as_many_tasks_as_may_run_and_waits():
    state = stream(3)
    assert fill(state) == [0, 1, 2]
    assert state.next_step() == Wait(5.0)


def test_by_default_as_many_tasks_run_as_there_are_cores():
    assert len(fill(StreamState(StreamOptions(), cores=3))) == 3


def test_it_delivers_before_it_takes_another_item():
    state = stream(2)
    fill(state)
    state.ended(0, "first")
    assert state.next_step() == Deliver("first")
    assert state.next_step() == Pull()


def test_a_result_that_is_held_back_leaves_its_place_to_the_next_task():
    state = stream(2)
    fill(state)
    state.ended(1, "second")
    assert fill(state) == [2]
    state.ended(0, "first")
    assert [state.next_step(), state.next_step()] == [Deliver("first"), Deliver("second")]


def test_without_an_order_results_come_as_they_are_completed():
    state = stream(3, ordered=False)
    fill(state)
    for position in (2, 0):
        state.ended(position, position)
    assert [state.next_step(), state.next_step()] == [Deliver(2), Deliver(0)]


def test_it_finishes_when_the_source_is_exhausted_and_everything_delivered():
    state = stream(2)
    state.started(0.0)
    state.exhausted()
    assert state.next_step() == Wait(5.0)
    state.ended(0, "only")
    assert [state.next_step(), state.next_step()] == [Deliver("only"), Finished()]


def test_an_empty_source_is_finished_at_once():
    state = stream()
    state.exhausted()
    assert state.next_step() == Finished()


def test_it_waits_for_the_oldest_running_task():
    state = stream(2, timeout=1.5)
    state.started(10.0)
    state.started(11.0)
    assert state.next_step() == Wait(11.5)
    state.ended(0, "first")
    state.next_step()
    state.exhausted()
    assert state.next_step() == Wait(12.5)


def test_a_task_is_overdue_from_the_end_of_its_time_on():
    state = stream(3, timeout=1.0)
    state.started(10.0)
    state.started(10.5)
    assert state.overdue(10.9) == []
    assert state.overdue(11.0) == [0]
    assert state.overdue(12.0) == [0, 1]


def test_without_a_limit_nothing_is_ever_overdue():
    state = stream(1, timeout=None)
    fill(state)
    assert state.next_step() == Wait(None)
    assert state.overdue(1e9) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_concurrency", 0),
        ("max_concurrency", 1.5),
        ("max_concurrency", True),
        ("ordered", 1),
        ("timeout", -1),
        ("timeout", "soon"),
        ("timeout", float("nan")),
        ("on_timeout", "shrug"),
        ("zip_input_on_exit", None),
        ("timeout", []),
    ],
)
def test_a_wrong_option_is_refused_by_name(field, value):
    options = {"max_concurrency": 2, field: value}
    with pytest.raises(SpecError, match=f"stream: expected {field} to be"):
        StreamOptions(**options)


@given(
    most=st.integers(1, 5),
    items=st.integers(0, 12),
    ordered=st.booleans(),
    seed=st.randoms(use_true_random=False),
)
def test_every_item_is_delivered_once_and_never_do_too_many_run(most, items, ordered, seed):
    state = stream(most, ordered=ordered)
    running: list[int] = []
    completed: list[int] = []
    delivered: list[int] = []
    started = 0
    while (step := state.next_step()) != Finished():
        match step:
            case Pull() if started == items:
                state.exhausted()
            case Pull():
                running.append(state.started(0.0))
                started += 1
            case Wait():
                position = running.pop(seed.randrange(len(running)))
                completed.append(position)
                state.ended(position, position)
            case Deliver(result):
                delivered.append(result)
        assert len(running) <= most
        # Whoever waits has used every place that the source can fill.
        assert not isinstance(step, Wait) or started == items or len(running) == most - 1
    assert delivered == (sorted(completed) if ordered else completed)
    assert sorted(delivered) == list(range(items))
    assert running == []
