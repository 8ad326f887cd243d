"""How long to wait before the next attempt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.errors import SpecError
from beethoven.supervision.backoff import Backoff


def test_delays_grow_by_the_factor_up_to_the_maximum():
    backoff = Backoff(initial=0.5, factor=2.0, maximum=3.0)
    assert [backoff.delay(attempt) for attempt in range(1, 6)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_a_factor_of_one_keeps_the_delay():
    assert {Backoff(initial=1.0, factor=1.0).delay(attempt) for attempt in range(1, 9)} == {1.0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initial": 0}, "backoff: expected initial to be seconds > 0, got: 0"),
        ({"initial": "1"}, "backoff: expected initial to be seconds > 0, got: '1'"),
        ({"factor": 0.5}, "backoff: expected factor to be a number >= 1, got: 0.5"),
        (
            {"initial": 2.0, "maximum": 1.0},
            "backoff: expected maximum to be seconds >= initial (2), got: 1.0",
        ),
    ],
)
def test_a_wrong_option_is_refused_by_name(options, message):
    with pytest.raises(SpecError) as caught:
        Backoff(**options)
    assert str(caught.value) == message


@given(st.floats(0.001, 10), st.floats(1, 100), st.floats(10, 1e6), st.integers(1, 10**6))
def test_a_delay_lies_between_the_limits_and_never_shrinks(initial, factor, maximum, attempt):
    backoff = Backoff(initial, factor, maximum)
    delay = backoff.delay(attempt)
    assert initial <= delay <= maximum
    assert backoff.delay(attempt + 1) >= delay
