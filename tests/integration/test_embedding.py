"""A tree inside any program: a script, a thread, asyncio, a session, a child process."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from beethoven import ChildSpec, Supervisor
from beethoven.errors import SpecError
from tests.integration.roles import Puppet, answer
from tests.processes import Program, is_running, program, seconds_until, shortest, started_here

pytestmark = pytest.mark.process

CHILDREN = [ChildSpec("a", Puppet), ChildSpec("b", Puppet)]

SCRIPT = """
    import os
    import subprocess
    import sys

    from beethoven import ChildSpec, Role, Supervisor

    class Counter(Role):
        trap_exit = True

        def init(self, args):
            self.value = args
            if args == "stray":
                command = ["sleep", "600"]
                self.stray = subprocess.Popen(command, start_new_session=True)

        def handle_call(self, request, caller):
            self.value += 1
            return self.value

    def main():
        inner = Supervisor.child_spec("inner", [ChildSpec("b", Counter, "stray")])
        {body}

    if __name__ == "__main__":
        main()
"""

START = 'tree = Supervisor.start_link([ChildSpec("a", Counter, 41), inner])'


def script(*body):
    return SCRIPT.replace("{body}", "\n        ".join(body))


def test_a_script_runs_a_tree_of_its_own_classes(tmp_path):
    body = (
        'with Supervisor.start_link([ChildSpec("a", Counter, 41), inner]) as tree:',
        '    print(tree.child("a").call("next"))',
    )
    with program(script(*body), tmp_path) as running:
        assert running.finish() == (0, "42\n", "")


def test_a_module_runs_a_tree_of_its_own_classes(tmp_path):
    body = (START, 'print(tree.child("a").call("next"))', "tree.stop()")
    (tmp_path / "app.py").write_text(textwrap.dedent(script(*body)), "utf-8")
    running = Program("-m", "app", cwd=tmp_path)
    assert running.finish() == (0, "42\n", "")


def test_a_module_that_starts_a_thread_when_imported_runs_a_tree_of_its_own_classes(tmp_path):
    body = (START, 'print(tree.child("a").call("next"))', "tree.stop()")
    thread = """
    import threading
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    """
    with program(thread + script(*body), tmp_path) as running:
        assert running.finish() == (0, "42\n", "")


def test_children_added_later_may_be_classes_of_the_script(tmp_path):
    body = (
        "with Supervisor.start_link([]) as tree:",
        '    print(tree.start_child(ChildSpec("a", Counter, 41)).call("next"))',
    )
    with program(script(*body), tmp_path) as running:
        assert running.finish() == (0, "42\n", "")


@pytest.mark.parametrize(
    "end",
    [
        pytest.param("", id="its normal end"),
        pytest.param("sys.exit(3)", id="sys.exit"),
        pytest.param("raise RuntimeError", id="an exception"),
        pytest.param("os._exit(0)", id="os._exit"),
        pytest.param("os.kill(os.getpid(), 9)", id="SIGKILL"),
        pytest.param("os.kill(os.getpid(), 15)", id="SIGTERM"),
    ],
)
def test_whatever_ends_a_program_ends_its_tree_within_a_second(end, tmp_path):
    body = (START, "print('up', flush=True)", "sys.stdin.readline()", end)

    def left_after_its_end():
        before = started_here()
        with program(script(*body), tmp_path) as running:
            assert running.line() == "up"
            assert len(started_here() - before) >= 5
            running.say("go on")
            running.process.wait(10)
            return seconds_until(lambda: not started_here() - before)

    assert shortest(left_after_its_end, 1.0) <= 1.0


def test_a_tree_starts_and_stops_in_another_thread():
    found = []

    def run():
        with Supervisor.start_link(CHILDREN) as tree:
            found.append(tree.child("a").call((answer, 42)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [42]


def test_a_tree_started_in_a_thread_outlives_the_thread():
    trees = []
    thread = threading.Thread(target=lambda: trees.append(Supervisor.start_link(CHILDREN)))
    thread.start()
    thread.join()
    with trees[0] as tree:
        assert tree.child("a").call((answer, 42)) == 42


def test_several_trees_live_in_one_program():
    with Supervisor.start_link(CHILDREN) as one, Supervisor.start_link(CHILDREN) as two:
        assert one.child("a") != two.child("a")
        one.stop()
        assert two.child("a").call((answer, 42)) == 42


def test_trees_come_and_go_in_threads_at_the_same_time():
    failed = []

    def run():
        try:
            for _ in range(5):
                with Supervisor.start_link(CHILDREN) as tree:
                    assert tree.child("a").call((answer, 42)) == 42
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_a_tree_works_under_asyncio():
    async def main():
        with Supervisor.start_link(CHILDREN) as tree:
            direct = tree.child("a").call((answer, 1))
            ref = await asyncio.to_thread(tree.child, "b")
            return [direct, await asyncio.to_thread(ref.call, (answer, 2))]

    assert asyncio.run(main()) == [1, 2]


def test_a_tree_is_started_and_stopped_by_asyncio_s_threads():
    async def main():
        tree = await asyncio.to_thread(Supervisor.start_link, CHILDREN)
        async with asyncio.timeout(10):
            found = await asyncio.gather(
                *[asyncio.to_thread(tree.child("a").call, (answer, n)) for n in range(5)]
            )
            await asyncio.to_thread(tree.stop)
            return found

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]


SESSION = """
from beethoven import ChildSpec, Role, Supervisor
from tests.integration.roles import Puppet, answer
tree = Supervisor.start_link([ChildSpec("a", Puppet)])
print(tree.child("a").call((answer, 42)))
class Typed(Role): pass

try: Supervisor.start_link([ChildSpec("typed", Typed)])
except Exception as error: print(error)

try: tree.start_child(ChildSpec("typed", Typed))
except Exception as error: print(error)

try: Typed.start_link()
except Exception as error: print(error)

tree.stop()
"""


@pytest.mark.parametrize("options", [["-i", "-q"], ["-"], []])
def test_a_session_runs_imported_roles_and_says_why_not_typed_ones(options):
    done = subprocess.run(
        [sys.executable, *options],
        input=SESSION,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    first, *errors = done.stdout.splitlines()
    assert first == "42", done.stderr
    assert len(errors) == 3
    for line in errors:
        assert "expected role to be a class that the new process can import" in line
        assert "put it at the top level of a file of its own" in line
        assert line.endswith("got: Typed, defined in an interactive session")


def test_a_kernel_that_executes_cells_runs_imported_roles(tmp_path):
    """What Jupyter does: cells run by `exec` in a `__main__` that is no file."""
    kernel = f"""
        import os, sys, types
        sys.path.insert(0, os.getcwd())
        main = types.ModuleType("__main__")
        sys.modules["__main__"] = main
        cells = {SESSION!r}
        exec(cells.replace("\\n\\n", "\\n"), main.__dict__)
    """
    with program(kernel, tmp_path) as running:
        status, out, err = running.finish()
    assert (status, err) == (0, "")
    first, *errors = out.splitlines()
    assert first == "42"
    assert len(errors) == 3
    assert all("defined in an interactive session" in line for line in errors)


def test_a_role_inside_a_function_is_refused_with_advice():
    class Local(Puppet):
        pass

    with pytest.raises(SpecError, match=r"put it at the top level .*, defined inside a function"):
        Local.start_link()


def test_a_tree_works_in_a_child_of_multiprocessing(tmp_path):
    source = """
        import multiprocessing
        from beethoven import ChildSpec, Role, Supervisor

        class Counter(Role):
            def handle_call(self, request, caller):
                return 42

        def work():
            inner = Supervisor.child_spec("inner", [ChildSpec("b", Counter, name="b")])
            with Supervisor.start_link([ChildSpec("a", Counter), inner]) as tree:
                print(tree.child("a").call("next"), flush=True)

        if __name__ == "__main__":
            for method in ("spawn", "forkserver", "fork"):
                child = multiprocessing.get_context(method).Process(target=work)
                child.start()
                child.join()
    """
    with program(source, tmp_path) as running:
        assert running.finish() == (0, "42\n" * 3, "")


def test_a_tree_survives_a_fork_of_its_program_and_the_copy_may_have_its_own(tmp_path):
    body = (
        START,
        "pid = os.fork()",
        "if pid == 0:",
        '    with Supervisor.start_link([ChildSpec("a", Counter, 1)]) as own:',
        '        print(own.child("a").call("next"), flush=True)',
        "    os._exit(0)",
        "os.waitpid(pid, 0)",
        'print(tree.child("a").call("next"))',
        "tree.stop()",
    )
    with program(script(*body), tmp_path) as running:
        assert running.finish() == (0, "2\n42\n", "")


def test_a_tree_leaves_the_program_s_own_world_alone():
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    root = logging.getLogger()
    before = (root.level, list(root.handlers), os.environ.copy(), Path.cwd(), sys.path[:])
    with Supervisor.start_link(CHILDREN) as tree:
        own = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
        tree.child("a").call((answer, 1))
        assert own.wait(30) == 7
        assert {number: signal.getsignal(number) for number in signal.valid_signals()} == handlers
        assert threading.active_count() == 1
        shell = os.spawnlp(os.P_NOWAIT, "sh", "sh", "-c", "exit 5")
        tree.stop()
        assert os.waitstatus_to_exitcode(os.waitpid(shell, 0)[1]) == 5
    assert (root.level, list(root.handlers)) == before[:2]
    assert (os.environ.copy(), Path.cwd(), sys.path) == before[2:]


def test_an_interrupt_at_the_terminal_reaches_the_program_alone(tmp_path):
    body = (
        "os.setpgrp()",
        START,
        "try:",
        "    print(tree.which_children()[1].ref.pid, flush=True)",
        "    sys.stdin.readline()",
        "except KeyboardInterrupt:",
        "    print('interrupted')",
        'print(tree.child("a").call("next"))',
        "tree.stop()",
    )
    with program(script(*body), tmp_path) as running:
        pid = int(running.line())
        assert is_running(pid)
        os.killpg(running.pid, signal.SIGINT)
        assert running.finish() == (0, "interrupted\n42\n", "")


def test_a_script_without_a_guard_is_told_to_have_one(tmp_path):
    source = """
        from beethoven import ChildSpec, Role, Supervisor

        class Counter(Role):
            pass

        with Supervisor.start_link([ChildSpec("a", Counter)]) as tree:
            print("never")
    """
    with program(source, tmp_path) as running:
        status, out, err = running.finish()
    assert (status, out) == (1, "")
    assert 'if __name__ == "__main__":' in err
