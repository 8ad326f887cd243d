"""What may be written into specifications and flags, and how the rest is refused."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven import DynamicSupervisor, Supervisor
from beethoven.errors import SpecError
from beethoven.supervision.backoff import Backoff
from beethoven.supervision.checks import check_count
from beethoven.supervision.child_spec import (
    ChildSpec,
    DynamicFlags,
    SupervisorFlags,
    validate_children,
    validate_tree,
)


class Server:
    """A role, as far as specifications look at it."""

    def live(self) -> None:
        """Never run here."""


RESTARTS = "'permanent', 'transient' or 'temporary'"
SHUTDOWNS = "seconds >= 0, 'brutal_kill' or 'infinity'"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": ""}, "child: expected id to be a non-empty string, got: ''"),
        ({"id": 5}, "child: expected id to be a non-empty string, got: 5"),
        ({"role": "x"}, "child 'a': expected role to be a class, got: 'x'"),
        ({"role": Server()}, "child 'a': expected role to be a class, got: <"),
        ({"name": ""}, "child 'a': expected name to be a non-empty string, a Via or None, got: ''"),
        ({"restart": "often"}, f"child 'a': expected restart to be {RESTARTS}, got: 'often'"),
        ({"restart": None}, f"child 'a': expected restart to be {RESTARTS}, got: None"),
        ({"shutdown": -1}, f"child 'a': expected shutdown to be {SHUTDOWNS}, got: -1"),
        ({"shutdown": True}, f"child 'a': expected shutdown to be {SHUTDOWNS}, got: True"),
        ({"shutdown": math.inf}, f"child 'a': expected shutdown to be {SHUTDOWNS}, got: inf"),
        ({"shutdown": math.nan}, f"child 'a': expected shutdown to be {SHUTDOWNS}, got: nan"),
        ({"shutdown": "now"}, f"child 'a': expected shutdown to be {SHUTDOWNS}, got: 'now'"),
        ({"shutdown": [1]}, f"child 'a': expected shutdown to be {SHUTDOWNS}, got: [1]"),
        (
            {"type": "boss"},
            "child 'a': expected type to be 'worker' or 'supervisor', got: 'boss'",
        ),
        ({"significant": 1}, "child 'a': expected significant to be True or False, got: 1"),
        (
            {"significant": True},
            "child 'a': expected significant to be False for a permanent child, got: True",
        ),
        (
            {"start_timeout": 0},
            "child 'a': expected start_timeout to be seconds > 0 or 'infinity', got: 0",
        ),
        (
            {"start_timeout": None},
            "child 'a': expected start_timeout to be seconds > 0 or 'infinity', got: None",
        ),
        (
            {"max_restarts": 1.5},
            "child 'a': expected max_restarts to be an integer >= 0 or None, got: 1.5",
        ),
        ({"max_seconds": 0}, "child 'a': expected max_seconds to be seconds > 0 or None, got: 0"),
        ({"options": 1}, "child 'a': expected options to be a mapping, got: 1"),
        (
            {"options": {"enviroment": {}}},
            "child 'a': expected options to be a mapping with keys of "
            "['environment', 'working_directory'], got: ['enviroment']",
        ),
        (
            {"role": dict},
            "child 'a': expected role to be a Role, Supervisor or DynamicSupervisor, got: <class",
        ),
    ],
)
def test_a_wrong_field_is_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        ChildSpec(**{"id": "a", "role": Server, **fields})
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            {"strategy": "all"},
            "expected strategy to be 'one_for_one', 'one_for_all' or 'rest_for_one', got: 'all'",
        ),
        ({"max_restarts": -1}, "expected max_restarts to be an integer >= 0, got: -1"),
        ({"max_restarts": True}, "expected max_restarts to be an integer >= 0, got: True"),
        ({"max_seconds": 0}, "expected max_seconds to be seconds > 0, got: 0"),
        ({"max_seconds": math.inf}, "expected max_seconds to be seconds > 0, got: inf"),
        (
            {"auto_shutdown": None},
            "expected auto_shutdown to be 'never', 'any_significant' or 'all_significant', "
            "got: None",
        ),
        ({"backoff": 1}, "expected backoff to be a Backoff or None, got: 1"),
        (
            {"backoff": Backoff(), "strategy": "one_for_all"},
            "expected strategy to be 'one_for_one' with a backoff, got: 'one_for_all'",
        ),
    ],
)
def test_a_wrong_flag_is_refused_by_name(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        SupervisorFlags(**flags)
    assert str(caught.value) == f"supervisor: {message}"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"max_children": -1}, "expected max_children to be an integer >= 0 or None, got: -1"),
        ({"max_restarts": "3"}, "expected max_restarts to be an integer >= 0, got: '3'"),
        ({"max_seconds": -5}, "expected max_seconds to be seconds > 0, got: -5"),
        ({"keep_ended": 1}, "expected keep_ended to be True or False, got: 1"),
    ],
)
def test_a_wrong_flag_of_a_dynamic_supervisor_is_refused(
    flags: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        DynamicFlags(**flags)
    assert str(caught.value) == f"supervisor: {message}"


@pytest.mark.parametrize(
    ("children", "message"),
    [
        ("ab", "expected children to be a list of ChildSpec(id, role, args, ...), got: 'ab'"),
        (None, "expected children to be a list of ChildSpec(id, role, args, ...), got: None"),
        ([1], "expected children[0] to be a ChildSpec(id, role, args, ...), got: 1"),
        ([ChildSpec("a", Server)] * 2, "expected child ids to be unique, got: 'a'"),
    ],
)
def test_wrong_children_are_refused(children: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        validate_children(children)
    assert str(caught.value) == f"supervisor: {message}"


def test_a_significant_child_needs_an_auto_shutdown() -> None:
    child = ChildSpec("a", Server, restart="transient", significant=True)
    assert validate_tree(SupervisorFlags(auto_shutdown="any_significant"), [child]) == (child,)
    rule = "significant to be False under auto_shutdown 'never', got: True"
    with pytest.raises(SpecError, match=rule):
        validate_tree(SupervisorFlags(), [child])


def test_children_may_come_from_any_iterable_and_keep_their_order() -> None:
    children = validate_children(ChildSpec(child_id, Server) for child_id in "cab")
    assert [child.id for child in children] == ["c", "a", "b"]


def test_what_is_left_out_is_otp_s_default() -> None:
    child = ChildSpec("a", Server)
    assert (child.restart, child.shutdown, child.type) == ("permanent", 5.0, "worker")
    assert (child.significant, child.start_timeout, child.args) == (False, 30.0, None)
    assert ChildSpec("a", Supervisor).shutdown == "infinity"
    assert ChildSpec("a", Supervisor, shutdown=1).shutdown == 1.0
    assert ChildSpec("a", DynamicSupervisor).is_supervisor
    assert not ChildSpec("a", Supervisor, type="worker").is_supervisor


def test_times_may_be_fractions_of_a_second() -> None:
    child = ChildSpec("a", Server, max_seconds=0.5, start_timeout=0.5)
    assert (child.max_seconds, child.start_timeout) == (0.5, 0.5)
    assert ChildSpec("a", Server, start_timeout="infinity").start_timeout == "infinity"
    assert SupervisorFlags(max_seconds=0.5).max_seconds == 0.5


def test_a_count_is_returned_as_it_is() -> None:
    assert check_count("supervisor", "partitions", 3) == 3


def attempt(kind: Any, *args: Any, **fields: Any) -> tuple[Any, SpecError | None]:
    """Return the value, or the error that refused it."""
    try:
        return kind(*args, **fields), None
    except SpecError as error:
        return None, error


NUMBERS = st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.text(max_size=12))


@given(NUMBERS)
def test_a_shutdown_is_a_time_a_word_or_refused(value: Any) -> None:
    child, refused = attempt(ChildSpec, "a", Server, shutdown=value)
    if refused is not None:
        assert (refused.subject, refused.field) == ("child 'a'", "shutdown")
    else:
        is_time = isinstance(child.shutdown, float) and 0 <= child.shutdown < math.inf
        assert is_time or child.shutdown in {"brutal_kill", "infinity"}


@given(NUMBERS, NUMBERS)
def test_limits_are_a_count_and_a_time_or_refused(most: Any, window: Any) -> None:
    flags, refused = attempt(SupervisorFlags, max_restarts=most, max_seconds=window)
    if refused is not None:
        assert refused.field in {"max_restarts", "max_seconds"}
    else:
        assert type(flags.max_restarts) is int
        assert flags.max_restarts >= 0
        assert 0 < flags.max_seconds < math.inf
