"""How busy a node is: the score, its average, when it is told, and the order of nodes."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.cluster.fields import record
from beethoven.cluster.load import (
    HALF_LIFE,
    TELL_AGAIN,
    Load,
    is_worth_telling,
    load_of,
    score,
    smoothed,
)
from beethoven.cluster.signal_board import MOST_POINTS, MOST_SIGNALS, Setting, SignalBoard

PERCENT = st.floats(0, 100)
POINTS = st.floats(0, 1e12)
ROLES = st.integers(0, 10_000)
NAMES = st.text("abc", min_size=1, max_size=2)
SIGNALS = st.dictionaries(NAMES, POINTS, max_size=4)
LOADS = st.builds(load_of, st.none() | PERCENT, st.none() | PERCENT, ROLES, SIGNALS)


@pytest.mark.parametrize(
    ("cpu", "memory", "roles", "signals", "expected"),
    [
        (0, 0, 0, {}, 0.0),
        (100, 0, 0, {}, 1.0),
        (0, 100, 0, {}, 0.5),
        (0, 0, 1, {}, 0.05),
        (50, 40, 3, {}, 0.85),
        (0, 0, 0, {"a": 2.0, "b": 0.25}, 2.25),
        (None, 0, 0, {}, 0.5),
        (0, None, 0, {}, 0.25),
        (None, None, 2, {"a": 1.0}, 1.85),
        (100, 100, 10, {"a": 1e12}, MOST_POINTS),
    ],
)
def test_the_score_is_the_sum_of_what_is_weighed(cpu, memory, roles, signals, expected):
    assert score(cpu, memory, roles, signals) == expected


@given(PERCENT, PERCENT, ROLES, SIGNALS, st.data())
def test_the_score_never_falls_when_something_rises(cpu, memory, roles, signals, data):
    before = score(cpu, memory, roles, signals)
    assert before >= 0
    higher = st.floats(0, 100)
    assert score(max(cpu, data.draw(higher)), memory, roles, signals) >= before
    assert score(cpu, max(memory, data.draw(higher)), roles, signals) >= before
    assert score(cpu, memory, roles + data.draw(ROLES), signals) >= before
    name, more = data.draw(NAMES), data.draw(POINTS)
    assert score(cpu, memory, roles, {**signals, name: signals.get(name, 0.0) + more}) >= before


@given(PERCENT, ROLES, SIGNALS)
def test_a_node_that_cannot_measure_is_neither_the_least_busy_nor_the_busiest(
    memory, roles, signals
):
    lowest, unknown, highest = (score(cpu, memory, roles, signals) for cpu in (0, None, 100))
    assert lowest <= unknown <= highest


@given(LOADS)
def test_a_load_makes_the_round_trip_between_nodes(load):
    load = replace(load, signals={name: min(each, 1e9) for name, each in load.signals.items()})
    kind = record(Load)
    assert kind.read(kind.write(load)) == load


def test_the_average_has_moved_half_of_the_way_after_a_half_life():
    assert smoothed(None, 80.0, 2.0) == 80.0
    assert smoothed(0.0, 100.0, HALF_LIFE) == pytest.approx(50.0)
    assert smoothed(0.0, 100.0, 2 * HALF_LIFE) == pytest.approx(75.0)
    assert smoothed(20.0, 100.0, 0.0) == 20.0


@given(PERCENT, PERCENT, st.floats(0, 30), st.floats(0, 30))
def test_the_average_is_that_of_the_time_however_it_is_cut(before, sample, first, second):
    once = smoothed(before, sample, first + second)
    assert smoothed(smoothed(before, sample, first), sample, second) == pytest.approx(once)


def test_one_busy_sample_is_not_half_of_the_truth():
    """A sample of 2 s at full CPU moves the score of an idle node by 0.13, not by 1."""
    assert 0.1 < score(smoothed(0.0, 100.0, 2.0), 0, 0, {}) < 0.15


IDLE = load_of(10.0, 20.0, 2, {"queue": 0.1})


@pytest.mark.parametrize(
    ("load", "age", "expected"),
    [
        (IDLE, 1.0, False),
        (IDLE, TELL_AGAIN, True),
        (load_of(14.9, 20.0, 2, {"queue": 0.1}), 1.0, False),
        (load_of(15.1, 20.0, 2, {"queue": 0.1}), 1.0, True),
        (load_of(4.9, 20.0, 2, {"queue": 0.1}), 1.0, True),
        (load_of(10.0, 20.0, 3, {"queue": 0.1}), 1.0, True),
        (load_of(5.0, 20.0, 3, {"queue": 0.1}), 1.0, True),
        (load_of(10.0, 20.0, 2, {}), 1.0, True),
        (load_of(10.0, 20.0, 2, {"queue": 0.14}), 1.0, False),
        (load_of(10.0, 20.0, 2, {"queue": 0.1, "other": 0.0}), 1.0, True),
    ],
)
def test_a_load_is_told_when_it_differs_enough_or_is_old(load, age, expected):
    assert is_worth_telling(IDLE, load, age) is expected


def test_the_first_load_is_told():
    assert is_worth_telling(None, IDLE, 0.0)


@given(st.lists(st.floats(-0.02, 0.02), min_size=1, max_size=50))
def test_noise_is_told_once(noise):
    told, count = None, 0
    for each in noise:
        load = load_of(50.0 + 100 * each, 40.0, 2, {})
        if is_worth_telling(told, load, 1.0):
            told, count = load, count + 1
    assert count == 1


def test_the_board_holds_a_bounded_number_of_names():
    board = SignalBoard()
    for number in range(MOST_SIGNALS):
        assert board.set("1-a", Setting(f"s{number}", value=1.0))
    assert not board.set("1-b", Setting("one.more"))
    assert board.set("1-b", Setting("s0", value=2.0))
    assert board.points()["s0"] == 3.0
    board.forget_setter("1-a")
    assert board.points() == {"s0": 2.0}
    assert board.set("1-b", Setting("one.more"))
    board.forget("1-b", "s0")
    board.forget("1-c", "nothing")
    assert board.points() == {"one.more": 0.0}
