"""Time as people read it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven import clock


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1795381740.123, "2026-11-22T21:09:00.123Z"),
        (1795381740.9996, "2026-11-22T21:09:01.000Z"),
    ],
)
def test_a_moment_is_shown_in_utc_to_the_millisecond(seconds, text):
    assert clock.utc(seconds) == text


@given(st.floats(0, 4e9))
def test_moments_sort_as_their_texts_do(seconds):
    assert clock.utc(seconds) <= clock.utc(seconds + 0.001)


def test_the_system_clock_gives_both_times():
    system = clock.SystemClock()
    assert system.monotonic() <= system.monotonic()
    assert abs(system.wall() - clock.wall()) < 1.0
    assert repr(system) == "SystemClock()"
