"""Any process of a node may be killed, several times in a row, and the node goes on."""

import contextlib
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from beethoven import clock
from tests.nodes import ONE_ROLE, Node, all_gone, beethoven, node, wait_ready
from tests.processes import is_running, shortest, wait_until

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

ROLES = ("one", "two")
TIMES = 5
# What the promise allows. Whatever else runs on the machine only lengthens it.
SOON = 1.0
# In the file a dollar sign is written twice.
PROGRAM = 'trap "" TERM; sleep 1000 & echo program $$$$ $$!; wait'


class Lines(NamedTuple):
    word: str
    role: str
    pid: int
    at: float


def configuration(folder: Path) -> str:
    tables = [
        f'[roles.{role}]\nmodule = "tests.integration.node_roles:Journal"\n'
        f'args = {{ role = "{role}", file = "{folder}/journal" }}\nmax_restarts = 100\n'
        for role in ROLES
    ]
    program = f"[roles.program]\ncommand = ['sh', '-c', '{PROGRAM}']\nmax_restarts = 100\n"
    return "\n".join([*tables, f"{program}shutdown = 0.2\n"])


@pytest.fixture
def running(tmp_path):
    with node(tmp_path, configuration(tmp_path)) as running:
        running.wait_for("printed", process="program")
        yield running
        assert "overlap" not in [each.word for each in journal(tmp_path)]


def journal(folder: Path) -> list[Lines]:
    lines = (folder / "journal").read_text("utf-8").splitlines()
    return [Lines(w, r, int(p), float(t)) for w, r, p, t in map(str.split, lines)]


def started(folder: Path) -> list[int]:
    """Return the pids of the instances that have started."""
    return [each.pid for each in journal(folder) if each.word == "start"]


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def until_gone(pids: list[int]) -> float:
    """Wait until none of the processes runs any more; return how long that took."""
    begun = clock.monotonic()
    wait_until(partial(all_gone, pids))
    return clock.monotonic() - begun


def program(running: Node, number: int) -> list[int]:
    """Return the pids of the `number`-th program that a role has run, and of its child."""
    running.wait_for("printed", process="program", count=number)
    lines = [each["line"] for each in running.lines("printed", process="program")]
    assert all(line.startswith("program ") for line in lines), lines
    return [int(each) for each in lines[number - 1].split()[1:]]


def test_roles_run_on_while_the_role_server_is_killed(running, tmp_path):
    before = running.wait_running(*ROLES, "program")
    for _ in range(TIMES):
        server = running.component("role_server")
        kill(server)
        running.component("role_server", but=server)
        assert running.client.status()["node"]["pid"] == running.pid
    assert running.wait_running(*ROLES, "program") == before
    assert len(started(tmp_path)) == len(ROLES)


def test_killed_role_supervisors_take_their_roles_along_and_all_come_back(running, tmp_path):
    took = []
    for number in range(1, TIMES + 1):
        before = running.wait_running(*ROLES, "program")
        supervisor = running.component("role_supervisor")
        gone = [*before, *program(running, number)]
        kill(supervisor)
        took.append(until_gone(gone))
        running.component("role_supervisor", but=supervisor)
        after = running.wait_running(*ROLES, "program")
        assert not set(before) & set(after)
    assert min(took) < SOON, took
    assert len(started(tmp_path)) == len(ROLES) * (TIMES + 1)


def test_killed_roles_come_back_and_their_siblings_do_not_notice(running):
    [two] = running.wait_running("two")
    for _ in range(TIMES):
        [one] = running.wait_running("one")
        kill(one)
        running.wait_running("one", but=one)
    assert running.wait_running("two") == [two]
    assert running.instance("one")["restarts"] == TIMES
    assert running.instance("one")["last_exit"] == "killed"
    running.wait_for("child_terminated", count=TIMES, child="one", reason="killed")


def test_a_killed_command_role_takes_its_program_along(running):
    took = []
    for number in range(1, TIMES + 1):
        pids = program(running, number)
        [role] = running.wait_running("program")
        kill(role)
        took.append(until_gone(pids))
        running.wait_running("program", but=role)
    assert min(took) < SOON, took


def test_a_killed_program_ends_its_role_which_comes_back(running):
    for number in range(1, TIMES + 1):
        pids = program(running, number)
        [role] = running.wait_running("program")
        kill(pids[0])
        running.wait_running("program", but=role)
        assert all_gone(pids)
    assert running.instance("program")["last_exit"] == "killed"


def test_roles_run_on_without_the_fork_server_and_later_kills_still_restart(running):
    before = running.wait_running(*ROLES, "program")
    kill(running.fork_server())
    for number in range(1, TIMES + 1):
        [one] = running.wait_running("one")
        assert (one == before[0]) == (number == 1)
        kill(one)
        running.wait_running("one", but=one)
    assert running.wait_running("two", "program") == before[1:]
    took = []
    for number in range(1, TIMES + 1):
        pids, [role] = program(running, number), running.wait_running("program")
        kill(role)
        took.append(until_gone(pids))
        running.wait_running("program", but=role)
    assert min(took) < SOON, took
    for component in ("role_server", "role_supervisor"):
        for _ in range(2):
            pid = running.component(component)
            kill(pid)
            running.component(component, but=pid)
            running.wait_running(*ROLES, "program")
    assert running.stop() == 0


def test_the_tree_comes_back_when_all_but_the_root_is_killed_at_once(running):
    took = []
    for _ in range(TIMES):
        running.wait_running(*ROLES, "program")
        victims = [pid for pid in running.everything() if pid != running.pid]
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                kill(pid)
        took.append(until_gone(victims))
        running.wait_running(*ROLES, "program")
    assert min(took) < SOON, took


def test_what_nobody_lived_to_clear_away_is_cleared_by_the_next_run(running, tmp_path):
    [_, stray] = program(running, 1)
    everything = running.everything()
    # First the root, so that nobody can start or clear away anything.
    for pid in sorted(set(everything) - {stray}, key=lambda pid: pid != running.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    for pid in set(everything) - {stray}:
        kill(pid)
    running.process.wait()
    assert is_running(stray)
    # Whoever starts a tree meanwhile clears away other dead trees, but not this one.
    other = "from beethoven.runtime import folder; folder.make_folder()"
    subprocess.run([sys.executable, "-c", other], check=True)
    successor = Node(tmp_path / "app.toml")
    running.process, running.pid = successor.process, successor.pid
    wait_ready(running)
    assert not is_running(stray)


def test_a_killed_root_leaves_nothing_and_a_new_run_starts_at_once(running, tmp_path):
    took = []
    for _ in range(TIMES):
        running.wait_running(*ROLES, "program")
        pids = running.kill()
        successor = Node(tmp_path / "app.toml")
        took.append(until_gone(pids))
        running.process, running.pid = successor.process, successor.pid
        wait_ready(running)
        assert running.client.status()["node"]["pid"] == successor.pid
    assert min(took) < SOON, took
    assert len(started(tmp_path)) == len(ROLES) * (TIMES + 1)


def test_everything_is_gone_if_root_and_fork_server_are_killed_together(running, tmp_path):
    def measure() -> float:
        pids = running.everything()
        server = running.fork_server()
        kill(running.pid)
        kill(server)
        running.process.wait()
        took = until_gone(pids)
        successor = Node(tmp_path / "app.toml")
        running.process, running.pid = successor.process, successor.pid
        wait_ready(running)
        return took

    assert shortest(measure, SOON) < SOON


def test_what_a_role_started_itself_dies_with_it(tmp_path):
    config = '[roles.it]\nmodule = "tests.integration.node_roles:Obedient"'
    with node(tmp_path, config) as running:

        def measure() -> float:
            child = running.client.call("it", "child")
            [it] = running.wait_running("it")
            kill(it)
            took = until_gone([child])
            running.wait_running("it", but=it)
            return took

        assert shortest(measure, SOON) < SOON
        child = running.client.call("it", "child")
        running.kill()
        wait_until(lambda: not is_running(child))


def test_status_answers_while_parts_of_the_node_are_killed(tmp_path):
    with node(tmp_path, ONE_ROLE) as running:
        for component in ("role_server", "role_supervisor") * 3:
            kill(running.component(component))
            done = beethoven("status", "--json")
            assert done.code in {0, 3}, done
            assert done.json["node"]["pid"] == running.pid
            running.wait_running("echo")


def test_frozen_parts_delay_nobody_for_long(tmp_path):
    with node(tmp_path, ONE_ROLE) as running:
        supervisor = running.component("role_supervisor")
        os.kill(supervisor, signal.SIGSTOP)
        try:
            done = beethoven("call", "echo", '["echo", 1]')
            assert (done.code, done.out) == (0, "1\n")
            assert beethoven("status").code == 3
            assert "role_supervisor" in beethoven("tree").out
        finally:
            os.kill(supervisor, signal.SIGCONT)
        running.wait_running("echo")


def test_roles_come_back_although_the_folder_of_the_node_has_been_removed(tmp_path):
    (tmp_path / "gone").mkdir()
    environ = {"PYTHONPATH": str(Path.cwd())}
    with node(tmp_path, ONE_ROLE, env=environ, cwd=tmp_path / "gone") as running:
        (tmp_path / "gone").rmdir()
        [echo] = running.wait_running("echo")
        kill(echo)
        running.wait_running("echo", but=echo)
        supervisor = running.component("role_supervisor")
        kill(supervisor)
        running.component("role_supervisor", but=supervisor)
        running.wait_running("echo")
