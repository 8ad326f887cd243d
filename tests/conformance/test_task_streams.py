"""
Streams of tasks: alone, of a task supervisor, and of a task supervisor without links.

Where the three do not differ one test proves the same of each.
"""

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest

from beethoven import (
    Exited,
    ExitedItem,
    ExitReason,
    Ok,
    ReasonKind,
    TaskStream,
    TaskSupervisor,
    TaskSupervisorRef,
    async_stream,
)
from beethoven.errors import MaxChildren, ProcessExited, SpecError, TaskTimeout
from tests.conformance import streaming
from tests.conformance.cases import proves
from tests.integration import roles
from tests.integration.roles import Puppet, Trapper
from tests.processes import end, is_running, program, wait_until

pytestmark = pytest.mark.process

TIMEOUT = ExitReason(ReasonKind.OTHER, "timeout")
KINDS = ("alone", "supervised", "nolink")
# As many tasks at a time as there are items, fewer and more.
CONCURRENCY = (4, 2, 8)
# A task that has nothing to wait for ends within so many seconds, however busy the machine is.
LONG_ENOUGH = 2.0

Maker = Callable[..., TaskStream]


@pytest.fixture
def supervisor() -> Iterator[TaskSupervisorRef]:
    with TaskSupervisor.start_link() as running:
        yield running


@pytest.fixture(params=KINDS)
def stream(request: pytest.FixtureRequest) -> Iterator[Maker]:
    """Return what makes streams of one of the three kinds."""
    if request.param == "alone":
        yield async_stream
        return
    with TaskSupervisor.start_link() as running:
        yield running.async_stream if request.param == "supervised" else running.async_stream_nolink
        wait_until(lambda: not running.children())


@pytest.fixture
def trapper() -> Iterator[Any]:
    puppet = Trapper.start_link()
    yield puppet
    end(puppet)


@pytest.fixture
def consumer() -> Iterator[Any]:
    puppet = Puppet.start_link()
    yield puppet
    end(puppet)


def doubled(items: Iterable[int]) -> list[Ok]:
    return [Ok(2 * item) for item in items]


def fresh(folder: Path, most: int) -> Path:
    """Return a new folder for one of several runs."""
    path = folder / str(most)
    path.mkdir()
    return path


def odd(item: int) -> Exited:
    return Exited(ExitReason(ReasonKind.OTHER, f"odd {item}"))


def pids_in(folder: Any) -> list[int]:
    return [int(path.name) for path in folder.iterdir()]


def all_gone(pids: Iterable[int]) -> bool:
    return not any(map(is_running, pids))


def expect_no_trace(puppet: Any) -> None:
    """Check that a process has no message left, and nobody to be told about."""
    assert puppet.call((roles.seen,)) == []
    assert puppet.call((streaming.ties,)) == []


@proves("E279", "E325", "E338")
def test_the_results_come_in_the_order_of_the_items(stream):
    for most in CONCURRENCY:
        results = stream(range(4), streaming.double, max_concurrency=most)
        assert list(results) == doubled(range(4))


@proves("E280", "E326", "E339")
def test_a_function_may_have_further_arguments(stream):
    for most in CONCURRENCY:
        results = stream(range(4), partial(streaming.power, 3), max_concurrency=most)
        assert list(results) == [Ok(item**3) for item in range(4)]


@proves("E281", "E327", "E340")
def test_a_stream_that_was_read_to_its_end_leaves_nothing(stream, trapper):
    for most in CONCURRENCY:
        results = stream(range(4), streaming.pid, max_concurrency=most)
        tasks = [result.value for result in trapper.call((streaming.collect, results))]
        assert len(set(tasks)) == 4
        expect_no_trace(trapper)
        wait_until(partial(all_gone, tasks))


@proves("E282", "E328", "E341")
def test_the_order_is_kept_though_the_first_is_the_slowest(stream, tmp_path):
    for most in CONCURRENCY:
        folder = fresh(tmp_path, most)
        # Every other one that may run meanwhile has ended before the first does.
        slow = partial(streaming.double_after_the_others, str(folder), min(most, 4) - 1)
        assert list(stream(range(4), slow, max_concurrency=most)) == doubled(range(4))


@proves("E283", "E329")
@pytest.mark.parametrize("stream", ["alone", "supervised"], indirect=True)
def test_failures_are_results_for_one_that_traps_exits(stream, trapper):
    for most in CONCURRENCY:
        results = stream(range(4), streaming.die_on_odd, max_concurrency=most)
        expected = [Ok(0), odd(1), Ok(4), odd(3)]
        assert trapper.call((streaming.collect, results)) == expected
        expect_no_trace(trapper)


@pytest.mark.parametrize("stream", ["alone", "supervised"], indirect=True)
def test_a_failure_ends_one_that_does_not_trap_exits(stream, consumer):
    results = stream(range(1, 10**6), streaming.die_on_odd, max_concurrency=4)
    with pytest.raises(ProcessExited) as caught:
        consumer.call((streaming.collect, results))
    assert caught.value.reason == odd(1).reason


@proves("E342")
def test_without_links_failures_are_results_for_everybody(supervisor, consumer):
    for most in CONCURRENCY:
        results = supervisor.async_stream_nolink(
            range(4), streaming.die_on_odd, max_concurrency=most
        )
        expected = [Ok(0), odd(1), Ok(4), odd(3)]
        assert consumer.call((streaming.collect, results)) == expected
        expect_no_trace(consumer)


@proves("E284", "E285", "E330", "E331", "E343", "E344")
def test_ending_a_stream_early_ends_its_tasks_and_leaves_nothing(stream, trapper, tmp_path):
    for most in CONCURRENCY:
        folder = fresh(tmp_path, most)
        late = partial(streaming.note_and_double_all_but, str(folder), 1)
        results = stream(range(4), late, max_concurrency=most)
        running = min(most, 4)
        request = (streaming.await_first, results, str(folder), running)
        assert trapper.call(request) == Ok(0)
        tasks = pids_in(folder)
        assert len(tasks) == running
        # The one whose result was delivered ends by itself.
        wait_until(partial(all_gone, tasks))
        expect_no_trace(trapper)


@proves("E286")
def test_two_streams_can_be_read_side_by_side():
    for most in CONCURRENCY:
        one = async_stream(range(4), streaming.double, max_concurrency=most)
        other = async_stream(range(4, 8), streaming.double, max_concurrency=most)
        expected = list(zip(doubled(range(4)), doubled(range(4, 8)), strict=True))
        assert list(zip(one, other, strict=True)) == expected


@proves("E287")
def test_two_streams_with_failures_can_be_read_side_by_side():
    for most in CONCURRENCY:
        one = async_stream(range(4), streaming.die_on_odd, max_concurrency=most)
        other = async_stream(range(4), streaming.double, max_concurrency=most)
        expected = [(Ok(0), Ok(0)), (odd(1), Ok(2)), (Ok(4), Ok(4)), (odd(3), Ok(6))]
        assert list(zip(one, other, strict=True)) == expected


@proves("E288")
def test_two_streams_of_which_one_is_slow_at_first_can_be_read_side_by_side(tmp_path):
    for most in CONCURRENCY:
        folder = fresh(tmp_path, most)
        slow = partial(streaming.double_after_the_others, str(folder), min(most, 4) - 1)
        one = async_stream(range(4), slow, max_concurrency=most)
        other = async_stream(range(4), streaming.double, max_concurrency=most)
        assert list(zip(one, other, strict=True)) == [(each, each) for each in doubled(range(4))]


@proves("E289")
def test_the_source_may_be_cut_short():
    for most in CONCURRENCY:
        results = async_stream(islice(count(), 4), streaming.double, max_concurrency=most)
        assert list(results) == doubled(range(4))


@proves("E290")
def test_the_source_may_be_cut_short_and_tasks_may_fail():
    for most in CONCURRENCY:
        results = async_stream(islice(count(), 4), streaming.die_on_odd, max_concurrency=most)
        assert list(results) == [Ok(0), odd(1), Ok(4), odd(3)]


@proves("E291")
def test_the_source_may_be_cut_short_and_the_first_be_the_slowest(tmp_path):
    for most in CONCURRENCY:
        folder = fresh(tmp_path, most)
        slow = partial(streaming.double_after_the_others, str(folder), min(most, 4) - 1)
        assert list(async_stream(islice(count(), 4), slow, max_concurrency=most)) == doubled(
            range(4)
        )


@proves("E292")
def test_a_consumer_may_stop_after_four_of_eight():
    for most in CONCURRENCY:
        results = async_stream(range(8), streaming.double, max_concurrency=most)
        assert list(islice(results, 4)) == doubled(range(4))


@proves("E293")
def test_a_consumer_may_stop_after_four_of_eight_though_tasks_fail():
    for most in CONCURRENCY:
        results = async_stream(range(8), streaming.die_on_odd, max_concurrency=most)
        assert list(islice(results, 4)) == [Ok(0), odd(1), Ok(4), odd(3)]


@proves("E294")
def test_a_consumer_may_stop_after_four_of_eight_though_the_first_is_slow(tmp_path):
    for most in CONCURRENCY:
        folder = fresh(tmp_path, most)
        slow = partial(streaming.double_after_the_others, str(folder), min(most, 8) - 1)
        results = async_stream(range(8), slow, max_concurrency=most)
        assert list(islice(results, 4)) == doubled(range(4))


@proves("E295")
def test_what_reads_a_stream_cleans_up():
    cleaned = []

    def downstream(most):
        try:
            yield from async_stream(range(4), streaming.double, max_concurrency=most)
        finally:
            cleaned.append(most)

    for most in CONCURRENCY:
        assert list(islice(downstream(most), 1)) == [Ok(0)]
    assert cleaned == list(CONCURRENCY)


@proves("E296")
def test_what_a_stream_reads_from_is_cleaned_up():
    for most in CONCURRENCY:
        source = streaming.Source(*range(8))
        results = async_stream(source, streaming.double_first, max_concurrency=most)
        assert list(islice(results, 1)) == [Ok(0)]
        assert source.is_closed
        assert source.taken == list(range(most))


def test_the_source_is_cleaned_up_though_somebody_keeps_the_error():
    source = streaming.Source(*range(8))
    with pytest.raises(TaskTimeout) as kept:
        list(async_stream(source, streaming.wait_for_ever, max_concurrency=2, timeout=0))
    assert source.is_closed
    assert kept.value.timeout == 0


@proves("E297")
def test_tasks_that_take_too_long_can_be_ended_one_by_one(trapper):
    for most in CONCURRENCY:
        results = async_stream(
            range(4),
            partial(streaming.double_all_but, 1),
            max_concurrency=most,
            timeout=LONG_ENOUGH,
            on_timeout="kill_task",
        )
        expected = [Ok(0), Exited(TIMEOUT), Ok(4), Ok(6)]
        assert trapper.call((streaming.collect, results), timeout=60) == expected
        expect_no_trace(trapper)


@proves("E298", "E335")
@pytest.mark.parametrize("stream", ["alone", "supervised"], indirect=True)
def test_the_result_of_a_task_that_took_too_long_can_have_its_item(stream):
    for most in CONCURRENCY:
        results = stream(
            ["a", "b"],
            streaming.wait_for_ever,
            max_concurrency=most,
            timeout=0.1,
            on_timeout="kill_task",
            zip_input_on_exit=True,
        )
        assert list(results) == [ExitedItem(TIMEOUT, "a"), ExitedItem(TIMEOUT, "b")]


@proves("E299", "E336")
@pytest.mark.parametrize("stream", ["alone", "supervised"], indirect=True)
def test_the_result_of_a_task_that_failed_can_have_its_item(stream):
    for most in CONCURRENCY:
        results = stream(
            range(8), streaming.die_on_odd, max_concurrency=most, zip_input_on_exit=True
        )
        expected = [Ok(0), ExitedItem(odd(1).reason, 1), Ok(4), ExitedItem(odd(3).reason, 3)]
        assert list(islice(results, 4)) == expected


@proves("E268")
def test_a_task_that_takes_too_long_ends_the_stream(trapper):
    results = async_stream(range(4), streaming.wait_for_ever, max_concurrency=4, timeout=0)
    with pytest.raises(TaskTimeout, match=r"wait_for_ever.*0 s"):
        list(results)
    # In a process it does so like any exception.
    with pytest.raises(ProcessExited, match="TaskTimeout"):
        trapper.call((streaming.collect, results))


def test_a_timeout_that_the_consumer_survives_leaves_nothing(trapper, tmp_path):
    late = partial(streaming.note_and_wait, str(tmp_path))
    results = async_stream(range(4), late, max_concurrency=4, timeout=0.3)
    assert trapper.call((streaming.collect_or_catch, results)) == "TaskTimeout"
    assert all_gone(pids_in(tmp_path))
    expect_no_trace(trapper)


@proves("E269")
def test_without_an_order_results_come_as_they_are_completed(tmp_path):
    # The first one ends when the results of the others are here.
    slow = partial(streaming.double_after_the_others, str(tmp_path), 4)
    results = iter(async_stream(range(4), slow, max_concurrency=4, ordered=False, timeout=60))
    others = [next(results) for _ in range(3)]
    tmp_path.joinpath("go on").touch()
    assert sorted(map(repr, others)) == sorted(map(repr, doubled(range(1, 4))))
    assert list(results) == [Ok(0)]


@proves("E270")
def test_without_an_order_tasks_that_take_too_long_can_be_ended(trapper):
    results = async_stream(
        range(4),
        partial(streaming.double_all_but, 0),
        max_concurrency=4,
        ordered=False,
        timeout=LONG_ENOUGH,
        on_timeout="kill_task",
    )
    *others, last = trapper.call((streaming.collect, results), timeout=60)
    assert last == Exited(TIMEOUT)
    assert sorted(result.value for result in others) == [2, 4, 6]
    expect_no_trace(trapper)


@proves("E271")
def test_tasks_may_take_as_long_as_they_want():
    results = async_stream(range(4), streaming.double, timeout=None)
    assert list(results) == doubled(range(4))


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_concurrency", 0), ("on_timeout", "unknown"), ("timeout", "unknown")],
)
@proves("E272", "E273", "E274")
def test_a_wrong_option_is_refused_where_the_stream_is_made(field, value):
    source = streaming.Source(1)
    with pytest.raises(SpecError, match=f"stream: expected {field} to be"):
        async_stream(source, streaming.double, **{field: value})
    assert source.taken == []


def test_what_has_no_items_is_refused_where_the_stream_is_made(stream):
    with pytest.raises(SpecError, match="stream: expected items to be an iterable, got: 5"):
        stream(5, streaming.double)


LEFT = """
    import time
    from beethoven import async_stream

    if __name__ == "__main__":
        results = iter(async_stream([0, 60], time.sleep, max_concurrency=2))
        print(next(results).value, flush=True)
"""


def test_a_program_that_ends_in_the_middle_of_a_stream_says_nothing(tmp_path):
    with program(LEFT, tmp_path) as running:
        assert running.line() == "None"
        assert running.finish() == (0, "", "")


def test_a_function_that_no_process_can_find_is_refused_where_the_stream_is_made(stream):
    with pytest.raises(SpecError, match="top level of a module"):
        stream([1], lambda item: item)


@proves("E337")
def test_a_wrong_shutdown_is_refused_where_the_stream_is_made(supervisor):
    for make in (supervisor.async_stream, supervisor.async_stream_nolink):
        with pytest.raises(SpecError, match="expected shutdown to be seconds >= 0"):
            make([1], streaming.double, shutdown="unknown")


@proves("E275")
def test_forged_messages_do_not_confuse_a_stream(trapper):
    results = async_stream(range(4), streaming.double, max_concurrency=4)
    assert trapper.call((streaming.collect_amid_forgeries, results)) == doubled(range(4))
    wait_until(lambda: len(trapper.call((roles.seen,))) == 20)


@proves("E276", "E333")
@pytest.mark.parametrize("stream", ["alone", "supervised"], indirect=True)
def test_a_task_knows_who_reads_the_stream(stream, consumer):
    results = stream([0], streaming.who_asked)
    assert consumer.call((streaming.collect, results)) == [Ok((consumer,))]


def test_a_task_of_a_task_knows_who_asked_for_both(consumer):
    results = async_stream([0], streaming.stream_in_a_task)
    [outer] = consumer.call((streaming.collect, results))
    [inner] = outer.value
    asked = inner.value
    assert len(asked) == 2
    assert asked[1] == consumer


@proves("E277", "E334")
def test_a_stream_can_be_made_here_and_read_in_another_process(stream, consumer):
    results = stream(range(4), streaming.double, max_concurrency=2)
    assert consumer.call((streaming.collect, results)) == doubled(range(4))
    assert list(results) == doubled(range(4))


@proves("E278")
def test_a_stream_fits_between_lazy_sources_and_readers():
    source = itertools.chain.from_iterable([each, each] for each in count())
    results = async_stream(source, streaming.double, max_concurrency=2)
    assert list(islice(results, 4)) == [Ok(0), Ok(0), Ok(2), Ok(2)]


@pytest.mark.parametrize("kind", ["supervised", "nolink"])
@proves("E332", "E345")
def test_too_many_tasks_for_the_supervisor_end_the_stream_and_leave_nothing(
    kind, trapper, tmp_path
):
    with TaskSupervisor.start_link(max_children=1) as running:
        make = running.async_stream if kind == "supervised" else running.async_stream_nolink
        late = partial(streaming.note_and_wait, str(tmp_path))
        results = make(range(4), late, max_concurrency=4, timeout=None)
        with pytest.raises(MaxChildren, match="at most 1 children"):
            list(results)
        assert trapper.call((streaming.collect_or_catch, results)) == "MaxChildren"
        assert all_gone(pids_in(tmp_path))
        wait_until(lambda: not running.children())
        expect_no_trace(trapper)


def test_a_stream_may_run_as_many_tasks_as_the_supervisor_may_have():
    with TaskSupervisor.start_link(max_children=2) as running:
        results = running.async_stream(range(20), streaming.double, max_concurrency=2)
        assert list(results) == doubled(range(20))


def test_nothing_begins_before_somebody_reads():
    source = streaming.Source(1, 2)
    results = async_stream(source, streaming.double)
    iterator = iter(results)
    assert source.taken == []
    iterator.close()
    assert source.taken == []


def test_an_error_of_the_source_ends_the_stream_and_its_tasks(tmp_path):
    def source():
        yield 0
        streaming.wait_for_files(str(tmp_path), 1)
        raise LookupError("no more")

    late = partial(streaming.note_and_wait, str(tmp_path))
    with pytest.raises(LookupError, match="no more"):
        list(async_stream(source(), late, max_concurrency=2))
    assert all_gone(pids_in(tmp_path))


def test_a_break_in_the_loop_ends_the_tasks(tmp_path):
    late = partial(streaming.note_and_double_all_but, str(tmp_path), 1)
    for result in async_stream(count(), late, max_concurrency=2):
        assert result == Ok(0)
        streaming.wait_for_files(str(tmp_path), 2)
        break
    wait_until(lambda: all_gone(pids_in(tmp_path)))


def test_a_forked_copy_of_the_reader_ends_nothing():
    results = iter(async_stream(range(4), streaming.double, max_concurrency=2))
    assert next(results) == Ok(0)
    copy = os.fork()
    if not copy:
        status = 1
        with contextlib.suppress(BaseException):
            results.close()
            status = 0
        os._exit(status)
    assert os.waitpid(copy, 0)[1] == 0
    assert list(results) == doubled(range(1, 4))


def test_a_stream_may_be_read_in_a_thread():
    found: list[Any] = []
    reader = threading.Thread(
        target=lambda: found.extend(async_stream(range(4), streaming.double, max_concurrency=2))
    )
    reader.start()
    reader.join(30)
    assert found == doubled(range(4))


def test_an_item_that_cannot_be_sent_ends_the_stream():
    with pytest.raises(SpecError, match="can be pickled"):
        list(async_stream([threading.Lock()], streaming.double))


def test_a_long_stream_does_not_collect_descriptors(stream, consumer):
    """Neither its own, nor connections that its tasks have opened to who reads it."""
    before = consumer.call((roles.open_descriptors,))
    results = stream(range(40), streaming.double, max_concurrency=2)
    consumer.call((streaming.collect, results), timeout=60)
    assert consumer.call((roles.open_descriptors,)) <= before + 12


def test_the_death_of_the_reader_ends_the_tasks(stream, tmp_path):
    """Also those of a stream without links: nobody else can take their results."""
    late = partial(streaming.note_and_wait, str(tmp_path))
    results = stream(range(2), late, max_concurrency=2, timeout=None)
    reader = Puppet.start_link()
    reader.cast((streaming.collect, results))
    wait_until(lambda: len(pids_in(tmp_path)) == 2)
    reader.exit("kill")
    wait_until(lambda: all_gone(pids_in(tmp_path)))


def test_a_stream_that_ends_early_ends_also_what_does_not_listen(stream, tmp_path):
    def source():
        yield from range(2)
        streaming.wait_for_files(str(tmp_path), 2)
        raise LookupError("no more")

    deaf = partial(streaming.note_and_hold_the_interpreter, str(tmp_path))
    with pytest.raises(LookupError, match="no more"):
        list(stream(source(), deaf, max_concurrency=3, timeout=None))
    assert len(pids_in(tmp_path)) == 2
    assert all_gone(pids_in(tmp_path))
