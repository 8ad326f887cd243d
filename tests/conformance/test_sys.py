"""The debug interface, as in OTP's `sys`, and what servers show of themselves."""

import contextlib
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from beethoven import ChildSpec, DynamicSupervisor, Registry, Supervisor, Via, debug, whereis
from beethoven.errors import (
    CallingSelf,
    CallTimeout,
    NoProcess,
    ProcessExited,
    ReplyNotPicklable,
    RequestRefused,
    SpecError,
    StateNotReplaced,
)
from beethoven.runtime import connection, framing
from beethoven.runtime.reason import SHUTDOWN
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
    TrappingAccount,
)
from tests.conformance.cases import proves
from tests.integration import roles
from tests.integration.roles import Trapper
from tests.log_lines import LogLines
from tests.processes import end, holder_of, is_running, wait_until

pytestmark = pytest.mark.process

LIMIT = 5.0


@pytest.fixture
def account():
    ref = Account.start_link(name="account")
    yield ref
    end(ref)


@pytest.fixture(params=[Account, AsyncAccount], ids=["plain", "async"])
def either(request):
    ref = request.param.start_link(name="account")
    yield ref
    end(ref)


@proves("G57")
def test_the_state_can_be_read_by_reference_and_by_name(either):
    for target in (either, "account"):
        state = debug.get_state(target, timeout=LIMIT)
        assert (state["pin"], state["balance"], state["seen"]) == (SECRET, 0, [])
        assert not any(name.startswith("_") for name in state)


@proves("G57")
def test_the_state_can_be_read_while_the_server_is_suspended(account):
    debug.suspend(account)
    assert debug.get_state("account", timeout=LIMIT)["balance"] == 0


@proves("G57")
def test_whoever_reads_the_state_waits_no_longer_than_it_wants_to(account):
    account.cast((roles.sleep, 1.0))
    with pytest.raises(CallTimeout):
        debug.get_state(account, timeout=0.01)
    assert debug.get_state(account)["balance"] == 0


@proves("G58")
@pytest.mark.parametrize("suspended", [False, True])
def test_the_state_can_be_replaced_by_a_function_that_runs_in_the_server(either, suspended):
    if suspended:
        debug.suspend(either)
    assert debug.replace_state(either, accounts.deposit)["balance"] == 1
    assert debug.replace_state("account", accounts.pid_of_runner)["pid"] == either.pid
    assert debug.get_state(either)["balance"] == 1
    debug.resume(either)
    assert either.call((accounts.balance,)) == 1


@proves("G58")
@pytest.mark.parametrize("suspended", [False, True])
@pytest.mark.parametrize(
    ("function", "cause"),
    [
        (accounts.spend_and_fail, "ValueError: too little"),
        (accounts.exit_in_between, "SystemExit"),
        (accounts.return_junk, "expected the new state, a dict, got: 7"),
    ],
)
def test_a_function_that_fails_changes_nothing_and_concerns_only_who_asked(
    either, suspended, function, cause
):
    before = debug.get_state(either)
    if suspended:
        debug.suspend(either)
    with pytest.raises(StateNotReplaced, match=cause):
        debug.replace_state(either, function)
    assert debug.get_state(either) == before
    debug.resume(either)
    assert either.call((accounts.balance,)) == 0


def test_what_the_new_state_does_not_have_is_removed_but_for_what_is_private(account):
    assert debug.replace_state(account, accounts.forget_everything) == {"seen": []}
    assert account.call((roles.run, "answer = role._private")) == "private"


def test_a_function_that_cannot_be_sent_is_refused_where_it_is_written(account):
    with pytest.raises(SpecError, match="function"):
        debug.replace_state(account, lambda state: state)


def test_a_state_that_cannot_be_sent_is_said_to_be_so_and_can_be_shown(account):
    account.call((accounts.keep_what_cannot_be_sent,))
    with pytest.raises(ReplyNotPicklable):
        debug.get_state(account)
    shown = debug.get_status(account).state
    assert isinstance(shown, dict)
    assert "Unpicklable" in shown["kept"]


@proves("G51")
@pytest.mark.parametrize("role", [DiscreetAccount, DiscreetAsyncAccount])
def test_the_status_shows_the_state_as_the_server_formats_it(role):
    for name in (None, "discreet"):
        ref = role.start_link(name=name)
        status = debug.get_status(ref if name is None else name)
        assert (status.role, status.state) == (role.__name__, SHOWN)
        assert debug.get_state(ref)["pin"] == SECRET
        ref.stop()


@proves("G51")
def test_the_status_passes_the_formatter_under_a_via_name_too():
    with Registry.start_link(name="names"):
        ref = DiscreetAccount.start_link(name=Via("names", "discreet"))
        assert debug.get_status(Via("names", "discreet")).state == SHOWN
        ref.stop()


@proves("G54", "G55")
@pytest.mark.parametrize("role", [BrokenAccount, ThrowingAccount, JunkAccount])
def test_a_formatter_that_fails_is_replaced_by_a_fixed_text_and_harms_nobody(role, capfd):
    ref = role.start_link()
    debug.log(ref)
    ref.cast((roles.note, SECRET))
    status = debug.get_status(ref)
    assert status.state == FORMATTER_FAILED
    assert SECRET not in repr(status)
    assert len(LogLines(capfd).of("format_status_failed", role=role.__name__)) == 1
    assert ref.call((roles.seen,)) == [SECRET]
    ref.stop()


@proves("G56")
def test_the_formatter_can_rewrite_state_and_debug_log_of_the_status():
    ref = SilentAccount.start_link()
    debug.log(ref)
    ref.call((roles.note, SECRET))
    status = debug.get_status(ref)
    assert status.state == SHOWN
    assert [event.value for event in status.log] == [SHOWN, SHOWN]
    assert SECRET not in repr(status)
    ref.stop()


def test_the_status_tells_who_and_whose_a_server_is():
    spec = ChildSpec("it", Account, name="it")
    inner = Supervisor.child_spec("inner", [spec], name="inner")
    with Supervisor.start_link([inner], name="outer") as outer:
        ref = holder_of("it")
        ref.call((accounts.name_me, "the account of Ada"))
        status = debug.get_status(ref)
        assert status.ancestors == (str(whereis("inner")), str(outer.ref.named("outer")))
        assert status.label == "the account of Ada"
        assert status.process == f"it (pid {ref.pid})"


def test_a_suspended_server_handles_its_messages_in_order_when_it_goes_on(either):
    debug.suspend(either)
    for number in range(5):
        either.cast((roles.note, number))
    with pytest.raises(CallTimeout):
        either.call((roles.note, "call"), timeout=0.01)
    wait_until(lambda: debug.get_status(either).waiting == 6)
    assert debug.get_state(either)["seen"] == []
    debug.resume(either)
    either.cast((roles.note, "after"))
    assert either.call((roles.seen,)) == [*range(5), "call", "after"]


def test_timers_of_a_suspended_server_wait_too(account):
    account.call((roles.set_timer, 1.0, "rung"))
    debug.suspend(account)
    wait_until(lambda: debug.get_status(account).waiting == 1)
    assert debug.get_state(account)["seen"] == []
    debug.resume(account)
    assert account.call((roles.seen,)) == ["rung"]


def test_a_suspended_server_can_be_suspended_again_and_resumed_once(account):
    debug.suspend(account)
    debug.suspend(account)
    assert debug.get_status(account).is_suspended
    debug.resume(account)
    assert not debug.get_status(account).is_suspended
    assert account.call((roles.answer, 1)) == 1


def test_a_suspended_server_can_be_stopped_and_terminates(either, tmp_path):
    either.call((roles.write_will, str(tmp_path / "will")))
    debug.suspend(either)
    either.cast((roles.note, 1))
    either.stop("shutdown", timeout=10)
    assert (tmp_path / "will").read_text("utf-8") == "shutdown"


def test_a_suspended_server_that_traps_exits_terminates_when_its_parent_says_so(tmp_path):
    will = tmp_path / "will"
    with Supervisor.start_link([ChildSpec("it", TrappingAccount)]) as tree:
        ref = tree.child("it")
        ref.call((roles.write_will, str(will)))
        debug.suspend(ref)
        ref.cast((roles.note, 1))
        tree.terminate_child("it")
    assert will.read_text("utf-8") == "shutdown"


def test_a_suspended_server_that_traps_exits_terminates_when_its_parent_is_killed(tmp_path):
    will = tmp_path / "will"
    parent = Trapper.start_link()
    ref = parent.call((roles.start_other, TrappingAccount, None))
    ref.call((roles.write_will, str(will)))
    debug.suspend(ref)
    os.kill(parent.pid, signal.SIGKILL)
    wait_until(lambda: not is_running(ref.pid))
    assert will.read_text("utf-8") == "killed"


def test_callers_of_a_suspended_server_that_ends_get_its_reason(account):
    debug.suspend(account)
    with ThreadPoolExecutor() as threads:
        call = threads.submit(account.call, (roles.answer, 1), None)
        wait_until(lambda: debug.get_status(account).waiting == 1)
        account.stop("shutdown")
        with pytest.raises(ProcessExited) as caught:
            call.result()
    assert caught.value.reason == SHUTDOWN


@proves("G28")
def test_a_system_request_does_not_end_an_idle_timeout(either):
    either.call((accounts.be_idle, 1.0, "idle"))
    assert debug.get_state(either)["seen"] == []
    debug.suspend(either)
    debug.resume(either)
    wait_until(lambda: len(debug.get_state(either)["seen"]) == 1)


def test_a_message_to_a_suspended_server_ends_its_idle_timeout(either):
    either.call((accounts.be_idle, 1.5, "idle"))
    debug.suspend(either)
    either.cast((roles.note, "message"))
    wait_until(lambda: debug.get_status(either).waiting == 1)
    with pytest.raises(CallTimeout):
        either.call((roles.seen,), timeout=2)
    debug.resume(either)
    assert either.call((roles.seen,)) == ["message"]


def test_a_server_keeps_as_many_debug_events_as_it_is_asked_to(either):
    either.call((roles.answer, 0))
    debug.log(either, 3)
    either.cast((roles.note, "cast"))
    either.send("info")
    either.call((roles.answer, 7))
    events = debug.get_log(either)
    assert [event.kind for event in events] == ["info", "call", "reply"]
    assert [event.value for event in events][::2] == ["'info'", "7"]
    assert [event.client for event in events] == [None, os.getpid(), os.getpid()]
    debug.log(either, None)
    assert debug.get_log(either) == ()


def test_a_server_counts_from_when_it_is_asked_to(account):
    assert debug.get_statistics(account) is None
    account.call((roles.answer, 0))
    debug.statistics(account)
    account.cast((roles.note, 1))
    account.call((roles.answer, 2))
    counted = debug.get_statistics(account)
    assert counted is not None
    assert (counted.received, counted.replied) == (2, 1)
    assert counted.cpu >= 0
    debug.statistics(account, on=False)
    assert debug.get_statistics(account) is None


def test_no_debug_turns_everything_off(account, capfd):
    log = LogLines(capfd)
    debug.log(account)
    debug.statistics(account)
    debug.trace(account)
    debug.no_debug(account)
    account.call((roles.answer, 1))
    assert debug.get_statistics(account) is None
    assert debug.get_log(account) == ()
    assert not log.of("traced")


def test_a_traced_server_tells_the_log_of_messages_and_replies(capfd):
    log = LogLines(capfd)
    ref = Account.start_link()
    debug.trace(ref)
    ref.call((roles.answer, "ping"))
    assert [line["kind"] for line in log.of("traced")] == ["call", "reply"]
    assert log.of("traced", kind="reply")[0]["value"] == "'ping'"
    debug.trace(ref, on=False)
    ref.call((roles.answer, "pong"))
    assert "pong" not in log.read()
    ref.stop()


def test_supervisors_show_their_children_and_can_be_suspended():
    spec = ChildSpec("it", Account, shutdown="brutal_kill")
    with Supervisor.start_link([spec]) as tree:
        first = tree.child("it")
        assert [entry.ref for entry in debug.get_state(tree.ref)["children"]] == [first]
        assert debug.get_status(tree.ref).state == {"it": f"running (pid {first.pid})"}
        with pytest.raises(StateNotReplaced, match="keeps its own state"):
            debug.replace_state(tree.ref, accounts.deposit)
        debug.suspend(tree.ref)
        os.kill(first.pid, signal.SIGKILL)
        wait_until(lambda: debug.get_status(tree.ref).waiting >= 1)
        debug.resume(tree.ref)
        wait_until(lambda: tree.child("it") != first)


def test_a_suspended_supervisor_stops_its_children_when_it_is_stopped():
    tree = Supervisor.start_link([ChildSpec("it", Account)])
    pid = tree.child("it").pid
    debug.suspend(tree.ref)
    tree.stop(timeout=10)
    assert not is_running(pid)


def test_a_dynamic_supervisor_answers_as_well():
    with DynamicSupervisor.start_link() as tree:
        assert debug.get_status(tree.ref).role == "DynamicSupervisor"
        assert debug.get_state(tree.ref) == {"children": []}


def test_who_is_not_there_or_asks_itself_is_told_so(account):
    with pytest.raises(NoProcess):
        debug.get_state("nobody")
    gone = Account.start_link()
    gone.stop()
    with pytest.raises(NoProcess):
        debug.suspend(gone)
    with pytest.raises(ProcessExited, match=CallingSelf.__name__):
        account.call((accounts.read_own_state,))


@pytest.mark.parametrize("most", [0, -1, 1.5, True, "many"])
def test_a_number_of_events_that_is_none_is_refused(account, most):
    with pytest.raises(SpecError, match="most"):
        debug.log(account, most)


ABSURD = [
    ("become", 1),
    ("__init__",),
    (),
    7,
    ([],),
    ("keep_log",),
    ("keep_log", -1),
    ("keep_log", "many"),
    ("suspend", 1),
    roles.ExitsElsewhere(),
]


@pytest.mark.parametrize("request_", ABSURD, ids=str)
def test_an_unknown_system_request_is_refused(account, request_):
    payload = roles.pickled(request_)
    with pytest.raises(RequestRefused):
        raise connection.request(account, framing.SYSTEM, payload, LIMIT)[1]
    assert account.call((roles.answer, 1)) == 1


def test_a_system_request_beyond_what_can_be_done_ends_neither_server_nor_supervisor(account):
    with Supervisor.start_link([ChildSpec("it", Account)]) as tree:
        child = tree.child("it")
        for target in (account, tree.ref):
            with pytest.raises(RequestRefused, match="OverflowError"):
                debug.log(target, 2**63)
        assert tree.child("it") == child
    assert account.call((roles.answer, 1)) == 1


def test_a_state_that_exits_when_it_is_pickled_ends_nobody(account):
    account.call((roles.hold, roles.Exits))
    with pytest.raises(ReplyNotPicklable):
        debug.get_state(account)
    assert account.call((roles.answer, 1)) == 1


@pytest.mark.parametrize(
    "request_",
    [("terminate_process", []), ("terminate_child", []), ("fly",), 7, roles.ExitsElsewhere()],
    ids=str,
)
def test_a_request_that_is_none_ends_no_supervisor(request_):
    with DynamicSupervisor.start_link() as tree:
        with contextlib.suppress(RequestRefused):
            connection.request(tree.ref, framing.CALL, roles.pickled(request_), LIMIT)
        assert tree.count_children().specs == 0
