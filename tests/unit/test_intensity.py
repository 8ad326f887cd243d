"""How many restarts are too many."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.supervision.intensity import RestartIntensity


def verdicts(most: int, window: float, times: list[float]) -> list[bool]:
    """Return for each restart whether it was one too many."""
    intensity = RestartIntensity(most, window)
    found = []
    for now in times:
        intensity, exceeded = intensity.record(now)
        found.append(exceeded)
    return found


@pytest.mark.parametrize(
    ("most", "window", "times", "expected"),
    [
        pytest.param(0, 5.0, [1.0], [True], id="none allowed"),
        pytest.param(2, 5.0, [0.0, 0.0, 0.0], [False, False, True], id="the third of two"),
        pytest.param(1, 5.0, [0.0, 5.0], [False, True], id="as old as the window still counts"),
        pytest.param(1, 5.0, [0.0, 5.001], [False, False], id="older does not"),
        pytest.param(1, 1.0, [0.05, 1.95], [False, False], id="the clock is not truncated"),
        pytest.param(2, 1.0, [0.0, 0.6, 1.2, 1.5], [False] * 3 + [True], id="the window slides"),
    ],
)
def test_a_restart_is_one_too_many_if_the_window_holds_more_than_allowed(
    most, window, times, expected
):
    assert verdicts(most, window, times) == expected


GAPS = st.lists(st.floats(0, 10), max_size=30)


@given(st.integers(0, 5), st.floats(0.1, 10), GAPS)
def test_it_agrees_with_counting_the_whole_past(most, window, gaps):
    times = [sum(gaps[: number + 1]) for number in range(len(gaps))]
    counted = [
        sum(now - then <= window for then in times[: position + 1]) > most
        for position, now in enumerate(times)
    ]
    assert verdicts(most, window, times) == counted


@given(st.integers(0, 5), st.floats(0.1, 10), GAPS)
def test_it_remembers_no_more_than_it_needs(most, window, gaps):
    intensity = RestartIntensity(most, window)
    now = 0.0
    for gap in gaps:
        now += gap
        intensity, _ = intensity.record(now)
        assert len(intensity.restarts) <= most + 1
        assert list(intensity.restarts) == sorted(intensity.restarts)
