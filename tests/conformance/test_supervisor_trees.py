"""Supervisors among other processes: their parents, their children, names, and failing starts."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beethoven import (
    ChildSpec,
    DynamicSupervisor,
    DynamicSupervisorRef,
    Ref,
    Role,
    Stop,
    Supervisor,
    SupervisorRef,
    call,
    errors,
    stop,
    whereis,
)
from beethoven.runtime.exit_signals import Exit
from beethoven.runtime.reason import KILLED, SHUTDOWN
from tests.conformance.cases import proves
from tests.integration import roles
from tests.integration.roles import Puppet, Trapper
from tests.integration.trees import Journal, pids, statuses, tree
from tests.processes import end, is_running, wait_until

pytestmark = pytest.mark.process


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path)


@pytest.fixture
def starter() -> Iterator[Ref]:
    """A process that traps exits and starts what it is told."""
    ref = Trapper.start_link()
    yield ref
    end(ref)


def crash(process: Ref) -> None:
    os.kill(process.pid, signal.SIGKILL)


# What the starter hears


def starts(role: Puppet, what: type, *args: Any, **options: Any) -> str:
    """Start something from within a role; return what was raised."""
    try:
        what.start_link(*args, **options)  # type: ignore[attr-defined]
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


@proves("S1")
def test_the_shutdown_of_its_parent_ends_a_supervisor_without_children() -> None:
    with tree(Supervisor.child_spec("inner", [])) as supervisor:
        supervisor.terminate_child("inner")
        assert supervisor.which_child("inner").last_exit == SHUTDOWN


@proves("S2", "E21")
def test_a_start_that_is_ignored_says_so_and_sends_its_starter_no_exit(starter: Ref) -> None:
    raised = starter.call((starts, Puppet, (roles.ignore_start,)))
    assert raised == "StartIgnored: Puppet: init returned Ignore"
    assert starter.call((roles.seen,)) == []


@proves("S8", "E21")
@pytest.mark.parametrize("junk", [42, "ab", [42], None])
def test_what_is_no_list_of_children_is_refused_and_sends_the_starter_no_exit(
    starter: Ref, junk: object
) -> None:
    raised = starter.call((starts, Supervisor, junk))
    assert raised.startswith("SpecError: supervisor: expected children")
    assert starter.call((roles.seen,)) == []


@proves("S9")
def test_a_tree_that_fails_to_start_says_why_and_sends_its_starter_no_exit(starter: Ref) -> None:
    raised = starter.call((starts, Supervisor, [ChildSpec("a", Puppet, (roles.crash, "boom"))]))
    assert raised.startswith("StartFailed: Supervisor: could not start: shutdown: failed to start")
    assert "in crash\n    raise ValueError(text)" in raised
    assert starter.call((roles.seen,)) == []


@proves("S51")
def test_a_failure_deep_in_the_tree_surfaces_with_its_reason_and_its_traceback(
    journal: Journal,
) -> None:
    failing = ChildSpec("c", Puppet, (roles.crash, "boom"))
    inner = Supervisor.child_spec("inner", [journal.worker("b"), failing])
    with pytest.raises(errors.StartFailed) as caught:
        Supervisor.start_link([journal.worker("a"), inner])
    assert str(caught.value.reason) == (
        "shutdown: failed to start child 'inner': "
        "shutdown: failed to start child 'c': ValueError: boom"
    )
    assert "in crash\n    raise ValueError(text)" in str(caught.value)
    assert journal.story("stopped") == ["stopped b", "stopped a"]


LEAVING = {
    "an exception": (roles.crash, "boom"),
    "a value": (roles.answer, 42),
    "sys.exit": (roles.run, "import sys; sys.exit(3)"),
    "an interrupt": (roles.run, "raise KeyboardInterrupt"),
    "a stop": (roles.end, "odd"),
    "os._exit": (roles.leave, 0),
    "a kill": (roles.leave_by_signal, signal.SIGKILL),
}
WHY = {
    "an exception": "ValueError: boom",
    "a value": "bad return value of init: 42",
    "sys.exit": "SystemExit: 3",
    "an interrupt": "KeyboardInterrupt",
    "a stop": "odd",
    "os._exit": "exit code 0",
    "a kill": "killed",
}


@proves("S10", "S12", "E32", "E33")
def test_however_an_init_is_left_the_start_fails_and_the_supervisor_survives() -> None:
    with DynamicSupervisor.start_link() as pool, tree() as supervisor:
        for name, init in LEAVING.items():
            for each in (pool, supervisor):
                with pytest.raises(errors.ChildStartFailed) as caught:
                    each.start_child(ChildSpec("a", Puppet, init))
                assert str(caught.value.reason) == WHY[name]
                assert each.which_children() == []


@proves("S91")
def test_start_child_tells_who_holds_the_name_that_it_was_to_have() -> None:
    taken = ChildSpec("a", Puppet, name="taken")
    with DynamicSupervisor.start_link() as pool, tree() as supervisor:
        holder = Puppet.start_link(name="taken")
        for each in (pool, supervisor):
            with pytest.raises(errors.AlreadyStarted) as caught:
                each.start_child(taken)
            assert (caught.value.name, caught.value.holder) == ("taken", holder)
            assert each.which_children() == []
        holder.stop()
        assert supervisor.start_child(taken) == whereis("taken")


# Names


@proves("E7")
def test_a_supervisor_is_addressed_by_its_name(journal: Journal) -> None:
    with tree(journal.worker("a"), name="shop") as supervisor:
        assert whereis("shop") == supervisor.ref
        by_name = SupervisorRef(whereis("shop") or supervisor.ref)
        assert by_name.start_child(journal.worker("b")) is not None
        assert statuses(supervisor) == {"a": "running", "b": "running"}
        assert call("shop", ("count_children",)) == ("ok", supervisor.count_children())


@proves("E8")
def test_a_named_child_is_restarted_under_its_name() -> None:
    with tree(ChildSpec("a", Puppet, name="till")) as supervisor:
        first = supervisor.child("a")
        assert call("till", (roles.pid,)) == first.pid
        stop("till")
        wait_until(lambda: whereis("till") not in {None, first})
        assert call("till", (roles.pid,)) == supervisor.child("a").pid
    for wrong in (5, "", ("a", "b")):
        with pytest.raises(errors.SpecError, match="name"):
            Supervisor.start_link([], name=wrong)  # type: ignore[arg-type]


@proves("E22")
def test_a_dynamic_supervisor_is_linked_to_its_starter_and_ends_by_its_name(starter: Ref) -> None:
    source = "from beethoven import DynamicSupervisor; DynamicSupervisor.start_link(name='pool')"
    starter.call((roles.run, source))
    pool = whereis("pool")
    assert pool is not None
    stop("pool", "shutdown")
    assert whereis("pool") is None
    wait_until(lambda: starter.call((roles.seen,)))
    assert starter.call((roles.seen,)) == [Exit(pool, SHUTDOWN)]
    starter.call((roles.run, source))
    again = whereis("pool")
    assert again is not None
    crash(starter)
    wait_until(lambda: not is_running(again.pid))


@proves("S79")
def test_names_are_free_and_taken_anew_whatever_ends_their_holders() -> None:
    worker = ChildSpec("w", Puppet, name="worker")
    inner = Supervisor.child_spec("inner", [worker], name="inner")
    with tree(inner, max_restarts=5) as supervisor:
        before, first = whereis("inner"), whereis("worker")
        assert before is not None
        crash(before)
        # As long as the old worker has its name, each new supervisor fails to start.
        renewed("worker", first)
        middle = renewed("inner", before)
        # A name is held before the start is complete; one that fails then ends the supervisor.
        first = SupervisorRef(middle).child("w")
        crash(first)
        second = renewed("worker", first)
        second.cast((roles.end, "normal"))
        third = renewed("worker", second)
        below = SupervisorRef(middle)
        below.terminate_child("w")
        assert whereis("worker") is None
        assert below.restart_child("w") == whereis("worker") != third
        assert whereis("inner") == middle
        crash(supervisor.ref)
        assert supervisor.wait(10) == KILLED
        wait_until(lambda: whereis("worker") is None and whereis("inner") is None)


def renewed(name: str, before: Ref | None) -> Ref:
    """Return who holds a name, as soon as it is somebody else than before."""
    wait_until(lambda: whereis(name) not in {None, before})
    ref = whereis(name)
    assert ref is not None
    return ref


# Trees of several levels


@proves("S56")
def test_a_tree_of_three_levels_restarts_what_it_must_and_no_more(journal: Journal) -> None:
    inner = Supervisor.child_spec("inner", journal.workers("xy"), max_restarts=1, max_seconds=60)
    children = [journal.worker("a"), inner, journal.worker("b")]
    with tree(*children, strategy="one_for_all") as supervisor:
        before = pids(supervisor)
        below = SupervisorRef(supervisor.child("inner"))
        crash(below.child("x"))
        wait_until(lambda: below.which_child("x").restarts == 1)
        below.child("x")
        assert pids(supervisor) == before
        below.start_child(journal.worker("z"))
        supervisor.terminate_child("b")
        crash(below.child("x"))
        wait_until(lambda: supervisor.which_child("inner").restarts == 1)
        wait_until(lambda: set(statuses(supervisor).values()) == {"running"})
        assert supervisor.which_child("inner").last_exit == SHUTDOWN
        assert not set(before.values()) & set(pids(supervisor).values())
        again = SupervisorRef(supervisor.child("inner"))
        assert statuses(again) == {"x": "running", "y": "running"}
    journal.check()


@proves("S63")
@pytest.mark.parametrize("is_significant", [True, False])
def test_the_automatic_shutdown_of_an_inner_supervisor_ends_the_outer_if_it_is_significant(
    journal: Journal, is_significant: bool
) -> None:
    inner = Supervisor.child_spec(
        "inner",
        [journal.worker("a", restart="temporary", significant=True)],
        auto_shutdown="any_significant",
        restart="transient",
        significant=is_significant,
    )
    with tree(inner, journal.worker("b"), auto_shutdown="any_significant") as supervisor:
        SupervisorRef(supervisor.child("inner")).child("a").cast((roles.end, "normal"))
        if is_significant:
            assert supervisor.wait(10) == SHUTDOWN
            assert journal.story("stopped")[-1] == "stopped b"
        else:
            wait_until(lambda: statuses(supervisor) == {"inner": "stopped", "b": "running"})
            assert supervisor.which_child("inner").last_exit == SHUTDOWN


@proves("S74")
def test_it_can_be_asked_what_a_child_is() -> None:
    kinds = {"a": Puppet, "b": Supervisor, "c": DynamicSupervisor}
    children = [
        ChildSpec("a", Puppet),
        Supervisor.child_spec("b", []),
        DynamicSupervisor.child_spec("c"),
    ]
    with tree(*children) as supervisor:
        assert {child_id: supervisor.get_child_spec(child_id).role for child_id in kinds} == kinds


class Keeper(Role):
    """Tells what it was given."""

    def init(self, args: Any) -> None:
        self.args = args

    def handle_call(self, request: Any, _: Any) -> Any:
        return self.args

    def handle_cast(self, request: Any) -> None:
        raise Stop("odd")


def shop(place: str) -> ChildSpec:
    """Return the specification of a supervisor whose children depend on an argument."""
    return Supervisor.child_spec(f"shop in {place}", [ChildSpec("till", Keeper, place)])


@proves("E10")
def test_a_function_makes_a_supervisor_of_its_arguments() -> None:
    with tree(shop("Bonn"), shop("Wien")) as supervisor:
        for place in ("Bonn", "Wien"):
            below = SupervisorRef(supervisor.child(f"shop in {place}"))
            assert below.child("till").call("place") == place


@proves("E30", "E41")
def test_what_all_children_share_is_given_to_each_and_again_at_every_restart() -> None:
    def child(own: int) -> ChildSpec:
        return ChildSpec(f"c{own}", Keeper, ("shared", own))

    with DynamicSupervisor.start_link() as pool:
        for own in (1, 2):
            ref = pool.start_child(child(own))
            assert ref is not None
            assert ref.call("args") == ("shared", own)
            ref.cast("end")
            wait_until(lambda own=own: pool.which_child(f"c{own}").restarts == 1)  # type: ignore[misc]
            assert pool.child(f"c{own}").call("args") == ("shared", own)


@proves("E17", "E18")
def test_dynamic_supervisors_are_children_like_others_and_several_fit_in_one_tree(
    journal: Journal,
) -> None:
    children = [DynamicSupervisor.child_spec(each, name=each) for each in ("left", "right")]
    with tree(*children) as supervisor:
        for each in ("left", "right"):
            pool = DynamicSupervisorRef(supervisor.child(each))
            assert whereis(each) == pool.ref
            pool.start_child(journal.worker(each))
            assert statuses(pool) == {each: "running"}
        assert supervisor.count_children().supervisors == 2
        crash(supervisor.child("left"))
        wait_until(lambda: supervisor.which_child("left").restarts == 1)
        assert statuses(SupervisorRef(supervisor.child("left"))) == {}
        assert statuses(SupervisorRef(supervisor.child("right"))) == {"right": "running"}


# One supervisor and its children


@proves("S23")
def test_a_supervisor_that_is_gone_answers_nobody() -> None:
    supervisor = Supervisor.start_link([], name="gone")
    supervisor.stop()
    for verb in (supervisor.which_children, supervisor.count_children):
        with pytest.raises(errors.NoProcess):
            verb()
    for by_id in (supervisor.terminate_child, supervisor.restart_child, supervisor.delete_child):
        with pytest.raises(errors.NoProcess):
            by_id("a")
    with pytest.raises(errors.NoProcess):
        call("gone", ("which_children",))


@proves("S55")
def test_a_child_that_unlinks_itself_from_its_supervisor_is_stopped_all_the_same() -> None:
    with tree(ChildSpec("a", Trapper)) as supervisor:
        child = supervisor.child("a")
        child.call((roles.unlink, supervisor.ref))
        supervisor.terminate_child("a")
        assert not is_running(child.pid)
        assert supervisor.restart_child("a") is not None


@proves("S93")
def test_which_child_finds_a_child_by_its_process_too() -> None:
    with DynamicSupervisor.start_link() as pool:
        first = pool.start_child(ChildSpec("a", Puppet))
        second = pool.start_child(ChildSpec("a", Puppet))
        assert first is not None
        assert second is not None
        assert pool.which_child(second).ref == second
        with pytest.raises(errors.SupervisionError, match="one child of id 'a', got: 2"):
            pool.which_child("a")
        pool.terminate_process(first)
        assert pool.which_child("a").ref == second
        for unknown in (first, pool.ref, "b", 5):
            with pytest.raises(errors.ChildNotFound):
                pool.which_child(unknown)  # type: ignore[arg-type]


@proves("S24")
def test_a_process_of_others_is_no_child_and_is_not_harmed(starter: Ref) -> None:
    with DynamicSupervisor.start_link() as pool:
        with pytest.raises(errors.ChildNotFound):
            pool.terminate_process(starter)
        assert starter.call((roles.answer, 1)) == 1


@proves("S39", "S75")
def test_a_supervisor_does_not_keep_the_args_of_temporary_children_in_memory() -> None:
    large = os.urandom(4_000_000)
    with DynamicSupervisor.start_link() as pool:
        memory = memory_of(pool.ref)
        for number in range(8):
            ref = pool.start_child(ChildSpec(str(number), Keeper, large, restart="temporary"))
            if number == 0 and ref is not None:
                crash(ref)
        assert len(pool.which_children()) >= 7
        assert memory_of(pool.ref) - memory < 4 * len(large)
        assert pool.get_child_spec("7").args is None
        assert pool.get_child_spec("7").role is Keeper


def memory_of(ref: Ref) -> int:
    """Return the memory of a process, in bytes."""
    pages = Path(f"/proc/{ref.pid}/statm").read_text("ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@proves("S77", "S88")
def test_many_children_start_in_order_stop_in_reverse_and_leave_nothing(journal: Journal) -> None:
    children = [journal.worker(f"c{number}") for number in range(60)]
    with tree(*children) as supervisor:
        everybody = pids(supervisor)
        assert list(everybody) == [child.id for child in children]
    assert journal.story("up") == [f"up {child.id}" for child in children]
    assert journal.story("stopped") == [f"stopped {child.id}" for child in reversed(children)]
    assert not [pid for pid in everybody.values() if is_running(pid)]
