"""What the start of a supervisor or a registry returns, and what it can be used for."""

import contextlib
import os
import signal

import pytest

from beethoven import (
    ChildSpec,
    Down,
    DynamicSupervisor,
    DynamicSupervisorRef,
    PartitionSupervisor,
    Registry,
    RegistryRef,
    Supervisor,
    SupervisorRef,
    TaskSupervisor,
    TaskSupervisorRef,
    Via,
    call,
    debug,
    process_info,
    send_request,
    stop,
    whereis,
)
from beethoven.errors import NoProcess, SpecError
from beethoven.runtime.reason import NORMAL
from tests.conformance.registered import book, do
from tests.integration import handles
from tests.integration.handles import CHILD, Parrot
from tests.integration.roles import Puppet, seen
from tests.processes import wait_until

pytestmark = [pytest.mark.process, pytest.mark.shared_tree]

KINDS = [
    "supervisor",
    "dynamic supervisor",
    "task supervisor",
    "partition supervisor",
    "registry",
]
ENDS = [(handles.stop, kind) for kind in KINDS]
ENDS += [(handles.leave_block, kind) for kind in KINDS]
ENDS += [(handles.stop_by_name, "partition supervisor")]


@pytest.fixture
def puppet():
    ref = Puppet.start_link()
    yield ref
    with contextlib.suppress(NoProcess):
        ref.stop()


def links_of(ref):
    info = process_info(ref)
    assert info is not None
    return info.links


@pytest.mark.parametrize(("end", "kind"), ENDS)
def test_a_role_lives_on_that_stops_what_it_has_started(puppet, end, kind):
    puppet.call((handles.start_and_watch, kind))
    puppet.call((end,))
    wait_until(lambda: puppet.call((seen,)))
    [down] = puppet.call((seen,))
    assert isinstance(down, Down)
    assert down.reason == NORMAL
    assert whereis("it") is None


@pytest.mark.parametrize("partitions", [1, 3])
def test_who_is_in_a_registry_that_is_stopped_lives_on(partitions):
    with book(3, partitions=partitions) as (registry, *people):
        for number, each in enumerate(people):
            do(each, "register", number)
        registry.stop()
        wait_until(lambda: not [link for each in people for link in links_of(each)])
        with pytest.raises(NoProcess):
            registry.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_start_returns_stands_for_its_process(puppet, kind):
    with handles.started(kind) as it:
        info = process_info(it)
        assert info is not None
        assert info.ref.identity == it.ref.identity
        assert whereis(it) == it.ref
        debug.suspend(it)
        debug.resume(it)
        assert debug.get_status(it).state is not None
        number = puppet.call((handles.monitor, it))
        stop(it)
        wait_until(lambda: puppet.call((seen,)))
        [down] = puppet.call((seen,))
        assert (down.monitor, down.reason) == (number, NORMAL)


def test_what_the_start_of_a_supervisor_returns_is_called_and_asked():
    with Supervisor.start_link([CHILD]) as it:
        (_, children) = call(it, ("which_children",))
        assert [each.id for each in children] == ["a"]
        response = send_request(it, ("which_children",)).receive_response()
        assert response is not None
        assert response.unwrap()[0] == "ok"
        assert SupervisorRef(it).child("a") == children[0].ref
    with PartitionSupervisor.start_link(CHILD, name="cells", partitions=3) as cells:
        assert PartitionSupervisor.partitions(cells) == 3
        assert PartitionSupervisor.partition(cells, 4).name == "cells/1"
        assert PartitionSupervisor.resize(cells, 1) == 3


@pytest.mark.parametrize("wrong", [5, ["a"], object])
def test_what_stands_for_no_process_is_refused(wrong):
    with pytest.raises(SpecError, match="expected target to be a reference, a name or a Via"):
        call(wrong, 1)
    with pytest.raises(SpecError, match="a reference, a name or a Via"):
        SupervisorRef(wrong).which_children()


@pytest.mark.parametrize("name", ["shop", Via("book", ("the", "shop"))])
def test_a_supervisor_is_spoken_to_by_its_name_also_after_a_restart(name):
    children = [
        Supervisor.child_spec("shop", [CHILD], name=name),
        DynamicSupervisor.child_spec("pool", name=Via("book", "pool")),
    ]
    with Registry.start_link(name="book"), Supervisor.start_link(children) as top:
        shop = SupervisorRef(name)
        before = shop.child("a")
        os.kill(shop.ref.pid, signal.SIGKILL)
        wait_until(lambda: not before.is_alive())
        wait_until(lambda: whereis(name) is not None)
        assert shop.child("a") != before
        assert shop.ref == top.child("shop")
        assert DynamicSupervisorRef(Via("book", "pool")).count_children().specs == 0


def test_a_name_that_no_supervisor_holds_is_told_when_it_is_used():
    shop = SupervisorRef("shop")
    assert repr(shop) == "SupervisorRef(shop)"
    with pytest.raises(NoProcess, match="shop"):
        shop.which_children()


def test_who_takes_a_role_for_a_supervisor_or_a_registry_is_told():
    parrot = Parrot.start_link(name="parrot")
    rule = r"parrot \(pid \d+\): expected its answer to be that of a supervisor, got: \("
    with pytest.raises(SpecError, match=rule):
        PartitionSupervisor.resize("parrot", 1)
    with pytest.raises(SpecError, match=rule):
        TaskSupervisorRef("parrot").async_(len, "abc")
    with pytest.raises(SpecError, match=rule):
        SupervisorRef("parrot").which_children()
    rule = r"registry 'parrot': expected the answer of parrot \(pid \d+\) to be that of a registry"
    registry = RegistryRef("parrot")
    for ask in (
        lambda: registry.lookup(1),
        lambda: registry.meta(1),
        lambda: registry.put_meta(1, 2),
        registry.count,
        lambda: whereis(Via("parrot", 1)),
    ):
        with pytest.raises(SpecError, match=rule):
            ask()
    parrot.stop()


@pytest.mark.parametrize(
    "role", [Supervisor, DynamicSupervisor, TaskSupervisor, PartitionSupervisor]
)
def test_a_supervisor_is_a_child_only_as_its_child_spec_writes_it(role):
    rule = rf"child 'x': expected args to be those of {role.__name__}.child_spec\(\.\.\.\): use"
    with pytest.raises(SpecError, match=rule):
        Supervisor.start_link([ChildSpec("x", role)])
    with DynamicSupervisor.start_link() as pool, pytest.raises(SpecError, match=rule):
        pool.start_child(ChildSpec("x", role, [CHILD]))


def test_a_task_supervisor_without_a_name_goes_by_its_class():
    spec = TaskSupervisor.child_spec()
    with Supervisor.start_link([spec]) as top:
        assert TaskSupervisorRef(top.child("TaskSupervisor")).async_(len, "abc").await_() == 3
