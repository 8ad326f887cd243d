"""Keys that are the same have the same packed form, others have not, and all can be opened."""

import pickle
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.errors import SpecError
from beethoven.runtime.packing import pack, pack_key


class Colour(Enum):
    RED = 1


@dataclass(frozen=True)
class Point:
    x: int
    y: str


PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.just(Colour.RED)
    | st.builds(Point, st.integers(), st.text())
)
KEYS = st.recursive(
    PLAIN, lambda inner: st.lists(inner).map(tuple) | st.frozensets(inner), max_leaves=8
)


def packed(key):
    return pack_key(key, "test").contents


def exactly(key):
    """Return a value that is equal to that of another key only if the two are the same."""
    match key:
        case tuple():
            return (tuple, *map(exactly, key))
        case frozenset():
            return frozenset(map(exactly, key))
    return (type(key), repr(key))


@given(KEYS)
def test_a_key_is_opened_as_it_was(key):
    assert exactly(pickle.loads(packed(key))) == exactly(key)


@given(KEYS)
def test_a_copy_of_a_key_is_the_same_key(key):
    assert packed(pickle.loads(pickle.dumps(key))) == packed(key)


@given(KEYS, KEYS)
def test_two_keys_are_the_same_if_they_are_exactly_equal(one, other):
    assert (packed(one) == packed(other)) == (exactly(one) == exactly(other))


def test_a_key_does_not_depend_on_what_is_one_object():
    text = "".join(["a", "b"])
    assert packed((text, text)) == packed(("ab", "".join(["a", "b"])))


def test_a_key_is_the_same_in_every_process():
    key = ("a", 1, frozenset("abcdef"))
    source = (
        "from beethoven.runtime.packing import pack_key;"
        f"print(pack_key({key!r}, '').contents.hex())"
    )
    for _ in range(2):
        run = subprocess.run([sys.executable, "-c", source], capture_output=True, check=True)
        assert bytes.fromhex(run.stdout.decode()) == packed(key)


@pytest.mark.parametrize("key", [[], {}, {1}, (1, []), lambda: None])
def test_what_cannot_be_hashed_and_pickled_is_no_key(key):
    with pytest.raises(SpecError, match="test: expected key to be a value that can be hashed and"):
        pack_key(key, "test")


class Pair(NamedTuple):
    first: object
    second: int = 0


class Members(frozenset[str]):
    pass


@pytest.mark.parametrize("tags", [frozenset([0, 8]), frozenset([8, 0]), (1, frozenset())])
@pytest.mark.parametrize("make", [lambda tags: Point(tags, ""), Pair, lambda tags: (1, Pair(tags))])
def test_a_set_inside_of_an_object_is_refused_for_its_order_says_nothing(make, tags):
    with pytest.raises(SpecError, match="a frozenset inside of another object has no order"):
        pack_key(make(tags), "test")


def test_a_set_of_a_class_of_its_own_is_refused():
    with pytest.raises(SpecError, match="a Members inside of another object has no order"):
        pack_key(Members("ab"), "test")


@pytest.mark.parametrize(
    ("one", "other"), [(0.0, -0.0), (Decimal("1.0"), Decimal("1.00")), (Pair(1), (1, 0))]
)
def test_what_is_equal_and_not_written_in_the_same_way_is_two_keys(one, other):
    assert one == other
    assert packed(one) != packed(other)


def test_a_value_that_cannot_be_pickled_is_an_error():
    with pytest.raises(SpecError, match="test: expected value to be a value that can be pickled"):
        pack(lambda: None, "test")


def test_a_packed_value_arrives_as_the_value():
    assert pickle.loads(pickle.dumps([pack({"a": 1}, "test")])) == [{"a": 1}]
