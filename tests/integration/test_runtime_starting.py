import asyncio
import threading

import pytest

from beethoven import ExitReason, ReasonKind, Ref, clock, whereis
from beethoven.errors import AlreadyStarted, SpecError, StartFailed, StartIgnored, StartTimeout
from tests.integration import roles
from tests.integration.roles import Puppet, SpawnedPuppet, Unpicklable
from tests.processes import is_running

pytestmark = [pytest.mark.process, pytest.mark.shared_tree]


@pytest.fixture(params=[Puppet, SpawnedPuppet], ids=["forkserver", "spawn"])
def puppet(request):
    return request.param


def test_start_link_returns_when_init_has_returned(puppet, tmp_path):
    ref = puppet.start_link((roles.touch, str(tmp_path / "done")))
    assert (tmp_path / "done").exists()
    assert is_running(ref.pid)
    assert ref.call((roles.pid,)) == ref.pid
    ref.stop()
    assert not is_running(ref.pid)


def test_a_start_raises_what_init_raised_with_its_traceback_as_a_note(puppet):
    with pytest.raises(ValueError, match="no luck") as caught:
        puppet.start_link((roles.crash, "no luck"), name="unlucky")
    assert any("in crash" in note for note in caught.value.__notes__)
    assert whereis("unlucky") is None


def test_a_failed_start_leaves_neither_process_nor_name():
    keeper = Puppet.start_link()
    for _ in range(20):
        with pytest.raises(ValueError, match="no luck"):
            Puppet.start_link((roles.crash, "no luck"), name="unlucky")
        assert whereis("unlucky") is None
    ref = Puppet.start_link(name="unlucky")
    assert whereis("unlucky") == ref
    ref.stop()
    keeper.stop()


def test_a_start_that_takes_too_long_is_killed():
    keeper = Puppet.start_link()
    before = clock.monotonic()
    with pytest.raises(StartTimeout, match=r"expected init to return within 0\.3 s"):
        Puppet.start_link((roles.sleep, 30), name="slow", timeout=0.3)
    assert clock.monotonic() - before < 10
    assert whereis("slow") is None
    keeper.stop()


def test_a_start_that_times_out_just_when_init_returns_either_succeeds_or_leaves_nothing():
    keeper = Puppet.start_link()
    for step in range(40):
        try:
            ref = Puppet.start_link(name="racer", timeout=0.001 + step * 0.0002)
        except StartTimeout:
            assert whereis("racer") is None
        else:
            assert ref.call((roles.answer, step)) == step
            ref.stop()
    keeper.stop()


@pytest.mark.parametrize("timeout", [-1, "soon", float("nan"), float("inf"), True])
def test_a_start_timeout_must_be_seconds(timeout):
    with pytest.raises(SpecError, match="expected timeout to be seconds >= 0 or None"):
        Puppet.start_link(timeout=timeout)


def test_init_may_ignore_the_start(puppet):
    with pytest.raises(StartIgnored):
        puppet.start_link((roles.ignore_start,), name="unwilling")
    assert whereis("unwilling") is None


@pytest.mark.parametrize(
    ("reason", "kind"),
    [("normal", ReasonKind.NORMAL), ("shutdown", ReasonKind.SHUTDOWN), ("x", ReasonKind.OTHER)],
)
def test_stop_in_init_fails_the_start_with_its_reason(reason, kind):
    with pytest.raises(StartFailed) as caught:
        Puppet.start_link((roles.end, reason))
    assert caught.value.reason.kind == kind


def test_a_name_is_held_by_one_process_and_init_of_a_second_does_not_run(tmp_path):
    holder = Puppet.start_link(name="unique")
    with pytest.raises(AlreadyStarted, match="'unique'") as caught:
        Puppet.start_link((roles.touch, str(tmp_path / "ran")), name="unique")
    assert caught.value.holder == holder
    assert not (tmp_path / "ran").exists()
    assert whereis("unique") == holder
    holder.stop()


def test_many_starts_of_one_name_at_once_give_one_holder():
    keeper = Puppet.start_link()
    outcomes: list[Ref] = []

    def begin():
        try:
            outcomes.append(Puppet.start_link(name="contended"))
        except AlreadyStarted as error:
            outcomes.append(error.holder)

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 8
    assert {outcome.identity for outcome in outcomes} == {outcomes[0].identity}
    assert whereis("contended") == outcomes[0]
    outcomes[0].stop()
    keeper.stop()


def test_a_process_killed_during_init_fails_the_start():
    with pytest.raises(StartFailed) as caught:
        Puppet.start_link((roles.leave_by_signal, 9))
    assert caught.value.reason == ExitReason(ReasonKind.KILLED)


def test_a_process_that_leaves_during_init_fails_the_start():
    with pytest.raises(StartFailed, match="exit code 0") as caught:
        Puppet.start_link((roles.leave, 0))
    assert caught.value.reason.is_abnormal


def test_arguments_that_cannot_be_pickled_are_the_callers_mistake():
    with pytest.raises(SpecError, match=r"expected args to be .*Unpicklable cannot be pickled"):
        Puppet.start_link((roles.answer, Unpicklable()))


def test_a_role_that_cannot_be_found_by_its_name_is_the_callers_mistake():
    class Local(Puppet):
        pass

    with pytest.raises(SpecError, match="Local"):
        Local.start_link()


def test_a_name_can_be_used_again_at_once_twenty_times():
    keeper = Puppet.start_link()
    for round_ in range(20):
        ref = Puppet.start_link(name="phoenix")
        assert ref.call((roles.answer, round_)) == round_
        ref.stop()
    keeper.stop()


def test_a_role_can_be_started_from_any_thread():
    refs = []
    thread = threading.Thread(target=lambda: refs.append(Puppet.start_link()))
    thread.start()
    thread.join()
    assert refs[0].call((roles.answer, "alive")) == "alive"
    refs[0].stop()


def test_a_role_can_be_started_under_asyncio():
    async def begin():
        return Puppet.start_link(), await asyncio.to_thread(Puppet.start_link)

    for ref in asyncio.run(begin()):
        assert ref.call((roles.answer, "alive")) == "alive"
        ref.stop()


def test_a_role_started_in_a_role_ends_with_it():
    parent = Puppet.start_link()
    child = parent.call((roles.start_other, Puppet, None, "inner"))
    assert child.call((roles.answer, 1)) == 1
    assert whereis("inner") == child
    parent.stop()
    assert child.wait(5) is not None
    assert not is_running(child.pid)
    assert whereis("inner") is None


def test_a_start_in_a_role_fails_as_it_does_in_a_program():
    parent = Puppet.start_link()
    with pytest.raises(Exception, match="no luck"):
        parent.call((roles.start_other, Puppet, (roles.crash, "no luck")))


@pytest.mark.parametrize("name", ["", 5, "x" * 300])
def test_a_name_must_be_a_text(name):
    with pytest.raises(SpecError, match="expected name to be a text"):
        Puppet.start_link(name=name)


@pytest.mark.parametrize("name", ["../escape", "/etc/passwd", ".", "..", "ünïcödé \n name"])
def test_a_name_may_hold_any_character(name):
    ref = Puppet.start_link(name=name)
    assert whereis(name) == ref
    ref.stop()
    assert whereis(name) is None
