"""Registries with duplicate keys."""

import pytest

from beethoven import Ref, RegistryRef, Via, errors, whereis
from tests.conformance.cases import proves
from tests.conformance.registered import NAME, book, do, double
from tests.integration.roles import Puppet, Trapper, seen

pytestmark = pytest.mark.process


@pytest.fixture(params=[1, 3], autouse=True)
def partitions(request):
    return request.param


@pytest.fixture
def people(partitions):
    with book(2, keys="duplicate", partitions=partitions) as all_:
        yield all_


@proves("E154")
def test_count_counts_every_registration(people):
    registry, ann, bob = people
    do(ann, "register", "hello")
    assert registry.count() == 1
    do(ann, "register", "hello")
    do(bob, "register", "hello")
    do(bob, "register", "world")
    assert registry.count() == 4


@proves("E155")
def test_a_process_registers_itself_twice_under_a_key(people):
    registry, ann, _ = people
    do(ann, "register", "hello", 1)
    assert registry.keys(ann) == ["hello"]
    do(ann, "register", "hello", 2)
    assert registry.keys(ann) == ["hello", "hello"]
    assert registry.values("hello", ann) == [1, 2]
    assert registry.lookup("hello") == [(ann, 1), (ann, 2)]
    do(ann, "register", "world", 3)
    assert sorted(registry.keys(ann)) == ["hello", "hello", "world"]


@proves("E156")
def test_several_processes_share_a_key(people):
    registry, ann, bob = people
    do(ann, "register", "hello", "value")
    do(bob, "register", "hello", "recent")
    assert registry.lookup("hello") == [(ann, "value"), (bob, "recent")]
    assert registry.keys(ann) == registry.keys(bob) == ["hello"]
    assert registry.values("hello", bob) == ["recent"]


@proves("E158")
def test_dispatch_calls_once_with_all_of_the_key_and_no_other(people):
    registry, ann, bob = people
    calls: list[list[tuple[Ref, int]]] = []
    registry.dispatch("hello", calls.append)
    assert calls == []
    do(ann, "register", "hello", 1)
    do(bob, "register", "hello", 2)
    do(ann, "register", "hello", 3)
    do(ann, "register", "world", 4)
    registry.dispatch("hello", calls.append)
    assert calls == [[(ann, 1), (bob, 2), (ann, 3)]]


@proves("E159")
def test_dispatch_reaches_everybody_and_leaves_no_message(partitions):
    with book(3, role=Trapper, keys="duplicate", partitions=partitions) as (_, *everybody):
        for person in everybody:
            do(person, "register", "hello")
        ann = everybody[0]
        assert set(ann.call((dispatched, "hello"))) == set(everybody)
        assert ann.call((seen,)) == []


def dispatched(role, key):
    """Dispatch in a process of the tree, and return whom that has reached."""
    reached: list[Ref] = []
    RegistryRef(NAME).dispatch(key, lambda entries: reached.extend(ref for ref, _ in entries))
    return reached


@proves("E160")
def test_to_unregister_a_key_removes_all_own_entries(people):
    registry, ann, bob = people
    for person in (ann, bob, ann):
        do(person, "register", "hello")
    do(ann, "register", "world")
    do(ann, "unregister", "hello")
    assert registry.lookup("hello") == [(bob, None)]
    assert registry.keys(ann) == ["world"]
    do(ann, "unregister", "world")
    assert registry.keys(ann) == []


@proves("E164")
def test_parts_of_a_key_are_compared_exactly(people):
    registry, ann, _ = people
    keys = [(1, 2), (1.0, 2), (1, (2,)), (1, frozenset([2])), (1, frozenset([2.0])), (1, "2")]
    for number, key in enumerate(keys):
        assert registry.lookup(key) == []
        do(ann, "register", key, number)
    for number, key in enumerate(keys):
        assert registry.lookup(key) == [(ann, number)]
    assert registry.lookup((1, frozenset(["2"]))) == []


@proves("E172")
def test_a_registry_with_duplicate_keys_keeps_no_names(people):
    via = Via(NAME, "hello")
    rule = "expected keys to be 'unique' where it is to keep names, got: 'duplicate'"
    with pytest.raises(errors.SpecError, match=rule):
        Puppet.start_link(name=via)
    with pytest.raises(errors.SpecError, match=rule):
        whereis(via)
    assert people[0].count() == 0


@proves("E174")
def test_select_all_lists_duplicates_too(people):
    registry, ann, bob = people
    do(ann, "register", "hello", 1)
    do(ann, "register", "hello", 1)
    do(bob, "register", "hello", 2)
    do(bob, "register", "world", 2)
    triples = registry.select_all()
    assert len(triples) == 4
    assert triples.count(("hello", ann, 1)) == 2
    assert triples.count(("hello", bob, 2)) == triples.count(("world", bob, 2)) == 1


@proves("E182")
def test_values_under_duplicate_keys_are_not_updated(people):
    registry, ann, _ = people
    do(ann, "register", "hello", 1)
    rule = "expected keys to be 'unique' for update_value, got: 'duplicate'"
    with pytest.raises(errors.SpecError, match=rule):
        do(ann, "update_value", "hello", double)
    assert registry.lookup("hello") == [(ann, 1)]
