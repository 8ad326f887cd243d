"""Processes: Elixir's process_test, and OTP's rules of exit signals (otp.md 3.1)."""

import os
import signal
import threading

import pytest

from beethoven import Exit, ExitReason, ReasonKind, Supervisor, clock, process_info
from beethoven.errors import NoProcess, ProcessExited, SpecError
from tests.conformance import servers
from tests.conformance.cases import proves
from tests.integration import roles
from tests.integration.roles import AsyncPuppet, Puppet, Trapper
from tests.processes import end, fork_servers, is_running, wait_until

pytestmark = pytest.mark.process

KILLED = ExitReason(ReasonKind.KILLED)
NORMAL = ExitReason(ReasonKind.NORMAL)


@pytest.fixture(params=[Puppet, AsyncPuppet], ids=["plain", "async"])
def either(request):
    """A role with plain callbacks, and one with coroutines."""
    ref = request.param.start_link(name="either")
    yield ref
    end(ref)


@pytest.fixture
def trapper():
    ref = Trapper.start_link()
    yield ref
    end(ref)


@pytest.fixture
def other():
    """A process that is neither parent nor child of any other."""
    ref = Trapper.start_link()
    yield ref
    end(ref)


def seen(ref):
    return ref.call((roles.seen,))


def told_by(target):
    """What a living process tells of itself."""
    info = process_info(target)
    assert info is not None
    return info


def reason_of_end(observer, ref):
    """Wait for the end of a process that `observer` monitors."""
    wait_until(lambda: any(message.ref == ref for message in seen(observer)))
    return next(message.reason for message in seen(observer) if message.ref == ref)


@proves("E98")
@pytest.mark.parametrize("seconds", [2**32 / 1000, 2**32, 1e15])
def test_very_long_waits_are_no_failure(puppet, seconds):
    puppet.call((roles.set_timer, seconds, "never"))
    puppet.call((servers.be_idle, min(seconds, threading.TIMEOUT_MAX)))
    assert puppet.call((roles.answer, "alive"), min(seconds, threading.TIMEOUT_MAX)) == "alive"
    assert seen(puppet) == []


@proves("E99", "E100")
def test_a_living_process_tells_of_itself_and_a_dead_one_nothing(puppet, other):
    parent = puppet.call((servers.own_ref,))
    child = puppet.call((roles.start_other, Trapper, None, "child"))
    for target in (other, child, other):
        child.call((roles.monitor, target))
    info = told_by("child")
    assert (info.ref, info.name, info.ref.pid) == (child, "child", child.pid)
    assert (info.parent, info.links, info.trap_exit) == (parent, (parent,), True)
    assert info.monitors == (other, child, other)
    assert told_by(puppet).parent is None
    assert told_by(puppet).trap_exit is False
    assert other.call((servers.info_of, "child")) == info
    assert told_by(other).name is None

    child.stop()
    assert process_info(child) is None
    assert process_info("child") is None
    assert other.call((servers.info_of, child)) is None


def test_links_are_known_on_both_sides_whoever_has_made_them(other, trapper):
    other.call((roles.link, trapper))
    assert told_by(other).links == (trapper,)
    wait_until(lambda: told_by(trapper).links == (other,))
    trapper.call((roles.unlink, other))
    wait_until(lambda: told_by(other).links == told_by(trapper).links == ())


def test_a_process_can_ask_itself_for_what_it_knows(either):
    for target in (either, "either"):
        assert either.call((servers.info_of, target)) == told_by(either)


def test_a_supervisor_tells_of_itself():
    with Supervisor.start_link([], name="top") as tree:
        info = told_by(tree.ref)
        assert (info.name, info.trap_exit, info.links) == ("top", True, ())


@proves("E101")
def test_a_delayed_message_comes_once(either):
    begun = clock.monotonic()
    either.call((roles.set_timer, 0.05, "rung"))
    wait_until(lambda: seen(either))
    assert clock.monotonic() - begun >= 0.05
    either.call((roles.set_timer, 0.1, "over"))
    wait_until(lambda: "over" in seen(either))
    assert seen(either) == ["rung", "over"]


@proves("E102")
def test_a_message_comes_at_a_moment_of_the_monotonic_clock(either):
    moment = clock.monotonic() + 0.1
    either.call((servers.set_timer_at, moment, "rung"))
    wait_until(lambda: seen(either))
    assert clock.monotonic() >= moment
    either.call((servers.set_timer_at, moment, "long ago"))
    wait_until(lambda: seen(either) == ["rung", "long ago"])


@proves("E103")
def test_a_timer_can_be_read_and_cancelled_before_it_has_rung(either):
    timer = either.call((roles.set_timer, 100.0, "never"))
    assert 50 < either.call((servers.read_timer, timer)) <= 100
    assert either.call((roles.cancel_timer, timer)) is True
    assert either.call((servers.read_timer, timer)) is None
    assert either.call((roles.cancel_timer, timer)) is False

    timer = either.call((roles.set_timer, 0.0, "rung"))
    wait_until(lambda: seen(either) == ["rung"])
    assert either.call((servers.read_timer, timer)) is None
    assert either.call((roles.cancel_timer, timer)) is False


@proves("E104")
@pytest.mark.parametrize("is_parent", [True, False], ids=["from the parent", "from another"])
def test_normal_sent_to_another_process_is_ignored(puppet, other, is_parent):
    if is_parent:
        puppet.exit("normal")
    else:
        other.call((servers.send_exit, puppet, "normal"))
    assert process_info(puppet) is not None
    assert puppet.call((roles.answer, "alive")) == "alive"


@proves("E105")
@pytest.mark.parametrize("reason", ["normal", "shutdown", "why"])
def test_an_exit_signal_to_oneself_ends_the_process_at_once(either, other, reason, tmp_path):
    other.call((roles.monitor, either))
    with pytest.raises(ProcessExited) as caught:
        either.call((servers.exit_oneself, reason, str(tmp_path / "after")))
    assert str(caught.value.reason) == reason
    assert str(reason_of_end(other, either)) == reason
    assert not (tmp_path / "after").exists()


def test_an_exit_signal_to_oneself_is_a_message_if_one_traps_exits(trapper, tmp_path):
    path = str(tmp_path / "after")
    assert trapper.call((servers.exit_oneself, "normal", path)) == "still here"
    assert seen(trapper) == [Exit(trapper, NORMAL)]


@pytest.mark.parametrize("reason", ["shutdown", "why", "killed"])
def test_an_exit_signal_ends_a_process_with_its_reason(either, other, reason, tmp_path):
    either.call((roles.write_will, str(tmp_path / "will")))
    other.call((roles.monitor, either))
    other.call((servers.send_exit, either, reason))
    assert str(reason_of_end(other, either)) == reason
    assert not (tmp_path / "will").exists()


@pytest.mark.parametrize("reason", ["normal", "shutdown", "why", "killed"])
def test_who_traps_exits_gets_a_message_from_the_sender(trapper, other, reason):
    other.call((servers.send_exit, trapper, reason))
    wait_until(lambda: seen(trapper))
    (message,) = seen(trapper)
    assert (message.ref, str(message.reason)) == (other, reason)


@pytest.mark.parametrize("reason", ["normal", "shutdown", "why"])
@pytest.mark.parametrize("is_program", [True, False], ids=["program", "process"])
def test_the_parents_exit_signal_has_who_traps_exits_terminate(
    trapper, other, reason, is_program, tmp_path
):
    args = (roles.write_will, str(tmp_path / "will"))
    if is_program:
        child = Trapper.start_link(args)
    else:
        child = trapper.call((roles.start_other, Trapper, args))
    other.call((roles.monitor, child))
    if is_program:
        child.exit(reason)
    else:
        trapper.cast((servers.send_exit, child, reason))
    assert str(reason_of_end(other, child)) == reason
    assert (tmp_path / "will").read_text("utf-8") == reason


@pytest.mark.parametrize("behaviour", [Puppet, Trapper], ids=["plain", "trapping"])
@pytest.mark.parametrize("state", ["idle", "busy", "frozen"])
def test_nobody_withstands_kill(other, behaviour, state):
    ref = behaviour.start()
    other.call((roles.monitor, ref))
    if state == "busy":
        ref.cast((roles.spin,))
    elif state == "frozen":
        os.kill(ref.pid, signal.SIGSTOP)
    other.call((servers.send_exit, ref, "kill"))
    assert reason_of_end(other, ref) == KILLED
    assert not is_running(ref.pid)


def test_kill_works_when_the_fork_server_is_gone(other):
    ref = Trapper.start()
    (server,) = fork_servers()
    server.kill()
    wait_until(lambda: not is_running(server.pid))
    ref.exit("kill")
    wait_until(lambda: not is_running(ref.pid))
    assert other.call((roles.answer, "alive")) == "alive"


def test_an_exit_signal_to_the_dead_does_nothing(puppet, other):
    puppet.stop()
    for reason in ("normal", "why", "kill"):
        puppet.exit(reason)
        other.call((servers.send_exit, puppet, reason))
    with pytest.raises(NoProcess):
        puppet.call((roles.answer, 1))


def test_a_supervisor_ignores_a_strangers_exit_signal_and_obeys_its_parents(other):
    tree = Supervisor.start_link([], name="top")
    for reason in ("shutdown", "why"):
        other.call((servers.send_exit, tree.ref, reason))
    assert tree.which_children() == []
    other.call((roles.monitor, tree.ref))
    tree.ref.exit("shutdown")
    assert str(reason_of_end(other, tree.ref)) == "shutdown"


@proves("E109")
def test_a_process_has_no_label_unless_it_says_so(puppet):
    assert told_by(puppet).label is None


@proves("E108", "E110")
def test_a_process_can_be_given_a_label_that_others_read(puppet, other):
    puppet.call((servers.set_label, "room 101"))
    assert told_by(puppet).label == "room 101"
    assert other.call((servers.info_of, puppet)).label == "room 101"
    puppet.call((servers.set_label, "room 102"))
    assert told_by("puppet").label == "room 102"
    puppet.call((servers.set_label, None))
    assert told_by(puppet).label is None


@pytest.mark.parametrize("label", [5, b"bytes"])
def test_a_label_must_be_a_text(puppet, label):
    with pytest.raises(ProcessExited, match="expected label to be a text or None") as caught:
        puppet.call((servers.set_label, label))
    assert SpecError.__name__ in caught.value.reason.detail
