"""Functions at work on nodes that are killed, frozen, or leave."""

import pytest

from beethoven import clock, connect
from beethoven.errors import NodeError, NodeLost, ProcessExited
from tests.cluster.live import task_functions as jobs
from tests.cluster.live.task_nodes import Nodes, at_work, gone

pytestmark = pytest.mark.process


@pytest.fixture
def trio(tmp_path):
    """Three nodes for one test."""
    with Nodes(tmp_path, nodes=3, toml="") as cluster:
        cluster.begin(3)
        yield cluster


def test_a_killed_node_is_told_at_once_and_another_takes_over_if_asked(trio, tmp_path):
    with connect(node="node-0") as near:
        lost = near.run(jobs.wait, str(tmp_path), where="node-1")
        again = near.run(jobs.wait_for, str(tmp_path), "go", where={"n1"}, retries=1)
        pids = at_work(tmp_path, 2)
        elsewhere = near.run(jobs.wait_for, str(tmp_path), "go", retries=1, where=None)
        began = clock.monotonic()
        trio.kill(1)
        with pytest.raises(NodeLost, match="node 'node-1' was lost before it had a result"):
            lost.result(20)
        assert clock.monotonic() - began < 5.0
        gone(pids)
        with pytest.raises(NodeLost) as caught:
            again.result(20)
        (note,) = caught.value.__notes__
        assert note.startswith("it could not be run again: ")
        (tmp_path / "go").touch()
        assert elsewhere.result(20) in {"node-0", "node-2"}


def test_a_closed_connection_ends_what_it_has_run_and_keeps_nothing(trio, tmp_path):
    with connect(node="node-0") as near:
        for where in ("node-0", "node-1"):
            near.run(jobs.wait, str(tmp_path), where=where)
        kept = near.run(jobs.wait, str(tmp_path), where="node-2")
        pids = at_work(tmp_path, 3)
    gone(pids)
    with pytest.raises(NodeError, match="an open connection to the cluster, got: a closed one"):
        kept.result(20)


def test_map_goes_on_without_a_killed_node_if_asked(trio):
    with connect(node="node-0") as near:
        results = near.map(jobs.square, range(60), max_concurrency=6, retries=3)
        found = [next(results)]
        trio.kill(2)
        found += results
    assert found == [number * number for number in range(60)]


def test_a_frozen_node_is_given_up_when_it_is_no_member_any_more(trio, tmp_path):
    with connect(node="node-0") as near:
        future = near.run(jobs.wait, str(tmp_path), where="node-2")
        at_work(tmp_path)
        trio.freeze(2)
        with pytest.raises(NodeLost, match="is not reached any more"):
            future.result(40)
        assert near.run(jobs.node).result(20) in {"node-0", "node-1"}
        trio.thaw(2)


def test_a_node_that_freezes_before_it_has_begun_holds_up_nobody_for_long(trio, tmp_path):
    with connect(node="node-0") as near:
        # So all are connected, and known to be there.
        assert near.run(jobs.node, where="node-2").result(20) == "node-2"
        trio.freeze(2)
        began = clock.monotonic()
        futures = [near.run(jobs.wait_for, str(tmp_path), "go") for _ in range(6)]
        assert clock.monotonic() - began < 25.0
        (tmp_path / "go").touch()
        assert {each.result(20) for each in futures} == {"node-0", "node-1"}
        trio.thaw(2)


def test_a_draining_node_gets_nothing_and_its_functions_end(trio, tmp_path):
    with connect(node="node-0") as near:
        future = near.run(jobs.wait, str(tmp_path), where="node-1")
        pids = at_work(tmp_path)
        trio.stop(1)
        with pytest.raises((ProcessExited, NodeLost)):
            future.result(20)
        gone(pids)
        assert near.run(jobs.node).result(20) in {"node-0", "node-2"}
