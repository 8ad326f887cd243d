"""Elixir's partition supervisor: copies of one child, and keys that say which one to speak to."""

import os
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from beethoven import (
    ChildSpec,
    DynamicSupervisor,
    DynamicSupervisorRef,
    PartitionSupervisor,
    Registry,
    Supervisor,
    SupervisorRef,
    Via,
    whereis,
)
from beethoven.errors import (
    ChildNotFound,
    ChildStartFailed,
    NoPartitions,
    NoProcess,
    SpecError,
    StartFailed,
    SupervisionError,
)
from beethoven.runtime import kernel
from beethoven.runtime.here import here
from beethoven.runtime.reference import ask_to_stop
from tests.conformance.cases import proves
from tests.integration import roles
from tests.integration.roles import Puppet
from tests.integration.trees import Journal, statuses, tree
from tests.processes import is_running, wait_until

pytestmark = pytest.mark.process

CELL = ChildSpec("cell", Puppet)


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path)


def pid_of(name, key):
    return PartitionSupervisor.partition(name, key).call((roles.pid,))


def pids(supervisor):
    """Return the pid of each partition that runs, by number."""
    return {int(entry.id): entry.ref.pid for entry in supervisor.which_children() if entry.ref}


@proves("E58")
def test_the_id_of_a_nested_one_is_its_name_unless_another_is_given():
    assert PartitionSupervisor.child_spec(CELL, name="pool").id == "pool"
    assert PartitionSupervisor.child_spec(CELL, name="pool", id="other").id == "other"


@proves("E60")
def test_there_is_a_partition_for_each_core_and_keys_reach_every_child_exactly_once():
    with PartitionSupervisor.start_link(CELL, name="pool") as pool:
        running = pids(pool)
        assert sorted(running) == list(range(kernel.cores()))
        assert PartitionSupervisor.partitions("pool") == kernel.cores()
        reached = Counter(pid_of("pool", f"key {number}") for number in range(64))
        assert set(reached) == set(running.values())
        assert [pid_of("pool", number) for number in range(kernel.cores())] == [
            running[number] for number in range(kernel.cores())
        ]


def take_part(args, partition):
    """Return the first request of a puppet: to remember what it is handed."""
    return (roles.note, (args, partition))


@proves("E62")
def test_arguments_are_made_for_each_partition_and_integers_go_by_their_absolute_value():
    spec = ChildSpec("cell", Puppet, "all")
    with PartitionSupervisor.start_link(spec, name="pool", partitions=3, with_arguments=take_part):
        for key, partition in [(0, 0), (1, 1), (2, 2), (3, 0), (-1, 1), (-5, 2), (10**30, 1)]:
            seen = PartitionSupervisor.partition("pool", key).call((roles.seen,))
            assert seen == [("all", partition)]


@proves("E63")
def test_a_name_must_be_given():
    with pytest.raises(TypeError, match="name"):
        PartitionSupervisor.start_link(CELL)  # type: ignore[call-arg]
    for none in (None, "", 1):
        with pytest.raises(SpecError, match="expected name to be"):
            PartitionSupervisor.start_link(CELL, name=none)  # type: ignore[arg-type]
        with pytest.raises(SpecError, match="expected name to be"):
            PartitionSupervisor.child_spec(CELL, name=none)  # type: ignore[arg-type]


@proves("E64")
def test_a_child_specification_must_be_given():
    with pytest.raises(TypeError, match="child_spec"):
        PartitionSupervisor.start_link(name="pool")  # type: ignore[call-arg]
    for junk in (None, Puppet, [CELL]):
        with pytest.raises(SpecError, match="expected child_spec to be a ChildSpec"):
            PartitionSupervisor.start_link(junk, name="pool")  # type: ignore[arg-type]


@proves("E65")
@pytest.mark.parametrize("partitions", [0, -1, 1.0, "2", True])
def test_the_number_of_partitions_is_a_positive_integer(partitions):
    with pytest.raises(SpecError, match="expected partitions to be an integer >= 1"):
        PartitionSupervisor.start_link(CELL, name="pool", partitions=partitions)


@proves("E66")
@pytest.mark.parametrize("function", [lambda: None, lambda args: args, "no function", 5])
def test_arguments_are_made_by_a_function_of_two(function):
    with pytest.raises(SpecError, match="expected with_arguments to be a function of two"):
        PartitionSupervisor.start_link(CELL, name="pool", with_arguments=function)


@proves("E67")
def test_there_is_no_automatic_shutdown():
    for auto_shutdown in ("any_significant", "all_significant"):
        with pytest.raises(TypeError, match="auto_shutdown"):
            PartitionSupervisor.start_link(CELL, name="pool", auto_shutdown=auto_shutdown)  # type: ignore[call-arg]
    significant = ChildSpec("cell", Puppet, restart="transient", significant=True)
    with pytest.raises(SpecError, match="expected significant to be False"):
        PartitionSupervisor.start_link(significant, name="pool")


def test_a_partition_has_no_name_of_its_own():
    with pytest.raises(SpecError, match="expected the name of its child_spec to be None"):
        PartitionSupervisor.start_link(ChildSpec("cell", Puppet, name="cell"), name="pool")
    with pytest.raises(SpecError, match="text of 1 to 200 characters"):
        PartitionSupervisor.start_link(CELL, name="x" * 199, partitions=10)


@proves("E68")
def test_when_stop_returns_the_name_is_free_and_nothing_is_left():
    for _ in range(3):
        pool = PartitionSupervisor.start_link(CELL, name="pool", partitions=2)
        everybody = [*pids(pool).values(), pool.ref.pid]
        PartitionSupervisor.stop("pool")
        assert whereis("pool") is None
        assert whereis("pool/0") is None
        assert not [pid for pid in everybody if is_running(pid)]


@proves("E70", "E78")
def test_an_unknown_partition_supervisor_is_nobody():
    asks = [
        PartitionSupervisor.partitions,
        lambda name: PartitionSupervisor.partition(name, "key"),
        lambda name: PartitionSupervisor.resize(name, 1),
        PartitionSupervisor.count_children,
        PartitionSupervisor.which_children,
        PartitionSupervisor.stop,
    ]
    for ask in asks:
        with pytest.raises(NoProcess, match="unknown"):
            ask("unknown")
    with tree(CELL):
        for ask in asks:
            with pytest.raises(NoProcess, match="unknown"):
                ask("unknown")


def test_what_is_no_partition_supervisor_has_no_partitions():
    cell = ChildSpec("cell", Puppet, name="cell")
    with tree(cell), pytest.raises(NoProcess, match="partition supervisor 'cell'"):
        PartitionSupervisor.partitions("cell")


@proves("E72")
def test_after_any_change_of_size_keys_reach_what_runs_and_specifications_stay():
    with PartitionSupervisor.start_link(CELL, name="pool", partitions=4) as pool:
        before = 4
        for size in (4, 2, 3, 1, 4, 0, 2, 0, 4):
            assert PartitionSupervisor.resize("pool", size) == before
            before = size
            assert PartitionSupervisor.partitions("pool") == size
            counts = PartitionSupervisor.count_children("pool")
            assert (counts.specs, counts.active) == (4, size)
            running = pids(pool)
            assert sorted(running) == list(range(size))
            for number in range(12 if size else 0):
                assert pid_of("pool", number) == running[number % size]


@proves("E73")
def test_a_key_belongs_nowhere_while_there_are_no_partitions():
    with PartitionSupervisor.start_link(CELL, name="pool", partitions=2):
        assert PartitionSupervisor.resize("pool", 0) == 2
        with pytest.raises(NoPartitions, match="partition supervisor 'pool' has no partitions"):
            PartitionSupervisor.partition("pool", "key")
        assert PartitionSupervisor.resize("pool", 2) == 0
        assert is_running(pid_of("pool", "key"))


@proves("E74")
@pytest.mark.parametrize("size", [3, -1, 1.0, "1", True, None])
def test_no_size_is_taken_but_from_zero_to_that_of_the_start(size):
    with PartitionSupervisor.start_link(CELL, name="pool", partitions=2):
        PartitionSupervisor.resize("pool", 1)
        with pytest.raises(SpecError, match="expected partitions to be an integer from 0 to 2"):
            PartitionSupervisor.resize("pool", size)
        assert PartitionSupervisor.partitions("pool") == 1


@proves("E75")
def test_the_ids_are_the_numbers_that_integers_lead_to():
    with PartitionSupervisor.start_link(CELL, name="pool", partitions=3):
        entries = PartitionSupervisor.which_children("pool")
        assert [entry.id for entry in entries] == ["2", "1", "0"]
        for entry in entries:
            assert PartitionSupervisor.partition("pool", int(entry.id)) == entry.ref


@proves("E76")
def test_worker_partitions_are_counted():
    with PartitionSupervisor.start_link(CELL, name="pool", partitions=3):
        counts = PartitionSupervisor.count_children("pool")
    assert (counts.specs, counts.active, counts.supervisors, counts.workers) == (3, 3, 0, 3)


@proves("E77")
def test_supervisor_partitions_are_counted_and_work():
    spec = DynamicSupervisor.child_spec("pool")
    with PartitionSupervisor.start_link(spec, name="pool", partitions=2):
        counts = PartitionSupervisor.count_children("pool")
        assert (counts.specs, counts.active, counts.supervisors, counts.workers) == (2, 2, 2, 0)
        for key in range(4):
            pool = DynamicSupervisorRef(PartitionSupervisor.partition("pool", key))
            pool.start_child(CELL)
        for key in range(2):
            pool = DynamicSupervisorRef(PartitionSupervisor.partition("pool", key))
            assert pool.count_children().active == 2


def look_up(role, name, keys):
    return [PartitionSupervisor.partition(name, key).pid for key in keys]


def test_every_process_of_the_tree_finds_the_same_partition():
    keys = ["a", b"a", 17, 2.5, None, ("user", 3), *map(str, range(20))]
    pool = PartitionSupervisor.child_spec(CELL, name="pool", partitions=3)
    with tree(pool, ChildSpec("other", Puppet)) as supervisor:
        other = supervisor.child("other")
        mine = look_up(None, "pool", [*keys, other])
        assert other.call((look_up, "pool", [*keys, other])) == mine
        assert len(set(mine)) == 3


def test_lookups_go_on_while_the_supervisor_is_busy_or_frozen():
    with PartitionSupervisor.start_link(CELL, name="pool", partitions=2) as pool:
        os.kill(pool.ref.pid, signal.SIGSTOP)
        try:
            assert PartitionSupervisor.partitions("pool") == 2
            assert is_running(pid_of("pool", 1))
        finally:
            os.kill(pool.ref.pid, signal.SIGCONT)


def test_a_partition_that_dies_comes_back_for_its_keys_and_the_others_do_not_notice():
    with PartitionSupervisor.start_link(CELL, name="pool", partitions=2) as pool:
        before = pids(pool)
        os.kill(before[1], signal.SIGKILL)
        wait_until(lambda: pids(pool).get(1, before[1]) != before[1])
        wait_until(lambda: statuses(pool) == {"0": "running", "1": "running"})
        assert pid_of("pool", 0) == before[0]
        assert pid_of("pool", 1) == pids(pool)[1]


def test_a_partition_that_is_down_is_nobody():
    with PartitionSupervisor.start_link(CELL, name="pool", partitions=2) as pool:
        pool.terminate_child("1")
        with pytest.raises(NoProcess, match="partition 1 of 'pool'"):
            PartitionSupervisor.partition("pool", 1)
        pool.restart_child("1")
        assert is_running(pid_of("pool", 1))


def test_growing_fails_if_a_partition_does_not_start_and_keys_stay_where_they_are(journal):
    flag = journal.folder / "fail"
    spec = journal.worker("w", fails=str(flag))
    with PartitionSupervisor.start_link(spec, name="pool", partitions=1):
        assert PartitionSupervisor.resize("pool", 0) == 1
        flag.touch()
        with pytest.raises(ChildStartFailed, match="was told to fail"):
            PartitionSupervisor.resize("pool", 1)
        assert PartitionSupervisor.partitions("pool") == 0
        flag.unlink()
        assert PartitionSupervisor.resize("pool", 1) == 0


def test_keys_are_spread_anew_before_a_partition_stops(journal):
    """And only after another has started."""
    hangs = str(journal.folder / "hangs")
    spec = journal.worker("w", lingers=journal.flag("lingers"), hangs=hangs)
    with pool_of(spec, 2) as pool:
        pool.ref.cast(("resize", 1))
        wait_until(lambda: journal.story("stopping"))
        assert PartitionSupervisor.partitions("pool") == 1
        assert journal.story("stopped") == []
        journal.lower("lingers")
        wait_until(lambda: journal.story("stopped"))
        journal.flag("hangs")
        pool.ref.cast(("resize", 2))
        wait_until(lambda: journal.story("begin")[2:])
        assert PartitionSupervisor.partitions("pool") == 1
        journal.lower("hangs")
        wait_until(lambda: PartitionSupervisor.partitions("pool") == 2)
        assert journal.story("up")[2:] == ["up w1"]
        journal.check()


def apart(part, partition):
    """Return the args of a worker that writes under a name of its own."""
    return replace(part, id=f"{part.id}{partition}")


def pool_of(spec, size, **options):
    """Start partitions that are workers."""
    return PartitionSupervisor.start_link(
        spec, name="pool", partitions=size, with_arguments=apart, **options
    )


def later_last(part, partition):
    """Return the args of a worker that starts the later the lower its number is."""
    return replace(apart(part, partition), init=0.8 - 0.4 * partition)


def test_of_two_changes_of_size_at_once_the_later_one_holds(journal):
    pool = PartitionSupervisor.start_link(
        journal.worker("w"), name="pool", partitions=3, with_arguments=later_last
    )
    with pool:
        PartitionSupervisor.resize("pool", 1)
        pool.ref.cast(("resize", 2))
        pool.ref.cast(("resize", 3))
        wait_until(lambda: sorted(pids(pool)) == [0, 1, 2])
        wait_until(lambda: set(statuses(pool).values()) == {"running"})
        wait_until(lambda: PartitionSupervisor.partitions("pool") == 3)
        assert PartitionSupervisor.resize("pool", 3) == 3
        pool.ref.cast(("resize", 0))
        pool.ref.cast(("resize", 3))
        pool.ref.cast(("resize", 2))
        wait_until(lambda: statuses(pool) == {"0": "running", "1": "running", "2": "stopped"})
        wait_until(lambda: PartitionSupervisor.partitions("pool") == 2)
        assert PartitionSupervisor.resize("pool", 2) == 2
        journal.check()


def wait_for_another(supervisor, killed):
    wait_until(lambda: supervisor.child("pool") != killed)
    return supervisor.child("pool")


def test_a_killed_partition_supervisor_is_replaced_and_leaves_no_file(journal):
    spec = journal.worker("w", stray=True, stop=0.2)
    pool = PartitionSupervisor.child_spec(spec, name="pool", partitions=2, with_arguments=apart)
    with tree(pool) as supervisor:
        for _ in range(3):
            PartitionSupervisor.resize("pool", 1)
            killed = supervisor.child("pool")
            os.kill(killed.pid, signal.SIGKILL)
            wait_for_another(supervisor, killed)
            assert PartitionSupervisor.partitions("pool") == 2
            published = list(Path(here.folder).glob("*.p"))
            assert [path.stem for path in published] == [supervisor.child("pool").identity]
            assert is_running(pid_of("pool", 1))
        journal.check()


def test_a_partition_supervisor_that_is_killed_while_it_resizes_is_replaced_with_all(journal):
    spec = journal.worker("w", stop=0.5)
    pool = PartitionSupervisor.child_spec(spec, name="pool", partitions=2, with_arguments=apart)
    with tree(pool) as supervisor:
        killed = supervisor.child("pool")
        killed.cast(("resize", 1))
        wait_until(lambda: journal.story("stopping"))
        os.kill(killed.pid, signal.SIGKILL)
        wait_for_another(supervisor, killed)
        assert PartitionSupervisor.partitions("pool") == 2
        assert is_running(pid_of("pool", 1))
        journal.check()


def test_a_name_that_somebody_else_has_keeps_a_partition_from_starting():
    with (
        tree(ChildSpec("other", Puppet, name="pool/1")),
        pytest.raises(StartFailed, match=r"child '1': .*'pool/1' is held by"),
    ):
        PartitionSupervisor.start_link(CELL, name="pool", partitions=2)


def test_a_partition_that_cannot_start_undoes_the_start(journal):
    spec = journal.worker("w", fails=journal.flag("fail"))
    with pytest.raises(StartFailed, match="failed to start child '0'"):
        PartitionSupervisor.start_link(spec, name="pool", partitions=2)
    with pytest.raises(NoProcess):
        PartitionSupervisor.partitions("pool")


def test_a_change_of_size_while_the_supervisor_stops_is_refused(journal):
    spec = journal.worker("w", lingers=journal.flag("lingers"))
    pool = PartitionSupervisor.start_link(spec, name="pool", partitions=1)
    pool.ref.cast(("terminate_child", "0"))
    wait_until(lambda: journal.story("stopping"))
    ask_to_stop(pool.ref, "shutdown")
    with pytest.raises(SupervisionError, match="is stopping"):
        SupervisorRef(pool.ref)._ask("resize", 0)
    journal.lower("lingers")
    assert pool.wait(10)


def test_one_for_all_partitions_are_restarted_together(journal):
    spec = journal.worker("w")
    with pool_of(spec, 2, strategy="one_for_all") as pool:
        before = pids(pool)
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: len(journal.story("up")) == 4)
        wait_until(lambda: set(statuses(pool).values()) == {"running"})
        assert not set(pids(pool).values()) & set(before.values())
        journal.check()


def test_they_may_be_nested_under_one_another():
    inner = PartitionSupervisor.child_spec(CELL, name="inner", partitions=2)
    with tree(Supervisor.child_spec("all", [inner])):
        assert is_running(pid_of("inner", 1))


@pytest.fixture
def via():
    """Return the name of a partition supervisor that a registry keeps."""
    with Registry.start_link(name="registry"):
        yield Via("registry", ("pool", 1))


@proves("E59")
def test_the_id_of_a_nested_one_with_a_via_name_is_its_key():
    assert PartitionSupervisor.child_spec(CELL, name=Via("registry", "pool")).id == "pool"
    assert PartitionSupervisor.child_spec(CELL, name=Via("registry", 17)).id == "17"


@proves("E61", "E79")
def test_with_a_via_name_keys_reach_every_child_and_all_are_counted(via):
    with PartitionSupervisor.start_link(CELL, name=via, partitions=3) as pool:
        running = pids(pool)
        assert [pid_of(via, number) for number in range(3)] == [*map(running.get, range(3))]
        assert {pid_of(via, f"key {number}") for number in range(64)} == set(running.values())
        assert PartitionSupervisor.resize(via, 2) == 3
        assert pid_of(via, 2) == running[0]
        counts = PartitionSupervisor.count_children(via)
        assert (counts.specs, counts.active, counts.supervisors, counts.workers) == (3, 2, 0, 3)
        assert [entry.id for entry in PartitionSupervisor.which_children(via)] == ["2", "1", "0"]


@proves("E69")
def test_when_stop_returns_the_via_name_is_free(via):
    for _ in range(3):
        PartitionSupervisor.start_link(CELL, name=via, partitions=1)
        PartitionSupervisor.stop(via)
        assert whereis(via) is None


@proves("E71")
def test_an_unknown_via_name_is_nobody(via):
    for name in (via, Via("no registry", "pool")):
        with pytest.raises(NoProcess):
            PartitionSupervisor.partitions(name)
        with pytest.raises(NoProcess):
            PartitionSupervisor.partition(name, "key")
        with pytest.raises(NoProcess):
            PartitionSupervisor.count_children(name)


def test_a_partition_supervisor_may_be_spoken_of_by_its_reference(via):
    for name in ("pool", via):
        with PartitionSupervisor.start_link(CELL, name=name, partitions=2) as pool:
            assert PartitionSupervisor.partition(pool.ref, 1).pid == pids(pool)[1]


def test_a_temporary_partition_that_was_stopped_does_not_come_back():
    spec = ChildSpec("cell", Puppet, restart="temporary")
    with PartitionSupervisor.start_link(spec, name="pool", partitions=2):
        assert PartitionSupervisor.resize("pool", 1) == 2
        with pytest.raises(ChildNotFound, match="'1'"):
            PartitionSupervisor.resize("pool", 2)
        assert PartitionSupervisor.partitions("pool") == 1
