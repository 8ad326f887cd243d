"""What may be asked of a running supervisor, and how soon it answers."""

import os
import signal
import threading

import pytest

from beethoven import ChildSpec, Ref, Supervisor, call
from beethoven.errors import (
    CallTimeout,
    ChildAlreadyPresent,
    ChildNotFound,
    ChildRestarting,
    ChildRunning,
    ChildStartFailed,
    RequestRefused,
    SpecError,
    SupervisionError,
)
from beethoven.supervision.events import ChildCounts
from tests.integration import roles
from tests.integration.roles import Puppet
from tests.integration.trees import Journal, pids, statuses, tree, wait_while
from tests.processes import is_running, wait_until

pytestmark = [pytest.mark.process, pytest.mark.shared_tree]


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path)


def test_listings_show_the_most_recently_started_child_first(journal):
    inner = Supervisor.child_spec("inner", [])
    with tree(*journal.workers("ab"), inner) as supervisor:
        supervisor.terminate_child("a")
        entries = supervisor.which_children()
        assert [(each.id, each.status, each.type) for each in entries] == [
            ("inner", "running", "supervisor"),
            ("b", "running", "worker"),
            ("a", "stopped", "worker"),
        ]
        assert entries[2].ref is None
        assert entries[1].ref is not None
        assert entries[1].ref.call((roles.pid,)) == entries[1].ref.pid
        assert supervisor.count_children() == ChildCounts(
            specs=3, active=2, supervisors=1, workers=2
        )


def test_start_child_returns_the_process_and_adds_it_last(journal):
    with tree(*journal.workers("a")) as supervisor:
        ref = supervisor.start_child(journal.worker("b"))
        assert isinstance(ref, Ref)
        assert ref.pid == pids(supervisor)["b"]
        assert list(pids(supervisor)) == ["a", "b"]


def test_start_child_returns_none_for_a_child_that_ignores_its_start(journal):
    with tree() as supervisor:
        flag = journal.flag("ignore")
        assert supervisor.start_child(journal.worker("a", ignores=flag)) is None
        temporary = journal.worker("t", ignores=flag, restart="temporary")
        assert supervisor.start_child(temporary) is None
        assert statuses(supervisor) == {"a": "stopped"}


def test_start_child_that_fails_keeps_nothing_and_tells_why(journal):
    with tree() as supervisor:
        with pytest.raises(ChildStartFailed, match="child 'a' could not start") as caught:
            supervisor.start_child(journal.worker("a", fails=journal.flag("fail")))
        assert "was told to fail" in str(caught.value)
        assert statuses(supervisor) == {}


def test_an_id_that_is_taken_is_refused(journal):
    with tree(journal.worker("a"), journal.worker("t", restart="temporary")) as supervisor:
        with pytest.raises(ChildRunning):
            supervisor.start_child(journal.worker("a"))
        supervisor.terminate_child("a")
        with pytest.raises(ChildAlreadyPresent):
            supervisor.start_child(journal.worker("a"))
        supervisor.terminate_child("t")
        assert supervisor.start_child(journal.worker("t")) is not None


def test_terminate_child_returns_when_the_child_is_gone_and_keeps_its_specification(journal):
    with tree(journal.worker("a", stop=0.2, stray=True)) as supervisor:
        pid = pids(supervisor)["a"]
        supervisor.terminate_child("a")
        assert not is_running(pid)
        assert journal.story("stopped") == ["stopped a"]
        supervisor.terminate_child("a")
        assert statuses(supervisor) == {"a": "stopped"}


def test_restart_child_starts_what_was_stopped(journal):
    with tree(journal.worker("a")) as supervisor:
        with pytest.raises(ChildRunning):
            supervisor.restart_child("a")
        supervisor.terminate_child("a")
        ref = supervisor.restart_child("a")
        assert ref is not None
        assert ref.pid == pids(supervisor)["a"]


def test_restart_child_that_fails_keeps_the_specification(journal):
    flag = journal.folder / "fail"
    with tree(journal.worker("a", fails=str(flag))) as supervisor:
        supervisor.terminate_child("a")
        flag.touch()
        with pytest.raises(ChildStartFailed):
            supervisor.restart_child("a")
        assert statuses(supervisor) == {"a": "stopped"}
        flag.unlink()
        assert supervisor.restart_child("a") is not None


def test_delete_child_forgets_a_stopped_child_only(journal):
    with tree(journal.worker("a")) as supervisor:
        with pytest.raises(ChildRunning):
            supervisor.delete_child("a")
        supervisor.terminate_child("a")
        supervisor.delete_child("a")
        assert statuses(supervisor) == {}


def test_a_child_that_is_not_there_is_not_found(journal):
    with tree(journal.worker("a")) as supervisor:
        for method in (
            supervisor.terminate_child,
            supervisor.restart_child,
            supervisor.delete_child,
            supervisor.get_child_spec,
            supervisor.child,
        ):
            with pytest.raises(ChildNotFound, match="no child 'x'"):
                method("x")


def test_a_child_that_restarts_can_be_terminated_and_nothing_else(journal):
    flag = journal.folder / "fail"
    child = journal.worker("a", fails=str(flag), init=0.1)
    with tree(child, max_restarts=1000) as supervisor:
        flag.touch()
        os.kill(pids(supervisor)["a"], signal.SIGKILL)
        wait_until(lambda: statuses(supervisor) == {"a": "restarting"})
        for method in (supervisor.restart_child, supervisor.delete_child):
            with pytest.raises(ChildRestarting):
                method("a")
        supervisor.terminate_child("a")
        assert statuses(supervisor) == {"a": "stopped"}


def test_get_child_spec_returns_what_was_given(journal):
    spec = journal.worker("a", shutdown=1.5, restart="transient")
    inner = Supervisor.child_spec("inner", journal.workers("b"))
    with tree(spec, inner) as supervisor:
        assert supervisor.get_child_spec("a") == spec
        assert supervisor.get_child_spec("inner").role is Supervisor
        added = journal.worker("c")
        supervisor.start_child(added)
        assert supervisor.get_child_spec("c") == added


def test_child_waits_for_a_child_that_restarts(journal):
    hanging = journal.folder / "hang"
    with tree(journal.worker("a", hangs=str(hanging))) as supervisor:
        first = supervisor.child("a")
        hanging.touch()
        os.kill(first.pid, signal.SIGKILL)
        wait_until(lambda: statuses(supervisor)["a"] != "running")
        threading.Timer(0.2, hanging.unlink).start()
        assert supervisor.child("a").pid not in {first.pid, 0}


def test_child_never_returns_a_process_that_has_been_seen_to_end(journal):
    with tree(journal.worker("a"), max_restarts=100) as supervisor:
        for _ in range(20):
            first = supervisor.child("a")
            os.kill(first.pid, signal.SIGKILL)
            first.wait()
            assert supervisor.child("a") != first


def test_child_gives_up_after_its_timeout(journal):
    with tree(journal.worker("a")) as supervisor:
        supervisor.terminate_child("a")
        with pytest.raises(CallTimeout):
            supervisor.child("a", timeout=0.1)


def test_whoever_waits_for_a_child_that_is_deleted_is_told(journal):
    with tree(journal.worker("a")) as supervisor:
        supervisor.terminate_child("a")
        found = []

        def ask():
            try:
                supervisor.child("a", timeout=30)
            except ChildNotFound as error:
                found.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        assert supervisor.wait(0.2) is None
        supervisor.delete_child("a")
        asking.join()
        assert len(found) == 1


def test_nonsense_is_refused_and_harms_nobody(journal):
    with tree(journal.worker("a")) as supervisor:
        with pytest.raises(SpecError, match="expected a child to be a ChildSpec"):
            supervisor.start_child("a")  # type: ignore[arg-type]
        with pytest.raises(SpecError, match="significant"):
            supervisor.start_child(journal.worker("s", restart="transient", significant=True))
        with pytest.raises(ChildNotFound):
            supervisor.terminate_child(["a"])  # type: ignore[arg-type]
        with pytest.raises(ChildNotFound):
            supervisor.child(["a"])  # type: ignore[arg-type]
        with pytest.raises(RequestRefused, match="a supervisor knows no 'hello'"):
            supervisor.ref.call("hello")
        with pytest.raises(RequestRefused):
            supervisor.ref.call(("start_child",))
        supervisor.ref.cast("hello")
        supervisor.ref.send("hello")
        assert statuses(supervisor) == {"a": "running"}


def test_a_child_may_call_its_own_supervisor_while_it_starts(journal):
    with tree(journal.worker("a"), name="top") as supervisor:
        asks = (roles.keep_answer, "top", ("count_children",))
        child = supervisor.start_child(ChildSpec("b", Puppet, asks))
        assert child is not None
        ((outcome, counts),) = child.call((getattr, "kept"))
        assert (outcome, counts.specs, counts.active) == ("ok", 2, 1)


def test_an_inner_supervisor_is_managed_by_its_name(journal):
    inner = Supervisor.child_spec("inner", journal.workers("b"), name="inner")
    with tree(inner):
        outcome, counts = call("inner", ("count_children",))
        assert (outcome, counts.active) == ("ok", 1)


def test_twenty_slow_starts_delay_no_answer_no_restart_and_not_each_other(journal):
    with tree(journal.worker("quick")) as supervisor:
        hanging = journal.flag("hang")
        slow = [journal.worker(f"s{i}", hangs=hanging) for i in range(20)]
        threads = [threading.Thread(target=supervisor.start_child, args=[each]) for each in slow]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(statuses(supervisor)) == 21)
        wait_until(lambda: len(journal.story("begin")) == 21, 30)
        first = pids(supervisor)["quick"]
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: pids(supervisor)["quick"] not in {first, 0})
        wait_until(lambda: statuses(supervisor)["quick"] == "running")
        assert journal.story("up") == ["up quick", "up quick"]
        journal.lower("hang")
        for thread in threads:
            thread.join()
        assert set(statuses(supervisor).values()) == {"running"}


def test_a_slow_terminate_delays_no_answer_and_no_restart(journal):
    lingering = journal.flag("linger")
    slow = journal.worker("slow", lingers=lingering, shutdown=60.0)
    with tree(journal.worker("quick"), slow) as supervisor:
        thread = threading.Thread(target=supervisor.terminate_child, args=["slow"])
        thread.start()
        wait_until(lambda: statuses(supervisor)["slow"] == "stopping")
        first = pids(supervisor)["quick"]
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: pids(supervisor)["quick"] not in {first, 0})
        wait_until(lambda: statuses(supervisor)["quick"] == "running")
        assert statuses(supervisor)["slow"] == "stopping"
        journal.lower("linger")
        thread.join()
        assert statuses(supervisor)["slow"] == "stopped"


def test_slow_starts_do_not_delay_the_shutdown(journal):
    """Those that start are told to stop, and are killed if they do not hear of it in time."""
    supervisor = Supervisor.start_link(journal.workers("a"))
    failed = []

    def start(number):
        try:
            supervisor.start_child(journal.worker(f"s{number}", init=60.0, shutdown=0.2))
        except SupervisionError as error:
            failed.append(str(error))

    threads = [threading.Thread(target=start, args=[number]) for number in range(5)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(journal.story("begin")) == 6)
    supervisor.stop(timeout=20)
    for thread in threads:
        thread.join()
    assert len(failed) == 5
    assert "is stopping" in failed[0]
    assert journal.story("stopped") == ["stopped a"]


def test_a_role_that_is_slow_to_import_does_not_delay_the_supervisor(journal):
    """The supervisor passes on what it starts unread."""
    with tree(journal.worker("a")) as supervisor:
        importing = journal.flag("import")
        child = ChildSpec("b", SlowImport, importing)
        thread = threading.Thread(target=supervisor.start_child, args=[child])
        thread.start()
        wait_until(lambda: "b" in statuses(supervisor))
        assert statuses(supervisor)["b"] == "starting"
        journal.lower("import")
        thread.join()
        assert statuses(supervisor)["b"] == "running"


class SlowImport:
    """Stands for a role whose module takes as long to import as a file is there."""

    @classmethod
    def resolve(cls, args):
        wait_while(args)
        return Puppet, None


def test_a_role_whose_import_ends_the_process_harms_only_itself(journal):
    with tree(journal.worker("a")) as supervisor:
        with pytest.raises(ChildStartFailed, match="exit code 9"):
            supervisor.start_child(ChildSpec("b", DeadlyImport))
        assert statuses(supervisor) == {"a": "running"}


class DeadlyImport:
    """Stands for a role whose module ends the process that imports it."""

    @classmethod
    def resolve(cls, args):
        os._exit(9)
