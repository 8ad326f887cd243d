"""
Nothing of the dead goes on running: promise P2, with real murders.

Each test kills a program or a role while its roles do something that Python cannot interrupt.
"""

import os
import signal

import psutil
import pytest

from beethoven import ReasonKind, clock, whereis
from tests.integration import roles
from tests.integration.roles import Puppet, Trapper
from tests.processes import (
    end,
    fork_servers,
    is_running,
    program,
    shortest,
    started_here,
    wait_until,
)

pytestmark = pytest.mark.process

# What the promise allows.
SOON = 1.0

PROGRAM = """
    import sys
    from tests.integration import roles
    from tests.integration.roles import Puppet, Trapper

    if __name__ == "__main__":
        behaviour = Trapper if {traps_exits} else Puppet
        refs = [behaviour.start_link(name=f"role {{number}}") for number in range(2)]
        nested = refs[0].call((roles.start_other, behaviour, None))
        for ref in [*refs, nested]:
            ref.cast({request})
        print("ready", flush=True)
        sys.stdin.readline()
"""

BUSY = {
    "idle": "(roles.answer, 1)",
    "sleeping": "(roles.sleep, 60)",
    "spinning": "(roles.spin,)",
    "holding the interpreter": "(roles.hold_the_interpreter, 60)",
    "matching a pattern for ever": "(roles.match_for_ever,)",
}


def until_gone(processes):
    """Wait until none of the processes runs any more; return how long that took."""
    begun = clock.monotonic()
    wait_until(lambda: not any(is_running(each.pid) for each in processes))
    return clock.monotonic() - begun


@pytest.mark.parametrize("traps_exits", [False, True], ids=["not trapping", "trapping"])
@pytest.mark.parametrize("request_", BUSY.values(), ids=BUSY.keys())
def test_nothing_is_left_one_second_after_the_program_is_killed(tmp_path, request_, traps_exits):
    source = PROGRAM.format(request=request_, traps_exits=traps_exits)

    def measure():
        with program(source, tmp_path) as running:
            assert running.line() == "ready"
            everything = started_here()
            assert len(everything) == 5
            running.kill()
            return until_gone(everything)

    assert shortest(measure, SOON) < SOON


@pytest.mark.parametrize("request_", BUSY.values(), ids=BUSY.keys())
def test_the_children_of_a_killed_role_are_gone_one_second_later(request_):
    keeper = Puppet.start_link()
    request = eval(request_, {"roles": roles})

    def measure():
        parent = Trapper.start_link()
        child = parent.call((roles.start_other, Trapper, None))
        grandchild = child.call((roles.start_other, Trapper, None))
        for ref in (child, grandchild):
            ref.cast(request)
        os.kill(parent.pid, signal.SIGKILL)
        return until_gone([parent, child, grandchild])

    assert shortest(measure, SOON) < SOON
    end(keeper)


@pytest.fixture(params=roles.STRAYS)
def stray(request):
    return request.param


def test_what_a_killed_role_has_started_is_killed_with_it(stray):
    keeper = Puppet.start_link()
    bystander = keeper.call((roles.start_stray, "subprocess"))

    def measure():
        ref = Puppet.start_link()
        strays = [psutil.Process(pid) for pid in ref.call((roles.start_stray, stray))]
        os.kill(ref.pid, signal.SIGKILL)
        return until_gone(strays)

    assert shortest(measure, SOON) < SOON
    assert all(map(is_running, bystander))
    end(keeper)


def test_the_end_of_a_role_is_told_when_what_it_has_started_is_gone(stray):
    keeper = Puppet.start_link()
    watcher = Trapper.start_link()
    ref = watcher.call((roles.start_other, Puppet, None))
    strays = [psutil.Process(pid) for pid in ref.call((roles.start_stray, stray))]
    ref.cast((roles.end, "shutdown"))
    wait_until(lambda: watcher.call((roles.seen,)))
    assert not any(is_running(each.pid) for each in strays), "the death was told too early"
    end(watcher)
    end(keeper)


def test_what_roles_have_started_is_gone_one_second_after_the_program_is_killed(tmp_path, stray):
    source = PROGRAM.format(request=f"(roles.start_stray, {stray!r})", traps_exits=False)

    def measure():
        with program(source, tmp_path) as running:
            assert running.line() == "ready"
            wait_until(lambda: len(started_here()) >= 8)
            everything = started_here()
            running.kill()
            return until_gone(everything)

    assert shortest(measure, SOON) < SOON


def test_the_end_of_a_program_without_a_stop_takes_everything_along(tmp_path):
    source = PROGRAM.format(request="(roles.spin,)", traps_exits=True)
    with program(source, tmp_path) as running:
        assert running.line() == "ready"
        everything = started_here()
        running.say("go")
        assert running.finish()[0] == 0
        until_gone(everything)


def test_an_interrupt_at_the_terminal_ends_a_program_and_its_roles(tmp_path):
    source = PROGRAM.format(request="(roles.answer, 1)", traps_exits=True)
    with program(source, tmp_path) as running:
        assert running.line() == "ready"
        everything = started_here()
        running.process.send_signal(signal.SIGINT)
        code, _, errors = running.finish()
        assert code == -signal.SIGINT
        assert errors.count("Traceback") == 1
        until_gone(everything)


def kill_fork_server():
    (server,) = fork_servers()
    server.kill()
    wait_until(lambda: not is_running(server.pid))


def messages_of(ref):
    """Wait for the messages that a puppet gets."""
    wait_until(lambda: ref.call((roles.seen,)))
    return ref.call((roles.seen,))


def sweep():
    """Nobody was left to remove the folder of the tree: the next start does."""
    end(Puppet.start_link())


def test_roles_work_on_when_the_fork_server_is_killed():
    ref = Puppet.start_link(name="old")
    bystander = Puppet.start_link(name="bystander")
    kill_fork_server()
    assert ref.call((roles.answer, "alive")) == "alive"
    successor = Puppet.start_link(name="new")
    assert successor.call((roles.call_other, "old", (roles.pid,))) == ref.pid
    os.kill(ref.pid, signal.SIGKILL)
    assert ref.wait(5) is not None
    wait_until(lambda: whereis("old") is None)
    again = Puppet.start_link(name="old")
    bystander.stop()
    assert again.call((roles.answer, "alive")) == "alive"
    for each in (again, successor):
        end(each)


def test_stopping_one_role_leaves_the_others_also_without_the_fork_server():
    refs = [Puppet.start_link() for _ in range(3)]
    kill_fork_server()
    for ref in refs:
        assert ref.call((roles.answer, "alive")) == "alive"
        ref.stop()
        assert not is_running(ref.pid)
    sweep()


@pytest.mark.parametrize("kill", [True, False], ids=["SIGKILL", "crash"])
def test_a_death_is_told_also_when_the_fork_server_was_killed(kill):
    parent = Trapper.start_link()
    child = parent.call((roles.start_other, Puppet, None))
    watcher = Trapper.start_link()
    watcher.call((roles.monitor, child))
    kill_fork_server()
    child.cast((roles.leave_by_signal, 9) if kill else (roles.crash,))
    for ref in (parent, watcher):
        (message,) = messages_of(ref)
        assert message.ref == child
        assert kill or message.reason.kind is ReasonKind.EXCEPTION
    end(parent)
    end(watcher)
    sweep()


def test_a_role_starts_children_also_when_the_fork_server_was_killed():
    parent = Puppet.start_link()
    kill_fork_server()
    child = parent.call((roles.start_other, Puppet, None))
    assert child.call((roles.answer, "alive")) == "alive"
    parent.stop()
    wait_until(lambda: not is_running(child.pid))
    sweep()


WITHOUT_HELP = {key: BUSY[key] for key in ("idle", "sleeping", "spinning")}


@pytest.mark.parametrize("request_", WITHOUT_HELP.values(), ids=WITHOUT_HELP.keys())
def test_nothing_is_left_when_program_and_fork_server_are_killed_at_once(tmp_path, request_):
    """A role that holds the interpreter in C then lives until it lets go; it has no other fence."""
    source = PROGRAM.format(request=request_, traps_exits=True)

    def measure():
        with program(source, tmp_path) as running:
            assert running.line() == "ready"
            everything = started_here()
            (server,) = fork_servers()
            server.suspend()
            running.process.send_signal(signal.SIGSTOP)
            server.kill()
            running.kill()
            return until_gone(everything)

    assert shortest(measure, SOON) < SOON
    sweep()


def test_a_plain_fork_of_the_program_neither_keeps_roles_alive_nor_disturbs_them(tmp_path):
    source = """
        import os, signal, sys
        from tests.integration import roles
        from tests.integration.roles import Puppet

        if __name__ == "__main__":
            ref = Puppet.start_link()
            if os.fork() == 0:
                sys.exit(0)
            os.wait()
            lasting = os.fork()
            if lasting == 0:
                signal.pause()
            print(ref.call((roles.answer, "alive")), ref.pid, lasting, flush=True)
            sys.stdin.readline()
    """
    with program(source, tmp_path) as running:
        word, *pids = running.line().split()
        role, lasting = (psutil.Process(int(pid)) for pid in pids)
        (server,) = fork_servers()
        try:
            assert word == "alive"
            running.kill()
            until_gone([role, server])
            assert is_running(lasting.pid)
        finally:
            lasting.kill()


def test_a_fork_of_the_program_starts_a_tree_of_its_own(tmp_path):
    source = """
        import os
        from tests.integration import roles
        from tests.integration.roles import Puppet

        if __name__ == "__main__":
            ref = Puppet.start_link(name="same name")
            if (copy := os.fork()) == 0:
                own = Puppet.start_link(name="same name")
                answer = own.call((roles.pid,)) == own.pid
                own.stop()
                os._exit(0 if answer else 1)
            print(os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1]), ref.call((roles.answer, 1)))
            ref.stop()
    """
    with program(source, tmp_path) as running:
        assert running.finish() == (0, "0 1\n", "")


def test_who_has_started_a_process_learns_its_reason_also_long_after_its_end():
    puppet = Puppet.start_link()
    puppet.exit("odd")
    wait_until(lambda: not puppet.is_alive())
    assert [str(puppet.wait(5)) for _ in range(2)] == ["odd", "odd"]


def test_of_a_process_that_others_have_started_only_what_the_kernel_knows_is_told_later():
    parent = Puppet.start_link()
    child = parent.call((roles.start_unlinked, Puppet, None))
    child.exit("odd")
    wait_until(lambda: not child.is_alive())
    assert str(child.wait(5)) == "exit code 1"
    end(parent)
