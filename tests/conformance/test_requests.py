"""Requests whose answers are waited for later, and deferred replies: otp.md §2.3."""

import gc
import os
import pickle
import signal
import threading
from pathlib import Path
from random import Random

import pytest

from beethoven import (
    Reply,
    Request,
    RequestCollection,
    debug,
    reply,
    send_request,
)
from beethoven.errors import (
    NoProcess,
    NoRequests,
    NotOwner,
    Overloaded,
    ReplyNotPicklable,
    RequestRefused,
    SpecError,
)
from beethoven.runtime import connection
from beethoven.runtime.reference import cast_or_drop
from tests.conformance import asking
from tests.conformance.cases import proves
from tests.conformance.responses import error_of, line_of, next_of, reason_of, unwrap
from tests.integration import roles
from tests.integration.roles import Puppet, ReadableHereOnly, Unpicklable
from tests.processes import end, wait_until

pytestmark = pytest.mark.process


def open_descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


@proves("G17")
@pytest.mark.parametrize("by_name", [True, False], ids=["name", "reference"])
def test_the_reply_to_a_request_is_there_when_it_is_waited_for(puppet, by_name):
    request = send_request("puppet" if by_name else puppet, (roles.answer, {"deep": (1, [2])}))
    assert request.target == puppet
    assert request.receive_response() == Reply({"deep": (1, [2])})
    assert request.receive_response() == Reply({"deep": (1, [2])})


@proves("G17")
def test_a_request_can_be_answered_later(puppet):
    request = send_request(puppet, (roles.defer,))
    assert request.wait_response(0.05) is None
    puppet.cast((roles.answer_deferred, "late"))
    assert unwrap(request.wait_response()) == "late"


@proves("G17")
def test_a_wait_of_no_time_finds_nothing_and_a_later_one_the_reply(puppet):
    request = send_request(puppet, (roles.defer,))
    assert request.wait_response(0) is None
    puppet.call((roles.answer_deferred, "there"))
    assert request.wait_response(0) == Reply("there")


@proves("G17")
def test_a_wait_of_no_time_takes_a_long_reply_that_is_there(puppet):
    request = send_request(puppet, (roles.answer, bytes(100_000)))
    for _ in range(2):
        # From another thread, so that nothing is read here.
        thread = threading.Thread(target=puppet.call, args=((roles.answer, 1),))
        thread.start()
        thread.join()
    assert request.wait_response(0) == Reply(bytes(100_000))


@proves("G17")
def test_that_nobody_is_there_is_a_response(puppet):
    request = send_request("nobody", 1)
    assert request.target is None
    with pytest.raises(NoProcess, match="'nobody'"):
        unwrap(request.receive_response())
    puppet.stop()
    for _ in range(2):
        response = send_request(puppet, (roles.answer, 1)).receive_response(0)
        assert isinstance(error_of(response), NoProcess)


ENDS = {
    "normal": ((roles.end, "normal"), "normal"),
    "shutdown": ((roles.end, "shutdown"), "shutdown"),
    "exception": ((roles.crash,), "ValueError: boom"),
    "os._exit": ((roles.leave, 3), "exit code 3"),
    "SIGKILL": ((roles.leave_by_signal, 9), "killed"),
}


@proves("G17")
@pytest.mark.parametrize(("ending", "reason"), ENDS.values(), ids=ENDS.keys())
def test_a_process_that_ends_fails_the_requests_that_wait_and_no_reply_before(
    puppet, ending, reason
):
    debug.suspend(puppet)
    before = send_request(puppet, (roles.answer, "before"))
    ends = send_request(puppet, ending)
    behind = send_request(puppet, (roles.answer, "behind"))
    debug.resume(puppet)
    assert reason_of(behind.receive_response()) == reason
    assert reason_of(ends.receive_response()) == reason
    assert before.receive_response() == Reply("before")


def test_a_reply_that_is_there_wins_over_the_end_also_if_it_is_long(puppet):
    request = send_request(puppet, (roles.end_with_large_reply, 5_000_000))
    assert puppet.wait(10)
    with pytest.raises(NoProcess):
        puppet.call((roles.answer, 1))
    assert len(unwrap(request.receive_response(0))) == 5_000_000


@proves("G17")
def test_what_cannot_be_read_or_sent_back_is_a_response(puppet):
    refused = send_request(puppet, (roles.answer, ReadableHereOnly())).receive_response()
    assert isinstance(error_of(refused), RequestRefused)
    unsent = send_request(puppet, (roles.answer_unpicklable,)).receive_response()
    assert isinstance(error_of(unsent), ReplyNotPicklable)
    unreadable = send_request(puppet, (roles.answer_unreadable,)).receive_response()
    assert isinstance(error_of(unreadable), ReplyNotPicklable)
    assert error_of(pickle.loads(pickle.dumps(unsent))).target == error_of(unsent).target
    with pytest.raises(SpecError, match="can be pickled"):
        send_request(puppet, Unpicklable())


def test_that_a_process_takes_nothing_is_a_response(puppet):
    puppet.cast((roles.sleep, 1.0))
    response = Request(puppet, (roles.answer, bytes(1_000_000)), patience=0.05).receive_response(0)
    assert isinstance(error_of(response), Overloaded)
    assert send_request(puppet, (roles.answer, "awake")).receive_response() == Reply("awake")


def test_requests_keep_their_place_among_calls_and_casts(puppet):
    for number in range(0, 90, 3):
        puppet.cast((roles.note, number))
        request = send_request(puppet, (roles.note, number + 1))
        puppet.call((roles.note, number + 2))
        assert request.receive_response(0) == Reply(None)
    assert puppet.call((roles.seen,)) == list(range(90))


def test_a_request_is_bound_to_one_incarnation(puppet):
    debug.suspend(puppet)
    request = send_request("puppet", (roles.end,))
    behind = send_request("puppet", (roles.answer, 1))
    debug.resume(puppet)
    assert reason_of(request.receive_response()) == "normal"
    successor = Puppet.start_link(name="puppet")
    assert reason_of(behind.receive_response()) == "normal"
    assert send_request("puppet", (roles.answer, 2)).receive_response() == Reply(2)
    successor.stop()


@proves("E106")
def test_the_reply_to_an_abandoned_request_is_dropped(puppet):
    request = send_request(puppet, (roles.defer,))
    assert request.receive_response(0.02) is None
    puppet.call((roles.answer_deferred, "late"))
    assert request.wait_response(0.1) is None
    assert puppet.call((roles.answer, "mine")) == "mine"
    again = send_request(puppet, (roles.defer,))
    line = line_of(again)
    again.abandon()
    again.abandon()
    assert len(line.waiters) == 0
    puppet.call((roles.answer_deferred, "late"))
    assert again.wait_response(0) is None
    assert puppet.call((roles.answer, "mine")) == "mine"


@proves("E107")
def test_a_request_takes_one_reply_only(puppet):
    first = send_request(puppet, (roles.answer_twice, "first", "second"))
    second = send_request(puppet, (roles.answer, "third"))
    assert second.receive_response() == Reply("third")
    assert first.receive_response() == Reply("first")
    assert puppet.call((roles.answer, "fourth")) == "fourth"


def test_a_request_that_is_garbage_is_abandoned(puppet):
    request = send_request(puppet, (roles.answer_after, 0.05, bytes(1_000_000)))
    line = line_of(request)
    assert len(line.waiters) == 1
    del request
    gc.collect()
    assert len(line.waiters) == 0
    assert puppet.call((roles.answer, 1)) == 1


def test_thousands_of_requests_share_one_connection(puppet):
    puppet.call((roles.answer, 0))
    before = open_descriptors()
    requests = [send_request(puppet, (roles.answer, number)) for number in range(5000)]
    assert open_descriptors() == before
    assert puppet.call((roles.answer, "call")) == "call"
    for number in (4999, 0, 2500):
        assert requests[number].receive_response(0) == Reply(number)
    assert sum(unwrap(each.receive_response(0)) for each in requests) == sum(range(5000))


def test_many_requests_with_long_replies_hold_nobody_up(puppet):
    """Each side would wait for the other to read, if requests were only sent."""
    size = 50_000
    requests = [send_request(puppet, (roles.answer, bytes(size))) for _ in range(400)]
    puppet.cast((roles.note, "cast"))
    assert all(len(unwrap(each.receive_response(20))) == size for each in requests)
    assert puppet.call((roles.seen,)) == ["cast"]


def test_requests_outlive_a_connection_that_a_message_was_cut_on(puppet):
    request = send_request(puppet, (roles.defer,))
    puppet.cast((roles.sleep, 0.5))
    given = 0
    while cast_or_drop(puppet, (asking.note_size, bytes(10_000))):
        given += 1
    assert connection._connections.by_identity.get(puppet.identity) is not request.line
    puppet.cast((roles.answer_deferred, "kept"))
    assert request.receive_response() == Reply("kept")
    assert len(puppet.call((roles.seen,))) == given


def test_only_the_thread_that_has_asked_may_wait(puppet):
    request = send_request(puppet, (roles.answer, 1))
    requests = RequestCollection()
    requests.add(send_request(puppet, (roles.answer, 2)), None)
    errors = []

    def attempt(use):
        try:
            use()
        except NotOwner as error:
            errors.append(str(error))

    uses = [request.receive_response, request.abandon, requests.wait_response]
    for use in uses:
        thread = threading.Thread(target=attempt, args=(use,))
        thread.start()
        thread.join()
    mine = f"its owner, thread {threading.get_ident()} of process {os.getpid()}, got: thread"
    assert len(errors) == 3
    assert all(mine in each for each in errors), errors
    assert request.receive_response() == Reply(1)


def test_a_request_cannot_be_used_by_another_process(puppet):
    request = send_request(puppet, (roles.answer, 1))
    with pytest.raises(NotOwner, match=r"request to puppet.*got: another process"):
        pickle.dumps(request)
    with pytest.raises(SpecError, match=r"its owner, thread .* got: another process"):
        puppet.call((roles.answer, request))
    pid = os.fork()
    if pid == 0:
        try:
            request.receive_response(1)
        except NotOwner as error:
            os._exit(7 if str(os.getpid()) in str(error) else 1)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert request.receive_response() == Reply(1)


@pytest.mark.parametrize("timeout", [-1, "soon", True])
def test_a_timeout_that_is_none_is_refused_and_the_request_kept(puppet, timeout):
    request = send_request(puppet, (roles.answer, 1))
    for wait in (request.wait_response, request.receive_response):
        with pytest.raises(SpecError, match="timeout"):
            wait(timeout)
    assert request.receive_response() == Reply(1)


def collection_of(*pairs: tuple[Request, object]) -> RequestCollection:
    requests = RequestCollection()
    for request, label in pairs:
        requests.add(request, label)
    return requests


def deferred(target, label):
    return send_request(target, (roles.defer,)), label


@proves("G18", "G19")
@pytest.mark.parametrize("wait", ["receive_response", "wait_response"])
def test_a_collection_gives_responses_in_the_order_of_completion(puppet, other, wait):
    third = Puppet.start_link(name="third")
    targets = {"a": puppet, "b": other, "c": third}
    requests = collection_of(*(deferred(ref, label) for label, ref in targets.items()))
    assert len(requests) == 3
    assert [label for _, label in requests] == ["a", "b", "c"]
    for done, label in enumerate("cab"):
        targets[label].call((roles.answer_deferred, label.upper()))
        assert getattr(requests, wait)(5) == (Reply(label.upper()), label)
        assert len(requests) == 2 - done
    end(third)


@proves("G18", "G19")
def test_responses_of_one_target_and_those_that_are_there_come_in_order(puppet):
    early = send_request(puppet, (roles.answer, "early"))
    nobody = send_request("nobody", 1)
    requests = collection_of((early, 0), (nobody, 1))
    for number in range(2, 500):
        requests.add(send_request(puppet, (roles.answer, number)), number)
    labels = [next_of(requests)[1] for _ in range(500)]
    assert labels[0] == 1
    assert labels[1:] == [0, *range(2, 500)]
    assert len(requests) == 0


@proves("G18")
def test_a_collection_that_is_received_from_in_vain_abandons_all_requests(puppet, other):
    requests = collection_of(deferred(puppet, "a"), deferred(other, "b"))
    kept = [request for request, _ in requests]
    assert requests.receive_response(0.05) is None
    assert len(requests) == 0
    for ref in (puppet, other):
        ref.call((roles.answer_deferred, "late"))
        assert ref.call((roles.answer, "mine")) == "mine"
    assert [request.wait_response(0) for request in kept] == [None, None]
    with pytest.raises(NoRequests):
        requests.receive_response(0)


@proves("G19")
def test_a_collection_that_is_waited_for_in_vain_keeps_all_requests(puppet, other):
    requests = collection_of(deferred(puppet, "a"), deferred(other, "b"))
    for timeout in (0, 0.05):
        assert requests.wait_response(timeout) is None
    assert len(requests) == 2
    other.call((roles.answer_deferred, 2))
    assert requests.wait_response(0) == (Reply(2), "b")
    assert requests.wait_response(0) is None
    puppet.call((roles.answer_deferred, 1))
    assert requests.wait_response(5) == (Reply(1), "a")


@proves("G18", "G19")
def test_the_end_of_a_process_fails_its_own_requests_only(puppet, other):
    requests = collection_of(deferred(puppet, "a"), deferred(other, "b"), deferred(puppet, "c"))
    os.kill(puppet.pid, signal.SIGKILL)
    ended = [next_of(requests), next_of(requests)]
    assert [label for _, label in ended] == ["a", "c"]
    assert [reason_of(response) for response, _ in ended] == ["killed", "killed"]
    assert requests.wait_response(0) is None
    other.call((roles.answer_deferred, "alive"))
    assert requests.wait_response(5) == (Reply("alive"), "b")


@proves("G18", "G19", "G20")
def test_an_empty_collection_has_nothing_to_wait_for(puppet):
    requests = RequestCollection()
    for wait in (requests.wait_response, requests.receive_response):
        with pytest.raises(NoRequests, match="at least one request"):
            wait(0)
    requests.add(send_request(puppet, (roles.answer, 1)), None)
    assert requests.wait_response() == (Reply(1), None)
    with pytest.raises(NoRequests):
        requests.wait_response()


def test_what_is_no_request_is_in_no_collection(puppet):
    requests = RequestCollection()
    with pytest.raises(SpecError, match="expected a request to be what send_request returns, got"):
        requests.add(puppet, "label")
    assert len(requests) == 0


def test_a_request_says_whom_it_is_to(puppet):
    assert repr(send_request(puppet, (roles.defer,))) == f"<request to {puppet}>"
    assert repr(send_request("nobody", 1)) == "<request to nobody>"


def test_nobody_but_a_caller_is_replied_to():
    with pytest.raises(SpecError, match=r"reply: expected caller to be the Caller .*, got: 5"):
        reply(5, 1)  # type: ignore[arg-type]


def test_a_request_is_in_one_collection_once(puppet):
    request = send_request(puppet, (roles.defer,))
    requests = collection_of((request, 1))
    for attempt in (lambda: requests.add(request, 2), lambda: RequestCollection().add(request, 1)):
        with pytest.raises(SpecError, match="taken by nobody else, got: 'RequestCollection'"):
            attempt()
    with pytest.raises(SpecError, match="taken by nobody else"):
        request.wait_response()
    request.abandon()
    assert len(requests) == 0
    with pytest.raises(SpecError, match="got: 'abandoned'"):
        requests.add(request, 1)


def test_what_a_collection_has_given_out_is_no_longer_its_own(puppet):
    request = send_request(puppet, (roles.answer, 1))
    requests = collection_of((request, "label"), deferred(puppet, "other"))
    assert next_of(requests) == (Reply(1), "label")
    assert request.wait_response(0) == Reply(1)
    request.abandon()
    assert len(requests) == 1


def test_a_collection_that_is_garbage_abandons_its_requests(puppet):
    requests = collection_of(deferred(puppet, 1), deferred(puppet, 2))
    line = line_of(next(iter(requests))[0])
    del requests
    assert len(line.waiters) == 0
    puppet.call((roles.answer_deferred, "late"))
    assert puppet.call((roles.answer, "mine")) == "mine"


def test_nothing_waits_on_after_the_last_use(puppet):
    """What is left behind by a test is looked for after it; here nothing need be released."""
    requests = collection_of(*(deferred(puppet, number) for number in range(10)))
    puppet.call((roles.answer_deferred, 1))
    while len(requests):
        requests.wait_response()
    assert requests._watch._due == {}
    wait_until(lambda: not requests._poller.poll(0))


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_done_in_whatever_order_every_request_gets_its_own_answer(puppet, other, seed):
    random = Random(seed)
    requests, single = RequestCollection(), []
    for number in range(1500):
        ref = random.choice([puppet, other])
        size = random.choice([0, 10, 3000, 70_000])
        request = (roles.answer, (number, "x" * size))
        match random.randrange(7):
            case 0:
                assert ref.call(request) == request[1]
            case 1:
                ref.cast((roles.count, 1))
            case 2:
                requests.add(send_request(ref, request), request[1])
            case 3 | 4:
                single.append((send_request(ref, request), request[1]))
            case 5 if single:
                sent, expected = single.pop(random.randrange(len(single)))
                # Some are abandoned by that, some go out of use with their answer under way.
                response = random.choice([sent.receive_response, sent.wait_response])(0)
                assert response in (None, Reply(expected))
            case 6 if len(requests):
                assert is_right(requests.wait_response(random.choice([0, 5])))
    while len(requests):
        assert is_right(next_of(requests))
    for sent, expected in single:
        assert sent.receive_response() == Reply(expected)
    assert puppet.call((roles.counted,)) + other.call((roles.counted,)) > 100


def is_right(found):
    """Whether a collection gave nothing, or a response with the right label."""
    return found is None or found[0] == Reply(found[1])
