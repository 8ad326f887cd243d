from hypothesis import given
from hypothesis import strategies as st

from beethoven.runtime.timers import Timers


def test_messages_are_due_earliest_first():
    timers = Timers()
    timers.set(3.0, "third")
    timers.set(1.0, "first")
    timers.set(2.0, "second")
    assert timers.due(2.5) == ["first", "second"]
    assert timers.due(2.5) == []
    assert timers.due(3.0) == ["third"]


def test_messages_due_at_the_same_moment_keep_the_order_of_setting():
    timers = Timers()
    for message in "abc":
        timers.set(1.0, message)
    assert timers.due(1.0) == ["a", "b", "c"]


def test_a_cancelled_timer_never_comes():
    timers = Timers()
    number = timers.set(1.0, "never")
    assert timers.cancel(number)
    assert timers.next_at is None
    assert timers.due(2.0) == []


def test_a_timer_can_be_cancelled_only_while_it_is_to_come():
    timers = Timers()
    number = timers.set(1.0, "came")
    assert timers.due(1.0) == ["came"]
    assert not timers.cancel(number)
    assert not timers.cancel(12345)


def test_none_may_be_a_message():
    timers = Timers()
    timers.set(1.0, None)
    assert timers.due(1.0) == [None]


def test_a_timer_can_be_read_only_while_it_is_to_come():
    timers = Timers()
    number = timers.set(3.0, "message")
    assert timers.at(number) == 3.0
    timers.due(3.0)
    assert timers.at(number) is None
    assert timers.at(12345) is None


def test_a_silence_ends_at_its_moment_unless_something_else_has_come():
    timers = Timers()
    timers.set_silence(2.0, "silence")
    assert timers.next_at == 2.0
    assert timers.due(1.9) == []
    assert timers.due(2.0, is_quiet=False) == []
    assert timers.due(2.0) == ["silence"]
    assert timers.due(9.0) == []


def test_a_timer_that_rings_at_that_moment_is_something_else():
    timers = Timers()
    timers.set_silence(2.0, "silence")
    timers.set(2.0, "timer")
    assert timers.due(2.0) == ["timer"]
    timers.break_silence()
    assert timers.next_at is None


def test_a_silence_replaces_the_one_before():
    timers = Timers()
    timers.set_silence(1.0, "first")
    timers.set_silence(2.0, "second")
    timers.set(3.0, "timer")
    assert timers.next_at == 2.0
    assert timers.due(2.5) == ["second"]


def test_whoever_waits_is_told_of_what_is_set_meanwhile():
    told = []
    timers = Timers()
    timers.on_set = lambda: told.append(timers.next_at)
    timers.set(2.0, "timer")
    timers.set_silence(1.0, "silence")
    assert told == [2.0, 1.0]


def test_cancelled_timers_do_not_pile_up():
    timers = Timers()
    last = timers.set(9.0, "stays")
    for _ in range(10_000):
        timers.cancel(timers.set(1e9, "never"))
    assert len(timers._heap) < 100
    assert timers.at(last) == timers.next_at == 9.0


@given(
    st.lists(st.one_of(st.floats(0, 100), st.integers(0, 20)), max_size=60),
    st.lists(st.floats(0, 110), max_size=5),
)
def test_every_timer_comes_once_unless_cancelled(steps, moments):
    """A float sets a timer, an integer cancels the timer of that number."""
    timers = Timers()
    expected: dict[int, float] = {}
    for step in steps:
        if isinstance(step, float):
            number = timers.set(step, (step, len(expected)))
            expected[number] = step
        else:
            assert timers.cancel(step) == (expected.pop(step, None) is not None)
    came = [message for moment in sorted(moments) for message in timers.due(moment)]
    last = max(moments, default=-1.0)
    assert sorted(at for at, _ in came) == sorted(at for at in expected.values() if at <= last)
    assert timers.next_at == min((at for at in expected.values() if at > last), default=None)
