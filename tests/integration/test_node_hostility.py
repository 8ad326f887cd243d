"""What a careless or hostile operator may do to a node, and what it makes of that."""

import os
import signal
import socket
import subprocess
from functools import partial
from pathlib import Path

import pytest

from tests.nodes import ONE_ROLE, PYTHON, Node, alone, beethoven, node, write
from tests.processes import wait_until

pytestmark = pytest.mark.process


def test_junk_on_every_socket_disturbs_nobody(tmp_path):
    with node(tmp_path, ONE_ROLE) as running:
        folder = Path(running.client.presence.folder)
        held = []
        for path in [*folder.glob("*.s"), *folder.glob("*.f")]:
            for junk in (b"", b"\0" * 3, b"junk" * 1000, b"\xff" * 64):
                stream = socket.socket(socket.AF_UNIX)
                stream.connect(str(path))
                stream.sendall(junk)
                held.append(stream)
        [echo] = running.wait_running("echo")
        assert beethoven("call", "echo", '["echo", 1]').out == "1\n"
        os.kill(echo, signal.SIGKILL)
        running.wait_running("echo", but=echo)
        running.wait_for("child_started", child="echo")
        for stream in held:
            stream.close()
        assert running.stop() == 0


def test_a_storm_of_signals_is_weathered(tmp_path):
    with node(tmp_path, ONE_ROLE) as running:
        for _ in range(100):
            for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD):
                running.signal(number)
        assert beethoven("call", "echo", '["echo", 1]').out == "1\n"
        for _ in range(20):
            running.signal(signal.SIGTERM)
        assert running.wait() == 0


def test_of_nodes_that_start_at_the_same_moment_one_runs(tmp_path):
    config = write(tmp_path, ONE_ROLE)
    runs = [
        subprocess.Popen(
            [*PYTHON, "run", str(config)], stdout=subprocess.DEVNULL, stderr=-1, env=alone(config)
        )
        for _ in range(4)
    ]
    wait_until(lambda: sum(run.poll() == 5 for run in runs) == 3, 30)
    wait_until(lambda: beethoven("status").code == 0, 30)
    assert beethoven("stop").code == 0
    for run in runs:
        _, said = run.communicate()
        assert run.returncode in {0, 5}
        if run.returncode == 5:
            assert said.startswith(b"beethoven: a node named 'beethoven' is already running")


def test_a_root_that_is_killed_while_it_starts_keeps_nobody_from_starting(tmp_path):
    config = write(tmp_path, ONE_ROLE)
    for step in range(10):
        begun = Node(config)
        wait_until(partial(has_processes, begun, step % 4 + 1))
        begun.kill()
    with node(tmp_path, ONE_ROLE) as running:
        assert running.client.call("echo", ("echo", 1)) == 1
        assert running.stop() == 0


def has_processes(running: Node, count: int) -> bool:
    return len(running.everything()) >= count


def test_a_full_disk_costs_the_log_and_nothing_else(tmp_path):
    with Path("/dev/full").open("wb") as full, node(tmp_path, ONE_ROLE, stdout=full) as running:
        [echo] = running.wait_running("echo")
        os.kill(echo, signal.SIGKILL)
        running.wait_running("echo", but=echo)
        assert running.stop() == 0


def test_few_descriptors_cost_some_roles_and_no_others(tmp_path):
    roles = "".join(
        f'[roles.r{n}]\nmodule = "beethoven.roles:TestRole"\nmax_restarts = 0\n' for n in range(40)
    )
    config = write(tmp_path, roles)
    line = f"ulimit -n 64; exec {' '.join(PYTHON)} run {config}"
    process = subprocess.Popen(["sh", "-c", line], stdout=subprocess.DEVNULL, env=alone(config))
    try:
        wait_until(lambda: "Too many open files" in beethoven("status").out, 30)
        wait_until(lambda: beethoven("status").out.count(" running ") > 10, 30)
        assert beethoven("call", "r0", '["echo", 1]').out == "1\n"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_a_stale_or_broken_file_of_a_node_is_no_node(tmp_path):
    base = Path(os.environ["BEETHOVEN_RUNTIME_DIR"])
    for name, content in (("a", ""), ("b", "{"), ("c", '{"name": "c"}')):
        (base / f"node-{name}").write_text(content)
    try:
        assert beethoven("status").code == 3
        with node(tmp_path, ONE_ROLE, "--name", "b") as running:
            assert running.status()["node"]["name"] == "b"
    finally:
        for path in base.glob("node-*"):
            path.unlink()


def test_a_runtime_folder_that_others_may_enter_is_refused(tmp_path):
    open_to_all = tmp_path / "open"
    open_to_all.mkdir(mode=0o755)
    config = write(tmp_path, ONE_ROLE)
    environ = {**alone(config), "BEETHOVEN_RUNTIME_DIR": str(open_to_all)}
    for verb in (["status"], ["run", config]):
        done = beethoven(*verb, env=environ)
        assert done.code in {1, 3}, done
        assert "expected a folder of this user with mode 0700" in done.err
        assert "Traceback" not in done.err
