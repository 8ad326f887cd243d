"""Functions that run on the nodes of a real cluster, and what becomes of them."""

import functools
import os
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from itertools import count, islice

import pytest

from beethoven import connect
from beethoven.errors import (
    FunctionNotFound,
    NoNodeFits,
    NotOwner,
    ProcessExited,
    ReplyNotPicklable,
    SpecError,
    TaskCancelled,
    TaskTimeout,
)
from beethoven.node import errand
from beethoven.node.under_way import under_way
from tests.cluster.live import task_functions as jobs
from tests.cluster.live.cluster import ROOT
from tests.cluster.live.task_nodes import Nodes, at_work, gone
from tests.processes import Program, is_running, wait_until

ROLES = """
[roles.boss]
module = "tests.cluster.live.task_functions:Boss"

[roles.async_boss]
module = "tests.cluster.live.task_functions:AsyncBoss"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def pair(home):
    """Two nodes that live as long as this module."""
    with Nodes(home, nodes=2, toml=ROLES) as cluster:
        cluster.begin(2)
        yield cluster


@pytest.fixture
def near(pair):
    with connect(node="node-0") as connection:
        yield connection


@pytest.mark.parametrize("where", [None, "node-0", "node-1", {"n1"}])
def test_a_function_runs_on_a_node_and_its_result_comes_back(near, where):
    future = near.run(jobs.node, where=where)
    assert future.result(20) == future.node
    assert future.done()
    assert future.result() == future.node
    assert future.exception() is None
    if where is not None:
        assert future.node == ("node-0" if where == "node-0" else "node-1")


@pytest.mark.parametrize("where", ["node-0", "node-1"])
def test_arguments_are_handed_over_as_they_are(near, where):
    partial = functools.partial(jobs.told, 1, where="mine")
    assert near.run(partial, 2, key=[3], where=where).result(20) == (
        (1, 2),
        {"where": "mine", "key": [3]},
    )
    assert near.run(jobs.large, 20_000_000, where=where).result(20) == bytes(20_000_000)
    assert near.run(len, bytes(20_000_000), where=where).result(20) == 20_000_000


def test_a_program_with_the_cookie_can_have_functions_run(pair, near):
    for entry in near.way.directory(5.0).nodes:
        with connect(entry.address) as far:
            assert far.run(jobs.node, where="node-1").result(20) == "node-1"
            assert list(far.map(jobs.square, range(4))) == [0, 1, 4, 9]


@pytest.mark.parametrize("where", ["node-0", "node-1"])
def test_what_it_raises_is_raised_with_its_own_type_and_the_way_there(near, where):
    future = near.run(jobs.fail, "no luck", where=where)
    with pytest.raises(jobs.Unlucky, match="no luck") as caught:
        future.result(20)
    (note,) = caught.value.__notes__
    assert note.startswith(f"on node {where!r}:\nTraceback")
    assert "raise Unlucky(text)\n" in note
    assert isinstance(future.exception(), jobs.Unlucky)


@pytest.mark.parametrize("where", ["node-0", "node-1"])
def test_a_result_that_cannot_be_sent_is_told_as_such(near, where):
    with pytest.raises(
        ReplyNotPicklable, match="expected a reply that can be pickled, got: lock"
    ) as caught:
        near.run(threading.Lock, where=where).result(20)
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize("where", ["node-0", "node-1"])
def test_a_missing_module_is_named_with_its_node(near, where, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def f(): return 1\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    only_here = import_module("only_here")

    future = near.run(only_here.f, where=where)
    with pytest.raises(FunctionNotFound) as caught:
        future.result(20)
    assert (caught.value.node, caught.value.module) == (where, "only_here")
    assert not hasattr(caught.value, "__notes__")
    assert "install it there, or put it beside the configuration file" in str(caught.value)


def test_a_module_beside_the_configuration_file_is_found(near, home, monkeypatch):
    (home / "beside.py").write_text("def f(): return 'found'\n", "utf-8")
    monkeypatch.syspath_prepend(home)
    beside = import_module("beside")

    assert near.run(beside.f, where="node-1").result(20) == "found"


def test_who_finds_no_node_is_told_why_for_each(near):
    with pytest.raises(NoNodeFits, match="no node named 'node-7', did you mean"):
        near.run(jobs.node, where="node-7")
    with pytest.raises(NoNodeFits, match="node-0 has no label gpu; node-1 has no label gpu"):
        near.run(jobs.node, where={"gpu"})
    with pytest.raises(NoNodeFits):
        list(near.map(jobs.square, [1], where={"gpu"}))


@pytest.mark.parametrize(
    "options", [{"where": 7}, {"timeout": "soon"}, {"timeout": -1}, {"retries": -1}]
)
def test_a_wrong_option_is_refused(near, options):
    with pytest.raises(SpecError):
        near.run(jobs.node, **options)
    with pytest.raises(SpecError):
        near.map(jobs.square, [1], **options)


def test_functions_in_a_row_are_spread_although_no_load_is_told_yet(near, tmp_path):
    futures = [near.run(jobs.wait_for, str(tmp_path), "go") for _ in range(12)]
    counts = Counter(future.node for future in futures)
    (tmp_path / "go").touch()
    assert all(future.result(30) == future.node for future in futures)
    assert 3 <= counts["node-0"] <= 9


@pytest.mark.parametrize("where", ["node-0", "node-1"])
def test_a_cancelled_function_is_gone_when_cancel_returns(near, where, tmp_path):
    future = near.run(jobs.wait, str(tmp_path), where=where)
    pids = at_work(tmp_path)
    assert not future.done()
    assert future.cancel()
    gone(pids, 1.0)
    assert future.done()
    assert future.cancelled()
    with pytest.raises(TaskCancelled):
        future.result()
    done = near.run(jobs.square, 2, where=where)
    assert done.result(20) == 4
    assert not done.cancel()
    assert done.result() == 4


@pytest.mark.parametrize("where", ["node-0", "node-1"])
def test_one_that_takes_too_long_is_ended_there(near, where, tmp_path):
    future = near.run(jobs.wait, str(tmp_path), where=where, timeout=0.3)
    with pytest.raises(TaskTimeout, match=f"'{where}': ended, for it took longer than the 0.3 s"):
        future.result(20)
    # It may have been ended before it had said anything.
    gone(at_work(tmp_path, 0))
    assert near.run(jobs.square, 3, where=where, timeout=30).result() == 9


@pytest.mark.parametrize("where", ["node-0", "node-1"])
def test_one_that_lets_nothing_else_run_is_ended_too(near, where):
    future = near.run(jobs.let_nobody_run, where=where, timeout=0.2)
    with pytest.raises(TaskTimeout):
        future.result(20)
    future = near.run(jobs.let_nobody_run, where=where)
    pid = future._errand.ref.pid
    assert future.cancel()
    gone([pid], 1.0)


def test_a_wait_that_is_over_ends_nobody(near, tmp_path):
    future = near.run(jobs.wait_for, str(tmp_path), "go", where="node-1")
    with pytest.raises(TaskTimeout, match=r"'node-1': still at work after 0\.05 s; wait again"):
        future.result(0.05)
    (tmp_path / "go").touch()
    assert future.result(20) == "node-1"


@pytest.mark.parametrize("where", ["node-0", "node-1"])
def test_a_function_whose_process_is_killed_is_told_as_such(near, where, tmp_path):
    future = near.run(jobs.wait, str(tmp_path), where=where)
    os.kill(at_work(tmp_path)[0], signal.SIGKILL)
    with pytest.raises(ProcessExited, match=f"on node '{where}': exited: killed"):
        future.result(20)


def test_it_is_run_again_only_if_asked_and_then_elsewhere(near, tmp_path):
    place = near.run(jobs.node).result(20)
    other = "node-1" if place == "node-0" else "node-0"
    with pytest.raises(ProcessExited, match="exit code 3"):
        near.run(jobs.fail_where, place, str(tmp_path), where=place).result(20)
    assert near.run(jobs.fail_where, other, str(tmp_path), where=None, retries=1).result(20)
    future = near.run(jobs.fail_where, place, str(tmp_path), where={"n0"}, retries=2)
    if place == "node-0":
        with pytest.raises(ProcessExited, match="exit code 3"):
            future.result(20)


def test_what_it_raises_is_no_reason_to_run_it_again(near, tmp_path):
    with pytest.raises(jobs.Unlucky):
        near.run(jobs.fail, "no luck", retries=5).result(20)


def test_a_future_that_is_dropped_ends_nobody(near, tmp_path):
    near.run(jobs.wait_for, str(tmp_path), "go", where="node-1")
    pids = at_work(tmp_path)
    assert near.run(jobs.square, 2).result(20) == 4
    assert is_running(pids[0])
    (tmp_path / "go").touch()
    gone(pids)


def test_a_future_that_is_dropped_in_a_thread_that_ends_leaves_nothing(near, tmp_path):
    before = set(errand._forgotten)

    def drop():
        near.run(jobs.wait_for, str(tmp_path), "go", where="node-1")

    thread = threading.Thread(target=drop)
    thread.start()
    thread.join()
    (forgotten,) = set(errand._forgotten) - before
    pids = at_work(tmp_path)
    errand.sweep()
    assert is_running(pids[0])
    counted = under_way.counts()[forgotten.node.node_id]
    (tmp_path / "go").touch()

    def is_let_go():
        errand.sweep()
        return forgotten not in errand._forgotten

    wait_until(is_let_go)
    assert under_way.counts().get(forgotten.node.node_id, 0) == counted - 1


def test_only_who_has_made_it_may_wait(near):
    future = near.run(jobs.square, 2)
    seen = []

    def wait():
        try:
            future.result(1)
        except NotOwner as error:
            seen.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
    assert len(seen) == 1
    assert str(seen[0]).startswith("future of tests.cluster.live.task_functions.square on node ")
    assert future.result(20) == 4


def test_a_role_has_functions_run(near):
    assert near.call("boss", ("run", 12), 20) == 144
    assert near.call("boss", ("map", 5), 20) == [0, 1, 4, 9, 16]
    assert near.call("async_boss", ("run", 12), 20) == 144


def test_map_takes_a_few_items_at_a_time_and_keeps_their_order(near):
    taken = []

    def items():
        for number in count():
            taken.append(number)
            yield number

    results = near.map(jobs.square, items(), max_concurrency=3)
    assert taken == []
    assert list(islice(results, 5)) == [0, 1, 4, 9, 16]
    assert len(taken) <= 9
    results.close()


def test_map_gives_what_is_ready_first_if_order_does_not_matter(near, tmp_path):
    wait = functools.partial(jobs.wait, str(tmp_path))
    results = near.map(wait, [30.0, 0.0], ordered=False, max_concurrency=2)
    assert next(results) in {"node-0", "node-1"}
    pids = at_work(tmp_path, 2)
    results.close()
    gone(pids)


def test_map_ends_all_when_the_loop_is_left_or_one_fails(near, tmp_path):
    wait = functools.partial(jobs.wait, str(tmp_path))
    for _ in near.map(wait, [0.0, 60.0, 60.0, 60.0], max_concurrency=4):
        break
    gone(at_work(tmp_path, 1), 5.0)
    with pytest.raises(jobs.Unlucky):
        list(near.map(jobs.fail, ["a", "b", "c"]))


def test_a_thousand_small_functions(near):
    total = sum(near.map(jobs.square, range(1000), ordered=False))
    assert total == sum(number * number for number in range(1000))
    assert near.way.directory(5.0)


def test_the_end_of_a_program_ends_what_it_has_run(near, tmp_path):
    source = f"""
from tests.cluster.live import task_functions as jobs
from beethoven import connect
near = connect(node="node-0")
places = ("node-0", "node-1") * 2
futures = [near.run(jobs.wait, {str(tmp_path)!r}, where=where) for where in places]
print("up", flush=True)
futures[0].result()
"""
    program = Program("-c", source, cwd=ROOT)
    assert program.line() == "up"
    pids = at_work(tmp_path, 4)
    program.kill()
    gone(pids)
    program.finish()


def test_the_end_of_a_role_ends_what_it_has_run(near, tmp_path):
    near.call("boss", ("begin", str(tmp_path)), 20)
    pids = at_work(tmp_path)
    near.ref("boss").stop("shutdown", 10)
    gone(pids)


def test_a_function_works_on_while_the_parts_of_its_node_are_killed(pair, near, tmp_path):
    future = near.run(jobs.wait_for, str(tmp_path), "go", where="node-1")
    at_work(tmp_path)
    for part in ("core_server", "beacon_server", "locator", "allocator"):
        pid = pair.component(1, part)
        pair.kill_process(pid)
        pair.component(1, part, but=pid)
    (tmp_path / "go").touch()
    assert future.result(20) == "node-1"
    pair.wait_formed(2)


def test_a_killed_task_supervisor_takes_its_tasks_along_and_comes_back(pair, near, tmp_path):
    future = near.run(jobs.wait, str(tmp_path), where="node-1")
    pids = at_work(tmp_path)
    pid = pair.component(1, "task_supervisor")
    pair.kill_process(pid)
    with pytest.raises(ProcessExited):
        future.result(20)
    gone(pids)
    pair.component(1, "task_supervisor", but=pid)
    assert near.run(jobs.node, where="node-1").result(20) == "node-1"


def test_map_that_goes_on_in_another_thread_ends_what_the_first_has_begun(near, tmp_path):
    def nothing_is_under_way():
        errand.sweep()
        return not any(under_way.counts().values())

    # Nor of what other tests have dropped.
    wait_until(nothing_is_under_way)
    items = [str(tmp_path)] * 2
    results = near.map(jobs.wait_once_done, items, max_concurrency=2, ordered=False)
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        assert first.submit(next, results).result(20) == "first"
        pids = at_work(tmp_path, 1)
        with pytest.raises(NotOwner):
            second.submit(next, results).result(20)
        gone(pids)
        assert not any(under_way.counts().values())
