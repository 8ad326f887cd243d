"""The end of a process: when `terminate` runs, and what `stop` promises."""

import pytest

from beethoven import (
    ChildSpec,
    ExitReason,
    ReasonKind,
    Supervisor,
    Task,
    clock,
    process_info,
    stop,
    whereis,
)
from beethoven.errors import CallTimeout, NoProcess, ProcessExited
from beethoven.runtime import connection, framing
from tests.integration import roles
from tests.integration.roles import Puppet, Trapper
from tests.log_lines import LogLines
from tests.processes import end, is_running, wait_until

pytestmark = pytest.mark.process


@pytest.fixture
def puppet():
    ref = Puppet.start_link(name="puppet")
    yield ref
    end(ref)


@pytest.fixture
def will(puppet, tmp_path):
    path = tmp_path / "will"
    puppet.call((roles.write_will, str(path)))
    return path


@pytest.mark.parametrize("reason", ["normal", "shutdown", "any other reason"])
def test_terminate_runs_with_the_reason_of_a_stop(puppet, will, reason):
    puppet.cast((roles.end, reason))
    wait_until(lambda: not is_running(puppet.pid))
    assert will.read_text() == reason


def test_terminate_runs_after_a_crash(puppet, will):
    puppet.cast((roles.crash,))
    wait_until(lambda: not is_running(puppet.pid))
    assert will.read_text() == "ValueError: boom"


def test_terminate_runs_when_the_process_is_stopped_from_outside_trapping_or_not(puppet, will):
    puppet.stop("shutdown")
    assert will.read_text() == "shutdown"


@pytest.mark.parametrize("number", [9, 15])
def test_terminate_does_not_run_after_a_signal(puppet, will, number):
    puppet.cast((roles.leave_by_signal, number))
    wait_until(lambda: not is_running(puppet.pid))
    assert not will.exists()


@pytest.mark.parametrize("is_trapping", [True, False])
def test_terminate_runs_on_the_parents_end_only_if_exits_are_trapped(tmp_path, is_trapping):
    parent = Puppet.start_link()
    behaviour = Trapper if is_trapping else Puppet
    child = parent.call((roles.start_other, behaviour, (roles.write_will, str(tmp_path / "will"))))
    parent.stop("normal")
    wait_until(lambda: not is_running(child.pid))
    assert (tmp_path / "will").exists() == is_trapping
    if is_trapping:
        assert (tmp_path / "will").read_text() == "killed"


def test_trapping_can_be_switched_while_it_runs(tmp_path):
    parent = Puppet.start_link()
    child = parent.call((roles.start_other, Puppet, (roles.write_will, str(tmp_path / "will"))))
    child.call((roles.trap,))
    parent.stop()
    wait_until(lambda: not is_running(child.pid))
    assert (tmp_path / "will").exists()


def test_terminate_of_a_failed_init_does_not_run(tmp_path):
    with pytest.raises(ValueError, match="boom"):
        Puppet.start_link((roles.write_will_and_crash, str(tmp_path / "will")))
    assert not (tmp_path / "will").exists()


def test_a_failing_terminate_changes_the_reason(puppet):
    puppet.call((roles.write_will, "raise"))
    with pytest.raises(ProcessExited, match="ValueError: terminate failed"):
        puppet.call((roles.end, "normal"))


def test_stop_returns_when_the_process_is_gone_and_its_name_free():
    keeper = Puppet.start_link()
    for _ in range(20):
        ref = Puppet.start_link(name="mortal")
        stop("mortal")
        assert whereis("mortal") is None
        assert not is_running(ref.pid)
    keeper.stop()


def test_stop_gives_its_reason(puppet):
    observer = Trapper.start_link()
    observer.call((roles.monitor, puppet))
    puppet.stop(("disk", "full"))
    wait_until(lambda: observer.call((roles.seen,)))
    (down,) = observer.call((roles.seen,))
    assert down.reason == ExitReason(ReasonKind.OTHER, "('disk', 'full')")
    observer.stop()


def test_stop_tells_if_the_process_ended_for_another_reason(puppet):
    puppet.call((roles.write_will, "raise"))
    with pytest.raises(ProcessExited, match="terminate failed"):
        puppet.stop()
    assert not is_running(puppet.pid)


def test_stop_tells_if_the_process_still_lives_and_it_goes_on_terminating(puppet, will):
    busy = will.with_name("busy")
    busy.touch()
    puppet.cast((roles.be_busy, str(busy)))
    begun = clock.monotonic()
    with pytest.raises(CallTimeout):
        puppet.stop(timeout=0.1)
    assert clock.monotonic() - begun < 5
    assert is_running(puppet.pid)
    busy.unlink()
    wait_until(lambda: not is_running(puppet.pid))
    assert will.read_text() == "normal"


def test_stop_waits_for_messages_that_came_before(puppet, tmp_path):
    puppet.cast((roles.sleep, 0.1))
    puppet.cast((roles.touch, str(tmp_path / "done")))
    puppet.stop()
    assert (tmp_path / "done").exists()


def test_nobody_can_be_stopped_twice(puppet):
    puppet.stop()
    with pytest.raises(NoProcess):
        puppet.stop()
    with pytest.raises(NoProcess):
        stop("puppet")


def test_a_process_cannot_stop_itself(puppet):
    with pytest.raises(ProcessExited, match="cannot call itself"):
        puppet.call((roles.stop_other, puppet))


def test_wait_returns_the_reason_or_none_while_it_lives(puppet):
    assert puppet.wait(0.05) is None
    puppet.cast((roles.sleep, 0.1))
    puppet.cast((roles.end, "shutdown"))
    assert puppet.wait(5) == ExitReason(ReasonKind.SHUTDOWN)
    assert puppet.wait(5) == ExitReason(ReasonKind.SHUTDOWN)


def test_what_a_role_registered_with_atexit_runs_and_its_output_is_flushed(capfd, tmp_path):
    puppet = Puppet.start_link()
    source = (
        "import atexit, pathlib, sys\n"
        "atexit.register(pathlib.Path(arguments[0]).touch)\n"
        "sys.stdout.write('no line end')"
    )
    puppet.call((roles.run, source, str(tmp_path / "ran")))
    puppet.stop()
    assert (tmp_path / "ran").exists()
    assert capfd.readouterr().out == "no line end"


ENDS = {
    "role": Puppet.start_link,
    "supervisor": lambda: Supervisor.start_link([ChildSpec("it", Puppet)]).ref,
    "task": lambda: Task.start(roles.sleep, None, 30),
}


@pytest.mark.parametrize("kind", ENDS)
def test_a_stop_for_no_reason_of_ours_ends_with_its_text_and_is_logged(kind, capfd):
    log, ref = LogLines(capfd), ENDS[kind]()
    with pytest.raises(ProcessExited) as caught:
        connection.request(ref, framing.STOP, roles.pickled(["no reason"]), 10)
    assert caught.value.reason == ExitReason(ReasonKind.OTHER, "['no reason']")
    event = "task_stopped" if kind == "task" else "process_crashed"
    assert log.wait_for(event)["reason"] == "['no reason']"


@pytest.mark.parametrize("payload", [b"", b"no pickle", roles.pickled(roles.ExitsElsewhere())])
@pytest.mark.parametrize("kind", ENDS)
def test_a_stop_that_cannot_be_read_ends_nobody(kind, payload, capfd):
    ref = ENDS[kind]()
    connection.post(ref, framing.STOP, payload)
    process_info(ref)
    ref.stop("shutdown", timeout=10)
