"""User signals: what they may be, what they add, and that setting one harms nobody."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven import Signal, signal
from beethoven.cluster import signals
from beethoven.cluster.signal_board import MOST_POINTS, MOST_SIGNALS, Setting, check_setting
from beethoven.errors import SpecError


@pytest.fixture(autouse=True)
def a_process_without_signals(monkeypatch):
    monkeypatch.setattr(signals, "_teller", signals._Teller())


@pytest.mark.parametrize(
    ("weight", "kind", "value", "points"),
    [
        (1.0, "count", 5, 5.0),
        (0.1, "count", 5, 0.5),
        (0.0, "count", 5, 0.0),
        (1.0, "percent", 100, 1.0),
        (0.5, "percent", 50, 0.25),
        (1e308, "count", 1e308, MOST_POINTS),
    ],
)
def test_what_a_signal_adds(weight, kind, value, points):
    assert check_setting("queue", weight, kind, value).points == pytest.approx(points)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Queue", 1.0, "count", 0), "expected name to be at most 64 characters"),
        (("", 1.0, "count", 0), "expected name to be"),
        (("q" * 65, 1.0, "count", 0), "expected name to be"),
        ((7, 1.0, "count", 0), "expected name to be"),
        (("q\n", 1.0, "count", 0), "expected name to be"),
        (("q", -1, "count", 0), "expected weight to be a number >= 0, got: -1"),
        (("q", math.nan, "count", 0), "expected weight to be"),
        (("q", 1.0, "gauge", 0), "expected kind to be 'count' or 'percent', got: 'gauge'"),
        (("q", 1.0, "count", math.nan), "expected value to be a finite number, got: nan"),
        (("q", 1.0, "count", math.inf), "expected value to be a finite number"),
        (("q", 1.0, "count", "5"), "expected value to be a finite number, got: '5'"),
    ],
)
def test_what_can_be_no_signal_is_refused(arguments, message):
    with pytest.raises(SpecError, match=message):
        check_setting(*arguments)


def test_a_value_out_of_its_range_becomes_the_nearest_in_it():
    assert check_setting("q", 1.0, "percent", 100.1).value == 100.0
    assert check_setting("q", 1.0, "percent", -1).value == 0.0
    assert check_setting("q", 1.0, "count", -1).value == 0.0


def test_a_signal_counts_up_and_down_and_not_below_nothing():
    jobs = signal("jobs", weight=0.1)
    jobs.increment()
    jobs.increment(4)
    jobs.decrement(2)
    assert jobs.value == 3.0
    jobs.decrement(10)
    assert jobs.value == 0.0
    jobs.set(7)
    assert (jobs.value, repr(jobs)) == (7.0, "Signal('jobs', value=7)")
    jobs.forget()
    assert jobs.value == 0.0
    with pytest.raises(SpecError, match="signal 'jobs': expected value to be a finite number"):
        jobs.increment("1")  # type: ignore[arg-type]
    jobs.set(1.7e308)
    jobs.increment(1.7e308)
    assert math.isfinite(jobs.value)


def test_one_name_is_one_signal_of_the_process():
    first, second = signal("jobs"), signal("jobs", kind="percent")
    first.set(200)
    assert (first.value, second.value) == (100.0, 100.0)
    assert isinstance(second, Signal)


def test_a_process_has_a_bounded_number_of_signals():
    for number in range(MOST_SIGNALS):
        signal(f"s{number}")
    signal("s0")
    with pytest.raises(SpecError, match="expected name to be one of at most 64 in a process"):
        signal("one.more")


def test_outside_a_tree_there_is_nobody_to_tell():
    signal("jobs").set(1)
    assert signals._teller._thread is None


@given(
    st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6), st.sampled_from(["count", "percent"])
)
def test_a_higher_value_or_weight_never_adds_less(weight, value, more, kind):
    def points(weight, value):
        setting: Setting = check_setting("q", weight, kind, value)
        return setting.points

    assert points(weight, value + more) >= points(weight, value)
    assert points(weight + more, value) >= points(weight, value)
