"""The ready-made roles: any program as a role, and two that answer."""

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from beethoven.roles import CommandRole, TestdRole, TestRole
from tests.nodes import all_gone, beethoven, node
from tests.processes import end, is_running, wait_until

pytestmark = pytest.mark.process


def command(*words: str, more: str = "") -> str:
    shown = ", ".join(f"'{word}'" for word in words)
    return f"[roles.it]\ncommand = [{shown}]\n{more}\n"


def program(running) -> int:
    """Return the pid of the program of the role `it`."""
    running.wait_running("it")
    return int(running.client.call("it", "pid"))


@pytest.mark.parametrize("role", [TestRole, TestdRole])
def test_the_roles_for_trying_out_answer(role):
    ref = role.start_link({"arg1": 1})
    assert ref.call(("echo", [1, 2])) == [1, 2]
    assert ref.call(["echo", None]) is None
    assert ref.call("args") == {"arg1": 1}
    assert ref.call("what") == "expected ('echo', value) or 'args', got: 'what'"
    end(ref)


def test_a_program_leads_a_process_group_of_its_own_in_the_session_of_its_role(tmp_path):
    with node(tmp_path, command("sleep", "1000")) as running:
        [role], pid = running.wait_running("it"), program(running)
        assert os.getpgid(pid) == pid
        assert os.getsid(pid) == role
        assert psutil.Process(pid).ppid() == role
        assert running.client.call("it", "command") == ["sleep", "1000"]
        running.wait_for("command_started", process="it", command_pid=pid)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 0", "normal"),
        ("exit 3", "exit code 3"),
        ("kill -SEGV $$$$", "signal SIGSEGV"),
        ("kill -KILL $$$$", "killed"),
        ("kill -TERM $$$$", "signal SIGTERM"),
    ],
)
def test_the_end_of_a_program_is_the_end_of_its_role(tmp_path, script, reason):
    with node(tmp_path, command("sh", "-c", script, more='restart = "temporary"')) as running:
        assert running.wait_state("it", "stopped")["last_exit"] == reason


def test_a_permanent_program_is_run_again_also_if_it_ended_well(tmp_path):
    script = f"echo x >> {tmp_path}/runs; exit 0"
    with node(tmp_path, command("sh", "-c", script, more="max_restarts = 2")) as running:
        running.wait_for("child_failed", child="it")
        ends, _, _ = running.log().partition(" child_failed ")
        assert ends.count(" child_terminated ") == 3
        # It is tried again soon.
        assert (tmp_path / "runs").read_text().startswith("x\n" * 3)


def test_a_program_gets_its_stop_signal_and_time_to_obey(tmp_path):
    trap = f"echo stopping > {tmp_path}/said; exit 0"
    script = f'trap "{trap}" USR1; echo up; while :; do sleep 0.05; done'
    more = 'stop_signal = "USR1"\nshutdown = 10'
    with node(tmp_path, command("sh", "-c", script, more=more)) as running:
        running.wait_for("printed", line="up")
        pid = program(running)
        assert running.stop() == 0
        assert (tmp_path / "said").read_text() == "stopping\n"
        assert not is_running(pid)
        assert not running.lines("shutdown_error")


@pytest.mark.parametrize("name", ["INT", "SIGINT", "TERM"])
def test_programs_heed_interrupts_although_roles_do_not(tmp_path, name):
    with node(tmp_path, command("sleep", "1000", more=f'stop_signal = "{name}"')) as running:
        pid = program(running)
        assert running.stop() == 0
        assert not is_running(pid)
        assert not running.lines("shutdown_error")


def test_a_program_that_does_not_obey_is_killed_with_all_it_started(tmp_path):
    script = 'trap "" TERM; sleep 1000 & echo $$!; setsid sleep 1001 & echo $$!; wait; wait'
    with node(tmp_path, command("sh", "-c", script, more="shutdown = 0.3")) as running:
        running.wait_for("printed", count=2)
        pids = [program(running), *(int(each["line"]) for each in running.lines("printed"))]
        assert running.stop() == 0
        assert all_gone(pids)
        assert running.lines("shutdown_error", child="it")


def test_what_a_program_has_started_dies_with_it(tmp_path):
    script = "sleep 1000 & echo $$!; setsid sleep 1001 & echo $$!; sleep 0.1; exit 3"
    with node(tmp_path, command("sh", "-c", script, more='restart = "temporary"')) as running:
        running.wait_state("it", "stopped")
        running.wait_for("printed", count=2)
        pids = [int(each["line"]) for each in running.lines("printed")]
        assert len(pids) == 2
        wait_until(lambda: all_gone(pids))


def test_a_killed_role_takes_its_program_along_at_once(tmp_path):
    script = 'trap "" TERM; sleep 1000 & echo $$!; setsid sleep 1001 & echo $$!; wait; wait'
    with node(tmp_path, command("sh", "-c", script, more="shutdown = 60")) as running:
        running.wait_for("printed", count=2)
        pids = [program(running), *(int(each["line"]) for each in running.lines("printed"))]
        [role] = running.wait_running("it")
        os.kill(role, signal.SIGKILL)
        # It would have 60 s.
        wait_until(lambda: all_gone(pids))
        running.wait_running("it", but=role)
        assert program(running) not in pids
        running.kill()


def test_a_program_that_is_not_there_is_told_by_check(tmp_path):
    for words, text in (
        (["no-such-program"], 'expected a program on PATH, got: "no-such-program"'),
        (["./here"], 'expected an executable file, got: "./here"\n  it does not exist'),
    ):
        config = tmp_path / "app.toml"
        config.write_text(command(*words), "utf-8")
        done = beethoven("check", config)
        assert (done.code, done.err) == (3, f"{config}:2: roles.it.command: {text}\n")


def test_a_program_that_has_gone_since_fails_its_role(tmp_path):
    script = tmp_path / "here"
    script.write_text("#!/bin/sh\nrm $0\nexit 1\n", "utf-8")
    script.chmod(0o755)
    with node(tmp_path, command("./here", more="max_restarts = 1")) as running:
        last_exit = running.wait_state("it", "failed")["last_exit"]
        assert "FileNotFoundError" in last_exit
        assert str(script) in last_exit


def test_a_program_gets_environment_folder_and_nothing_to_read(tmp_path):
    (tmp_path / "inside").mkdir()
    more = 'working_directory = "inside"\nenvironment = { WORD = "said" }\nrestart = "temporary"'
    script = "pwd; echo $$WORD; cat; ls /proc/self/fd | wc -l"
    with node(tmp_path, command("sh", "-c", script, more=more)) as running:
        running.wait_state("it", "stopped")
        running.wait_for("printed", count=3)
        lines = [each["line"] for each in running.lines("printed")]
        # `ls` has the three standard streams, and the folder that it reads.
        assert lines == [str(tmp_path / "inside"), "said", "4"]


def test_a_program_may_be_python_whose_output_is_a_pipe(tmp_path):
    source = "import sys, os; print(sys.stdout.isatty(), flush=True); os.abort()"
    more = 'restart = "temporary"'
    config = command(sys.executable, "-c", source, more=more)
    with node(tmp_path, config) as running:
        assert running.wait_state("it", "stopped")["last_exit"] == "signal SIGABRT"
        running.wait_for("printed", line="False")


def test_a_command_can_be_embedded_without_a_node(tmp_path):
    said = tmp_path / "said"
    ref = CommandRole.start_link({"command": ["sh", "-c", f"echo up > {said}; exec sleep 1000"]})
    pid = ref.call("pid")
    wait_until(said.exists)
    assert ref.call("anything") == "expected 'pid' or 'command', got: 'anything'"
    ref.cast("anything")
    assert ref.call("pid") == pid
    end(ref)
    assert not is_running(pid)
    assert not Path(f"/proc/{pid}").exists()
