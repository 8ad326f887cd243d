"""Rules of `cluster.task_placement`: where a function runs."""

import random
from collections import Counter
from typing import Any

import pytest

from beethoven.cluster.directory import NodeEntry
from beethoven.cluster.task_placement import check_where, choose, fitting
from beethoven.errors import NoNodeFits, SpecError


def node(name: str, score: float = 0.0, cpus: int = 4, **more: Any) -> NodeEntry:
    return NodeEntry(name * 16, name, "127.0.0.1:33000", score, cpus=cpus, **more)


A, B, C = node("a"), node("b"), node("c")


def chosen(*nodes: NodeEntry, where=None, placed=None, refused=None, own="") -> str:
    found = choose(
        "jobs.f",
        nodes,
        check_where(where),
        placed={each * 16: count for each, count in (placed or {}).items()},
        refused={each * 16: why for each, why in (refused or {}).items()},
        own=own,
    )
    return found.name


def refusal(*nodes: NodeEntry, **more) -> str:
    with pytest.raises(NoNodeFits) as caught:
        chosen(*nodes, **more)
    return str(caught.value)


@pytest.mark.parametrize(
    ("nodes", "more", "expected"),
    [
        ([node("a", 0.5), node("b", 0.2)], {}, "b"),
        ([A, B], {}, "a"),
        ([A, B], {"own": "b"}, "b"),
        ([node("a", 0.0), node("b", 0.01)], {"own": "b"}, "a"),
        ([A, B], {"placed": {"a": 1}}, "b"),
        ([A, B], {"placed": {"a": 1, "b": 1}}, "a"),
        # One task keeps one core busy.
        ([node("a", 0.2), B], {"placed": {"b": 1}}, "a"),
        ([node("a", 0.2), node("b", cpus=8)], {"placed": {"b": 1}}, "b"),
        ([node("a", 0.9), node("b", cpus=0)], {"placed": {"b": 1}}, "a"),
        ([A, B], {"refused": {"a": "did not take it"}}, "b"),
        ([A, B], {"where": "b", "placed": {"b": 9}}, "b"),
        ([A, node("b", 1.0, labels=("gpu", "ssd"))], {"where": {"gpu"}}, "b"),
        ([node("a", is_leaving=True), node("b", 9.0)], {}, "b"),
    ],
)
def test_the_least_busy_node_that_fits_is_chosen(nodes, more, expected):
    assert chosen(*nodes, **more) == expected


@pytest.mark.parametrize(
    ("nodes", "more", "text"),
    [
        ([], {}, "task jobs.f: no node can run it: no node is known yet"),
        ([A, B], {"where": "c"}, "task jobs.f: no node named 'c'; there are: a, b"),
        (
            [node("berlin")],
            {"where": "berlim"},
            "task jobs.f: no node named 'berlim', did you mean 'berlin'?; there are: berlin",
        ),
        (
            [node("b", labels=("ssd",)), node("a", is_leaving=True, labels=("gpu",))],
            {"where": {"gpu"}},
            "task jobs.f: no node with the labels gpu can run it: a is leaving; b has no label gpu",
        ),
        (
            [A, B],
            {"refused": {"a": "did not take it: gone", "b": "did not take it: late"}},
            "task jobs.f: no node can run it: a did not take it: gone; b did not take it: late",
        ),
        (
            [node("a", is_leaving=True), B],
            {"where": "a"},
            "task jobs.f: no node can run it: a is leaving",
        ),
    ],
)
def test_who_finds_no_node_is_told_why_for_each(nodes, more, text):
    assert refusal(*nodes, **more) == text


def test_a_hundred_tasks_spread_by_cores_although_no_load_is_told():
    nodes = [node("a", cpus=2), node("b", cpus=6), node("c", 0.5, cpus=2)]
    placed: Counter[str] = Counter()
    for _ in range(100):
        placed[chosen(*nodes, placed=placed)] += 1
    assert 19 <= placed["a"] <= 22
    assert 58 <= placed["b"] <= 62
    assert 18 <= placed["c"] <= 21


def test_the_order_in_which_the_nodes_are_told_does_not_matter():
    nodes = [node(name, random.Random(name).random()) for name in "abcdef"]
    expected = chosen(*nodes)
    for seed in range(20):
        random.Random(seed).shuffle(nodes)
        assert chosen(*nodes) == expected


@pytest.mark.parametrize("where", [{"gpu"}, ["gpu"], ("gpu",), frozenset({"gpu"})])
def test_labels_may_be_any_collection(where):
    assert check_where(where) == frozenset({"gpu"})


@pytest.mark.parametrize("where", [1, {"gpu": 1}, {1}, b"a"])
def test_what_is_no_place_is_refused(where):
    with pytest.raises(SpecError, match="expected where to be the name of a node"):
        check_where(where)


def test_those_that_fit_are_all_that_have_the_labels_and_stay():
    nodes = [A, node("b", labels=("gpu",)), node("c", labels=("gpu",), is_leaving=True)]
    assert fitting(nodes, None) == nodes[:2]
    assert fitting(nodes, frozenset({"gpu"})) == [nodes[1]]
    assert fitting(nodes, "a") == [A]
