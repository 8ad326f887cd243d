"""Which partition a key belongs to."""

import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven import Ref
from beethoven.errors import SpecError
from beethoven.supervision.routing import route
from tests.conformance.cases import proves

PLAIN = st.one_of(st.text(), st.binary(), st.integers(), st.floats(allow_nan=False), st.none())
KEYS = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=8)


@proves("E62")
@given(st.integers(), st.integers(1, 100))
def test_an_integer_goes_to_its_absolute_value_modulo_the_number_of_partitions(key, partitions):
    assert route(key, partitions) == abs(key) % partitions


@given(KEYS, st.integers(1, 100))
def test_every_key_has_one_partition(key, partitions):
    assert route(key, partitions) == route(key, partitions)
    assert 0 <= route(key, partitions) < partitions


# Written down once and for all: a change of these sends keys to partitions without their state.
KNOWN = [
    ("a", 379),
    (b"a", 826),
    ("", 374),
    ("schlüssel", 179),
    (1.0, 475),
    (None, 268),
    (("user", 17), 52),
    (("user", "17"), 973),
    (Ref("1-2", "folder"), 202),
    (True, 1),
    (-1007, 7),
]


@pytest.mark.parametrize(("key", "partition"), KNOWN)
def test_a_key_stays_where_it_was_in_earlier_versions(key, partition):
    assert route(key, 1000) == partition


@pytest.mark.parametrize("salt", ["0", "1", "4294967295"])
def test_a_key_belongs_to_the_same_partition_in_every_interpreter(salt):
    keys = [key for key, _ in KNOWN if not isinstance(key, Ref)]
    source = (
        "from beethoven.supervision.routing import route\n"
        f"print([route(key, 1000) for key in {keys!r}])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", source],
        env={"PYTHONHASHSEED": salt, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == str([route(key, 1000) for key in keys])


def test_keys_that_differ_in_kind_or_shape_are_written_differently():
    keys = ["1", b"1", 1.0, ("1",), (("1",),), ("1", ""), ("", "1"), (1,), (1.0,), (None,), None]
    assert len({route(key, 2**60) for key in keys}) == len(keys)


def test_a_process_is_the_same_key_by_whatever_name():
    assert route(Ref("1-2", "f", 3, "a"), 1000) == route(Ref("1-2", "f"), 1000)


def test_keys_are_spread_evenly():
    counts = Counter(route(f"user{number}", 8) for number in range(8000))
    assert set(counts) == set(range(8))
    assert all(850 < count < 1150 for count in counts.values())


@pytest.mark.parametrize("key", [object(), [1], {"a"}, frozenset("ab"), ("a", object())])
def test_a_key_whose_hash_could_differ_elsewhere_is_refused(key):
    with pytest.raises(SpecError, match=r"expected a key to be an int, str, bytes.*got: "):
        route(key, 4)
