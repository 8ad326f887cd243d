"""What signals do to a node, from `kill` and from the keyboard of a terminal."""

import os
import pty
import signal
import subprocess
import textwrap
import threading
from functools import partial

import pytest

from tests.nodes import ONE_ROLE, PYTHON, all_gone, alone, beethoven, node, wait_ready, write
from tests.nodes import Node as NodeOfTest
from tests.processes import wait_until

pytestmark = pytest.mark.process


def obedient(args: str) -> str:
    return textwrap.dedent(
        f"""
        [roles.it]
        module = "tests.integration.node_roles:Obedient"
        args = {args}
        shutdown = 30
        """
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_term_int_and_quit_stop_in_good_order(tmp_path, number):
    with node(tmp_path, obedient("{ slow = 0.3 }")) as running:
        pids = running.everything()
        running.signal(number)
        assert running.wait() == 0
        assert all_gone(pids)
        assert running.lines("stop_requested", signal=number.name)
        assert running.lines("node_stopped", reason="shutdown")
        assert not running.lines("shutdown_error")
        assert not list((tmp_path).glob("core*"))


def test_a_second_interrupt_ends_everything_at_once(tmp_path):
    with node(tmp_path, obedient("{ stuck = true }")) as running:
        pids = running.everything()
        running.signal(signal.SIGINT)
        running.wait_for("stop_requested")
        done = beethoven("status")
        assert (done.code, done.err) == (1, "beethoven: node 'beethoven' is stopping\n")
        running.signal(signal.SIGINT)
        # The roles would take 30 s.
        assert running.wait(10.0) == 130
        wait_until(lambda: all_gone(pids))
        assert running.lines("node_killed", signal="SIGINT")
        assert beethoven("status").code == 3


def test_a_second_term_waits_on(tmp_path):
    with node(tmp_path, obedient("{ slow = 1.0 }")) as running:
        running.signal(signal.SIGTERM)
        running.wait_for("stop_requested")
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
        assert not running.lines("node_killed")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
def test_hup_and_usr2_are_reserved(tmp_path, number):
    with node(tmp_path, ONE_ROLE) as running:
        running.signal(number)
        assert running.wait_for("signal_reserved", signal=number.name)["level"] == "warning"
        assert running.state("echo") == "running"


def test_usr1_dumps_the_stacks_of_the_root_and_of_a_role_into_the_log(tmp_path):
    with node(tmp_path, ONE_ROLE) as running:
        [echo] = running.wait_running("echo")
        for process, pid in (("root", running.pid), ("echo", echo)):
            os.kill(pid, signal.SIGUSR1)
            wait_until(partial(dumped, running, process))
        assert running.wait_running("echo") == [echo]


def dumped(running: NodeOfTest, process: str) -> bool:
    lines = [each["line"] for each in running.lines("printed", process=process, stream="stderr")]
    heads = any("most recent call first" in line for line in lines)
    return heads and any(" line " in line for line in lines)


def test_a_signal_that_comes_during_the_start_stops_the_node(tmp_path):
    for _ in range(5):
        running = NodeOfTest(write(tmp_path, ONE_ROLE))
        wait_until(partial(handles_term, running.pid))
        running.signal(signal.SIGTERM)
        assert running.wait() == 0


def handles_term(pid: int) -> bool:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:  # noqa: PTH123
        caught = next(line for line in status if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) & 1 << signal.SIGTERM - 1)


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, *arguments: str, **environ: str) -> None:
        self.pid, self._descriptor = pty.fork()
        if self.pid == 0:
            os.environ.update({"TERM": "xterm", "COLUMNS": "150", **environ})
            os.execv(PYTHON[0], [*PYTHON, *arguments])
        self._written = bytearray()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        try:
            while data := os.read(self._descriptor, 4096):
                self._written += data
        except OSError:
            return

    @property
    def text(self) -> str:
        """What it has written; the last character may not be whole yet."""
        return self._written.decode(errors="ignore")

    def type(self, keys: bytes) -> None:
        os.write(self._descriptor, keys)

    def wait(self) -> int:
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self._reader.join()
        os.close(self._descriptor)
        return code


def test_control_c_in_a_terminal_reaches_only_the_root(tmp_path):
    config = write(tmp_path, f'{ONE_ROLE}\n[roles.sleep]\ncommand = ["sleep", "1000"]\n')
    terminal = Terminal("run", str(config), **alone(config))
    wait_until(lambda: terminal.text.count("role_started") == 2, 30)
    pids = NodeOfTest.everything(_of(terminal.pid))
    terminal.type(b"\x03")
    assert terminal.wait() == 0
    assert all_gone(pids)
    assert "child_terminated" not in terminal.text
    assert "shutdown_error" not in terminal.text
    assert "node_stopped" in terminal.text


def test_on_a_terminal_a_crash_report_is_unfolded(tmp_path):
    bad = '[roles.bad]\nmodule = "tests.integration.node_roles:CrashesAtOnce"\n'
    config = write(tmp_path, bad)
    terminal = Terminal("run", str(config), NO_COLOR="1", **alone(config))
    wait_until(lambda: "KeyError: 'lost'\r\n" in terminal.text, 30)
    terminal.type(b"\x03")
    assert terminal.wait() == 0
    lines = terminal.text.split("\r\n")
    start = next(number for number, line in enumerate(lines) if " child_terminated " in line)
    assert lines[start + 1] == "    traceback:"
    assert lines[start + 2] == "        Traceback (most recent call last):"


def _of(pid: int) -> NodeOfTest:
    running = NodeOfTest.__new__(NodeOfTest)
    running.pid = pid
    return running


def test_a_terminal_that_is_closed_does_not_end_the_node(tmp_path):
    with node(tmp_path, ONE_ROLE) as running:
        running.signal(signal.SIGHUP)
        running.wait_for("signal_reserved")
        assert running.state("echo") == "running"


def test_on_a_terminal_status_and_tree_are_rendered(tmp_path):
    with node(tmp_path, ONE_ROLE) as running:
        for verb in ("status", "tree"):
            terminal = Terminal(verb)
            assert terminal.wait() == 0
            assert "\x1b[" in terminal.text
            assert "echo" in terminal.text
            plain = Terminal(verb, NO_COLOR="1")
            assert plain.wait() == 0
            assert "\x1b[" not in plain.text
            assert plain.text.replace("\r\n", "\n") == beethoven(verb).out
        assert running.state("echo") == "running"


def test_a_node_is_the_first_process_of_a_container_and_buries_its_orphans(tmp_path):
    orphan = "import os\nif os.fork() == 0:\n    os.setsid()\n    os.fork() or os._exit(0)\n"
    (tmp_path / "daemon.py").write_text(f"{orphan}\n", "utf-8")
    if subprocess.run(["unshare", "-pfr", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody make process namespaces")
    config = write(tmp_path, ONE_ROLE)
    log = tmp_path / "app.log"
    inside = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", *PYTHON]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*inside, "run", str(config)], stdout=out, stderr=out, env=alone(config)
        )
    try:
        wait_until(lambda: "role_started" in log.read_text(), 30)
        assert " pid=1\n" in log.read_text()
        wait_until(lambda: "child=role_server" in log.read_text())
        done = beethoven("call", "echo", '["echo", 1]')
        assert done.out == "1\n", done
    finally:
        [root] = [int(each) for each in children_of(process.pid)]
        os.kill(root, signal.SIGTERM)
        assert process.wait(20) == 0


def children_of(pid: int) -> list[str]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:  # noqa: PTH123
        return children.read().split()


def test_a_node_that_was_just_started_can_be_waited_for(tmp_path):
    running = NodeOfTest(write(tmp_path, ONE_ROLE))
    wait_ready(running)
    assert running.stop() == 0
