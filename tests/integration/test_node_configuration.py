"""A configuration is checked completely before anything starts."""

import os
import textwrap
from pathlib import Path

import pytest

from beethoven.node.presence import running_nodes
from tests.nodes import beethoven, write
from tests.processes import is_running

pytestmark = pytest.mark.process


def refused(folder: Path, toml: str, *options: str) -> list[str]:
    """Return what `run` writes about a file that it refuses."""
    config = write(folder, textwrap.dedent(toml))
    done = beethoven("run", config, *options)
    assert done.code == 3, done
    assert done.out == ""
    assert "Traceback (most recent call last)" not in done.err
    assert running_nodes() == []
    return done.err.replace(f"{folder}/", "").splitlines()


def test_all_problems_are_told_at_once_each_with_its_place(tmp_path):
    said = refused(
        tmp_path,
        """\
        [beethoven]
        cluster_net_mask = "wide"
        listenerport = 33001

        [roles.one]
        module = "beethoven.roles:TestRole"
        instances = 0
        [roles.Two]
        command = []
        [roles.three]
        module = "beethoven.roles:TestRole"
        restart = "sometimes"
        """,
    )
    assert said == [
        "app.toml:2: beethoven.cluster_net_mask: "
        'expected an integer from 0 to 32, or to 128 for IPv6, got: "wide"',
        "app.toml:3: beethoven.listenerport: unknown key, did you mean 'listener_port'?",
        "app.toml:7: roles.one.instances: expected an integer >= 1, got: 0",
        "app.toml:8: roles.Two: expected a role name ([a-z][a-z0-9_-]*, at most 64 characters), "
        'got: "Two"',
        "app.toml:9: roles.Two.command: expected a list of strings, the program first, got: []",
        'app.toml:12: roles.three.restart: expected "permanent", "transient" or "temporary", '
        'got: "sometimes"',
    ]


def test_check_says_the_same_and_starts_nothing(tmp_path):
    config = write(tmp_path, "[roles.x]\ninstances = 0\n")
    done = beethoven("check", config)
    assert done.code == 3
    assert done.err == beethoven("run", config).err
    assert len(done.err.splitlines()) == 2


def test_check_accepts_what_is_right(tmp_path):
    config = write(tmp_path, '[roles.x]\nmodule = "beethoven.roles:TestRole"\n')
    done = beethoven("check", config)
    assert (done.code, done.out) == (0, f"{config}: ok, 1 role\n")
    assert beethoven("check", config, "--json").json == {"ok": True, "problems": [], "notes": []}


def test_check_tells_problems_as_json_too(tmp_path):
    config = write(tmp_path, "[roles.x]\ninstances = 0\n")
    done = beethoven("check", config, "--json")
    assert done.code == 3
    assert not done.json["ok"]
    assert len(done.json["problems"]) == 2


def test_a_missing_file_and_a_file_that_is_no_toml_are_told(tmp_path):
    done = beethoven("run", tmp_path / "none.toml")
    assert (done.code, done.err) == (3, f"{tmp_path}/none.toml: no such file\n")
    assert refused(tmp_path, "[roles") == [
        "app.toml:1:7: not valid TOML: Expected ']' at the end of a table declaration"
    ]


MODULES = {
    "missing": ("nowhere:Role", "no module named 'nowhere'"),
    "class missing": (
        "here:Rol",
        "the module 'here' has no class 'Rol', did you mean 'Role'?",
    ),
    "no class": ("here:thing", "expected 'here:thing' to be a class, got: int"),
    "no role": (
        "here:Plain",
        "expected 'here:Plain' to be a subclass of beethoven.runtime.role.Role, "
        "got: a subclass of object",
    ),
    "raises": (
        "raises:Role",
        "the module 'raises' could not be imported: ZeroDivisionError: division by zero",
    ),
    "exits": ("exits:Role", "importing the module ended Python with exit code 4"),
    "dies": ("dies:Role", "importing the module ended Python by SIGABRT"),
}

FILES = {
    "here": "from beethoven import Role\nthing = 1\nclass Plain: ...\n",
    "raises": "\n\n1 / 0\n",
    "exits": "import os; os._exit(4)\n",
    "dies": "import os; os.abort()\n",
    "good": "from beethoven import Role\nclass Good(Role): ...\n",
}


@pytest.fixture
def modules(tmp_path):
    for name, source in FILES.items():
        (tmp_path / f"{name}.py").write_text(source, "utf-8")


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize(("module", "text"), MODULES.values(), ids=MODULES)
def test_a_class_that_cannot_be_loaded_is_told_before_anything_starts(tmp_path, module, text):
    said = refused(tmp_path, f'[roles.good]\nmodule="good:Good"\n[roles.x]\nmodule = "{module}"')
    assert said[0] == f"app.toml:4: roles.x.module: {text}"


@pytest.mark.usefixtures("modules")
def test_an_import_error_shows_the_way_to_the_users_own_line(tmp_path):
    said = refused(tmp_path, '[roles.x]\nmodule = "raises:Role"')
    assert said[1:] == ['  File "raises.py", line 3, in <module>', "    1 / 0", "    ~~^~~"]


@pytest.mark.usefixtures("modules")
def test_a_module_that_ends_python_hides_no_other_problem(tmp_path):
    roles = [f'[roles.r{i}]\nmodule = "{m}"' for i, (m, _) in enumerate(MODULES.values())]
    said = refused(tmp_path, "\n".join(roles))
    for number, (_, text) in enumerate(MODULES.values()):
        assert f"app.toml:{2 * number + 2}: roles.r{number}.module: {text}" in said


def test_what_a_module_prints_when_it_is_imported_is_no_output_of_check(tmp_path):
    source = "from beethoven import Role\nprint('hello')\nclass Loud(Role): ...\n"
    (tmp_path / "loud.py").write_text(source, "utf-8")
    config = write(tmp_path, '[roles.x]\nmodule = "loud:Loud"')
    done = beethoven("check", config, "--json")
    assert done.json["ok"]
    assert done.err == "hello\n"


def test_what_a_module_starts_when_it_is_imported_does_not_outlive_the_check(tmp_path):
    source = """\
        import os, subprocess, threading
        from beethoven import Role
        threading.Thread(target=threading.Event().wait).start()
        with open("pid", "w") as file:
            file.write(str(subprocess.Popen(["sleep", "1000"]).pid))
        class Busy(Role): ...
        """
    (tmp_path / "busy.py").write_text(textwrap.dedent(source), "utf-8")
    config = write(tmp_path, '[roles.x]\nmodule = "busy:Busy"')
    environ = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = beethoven("check", config, cwd=tmp_path, env=environ)
    assert done.code == 0, done
    assert not is_running(int((tmp_path / "pid").read_text()))


def test_options_count_more_than_variables_and_these_more_than_the_file(tmp_path):
    config = write(tmp_path, '[beethoven]\nname = "Good Name"\n')
    environ = {**os.environ, "BEETHOVEN_NAME": "also wrong"}
    said = beethoven("run", config, "--name", "Wrong", env=environ).err
    assert said.startswith("--name: expected a node name ")
    assert beethoven("run", config, env=environ).err.startswith("BEETHOVEN_NAME: expected ")
    assert beethoven("run", config).err.startswith(f"{config}:2: beethoven.name: expected ")
