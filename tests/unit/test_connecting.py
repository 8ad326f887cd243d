"""What `connect`, connections and fronts of roles refuse, and what they say."""

import pickle
from typing import Any

import pytest

from beethoven import Role, connect, on
from beethoven.cluster.addresses import Address
from beethoven.cluster.keyring import Keyring
from beethoven.errors import ConfigError, NodeNotFound, SpecError
from beethoven.node import presence
from beethoven.node.connecting import Connection
from beethoven.node.presence import Presence
from beethoven.remote.way import TcpWay
from beethoven.runtime.here import here

SECRET = "a secret that nobody is to see"
PLACE: dict[str, Any] = {"address": "127.0.0.1:1", "cookie": SECRET}


class Orders(Role):
    @on.call
    def get(self, number: int) -> int:
        return number

    @on.cast
    def put(self, number: int) -> None: ...


@pytest.fixture
def cluster():
    with Connection(TcpWay(Address("127.0.0.1", 1), Keyring((b"x" * 40,)), "beethoven")) as made:
        yield made


@pytest.fixture
def dialled(monkeypatch):
    """Return the clusters that were dialled."""
    seen: list[str] = []
    monkeypatch.setattr(TcpWay, "directory", lambda self, _timeout: seen.append(self._cluster))
    return seen


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"address": 5}, "address to be an address .*got: 5"),
        ({"address": ("127.0.0.1", 33000)}, "address to be an address"),
        ({"node": 5}, "node to be the name of a node, or None, got: 5"),
        ({"timeout": "x"}, "timeout to be seconds >= 0, got: 'x'"),
        (PLACE | {"timeout": None}, "timeout to be seconds >= 0, got: None"),
        (PLACE | {"cookie": 7}, "cookie to be text, or bytes, got: <class 'int'>"),
        (PLACE | {"cookie": [SECRET]}, "cookie to be text, or bytes, got: <class 'list'>"),
        (PLACE | {"cluster": "S5 b"}, r"cluster to be a cluster name .*got: 'S5 b'"),
        (PLACE | {"cluster": ""}, "cluster to be a cluster name"),
        (PLACE | {"cluster": 5}, "cluster to be a cluster name"),
    ],
)
def test_a_wrong_argument_of_connect_is_refused_by_name(arguments, problem):
    with pytest.raises(SpecError, match=f"connect: expected {problem}") as refused:
        connect(**arguments)
    assert SECRET not in str(refused.value)


def test_the_cluster_is_that_of_the_argument_or_of_the_environment(dialled, monkeypatch):
    monkeypatch.setenv("BEETHOVEN_CLUSTER", "band")
    connect(**PLACE)
    connect(**PLACE, cluster="choir")
    monkeypatch.setenv("BEETHOVEN_CLUSTER", "")
    connect(**PLACE)
    monkeypatch.delenv("BEETHOVEN_CLUSTER")
    connect(**PLACE)
    assert dialled == ["band", "choir", "beethoven", "beethoven"]
    monkeypatch.setenv("BEETHOVEN_CLUSTER", "A Band")
    with pytest.raises(SpecError, match=r"connect: expected BEETHOVEN_CLUSTER to be a cluster"):
        connect(**PLACE)


def test_a_program_without_a_cookie_is_told_so_and_makes_none(dialled, monkeypatch, tmp_path):
    monkeypatch.delenv("BEETHOVEN_COOKIE", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(ConfigError) as refused:
        connect("127.0.0.1:1")
    place = tmp_path / "beethoven" / "cookie"
    fix = f"give cookie=, set BEETHOVEN_COOKIE, or copy the cookie file of a node to {place}"
    assert refused.value.problems == [f"no cookie: {fix}"]
    assert list(tmp_path.iterdir()) == dialled == []


def test_a_process_of_a_node_connects_by_its_own(monkeypatch):
    several = [Presence(name, 1, f"/{name}", "127.0.0.1:1", 0.0, "") for name in ("one", "two")]
    monkeypatch.setattr(presence, "running_nodes", lambda: several)
    with pytest.raises(NodeNotFound, match=r"one, two; choose one: --node NAME, or connect\(node="):
        connect()
    monkeypatch.setattr(here, "folder", "/two")
    monkeypatch.setattr(here, "context", {"node": "two"})
    with connect() as own, connect(node="one") as other:
        assert [each.way.node for each in (own, other)] == ["two", "one"]


def test_a_connection_stays_in_its_process(cluster):
    with pytest.raises(SpecError, match="connection: expected what is sent to be a front or a ref"):
        pickle.dumps(cluster)
    with pytest.raises(SpecError, match="expected what is sent to be a front or a reference"):
        cluster.run(print, cluster)


def test_the_way_of_a_front_stays_in_its_process(cluster):
    copy = pickle.loads(pickle.dumps(cluster.role("orders", Orders, timeout=1.0)))
    assert repr(copy) == "<front of Orders to role orders>"
    fix = (
        r"this program is no part of a node; make a front with connect\(\)\.role\('orders', \.\.\."
    )
    for ask in (lambda: copy.get(1), lambda: copy.put(1), lambda: copy.get.send_request(1)):
        with pytest.raises(NodeNotFound, match=fix):
            ask()
    everybody = pickle.loads(pickle.dumps(cluster.role("orders", Orders, to="all")))
    with pytest.raises(SpecError, match="front of role orders on all: expected to to be one node"):
        everybody.get(1)


@pytest.mark.parametrize("wrong", ["Orders", int, Role, None])
def test_a_front_is_one_of_a_class_with_marked_methods(cluster, wrong):
    with pytest.raises(SpecError, match="front of role orders: expected cls to be a class with"):
        cluster.role("orders", wrong)


def test_a_cast_of_a_front_says_that_it_has_no_reply(cluster):
    orders = cluster.role("orders", Orders)
    for name in ("async_", "send_request"):
        with pytest.raises(AttributeError, match=f"'put' is a cast, .* it has no '{name}'"):
            getattr(orders.put, name)


def test_what_is_wrong_with_a_map_is_said_of_the_map(cluster):
    with pytest.raises(SpecError, match="map: expected max_concurrency to be an integer >= 1"):
        cluster.map(print, [], max_concurrency=0)
    with pytest.raises(SpecError, match="map: expected ordered to be True or False"):
        cluster.map(print, [], ordered="yes")
