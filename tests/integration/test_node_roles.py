"""What becomes of roles that cannot start, keep crashing, hang or end; siblings never care."""

import json
import textwrap

import pytest

from tests.nodes import beethoven, node
from tests.processes import wait_until

pytestmark = pytest.mark.process

STEADY = """
[roles.steady]
module = "tests.integration.node_roles:Obedient"
args = { one = 1, list = ["a", 2.5, true] }
environment = { GREETING = "hi ${USER_OF_TEST:-you}" }
"""


def bad(name: str, more: str = "") -> str:
    return f'{STEADY}\n[roles.bad]\nmodule = "tests.integration.node_roles:{name}"\n{more}'


def test_one_instance_of_each_role_runs_whatever_is_wanted(tmp_path):
    with node(tmp_path, f"{STEADY}\ninstances = 1\n".replace("instances = 1", "")) as running:
        assert [role["running"] for role in running.status()["roles"]] == [1]
    config = """
        [roles.a]
        module = "beethoven.roles:TestRole"
        instances = 3
        [roles.b]
        module = "beethoven.roles:TestdRole"
        """
    with node(tmp_path, textwrap.dedent(config)) as running:
        shown = [(role["wanted"], role["running"]) for role in running.status()["roles"]]
        assert shown == [(3, 1), (1, 1)]
        assert beethoven("status").code == 0
        tree = running.client.tree()
        names = {
            child["id"]: [each["id"] for each in child["children"]] for child in tree["children"]
        }
        components = ["core_server", "beacon_server", "locator", "allocator", "role_server"]
        components += ["groups", "task_supervisor"]
        assert names == {"role_supervisor": ["a", "b"], **{each: [] for each in components}}


def test_a_role_gets_its_args_environment_and_folder(tmp_path):
    (tmp_path / "inside").mkdir()
    with node(tmp_path, f"{STEADY}\n[roles.steady.x]\n".replace("[roles.steady.x]", "")) as running:
        ask = running.client.call
        assert ask("steady", "args") == {"one": 1, "list": ["a", 2.5, True]}
        assert ask("steady", "environment")["GREETING"] == "hi you"
    placed = STEADY.replace("args", 'working_directory = "inside"\nargs')
    with node(tmp_path, placed) as running:
        assert running.client.call("steady", "folder") == str(tmp_path / "inside")


def test_a_role_finds_its_module_beside_the_configuration(tmp_path):
    source = """\
        from beethoven import Role
        class Near(Role):
            def handle_call(self, request, caller):
                return [request, __name__]
        """
    (tmp_path / "near.py").write_text(textwrap.dedent(source), "utf-8")
    with node(tmp_path, '[roles.near]\nmodule = "near:Near"') as running:
        assert running.client.call("near", 1) == [1, "near"]


@pytest.mark.parametrize(
    ("name", "more", "reason"),
    [
        ("RaisesInInit", "", "RuntimeError: no database"),
        ("CrashesAtOnce", "", "KeyError: 'lost'"),
        ("HangsInInit", "start_timeout = 0.3\nmax_restarts = 1", "start_timeout: 0.3 s"),
        ("PrintsAndDies", "max_restarts = 1", "killed"),
    ],
)
def test_a_role_that_keeps_failing_is_told_as_failed_and_tried_again(tmp_path, name, more, reason):
    with node(tmp_path, bad(name, more)) as running:
        [steady] = running.wait_running("steady")
        wait_until(lambda: running.lines("child_failed", child="bad"), 30)
        instance = running.instance("bad")
        assert instance["last_exit"] == reason
        first = running.lines("child_failed", child="bad")[0]
        assert first["reason"] == reason
        assert first["level"] == "error"
        # The back-off begins at half a second and doubles.
        running.wait_for("child_failed", child="bad", count=2)
        assert running.lines("child_failed", child="bad")[1]["failures"] == "2"
        # It may run for a moment whenever it is tried again.
        wait_until(lambda: beethoven("status").code == 3)
        assert running.wait_running("steady") == [steady]
        assert running.client.call("steady", "pid") == steady
        assert running.instance("steady")["restarts"] == 0


def test_a_crash_is_logged_with_its_traceback_and_pid(tmp_path):
    with node(tmp_path, bad("CrashesAtOnce")) as running:
        ended = running.wait_for("child_terminated", child="bad")
        assert ended["level"] == "warning"
        assert ended["reason"] == "KeyError: 'lost'"
        assert ended["child_pid"].isdigit()
        assert 'raise KeyError("lost")' in ended["traceback"]


def test_a_module_that_breaks_after_the_check_fails_its_own_role_only(tmp_path):
    module = tmp_path / "fragile.py"
    module.write_text(
        "import pathlib\nif pathlib.Path(__file__).with_name('broken').exists():\n"
        "    import os; os._exit(9)\nfrom beethoven import Role\nclass Fragile(Role): ...\n",
        "utf-8",
    )
    config = f'{STEADY}\n[roles.bad]\nmodule = "fragile:Fragile"\nmax_restarts = 0\n'
    # Without a preloaded copy every start imports the module.
    with node(tmp_path, config) as running:
        [steady] = running.wait_running("steady")
        running.wait_running("bad")
        (tmp_path / "broken").touch()
        module.write_text(module.read_text() + "\n", "utf-8")
        running.client.process("bad").stop("shutdown")
        running.wait_running("steady")
        assert running.wait_running("steady") == [steady]


def test_work_that_is_done_stays_done(tmp_path):
    count = tmp_path / "count"
    config = textwrap.dedent(
        f"""
        {STEADY}
        [roles.job]
        command = ["sh", "-c", "echo run >> {count}; echo done"]
        restart = "transient"
        """
    )
    with node(tmp_path, config) as running:
        job = running.wait_state("job", "stopped")
        assert (job["last_exit"], job["pid"], job["restarts"]) == ("normal", None, 0)
        assert running.wait_for("role_ended", role="job")["reason"] == "normal"
        server = running.component("role_server")
        kill(server)
        running.component("role_server", but=server)
        running.client.restart("steady")
        assert running.state("job") == "stopped"
        assert count.read_text() == "run\n"
        status = beethoven("status", "--json")
        assert status.code == 0
        assert json.loads(status.out)["roles"][1]["running"] == 0


def test_a_temporary_role_that_fails_is_not_tried_again_and_shows(tmp_path):
    with node(tmp_path, bad("CrashesAtOnce", 'restart = "temporary"')) as running:
        assert running.wait_state("bad", "stopped")["last_exit"] == "KeyError: 'lost'"
        assert beethoven("status").code == 3
        running.client.restart("steady")
        running.wait_for("child_terminated", child="bad")
        assert len(running.lines("child_terminated", child="bad")) == 1


def kill(pid: int) -> None:
    import os
    import signal

    os.kill(pid, signal.SIGKILL)
