"""Fronts of roles: the marked methods of a role, wherever it runs."""

import asyncio
import contextlib

import pytest

import beethoven
from beethoven.errors import (
    CallTimeout,
    NodeNotFound,
    ProcessExited,
    RequestRefused,
    RoleNotRunning,
    SpecError,
)
from beethoven.runtime.requests import Reply
from tests.integration.cluster.marked_roles import Till
from tests.integration.cluster.nodes_apart import Apart
from tests.nodes import beethoven as run
from tests.processes import wait_until

pytestmark = pytest.mark.process


def till(name):
    return f"[roles.{name}]\nmodule = 'marked_roles:Till'\n"


@pytest.fixture
def apart(tmp_path):
    made = Apart(tmp_path)
    yield made
    made.stop()


def test_a_role_is_spoken_to_by_its_marked_methods_from_everywhere(apart):
    apart.start(one=till("alpha"), two=till("alpha") + till("bravo"))
    apart.wait_runs("bravo", "two")
    wait_until(lambda: apart.runs("alpha", "one") in (["one"], ["two"]), 60)
    (first,) = apart.runs("alpha", "one")
    with beethoven.connect(node="one") as here, beethoven.connect(apart.address("two")) as far:
        for handle in (here, far):
            _check(handle)
            asyncio.run(_check_async(handle))
        far.role("bravo", Till, to="all").pay(1)
        bravo, alpha = here.role("bravo", Till), here.role("alpha", Till)
        wait_until(lambda: bravo.total() == 5)
        # From one role to another, and by what is no more than a reference.
        assert (alpha.ask("bravo"), bravo.ask_slowly("alpha")) == ("two", first)
        assert Till.front(here.ref("bravo")).where() == "two"
        assert asyncio.run(Till.front(far.ref("bravo")).think.async_(0.01)) == "two"
        assert alpha.add(40) == 40
    _check_command_line()
    # One whose node is drained hands its state over, and the front follows.
    other = {"one": "two", "two": "one"}[first]
    with beethoven.connect(node=other) as left:
        alpha = left.role("alpha", Till, timeout=20)
        run("drain", "--node", first)
        wait_until(lambda: _is_at(alpha, other), 30)
        assert alpha.total() == 40


def _is_at(front, node):
    """Return whether a role runs on a node; a call that is under way when it goes is lost."""
    with contextlib.suppress(ProcessExited):
        return front.where() == node
    return False


def _check(handle):
    bravo = handle.role("bravo", Till)
    before = bravo.total()
    bravo.pay(1)
    assert bravo.add(2, times=2) == before + 3
    assert bravo.think(0.01) == "two"
    assert bravo.where.send_request().receive_response(10) == Reply("two")
    assert repr(bravo) == "<front of Till to role bravo>"
    with pytest.raises(
        RequestRefused, match=r"bravo.*: add: missing a required argument: 'amount'"
    ):
        bravo.add()
    with pytest.raises(RoleNotRunning, match="no role 'brave', did you mean 'bravo'"):
        handle.role("brave", Till).where()
    with pytest.raises(NodeNotFound, match="no node 'tow', did you mean 'two'"):
        handle.role("bravo", Till, to="tow").where()
    with pytest.raises(CallTimeout):
        handle.role("bravo", Till, timeout=0.5).think(2.0)
    everybody = handle.role("bravo", Till, to="all")
    for ask in (everybody.where, everybody.where.send_request):
        with pytest.raises(
            SpecError, match=r"front of role bravo on all: expected to to be one node"
        ):
            ask()
    with pytest.raises(SpecError, match="expected role to be the name of a role"):
        handle.role("beethoven.core_server", Till)
    with pytest.raises(SpecError, match="expected timeout to be seconds >= 0"):
        handle.role("bravo", Till, timeout="soon")


async def _check_async(handle):
    bravo = handle.role("bravo", Till)
    assert await bravo.where.async_() == "two"
    calls = (bravo.think.async_(0.5) for _ in range(20))
    async with asyncio.timeout(8):
        assert await asyncio.gather(*calls) == ["two"] * 20
    with pytest.raises(RequestRefused, match="missing a required argument"):
        await bravo.add.async_()
    with pytest.raises(SpecError, match="expected to to be one node"):
        await handle.role("bravo", Till, to="all").where.async_()


def _check_command_line():
    assert run("call", "--node", "two", "bravo", "total").json == 5
    assert run("call", "--node", "two", "bravo", "add", "1", "times=2").json == 7
    wrong = run("call", "--node", "two", "bravo", "ad", "1")
    assert (wrong.code, wrong.out) == (1, "")
    assert "Till has no call 'ad', did you mean 'add'?" in wrong.err
    assert "that is a text" not in wrong.err
    for more in ((), ("--to", "all")):
        wrong = run("call", "--node", "two", "bravo", "open", *more)
        assert wrong.code == 1
        said = "Till has no call 'open'\nopen names a marked method; for a request that is"
        assert said in wrong.err
