"""What a module does when it is imported harms nobody, in no life of a role."""

import contextlib
import os
import signal
import textwrap

import psutil
import pytest

from beethoven import ChildSpec, Supervisor
from beethoven.cluster.addresses import Address
from beethoven.cluster.member import Member
from beethoven.errors import ProcessExited
from beethoven.node.handle import Node
from beethoven.node.role_process import Named, NamedRole
from beethoven.runtime import owner
from beethoven.runtime.role_context import RoleContext
from tests.processes import started_here, wait_until

pytestmark = pytest.mark.process

LIVES = 4

ROLE = """
    from beethoven import Role

    class It(Role):
        def handle_call(self, request, caller):
            return look()
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a module that roles can name; its `look()` tells what a life sees."""
    monkeypatch.syspath_prepend(tmp_path)

    def write_module(source, name="preloaded_module"):
        path = tmp_path / f"{name}.py"
        path.write_text(textwrap.dedent(source) + textwrap.dedent(ROLE), "utf-8")
        return path

    return write_module


CONTEXT = RoleContext("it", "here", 0, (1, "0", 1))
NODE = Node(Member("0", "here", Address("127.0.0.1", 1), incarnation=1))


def spec(child_id="it", module="preloaded_module"):
    return ChildSpec(child_id, NamedRole, Named(f"{module}:It", None, CONTEXT, NODE))


def answers(tree, child_id="it"):
    """Call a role in each of its lives, and end each life."""
    seen = []
    for _ in range(LIVES):
        role = tree.child(child_id)
        seen.append(role.call("look"))
        os.kill(role.pid, signal.SIGKILL)
        role.wait(5.0)
    return seen


def supervise(*specs):
    return Supervisor.start_link(specs, max_restarts=100)


def test_a_file_that_a_module_opens_is_open_in_every_life(write):
    write("""
        FILE = open(__file__)
        def look():
            FILE.seek(0)
            return len(FILE.read()) > 0
    """)
    with supervise(spec()) as tree:
        assert answers(tree) == [True] * LIVES


def test_a_timeout_for_all_sockets_is_only_that_module_s(write):
    write("""
        import socket
        socket.setdefaulttimeout(0.05)
        def look():
            return socket.getdefaulttimeout()
    """)
    write("import socket\ndef look(): return socket.getdefaulttimeout()", name="other_module")
    with supervise(spec(), spec("other", "other_module")) as tree:
        other = tree.child("other")
        assert answers(tree) == [0.05] * LIVES
        assert tree.child("it").call("look") == 0.05
        assert (tree.child("other"), other.call("look")) == (other, None)


def test_a_program_that_a_module_starts_belongs_to_the_life_that_imported_it(write):
    write("""
        import subprocess
        PROGRAM = subprocess.Popen(["sleep", "1000"])
        def look():
            return PROGRAM.poll()
    """)
    with supervise(spec()) as tree:
        assert answers(tree) == [None] * LIVES
        tree.child("it").call("look")
        assert sum(map(is_sleep, started_here())) == 1


def is_sleep(process):
    with contextlib.suppress(psutil.Error):
        return "sleep" in process.cmdline()
    return False


def test_a_module_that_cannot_be_imported_twice_at_once_holds_up_nobody(write, tmp_path):
    write(f"""
        import fcntl
        LOCK = open({str(tmp_path / "lock")!r}, "w")
        fcntl.flock(LOCK, fcntl.LOCK_EX)
        def look():
            return True
    """)
    write("def look(): return True", name="other_module")
    with supervise(spec(), spec("other", "other_module")) as tree:
        assert answers(tree, "other") == [True] * LIVES
        assert answers(tree) == [True] * LIVES


def test_an_edited_module_is_what_the_next_life_runs(write):
    write("def look(): return 'old'")
    with supervise(spec()) as tree:
        assert answers(tree) == ["old"] * LIVES
        write("def look(): return 'newer'")
        tree.terminate_child("it")
        tree.restart_child("it")
        assert answers(tree) == ["newer"] * LIVES


def test_a_reason_that_is_a_text_of_a_class_reaches_a_supervisor_as_plain_text(write):
    path = write("""
        import os
        from enum import StrEnum
        from beethoven import Stop
        with open(os.environ["BEETHOVEN_TEST_IMPORTS"], "a") as file:
            file.write(f"{os.getpid()}\\n")
        class Word(StrEnum):
            DONE = "all done"
        def look():
            raise Stop(Word.DONE)
    """)
    imports = path.with_suffix(".log")
    start = ChildSpec(
        "it",
        NamedRole,
        Named("preloaded_module:It", None, CONTEXT, NODE),
        restart="transient",
        options={"environment": {"BEETHOVEN_TEST_IMPORTS": str(imports)}},
    )
    with supervise(start) as tree:
        with pytest.raises(ProcessExited) as caught:
            tree.child("it").call("look")
        wait_until(lambda: tree.which_children()[0].restarts == 1)
        assert type(caught.value.reason.detail) is str
        assert tree.which_children()[0].last_exit == caught.value.reason
        assert str(tree.ref.pid) not in imports.read_text("utf-8").split()


def test_what_a_tree_is_opened_with_is_there_when_the_first_process_is_born(write):
    write("""
        import sys
        FOUND = "beethoven.engine.coordinator" in sys.modules
        def look():
            return FOUND
    """)
    owner.open_tree(["beethoven.engine.coordinator"])
    with supervise(spec()) as tree:
        assert tree.child("it").call("look")


def test_a_program_whose_fork_server_was_stopped_still_ends(write):
    write("def look(): return True")
    tree = supervise(spec())
    tree.child("it")
    [server] = [each for each in started_here() if each.ppid() == os.getpid()]
    server.suspend()
    owner.close()
    assert not server.is_running()
