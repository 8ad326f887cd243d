"""Requests of processes that must not wait for the answers, and replies given by others."""

import os
import pickle
import signal

import pytest

from beethoven import (
    Answer,
    Down,
    Failure,
    Reply,
    debug,
    reply,
    send_request,
)
from beethoven.errors import (
    NoProcess,
    ProcessExited,
    ReplyNotPicklable,
)
from tests.conformance import asking
from tests.conformance.cases import proves
from tests.conformance.responses import error_of
from tests.conformance.watching import seen_when_all_is_quiet, wait_for_seen
from tests.integration import roles
from tests.integration.roles import Trapper, Unpicklable
from tests.processes import end, wait_until

pytestmark = pytest.mark.process


@proves("G20")
def test_a_role_gets_answers_among_its_other_messages(asker, puppet):
    for number in range(3):
        asker.call((asking.ask, puppet, (roles.answer, number), ("label", number)))
        asker.send(("unrelated", number))
    asker.call((asking.ask, "nobody", 1, "nobody"))
    found = wait_for_seen(asker, 7)
    assert [each for each in found if not isinstance(each, Answer)] == [
        ("unrelated", number) for number in range(3)
    ]
    answers = {each.label: each.response for each in found if isinstance(each, Answer)}
    assert isinstance(error_of(answers.pop("nobody")), NoProcess)
    assert answers == {("label", number): Reply(number) for number in range(3)}


def test_a_role_serves_others_while_its_request_is_under_way(asker, puppet):
    asker.call((asking.ask, puppet, (roles.defer,), "deferred"))
    assert asker.call((roles.answer, "alive")) == "alive"
    puppet.call((roles.answer_deferred, "there"))
    assert wait_for_seen(asker, 1) == [Answer("deferred", Reply("there"))]


def test_a_role_can_ask_itself(asker):
    asker.call((asking.ask, "asker", (roles.answer, "I"), "me"))
    assert wait_for_seen(asker, 1) == [Answer("me", Reply("I"))]


def test_answers_of_one_target_come_in_order_also_when_a_role_waits_meanwhile(asker, puppet):
    for number in range(0, 40, 2):
        asker.call((asking.ask, puppet, (roles.answer, number), number))
        asker.call((asking.ask, puppet, (roles.answer, number + 1), number + 1))
        assert asker.call((roles.call_other, puppet, (roles.answer, "called"))) == "called"
    assert wait_for_seen(asker, 40) == [Answer(number, Reply(number)) for number in range(40)]


ENDS = {
    "exception": ((roles.crash,), "ValueError: boom"),
    "killed": ((roles.leave_by_signal, 9), "killed"),
}


@pytest.mark.parametrize(("ending", "reason"), ENDS.values(), ids=ENDS.keys())
def test_the_end_of_a_process_answers_all_requests_to_it(asker, puppet, ending, reason):
    asker.call((asking.ask, puppet, (roles.answer, "before"), 0))
    asker.call((asking.ask, puppet, ending, 1))
    for number in range(2, 20):
        asker.call((asking.ask, puppet, (roles.answer, number), number))
    first, *others = wait_for_seen(asker, 20)
    assert first == Answer(0, Reply("before"))
    # Those that found nobody to ask did not wait for the burial.
    assert {each.label for each in others} == set(range(1, 20))
    for each in others:
        assert isinstance(each.response, Failure)
        if isinstance(error_of(each.response), ProcessExited):
            assert str(error_of(each.response).reason) == reason
        else:
            assert isinstance(error_of(each.response), NoProcess)


def test_what_a_process_has_answered_comes_before_the_news_that_it_is_gone(asker, puppet):
    asker.call((asking.ask, puppet, (roles.defer,), 0))
    asker.cast((asking.ask_when_gone, puppet, (roles.answer_deferred, bytes(60_000))))
    first, second = wait_for_seen(asker, 2)
    assert first == Answer(0, Reply(bytes(60_000)))
    assert isinstance(error_of(second.response), NoProcess)


@proves("E96")
@pytest.mark.parametrize("size", [1, 5_000_000])
def test_an_answer_comes_before_the_news_of_the_end(asker, puppet, size):
    request = (roles.end_with_large_reply, size)
    asker.call((asking.ask_and_monitor, puppet, request))
    answer, down = wait_for_seen(asker, 2)
    assert answer == Answer(None, Reply(bytes(size)))
    assert isinstance(down, Down)
    assert down.ref.identity == puppet.identity
    assert len(seen_when_all_is_quiet(asker)) == 2


@proves("E96")
def test_many_answers_that_lie_here_come_before_the_news_of_the_end(asker, puppet):
    puppet.cast((roles.sleep, 0.2))
    asker.call((asking.ask_and_monitor, puppet, (roles.large_answer, 15_000)))
    for _ in range(9):
        asker.call((asking.ask, puppet, (roles.large_answer, 15_000)))
    asker.call((asking.ask, puppet, (roles.leave_by_signal, 9)))
    asker.cast((roles.sleep, 0.6))
    *answers, last, down = wait_for_seen(asker, 12)
    assert answers == [Answer(None, Reply(bytes(15_000)))] * 10
    assert str(error_of(last.response).reason) == "killed"
    assert isinstance(down, Down)


@proves("E96")
def test_the_news_of_a_kill_comes_after_the_failure_of_the_request(asker, puppet):
    asker.call((asking.ask_and_monitor, puppet, (roles.leave_by_signal, 9)))
    answer, down = wait_for_seen(asker, 2)
    assert str(error_of(answer.response).reason) == str(down.reason) == "killed"


@proves("E106")
def test_the_answer_to_an_abandoned_request_never_comes(asker, puppet):
    asker.call((asking.ask, puppet, (roles.defer,)))
    asker.call((asking.abandon,))
    puppet.call((roles.answer_deferred, "late"))
    asker.call((asking.ask, puppet, (roles.defer,), 1))
    asker.call((asking.abandon_late, puppet))
    asker.call((asking.ask, puppet, (roles.answer, "wanted"), 2))
    assert wait_for_seen(asker, 1) == [Answer(2, Reply("wanted"))]
    # It is too late for that, and nothing happens.
    asker.call((asking.abandon,))
    assert len(seen_when_all_is_quiet(asker)) == 1


def test_an_answer_to_a_suspended_role_waits_until_it_goes_on(asker, puppet):
    asker.call((asking.ask, puppet, (roles.defer,), "held"))
    debug.suspend(asker)
    puppet.call((roles.answer_deferred, "there"))
    debug.resume(asker)
    assert wait_for_seen(asker, 1) == [Answer("held", Reply("there"))]


@proves("E107")
def test_a_role_gets_one_answer_however_often_it_is_replied(asker, puppet):
    asker.call((asking.ask, puppet, (roles.answer_twice, "first", "second")))
    asker.call((asking.ask, puppet, (roles.answer, "third")))
    assert [each.response.value for each in wait_for_seen(asker, 2)] == ["first", "third"]
    assert len(seen_when_all_is_quiet(asker)) == 2


def test_a_role_cannot_wait_for_what_comes_as_a_message_nor_ask_in_a_thread(puppet):
    asker = Trapper.start_link()
    asker.call((asking.ask, puppet, (roles.defer,)))
    error = asker.call((asking.ask_in_a_thread, puppet))
    assert error.startswith("mailbox of a role: expected to be used by its owner, thread ")
    with pytest.raises(ProcessExited, match="taken by nobody else, got: 'Answers'"):
        asker.call((asking.wait_for_what_was_asked,))
    end(asker)


def test_late_replies_to_what_a_role_gave_up_never_surface(asker, puppet):
    assert asker.call((asking.give_up_on, puppet, (roles.defer,), 0.02))
    puppet.call((roles.answer_deferred, "late"))
    assert asker.call((roles.call_other, puppet, (roles.answer, "mine"))) == "mine"
    assert seen_when_all_is_quiet(asker) == []


def test_another_process_can_answer(puppet, other):
    assert puppet.call((asking.hand_on, other, "by other")) == "by other"
    large = os.urandom(2_000_000)
    assert puppet.call((asking.hand_on, other, large)) == large
    request = send_request(puppet, (asking.hand_on, other, Unpicklable))
    assert request.receive_response() == Reply(Unpicklable)


def test_a_program_can_answer_for_a_process_of_its_tree(puppet, other):
    request = send_request(puppet, (roles.defer,))
    behind = send_request(puppet, (roles.answer, "behind"))
    (caller,) = puppet.call((asking.deferred,))
    assert caller.pid == os.getpid()
    assert pickle.loads(pickle.dumps(caller)) == caller
    reply(caller, "first")
    reply(caller, "second")
    assert request.receive_response() == Reply("first")
    assert behind.receive_response() == Reply("behind")
    assert puppet.call((roles.answer, "mine")) == "mine"


def test_a_reply_of_another_process_that_cannot_be_pickled_is_named(puppet):
    request = send_request(puppet, (roles.defer,))
    (caller,) = puppet.call((asking.deferred,))
    reply(caller, Unpicklable())
    response = request.receive_response()
    assert isinstance(error_of(response), ReplyNotPicklable)
    assert "Unpicklable" in str(error_of(response))


def test_a_reply_to_a_caller_that_is_gone_or_waits_no_more_is_dropped(puppet, other):
    other.cast((roles.call_other, puppet, (roles.defer,), None))
    wait_until(lambda: puppet.call((roles.kept_callers,)) == 1)
    abandoned = send_request(puppet, (roles.defer,))
    dead, mine = puppet.call((asking.deferred,))
    assert (dead.pid, mine.pid) == (other.pid, os.getpid())
    other_ref = other
    os.kill(other_ref.pid, signal.SIGKILL)
    assert other_ref.wait(5)
    abandoned.abandon()
    for caller in (dead, mine):
        reply(caller, "late")
    puppet.call((roles.answer_deferred, "later"))
    assert puppet.call((roles.answer, "alive")) == "alive"


def test_a_reply_by_way_of_a_process_that_has_ended_is_dropped(puppet):
    request = send_request(puppet, (roles.defer,))
    (caller,) = puppet.call((asking.deferred,))
    puppet.stop()
    reply(caller, "late")
    assert isinstance(error_of(request.receive_response()), ProcessExited)
