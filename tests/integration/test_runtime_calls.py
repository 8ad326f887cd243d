import os
import pickle
import signal
import threading

import pytest

from beethoven import (
    ExitReason,
    Failure,
    ReasonKind,
    Ref,
    Reply,
    call,
    cast,
    clock,
    send,
    send_request,
)
from beethoven.errors import (
    CallingSelf,
    CallTimeout,
    NoProcess,
    ProcessExited,
    ReplyNotPicklable,
    RequestRefused,
    SpecError,
)
from beethoven.runtime import connection, framing
from tests.integration import roles
from tests.integration.roles import Plain, Puppet, Trapper, Unpicklable
from tests.log_lines import LogLines
from tests.processes import end, wait_until

pytestmark = [pytest.mark.process, pytest.mark.shared_tree]


@pytest.fixture
def puppet():
    ref = Puppet.start_link(name="puppet")
    yield ref
    end(ref)


@pytest.fixture
def busy(tmp_path):
    """A file for `roles.be_busy`."""
    path = tmp_path / "busy"
    path.touch()
    return path


class UnknownElsewhere:
    """Pickles as something that no process can import."""

    def __reduce__(self):
        return __import__, ("no_such_module_anywhere",)


def test_a_call_returns_the_reply(puppet):
    assert puppet.call((roles.answer, {"deep": [1, (2, 3)]})) == {"deep": [1, (2, 3)]}
    assert call("puppet", (roles.answer, None)) is None


def test_messages_of_one_sender_keep_their_order(puppet):
    for number in range(200):
        puppet.cast((roles.note, number))
        if number % 7 == 0:
            puppet.send(number)
    expected = [n for number in range(200) for n in [number] * (1 + (number % 7 == 0))]
    assert puppet.call((roles.seen,)) == expected


def test_a_reply_can_be_given_later(puppet):
    replies = []
    thread = threading.Thread(target=lambda: replies.append(puppet.call((roles.defer,))))
    thread.start()
    wait_until(lambda: puppet.call((roles.kept_callers,)) == 1)
    assert not replies
    puppet.cast((roles.answer_deferred, "late"))
    thread.join(5)
    assert replies == ["late"]


def test_a_second_reply_to_one_call_is_dropped(puppet):
    assert puppet.call((roles.answer_twice, "first", "second")) == "first"
    assert puppet.call((roles.answer, "mine")) == "mine"


def test_a_late_reply_is_never_taken_for_another(puppet):
    for round_ in range(3):
        with pytest.raises(CallTimeout, match=r"no reply within 0\.05 s"):
            puppet.call((roles.defer,), timeout=0.05)
        puppet.cast((roles.answer_deferred, "late"))
        assert puppet.call((roles.answer, round_)) == round_


def test_order_is_kept_across_a_call_that_timed_out(puppet, busy):
    puppet.cast((roles.be_busy, str(busy)))
    for number in range(80):
        puppet.cast((roles.note_long, number, bytes(900)))
    with pytest.raises(CallTimeout):
        puppet.call((roles.note, 80), timeout=0.05)
    puppet.cast((roles.note, 81))
    busy.unlink()
    assert puppet.call((roles.seen,)) == list(range(82))


def test_a_request_is_executed_although_its_call_timed_out(puppet, busy):
    with pytest.raises(CallTimeout):
        puppet.call((roles.be_busy, str(busy)), timeout=0.05)
    with pytest.raises(CallTimeout):
        puppet.call((roles.note, "done"), timeout=0.05)
    busy.unlink()
    assert puppet.call((roles.seen,)) == ["done"]


ENDS = {
    "normal": ((roles.end, "normal"), lambda r: r.kind is ReasonKind.NORMAL),
    "shutdown": ((roles.end, "shutdown"), lambda r: r.kind is ReasonKind.SHUTDOWN),
    "other": (
        (roles.end, ("why", 1)),
        lambda r: r == ExitReason(ReasonKind.OTHER, "('why', 1)"),
    ),
    "exception": (
        (roles.crash,),
        lambda r: r.detail == "ValueError: boom" and "in crash" in r.traceback,
    ),
    "os._exit": ((roles.leave, 3), lambda r: str(r) == "exit code 3"),
    "SIGKILL": ((roles.leave_by_signal, 9), lambda r: r.kind is ReasonKind.KILLED),
    "SIGSEGV": ((roles.leave_by_signal, 11), lambda r: str(r) == "signal SIGSEGV"),
    "SIGTERM": ((roles.leave_by_signal, 15), lambda r: str(r) == "signal SIGTERM"),
}


@pytest.mark.parametrize(("request_", "is_expected"), ENDS.values(), ids=ENDS.keys())
def test_every_blocked_caller_gets_the_reason_when_the_process_ends(puppet, request_, is_expected):
    reasons = []

    def wait_for_a_reply():
        try:
            puppet.call((roles.defer,), timeout=20)
        except ProcessExited as error:
            reasons.append(error.reason)

    threads = [threading.Thread(target=wait_for_a_reply) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: puppet.call((roles.kept_callers,)) == 3)
    with pytest.raises(ProcessExited) as caught:
        puppet.call(request_, timeout=20)
    for thread in threads:
        thread.join(10)
    assert is_expected(caught.value.reason), caught.value.reason
    assert len(reasons) == 3
    assert all(map(is_expected, reasons)), reasons


@pytest.mark.parametrize(("request_", "is_expected"), ENDS.values(), ids=ENDS.keys())
def test_whoever_waits_in_the_queue_gets_the_reason_too(puppet, busy, request_, is_expected):
    puppet.cast((roles.be_busy, str(busy)))
    puppet.cast(request_)
    waiting = [send_request(puppet, (roles.answer, "never")) for _ in range(3)]
    busy.unlink()
    for each in waiting:
        failure = each.receive_response(20)
        assert isinstance(failure, Failure)
        assert isinstance(failure.error, ProcessExited)
        assert is_expected(failure.error.reason), failure.error.reason


def test_an_error_of_a_callback_shows_its_traceback_to_the_caller(puppet):
    with pytest.raises(ProcessExited, match=r"(?s)puppet.*exited: ValueError: boom.*in crash"):
        puppet.call((roles.crash,))


def test_nobody_is_called_at_a_dead_reference(puppet):
    puppet.stop()
    for _ in range(2):
        with pytest.raises(NoProcess):
            puppet.call((roles.answer, 1))
    with pytest.raises(NoProcess):
        puppet.stop()
    puppet.cast((roles.answer, 1))
    puppet.send("nobody")


def test_a_call_after_the_end_on_a_kept_connection_finds_nobody(puppet):
    assert puppet.call((roles.answer, 1)) == 1
    os.kill(puppet.pid, signal.SIGKILL)
    assert puppet.wait(5) == ExitReason(ReasonKind.KILLED)
    with pytest.raises(NoProcess):
        puppet.call((roles.answer, 1))


def test_nobody_is_called_at_an_unknown_name(puppet):
    with pytest.raises(NoProcess, match="'nobody'"):
        call("nobody", 1)
    cast("nobody", 1)
    send("nobody", 1)


def test_a_call_is_bound_to_one_incarnation(puppet):
    puppet.stop()
    successor = Puppet.start_link(name="puppet")
    with pytest.raises(NoProcess):
        puppet.call((roles.answer, 1))
    successor.stop()


@pytest.mark.parametrize("by_name", [True, False], ids=["name", "reference"])
def test_a_process_cannot_call_itself(puppet, by_name):
    with pytest.raises(ProcessExited) as caught:
        puppet.call((roles.call_other, "puppet" if by_name else puppet, (roles.answer, 1)))
    assert CallingSelf.__name__ in caught.value.reason.detail


def test_a_request_that_cannot_be_pickled_is_the_callers_mistake(puppet):
    for hand_over in (puppet.call, puppet.cast, puppet.send):
        with pytest.raises(SpecError, match=r"can be pickled.*got: 'Unpicklable'"):
            hand_over(Unpicklable())
    assert puppet.call((roles.answer, "alive")) == "alive"


def test_a_reply_that_cannot_be_pickled_is_named_and_the_process_lives(puppet):
    with pytest.raises(ReplyNotPicklable, match="Unpicklable"):
        puppet.call((roles.answer_unpicklable,))
    assert puppet.call((roles.answer, "alive")) == "alive"


def test_a_reply_that_cannot_be_read_is_told_and_the_connection_lives(puppet):
    with pytest.raises(ReplyNotPicklable, match="there is nothing like it"):
        puppet.call((roles.answer_unreadable,))
    assert puppet.call((roles.answer, "alive")) == "alive"


def test_a_request_that_cannot_be_read_is_refused_and_the_process_lives(puppet):
    with pytest.raises(RequestRefused, match="ModuleNotFoundError"):
        puppet.call(UnknownElsewhere())
    puppet.cast(UnknownElsewhere())
    puppet.send(UnknownElsewhere())
    assert puppet.call((roles.answer, "alive")) == "alive"


def test_a_request_that_exits_when_it_is_read_is_refused_and_the_process_lives(puppet):
    with pytest.raises(RequestRefused, match="SystemExit"):
        puppet.call(roles.ExitsElsewhere())
    assert puppet.call((roles.answer, "alive")) == "alive"


@pytest.mark.parametrize("kind", [roles.Exits, roles.ExitsElsewhere])
def test_a_reply_that_exits_when_it_is_written_or_read_ends_nobody(puppet, kind):
    with pytest.raises(ReplyNotPicklable):
        puppet.call((roles.answer_new, kind))
    assert puppet.call((roles.answer, "alive")) == "alive"


def test_an_exception_that_cannot_tell_its_text_ends_nobody(puppet):
    for kind in (roles.Broken, roles.BrokenElsewhere):
        with pytest.raises(ReplyNotPicklable, match="LookupError in its text"):
            puppet.call((roles.answer_new, kind))
    with pytest.raises(RequestRefused, match="Speechless"):
        puppet.call(roles.BrokenElsewhere())
    puppet.cast(roles.BrokenElsewhere())
    connection.post(puppet, framing.STOP, roles.pickled(roles.BrokenElsewhere()))
    with pytest.raises(RequestRefused, match="Speechless"):
        connection.request(puppet, framing.SYSTEM, roles.pickled(roles.BrokenElsewhere()), 5.0)
    for hand_over in (puppet.call, puppet.cast, puppet.send):
        with pytest.raises(SpecError, match="LookupError in its text"):
            hand_over(roles.Broken())
    assert puppet.call((roles.answer, "alive")) == "alive"


def test_what_exits_when_it_is_read_is_no_link(puppet):
    frames = [framing.LINK, framing.EXIT, framing.EXIT_SIGNAL]
    for kind in frames:
        connection.post(puppet, kind, roles.pickled(roles.ExitsElsewhere()))
    assert puppet.call((roles.answer, "alive")) == "alive"


class Interrupted(Exception):
    """Raised by a signal handler."""


def test_a_connection_is_not_used_again_after_a_wait_on_it_was_interrupted(puppet, busy):
    def interrupt(*_):
        raise Interrupted

    def wait():
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        first.wait_response()

    puppet.cast((roles.be_busy, str(busy)))
    first = send_request(puppet, (roles.answer, 1))
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(Interrupted):
            wait()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert isinstance(first.wait_response(), Failure)
    busy.unlink()
    assert send_request(puppet, (roles.answer, 2)).receive_response() == Reply(2)
    last = send_request(puppet, (roles.leave, 3)).receive_response()
    assert isinstance(last, Failure)
    assert "exit code 3" in str(last.error)


def test_the_reply_of_a_stop_comes_after_terminate(puppet, tmp_path):
    will = tmp_path / "will"
    puppet.call((roles.write_will, str(will)))
    assert puppet.call((roles.end, "shutdown", "bye")) == "bye"
    assert will.read_text() == "shutdown"


def test_the_reply_of_a_stop_comes_even_if_terminate_fails(puppet):
    puppet.call((roles.write_will, "raise"))
    assert puppet.call((roles.end, "normal", "bye")) == "bye"


def test_a_reply_given_before_the_end_wins_over_it_also_if_it_is_long(puppet):
    assert len(puppet.call((roles.end_with_large_reply, 30_000_000), timeout=30)) == 30_000_000


@pytest.mark.parametrize("timeout", [-0.1, "5", True, float("nan"), float("inf"), 1e300])
def test_a_timeout_must_be_seconds(puppet, timeout):
    for wait in (lambda: puppet.call((roles.note, "never"), timeout), lambda: puppet.wait(timeout)):
        with pytest.raises(SpecError, match="expected timeout to be seconds >= 0 or None"):
            wait()
    with pytest.raises(SpecError, match="expected timeout to be seconds >= 0 or None"):
        puppet.stop(timeout=timeout)
    assert puppet.call((roles.seen,)) == []


@pytest.mark.parametrize("timeout", [None, 1e9, 3])
def test_a_timeout_may_be_long_or_none(puppet, timeout):
    assert puppet.call((roles.answer, 1), timeout) == 1


def test_a_long_request_may_have_a_long_timeout(puppet):
    month = 30 * 86_400
    assert puppet.call((roles.size_of, bytes(3_000_000)), timeout=month) == 3_000_000


def test_a_call_with_no_time_at_all_is_too_late_or_answered(puppet):
    for number in range(50):
        try:
            assert puppet.call((roles.answer, number), timeout=0) == number
        except CallTimeout:
            continue
    assert puppet.call((roles.answer, "mine")) == "mine"


def test_a_role_without_handle_call_crashes_with_the_class_in_its_reason():
    ref = Plain.start_link()
    with pytest.raises(ProcessExited, match="Plain has no handle_call, got: 'question'"):
        ref.call("question")


def test_a_plain_message_to_a_role_without_handle_info_only_logs(capfd):
    log, ref = LogLines(capfd), Plain.start_link()
    ref.send("unheard of")
    ref.stop()
    log.wait_for("unexpected_message")


def test_the_caller_is_known_by_its_pid(puppet):
    assert puppet.call((roles.caller_pid,)) == os.getpid()


def test_a_reference_can_be_sent_and_used_elsewhere(puppet):
    other = Puppet.start_link()
    assert other.call((roles.call_other, puppet, (roles.pid,))) == puppet.pid
    assert other.call((roles.call_other, "puppet", (roles.pid,))) == puppet.pid
    assert pickle.loads(pickle.dumps(puppet)) == puppet
    other.stop()


def test_two_roles_that_call_each_other_get_a_timeout_not_a_hang(puppet):
    other = Trapper.start_link()
    before = clock.monotonic()
    inner = (roles.call_other, other, (roles.answer, 1), 0.3)
    with pytest.raises((ProcessExited, CallTimeout)):
        other.call((roles.call_other, puppet, inner, 0.6), timeout=20)
    assert clock.monotonic() - before < 20
    assert puppet.wait(5)
    end(other)


def test_a_connection_is_kept_and_never_shared_between_threads(puppet):
    puppet.call((roles.answer, 1))
    mine = connection._connections.by_identity[puppet.identity]
    puppet.call((roles.answer, 1))
    assert connection._connections.by_identity[puppet.identity] is mine
    others = []
    thread = threading.Thread(target=lambda: others.append(_connection_here(puppet)))
    thread.start()
    thread.join()
    assert others[0] is not mine


def _connection_here(ref: Ref):
    ref.call((roles.answer, 1))
    return connection._connections.by_identity.pop(ref.identity)
