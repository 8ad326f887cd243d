"""Links and monitors."""

import itertools
import os
import signal

import pytest

from beethoven import Down, Exit, ExitReason, ReasonKind, process_info, whereis
from tests.integration import roles
from tests.integration.roles import Puppet, Trapper
from tests.processes import end, is_running, wait_until

pytestmark = pytest.mark.process

NOPROC = ExitReason(ReasonKind.NO_PROCESS)
KILLED = ExitReason(ReasonKind.KILLED)
NORMAL = ExitReason(ReasonKind.NORMAL)


@pytest.fixture
def watcher():
    ref = Trapper.start_link()
    yield ref
    end(ref)


@pytest.fixture
def puppet():
    ref = Puppet.start_link(name="puppet")
    yield ref
    end(ref)


def seen(ref):
    return ref.call((roles.seen,))


def wait_until_linked(ref, by):
    """A link is there as soon as its maker has it; the other process hears of it a moment later."""
    wait_until(lambda: by.identity in links_of(ref))


def links_of(ref):
    info = process_info(ref)
    assert info is not None
    return [each.identity for each in info.links]


def wait_for_messages(ref, count=1):
    wait_until(lambda: len(seen(ref)) >= count)
    return seen(ref)


ENDS = {
    "normal": ((roles.end, "normal"), lambda r: r == NORMAL),
    "shutdown": ((roles.end, "shutdown"), lambda r: str(r) == "shutdown"),
    "exception": ((roles.crash,), lambda r: "in crash" in r.traceback),
    "exit code": ((roles.leave, 3), lambda r: str(r) == "exit code 3"),
    "SIGKILL": ((roles.leave_by_signal, 9), lambda r: r == KILLED),
    "SIGTERM": ((roles.leave_by_signal, 15), lambda r: str(r) == "signal SIGTERM"),
}


@pytest.mark.parametrize(("request_", "is_expected"), ENDS.values(), ids=ENDS.keys())
def test_a_monitor_tells_of_the_end_once_with_its_reason(watcher, puppet, request_, is_expected):
    number = watcher.call((roles.monitor, puppet))
    puppet.cast(request_)
    (down,) = wait_for_messages(watcher)
    assert isinstance(down, Down)
    assert (down.monitor, down.ref) == (number, puppet)
    assert is_expected(down.reason), down.reason
    watcher.call((roles.sleep, 0.05))
    assert len(seen(watcher)) == 1


def test_monitors_stack(watcher, puppet):
    numbers = [watcher.call((roles.monitor, target)) for target in (puppet, "puppet", puppet)]
    puppet.stop()
    messages = wait_for_messages(watcher, 3)
    assert sorted(down.monitor for down in messages) == sorted(numbers)


@pytest.mark.parametrize("by_name", [True, False], ids=["unknown name", "dead reference"])
def test_a_monitor_of_nobody_tells_noproc_at_once(watcher, puppet, by_name):
    puppet.stop()
    number = watcher.call((roles.monitor, "puppet" if by_name else puppet))
    (down,) = wait_for_messages(watcher)
    assert (down.monitor, down.reason) == (number, NOPROC)


def test_an_undone_monitor_tells_nothing(watcher, puppet):
    number = watcher.call((roles.monitor, puppet))
    watcher.call((roles.demonitor, number))
    puppet.stop()
    watcher.call((roles.sleep, 0.1))
    assert seen(watcher) == []


def test_undoing_a_monitor_takes_back_what_it_has_told_already(watcher, puppet):
    puppet.stop()
    watcher.call((roles.monitor_and_demonitor, puppet))
    watcher.call((roles.sleep, 0.1))
    assert seen(watcher) == []


def test_the_news_of_a_death_comes_after_all_that_the_dead_process_sent(watcher):
    """Source: otp.md 3.4, rule 1."""
    for round_ in range(20):
        talker = Puppet.start_link()
        watcher.call((roles.monitor, talker))
        talker.cast((roles.send_many_and_die, watcher, [(round_, n) for n in range(150)]))
        messages = wait_for_messages(watcher, 151 * (round_ + 1))[-151:]
        assert messages[:-1] == [(round_, number) for number in range(150)]
        assert isinstance(messages[-1], Down)


def test_the_name_of_the_dead_is_free_before_anybody_hears_of_the_death(watcher):
    """Fifty times, for it is a race. Source: otp.md 2.6 and 3.4, rule 3."""
    watcher.call((roles.look_up_when_told, "mortal"))
    for round_ in range(50):
        mortal = Puppet.start_link(name="mortal")
        watcher.call((roles.monitor, mortal))
        os.kill(mortal.pid, signal.SIGKILL)
        messages = wait_for_messages(watcher, 2 * (round_ + 1))
        assert messages[-2].reason == KILLED
        assert messages[-1] is None


LINKED_ENDS = {
    "exception": ((roles.crash,), "ValueError: boom"),
    "shutdown": ((roles.end, "shutdown"), "shutdown"),
    "SIGKILL": ((roles.leave_by_signal, 9), "killed"),
}


@pytest.mark.parametrize(("request_", "reason"), LINKED_ENDS.values(), ids=LINKED_ENDS.keys())
@pytest.mark.parametrize("made_by_the_dead", [True, False], ids=["theirs", "ours"])
def test_a_linked_process_ends_with_the_reason(puppet, request_, reason, made_by_the_dead):
    other = Puppet.start_link()
    observer = Trapper.start_link()
    observer.call((roles.monitor, other))
    first, second = (puppet, other) if made_by_the_dead else (other, puppet)
    first.call((roles.link, second))
    puppet.cast(request_)
    (down,) = wait_for_messages(observer)
    assert str(down.reason) == reason
    end(observer)


@pytest.mark.parametrize("made_by_the_dead", [True, False], ids=["theirs", "ours"])
def test_who_traps_exits_gets_a_message_of_a_linked_process(watcher, puppet, made_by_the_dead):
    first, second = (puppet, watcher) if made_by_the_dead else (watcher, puppet)
    first.call((roles.link, second))
    puppet.cast((roles.crash,))
    (message,) = wait_for_messages(watcher)
    assert isinstance(message, Exit)
    assert message.ref.identity == puppet.identity
    assert str(message.reason) == "ValueError: boom"


def test_a_normal_end_of_a_linked_process_is_ignored(puppet):
    other = Puppet.start_link()
    other.call((roles.link, puppet))
    puppet.stop()
    other.call((roles.sleep, 0.1))
    assert other.call((roles.answer, "alive")) == "alive"
    end(other)


def test_a_trapped_normal_end_is_a_message(watcher, puppet):
    watcher.call((roles.link, puppet))
    puppet.stop()
    assert wait_for_messages(watcher) == [Exit(puppet, NORMAL)]


@pytest.mark.parametrize("undone_by_maker", [True, False])
def test_an_undone_link_tells_nothing(watcher, puppet, undone_by_maker):
    watcher.call((roles.link, puppet))
    wait_until_linked(puppet, by=watcher)
    first, second = (watcher, puppet) if undone_by_maker else (puppet, watcher)
    first.call((roles.unlink, second))
    puppet.cast((roles.crash,))
    wait_until(lambda: not is_running(puppet.pid))
    watcher.call((roles.sleep, 0.1))
    assert seen(watcher) == []


def test_a_link_to_the_dead_tells_noproc(watcher, puppet):
    puppet.stop()
    watcher.call((roles.link, puppet))
    assert wait_for_messages(watcher) == [Exit(puppet, NOPROC)]


def test_a_link_to_the_dead_ends_who_does_not_trap_exits(puppet):
    other = Puppet.start_link()
    puppet.stop()
    other.cast((roles.link, puppet))
    assert other.wait(5) is not None
    wait_until(lambda: not is_running(other.pid))


def test_links_do_not_stack(watcher, puppet):
    for _ in range(3):
        watcher.call((roles.link, puppet))
    wait_until_linked(puppet, by=watcher)
    puppet.call((roles.link, watcher))
    puppet.cast((roles.crash,))
    wait_for_messages(watcher)
    watcher.call((roles.sleep, 0.1))
    assert len(seen(watcher)) == 1


def test_a_death_cascades_along_links_up_to_who_traps_exits(watcher):
    chain = [Puppet.start_link() for _ in range(3)]
    for one, next_ in itertools.pairwise(chain):
        one.call((roles.link, next_))
    watcher.call((roles.link, chain[0]))
    os.kill(chain[-1].pid, signal.SIGKILL)
    (message,) = wait_for_messages(watcher)
    assert message.reason == KILLED
    assert not any(is_running(ref.pid) for ref in chain)


def test_a_child_of_a_role_tells_its_parent_that_traps_exits(watcher):
    child = watcher.call((roles.start_other, Puppet, None))
    os.kill(child.pid, signal.SIGKILL)
    assert wait_for_messages(watcher) == [Exit(child, KILLED)]


def test_the_crash_of_a_child_ends_a_parent_that_does_not_trap_exits(puppet):
    child = puppet.call((roles.start_other, Puppet, None))
    child.cast((roles.crash,))
    assert puppet.wait(5) is not None
    wait_until(lambda: whereis("puppet") is None)


def test_an_unlinked_process_outlives_its_parent_up_to_the_end_of_the_tree(puppet):
    keeper = Puppet.start_link()
    free = puppet.call((roles.start_unlinked, Puppet, None))
    puppet.stop()
    assert free.call((roles.answer, "alive")) == "alive"
    end(keeper)
    assert not is_running(free.pid)
