"""`beethoven allocate`: the least busy node, and the order of all."""

import pytest

from beethoven.cli.allocate import COLUMNS, rows
from tests.nodes import ONE_ROLE, beethoven, node
from tests.processes import wait_until

LISTED = {"name", "node_id", "address", "score", "cpu", "memory", "roles", "signals"}


@pytest.mark.process
def test_a_node_alone_is_the_least_busy(tmp_path):
    with node(tmp_path, ONE_ROLE) as running:
        running.wait_running("echo")
        wait_until(lambda: running.client.allocation_list()[0]["memory"])
        assert beethoven("allocate").out == "beethoven\n"
        (listed,) = beethoven("allocate", "--list", "--json").json
        assert set(listed) == LISTED
        assert listed["score"] > 0
        assert set(beethoven("allocate", "--json").json) == LISTED
        header, row = beethoven("allocate", "--list").out.splitlines()
        assert tuple(header.split()) == COLUMNS
        assert row.split()[:2] == ["beethoven", listed["address"]]


@pytest.mark.process
def test_no_node_is_the_least_busy_where_none_runs():
    done = beethoven("allocate")
    assert (done.code, done.out) == (1, "")


def test_the_table_has_a_row_for_each_node():
    facts = {"name": "a", "node_id": "1", "address": "127.0.0.1:33000", "score": 0.456, "roles": 2}
    known = {**facts, "cpu": 12.6, "memory": 40.0, "signals": {"disk": 0.5, "queue": 3.0}}
    unknown = {**facts, "cpu": None, "memory": None, "signals": {}}
    assert rows([known, unknown]) == [
        ("a", "127.0.0.1:33000", "0.46", "13%", "40%", "2", "disk=0.5 queue=3"),
        ("a", "127.0.0.1:33000", "0.46", "-", "-", "2", "-"),
    ]
