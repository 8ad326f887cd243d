"""When an address is dialled again."""

import itertools

import pytest

from beethoven.cluster.addresses import Address
from beethoven.cluster.dialler import Dialler
from beethoven.cluster.timing import DEFAULT

HERE = Address("10.0.0.1", 1)


@pytest.fixture
def dialler():
    return Dialler(DEFAULT, lambda: 0.5)


def fail_until(dialler, end, *, now=0.0):
    """Fail each dial at once; return the pauses between them."""
    moments = []
    while (at := dialler.next_at()) <= end:
        now = max(now, at)
        assert dialler.due(now=now) == [HERE]
        dialler.failed(HERE, now=now)
        moments.append(now)
    return [after - before for before, after in itertools.pairwise(moments)]


def test_the_pauses_grow_and_end_with_the_longest(dialler):
    dialler.want(HERE, now=0.0)
    assert fail_until(dialler, 6.0) == [0.25, 0.5, 1.0, 1.25, 1.25, 1.25]


def test_after_long_it_is_dialled_rarely_but_for_ever(dialler):
    dialler.want(HERE, now=0.0)
    assert dialler.stale(now=599.0) == []
    assert fail_until(dialler, 10_000.0)[-1] == DEFAULT.redial_rare
    assert dialler.stale(now=600.0) == [HERE]


@pytest.mark.parametrize(("chance", "pause"), [(0.0, 0.1875), (1.0, 0.3125)])
def test_the_pauses_are_scattered(chance, pause):
    dialler = Dialler(DEFAULT, lambda: chance)
    dialler.want(HERE, now=0.0)
    assert fail_until(dialler, 0.4)[0] == pause


def test_where_a_stranger_answered_it_is_dialled_rarely(dialler):
    dialler.want(HERE, now=0.0)
    dialler.due(now=0.0)
    dialler.failed(HERE, now=0.1, is_hopeless=True)
    assert dialler.next_at() == 0.1 + DEFAULT.redial_rare


def test_one_dial_is_under_way_at_a_time(dialler):
    dialler.want(HERE, now=0.0)
    assert dialler.due(now=0.0) == [HERE]
    dialler.want(HERE, now=0.1, at_once=True)
    assert dialler.due(now=0.1) == []


def test_a_dial_whose_end_is_not_told_is_lost_after_some_time(dialler):
    dialler.want(HERE, now=0.0)
    dialler.due(now=0.0)
    lost = dialler.next_at()
    assert lost == 2 * DEFAULT.dial_timeout
    assert dialler.due(now=lost) == []
    assert dialler.due(now=dialler.next_at()) == [HERE]


def test_new_reason_shortens_the_wait(dialler):
    dialler.want(HERE, now=0.0)
    dialler.due(now=0.0)
    dialler.failed(HERE, now=0.0, is_hopeless=True)
    dialler.want(HERE, now=1.0)
    assert dialler.due(now=1.0) == []
    dialler.want(HERE, now=1.0, at_once=True)
    assert dialler.due(now=1.0) == [HERE]


def test_what_is_forgotten_is_not_dialled(dialler):
    dialler.want(HERE, now=0.0)
    dialler.forget(HERE)
    dialler.failed(HERE, now=0.0)
    assert (HERE in dialler, len(dialler), dialler.next_at()) == (False, 0, None)
