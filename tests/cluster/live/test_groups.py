"""Groups across three real nodes, whose members, parts and roots are killed and frozen."""

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from beethoven import clock
from beethoven.errors import CallTimeout, SpecError
from beethoven.node.connecting import Connection, connect
from beethoven.runtime.reference import Reference
from tests.cluster.live.cluster import Cluster, wait_until

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

NODES = range(3)
TOML = """
[roles.singer]
module = "tests.cluster.live.singer_role:Singer"
instances = 3
max_restarts = 1000000
"""
# What is known at once is known within this many seconds on a machine under load.
SOON = 3.0
# The same for what is only noticed when a node has been silent for too long.
LATER = 10.0


def own_identities(members: Iterable[Reference]) -> list[str]:
    """Return by what the members are known on their own nodes, sorted."""
    return sorted(each.identity.rpartition("/")[2] for each in members)


class Choir:
    """Three nodes with a singer each, and a connection to each of them."""

    def __init__(self, cluster: Cluster, stack: contextlib.ExitStack) -> None:
        self.cluster = cluster
        self.stack = stack
        self.connections: dict[int, Connection] = {}
        for number in NODES:
            self.meet(number)

    def meet(self, number: int) -> None:
        name = self.cluster.players[number].name
        self.connections[number] = self.stack.enter_context(connect(node=name))

    def ask(self, number: int, *request: Any) -> Any:
        """Have the singer of a node do something."""
        return self.connections[number].call("singer", request if len(request) > 1 else request[0])

    def member(self, number: int) -> str:
        return str(self.ask(number, "ref").identity)

    def sees(self, number: int, group: str) -> list[str]:
        return own_identities(self.connections[number].groups.members(group))

    def agree(self, group: str, members: list[str], *numbers: int, within: float = SOON) -> None:
        """Wait until nodes, all if none is named, name these members."""
        targets = sorted(members)

        def is_so() -> bool:
            return all(self.sees(number, group) == targets for number in numbers or NODES)

        try:
            wait_until(is_so, within, f"{group} is {targets}")
        except AssertionError as error:
            seen = {number: self.sees(number, group) for number in numbers or NODES}
            raise AssertionError(self.cluster.explain(f"{error}; seen: {seen}")) from None

    def all_join(self, group: str) -> list[str]:
        """Have all singers join a group, and wait until all know; return them by node."""
        members = [self.member(number) for number in NODES]
        for number in NODES:
            self.ask(number, "join", group)
        self.agree(group, members)
        return members

    def forget(self) -> None:
        """Have the singers forget what they have heard."""
        for number in NODES:
            self.ask(number, "forget")

    def heard(self, number: int, *messages: Any) -> None:
        """Wait until the singer of a node has heard these messages and no others, in any order."""
        wanted = sorted(messages)
        wait_until(lambda: sorted(self.ask(number, "heard")) == wanted, SOON, f"{wanted}")


@pytest.fixture
def choir(tmp_path: Path) -> Iterator[Choir]:
    with Cluster(tmp_path, {"singer": 3}, toml=TOML) as cluster, contextlib.ExitStack() as stack:
        cluster.start()
        cluster.wait_counts()
        yield Choir(cluster, stack)
        for player in cluster.running:
            if player.is_frozen:
                cluster.thaw(player.number)


def test_groups_are_the_same_everywhere(choir: Choir) -> None:
    _one_group_on_all_nodes(choir)
    _seen_from_outside(choir)
    _processes_that_a_role_has_started(choir)
    _long_messages(choir)


def _one_group_on_all_nodes(choir: Choir) -> None:
    members = choir.all_join("choir")
    for number in NODES:
        assert choir.ask(number, "members", "choir")[0] == members[number]
        assert choir.ask(number, "broadcast", "choir", number) == 3
    for number in NODES:
        choir.heard(number, *NODES)
    assert choir.connections[0].groups.which_groups() == ["choir"]
    assert own_identities(choir.connections[2].groups.local_members("choir")) == [members[2]]
    choir.ask(1, "join", "choir")
    choir.agree("choir", [*members, members[1]])
    assert choir.ask(0, "broadcast", "choir", 9) == 3
    choir.heard(1, *NODES, 9)
    assert choir.ask(1, "leave", "choir")
    choir.agree("choir", members)
    for number in NODES:
        assert choir.ask(number, "leave", "choir")
        assert not choir.ask(number, "leave", "choir")
    choir.agree("choir", [])
    assert choir.connections[1].groups.which_groups() == []
    assert choir.ask(0, "broadcast", "choir", "nobody") == 0
    choir.forget()


def _seen_from_outside(choir: Choir) -> None:
    members = choir.all_join("outside")
    own = choir.connections[0].groups
    with pytest.raises(SpecError, match="one of the node; this program is none"):
        own.join("outside")
    assert own.broadcast("outside", "near") == 3
    client = choir.cluster.players[1].client
    assert client is not None
    with connect(client.presence.address) as far:
        found = far.groups.members("outside")
        assert own_identities(found) == sorted(members)
        for each in found:
            assert isinstance(each.call("pid"), int)
        assert far.groups.which_groups() == ["outside"]
        assert far.groups.broadcast("outside", "far") == 3
        with pytest.raises(SpecError, match="expected the connection to be a node of this machine"):
            far.groups.local_members("outside")
    for number in NODES:
        choir.heard(number, "far", "near")
    choir.forget()


def _processes_that_a_role_has_started(choir: Choir) -> None:
    started = choir.ask(0, "start", 3)
    node = choir.cluster.players[0].name
    started[0].call(("join", "chorus", node))
    for ref in started[1:]:
        choir.connections[0].groups.join("chorus", ref)
    choir.agree("chorus", [each.identity for each in started])
    assert choir.ask(2, "broadcast", "chorus", "la") == 3
    wait_until(lambda: all(each.call("heard") == ["la"] for each in started), SOON, "la")
    started[0].stop()
    choir.agree("chorus", [each.identity for each in started[1:]])
    with pytest.raises(SpecError, match="one of the node"):
        choir.connections[1].groups.join("chorus", started[1])


def _long_messages(choir: Choir) -> None:
    """They reach all members, also the sender, which reads nothing while it sends."""
    choir.all_join("long")
    long = "x" * 5_000_000
    assert choir.ask(0, "broadcast", "long", long) == 3
    for number in NODES:
        choir.heard(number, long)


def test_members_go_with_their_process_and_with_their_node(choir: Choir) -> None:
    members = choir.all_join("choir")
    os.kill(choir.ask(1, "pid"), signal.SIGKILL)
    choir.agree("choir", [members[0], members[2]])
    assert choir.ask(0, "broadcast", "choir", "still here") == 2
    choir.heard(2, "still here")
    choir.cluster.kill(2)
    choir.agree("choir", members[:1], 0, 1)
    choir.cluster.start(2)
    choir.cluster.wait_counts()
    choir.meet(2)
    choir.agree("choir", members[:1])
    choir.ask(2, "join", "choir")
    choir.agree("choir", [members[0], choir.member(2)])


def test_whoever_monitors_a_group_is_told_of_every_change(choir: Choir) -> None:
    watcher, member = choir.member(0), choir.member(1)
    assert choir.ask(0, "monitor", "choir") == []
    choir.ask(1, "join", "choir")
    choir.ask(0, "join", "choir")

    def last() -> list[str]:
        news = choir.ask(0, "news")
        return [each.rpartition("/")[2] for each in news[-1][1]] if news else []

    wait_until(lambda: last() == [watcher, member], SOON, "both")
    choir.cluster.kill(1)
    wait_until(lambda: last() == [watcher], SOON, "one")
    choir.cluster.kill_process(choir.cluster.component(0, "groups"))
    choir.ask(2, "join", "choir")
    wait_until(lambda: last() == [watcher, choir.member(2)], SOON, "another")
    assert choir.ask(0, "demonitor", "choir")
    told = len(choir.ask(0, "news"))
    choir.ask(2, "leave", "choir")
    choir.agree("choir", [watcher], 0, 2)
    assert len(choir.ask(0, "news")) == told


def test_a_scope_that_is_killed_again_and_again_forgets_nobody(choir: Choir) -> None:
    members = choir.all_join("choir")
    pid = 0
    for _ in range(5):
        pid = choir.cluster.component(1, "groups", but=pid)
        choir.cluster.kill_process(pid)
        # Asked for while there is nobody to ask, and done once.
        choir.ask(1, "join", "round")
        assert len(choir.sees(1, "choir")) == 3
    choir.agree("choir", members)
    choir.agree("round", [members[1]] * 5)
    for number in NODES:
        assert choir.ask(number, "broadcast", "choir", number) == 3
        choir.heard(number, *range(number + 1))
    os.kill(choir.ask(1, "pid"), signal.SIGKILL)
    choir.agree("round", [])


def test_what_happens_while_a_core_server_is_dead_is_known_when_it_is_back(choir: Choir) -> None:
    members = [choir.member(number) for number in NODES]
    choir.ask(0, "join", "choir")
    choir.ask(1, "join", "choir")
    choir.agree("choir", members[:2])
    for _ in range(3):
        pid = choir.cluster.component(1, "core_server")
        choir.cluster.kill_process(pid)
        choir.ask(1, "join", "round")
        choir.ask(2, "join", "round")
        for number in NODES:
            assert choir.sees(number, "choir") == sorted(members[:2])
        choir.cluster.component(1, "core_server", but=pid)
    choir.agree("round", [members[1]] * 3 + [members[2]] * 3)
    choir.cluster.kill_process(choir.cluster.component(0, "core_server"))
    choir.cluster.kill_process(choir.cluster.component(0, "groups"))
    choir.agree("choir", members[:2])


def test_members_of_a_frozen_node_are_none_until_it_thaws(choir: Choir) -> None:
    members = choir.all_join("choir")
    assert choir.ask(0, "broadcast", "choir", 1) == 3
    choir.cluster.freeze(1)
    began = clock.elapsed()
    assert choir.ask(0, "broadcast", "choir", 2) in {2, 3}
    assert clock.elapsed() - began < 4.0
    choir.heard(2, 1, 2)
    # More than fits into the buffers of a connection.
    assert choir.ask(0, "broadcast_long", "choir", 30_000_000) == 2
    assert clock.elapsed() - began < 8.0
    wait_until(lambda: choir.ask(2, "count") == 3, SOON, "the long one")
    choir.agree("choir", [members[0], members[2]], 0, 2, within=LATER)
    with pytest.raises(CallTimeout):
        choir.connections[1].groups.members("choir", timeout=0.3)
    choir.cluster.thaw(1)
    choir.agree("choir", members, within=LATER)
