"""The directory, as a value and on the wire."""

import json

import pytest

from beethoven.cluster.directory import Directory, NodeEntry, RoleEntry, decode, encode
from beethoven.errors import WireError

NODES = (
    NodeEntry("id1", "one", "127.0.0.1:33000", 0.5, ("big",)),
    NodeEntry("id2", "two", "[fd00::2]:33000", 0.1, is_leaving=True),
    NodeEntry("id3", "three", "10.0.0.3:1", 0.7),
)
WHOLE = Directory(
    NODES,
    {
        "orders": RoleEntry(2, dict.fromkeys(("id1", "id3", "id2", "gone"), "running")),
        "idle": RoleEntry(1),
        "sick": RoleEntry(1, {"id1": "failed"}, {"id1": "exit code 3"}),
    },
)


def test_it_arrives_as_it_was_sent():
    assert decode(encode(WHOLE)) == WHOLE
    assert decode(encode(Directory())) == Directory()


def test_holders_are_those_that_run_it_the_least_busy_first_and_the_leaving_last():
    assert [each.name for each in WHOLE.holders("orders")] == ["one", "three", "two"]
    assert WHOLE.holders("idle") == WHOLE.holders("sick") == WHOLE.holders("unknown") == ()


def test_a_node_is_found_by_its_name():
    assert WHOLE.node("two") == NODES[1]
    assert WHOLE.node("four") is None


@pytest.mark.parametrize(
    "change",
    [
        {"nodes": 7},
        {"nodes": [{"node_id": "a b", "name": "one", "address": "127.0.0.1:1"}]},
        {"nodes": [{"node_id": "a", "name": "one", "address": "db.internal:1"}]},
        {"roles": {"Bad Name": {"wanted": 1, "states": {}}}},
        {"roles": {"orders": {"wanted": -1, "states": {}}}},
        {"type": "other"},
    ],
)
def test_what_is_no_directory_is_refused(change):
    body = json.dumps({**json.loads(encode(WHOLE)), **change}).encode()
    with pytest.raises(WireError):
        decode(body)
    with pytest.raises(WireError):
        decode(b"\x80\x05garbage")
