"""What a beacon decides about strangers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.cluster.beacon_state import (
    HANDSHAKE_TIMEOUT,
    MOST_HALF_OPEN,
    OTHER_HOSTS,
    HalfOpen,
    Notices,
    Suppressed,
    host_of,
    is_quiet,
)
from beethoven.cluster.messages import RefusalCode


def full_of(*hosts, most=4):
    """Return a table with one connection for each host, named 0, 1, 2 ..."""
    table = HalfOpen[int](most=most)
    for number, host in enumerate(hosts):
        assert table.admit(number, host, now=float(number)) is None
    return table


@pytest.mark.parametrize(
    ("hosts", "newcomer", "victim"),
    [
        (["a", "b", "c"], "d", None),
        (["a", "b", "c", "d"], "e", 0),
        (["a", "b", "b", "c"], "e", 1),
        (["a", "b", "b", "c"], "a", 1),
        (["a", "b", "b"], "b", 1),
        (["a", "a"], "a", 0),
        (["a", "a", "b", "b"], "c", 0),
    ],
)
def test_the_oldest_of_the_host_with_most_makes_room(hosts, newcomer, victim):
    table = full_of(*hosts)
    assert table.admit(9, newcomer, now=9.0) == victim
    assert 9 in table
    assert victim not in table


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans())), st.integers(1, 12))
def test_a_newcomer_is_always_admitted_and_the_limit_never_passed(steps, most):
    table = HalfOpen[int](most=most)
    present: dict[int, str] = {}
    for number, (host, leaves) in enumerate(steps):
        victim = table.admit(number, host, now=float(number))
        counts = {name: list(present.values()).count(name) for name in present.values()}
        if victim is not None:
            # It is the newcomer's own host that loses one, or the one that has most.
            assert present[victim] == host or counts[present[victim]] == max(counts.values())
            assert victim == min(each for each in present if present[each] == present[victim])
            del present[victim]
        present[number] = host
        assert number in table
        assert len(table) == len(present) <= most
        assert all(each in table for each in present)
        if leaves:
            table.leave(number)
            del present[number]


def test_each_connection_has_its_own_deadline():
    table = HalfOpen[str](timeout=2.0)
    assert table.next_at() is None
    table.admit("first", "a", now=10.0)
    table.admit("second", "b", now=11.0)
    assert table.next_at() == 12.0
    assert table.due(now=11.9) == []
    assert table.due(now=12.0) == ["first"]
    assert table.due(now=13.0) == ["first", "second"]
    table.leave("first")
    table.leave("first")
    assert table.due(now=12.5) == []
    assert table.next_at() == 13.0


def test_there_is_no_room_to_make_where_nobody_is():
    assert HalfOpen[int]().make_room() is None


def test_d26_silent_connections_cannot_hold_the_beacon():
    """D26: silent clients held all workers; here a seeker takes the place of the oldest."""
    table = HalfOpen[int]()
    for number in range(500):
        table.admit(number, "10.0.0.1", now=0.0)
    assert table.admit(500, "10.0.0.2", now=0.0) is None
    for number in range(501, 1000):
        table.admit(number, "10.0.0.1", now=0.1)
    assert 500 in table
    assert len(table) <= MOST_HALF_OPEN
    assert table.due(now=HANDSHAKE_TIMEOUT)[0] == 500


def test_whoever_owns_a_network_of_ipv6_counts_as_one_host():
    table = HalfOpen[int](most=100)
    for number in range(100):
        table.admit(number, f"fd00::{number:x}", now=0.0)
    assert len(table) == 50


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("fd00::1", "fd00::1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_a_host_is_shown_in_its_own_form(address, host):
    assert host_of(address) == host


def test_the_first_refusal_is_news_and_then_a_count_once_a_minute():
    notices = Notices()
    assert notices.is_news("a", "timeout", now=0.0)
    assert not notices.is_news("a", "timeout", now=1.0)
    assert notices.is_news("a", "malformed", now=1.0)
    assert notices.is_news("b", "timeout", now=1.0)
    assert not notices.is_news("a", "timeout", now=2.0)
    assert notices.next_at() == 60.0
    assert notices.due(now=59.9) == []
    assert notices.due(now=60.0) == [Suppressed("a", "timeout", 2)]
    assert not notices.is_news("a", "timeout", now=60.5)
    assert notices.due(now=119.9) == []
    assert notices.due(now=120.0) == [Suppressed("a", "timeout", 1)]
    assert notices.due(now=180.0) == []
    assert len(notices) == 0
    assert notices.next_at() is None
    assert notices.is_news("a", "timeout", now=181.0)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(list(RefusalCode)), st.floats(0, 30))
    )
)
def test_every_refusal_is_told_or_counted(refusals):
    notices = Notices(most=5)
    now, told, counted = 0.0, 0, 0
    for host, code, pause in refusals:
        now += pause
        counted += sum(each.count for each in notices.due(now=now))
        told += notices.is_news(host, code, now=now)
        assert len(notices) <= 5 + len(RefusalCode)
    while (next_at := notices.next_at()) is not None:
        counted += sum(each.count for each in notices.due(now=next_at))
    assert told + counted == len(refusals)


def test_d25_strangers_cannot_fill_the_memory():
    """D25: names from the wire were kept for ever."""
    notices = Notices(most=10)
    told = sum(notices.is_news(f"10.0.{n >> 8}.{n & 255}", "timeout", now=0.0) for n in range(5000))
    assert len(notices) == told == 11
    counts = {each.host: each.count for each in notices.due(now=60.0)}
    assert counts == {OTHER_HOSTS: 4989}


@pytest.mark.parametrize(
    ("code", "has_spoken", "is_greeted", "is_nothing"),
    [
        (RefusalCode.CLOSED, False, False, True),  # a search for open ports
        (RefusalCode.CLOSED, True, True, True),  # a locator's question
        (RefusalCode.CLOSED, True, False, False),
        (RefusalCode.TIMEOUT, False, False, False),
        (RefusalCode.MALFORMED, True, False, False),
        (RefusalCode.WRONG_COOKIE, True, True, False),
    ],
)
def test_what_is_nothing_to_tell(code, has_spoken, is_greeted, is_nothing):
    assert is_quiet(code, has_spoken=has_spoken, is_greeted=is_greeted) is is_nothing
