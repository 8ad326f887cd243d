"""Settings that a program gives: a file or tables, the environment, and options."""

from pathlib import Path

import pytest

from beethoven import start_node
from beethoven.errors import ConfigError
from beethoven.node.config import read_settings
from beethoven.node.given import given_settings

FILE = """
[beethoven]
name = "file"
listener_port = 1001
zone = "a"

[roles.echo]
module = "beethoven.roles:TestRole"
args = { greeting = "hi", sizes = [1, 2] }

[roles.other]
module = "beethoven.roles:TestRole"
"""
TABLES = {
    "beethoven": {"name": "file", "listener_port": 1001, "zone": "a"},
    "roles": {
        "echo": {
            "module": "beethoven.roles:TestRole",
            "args": {"greeting": "hi", "sizes": (1, 2)},
        },
        "other": {"module": "beethoven.roles:TestRole"},
    },
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "app.toml"
    path.write_text(FILE, "utf-8")
    return path


def settings(configuration=None, roles=None, environ=None, **options):
    return given_settings(configuration, roles or {}, options, environ or {})[0]


def problems(*args, **options):
    with pytest.raises(ConfigError) as caught:
        settings(*args, **options)
    return caught.value.problems


def test_a_file_says_what_it_says_to_a_node_of_its_own(file):
    assert settings(file) == settings(str(file)) == read_settings(file, {})


def test_tables_say_what_a_file_does(file):
    from_file, from_tables = settings(file), settings(TABLES)
    assert from_tables.roles == from_file.roles
    assert (from_tables.name, from_tables.zone) == (from_file.name, from_file.zone)


def test_paths_in_tables_are_relative_to_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert settings(cookie_file=Path("cookie")).cookie_file == tmp_path / "cookie"


def test_nothing_is_a_node_without_roles():
    assert settings().roles == ()


@pytest.mark.parametrize("configuration", [FILE, TABLES], ids=["file", "tables"])
def test_an_option_counts_more_than_the_environment_and_that_more_than_the_rest(
    configuration, file
):
    environ = {"BEETHOVEN_LISTENER_PORT": "1002", "BEETHOVEN_ZONE": "b"}
    given = file if configuration is FILE else configuration
    found = settings(given, environ=environ, zone="c")
    assert (found.name, found.listener_port, found.zone) == ("file", 1002, "c")


def test_roles_are_added_to_those_of_a_file(file):
    echo, new = {"module": "echo:Echo"}, {"command": ["sleep", "9"], "instances": 2}
    roles = {role.name: role for role in settings(file, {"echo": echo, "new": new}).roles}
    assert list(roles) == ["echo", "other", "new"]
    assert roles["echo"].module == "echo:Echo"
    assert roles["echo"].args == {}
    assert roles["new"].instances == 2


def test_sets_and_tuples_are_lists():
    assert settings(labels={"b", "a"}).labels == {"a", "b"}


def test_every_problem_says_where_it_is(file):
    wrong = {"module": "echo:Echo", "instances": 0}
    assert sorted(problems(file, {"echo": wrong}, nam="x", zone=5)) == [
        "start_node: nam: unknown key, did you mean 'name'?",
        "start_node: roles.echo.instances: expected an integer >= 1, got: 0",
        "start_node: zone: expected a zone (([A-Za-z0-9][A-Za-z0-9._=:/-]*)?, "
        "at most 64 characters), got: 5",
    ]
    assert problems({"roles": {"echo": wrong}}) == [
        "start_node: roles.echo.instances: expected an integer >= 1, got: 0"
    ]
    assert problems({"roles": 5}) == ["start_node: roles: expected a table, got: 5"]
    assert problems({"roles": 5}, {"echo": wrong}) == [
        "start_node: roles: expected a table, got: 5"
    ]
    assert problems("no.toml") == ["no.toml: no such file"]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "start_node: roles.echo.args.x: expected a value as TOML has them, got: None"),
        ([b""], "start_node: roles.echo.args.x[0]: expected a value as TOML has them, got: b''"),
        (
            Path,
            "start_node: roles.echo.args.x: expected a value as TOML has them, "
            f"got: {Path!r}; a class is named by its module, as in 'counter:Path'",
        ),
        ({5: 5}, "start_node: roles.echo.args.x: expected keys that are strings, got: 5"),
    ],
)
def test_what_no_file_could_hold_is_refused(value, problem):
    role = {"module": "echo:Echo", "args": {"x": value}}
    assert problems(None, {"echo": role}) == [problem]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"config": 5}, ["config: expected the path of a configuration file, a dict"]),
        ({"roles": ["a:B"]}, ["roles: expected a dict of tables"]),
        ({"roles": int, "timeout": "x"}, ["roles: expected a dict", "timeout: expected seconds"]),
        ({"timeout": float("nan")}, ["timeout: expected seconds >= 0, got: nan"]),
        ({"wait": 3, "log": 1.5}, ["wait: expected True or False", "log: expected a file"]),
    ],
)
def test_arguments_of_another_kind_are_refused_by_name(arguments, found):
    with pytest.raises(ConfigError) as refused:
        start_node(**arguments)
    told = refused.value.problems
    assert len(told) == len(found)
    for problem, beginning in zip(told, found, strict=True):
        assert problem.startswith(f"start_node: {beginning}")
