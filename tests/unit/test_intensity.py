"""The window of restarts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.supervision.intensity import RestartIntensity


@pytest.mark.parametrize(
    ("most", "times", "expected"),
    [
        pytest.param(0, [1.0], [True], id="none allowed: the first is too many"),
        pytest.param(2, [1.0, 1.0, 1.0], [False, False, True], id="one more than allowed"),
        pytest.param(1, [1.0, 6.0], [False, True], id="exactly as old as the window still counts"),
        pytest.param(1, [1.0, 6.001], [False, False], id="older than the window is forgotten"),
    ],
)
def test_intensity(most: int, times: list[float], expected: list[bool]) -> None:
    window = RestartIntensity(most, 5.0)
    exceeded = []
    for now in times:
        window, too_many = window.record(now)
        exceeded.append(too_many)
    assert exceeded == expected


@given(st.integers(0, 5), st.lists(st.floats(0, 4)))
def test_the_window_is_sorted_short_and_agrees_with_a_plain_count(
    most: int, pauses: list[float]
) -> None:
    window, now, times = RestartIntensity(most, 5.0), 0.0, []
    for pause in pauses:
        now += pause
        times.append(now)
        window, exceeded = window.record(now)
        assert exceeded == (sum(now - then <= 5.0 for then in times) > most)
        assert list(window.restarts) == sorted(window.restarts)
        assert len(window.restarts) <= most + 1
