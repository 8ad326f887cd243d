"""Which refusals are told, and how often."""

from beethoven.cluster.addresses import Address
from beethoven.cluster.quarrels import (
    _AGAIN_AFTER,
    _MOST,
    FLAPS_WITHIN,
    MOST_FLAPS,
    Flaps,
    Quarrels,
)

HERE, THERE = Address("127.0.0.1", 9), Address("127.0.0.2", 9)


def test_a_refusal_is_told_once_until_it_changes():
    quarrels = Quarrels()
    told = [
        quarrels.is_news(HERE, code, now=float(now))
        for now, code in enumerate(["wrong_cookie", "wrong_cookie", "wrong_version"])
    ]
    assert told == [True, False, True]


def test_a_refusal_that_lasts_is_told_again_after_a_while():
    quarrels = Quarrels()
    quarrels.is_news(HERE, "wrong_cookie", now=0.0)
    assert not quarrels.is_news(HERE, "wrong_cookie", now=_AGAIN_AFTER - 1)
    assert quarrels.is_news(HERE, "wrong_cookie", now=_AGAIN_AFTER)


def test_addresses_do_not_silence_each_other():
    quarrels = Quarrels()
    assert quarrels.is_news(HERE, "wrong_cookie", now=0.0)
    assert quarrels.is_news(THERE, "wrong_cookie", now=0.0)


def test_a_refusal_after_a_reconciliation_is_news():
    quarrels = Quarrels()
    quarrels.is_news(HERE, "wrong_cookie", now=0.0)
    quarrels.settle(HERE)
    assert quarrels.is_news(HERE, "wrong_cookie", now=1.0)


def test_no_more_addresses_are_remembered_than_fit():
    quarrels = Quarrels()
    for number in range(2 * _MOST):
        quarrels.is_news(Address("127.0.0.1", number + 1), "wrong_cookie", now=0.0)
    assert len(quarrels._told) == _MOST


def test_a_node_that_is_suspect_all_the_time_is_no_news_until_that_is_over():
    flaps, told = Flaps(), 0
    for second in range(30):
        flaps.add("viola", now=float(second))
        told += not flaps.comes_and_goes("viola", now=float(second))
    assert told == MOST_FLAPS
    assert flaps.comes_and_goes("viola", now=30.0)
    assert not flaps.comes_and_goes("viola", now=30.0 + FLAPS_WITHIN)
    assert not flaps.comes_and_goes("cello", now=30.0)


def test_a_node_that_is_suspect_now_and_then_is_always_news():
    flaps = Flaps()
    for minute in range(30):
        flaps.add("viola", now=60.0 * minute)
        assert not flaps.comes_and_goes("viola", now=60.0 * minute)


def test_a_node_that_went_begins_anew():
    flaps = Flaps()
    for second in range(30):
        flaps.add("viola", now=float(second))
    flaps.forget("viola")
    assert not flaps.comes_and_goes("viola", now=30.0)
