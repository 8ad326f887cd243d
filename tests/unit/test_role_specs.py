"""What the cluster is told of a role, and by what two configurations of it are told apart."""

import re
import signal
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.cluster.role_spec import Handover, Reconcile, RoleSpec
from beethoven.node.config import parse_settings
from beethoven.node.role_specs import digest, role_spec
from beethoven.node.settings import RoleSettings
from beethoven.vocabulary import Restart

ROLE = RoleSettings("x", module="a:B")

# Another value for every setting that defines what runs.
OTHERS = {
    "name": "y",
    "module": "a:C",
    "command": ("sh",),
    "args": {"a": 1},
    "instances": 2,
    "restart": Restart.TRANSIENT,
    "shutdown": 1.0,
    "max_restarts": 1,
    "max_seconds": 1.0,
    "start_timeout": 1.0,
    "environment": {"A": "b"},
    "working_directory": Path("/tmp"),
    "stop_signal": signal.SIGINT,
    "requires": frozenset({"gpu"}),
    "prefers": frozenset({"gpu"}),
    "handover": Handover.START_FIRST,
    "reconcile": Reconcile.KEEP_BEST,
}

TOML = st.recursive(
    st.one_of(
        st.integers(),
        st.floats(),
        st.booleans(),
        st.text(),
        st.datetimes(timezones=st.none() | st.timezones()),
        st.dates(),
        st.times(),
    ),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=10,
)


def read(source, path="/srv/app.toml", environ=None):
    [found] = parse_settings(dedent(source), Path(path), environ or {}).roles
    return found


def test_the_cluster_is_told_what_placement_needs():
    role = replace(
        ROLE,
        instances=3,
        requires=frozenset({"gpu"}),
        prefers=frozenset({"ssd"}),
        handover=Handover.START_FIRST,
        reconcile=Reconcile.KEEP_NEWEST,
        version=4,
        start_timeout=60.0,
    )
    assert role_spec(role) == RoleSpec(
        "x",
        instances=3,
        requires=frozenset({"gpu"}),
        prefers=frozenset({"ssd"}),
        digest=digest(role),
        version=4,
        handover=Handover.START_FIRST,
        reconcile=Reconcile.KEEP_NEWEST,
        start_within=65.0,
    )


def test_by_default_the_two_agree():
    assert role_spec(ROLE) == replace(RoleSpec("x"), digest=digest(ROLE))


def test_a_digest_is_short_and_always_the_same():
    # Were it another one, nodes of two releases would take each other's roles for changed ones.
    assert digest(ROLE) == "48f1e97ec38acb0c"
    assert digest(read(EVERYTHING)) == "f266f5500e01a539"


EVERYTHING = """
    [roles.x]
    module = "a:B"
    args = [{ z = 1, a = -0.5 }, nan, "é\\n", true, 1979-05-27, 07:32:00, 1979-05-27T07:32:00Z]
    environment = { B = "1", A = "2" }
    shutdown = "infinity"
"""


@pytest.mark.parametrize(("name", "value"), OTHERS.items(), ids=OTHERS)
def test_every_setting_counts(name, value):
    assert digest(replace(ROLE, **{name: value})) != digest(ROLE)


def test_every_setting_is_tested():
    assert {each.name for each in fields(ROLE)} == {*OTHERS, "version", "place", "folder"}


@pytest.mark.parametrize(
    ("name", "value"), [("version", 1), ("place", "x"), ("folder", Path("/y"))]
)
def test_some_say_nothing_of_what_runs(name, value):
    assert digest(replace(ROLE, **{name: value})) == digest(ROLE)


def test_the_way_of_writing_does_not_count():
    one = read(
        """
        [roles.x]
        module = "a:B"
        max_seconds = "2m"
        environment = { A = "1", B = "2" }
        requires = ["a", "b"]
        args = { a = 1, b = "${X}" }
        """,
        environ={"X": "x"},
    )
    two = read(
        """
        [roles.x]
        args.b = 'x'
        args.a = 0x1
        requires = ["b", "a", "a"]
        restart = "permanent"
        max_seconds = 120
        module = "a:B"
        [roles.x.environment]
        B = "2"
        A = "1"
        """
    )
    assert digest(one) == digest(two)


def test_machines_may_keep_the_files_in_different_folders(tmp_path):
    digests = set()
    for name in ("one", "two"):
        folder = tmp_path / name
        (folder / "inside").mkdir(parents=True)
        (folder / "program").touch(mode=0o700)
        source = '[roles.x]\ncommand = ["./program", "-v"]\nworking_directory = "inside"'
        role = read(source, folder / "app.toml")
        assert role.command == (f"{folder}/program", "-v")
        digests.add(digest(role))
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (1, "1"),
        (0.0, -0.0),
        ([], {}),
        ([], ""),
        ([[1], 2], [[1, 2]]),
        ([["a"], "b"], [["a", "b"]]),
        ({"a": {"b": 1}}, {"a": {}, "b": 1}),
        ("a\ntext 'b'", ["a", "b"]),
        ({"a": "b"}, ["a", "b"]),
    ],
)
def test_values_that_look_alike_are_told_apart(one, other):
    assert digest(replace(ROLE, args=one)) != digest(replace(ROLE, args=other))


@given(TOML)
def test_every_value_of_toml_has_a_digest(value):
    found = digest(replace(ROLE, args=value))
    assert re.fullmatch("[0-9a-f]{16}", found)
    assert digest(replace(ROLE, args=value)) == found


def test_a_value_may_be_nested_deeply_or_be_huge():
    deep: object = 1
    for _ in range(5000):
        deep = [deep]
    assert digest(replace(ROLE, args=deep)) != digest(ROLE)
    assert digest(replace(ROLE, args=1 << 100_000)) != digest(ROLE)


def test_other_processes_agree():
    """Python's own hashes of text are different in each of them."""
    program = """
from pathlib import Path
from beethoven.node.role_specs import digest
from beethoven.node.settings import RoleSettings
labels = frozenset(f"label-{number}" for number in range(20))
print(digest(RoleSettings("x", module="a:B", requires=labels)))
"""
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
