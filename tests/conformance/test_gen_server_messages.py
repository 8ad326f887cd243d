"""Calls, casts, timeouts and going on: what a server does with messages, of gen_server_SUITE."""

import threading

import pytest

from beethoven import Reply, Request, cast, clock, debug, process_info, send, send_request
from beethoven.errors import CallTimeout, NoProcess, ProcessExited, SpecError
from tests.conformance import servers
from tests.conformance.cases import proves
from tests.conformance.servers import AsyncIdler, IdleOnContinue, Idler, Late, StopsOnContinue
from tests.integration import roles
from tests.processes import end, wait_until

pytestmark = pytest.mark.process

SHORT, LONG = 0.05, 0.4


@pytest.fixture(params=[Idler, AsyncIdler], ids=["plain", "async"])
def idler(request):
    ref = request.param.start_link()
    yield ref
    end(ref)


@pytest.fixture
def late():
    ref = Late.start_link()
    yield ref
    end(ref)


def seen(ref):
    return ref.call((roles.seen,))


def wait_in_silence(ref, path):
    """Wait until a server has written its will, which tells that it has ended, without a word."""
    wait_until(lambda: path.exists() and path.stat().st_size > 0, 5)
    return path.read_text("utf-8")


@proves("G16")
def test_a_call_is_answered_at_once_or_later_or_after_a_while(late):
    assert late.call((roles.answer, "at once")) == "at once"
    assert late.call((servers.be_late, SHORT, "after a while")) == "after a while"
    replies = []
    asker = threading.Thread(target=lambda: replies.append(late.call((roles.defer,))))
    asker.start()
    wait_until(lambda: late.call((roles.kept_callers,)) == 1)
    assert replies == []
    late.call((roles.answer_deferred, "later"))
    asker.join(5)
    assert replies == ["later"]


@proves("G16")
def test_a_caller_waits_no_longer_than_it_says(late):
    with pytest.raises(CallTimeout, match=r"no reply within 0\.05 s"):
        late.call((servers.be_late, 60.0, "too late"), timeout=SHORT)
    assert late.call((roles.answer, "mine")) == "mine"


@proves("G21", "E85")
def test_a_cast_returns_while_the_server_is_busy_and_is_handled_in_its_turn(idler, tmp_path):
    path = tmp_path / "go on"
    idler.cast((servers.until, str(path)))
    for number in range(3):
        assert idler.cast((roles.note, number)) is None
    path.touch()
    wait_until_over(idler, [0, 1, 2])


@proves("G23")
def test_plain_messages_reach_handle_info(idler):
    for message in ("text", ("a", 1), None):
        idler.send(message)
    assert seen(idler) == ["text", ("a", 1), None]


@proves("G21", "G23", "G25")
@pytest.mark.parametrize("by", ["cast", "info", "continue"])
def test_any_callback_can_stop_the_server(by):
    ref = StopsOnContinue.start_link() if by == "continue" else Idler.start_link()
    replies = []
    waiter = threading.Thread(target=lambda: replies.append(ref.wait(10)))
    waiter.start()
    match by:
        case "cast":
            ref.cast((roles.end, "why"))
        case "info":
            ref.send(("stop", "why"))
        case "continue":
            ref.call((roles.go_on_with, "why"))
    waiter.join(10)
    assert [str(reason) for reason in replies] == ["why"]
    with pytest.raises((NoProcess, ProcessExited)):
        ref.call((roles.answer, 1))


# By what an idle timeout is set, of seconds and with a message.
SETTERS = {
    "call": lambda ref, seconds, message: ref.call((servers.be_idle, seconds, message)),
    "cast": lambda ref, seconds, message: ref.cast((servers.be_idle, seconds, message)),
    "info": lambda ref, seconds, message: ref.send(("be idle", seconds, message)),
}


@proves("G26", "G21", "G23")
@pytest.mark.parametrize("set_", SETTERS.values(), ids=SETTERS.keys())
def test_a_server_that_hears_nothing_for_a_while_is_told(idler, set_, tmp_path):
    """Nobody asks, for that would be a message: the server ends itself, and leaves a note."""
    idler.call((roles.write_will, str(tmp_path / "will")))
    begun = clock.monotonic()
    set_(idler, SHORT, ("stop", "silence"))
    assert wait_in_silence(idler, tmp_path / "will") == "silence"
    assert clock.monotonic() - begun >= SHORT


@proves("G2")
@pytest.mark.parametrize(
    ("behaviour", "function"),
    [
        (Idler, servers.be_idle),
        (AsyncIdler, servers.be_idle),
        (IdleOnContinue, servers.be_idle_after),
    ],
    ids=["plain", "async", "via continue"],
)
def test_init_can_set_an_idle_timeout(behaviour, function, tmp_path):
    begun = clock.monotonic()
    args = (servers.with_will, str(tmp_path / "will"), function, SHORT, ("stop", "silence"))
    ref = behaviour.start_link(args)
    assert wait_in_silence(ref, tmp_path / "will") == "silence"
    assert clock.monotonic() - begun >= SHORT


def seen_without_a_message(ref):
    return debug.get_state(ref)["seen"]


def wait_until_over(ref, expected):
    """Wait, without a message, until a timer says that it is over; that must have come by then."""
    wait_until(lambda: "over" in seen_without_a_message(ref))
    assert seen_without_a_message(ref) == [*expected, "over"]


BREAKS = {
    "call": lambda target: send_request(target, (roles.note, "break")),
    "cast": lambda target: cast(target, (roles.note, "break")),
    "info": lambda target: send(target, "break"),
}


@proves("G16", "G26")
@pytest.mark.parametrize("set_", SETTERS.values(), ids=SETTERS.keys())
@pytest.mark.parametrize("break_", BREAKS.values(), ids=BREAKS.keys())
def test_the_next_message_ends_an_idle_timeout(idler, set_, break_, tmp_path):
    """The message is there when the callback that sets the timeout returns, as is its end."""
    path = tmp_path / "go on"
    setter = threading.Thread(target=lambda: set_(idler, 0.0, (servers.until, str(path))))
    setter.start()
    wait_until(lambda: path.with_suffix(".begun").exists())
    request = break_(idler)
    path.touch()
    setter.join()
    wait_until_over(idler, ["break"])
    if isinstance(request, Request):
        assert request.receive_response() == Reply(None)


@proves("G2")
@pytest.mark.parametrize("behaviour", [Idler, AsyncIdler], ids=["plain", "async"])
def test_a_call_ends_the_idle_timeout_that_init_has_set(behaviour, tmp_path):
    """The process has its name before `init` runs, so it can be called then."""
    path = tmp_path / "go on"
    args = (servers.be_idle, 0.0, (servers.until, str(path)))
    refs = []
    starter = threading.Thread(target=lambda: refs.append(behaviour.start_link(args, name="idler")))
    starter.start()
    wait_until(lambda: path.with_suffix(".begun").exists())
    request = send_request("idler", (roles.note, "break"))
    path.touch()
    starter.join()
    wait_until_over(refs[0], ["break"])
    assert request.receive_response() == Reply(None)
    end(refs[0])


def test_a_timer_that_rings_ends_an_idle_timeout(idler):
    idler.call((servers.be_idle_with_a_timer, 0.0))
    wait_until_over(idler, ["rung"])


@proves("G26")
@pytest.mark.parametrize("message", ["timeout", {"own": "message"}], ids=["default", "own"])
def test_an_idle_timeout_comes_once_with_its_message(idler, message):
    arguments = () if message == "timeout" else (message,)
    idler.call((roles.set_timer, 1.0, "over"))
    idler.call((servers.be_idle, SHORT, *arguments))
    wait_until_over(idler, [message])


def test_an_idle_timeout_can_be_taken_back(idler):
    idler.call((roles.set_timer, LONG, "over"))
    idler.call((servers.be_idle_and_not, SHORT))
    wait_until_over(idler, [])


@pytest.mark.parametrize("seconds", [-1, "soon", float("nan"), True])
def test_an_idle_timeout_must_be_seconds(idler, seconds):
    text = r"Idler\.idle_timeout: expected timeout to be seconds >= 0 or None"
    with pytest.raises(ProcessExited, match=text) as caught:
        idler.call((servers.be_idle, seconds))
    assert SpecError.__name__ in caught.value.reason.detail


def test_an_idle_timeout_of_zero_comes_after_the_messages_that_are_there(idler):
    """OTP's plain timeout: the queued message comes first, and ends it."""
    idler.call((servers.send_to_itself_then, ["queued"], servers.be_idle, 0, "silence"))
    idler.call((roles.set_timer, LONG, "over"))
    wait_until_over(idler, ["queued"])
    idler.call((servers.be_idle, 0, "silence"))
    wait_until(lambda: "silence" in seen_without_a_message(idler))


@proves("G3", "G27", "G25")
@pytest.mark.parametrize("by", ["init", "call", "cast", "info"])
def test_what_is_to_come_at_once_comes_before_the_messages_that_are_there(by):
    """What OTP's tuple of a timeout of zero does is done by `continue_with`."""
    order = (servers.send_to_itself_then, ["queued"], roles.go_on_with, "first")
    ref = Idler.start_link(order if by == "init" else None)
    match by:
        case "call":
            ref.call(order)
        case "cast":
            ref.cast(order)
        case "info":
            ref.send(("do", *order))
    wait_until(lambda: len(seen(ref)) == 2)
    assert seen(ref) == [("continued", "first"), "queued"]
    end(ref)


@proves("G25")
def test_going_on_may_chain_before_any_message(idler):
    idler.call((servers.send_to_itself_then, ["queued"], roles.go_on_with, 2))
    wait_until(lambda: len(seen(idler)) == 4)
    assert seen(idler) == [("continued", 2), ("continued", 1), ("continued", 0), "queued"]


def test_going_on_ends_an_idle_timeout(idler):
    idler.call((servers.be_idle_and_go_on, 0.0, "next"))
    idler.call((roles.set_timer, LONG, "over"))
    wait_until_over(idler, [("continued", "next")])


@proves("G28")
def test_a_debug_request_does_not_end_an_idle_timeout(idler):
    idler.call((servers.be_idle, 3 * LONG, "silence"))
    for _ in range(3):
        assert process_info(idler) is not None
        assert seen_without_a_message(idler) == []
    wait_until(lambda: seen_without_a_message(idler) == ["silence"])


def test_a_timer_message_ends_an_idle_timeout_also_while_the_server_is_suspended(idler):
    idler.call((servers.be_idle_between_timers, 2 * LONG, 2.5 * LONG, 3 * LONG))
    debug.suspend(idler)
    wait_until(lambda: debug.get_status(idler).waiting >= 2)
    debug.resume(idler)
    wait_until_over(idler, ["tick"])


@proves("G28")
def test_a_call_ends_an_idle_timeout_also_after_a_debug_request(idler):
    idler.call((servers.be_idle, 3 * LONG, "silence"))
    assert seen_without_a_message(idler) == []
    idler.call((roles.set_timer, 4 * LONG, "over"))
    wait_until_over(idler, [])


def test_a_task_of_an_async_role_can_set_a_timer_while_the_role_waits(tmp_path):
    ref = AsyncIdler.start_link()
    ref.call((roles.write_will, str(tmp_path / "will")))
    ref.call((servers.set_timer_in_a_task, SHORT, SHORT, ("stop", "rung")))
    assert wait_in_silence(ref, tmp_path / "will") == "rung"
