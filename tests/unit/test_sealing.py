"""Specifications that supervisors pass on unread."""

import pickle
import sys

import pytest

from beethoven.errors import SpecError
from beethoven.supervision.child_spec import ChildSpec
from beethoven.supervision.sealing import SealedRole, label_of, seal, start_method_of, unseal


class Server:
    """A role, as far as specifications look at it."""

    def live(self) -> None:
        """Never run here."""


class Spawned(Server):
    start_method = "spawn"


class Elsewhere:
    """Stands for another role."""

    @classmethod
    def resolve(cls, args):
        return Server, [args]


def test_what_is_sealed_can_be_opened_again():
    spec = ChildSpec("a", Server, {"x": 1}, restart="transient", shutdown=2, type="supervisor")
    sealed = seal(spec)
    assert sealed.role is SealedRole
    assert unseal(sealed) == spec
    assert (sealed.id, sealed.restart, sealed.shutdown) == ("a", "transient", 2.0)
    assert sealed.is_supervisor


def test_args_can_be_forgotten_and_the_role_is_kept():
    sealed = seal(ChildSpec("a", Server, b"x" * 10_000)).without_args()
    assert len(pickle.dumps(sealed)) < 2_000
    assert unseal(sealed) == ChildSpec("a", Server)
    assert ChildSpec("a", Server, 5).without_args() == ChildSpec("a", Server)


def test_sealing_twice_and_opening_twice_change_nothing():
    sealed = seal(ChildSpec("a", Server))
    assert seal(sealed) is sealed
    assert unseal(unseal(sealed)) == unseal(sealed)


def test_a_sealed_specification_travels_without_the_role_s_module(monkeypatch):
    module = type(sys)("only_here")
    role = type("Role", (), {"__module__": "only_here", "__qualname__": "Role", "live": None})
    vars(module)["Role"] = role
    monkeypatch.setitem(sys.modules, "only_here", module)
    sent = pickle.dumps(seal(ChildSpec("a", role, 5)), 5)
    monkeypatch.delitem(sys.modules, "only_here")
    received = pickle.loads(sent)
    assert (received.id, label_of(received), start_method_of(received)) == (
        *("a", "Role", "forkserver"),
    )
    with pytest.raises(ModuleNotFoundError):
        unseal(received)


def test_the_new_process_opens_it_and_follows_a_role_that_stands_for_another():
    assert SealedRole.resolve(seal(ChildSpec("a", Server, 5)).args) == (Server, 5)
    assert SealedRole.resolve(seal(ChildSpec("a", Elsewhere, 5)).args) == (Server, [5])


def test_the_name_of_the_class_and_its_way_to_start_stay_legible():
    for spec in (ChildSpec("a", Spawned), seal(ChildSpec("a", Spawned))):
        assert label_of(spec) == "Spawned"
        assert start_method_of(spec) == "spawn"
    assert start_method_of(ChildSpec("a", Server)) == "forkserver"


def test_args_that_cannot_be_pickled_are_refused_by_name():
    with pytest.raises(SpecError, match="child 'a': expected args to be a value that can be pick"):
        seal(ChildSpec("a", Server, lambda: 1))


def test_a_class_that_nobody_can_import_is_refused_with_advice():
    class Local(Server):
        pass

    with pytest.raises(SpecError) as caught:
        seal(ChildSpec("a", Local))
    assert str(caught.value).startswith(
        "child 'a': expected role to be a class that the new process can import: put it at the top"
    )
    assert str(caught.value).endswith("Local, defined inside a function")
