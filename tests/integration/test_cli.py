"""The verbs: what they print, where, and how they exit."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from beethoven.cli.main import VERBS
from tests.nodes import ONE_ROLE, PYTHON, all_gone, alone, beethoven, node
from tests.processes import is_running, wait_until

pytestmark = pytest.mark.process

OBEDIENT = """
[roles.it]
module = "tests.integration.node_roles:Obedient"
"""


@pytest.fixture
def echo(tmp_path):
    with node(tmp_path, ONE_ROLE) as running:
        yield running


@pytest.fixture
def it(tmp_path):
    with node(tmp_path, OBEDIENT) as running:
        yield running


def call(request: object, *options: str):
    return beethoven("call", "it", json.dumps(request), *options)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_the_exit_codes(verb):
    done = beethoven(verb, "--help")
    assert done.code == 0
    assert f"usage: beethoven {verb}" in done.out
    assert "exit codes:" in done.out


def test_a_wrong_command_line_exits_2_with_the_usage_on_standard_error():
    for arguments in (["frob"], [], ["call", "x"], ["call", "x", "{"], ["status", "--jsn"]):
        done = beethoven(*arguments)
        assert (done.code, done.out) == (2, "")
        assert "usage: beethoven" in done.err
    done = beethoven("call", "x", "1", "--timeout", "-1")
    assert "expected seconds from 0 to 1000000, got: '-1'" in done.err


def test_version_tells_of_python_too():
    facts = beethoven("version", "--json").json
    assert set(facts) == {"beethoven", "python", "platform"}
    assert beethoven("version").out.startswith(f"beethoven {facts['beethoven']} python ")


def test_no_verb_finds_a_node_where_none_runs():
    for verb in (["tree"], ["call", "x", "1"], ["restart", "x"], ["stop"]):
        done = beethoven(*verb)
        assert (done.code, done.out) == (1, ""), verb
        assert done.err == "beethoven: no node runs on this machine for this user\n"
    done = beethoven("status")
    assert (done.code, done.out) == (3, "")


def test_a_bare_path_means_run(tmp_path):
    (tmp_path / "app.toml").write_text("[beethoven]\nname = 1\n", "utf-8")
    environ = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    bare, run = (beethoven(*verb, "app.toml", cwd=tmp_path, env=environ) for verb in ([], ["run"]))
    assert (bare.code, bare.err) == (run.code, run.err) == (3, run.err)
    assert run.err.startswith("app.toml:2: beethoven.name: expected ")


def test_status_tells_of_the_node_its_members_and_its_roles(echo):
    done = beethoven("status", "--json")
    assert done.code == 0, done
    status = done.json
    moment = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
    instance = status["roles"][0]["instances"][0]
    assert moment.fullmatch(status["node"].pop("since"))
    assert moment.fullmatch(instance.pop("since"))
    assert is_running(instance.pop("pid"))
    [member] = status["members"]
    assert moment.fullmatch(member.pop("since"))
    assert re.fullmatch("[0-9a-f]{16}", member.pop("node_id"))
    facts = {"name": "beethoven", "address": echo.address}
    state = {"state": "standalone", "pid": echo.pid, "coordinator": "beethoven"}
    alive = {"state": "alive", "labels": [], "zone": "", "machine": "", "roles": ["echo"]}
    assert status == {
        "node": {**facts, **state},
        "members": [{**facts, **alive}],
        "roles": [
            {
                "name": "echo",
                "wanted": 1,
                "eligible": 1,
                "running": 1,
                "instances": [
                    {"node": "beethoven", "state": "running", "restarts": 0, "last_exit": None}
                ],
            }
        ],
        "azure": None,
    }


def test_status_and_tree_are_plain_lines_without_a_terminal(echo):
    [pid] = echo.wait_running("echo")
    status, tree = beethoven("status").out, beethoven("tree").out
    first, header, row = status.splitlines()
    assert first == f"node beethoven  {echo.address}  standalone  pid {echo.pid}"
    assert " ".join(header.split()) == "ROLE RUNNING NODE PID STATE RESTARTS SINCE LAST EXIT"
    assert row.split()[:6] == ["echo", "1/1", "beethoven", str(pid), "running", "0"]
    assert tree.splitlines() == [
        f"root  running  pid {echo.pid}",
        f"├─ role_supervisor  running  pid {echo.component('role_supervisor')}",
        f"│  └─ echo  running  pid {pid}",
        *(
            f"├─ {name}  running  pid {echo.component(name)}"
            for name in (
                *("core_server", "beacon_server", "locator", "allocator", "role_server"),
                "groups",
            )
        ),
        f"└─ task_supervisor  running  pid {echo.component('task_supervisor')}",
    ]
    assert beethoven("tree", "--json").json["children"][0]["children"][0]["id"] == "echo"


def test_a_role_that_does_not_run_makes_status_exit_3(tmp_path):
    config = '[roles.bad]\nmodule = "tests.integration.node_roles:RaisesInInit"\nmax_restarts = 0'
    with node(tmp_path, config) as running:
        running.wait_state("bad", "failed")
        done = beethoven("status", "--json")
        assert done.code == 3
        assert done.json["roles"][0]["instances"][0]["last_exit"] == "RuntimeError: no database"
        assert "RuntimeError: no database" in beethoven("status").out
        calls = (beethoven("call", "--timeout", "0.2", "bad", "1") for _ in range(5))
        # It is tried again with growing pauses: a call that meets an attempt hears how that ends.
        done = next(each for each in calls if "(pid" not in each.err)
        assert done.code == 1
        assert done.err.startswith("beethoven: role 'bad' does not run: ")
        assert done.err.endswith(" on beethoven, last exit: RuntimeError: no database\n")


def test_call_prints_the_reply_as_json(echo):
    reply = beethoven("call", "echo", '["echo", {"a": [1, null, "ü"]}]').json
    assert reply == {"a": [1, None, "ü"]}
    assert beethoven("call", "echo", '"args"').json == {"greeting": "hi"}
    done = beethoven("call", "echo", '["echo", "hi"]')
    assert (done.code, done.out, done.err) == (0, '"hi"\n', "")


def test_a_call_to_a_role_that_is_not_there_says_so(echo):
    done = beethoven("call", "ehco", "1")
    assert (done.code, done.out) == (1, "")
    expected = "beethoven: the cluster has no role 'ehco', did you mean 'echo'?\n"
    assert done.err == expected
    assert "has no role 'ehco', did you mean 'echo'?" in beethoven("restart", "ehco").err
    done = beethoven("call", "beethoven.role_supervisor", '["terminate_child", "echo"]')
    assert done.code == 1
    assert "not of a part of the node" in done.err
    assert echo.state("echo") == "running"


def test_a_call_that_brings_no_reply_says_why_on_one_line(it):
    failures = {
        "silence": r"no reply within 0\.5 s",
        "raise": r"exited: ValueError: as told",
        "exit": r"exited: exit code 7",
        "segfault": r"exited: signal SIGSEGV",
        "bytes": r"expected a reply that JSON can show, got: bytes: .*",
        "lambda": r"expected a reply that can be pickled, got: .*",
        "nan": r"expected a reply that JSON can show, got: float: .*",
    }
    for request, text in failures.items():
        it.wait_running("it")
        done = call(request, "--timeout", "0.5" if request == "silence" else "10")
        assert (done.code, done.out) == (1, ""), done
        assert re.fullmatch(f"beethoven: .*{text}\n", done.err), done


def test_half_a_character_is_printed_escaped(it):
    assert it.state("it") == "running"
    assert call("half").out == '"\\ud800"\n'


def test_deep_and_large_requests_are_told_or_answered(echo):
    assert beethoven("call", "echo", "[" * 100_000).code == 2
    large = json.dumps(["echo", "x" * 100_000])
    assert len(beethoven("call", "echo", large).json) == 100_000
    assert echo.state("echo") == "running"


def test_restart_gives_a_new_process_and_counts_no_failure(it):
    [before] = it.wait_running("it")
    done = beethoven("restart", "it")
    [after] = it.wait_running("it", but=before)
    assert (done.code, done.out) == (0, f"it runs again, pid {after}\n")
    assert it.instance("it")["restarts"] == 0
    assert not is_running(before)
    it.wait_for("role_restarting", role="it")
    assert not it.lines("child_terminated")


def test_restart_starts_work_anew_that_had_ended(tmp_path):
    work = f'["sh", "-c", "echo ran >> {tmp_path}/work"]'
    with node(tmp_path, f'[roles.job]\ncommand = {work}\nrestart = "transient"') as running:
        running.wait_state("job", "stopped")
        done = beethoven("restart", "job")
        assert done.code == 0, done
        wait_until(lambda: (tmp_path / "work").read_text().count("ran") == 2)


def test_restart_of_a_failed_role_tries_it_at_once_and_tells_the_reason(tmp_path):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    config = f'[roles.job]\ncommand = ["{program}"]\nmax_restarts = 0'
    with node(tmp_path, config) as running:
        assert running.wait_state("job", "failed")["last_exit"] == "exit code 3"
        program.unlink()
        done = beethoven("restart", "job")
        assert done.code == 1, done
        assert "role 'job' does not run on node 'beethoven': failed, last exit: " in done.err
        assert "FileNotFoundError" in done.err
        program.write_text("#!/bin/sh\nexec sleep 1000\n")
        program.chmod(0o755)
        done = beethoven("restart", "job")
        assert done.code == 0, done
        assert running.state("job") == "running"


def test_stop_returns_when_everything_is_gone(echo):
    pids = echo.everything()
    assert len(pids) >= 5
    done = beethoven("stop")
    assert (done.code, done.out) == (0, "node beethoven stopped\n")
    assert all_gone(pids)
    assert echo.wait() == 0
    assert beethoven("stop").code == 1


def test_a_second_run_of_the_same_name_exits_5(echo):
    done = beethoven("run", echo.config, env=alone(echo.config))
    assert done.code == 5
    assert done.err == (
        f"beethoven: a node named 'beethoven' is already running, pid {echo.pid};"
        " to run another one beside it, give it another name (--name, or name=)\n"
    )
    assert echo.state("echo") == "running"


def test_of_several_nodes_one_is_chosen_by_name(tmp_path):
    (tmp_path / "other").mkdir()
    with node(tmp_path, ONE_ROLE, "--name", "a") as a:
        with node(tmp_path / "other", ONE_ROLE, "--name", "b", ready=False) as b:
            b.wait_for("role_started")
            for verb in (["tree"], ["call", "echo", "1"], ["restart", "echo"], ["stop"]):
                done = beethoven(*verb)
                assert done.code == 1, done
                choice = "choose one: --node NAME, or connect(node=NAME) in a program"
                assert done.err == f"beethoven: several nodes run here: a, b; {choice}\n"
            for name, one in (("a", a), ("b", b)):
                status = beethoven("status", "--json", "--node", name).json
                assert (status["node"]["name"], status["node"]["pid"]) == (name, one.pid)
            environ = {**os.environ, "BEETHOVEN_NODE": "b"}
            assert beethoven("stop", env=environ).out == "node b stopped\n"
            done = beethoven("status", "--node", "b")
            assert done.err == (
                "beethoven: no node named 'b' runs on this machine for this user; running: a\n"
            )
        assert beethoven("status").code == 0


def test_what_is_piped_into_a_program_that_stops_reading_is_no_error(echo):
    line = f"{' '.join(PYTHON)} status --json | head -c 1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("{", "")
    assert echo.state("echo") == "running"


def test_a_verb_that_is_interrupted_exits_130(it):
    process = subprocess.Popen(
        [*PYTHON, "call", "it", '"silence"', "--timeout", "60"], stderr=subprocess.PIPE
    )
    wait_until(lambda: has_socket(process.pid))
    process.send_signal(signal.SIGINT)
    assert process.communicate()[1] == b""
    assert process.returncode == 130
    assert it.state("it") == "running"


def has_socket(pid: int) -> bool:
    for each in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if str(each.readlink()).startswith("socket:"):
                return True
        except OSError:
            continue
    return False
