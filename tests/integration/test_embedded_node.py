"""A node inside any program: a script, a thread, a session; what ends it, and what that leaves."""

import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from beethoven import clock, start_node
from beethoven.errors import (
    AddressTaken,
    AlreadyRunning,
    CallTimeout,
    ConfigError,
    NodeNotFound,
    RoleNotRunning,
)
from beethoven.node.control import NodeClient
from beethoven.node.presence import running_nodes
from scripts.ports import free_port
from tests.log_lines import LogLines
from tests.nodes import all_gone, beethoven
from tests.processes import program, seconds_until, shortest, started_here, wait_until

pytestmark = pytest.mark.process

ECHO = {"echo": {"module": "beethoven.roles:TestRole", "args": {"greeting": "hi"}}}

SLOW = """
from beethoven import Role

class Slow(Role):
    trap_exit = True

    def terminate(self, reason):
        import threading
        threading.Event().wait(1.5)

class Broken(Role):
    def init(self, args):
        raise ValueError("boom")
"""

# A program with a node; what it does then is filled in.
SCRIPT = """
    import os, signal, sys, threading
    from beethoven import start_node
    from beethoven.errors import NotOwner

    ECHO = {"echo": {"module": "beethoven.roles:TestRole", "args": {"greeting": "hi"}}}

    def main():
        node = start_node(roles=ECHO, listener_port=PORT, log=LOG, wait=True)
        print(node.pid, flush=True)
        BODY

    main()
"""


@pytest.fixture
def options(tmp_path):
    """What a node needs to be alone, and not to disturb the output of the tests."""
    return {"listener_port": free_port(), "log": tmp_path / "node.log"}


def script(tmp_path, *body, log=None):
    source = SCRIPT.replace("PORT", str(free_port()))
    source = source.replace("LOG", repr(str(log or tmp_path / "node.log")))
    return source.replace("BODY", "\n        ".join(body))


def log_of(tmp_path):
    return (tmp_path / "node.log").read_text("utf-8")


def test_a_program_calls_its_roles_and_leaves_nothing(options):
    with start_node(roles=ECHO, wait=True, **options) as node:
        assert node.call("echo", ("echo", 42)) == 42
        assert node.status()["node"]["name"] == node.name
        assert node.status()["node"]["address"] == node.address
        assert node.exit_reason is None
        assert not node.wait(0)
    assert str(node.exit_reason) == "normal"
    assert "stop_requested" in options["log"].read_text("utf-8")
    assert "node_stopped" in options["log"].read_text("utf-8")
    with pytest.raises(NodeNotFound, match=r"node '.*' does not run any more: normal"):
        node.call("echo", ("echo", 42))
    node.stop()


def test_two_nodes_of_one_program_find_each_other(options):
    with start_node(roles=ECHO, **options) as one, start_node(roles=ECHO, **options) as two:
        assert {one.name, two.name} == {"127.0.0.1", "127.0.0.2"}
        wait_until(lambda: len(two.status()["members"]) == 2, 30)
        wait_until(lambda: two.call("echo", ("echo", 1), 20) == 1)
        assert one.call("echo", ("echo", 2)) == 2


def test_a_file_may_say_all_of_it(tmp_path):
    (tmp_path / "mine.py").write_text(SLOW.replace("1.5", "0"), "utf-8")
    path = tmp_path / "app.toml"
    text = f"[beethoven]\nlistener_port = {free_port()}\n[roles.slow]\nmodule = 'mine:Slow'\n"
    path.write_text(text, "utf-8")
    with start_node(path, wait=True, log=None, name="mine") as node:
        assert node.name == "mine"
        (role,) = node.status()["roles"]
        assert (role["name"], role["running"]) == ("slow", 1)


def test_a_wrong_configuration_is_an_error_of_the_program(options):
    with pytest.raises(ConfigError, match="start_node: nam: unknown key, did you mean 'name'"):
        start_node(nam="x", **options)
    missing = {"echo": {"module": "nowhere:Echo"}}
    with pytest.raises(ConfigError, match=r"start_node: roles\.echo\.module: no module named"):
        start_node(roles=missing, **options)
    with pytest.raises(ConfigError, match=r"start_node: beethoven\.cookie_file: expected a cookie"):
        start_node(cluster_net="10.1.2.0/24", **options)
    assert options["log"].read_text("utf-8") == ""


def test_what_keeps_a_node_from_starting_is_an_error_of_the_program(options):
    with start_node(name="one", bind="127.0.0.1", **options):
        with pytest.raises(AlreadyRunning, match="one"):
            start_node(name="one", **options)
        with pytest.raises(AddressTaken):
            start_node(name="two", bind="127.0.0.1", **options)
        assert [node.name for node in running_nodes()] == ["one"]


def test_whoever_waits_for_roles_is_told_of_one_that_fails(options, tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text(SLOW, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    broken = {"broken": {"module": "broken:Broken", "max_restarts": 0}}
    with pytest.raises(RoleNotRunning, match=r"role 'broken' .* failed, last exit: .*boom"):
        start_node(roles=broken, wait=True, **options)
    assert running_nodes() == []


def test_a_stop_that_takes_too_long_goes_on(options, tmp_path, monkeypatch):
    (tmp_path / "slow.py").write_text(SLOW, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with start_node(roles={"slow": {"module": "slow:Slow"}}, wait=True, **options) as node:
        with pytest.raises(CallTimeout):
            node.stop(0.1)
        assert node.wait(20)
    assert str(node.exit_reason) == "normal"


def test_a_root_that_is_killed_is_told_and_what_it_left_goes_with_the_handle(options):
    before = started_here()
    node = start_node(roles=ECHO, wait=True, **options)
    below = [each.pid for each in started_here() - before]
    os.kill(node.pid, signal.SIGKILL)
    assert node.wait(10)
    wait_until(lambda: all_gone(below))
    assert str(node.exit_reason) == "killed"
    assert "ended: killed" in repr(node)
    with pytest.raises(NodeNotFound, match="does not run any more: killed"):
        node.call("echo", ("echo", 1))
    with pytest.raises(NodeNotFound, match="does not run any more: killed"):
        node.status()
    node.stop()


def test_an_operator_may_stop_it_too(options):
    with start_node(name="mine", **options) as node:
        assert beethoven("stop", "--node", "mine").code == 0
        assert node.wait(10)
        assert str(node.exit_reason) == "normal"


def test_a_node_started_in_a_thread_outlives_the_thread(options):
    nodes = []
    thread = threading.Thread(target=lambda: nodes.append(start_node(roles=ECHO, **options)))
    thread.start()
    thread.join()
    with nodes[0] as node:
        assert node.call("echo", ("echo", 42), 20) == 42


def test_a_node_leaves_the_program_s_own_world_alone(options):
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    root = logging.getLogger()
    before = (root.level, list(root.handlers), os.environ.copy(), Path.cwd(), sys.path[:])
    with start_node(roles=ECHO, wait=True, **options) as node:
        own = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
        assert node.call("echo", ("echo", 1)) == 1
        assert own.wait(30) == 7
        assert {number: signal.getsignal(number) for number in signal.valid_signals()} == handlers
        assert threading.active_count() == 1
    assert (root.level, list(root.handlers)) == before[:2]
    assert (os.environ.copy(), Path.cwd(), sys.path) == before[2:]


@pytest.mark.parametrize(
    ("end", "is_orderly"),
    [
        pytest.param("", True, id="its normal end"),
        pytest.param("sys.exit(3)", True, id="sys.exit"),
        pytest.param("raise RuntimeError", True, id="an exception"),
        pytest.param("os._exit(0)", False, id="os._exit"),
        pytest.param("os.kill(os.getpid(), 9)", False, id="SIGKILL"),
        pytest.param("os.kill(os.getpid(), 15)", False, id="SIGTERM"),
    ],
)
def test_whatever_ends_a_program_ends_its_node_and_nothing_is_left(end, is_orderly, tmp_path):
    def left_after_its_end():
        before = started_here()
        with program(script(tmp_path, "sys.stdin.readline()", end), tmp_path) as running:
            assert int(running.line())
            assert len(started_here() - before) >= 8
            running.say("go on")
            running.process.wait(20)
            return seconds_until(lambda: not started_here() - before)

    assert shortest(left_after_its_end, 1.0) <= 1.0
    assert ("node_stopped" in log_of(tmp_path)) == is_orderly
    assert ("node_killed" in log_of(tmp_path)) != is_orderly


def test_a_program_that_is_killed_while_its_node_imports_a_role_leaves_nothing(tmp_path):
    hanging = "import os, threading\nos.write(2, b'importing')\nthreading.Event().wait(60)\n"
    (tmp_path / "hanging.py").write_text(hanging, "utf-8")
    source = """
        from beethoven import start_node
        start_node(roles={"x": {"module": "hanging:X"}}, log=LOG)
    """.replace("LOG", repr(str(tmp_path / "node.log")))
    before = started_here()
    with program(source, tmp_path) as running:
        log = tmp_path / "node.log"
        wait_until(lambda: log.exists() and "importing" in log_of(tmp_path), 30)
        running.kill()
        wait_until(lambda: not started_here() - before)


def test_an_interrupt_at_the_terminal_reaches_the_program_alone(tmp_path):
    body = (
        "os.setpgrp()",
        "try:",
        "    with node:",
        "        print('waits', flush=True)",
        "        sys.stdin.readline()",
        "finally:",
        "    print(node.exit_reason, flush=True)",
    )
    with program(script(tmp_path, *body), tmp_path) as running:
        assert int(running.line())
        assert running.line() == "waits"
        os.killpg(running.pid, signal.SIGINT)
        assert running.line() == "normal"
        _, _, err = running.finish()
    assert "KeyboardInterrupt" in err
    assert "SIGINT" not in log_of(tmp_path)


def test_a_copy_of_the_program_neither_stops_the_node_nor_keeps_it(tmp_path):
    body = (
        "if os.fork() == 0:",
        "    node.stop()",
        "    try:",
        "        node.wait(0)",
        "    except NotOwner:",
        "        print(os.getpid(), flush=True)",
        "    threading.Event().wait(60)",
        "sys.stdin.readline()",
        "print(node.call('echo', ('echo', 42)), flush=True)",
        "sys.stdin.readline()",
    )
    with program(script(tmp_path, *body), tmp_path) as running:
        root = int(running.line())
        copy = int(running.line())
        running.say("go on")
        assert running.line() == "42"
        running.process.kill()
        wait_until(lambda: all_gone([root]))
        os.kill(copy, signal.SIGKILL)


def test_a_session_starts_a_node_and_speaks_to_it():
    session = f"""
from beethoven import start_node
node = start_node(roles={ECHO!r}, listener_port={free_port()}, log=None, wait=True)
print(node.call("echo", ("echo", 42)))
node.stop()
"""
    for options in (["-i", "-q"], ["-"]):
        done = subprocess.run(
            [sys.executable, *options],
            input=session,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stdout == "42\n", done.stderr


def test_the_log_goes_where_the_program_says(tmp_path, capfd):
    log = LogLines(capfd)
    with (tmp_path / "log").open("w") as file:
        file.write("before\n")
        start_node(listener_port=free_port(), log=file).stop()
    assert (tmp_path / "log").read_text("utf-8").startswith("before\n2")
    start_node(listener_port=free_port(), log=None).stop()
    assert log.read() == ""
    start_node(listener_port=free_port()).stop()
    assert "node_started" in log.read()
    assert capfd.readouterr().out == ""


def test_the_verbs_find_it_as_any_other(options):
    with start_node(name="mine", roles=ECHO, wait=True, **options) as node:
        assert NodeClient.find("mine").presence.pid == node.pid
        assert beethoven("call", "--node", "mine", "echo", '["echo", 5]').out == "5\n"
        begun = clock.monotonic()
    assert clock.monotonic() - begun < 10
