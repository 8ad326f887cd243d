"""What the log is told of ends and starts, as OTP tests it."""

import os
import re
import signal

import pytest

from beethoven import ChildSpec, ExitReason, ReasonKind, Supervisor, debug
from beethoven.errors import CallError, ProcessExited
from beethoven.runtime.status import FORMATTER_FAILED
from tests.conformance import accounts
from tests.conformance.accounts import (
    SECRET,
    SHOWN,
    Account,
    AsyncAccount,
    BrokenAccount,
    DiscreetAccount,
    DiscreetAsyncAccount,
    JunkAccount,
    SilentAccount,
    ThrowingAccount,
)
from tests.conformance.cases import proves
from tests.integration import roles
from tests.log_lines import LogLines
from tests.nodes import node

pytestmark = pytest.mark.process

DETAILED = ExitReason(ReasonKind.SHUTDOWN, "done")
REPORTS = ("process_crashed", "child_terminated", "shutdown_error")


@pytest.fixture
def log(capfd):
    return LogLines(capfd)


def crash(ref, *request):
    """Call a server that does not survive the call; return why it ended."""
    with pytest.raises(ProcessExited) as caught:
        ref.call(request or (roles.crash,))
    return caught.value.reason


@proves("G14")
@pytest.mark.parametrize("reason", ["normal", "shutdown", DETAILED])
def test_an_orderly_end_gives_the_caller_its_reason_and_no_report(log, reason):
    child = ChildSpec("it", Account, restart="temporary")
    with Supervisor.start_link([child]) as tree:
        for ref in (tree.child("it"), Account.start_link(), AsyncAccount.start_link()):
            ended = crash(ref, roles.end, reason)
            assert ended == reason or str(ended) == reason
    assert not any(log.of(event) for event in REPORTS), log.read()


@proves("G14")
@pytest.mark.parametrize("role", [Account, AsyncAccount])
def test_a_crash_is_reported_with_state_last_message_and_client(log, role):
    crash(role.start_link(), roles.crash, "boom")
    report = log.wait_for("process_crashed")
    assert report["role"] == role.__name__
    assert report["reason"] == "ValueError: boom"
    assert report["traceback"].endswith("ValueError: boom\n")
    first_step = report["traceback"].splitlines()[1]
    assert roles.__file__ in first_step or accounts.__file__ in first_step
    assert report["client"] == str(os.getpid())
    assert report["last_message"].startswith("call (<function crash")
    assert SECRET in report["state"]
    assert report["level"] == "error"


@proves("G14")
def test_a_crash_under_a_supervisor_is_reported_once_by_the_supervisor(log):
    with Supervisor.start_link([ChildSpec("it", Account, restart="temporary")]) as tree:
        ref = tree.child("it")
        crash(ref)
        report = log.wait_for("child_terminated", child="it")
        assert report["child_pid"] == str(ref.pid)
        assert report["client"] == str(os.getpid())
        assert SECRET in report["state"]
    assert not log.of("process_crashed")


@proves("G52")
@pytest.mark.parametrize("role", [DiscreetAccount, DiscreetAsyncAccount])
def test_a_report_shows_the_state_as_the_server_formats_it(log, role):
    crash(role.start_link())
    assert log.wait_for("process_crashed")["state"] == SHOWN
    with Supervisor.start_link([ChildSpec("it", role, restart="temporary")]) as tree:
        crash(tree.child("it"))
        assert log.wait_for("child_terminated")["state"] == SHOWN
    assert SECRET not in log.read()


@proves("G53")
@pytest.mark.parametrize("role", [DiscreetAccount, DiscreetAsyncAccount])
def test_a_crash_of_terminate_is_reported_with_the_formatted_state(log, role):
    ref = role.start_link()
    ref.call((roles.write_will, "raise"))
    with pytest.raises(CallError):
        ref.stop()
    report = log.wait_for("process_crashed")
    assert report["reason"] == "ValueError: terminate failed"
    assert report["state"] == SHOWN
    assert SECRET not in log.read()


@proves("G54", "G55")
@pytest.mark.parametrize("role", [BrokenAccount, ThrowingAccount, JunkAccount])
def test_a_formatter_that_fails_leaks_nothing_and_hides_no_reason(log, role):
    ref = role.start_link()
    debug.log(ref)
    ref.cast((roles.note, SECRET))
    crash(ref)
    report = log.wait_for("process_crashed")
    assert report["reason"] == "ValueError: boom"
    assert report["state"] == FORMATTER_FAILED
    assert report["last_message"] == FORMATTER_FAILED
    [warning] = log.of("format_status_failed")
    assert warning["role"] == role.__name__
    assert re.match("ValueError in |SystemExit in |it returned str", warning["cause"])
    assert SECRET not in log.read()


@proves("G56")
def test_the_formatter_can_rewrite_state_message_reason_and_debug_log_of_a_report(log):
    children = [ChildSpec("it", SilentAccount)]
    tree = Supervisor.start_link(children, max_restarts=0)
    ref = tree.child("it")
    debug.log(ref)
    ref.call((roles.note, SECRET))
    assert SECRET in str(crash(ref, roles.crash, SECRET))
    tree.wait()
    report = log.wait_for("child_terminated")
    assert report["state"] == report["reason"] == SHOWN
    assert report["last_message"] == f"message {SHOWN!r}"
    assert SHOWN in report["debug_log"]
    assert log.wait_for("intensity_exceeded")["reason"] == SHOWN
    assert SECRET not in log.read()


@proves("G72")
def test_a_report_has_the_label_that_the_process_gave_itself(log):
    ref = Account.start_link()
    ref.call((accounts.name_me, "the account of Ada"))
    crash(ref)
    assert log.wait_for("process_crashed")["label"] == "the account of Ada"
    crash(AsyncAccount.start_link())
    assert "label" not in log.wait_for("process_crashed", role="AsyncAccount")


@proves("S44")
def test_a_start_that_was_asked_for_is_logged_at_debug_and_a_restart_at_info(tmp_path):
    roles_of_node = '[roles.it]\nmodule = "tests.integration.node_roles:Obedient"\n'
    with node(tmp_path, roles_of_node, "--log-level", "debug") as running:
        [pid] = running.wait_running("it")
        os.kill(pid, signal.SIGKILL)
        running.wait_for("child_started", child="it", count=2)
        starts = running.lines("child_started", child="it")
        assert [each["level"] for each in starts] == ["debug", "info"]
