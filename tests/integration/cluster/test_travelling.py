"""Fronts and references that travel, and connections of the processes of nodes."""

import asyncio
import importlib
import pickle
from types import ModuleType
from typing import Any

import pytest

import beethoven
from beethoven.errors import NodeError
from tests.integration.cluster.nodes_apart import HERE, Apart

pytestmark = pytest.mark.process


@pytest.fixture
def apart(tmp_path):
    made = Apart(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def roles(monkeypatch):
    """Return the module of the roles under the name by which the nodes know it."""
    monkeypatch.syspath_prepend(HERE)
    return importlib.import_module("travelling_roles")


def post(name):
    return f"[roles.{name}]\nmodule = 'travelling_roles:Post'\n"


def test_fronts_references_and_connections_work_wherever_they_arrive(apart, roles):
    apart.start(one=post("alpha"), two=post("bravo") + post("charlie"))
    apart.wait_runs("alpha", "one")
    apart.wait_runs("bravo", "two")
    apart.wait_runs("charlie", "two")
    with beethoven.connect(node="one") as here, beethoven.connect(apart.address("two")) as far:
        for cluster in (here, far):
            _check(cluster, roles)
            asyncio.run(_check_async(cluster, roles))
        # A process of a node goes by its own, though two run on this machine.
        for role, node, other in (("alpha", "one", "bravo"), ("bravo", "two", "alpha")):
            office = here.role(role, roles.Post)
            assert office.ask_by_connection("charlie") == [node, "two"]
            assert office.send(other, "charlie") == "two"
            ran = here.run(roles.ask_by_connection, "bravo", where=node)
            assert ran.result(30) == [node, "two"]
        kept = far.role("alpha", roles.Post).front_of("bravo")
        assert kept.where() == "two"
    with pytest.raises(NodeError, match="a closed one"):
        kept.where()


def _check(cluster: beethoven.Connection, roles: ModuleType) -> None:
    alpha, bravo = cluster.role("alpha", roles.Post), cluster.role("bravo", roles.Post)
    for post in (alpha, bravo):
        assert post.front_of("alpha").where() == "one"
        assert post.front_of("bravo").where() == "two"
    far_refs: list[Any] = [alpha.ref_of("bravo"), bravo.ref_of("alpha")]
    assert [roles.Post.front(ref).where() for ref in far_refs] == ["two", "one"]
    assert cluster.run(roles.same, alpha, where="two").result(30).where() == "one"
    # The way stays behind; it is found anew where the front arrives.
    assert bravo.ask(alpha) == "one"
    assert alpha.ask(pickle.loads(pickle.dumps(bravo))) == "two"


async def _check_async(cluster: beethoven.Connection, roles: ModuleType) -> None:
    alpha = cluster.role("alpha", roles.Post)
    front = await alpha.front_of.async_("bravo")
    assert await front.where.async_() == "two"
    ref = await alpha.ref_of.async_("bravo")
    assert await roles.Post.front(ref).where.async_() == "two"
