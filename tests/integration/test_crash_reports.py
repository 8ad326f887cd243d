"""Crash reports: what they tell, who writes them, and what they must not do."""

import json
import logging
import os
import signal
from io import StringIO

import pytest

from beethoven import Backoff, ChildSpec, DynamicSupervisor, Supervisor, whereis
from beethoven.errors import CallError, ChildStartFailed
from beethoven.log import LogFormat, PrettyFormatter, format_for, get_log, send_to
from beethoven.runtime.patience import TOO_SLOW
from tests.conformance import accounts
from tests.conformance.accounts import (
    AbsurdAccount,
    Account,
    Hoarder,
    MuteAccount,
    TrappingAccount,
)
from tests.integration import roles
from tests.integration.roles import Puppet
from tests.log_lines import LogLines
from tests.nodes import node
from tests.processes import holder_of, is_running, wait_until

pytestmark = pytest.mark.process


@pytest.fixture
def log(capfd):
    return LogLines(capfd)


def crash(ref):
    ref.cast((roles.crash,))
    ref.wait(10)


def one(restart="temporary", **options):
    return ChildSpec("it", Account, restart=restart, **options)


def test_a_report_names_the_process_and_its_ancestors_up_to_the_root(log):
    inner = Supervisor.child_spec("inner", [one(name="cell")], name="inner")
    with Supervisor.start_link([inner], name="outer") as outer:
        ref = whereis("cell")
        expected = f"{whereis('inner')}, {whereis('outer')}"
        crash(ref)
        report = log.wait_for("child_terminated", child="it")
        assert (report["supervisor"], report["name"]) == ("inner", "cell")
        assert report["ancestors"] == expected
        assert report["pid"] == str(holder_of("inner").pid)
        assert outer.ref.pid != holder_of("inner").pid


def test_a_process_that_another_role_started_reports_itself_with_its_ancestors(log):
    parent = Puppet.start_link(name="parent")
    parent.call((roles.trap,))
    child = parent.call((roles.start_other, Account, None))
    crash(child)
    report = log.wait_for("process_crashed", pid=child.pid)
    assert report["ancestors"] == f"parent (pid {parent.pid})"
    parent.stop()


def test_a_process_that_crashes_without_a_free_descriptor_is_reported_whole(log):
    parent = Puppet.start_link()
    parent.call((roles.trap,))
    child = parent.call((roles.start_other, Puppet, None))
    child.call((roles.take_all_descriptors,))
    crash(child)
    report = log.wait_for("process_crashed", pid=child.pid)
    # Each of its lines ends with what has to be escaped.
    assert report["traceback"].endswith("ValueError: boom\n")
    parent.stop()


@pytest.mark.parametrize(
    ("action", "restart", "flags"),
    [
        ("restarted", "permanent", {}),
        ("restarted", "transient", {}),
        ("forgotten", "temporary", {}),
        ("escalated", "permanent", {"max_restarts": 0}),
        ("retried later", "permanent", {"max_restarts": 0, "backoff": Backoff(600, 2, 600)}),
    ],
)
@pytest.mark.parametrize("start", [Supervisor.start_link, DynamicSupervisor.start_link])
def test_a_report_says_what_the_supervisor_does(log, start, action, restart, flags):
    spec = one(restart)
    tree = start([spec], **flags) if start == Supervisor.start_link else start(**flags)
    ref = tree.child("it") if start == Supervisor.start_link else tree.start_child(spec)
    crash(ref)
    report = log.wait_for("child_terminated")
    assert (report["action"], report["restart"], report["restarts"]) == (action, restart, "0")
    if action == "escalated":
        tree.wait(10)
        return
    tree.stop()


def test_members_of_a_group_that_crash_together_are_each_reported_once(log):
    children = [ChildSpec(name, Account) for name in "abc"]
    with Supervisor.start_link(children, strategy="one_for_all") as tree:
        refs = [tree.child(name) for name in "abc"]
        os.kill(tree.ref.pid, signal.SIGSTOP)
        for ref in refs:
            ref.cast((roles.crash, f"boom {ref.pid}"))
        wait_until(lambda: not any(is_running(ref.pid) for ref in refs))
        os.kill(tree.ref.pid, signal.SIGCONT)
        # Whichever the supervisor hears of first has crashed; it was about to stop the others.
        wait_until(lambda: len([*log.of("child_terminated"), *log.of("shutdown_error")]) == 3)
        reports = [*log.of("child_terminated"), *log.of("shutdown_error")]
        reasons = {each["child_pid"]: each["reason"] for each in reports}
        assert reasons == {str(ref.pid): f"ValueError: boom {ref.pid}" for ref in refs}
        assert all("balance" in each["state"] for each in reports)


def test_a_child_that_crashes_while_it_is_to_stop_is_reported_with_its_state(log):
    with Supervisor.start_link([ChildSpec("it", TrappingAccount)]) as tree:
        tree.child("it").call((roles.write_will, "raise"))
        tree.terminate_child("it")
        report = log.wait_for("shutdown_error")
        assert report["reason"] == "ValueError: terminate failed"
        assert "balance" in report["state"]


def test_a_process_that_is_killed_is_reported_without_message_and_state(log):
    with Supervisor.start_link([one(name="cell")]) as tree:
        ref = tree.child("it")
        os.kill(ref.pid, signal.SIGKILL)
        report = log.wait_for("child_terminated")
        assert report["reason"] == "killed"
        assert (report["role"], report["name"]) == ("Account", "cell")
        assert report["ancestors"] == str(tree.ref)
        assert not {"state", "last_message", "client", "traceback"} & set(report)


def test_a_child_that_does_not_start_is_reported_with_its_traceback(log):
    with DynamicSupervisor.start_link() as tree:
        with pytest.raises(ChildStartFailed):
            tree.start_child(ChildSpec("it", Account, (roles.crash,), restart="temporary"))
        report = log.wait_for("start_error")
        assert (report["role"], report["reason"]) == ("Account", "ValueError: boom")
        assert "ValueError: boom" in report["traceback"]


def test_a_start_by_hand_that_fails_is_told_to_the_starter_and_not_to_the_log(log):
    with pytest.raises(ValueError, match="boom"):
        Account.start_link((roles.crash,))
    assert not log.of("process_crashed")


def test_a_crash_outside_of_a_callback_has_no_message_and_no_client(log):
    ref = Account.start_link()
    ref.call((roles.write_will, "raise"))
    with pytest.raises(CallError):
        ref.stop()
    report = log.wait_for("process_crashed")
    assert not {"last_message", "client"} & set(report)


def test_orphans_that_end_as_they_are_told_report_nothing(log):
    parent = Puppet.start_link()
    child = parent.call((roles.start_other, TrappingAccount, None))
    os.kill(parent.pid, signal.SIGKILL)
    wait_until(lambda: not is_running(child.pid))
    assert not log.of("process_crashed")


def test_a_report_is_small_whatever_the_state(log):
    ref = Hoarder.start_link()
    with pytest.raises(CallError):
        ref.call("x" * 10_000_000)
    report = log.wait_for("process_crashed")
    assert len(report["state"]) <= 8300
    assert len(report["last_message"]) < 400
    assert "SystemExit in its repr" in report["state"] or "characters" in report["state"]


def test_a_process_with_much_to_say_ends_though_nobody_listens():
    ref = Account.start_link()
    with pytest.raises(CallError, match="xxx"):
        ref.call((roles.crash, "x" * 10_000_000))
    wait_until(lambda: not is_running(ref.pid))


def bad(callback):
    return f"bad return value of {callback}: Mute {TOO_SLOW}"


@pytest.mark.parametrize(
    ("role", "request_", "reason"),
    [
        (Account, roles.crash, "ValueError: boom"),
        (MuteAccount, roles.crash, "ValueError: boom"),
        (Account, accounts.crash_with_mute_state, "ValueError: boom"),
        (Account, accounts.crash_with_mute_error, f"MuteError: {TOO_SLOW}"),
        (Account, accounts.stop_with_mute_reason, f"Mute {TOO_SLOW}"),
        (AbsurdAccount, roles.answer, bad("handle_cast")),
    ],
)
def test_values_that_never_say_what_they_are_delay_no_report_and_no_restart(
    log, role, request_, reason
):
    with Supervisor.start_link([ChildSpec("it", role)]) as tree:
        ref = tree.child("it")
        ref.cast((request_,))
        report = log.wait_for("child_terminated", child="it")
        assert (report["reason"], report["action"]) == (reason, "restarted")
        is_mute = role is MuteAccount or request_ is accounts.crash_with_mute_state
        assert (report["state"] == TOO_SLOW) == is_mute
        wait_until(lambda: tree.child("it") not in {None, ref})
        assert tree.child("it").call((roles.answer, 1)) == 1


def test_a_start_that_fails_without_saying_why_fails_all_the_same():
    with pytest.raises(accounts.MuteError):
        Account.start_link((accounts.crash_with_mute_error,))


def test_a_secret_that_is_called_one_is_never_shown(log):
    ref = Account.start_link()
    ref.call((roles.run, "role.api_token = 'xyzzy'"))
    crash(ref)
    report = log.wait_for("process_crashed")
    assert "'api_token': '***'" in report["state"]
    assert "xyzzy" not in report["state"]


def test_the_log_of_a_node_has_reports_in_json(tmp_path):
    config = '[roles.bad]\nmodule = "tests.integration.node_roles:CrashesAtOnce"\n'
    with node(tmp_path, config, "--log-format", "json", ready=False) as running:
        wait_until(lambda: "child_terminated" in running.log(), 30)
        running.stop()
        records = [json.loads(line) for line in running.log().splitlines()]
    report = next(each for each in records if each["event"] == "child_terminated")
    assert (report["action"], report["last_message"]) == ("restarted", "continue 'crash'")
    assert report["role"] == "CrashesAtOnce"


def test_on_a_terminal_what_has_several_lines_is_unfolded(monkeypatch):
    assert format_for(LogFormat.TEXT, terminal=True) == LogFormat.PRETTY
    assert format_for(LogFormat.TEXT, terminal=False) == LogFormat.TEXT
    assert format_for(LogFormat.JSON, terminal=True) == LogFormat.JSON
    monkeypatch.setenv("NO_COLOR", "1")
    stream = StringIO()
    send_to(stream, format=LogFormat.PRETTY)
    state = {"pin": "1", "token": "2"}
    get_log("test").warning("crashed", child="it", state=state, traceback="one\n\x1b[2Jtwo\n")
    lines = stream.getvalue().splitlines()
    assert lines[0].endswith("warning crashed child=it")
    assert lines[1:] == [
        "    state:",
        "        pin: 1",
        "        token: ***",
        "    traceback:",
        "        one",
        "        \\x1b[2Jtwo",
    ]


def test_levels_are_coloured_on_a_terminal():
    record = logging.LogRecord("beethoven", logging.ERROR, "", 0, "text", None, None)
    assert "\x1b[31merror\x1b[0m" in PrettyFormatter(colour=True).format(record)
    assert "\x1b" not in PrettyFormatter(colour=False).format(record)
