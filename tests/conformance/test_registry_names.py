"""Names that a registry keeps, and names of the tree, wherever a name can be."""

import os
import signal
from contextlib import contextmanager

import pytest

from beethoven import (
    ChildSpec,
    Registry,
    Role,
    Supervisor,
    SupervisorRef,
    Via,
    call,
    cast,
    errors,
    send,
    stop,
    whereis,
)
from tests.conformance.cases import proves
from tests.conformance.registered import NAME, book, do
from tests.integration.roles import (
    EndNow,
    Puppet,
    Trapper,
    answer,
    call_other,
    crash,
    link,
    monitor,
    note,
    seen,
    unlink,
)
from tests.processes import end, holder_of, wait_until

pytestmark = pytest.mark.process


@pytest.fixture(params=["via", "tree"])
def named(request):
    """Run a registry, and return what makes a name of a text: a via name, or one of the tree."""
    with Registry.start_link(name=NAME, partitions=2):
        yield (lambda text: Via(NAME, (text, 1))) if request.param == "via" else str


@contextmanager
def puppet(name, role=Puppet):
    ref = role.start_link(name=name)
    try:
        yield ref
    finally:
        end(ref)


@proves("E5", "E6")
def test_a_supervisor_is_found_by_its_name(named):
    name = named("supervisor")
    with Supervisor.start_link([ChildSpec("a", Puppet)], name=name) as tree:
        assert whereis(name) == tree.ref
        other = SupervisorRef(holder_of(name))
        assert [each.id for each in other.which_children()] == ["a"]
        with pytest.raises(errors.AlreadyStarted) as refusal:
            Supervisor.start_link([], name=name)
        assert refusal.value.holder == tree.ref
        # Any process of the tree finds it.
        child = tree.child("a")
        assert child.call((call_other, name, ("count_children",)))[0] == "ok"
    assert whereis(name) is None


@proves("E82", "E83")
def test_a_server_is_started_and_called_by_its_name(named):
    name = named("server")
    with puppet(name) as server, puppet(None) as other:
        assert call(name, (answer, 1)) == 1
        assert other.call((call_other, name, (answer, 2))) == 2
        assert whereis(name) == server
        with pytest.raises(errors.AlreadyStarted) as refusal:
            Puppet.start_link(name=name)
        assert refusal.value.holder == server
    with pytest.raises(errors.NoProcess):
        call(name, (answer, 1))


@proves("E85")
def test_a_linked_server_is_called_cast_to_and_stopped(named):
    name = named("server")
    with puppet(name):
        cast(name, (note, 1))
        cast(name, (note, 2))
        assert call(name, (seen,)) == [1, 2]
        stop(name)
    assert whereis(name) is None
    for unknown in (name, named("nobody"), Via("no registry", 1), "nobody"):
        cast(unknown, 1)


@proves("G10")
def test_a_server_is_stopped_by_its_name_with_any_reason(named):
    name = named("server")
    with puppet(name) as server:
        stop(name, "shutdown")
        assert not server.is_alive()
    with pytest.raises(errors.NoProcess):
        stop(name)
    with puppet(name):
        stop(name)
        assert whereis(name) is None


@proves("E138")
def test_a_name_in_a_registry_is_taken_found_sent_to_and_freed():
    with book(1, partitions=2) as (registry, ann):
        via = Via(NAME, "hello")
        assert whereis(via) is None
        with pytest.raises(errors.NoProcess):
            send(via, "message")
        do(ann, "register", "hello")
        assert whereis(via) == ann
        assert via.whereis() == ann
        send(via, "message")
        assert ann.call((seen,)) == ["message"]
        with pytest.raises(errors.AlreadyStarted, match=r"the name \"book\['hello'\]\"") as refusal:
            Puppet.start_link(name=via)
        assert refusal.value.holder == ann
        do(ann, "unregister", "hello")
        assert whereis(via) is None
        with puppet(via) as server:
            assert registry.lookup("hello") == [(server, None)]
            assert registry.keys(server) == ["hello"]


@pytest.mark.parametrize(
    ("registry", "key", "text"),
    [(5, 1, "registry to be the name"), (NAME, [1], "key to be a value that can be hashed")],
)
def test_what_can_be_no_name_is_refused_where_it_is_written(registry, key, text):
    with pytest.raises(errors.SpecError, match=text):
        Via(registry, key)


def test_a_registry_tells_what_a_process_has_by_its_name_too():
    with Registry.start_link(name=NAME) as registry, puppet(Via(NAME, "ann", "value")) as ann:
        for target in (ann, Via(NAME, "ann")):
            assert registry.keys(target) == ["ann"]
            assert registry.values("ann", target) == ["value"]
        for ask in (registry.keys, lambda target: registry.values("ann", target)):
            with pytest.raises(errors.NoProcess):
                ask("nobody")
            with pytest.raises(errors.SpecError, match="a reference, a name or a Via"):
                ask(5)  # type: ignore[arg-type]


@proves("E139")
def test_a_name_brings_its_value_along():
    with book(0) as (registry,), puppet(Via(NAME, "hello", ["value"])) as server:
        assert registry.lookup("hello") == [(server, ["value"])]


class Early(Role):
    """Looks itself up as soon as it can."""

    def init(self, via):
        self.found = whereis(via)
        if via.value == "fail":
            raise ValueError("told to fail")

    def handle_call(self, request, caller):
        return self.found


def test_a_process_has_its_name_before_its_init_runs():
    via = Via(NAME, "early")
    with book(0):
        ref = Early.start_link(via, name=via)
        assert ref.call("found") == ref
        end(ref)


def test_the_name_of_a_process_that_did_not_start_is_free():
    via = Via(NAME, "early", "fail")
    with book(0):
        for _ in range(2):
            with pytest.raises(ValueError, match="told to fail"):
                Early.start_link(via, name=via)
            assert whereis(via) is None


def test_whoever_hears_of_a_death_finds_the_name_free():
    via = Via(NAME, "hello")
    with book(0), puppet(via) as server:
        os.kill(server.pid, signal.SIGKILL)
        server.wait(10)
        assert whereis(via) is None
        with puppet(via) as successor:
            assert whereis(via) == successor


def test_a_process_is_linked_to_and_monitored_by_its_name(named):
    name = named("server")
    with puppet(None, Trapper) as watcher:
        with puppet(name) as server:
            first = watcher.call((monitor, name))
            watcher.call((link, name))
            server.send(EndNow())
            wait_until(lambda: len(watcher.call((seen,))) == 2)
        second = watcher.call((monitor, name))
        third = watcher.call((monitor, Via("no registry", 1)))
        wait_until(lambda: len(watcher.call((seen,))) == 4)
        news = watcher.call((seen,))
        assert sorted(str(each.reason) for each in news[:2]) == ["normal", "normal"]
        assert [each.monitor for each in news[2:]] == [second, third] != [first]
        assert [str(each.reason) for each in news[2:]] == ["noproc", "noproc"]
        with puppet(name) as server:
            watcher.call((link, name))
            watcher.call((unlink, name))
            server.cast((crash,))
            server.wait(10)
            assert len(watcher.call((seen,))) == 4


def test_a_start_in_a_registry_that_does_not_run_fails():
    with pytest.raises(errors.NoProcess, match="no process: registry 'nowhere'"):
        Puppet.start_link(name=Via("nowhere", 1))


@proves("S79")
def test_a_named_supervisor_and_worker_are_replaced_with_fresh_names(named):
    outer, inner, worker = named("outer"), named("inner"), named("worker")
    spec = Supervisor.child_spec("inner", [ChildSpec("worker", Puppet, name=worker)], name=inner)
    top = Supervisor.start_link([spec], name=outer, max_restarts=10)

    def present():
        return whereis(inner), whereis(worker)

    def replaced(before, *, both):
        """Return who holds the names, once the worker and maybe the supervisor are new."""
        wait_until(lambda: None not in (after := present()) and after[1] != before[1])
        after = present()
        assert (after[0] != before[0]) is both
        assert call(worker, (answer, 1)) == 1
        assert SupervisorRef(holder_of(inner)).child("worker") == after[1]
        return after

    now = present()
    os.kill(now[0].pid, signal.SIGKILL)
    now = replaced(now, both=True)
    os.kill(now[1].pid, signal.SIGKILL)
    now = replaced(now, both=False)
    send(worker, EndNow())
    now = replaced(now, both=False)
    SupervisorRef(now[0]).terminate_child("worker")
    assert whereis(worker) is None
    SupervisorRef(now[0]).restart_child("worker")
    now = replaced(now, both=False)
    SupervisorRef(holder_of(outer)).terminate_child("inner")
    assert present() == (None, None)
    SupervisorRef(holder_of(outer)).restart_child("inner")
    replaced(now, both=True)
    os.kill(top.ref.pid, signal.SIGKILL)
    top.wait(10)
    wait_until(lambda: (whereis(outer), *present()) == (None, None, None))


def test_a_supervisor_survives_the_end_of_the_registry_that_has_its_name(capfd):
    registry = Registry.start_link(name=NAME)
    with Supervisor.start_link([ChildSpec("a", Puppet)], name=Via(NAME, "tree")) as tree:
        os.kill(registry.ref.pid, signal.SIGKILL)
        wait_until(lambda: whereis(NAME) is None)
        assert tree.child("a").call((answer, 1)) == 1
    assert "unexpected_message" not in capfd.readouterr().err


def test_a_registry_and_those_in_it_come_back_under_one_supervisor():
    via = Via(NAME, "worker")
    specs = [Registry.child_spec(name=NAME), ChildSpec("worker", Puppet, name=via)]
    with Supervisor.start_link(specs, strategy="rest_for_one") as tree:
        registry, worker = tree.child(NAME), tree.child("worker")
        assert whereis(via) == worker
        os.kill(registry.pid, signal.SIGKILL)
        wait_until(lambda: _found(via) not in (None, worker))
        assert whereis(via) == tree.child("worker")


def _found(via):
    try:
        return whereis(via)
    except errors.CallError:
        return None
