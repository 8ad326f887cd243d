"""References to processes on other nodes, as values."""

import pickle

import pytest

from beethoven import connect
from beethoven.cluster.addresses import Address
from beethoven.cluster.keyring import Keyring
from beethoven.cluster.messages import Purpose
from beethoven.errors import NodeError, NoProcess, SpecError
from beethoven.node.connecting import Connection
from beethoven.remote.remote_ref import RemoteRef
from beethoven.remote.way import TcpWay
from beethoven.runtime.reference import resolve, whereis
from beethoven.runtime.requests import Failure, send_request

SECRET = b"a secret that nobody is to see"


@pytest.fixture
def way():
    return TcpWay(Address("127.0.0.1", 1), Keyring((SECRET,)), "beethoven")


def ref(way=None, purpose=Purpose.ROLE, node_id="id1"):
    return RemoteRef("one", node_id, "127.0.0.1:1", purpose, "orders", way)


def test_the_way_stays_where_it_is_for_it_knows_the_secret(way):
    there = ref(way)
    data = pickle.dumps(there, 5)
    assert SECRET not in data
    copy = pickle.loads(data)
    assert copy == there
    assert hash(copy) == hash(there)
    assert (copy.way, copy.identity) == (None, ref().identity)
    for each in (there, way, Connection(way), way._keyring):
        assert SECRET.decode() not in repr(each) + str(each)
    assert str(there) == "orders on one"


def test_each_names_one_boot_and_one_process(way):
    several = {ref(), ref(way), ref(purpose=Purpose.PROCESS), ref(node_id="id2")}
    assert len(several) == 3
    assert len({each.identity for each in several}) == 3


def test_who_is_part_of_no_node_reaches_nobody():
    with pytest.raises(NoProcess, match="orders on one: this program is no part of a node"):
        ref().call("anything")
    ref().cast("anything")
    response = send_request(ref(), "anything").receive_response(0)
    assert isinstance(response, Failure)
    assert not ref().is_alive()


def test_what_does_not_reach_other_nodes_is_refused():
    with pytest.raises(SpecError, match="a process of this tree"):
        resolve(ref())
    with pytest.raises(SpecError, match="a process of this tree"):
        whereis(ref())
    with pytest.raises(SpecError, match="only its own node can kill it"):
        ref().exit("kill")


def test_nothing_goes_by_a_way_that_is_closed(way):
    with Connection(way):
        pass
    with pytest.raises(NodeError, match="a closed one"):
        way.meet("anybody")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"address": "127.0.0.1:1", "node": "one"}, "node"),
        ({"cookie": SECRET}, "cookie"),
        ({"address": "no address at all:x", "cookie": SECRET}, "address"),
    ],
)
def test_arguments_of_connect_that_do_not_go_together_are_refused(arguments, problem):
    with pytest.raises(SpecError, match=problem) as refused:
        connect(**arguments)
    assert SECRET.decode() not in str(refused.value)
