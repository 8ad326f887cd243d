"""What one node is to another, sign by sign."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.cluster.failure_detector import _TRANSITIONS, Health, Sign
from beethoven.cluster.member import Cause, Status
from beethoven.cluster.timing import DEFAULT

ALIVE = Health.first(now=100.0)
SUSPECT = ALIVE.after(Sign.UNLINKED, now=101.0)
DOWN = SUSPECT.after(Sign.REFUSED, now=101.5)
LEFT = ALIVE.after(Sign.LEAVING, now=101.0)


def test_the_table_has_an_entry_for_every_status_and_sign():
    assert set(_TRANSITIONS) == set(product(Status, Sign))


@pytest.mark.parametrize("sign", Sign)
def test_who_has_left_does_not_come_back(sign):
    assert LEFT.after(sign, now=200.0).status is Status.LEFT


@pytest.mark.parametrize("sign", set(Sign) - {Sign.LINKED, Sign.LEAVING})
def test_only_a_new_link_brings_a_node_back_from_down(sign):
    assert DOWN.after(sign, now=200.0).status is Status.DOWN
    assert DOWN.after(Sign.LINKED, now=200.0).status is Status.ALIVE


@pytest.mark.parametrize(
    ("sign", "cause"),
    [
        (Sign.UNLINKED, Cause.UNLINKED),
        (Sign.QUIET, Cause.QUIET),
        (Sign.REFUSED, Cause.REFUSED),
        (Sign.SILENT, Cause.SILENT),
    ],
)
def test_a_change_has_a_time_and_a_cause(sign, cause):
    health = ALIVE.after(sign, now=102.0)
    assert (health.since, health.cause, health.heard_at) == (102.0, cause, 100.0)
    assert health.after(Sign.QUIET, now=103.0).since == 102.0


def test_a_node_that_is_due_is_down_as_soon_as_it_is_suspect_and_not_before():
    assert ALIVE.after(Sign.DUE, now=102.0) == ALIVE
    health = SUSPECT.after(Sign.DUE, now=102.0)
    assert (health.status, health.cause) == (Status.DOWN, Cause.DUE)


@pytest.mark.parametrize(
    ("sign", "moment"),
    [(Sign.QUIET, 102.0), (Sign.UNLINKED, 102.0 + DEFAULT.last_chance), (Sign.HEARD, None)],
)
def test_one_whose_link_has_closed_has_a_last_chance(sign, moment):
    assert ALIVE.after(sign, now=102.0).due_at(DEFAULT) == moment


def test_a_node_that_recovers_has_no_cause():
    health = SUSPECT.after(Sign.HEARD, now=102.0)
    assert (health.status, health.cause, health.heard_at) == (Status.ALIVE, None, 102.0)


@pytest.mark.parametrize(
    ("now", "expected"),
    [(101.9, None), (102.0, Sign.QUIET), (103.9, Sign.QUIET), (104.0, Sign.SILENT)],
)
def test_silence_makes_suspect_then_down(now, expected):
    assert ALIVE.judge(DEFAULT, now=now) is expected


def test_a_suspect_is_judged_once():
    suspect = ALIVE.after(Sign.QUIET, now=102.0)
    assert suspect.judge(DEFAULT, now=103.9) is None
    assert suspect.judge(DEFAULT, now=104.0) is Sign.SILENT


@pytest.mark.parametrize("health", [DOWN, LEFT])
def test_who_is_gone_is_not_judged(health):
    assert health.judge(DEFAULT, now=1000.0) is None
    assert health.next_judgement(DEFAULT) is None


def test_a_witness_keeps_a_suspect_from_down_but_makes_it_no_more():
    suspect = ALIVE.after(Sign.QUIET, now=102.0)
    vouched = suspect.after(Sign.VOUCHED, now=103.0, vouched_at=102.5)
    assert vouched.status is Status.SUSPECT
    assert vouched.judge(DEFAULT, now=106.4) is None
    assert vouched.judge(DEFAULT, now=106.5) is Sign.SILENT
    assert vouched.after(Sign.VOUCHED, now=104.0, vouched_at=101.0) == vouched, "older news"
    assert vouched.after(Sign.VOUCHED, now=104.0, vouched_at=999.0).vouched_at == 104.0


def test_a_witness_hides_no_silence_of_our_own():
    vouched = ALIVE.after(Sign.VOUCHED, now=101.0, vouched_at=101.0)
    assert vouched.judge(DEFAULT, now=102.0) is Sign.QUIET


def test_lateness_puts_the_clocks_forward_but_not_into_the_future():
    assert ALIVE.extended(10.0, now=111.0).judge(DEFAULT, now=111.9) is None
    assert ALIVE.extended(10.0, now=111.0).judge(DEFAULT, now=112.0) is Sign.QUIET
    assert ALIVE.extended(10.0, now=105.0).heard_at == 105.0


SIGNS = st.lists(st.tuples(st.sampled_from(Sign), st.floats(0, 3), st.floats(-5, 5)))


@given(SIGNS)
def test_a_judgement_comes_when_it_was_foretold(signs):
    health, now = Health.first(now=0.0), 0.0
    for sign, pause, age in signs:
        now += pause
        health = health.after(sign, now=now, vouched_at=now - age)
        assert health.heard_at <= health.vouched_at <= now
        deadline = health.next_judgement(DEFAULT)
        if deadline is None:
            assert not health.is_up
        else:
            assert health.judge(DEFAULT, now=deadline) is not None
            before = deadline - 1e-6
            assert before <= now or health.judge(DEFAULT, now=before) is None
