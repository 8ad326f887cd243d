"""Calls by whatever a process is called, to several at once, and behind a backlog."""

import os
import signal

import pytest

from beethoven import (
    Answer,
    Registry,
    Reply,
    Via,
    abcast,
    call,
    clock,
    debug,
    multi_call,
    send_request,
    whereis,
)
from beethoven.errors import (
    CallTimeout,
    NoProcess,
    ProcessExited,
    SpecError,
)
from tests.conformance import asking, servers
from tests.conformance.cases import proves
from tests.conformance.responses import error_of, unwrap
from tests.conformance.watching import seen, seen_when_all_is_quiet, wait_for_seen
from tests.integration import roles
from tests.integration.roles import AsyncPuppet, Puppet, Unpicklable
from tests.processes import end, is_running, shortest

pytestmark = pytest.mark.process


@pytest.fixture
def names():
    with Registry.start_link(keys="unique", name="names") as registry:
        yield registry


def addressed(how, ref):
    """Return one of the ways to speak of a process that has both kinds of names."""
    return {"reference": ref, "name": ref.name, "via": Via("names", ref.name)}[how]


def start_named(name):
    ref = Puppet.start_link(name=name)
    ref.call((asking.register, "names", name))
    return ref


def by_request(target, request):
    return unwrap(send_request(target, request).receive_response())


@proves("E86")
@pytest.mark.parametrize("how", ["reference", "name", "via"])
def test_a_call_that_fails_says_why_and_of_whom(names, how):
    ref = start_named("server")
    target = addressed(how, ref)
    with pytest.raises(ProcessExited, match=r"server \(pid \d+\): a process cannot call itself"):
        ref.call((roles.call_other, target, (roles.answer, 1)))
    ref = start_named("server")
    target = addressed(how, ref)
    with pytest.raises(CallTimeout, match=r"^server \(pid \d+\): no reply within 0\.05 s$"):
        call(target, (roles.defer,), timeout=0.05)
    ref.stop()
    for ask in (call, by_request):
        with pytest.raises(NoProcess, match=r"^no process: .*server"):
            ask(target, (roles.answer, 1))


KILLED = ["name", "reference", "via", "request", "via request"]


@proves("G37", "G38", "G40")
@pytest.mark.parametrize("how", KILLED)
def test_a_call_right_after_a_kill_tells_of_the_kill_or_finds_nobody(names, how):
    ask = by_request if "request" in how else call
    for _ in range(5):
        ref = start_named("server")
        target = addressed(how.removesuffix(" request").replace("request", "name"), ref)
        os.kill(ref.pid, signal.SIGKILL)
        before = clock.monotonic()
        with pytest.raises((NoProcess, ProcessExited)) as caught:
            ask(target, (roles.answer, 2))
        assert clock.monotonic() - before < 3
        if isinstance(caught.value, ProcessExited):
            assert str(caught.value.reason) == "killed"
        assert ref.wait(5)


@proves("E87")
def test_a_process_without_a_name_has_none():
    ref = Puppet.start_link(name=None)
    assert ref.name is None
    assert whereis("None") is None
    assert ref.call((roles.answer, 1)) == 1
    end(ref)


@proves("E88")
def test_a_process_that_is_started_without_a_link_and_its_starter_end_apart(puppet):
    for ends_first in ("started", "starter"):
        starter = Puppet.start_link()
        started = starter.call((roles.start_unlinked, Puppet, None))
        first, second = (started, starter) if ends_first == "started" else (starter, started)
        first.cast((roles.crash,))
        reason = first.wait(5)
        assert reason is not None
        assert reason.is_abnormal
        assert second.call((roles.answer, "alive")) == "alive"
        end(second)
        assert not is_running(second.pid)


@proves("E91")
def test_whereis_finds_a_process_by_whatever_it_is_called(names):
    ref = start_named("server")
    for how in ("reference", "name", "via"):
        assert whereis(addressed(how, ref)) == ref
    ref.stop()
    assert whereis("server") is None
    assert whereis(Via("names", "server")) is None
    assert whereis(ref) == ref


@proves("G17")
def test_a_request_finds_its_target_by_a_via_name(names, asker):
    ref = start_named("server")
    target = Via("names", "server")
    request = send_request(target, (roles.answer, 1))
    assert request.target == ref
    assert request.receive_response() == Reply(1)
    asker.call((asking.ask, target, (roles.answer, 2)))
    assert wait_for_seen(asker, 1) == [Answer(None, Reply(2))]
    unknown = Via("names", "nobody")
    assert multi_call([target, unknown], (roles.answer, 3))[0] == {target: 3}
    abcast([unknown, target], (roles.note, "all"))
    assert seen(ref) == ["all"]
    for nobody in (unknown, Via("nothing", "server")):
        assert isinstance(error_of(send_request(nobody, 1).receive_response()), NoProcess)
    end(ref)


@proves("G24", "E89")
def test_an_abcast_reaches_all_that_are_there_and_never_fails(puppet, other):
    gone = Puppet.start_link()
    gone.stop()

    def take() -> float:
        before = clock.monotonic()
        abcast(["nobody", "puppet", gone, other], (roles.note, "all"))
        return clock.monotonic() - before

    assert shortest(take, 1.0) < 1
    assert seen(puppet) == seen(other)
    assert set(seen(puppet)) == {"all"}
    with pytest.raises(SpecError, match="can be pickled"):
        abcast([puppet], Unpicklable())


@pytest.mark.parametrize("several", [multi_call, abcast])
def test_a_single_target_is_not_several(puppet, several):
    for target in ("puppet", puppet, Via("registry", 1)):
        with pytest.raises(SpecError, match=f"{several.__name__}: expected targets to be an iter"):
            several(target, 1)


def test_an_asynchronous_role_calls_in_a_thread_while_its_coroutines_run(puppet):
    ref = AsyncPuppet.start_link()
    assert ref.call((asking.call_in_a_thread, "puppet"), 10) == "late"
    end(ref)


def test_a_via_is_shown_in_one_form():
    name = Via("registry", "key", value=1)
    assert str(name) == repr(name) == "registry['key']"
    with pytest.raises(NoProcess, match=r"registry 'registry'"):
        call(name, 1)


@proves("G29", "E90")
def test_a_multi_call_keeps_replies_and_failures_apart(puppet, other):
    replies, bad = multi_call(["puppet", other, "nobody", "puppet"], (roles.answer, 1))
    assert replies == {"puppet": 1, other: 1}
    assert list(bad) == ["nobody"]
    assert isinstance(bad["nobody"], NoProcess)
    assert multi_call([], 1) == ({}, {})


@proves("G29")
def test_several_processes_are_stopped_by_one_multi_call(puppet, other):
    replies, bad = multi_call([puppet, other], (roles.end, "normal", "bye"))
    assert (replies, bad) == ({puppet: "bye", other: "bye"}, {})
    for ref in (puppet, other):
        assert str(ref.wait(5)) == "normal"


@proves("G30", "G31")
def test_a_multi_call_waits_no_longer_than_told_and_nothing_leaks(asker, puppet, other, tmp_path):
    dead = Puppet.start_link()
    os.kill(dead.pid, signal.SIGKILL)
    suspended, crashes = Puppet.start_link(), Puppet.start_link(name="crashes")
    crashes.cast((roles.crash,))
    path = tmp_path / "go on"
    puppet.cast((servers.until, str(path)))
    os.kill(suspended.pid, signal.SIGSTOP)
    paused = Puppet.start_link(name="paused")
    debug.suspend(paused)
    targets = [puppet, "other", dead, suspended, "paused", "crashes", "nobody"]
    before = clock.monotonic()
    request = (asking.multi_call_others, targets, (roles.answer, "here"), 1.0)
    replies, bad = asker.call(request, timeout=30)
    assert clock.monotonic() - before < 5
    assert replies == {"other": "here"}
    assert set(bad) == set(targets) - {"other"}
    for late in (puppet, suspended, "paused"):
        assert isinstance(bad[late], CallTimeout)
        assert "no reply within 1 s" in str(bad[late])
    for gone in (dead, "crashes", "nobody"):
        assert isinstance(bad[gone], NoProcess | ProcessExited)
    path.touch()
    os.kill(suspended.pid, signal.SIGCONT)
    debug.resume(paused)
    for ref in (puppet, suspended, paused):
        assert ref.call((roles.answer, "awake")) == "awake"
        assert asker.call((roles.call_other, ref, (roles.answer, "mine"))) == "mine"
    assert seen_when_all_is_quiet(asker) == []
    end(suspended)
    end(paused)


@proves("G59", "G34", "G35", "G36")
@pytest.mark.parametrize("kind", ["call", "request", "several", "timeout", "nobody"])
def test_calls_take_no_longer_behind_a_huge_backlog(puppet, other, kind):
    asker = Puppet.start_link()
    targets = ["nobody"] if kind == "nobody" else [puppet, other]
    times = {
        backlog: asker.call((asking.time_calls, 40, backlog, kind, targets), timeout=60)
        for backlog in (0, 500_000)
    }
    # To look through the backlog once takes more than ten milliseconds.
    assert times[500_000] < times[0] * 3 + 0.003, times
    end(asker)
