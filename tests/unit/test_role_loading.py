"""The class of a role is found, or it is said why not."""

import sys
import textwrap

import pytest

from beethoven.errors import ConfigError
from beethoven.node.role_loading import load_role, role_problems
from beethoven.node.settings import RoleSettings
from beethoven.roles import TestRole as Echo
from beethoven.runtime.role import Role


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module that can be imported in this test."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def make(name, source):
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(source), "utf-8")

    yield make
    for name in set(sys.modules) - before:
        del sys.modules[name]


def problem(path):
    with pytest.raises(ConfigError) as caught:
        load_role(path, Role)
    [text] = caught.value.problems
    return text


def test_a_class_is_found_by_its_path(module):
    module("good", "from beethoven import Role\nclass Outer:\n    class Inner(Role): ...\n")
    assert load_role("beethoven.roles:TestRole", Role) is Echo
    assert load_role("good:Outer.Inner", Role).__name__ == "Inner"


def test_it_is_said_which_module_is_missing(module):
    module("folder.there", "")
    module("imports", "import nowhere.at_all\n")
    assert problem("nowhere:Role") == "no module named 'nowhere'"
    assert problem("folder.gone:Role") == "no module named 'folder.gone'"
    assert problem("folder.there.deeper:Role").startswith("no module named 'folder.there.deeper'")
    text = problem("imports:Role")
    assert text.startswith(
        "the module 'imports' could not be imported: "
        "ModuleNotFoundError: No module named 'nowhere'\n"
    )
    assert "import nowhere.at_all" in text


def test_the_nearest_class_is_named(module):
    module("near", "class Counter: ...\nCount = 3\n")
    assert problem("near:Countr") == (
        "the module 'near' has no class 'Countr', did you mean 'Counter'?"
    )
    assert problem("near:Xyz") == "the module 'near' has no class 'Xyz'"
    assert problem("near:Counter.Inner") == "the module 'near' has no class 'Counter.Inner'"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("thing = print", "expected 'odd:thing' to be a class, got: builtin_function_or_method"),
        (
            "class thing(dict): ...",
            "expected 'odd:thing' to be a subclass of beethoven.runtime.role.Role, "
            "got: a subclass of dict",
        ),
    ],
)
def test_what_is_no_role_is_told(module, source, text):
    module("odd", source)
    assert problem("odd:thing") == text


@pytest.mark.parametrize(
    ("source", "summary"),
    [
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def broken(:\n", "SyntaxError: "),
        ("\0", ""),
    ],
)
def test_an_error_of_the_module_is_told_on_one_line_with_the_way_there(module, source, summary):
    module("bad", source)
    first, *way = problem("bad:Role").splitlines()
    assert first.startswith(f"the module 'bad' could not be imported: {summary}")
    assert not any("importlib" in line or "role_loading" in line for line in way)


def test_a_lazy_module_that_fails_is_told(module):
    module("lazy", "def __getattr__(name):\n    raise RuntimeError(name)\n")
    text = problem("lazy:Role")
    assert text.startswith("the module 'lazy' could not be imported: RuntimeError: Role")


def test_the_problems_of_all_roles_are_told_with_their_places():
    roles = [
        RoleSettings("a", module="nowhere:A", place="app.toml:2: roles.a.module"),
        RoleSettings("b", module="beethoven.roles:TestRole", place="b"),
        RoleSettings("c", command=("true",), place="c"),
        RoleSettings("d", module="beethoven.roles:Testrole", place="app.toml:9: roles.d.module"),
    ]
    assert role_problems(roles, Role) == [
        "app.toml:2: roles.a.module: no module named 'nowhere'",
        "app.toml:9: roles.d.module: the module 'beethoven.roles' has no class 'Testrole', "
        "did you mean 'TestRole'?",
    ]


def test_the_main_module_is_another_one_in_every_process():
    assert role_problems([RoleSettings("a", module="__main__:Mine", place="a")], Role) == [
        "a: expected the module to be the file that has the class, as in 'app:Mine' for app.py, "
        "got: '__main__:Mine'"
    ]
