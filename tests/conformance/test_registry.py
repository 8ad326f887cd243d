"""Registries with unique keys, and what those with duplicate keys have in common with them."""

import os
import signal
from contextlib import contextmanager

import psutil
import pytest

from beethoven import Ref, Registered, Registry, RegistryRef, Unregistered, errors, process_info
from beethoven.runtime.via import facts_of
from tests.conformance.cases import proves
from tests.conformance.registered import (
    NAME,
    book,
    do,
    double,
    fail_with_lock,
    lock,
    lock_while_unlocking,
    unlock,
)
from tests.integration.roles import Puppet, Trapper, answer, seen
from tests.processes import end, fork_servers, wait_until

pytestmark = pytest.mark.process


@pytest.fixture(params=["unique", "duplicate"])
def keys(request):
    return request.param


@pytest.fixture(params=[1, 3])
def partitions(request):
    return request.param


@contextmanager
def nobody_buried():
    """Keep everybody from learning of any death."""
    servers = fork_servers()
    for each in servers:
        each.suspend()
    try:
        yield
    finally:
        for each in servers:
            each.resume()


def kill(ref):
    os.kill(ref.pid, signal.SIGKILL)


@proves("E111")
def test_all_entries_of_a_killed_process_vanish(keys, partitions):
    with book(2, keys=keys, partitions=partitions) as (registry, ann, bob):
        for number in range(10):
            do(ann, "register", number)
        do(bob, "register", "other")
        kill(ann)
        wait_until(lambda: registry.count() == 1)
        assert registry.keys(ann) == []
        assert [registry.lookup(number) for number in range(10)] == [[]] * 10
        assert registry.lookup("other") == [(bob, None)]


@proves("E112")
def test_locks_of_different_keys_are_held_at_the_same_time(keys):
    with book(2, keys=keys) as (_, ann, bob):
        ann.call((lock, "a"))
        bob.call((lock, "b"))
        assert bob.call((seen,)) == ["locked"]


def is_waiting(ref):
    """Whether a process is held up; one that is not would have answered."""
    with pytest.raises(errors.CallTimeout):
        ref.call((answer,), timeout=0.2)
    return True


@proves("E113")
def test_a_lock_waits_until_it_is_released(keys, partitions):
    with book(2, keys=keys, partitions=partitions) as (_, ann, bob):
        ann.call((lock, "a"))
        bob.cast((lock, "a"))
        assert is_waiting(bob)
        ann.call((unlock,))
        assert bob.call((seen,)) == ["locked"]


@proves("E114")
def test_a_lock_is_released_by_an_error_in_its_block(keys):
    with book(2, keys=keys) as (_, ann, bob):
        ann.call((lock, "a"))
        bob.cast((lock, "a"))
        assert is_waiting(bob)
        ann.call((fail_with_lock,))
        assert bob.call((seen,)) == ["locked"]
        assert ann.is_alive()


@proves("E115")
def test_a_lock_is_released_by_the_end_of_its_holder(keys):
    with book(2, keys=keys) as (_, ann, bob):
        ann.call((lock, "a"))
        bob.cast((lock, "a"))
        assert is_waiting(bob)
        kill(ann)
        assert bob.call((seen,)) == ["locked"]


@proves("E116")
def test_whoever_ends_while_it_waits_for_a_lock_is_passed_over(keys):
    with book(3, keys=keys) as (registry, ann, bob, eve):
        ann.call((lock, "a"))
        bob.cast((lock, "a"))
        assert is_waiting(bob)
        eve.cast((lock, "a"))
        kill(bob)
        assert is_waiting(eve)
        ann.call((unlock,))
        assert eve.call((seen,)) == ["locked"]
        eve.call((unlock,))
        with registry.lock("a", timeout=5):
            pass


def test_a_lock_that_a_thread_takes_while_another_releases_one_goes_with_the_process(keys):
    with book(1, keys=keys) as (registry, ann):
        ann.call((lock_while_unlocking, "a", "b"))
        assert is_linked(ann, registry)
        kill(ann)
        with registry.lock("b", timeout=5):
            pass


def test_a_process_without_locks_is_not_linked_to_the_registry():
    with book(1) as (registry, ann):
        ann.call((lock, "a"))
        ann.call((lock, "b"))
        ann.call((unlock,))
        assert is_linked(ann, registry)
        ann.call((unlock,))
        assert not is_linked(ann, registry)


def is_linked(one, other):
    info = process_info(one)
    assert info is not None
    return other.ref in info.links


def test_a_lock_that_was_not_granted_in_time_is_never_granted():
    with book(3) as (registry, ann, bob, _):
        ann.call((lock, "a"))
        with pytest.raises(errors.CallTimeout), registry.lock("a", timeout=0.05):
            raise AssertionError("granted to two")
        ann.call((unlock,))
        bob.call((lock, "a"))
        assert bob.call((seen,)) == ["locked"]


@proves("E117", "E152")
def test_a_registry_has_as_many_partitions_as_it_was_told(keys):
    with book(0, keys=keys, partitions=4) as (registry,):
        servers = facts_of(NAME).partitions
        assert len({each.pid for each in servers}) == 4
        assert all(each.is_alive() for each in servers)
        assert servers[0].identity == registry.ref.identity


@proves("E118", "E153", "E140", "E173")
def test_an_empty_registry_counts_0_and_lists_nothing(keys, partitions):
    with book(0, keys=keys, partitions=partitions) as (registry,):
        assert registry.count() == 0
        assert registry.select_all() == []


@proves("E119")
def test_count_follows_the_registrations(partitions):
    with book(2, partitions=partitions) as (registry, ann, bob):
        do(ann, "register", "a")
        assert registry.count() == 1
        do(ann, "register", "b")
        do(bob, "register", "c")
        assert registry.count() == 3
        do(ann, "unregister", "a")
        assert registry.count() == 2


@proves("E120", "E150")
def test_a_process_registers_itself_once_under_a_unique_key(partitions):
    with book(1, partitions=partitions) as (registry, ann):
        do(ann, "register", "hello", "value")
        assert registry.keys(ann) == ["hello"]
        assert registry.values("hello", ann) == ["value"]
        with pytest.raises(errors.AlreadyRegistered) as refusal:
            do(ann, "register", "hello", "other")
        assert refusal.value.holder == ann
        assert registry.keys(ann) == ["hello"]
        assert registry.values("hello", ann) == ["value"]
        do(ann, "register", "world", 2)
        assert sorted(registry.keys(ann)) == ["hello", "world"]
        do(ann, "unregister", "hello")
        do(ann, "unregister", "world")
        assert (registry.keys(ann), registry.count()) == ([], 0)


@proves("E121", "E151")
def test_a_unique_key_has_one_process_and_a_refusal_leaves_nothing(partitions):
    with book(2, partitions=partitions) as (registry, ann, bob):
        do(ann, "register", "hello", "value")
        with pytest.raises(errors.AlreadyRegistered) as refusal:
            do(bob, "register", "hello", "recent")
        assert refusal.value.holder == ann
        assert registry.lookup("hello") == [(ann, "value")]
        assert registry.keys(bob) == []
        assert registry.count() == 1
        kill(registry.ref)
        # The owner is linked as before; the other one is not any more.
        assert str(ann.wait(10)) == "killed"
        assert bob.call((answer, 1)) == 1


@proves("E121")
def test_a_refusal_leaves_the_link_for_other_keys():
    with book(2) as (registry, ann, bob):
        do(ann, "register", "hello")
        do(bob, "register", "world")
        with pytest.raises(errors.AlreadyRegistered):
            do(bob, "register", "hello")
        kill(registry.ref)
        assert str(bob.wait(10)) == "killed"


@proves("E122")
def test_the_key_of_a_dead_process_can_be_taken_before_the_registry_knows(partitions):
    with book(2, partitions=partitions) as (registry, ann, bob):
        do(ann, "register", "hello", 1)
        with nobody_buried():
            kill(ann)
            wait_until(lambda: not ann.is_alive())
            assert registry.count() == 1
            assert registry.lookup("hello") == []
            assert registry.select_all() == []
            do(bob, "register", "hello", 2)
            assert registry.lookup("hello") == [(bob, 2)]
        wait_until(lambda: not psutil.pid_exists(ann.pid))
        assert registry.lookup("hello") == [(bob, 2)]


@proves("E125", "E183")
def test_a_key_that_looks_like_a_pattern_means_only_itself(keys):
    with book(1, keys=keys) as (registry, ann):
        do(ann, "register", "other")
        do(ann, "register", ("a", "b"))
        for key in ["_", "$1", ("_", "$2"), None, ..., "", (), int, frozenset("ab")]:
            assert registry.lookup(key) == []
            do(ann, "register", key, 1)
            assert registry.lookup(key) == [(ann, 1)]
            assert key in registry.keys(ann)
            do(ann, "unregister", key)
            assert registry.count() == 2


@proves("E130", "E157")
def test_keys_that_are_equal_but_of_other_types_are_different(keys, partitions):
    with book(1, keys=keys, partitions=partitions) as (registry, ann):
        for key in (1, 1.0, True, ("a", 1), ("a", 1.0)):
            assert registry.lookup(key) == []
            do(ann, "register", key, repr(key))
        for key in (1, 1.0, True, ("a", 1), ("a", 1.0)):
            assert registry.lookup(key) == [(ann, repr(key))]
        do(ann, "unregister", 1)
        assert registry.lookup(1) == []
        assert registry.lookup(1.0) == [(ann, "1.0")]


@proves("E131")
def test_only_the_owner_gives_a_key_another_value(partitions):
    with book(2, partitions=partitions) as (registry, ann, bob):
        with pytest.raises(errors.NotRegistered):
            do(ann, "update_value", "hello", double)
        do(ann, "register", "hello", 2)
        assert do(ann, "update_value", "hello", double) == (4, 2)
        assert registry.lookup("hello") == [(ann, 4)]
        with pytest.raises(errors.NotRegistered):
            do(bob, "update_value", "hello", double)
        assert registry.lookup("hello") == [(ann, 4)]


@proves("E132")
def test_dispatch_calls_once_with_the_process_and_its_value(partitions):
    calls: list[list[tuple[Ref, str]]] = []
    with book(1, partitions=partitions) as (registry, ann):
        registry.dispatch("hello", calls.append)
        assert calls == []
        do(ann, "register", "hello", "value")
        do(ann, "register", "world", "other")
        registry.dispatch("hello", calls.append)
        assert calls == [[(ann, "value")]]


@proves("E133")
def test_an_owner_unregisters_its_keys_one_by_one(partitions):
    with book(1, partitions=partitions) as (registry, ann):
        do(ann, "register", "hello")
        do(ann, "register", "world")
        do(ann, "unregister", "hello")
        assert registry.keys(ann) == ["world"]
        do(ann, "unregister", "world")
        assert registry.keys(ann) == []


@proves("E134", "E161")
def test_to_unregister_nothing_is_no_failure(keys, partitions):
    with book(2, keys=keys, partitions=partitions) as (registry, ann, bob):
        do(ann, "unregister", "hello")
        do(ann, "register", "hello")
        do(bob, "unregister", "hello")
        assert registry.lookup("hello") == [(ann, None)]


@proves("E135", "E169")
def test_a_listener_is_told_of_registrations_and_their_ends(keys, partitions):
    listener = Puppet.start_link(name="listener")
    options = {"keys": keys, "partitions": partitions, "listeners": ["listener", "nobody"]}
    with book(2, **options) as (_, ann, bob):
        do(ann, "register", "hello", 1)
        do(ann, "unregister", "hello")
        do(ann, "unregister", "hello")
        do(bob, "register", ("world", 1), 2)
        news = [
            Registered(NAME, "hello", ann, 1),
            Unregistered(NAME, "hello", ann),
            Registered(NAME, ("world", 1), bob, 2),
        ]
        wait_until(lambda: len(listener.call((seen,))) == 3)
        kill(bob)
        wait_until(lambda: len(listener.call((seen,))) == 4)
        # The news of one partition come in order; those of several need not.
        told = listener.call((seen,))
        assert sorted(told, key=str) == sorted(
            [*news, Unregistered(NAME, ("world", 1), bob)], key=str
        )
        assert told[-1] == Unregistered(NAME, ("world", 1), bob)
    end(listener)


@proves("E136", "E170")
def test_a_process_is_linked_to_a_registry_while_it_has_keys(keys):
    with book(2, keys=keys) as (registry, ann, bob):
        for person in (ann, bob):
            do(person, "register", "hello" + person.identity)
            do(person, "register", "world" + person.identity)
            do(person, "unregister", "hello" + person.identity)
        do(bob, "unregister", "world" + bob.identity)
        kill(registry.ref)
        assert str(ann.wait(10)) == "killed"
        assert bob.call((answer, 1)) == 1


def test_a_process_that_traps_exits_is_told_of_the_end_of_its_registry(partitions):
    with book(1, role=Trapper, partitions=partitions) as (registry, ann):
        do(ann, "register", "hello")
        ref, whole = facts_of(NAME).partitions[-1], registry.ref
        kill(ref)
        whole.wait(10)
        wait_until(lambda: ann.call((seen,)))
        assert [str(each.reason) for each in ann.call((seen,))] == ["killed"]


@proves("E137", "E171")
def test_a_registry_that_does_not_run_is_an_error():
    ann = Puppet.start_link()
    for verb, arguments in [
        ("register", ("a",)),
        ("unregister", ("a",)),
        ("lookup", ("a",)),
        ("dispatch", ("a", double)),
        ("update_value", ("a", double)),
        ("count", ()),
        ("select_all", ()),
    ]:
        with pytest.raises(errors.NoProcess, match=f"no process: registry '{NAME}'"):
            do(ann, verb, *arguments)
    end(ann)


@proves("E141")
def test_select_all_lists_every_registration(partitions):
    with book(2, partitions=partitions) as (registry, ann, bob):
        do(ann, "register", "a", 1)
        do(ann, "register", 2)
        do(bob, "register", ("b",), "two")
        triples = registry.select_all()
        assert len(triples) == 3
        for triple in [("a", ann, 1), (2, ann, None), (("b",), bob, "two")]:
            assert triple in triples


def test_a_plain_program_cannot_be_registered():
    with (
        book(0) as (registry,),
        pytest.raises(errors.SpecError, match="expected the calling process to be a process of"),
    ):
        registry.register("a")


def test_a_registry_keeps_values_of_its_own(partitions):
    with book(1, partitions=partitions) as (registry, ann):
        assert registry.meta("colour") is None
        assert registry.meta("colour", "none") == "none"
        registry.put_meta("colour", ["red"])
        assert do(ann, "meta", "colour") == ["red"]


def test_a_registry_survives_what_it_does_not_understand(partitions):
    with book(1, partitions=partitions) as (registry, ann):
        for server in facts_of(NAME).partitions:
            with pytest.raises(errors.RequestRefused, match="a registry knows no 'nonsense'"):
                server.call("nonsense")
            server.cast("nonsense")
            server.send("nonsense")
        do(ann, "register", "a")
        assert registry.count() == 1


@proves("E181")
@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"keys": "several"}, "keys to be 'unique' or 'duplicate', got: 'several'"),
        ({"keys": ("duplicate", "key", 1)}, "keys to be 'unique' or 'duplicate', got: "),
        ({"partitions": 0}, "partitions to be an integer >= 1, got: 0"),
        ({"partitions": True}, "partitions to be an integer >= 1, got: True"),
        ({"listeners": "listener"}, "listeners to be a list of names, got: 'listener'"),
        ({"listeners": [1]}, "name to be a text of 1 to 200"),
        ({"name": None}, "registry: expected name to be a text of 1 to 200"),
    ],
)
def test_a_wrong_option_is_an_error(options, rule):
    with pytest.raises(errors.SpecError) as refusal:
        Registry.start_link(**{"name": NAME, **options})
    assert rule in str(refusal.value)


@pytest.mark.parametrize("key", [[], {}, {1}, (1, [])])
def test_a_key_that_cannot_be_hashed_is_an_error(key):
    with book(0) as (registry,), pytest.raises(errors.SpecError, match="expected key to be"):
        registry.lookup(key)


def test_a_registry_leaves_nothing_behind_when_a_partition_is_killed():
    with book(0, partitions=3):
        servers = facts_of(NAME).partitions
        kill(servers[1])
        for each in servers:
            assert each.wait(10) is not None
    with pytest.raises(errors.NoProcess):
        RegistryRef(NAME).count()


@pytest.mark.parametrize(
    "request_",
    ["hello", ("lookup", []), ("register", 5, 5, 5, 5), ("lock", b"a", 1, None), ("meta",)],
    ids=str,
)
def test_a_request_that_no_registry_knows_is_refused_and_harms_nobody(request_):
    with book() as (registry, ann):
        do(ann, "register", "a")
        with pytest.raises(errors.RequestRefused, match="a registry knows no"):
            registry.ref.call(request_)
        assert [ref for ref, _ in registry.lookup("a")] == [ann]
