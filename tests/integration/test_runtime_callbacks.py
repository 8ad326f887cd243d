import signal

import pytest

from beethoven import clock
from beethoven.errors import ProcessExited, SpecError
from tests.integration import roles
from tests.integration.roles import AsyncPuppet, Plain, Puppet, Trapper
from tests.log_lines import LogLines
from tests.processes import end, is_running, wait_until

pytestmark = [pytest.mark.process, pytest.mark.shared_tree]


@pytest.fixture(params=[Puppet, AsyncPuppet], ids=["plain", "async"])
def puppet(request):
    ref = request.param.start_link()
    yield ref
    end(ref)


@pytest.fixture
def async_puppet():
    ref = AsyncPuppet.start_link()
    yield ref
    end(ref)


def test_what_continue_with_asks_for_comes_before_queued_messages(puppet):
    puppet.cast((roles.sleep, 0.1))
    puppet.cast((roles.go_on_with, 2))
    puppet.send("queued")
    continued = [("continued", number) for number in (2, 1, 0)]
    assert puppet.call((roles.seen,)) == [*continued, "queued"]


def test_init_may_go_on_after_the_start_has_returned():
    ref = Puppet.start_link((roles.go_on_with, ("later", 1)))
    assert ref.call((roles.seen,)) == [("continued", ("later", 1))]
    ref.stop()


def test_a_role_without_handle_continue_crashes():
    watcher = Trapper.start_link()
    watcher.call((roles.start_other, Plain, "go on"))
    wait_until(lambda: watcher.call((roles.seen,)))
    (message,) = watcher.call((roles.seen,))
    assert "Plain has no handle_continue" in message.reason.detail
    watcher.stop()


def test_a_timer_sends_its_message_once_and_not_too_early(puppet):
    begun = clock.monotonic()
    puppet.call((roles.set_timer, 0.1, "rung"))
    wait_until(lambda: puppet.call((roles.seen,)))
    assert clock.monotonic() - begun >= 0.1
    assert puppet.call((roles.sleep, 0.15)) is None
    assert puppet.call((roles.seen,)) == ["rung"]


def test_a_timer_rings_in_a_process_that_gets_no_message(puppet, tmp_path):
    """Nobody looks: the process must wake up by itself."""
    puppet.call((roles.write_will, str(tmp_path / "will")))
    puppet.call((roles.set_end_timer, 0.1))
    wait_until((tmp_path / "will").exists, 5)


def test_a_cancelled_timer_never_rings(puppet):
    source = (
        "timer = role.send_after(0.05, 'never')\n"
        "answer = role.cancel_timer(timer), role.cancel_timer(timer)"
    )
    assert puppet.call((roles.run, source)) == (True, False)
    puppet.call((roles.sleep, 0.1))
    assert puppet.call((roles.seen,)) == []


def test_a_timer_may_be_set_for_years(puppet):
    puppet.call((roles.set_timer, 1e9, "in thirty years"))
    assert puppet.call((roles.answer, "alive")) == "alive"


@pytest.mark.parametrize("delay", [-1, "soon", None, float("nan"), float("inf"), True])
def test_what_is_no_time_is_refused(puppet, delay):
    text = r"Puppet\.send_after: expected delay to be seconds >= 0"
    with pytest.raises(ProcessExited, match=text):
        puppet.call((roles.set_timer, delay, "never"))


def test_a_role_that_was_never_started_says_so():
    role = Puppet()
    for use in (
        lambda: role.send_after(1, "never"),
        lambda: role.set_label("mine"),
        lambda: role.ref,
    ):
        with pytest.raises(SpecError, match="start_link or start has started"):
            use()


def test_timers_ring_in_the_order_of_their_times(puppet):
    puppet.call((roles.run, "for delay in (0.6, 0.2, 0.4): role.send_after(delay, delay)"))
    wait_until(lambda: len(puppet.call((roles.seen,))) == 3)
    assert puppet.call((roles.seen,)) == [0.2, 0.4, 0.6]


def test_an_async_callback_may_wait(async_puppet):
    assert async_puppet.call((roles.await_and_answer, "done")) == "done"


def test_an_async_init_may_wait_and_fail():
    with pytest.raises(ValueError, match="boom"):
        AsyncPuppet.start_link((roles.crash,))
    ref = AsyncPuppet.start_link((roles.sleep_in_a_task, 0.05))
    ref.stop()


def test_tasks_of_an_async_role_run_while_it_waits_for_messages(async_puppet):
    async_puppet.call((roles.start_task, 0.01))
    wait_until(lambda: len(async_puppet.call((roles.seen,))) > 3)


def test_tasks_of_an_async_role_run_between_messages_that_never_cease(async_puppet):
    async_puppet.call((roles.start_task, 0.0))
    async_puppet.cast((roles.sleep, 0.1))
    for _ in range(100):
        async_puppet.cast((roles.answer, None))
    assert len(async_puppet.call((roles.seen,))) >= 50


def test_callbacks_of_an_async_role_run_one_at_a_time(async_puppet):
    async_puppet.cast((roles.note, "before"))
    async_puppet.call((roles.sleep_in_a_task, 0.1))
    async_puppet.cast((roles.note, "after"))
    assert async_puppet.call((roles.seen,)) == ["before", "after"]


def test_an_async_role_ends_with_its_reason_and_its_terminate(async_puppet, tmp_path):
    async_puppet.call((roles.write_will, str(tmp_path / "will")))
    async_puppet.call((roles.start_task, 0.01))
    assert async_puppet.call((roles.end, "shutdown", "bye")) == "bye"
    assert (tmp_path / "will").read_text() == "shutdown"
    assert str(async_puppet.wait(5)) == "shutdown"


def test_an_async_role_crashes_as_a_plain_one_does(async_puppet):
    with pytest.raises(ProcessExited, match=r"(?s)ValueError: boom.*in crash"):
        async_puppet.call((roles.crash,))


def test_a_plain_role_imports_neither_asyncio_nor_what_only_a_node_needs():
    ref = Puppet.start_link()
    modules = ("asyncio", "rich", "psutil", "tomli", "tomllib", "json")
    assert ref.call((roles.loaded, *modules)) == []
    ref.stop()


def test_sigusr1_writes_all_stacks_and_the_role_lives_on(capfd):
    log, ref = LogLines(capfd), Puppet.start_link()
    ref.call((roles.run, f"import os; os.kill(os.getpid(), {int(signal.SIGUSR1)})"))
    assert ref.call((roles.answer, "alive")) == "alive"
    ref.stop()
    wait_until(lambda: log.read().count("most recent call first") == 2)
    assert not is_running(ref.pid)
