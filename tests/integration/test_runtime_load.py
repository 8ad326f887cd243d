import os
import signal
import socket
import threading

import pytest

from beethoven import Reply, clock, send_request, whereis
from beethoven.errors import CallTimeout, Overloaded
from beethoven.runtime import connection, framing
from beethoven.runtime.names import socket_path
from beethoven.runtime.unixsocket import is_listening
from tests.integration import roles
from tests.integration.roles import Puppet
from tests.processes import end

pytestmark = pytest.mark.process

LARGE = 100_000_000


@pytest.fixture
def puppet():
    ref = Puppet.start_link()
    yield ref
    end(ref)


def test_a_large_message_makes_the_round_trip_with_bounded_memory(puppet):
    """Caller and receiver hold the value, its pickled form and little else."""
    sender = Puppet.start_link()
    bases = [ref.call((roles.peak_memory,)) for ref in (sender, puppet)]
    assert sender.call((roles.round_trip, puppet, LARGE), timeout=60) == LARGE
    peaks = [ref.call((roles.peak_memory,)) for ref in (sender, puppet)]
    used = [(peak - base) / LARGE for base, peak in zip(bases, peaks, strict=True)]
    sender.stop()
    assert max(used) < 3.5, used


def test_a_large_request_is_let_go_when_it_has_been_handled(puppet):
    assert puppet.call((roles.size_of, bytes(LARGE)), timeout=60) == LARGE
    puppet.cast((roles.answer, None))
    assert puppet.call((roles.memory,)) < LARGE


def test_a_flood_of_casts_slows_its_sender_and_not_the_memory_of_the_receiver(
    puppet, monkeypatch, tmp_path
):
    monkeypatch.setattr(connection, "CAST_TIMEOUT", 0.3)
    before = puppet.call((roles.peak_memory,))
    busy = tmp_path / "busy"
    busy.touch()
    puppet.cast((roles.be_busy, str(busy)))
    message = (roles.answer, bytes(10_000))
    begun = clock.monotonic()
    with pytest.raises(Overloaded, match=r"did not take the message within 0\.3 s"):
        _flood(puppet, message)
    assert clock.monotonic() - begun < 5
    busy.unlink()
    assert puppet.call((roles.peak_memory,)) - before < 20_000_000


def _flood(ref, message):
    for _ in range(100_000):
        ref.cast(message)


def test_a_flood_of_casts_arrives_whole_if_the_receiver_keeps_up(puppet):
    for number in range(20_000):
        puppet.cast((roles.count, number))
    assert puppet.call((roles.counted,), timeout=30) == sum(range(20_000))


def test_a_caller_that_takes_no_replies_does_not_hold_up_others(puppet):
    """It asks for much and reads nothing."""
    greedy = connection._connect(puppet, 5.0)
    payload = roles.pickled((roles.large_answer, 1_000_000))
    for _ in range(20):
        greedy.send(framing.CALL, payload, 5.0)
    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(puppet.call((roles.answer, 1))))
    thread.start()
    thread.join(10)
    assert outcome == [1]
    connection.drop(puppet.identity)
    assert puppet.call((roles.answer, 2)) == 2


def test_threads_never_get_each_others_replies(puppet):
    wrong: list[object] = []

    def ask(thread):
        for number in range(400):
            question = (thread, number, "x" * (number % 50) * 300)
            if puppet.call((roles.answer, question), timeout=30) != question:
                wrong.append(question)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_process_serves_a_thousand_callers_that_stay_connected(puppet):
    crowds = [Puppet.start_link() for _ in range(2)]
    for crowd in crowds:
        answered, descriptors = crowd.call((roles.crowd, puppet, 1200, 30), timeout=60)
        assert answered == 1200
        assert descriptors > 1200
    for crowd in crowds:
        crowd.stop()
    assert puppet.call((roles.answer, "alive")) == "alive"


def test_callers_wait_while_a_process_has_no_descriptor_left(puppet):
    """It lives, serves those that are connected, and takes the others as soon as it can."""
    puppet.call((roles.limit_descriptors, 20))
    crowd = Puppet.start_link()
    assert crowd.call((roles.crowd, puppet, 60, 2), timeout=60)[0] < 60
    assert puppet.call((roles.answer, "alive")) == "alive"
    crowd.stop()
    other = Puppet.start_link()
    assert other.call((roles.call_other, puppet, (roles.answer, 1))) == 1
    other.stop()


def test_a_process_without_a_descriptor_hears_new_callers_when_it_has_one_again(puppet):
    """Though nobody who was connected has gone: its own files took them all."""
    puppet.call((roles.take_all_descriptors,))
    other = Puppet.start_link()
    request = send_request(other, (roles.call_other, puppet, (roles.answer, 1)))
    # It was asked for a caller and had no room.
    assert request.wait_response(0.5) is None
    puppet.call((roles.give_back_descriptors,))
    assert request.receive_response(20) == Reply(1)
    other.stop()


@pytest.fixture
def frozen():
    ref = Puppet.start_link(name="frozen")
    os.kill(ref.pid, signal.SIGSTOP)
    yield ref
    os.kill(ref.pid, signal.SIGCONT)
    end(ref)


def has_room(ref):
    """Try to be a caller of a process for a moment; return whether it was still possible."""
    with socket.socket(socket.AF_UNIX) as caller:
        caller.setblocking(False)
        try:
            caller.connect(socket_path(ref.folder, ref.identity))
        except BlockingIOError:
            return False
    return True


def test_whoever_only_looks_for_a_process_takes_the_place_of_no_caller(frozen):
    for _ in range(1100):
        assert whereis("frozen") == frozen
        assert frozen.is_alive()
    assert has_room(frozen)


def test_a_process_that_can_take_no_more_callers_lives_and_holds_nobody_up(frozen, monkeypatch):
    monkeypatch.setattr(connection, "CAST_TIMEOUT", 0.2)
    while has_room(frozen):
        pass
    assert is_listening(socket_path(frozen.folder, frozen.identity))
    begun = clock.monotonic()
    with pytest.raises(CallTimeout):
        frozen.call((roles.answer, 1), timeout=0.2)
    with pytest.raises(Overloaded):
        frozen.cast((roles.note, 1))
    assert clock.monotonic() - begun < 3
    os.kill(frozen.pid, signal.SIGCONT)
    assert frozen.call((roles.answer, 1), timeout=10) == 1
