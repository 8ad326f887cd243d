"""What a registry keeps, and its locks, without processes."""

from hypothesis import given
from hypothesis import strategies as st

from beethoven import Ref, clock
from beethoven.registry.locks import Claim, Locks
from beethoven.registry.registry_state import Entry, Keys, RegistryState
from beethoven.runtime.packing import Packed

ANN, BOB = Ref("1-a", "/tree", 11), Ref("1-b", "/tree", 12)


def entry(key: str, ref: Ref = ANN, value: str = "") -> Entry:
    return Entry(key.encode(), ref, Packed(value.encode()))


def test_a_refused_registration_changes_nothing():
    state, untouched = RegistryState(Keys.UNIQUE), RegistryState(Keys.UNIQUE)
    for each in (state, untouched):
        each.register(entry("a"))
    assert state.register(entry("a", BOB)) == ANN
    assert state.register(entry("a")) == ANN
    assert state == untouched


def test_a_state_from_which_all_has_gone_is_empty():
    state = RegistryState(Keys.DUPLICATE)
    for key in "aab":
        state.register(entry(key))
        state.register(entry(key, BOB))
    assert state.unregister(b"a", ANN.identity) == [entry("a"), entry("a")]
    assert state.forget(ANN.identity) == [entry("b")]
    assert len(state.forget(BOB.identity)) == 3
    assert state == RegistryState(Keys.DUPLICATE, _last=6)


def test_every_entry_of_an_owner_gets_the_new_value():
    state = RegistryState(Keys.DUPLICATE)
    for each in (entry("a"), entry("a", BOB), entry("a")):
        state.register(each)
    assert state.replace_value(b"a", ANN.identity, Packed(b"new"))
    assert not state.replace_value(b"b", ANN.identity, Packed(b"new"))
    assert [each.value.contents for each in state.of_key(b"a")] == [b"new", b"", b"new"]
    assert [each.value.contents for each in state.of_owner(ANN.identity)] == [b"new"] * 2


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["register", "unregister", "forget"]),
        st.sampled_from("abc"),
        st.sampled_from([ANN, BOB]),
    )
)


@given(st.sampled_from(Keys), STEPS)
def test_both_indexes_have_the_same_entries(keys, steps):
    state = RegistryState(keys)
    model: list[Entry] = []
    for verb, key, ref in steps:
        match verb:
            case "register":
                taken = [each for each in model if each.key == key.encode()]
                holder = state.register(entry(key, ref))
                if taken and keys is Keys.UNIQUE:
                    assert holder == taken[0].ref
                else:
                    assert holder is None
                    model.append(entry(key, ref))
            case "unregister":
                gone = [each for each in model if each == entry(key, ref)]
                assert state.unregister(key.encode(), ref.identity) == gone
                model = [each for each in model if each not in gone]
            case "forget":
                gone = [each for each in model if each.ref == ref]
                assert state.forget(ref.identity) == gone
                model = [each for each in model if each not in gone]
        assert state.count() == len(state.all()) == len(model)
        for letter in "abc":
            of_key = [each for each in model if each.key == letter.encode()]
            assert list(state.of_key(letter.encode())) == of_key
        for each in (ANN, BOB):
            of_owner = [entry for entry in model if entry.ref == each]
            assert list(state.of_owner(each.identity)) == of_owner


def claim(number: str, owner: str = "ann") -> Claim:
    return Claim(number, owner, None)


def test_a_lock_goes_from_one_claim_to_the_next_in_order():
    locks = Locks()
    assert locks.claim(b"a", claim("1"))
    assert not locks.claim(b"a", claim("2", "bob"))
    assert not locks.claim(b"a", claim("3", "eve"))
    assert locks.claim(b"b", claim("4", "bob"))
    assert locks.release(b"a", "1") == claim("2", "bob")
    assert locks.release(b"a", "3") is None
    assert locks.release(b"a", "2") is None
    assert locks.release(b"b", "4") is None
    assert locks == Locks()


def test_a_claim_that_is_not_known_is_nobodys():
    locks = Locks()
    assert locks.release(b"a", "1") is None
    locks.claim(b"a", claim("1"))
    assert locks.release(b"a", "2") is None
    assert list(locks.of_owner("ann")) == [b"a"]


def test_the_claims_of_one_are_found_without_looking_at_those_of_others():
    locks, many = Locks(), 20_000
    for number in range(many):
        locks.claim(str(number).encode(), claim(str(number), f"owner {number}"))
    began = clock.monotonic()
    for number in range(many):
        assert list(locks.of_owner(f"owner {number}")) == [str(number).encode()]
    # All with all would be 400 million looks.
    assert clock.monotonic() - began < 5


def test_all_claims_of_one_that_is_gone_end():
    locks = Locks()
    for number, (key, owner) in enumerate(map(tuple, ["aa", "ab", "ac", "bb", "ba", "ca"])):
        locks.claim(key.encode(), claim(str(number), owner))
    assert locks.forget("a") == [claim("1", "b")]
    assert not list(locks.of_owner("a"))
    assert locks.forget("b") == [claim("2", "c")]
    assert locks.forget("c") == []
    assert locks == Locks()
