"""Starting and stopping servers: gen_server_SUITE and Elixir's gen_server_test."""

import os
import signal
from typing import Any

import pytest

from beethoven import (
    ChildSpec,
    Down,
    Exit,
    ExitReason,
    ReasonKind,
    call,
    cast,
    process_info,
    send,
    stop,
    whereis,
)
from beethoven.errors import (
    AlreadyStarted,
    CallingSelf,
    CallTimeout,
    NoProcess,
    ProcessExited,
    SpecError,
    StartFailed,
    StartIgnored,
    StartTimeout,
)
from tests.conformance import servers
from tests.conformance.cases import proves
from tests.conformance.servers import Bare, Broken, Junk, NotWilling
from tests.integration import roles
from tests.integration.roles import Puppet, Trapper
from tests.processes import end, is_running, wait_until

pytestmark = pytest.mark.process

# What `whereis` returns of a name that nobody holds.
NOBODY: Any = None
FORMS = ["plain", "linked", "monitored"]


@pytest.fixture
def starter():
    """A process that starts others, and sees what it is told of them."""
    ref = Trapper.start_link()
    yield ref
    end(ref)


def seen(ref):
    return ref.call((roles.seen,))


def links(ref):
    info = process_info(ref)
    assert info is not None
    return info.links


def start_in(starter, form, behaviour, args=None, **options):
    return starter.call((servers.start_in, form, behaviour, args, options), timeout=30)


def nothing_more_seen(ref, expected):
    """Whether a process has seen that and, a little later, no more."""
    wait_until(lambda: len(seen(ref)) >= len(expected))
    ref.call((roles.sleep, 0.05))
    return seen(ref) == expected


@proves("G1", "E84", "E87")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", [None, "server"], ids=["anonymous", "named"])
def test_a_server_starts_in_every_form(starter, form, name):
    ref = start_in(starter, form, Puppet, name=name)
    assert ref.call((roles.pid,)) == ref.pid
    assert whereis("server") == (None if name is None else ref)
    assert ref.name == name
    if name is not None:
        assert call(name, (roles.pid,)) == ref.pid
        assert start_in(starter, form, Puppet, name=name) == (AlreadyStarted, ref)
    assert seen(starter) == []

    ref.stop("why")
    with pytest.raises(NoProcess):
        ref.call((roles.pid,))
    reason = ExitReason(ReasonKind.OTHER, "why")
    told = {"plain": [], "linked": [Exit(ref, reason)], "monitored": [Down(1, ref, reason)]}
    assert nothing_more_seen(starter, told[form])


NOT_STARTED = {
    "stop": (StartFailed, "why"),
    "ignore": (StartIgnored, None),
    "junk": (StartFailed, "bad return value of init: 5"),
    "error": (LookupError, "no luck"),
    "exit": (StartFailed, "SystemExit: 3"),
    "timeout": (StartTimeout, None),
}


@proves("G1", "G15")
@pytest.mark.parametrize("form", ["plain", "linked"])
@pytest.mark.parametrize("way", NOT_STARTED)
def test_a_server_that_does_not_start_is_gone_when_that_is_told(starter, form, way, tmp_path):
    """Five times in a row with one name. Nothing is there yet that could be monitored."""
    pid = tmp_path / "pid"
    options = {"name": "unwilling", "timeout": 0.3 if way == "timeout" else 30.0}
    for _ in range(5):
        outcome = start_in(starter, form, NotWilling, (way, str(pid)), **options)
        assert outcome == NOT_STARTED[way]
        # One whose time was over before its `init` began has told no pid.
        assert way == "timeout" or pid.exists()
        assert not pid.exists() or not is_running(int(pid.read_text("ascii")))
        assert whereis("unwilling") is None
    assert nothing_more_seen(starter, [])


@proves("G50")
def test_the_name_of_a_server_that_would_not_start_is_free_at_once(starter, tmp_path):
    path = str(tmp_path / "pid")
    for _ in range(50):
        for way, error in (("ignore", StartIgnored), ("stop", StartFailed)):
            with pytest.raises(error):
                NotWilling.start_link((way, path), name="unwilling")
            assert whereis("unwilling") is None


@proves("G15")
def test_the_start_of_a_server_that_traps_exits_fails_the_same(starter, tmp_path):
    for _ in range(5):
        args = (roles.run, "role.trap_exit = True; raise ValueError('boom')")
        assert start_in(starter, "linked", Puppet, args, name="unwilling") == (ValueError, "boom")
        assert whereis("unwilling") is None
    assert nothing_more_seen(starter, [])


@proves("G64")
def test_an_init_that_lacks_something_fails_the_start_and_tells_nothing_else(starter):
    outcome = start_in(starter, "linked", Puppet, (roles.run, "role.no_such_method()"))
    assert outcome[0] is AttributeError
    assert nothing_more_seen(starter, [])


@proves("G64")
def test_a_server_without_init_starts():
    ref = Bare.start_link("ignored")
    assert ref.is_alive()
    ref.stop()


@proves("E81")
@pytest.mark.parametrize("name", [5, "", b"name", ("a", "name"), "a\0b", "x" * 300])
def test_what_cannot_be_a_name_is_refused_before_anything_starts(name, tmp_path):
    path = tmp_path / "started"
    for begin in (Puppet.start, Puppet.start_link):
        with pytest.raises(SpecError) as caught:
            begin((roles.touch, str(path)), name=name)
        assert repr(name) in str(caught.value)
    assert not path.exists()


@proves("G47", "G1")
def test_a_process_whose_name_another_one_holds_does_not_become_a_server(puppet, tmp_path):
    path = tmp_path / "started"
    with pytest.raises(AlreadyStarted) as caught:
        Puppet.start_link((roles.touch, str(path)), name="puppet")
    assert caught.value.holder == puppet
    assert not path.exists()
    assert whereis("puppet") == puppet


@proves("E88")
def test_a_start_without_a_link_leaves_none(starter):
    ref = start_in(starter, "plain", Puppet)
    assert links(ref) == links(starter) == ()
    linked = start_in(starter, "linked", Puppet)
    assert links(linked) == (starter,)
    assert links(starter) == (linked,)
    os.kill(starter.pid, signal.SIGKILL)
    assert starter.wait(5)
    assert ref.call((roles.answer, "alive")) == "alive"
    ref.stop()


@proves("E85")
def test_a_linked_server_is_called_cast_to_and_stopped():
    ref = Puppet.start_link()
    ref.cast((roles.note, "hello"))
    assert seen(ref) == ["hello"]
    ref.stop()
    for target in (ref, "nobody", NOBODY):
        cast(target, "lost")
        send(target, "lost")


@proves("G4", "G5", "E92")
@pytest.mark.parametrize("reason", ["normal", "shutdown", "a reason of its own"])
def test_stop_returns_when_the_server_has_ended_for_that_reason(starter, puppet, reason):
    starter.call((roles.monitor, puppet))
    puppet.stop(reason)
    assert not is_running(puppet.pid)
    with pytest.raises(NoProcess):
        puppet.stop(reason)
    wait_until(lambda: seen(starter))
    assert [str(down.reason) for down in seen(starter)] == [reason]


@proves("G6")
@pytest.mark.parametrize("timeout", [-1, "soon", float("nan")])
def test_a_stop_with_a_timeout_that_is_none_leaves_the_server_alone(puppet, timeout):
    with pytest.raises(SpecError, match="expected timeout to be seconds >= 0 or None"):
        puppet.stop(timeout=timeout)
    assert puppet.call((roles.answer, "alive")) == "alive"


@proves("G7", "G8", "E92")
@pytest.mark.parametrize("is_looked_up", [False, True], ids=["name", "reference by name"])
def test_a_server_is_stopped_by_its_name(puppet, is_looked_up):
    target: Any = whereis("puppet") if is_looked_up else "puppet"
    stop(target)
    assert not is_running(puppet.pid)
    assert whereis("puppet") is None
    with pytest.raises(NoProcess):
        stop(target)


@proves("G9")
def test_a_name_holds_in_the_whole_tree_also_for_a_stop(starter, puppet):
    """What OTP's global names are for: any process may speak of any other."""
    inner = start_in(starter, "linked", Puppet)
    inner.call((roles.stop_other, "puppet"))
    assert not is_running(puppet.pid)
    failure = inner.call((servers.failure_of, "stop", "puppet"))
    assert failure == (NoProcess, "no process: 'puppet'")


@proves("E92", "E86")
@pytest.mark.parametrize("verb", ["call", "stop"])
def test_nobody_is_at_none_where_nobody_was_found(verb):
    act = {"call": lambda: call(NOBODY, 1), "stop": lambda: stop(NOBODY)}[verb]
    with pytest.raises(NoProcess, match="no process: None"):
        act()


@proves("G39", "E86", "E92")
@pytest.mark.parametrize("verb", ["call", "stop"])
@pytest.mark.parametrize("by_name", [True, False], ids=["name", "reference"])
def test_a_server_that_calls_or_stops_itself_is_told_so_at_once(puppet, verb, by_name):
    target = "puppet" if by_name else puppet
    error, text = puppet.call((servers.failure_of, verb, target))
    assert error is CallingSelf
    assert text == f"puppet (pid {puppet.pid}): a process cannot call itself"


@proves("E86")
def test_a_failed_call_says_whom_it_was_for(puppet):
    target = rf"puppet \(pid {puppet.pid}\)"
    with pytest.raises(CallTimeout, match=rf"^{target}: no reply within 0\.05 s"):
        puppet.call((roles.defer,), timeout=0.05)
    puppet.stop()
    with pytest.raises(NoProcess, match=rf"^no process: {target}$"):
        puppet.call((roles.answer, 1))
    with pytest.raises(NoProcess, match=r"^no process: 'puppet'$"):
        call("puppet", (roles.answer, 1))


@proves("E91")
def test_whereis_finds_a_name_and_a_reference_and_nobody(puppet):
    other = Puppet.start_link()
    assert whereis("puppet") == puppet
    assert other.call((servers.look_up, "puppet")) == puppet
    assert whereis(puppet) == puppet
    assert whereis("nobody") is None
    puppet.stop()
    assert whereis("puppet") is None
    other.stop()


ORDERLY = {
    "normal": ((roles.end, "normal"), "normal"),
    "shutdown": ((roles.end, "shutdown"), "shutdown"),
    "shutdown with particulars": (
        (roles.end, ExitReason(ReasonKind.SHUTDOWN, "moved")),
        "shutdown: moved",
    ),
    "crash": ((roles.crash,), "ValueError: boom"),
}


@proves("G14")
@pytest.mark.parametrize(("request_", "reason"), ORDERLY.values(), ids=ORDERLY.keys())
def test_who_is_being_served_gets_the_reason_of_the_end(puppet, request_, reason):
    with pytest.raises(ProcessExited) as caught:
        puppet.call(request_)
    assert str(caught.value.reason) == reason


@proves("G45", "G46")
@pytest.mark.parametrize("way", ["normal", "shutdown", "crash"])
def test_terminate_runs_when_a_parent_that_has_a_name_ends(tmp_path, way):
    will = tmp_path / "will"
    parent = Puppet.start_link(name="parent")
    child = parent.call((roles.start_other, Trapper, (roles.write_will, str(will))))
    assert call("parent", (roles.answer, "alive")) == "alive"
    parent.cast((roles.crash,) if way == "crash" else (roles.end, way))
    wait_until(lambda: not is_running(child.pid))
    assert will.exists()


@proves("G60")
def test_a_server_without_handle_call_ends_when_it_is_called():
    ref = Bare.start_link()
    with pytest.raises(ProcessExited, match="NotImplementedError: Bare has no handle_call"):
        ref.call("anything")
    wait_until(lambda: not is_running(ref.pid))


@proves("G61", "G63")
@pytest.mark.parametrize(
    ("behaviour", "act", "text"),
    [
        (Bare, lambda ref: ref.cast("x"), "Bare has no handle_cast, got: 'x'"),
        (Broken, lambda ref: ref.call("go on"), "Broken has no handle_continue"),
    ],
    ids=["cast", "continue"],
)
def test_a_server_without_the_callback_for_it_ends(starter, behaviour, act, text):
    ref = behaviour.start_link()
    starter.call((roles.monitor, ref))
    act(ref)
    wait_until(lambda: seen(starter))
    (down,) = seen(starter)
    # The terminate of `Broken` fails as well, and that is the reason then.
    assert text in down.reason.traceback


@proves("G62")
def test_a_server_without_handle_info_lives_on_and_warns(capfd):
    ref = Bare.start_link()
    ref.send("unheard of")
    wait_until(lambda: process_info(ref) is not None)
    ref.stop()
    warning = capfd.readouterr().err
    assert "unexpected_message" in warning
    assert "unheard of" in warning


@proves("G66", "G67")
@pytest.mark.parametrize("reason", ["normal", "a reason of its own"])
def test_a_server_without_terminate_stops_for_the_reason(starter, reason):
    ref = Bare.start_link()
    starter.call((roles.monitor, ref))
    ref.stop(reason)
    wait_until(lambda: seen(starter))
    assert str(seen(starter)[0].reason) == reason


@proves("G68")
def test_a_terminate_that_lacks_something_is_a_crash():
    ref = Broken.start_link()
    with pytest.raises(ProcessExited) as caught:
        ref.stop("normal")
    assert "'Broken' object has no attribute 'no_such_method'" in caught.value.reason.detail


@proves("G69")
def test_a_handle_info_that_lacks_something_is_a_crash(starter):
    ref = Broken.start_link()
    starter.call((roles.monitor, ref))
    ref.send("anything")
    wait_until(lambda: seen(starter))
    (down,) = seen(starter)
    assert "'Broken' object has no attribute 'no_such_method'" in down.reason.detail


@proves("G16")
@pytest.mark.parametrize(
    ("act", "callback"),
    [
        (lambda ref: ref.cast(5), "handle_cast"),
        (lambda ref: ref.send(5), "handle_info"),
        (lambda ref: ref.call(5), "handle_continue"),
    ],
    ids=["cast", "info", "continue"],
)
@pytest.mark.parametrize("behaviour", [Junk, servers.AsyncJunk], ids=["plain", "async"])
def test_a_callback_that_returns_what_means_nothing_ends_the_server(
    starter, behaviour, act, callback
):
    ref = behaviour.start()
    starter.call((roles.monitor, ref))
    act(ref)
    wait_until(lambda: seen(starter))
    assert str(seen(starter)[0].reason) == f"bad return value of {callback}: 5"


@proves("E80")
def test_the_specification_of_a_server_has_defaults_that_can_be_overridden():
    spec = ChildSpec("server", Puppet, "args")
    assert (spec.role, spec.args, spec.restart, spec.shutdown) == (Puppet, "args", "permanent", 5.0)
    assert spec.type == "worker"
    other = ChildSpec("server", Puppet, restart="transient", shutdown=1.0)
    assert (other.args, other.restart, other.shutdown) == (None, "transient", 1.0)
