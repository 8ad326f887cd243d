"""What a core server tells people, from what it knows."""

from collections import Counter

import pytest

from beethoven.cluster import membership_events as events
from beethoven.cluster.addresses import Address
from beethoven.cluster.load import Load
from beethoven.cluster.member import Member
from beethoven.cluster.membership import Membership
from beethoven.cluster.role_spec import RoleSpec
from beethoven.cluster.timing import DEFAULT
from beethoven.engine.authority import Authority
from beethoven.engine.coordinator import Coordinator, RolesHere
from beethoven.engine.messages import Instance, report_to_wire
from beethoven.engine.settings import CoordinatorSettings
from beethoven.engine.table import Report
from beethoven.node.overview import allocation_list, explanation, overview

ROLES = {"a": RoleSpec("a", instances=2)}


def member(number, **more):
    return Member(f"id{number}", f"n{number}", Address(f"127.0.0.{number}", 9), number, **more)


class Around:
    """Takes what the coordinator has for others."""

    def __init__(self):
        self.sent = []
        self.table = None

    def send(self, node_id, message):
        self.sent.append((node_id, message))

    def broadcast(self, message):
        self.sent.append(("all", message))

    def adopt(self, table):
        self.table = table

    def release(self):
        self.sent.append(("released", None))

    def emptied(self, *, is_empty):
        self.sent.append(("emptied", is_empty))


class Node:
    """One node's knowledge: membership and coordinator, without a process."""

    def __init__(self, *others):
        self.around = Around()
        self.membership = Membership(member(1), DEFAULT, now=0.0, chance=lambda: 0.5)
        settings = CoordinatorSettings()
        self.coordinator = Coordinator(member(1), ROLES, settings, Authority(), self.around)
        for number, other in enumerate(others, 1):
            self.membership.handle(events.LinkOpened(number, other, None), now=1.0)
        self.coordinator.members_changed((member(1), *self.membership.members()))
        self.reported = Counter[int]()

    def report(self, number, *, running=(), state="running", **more):
        instances = [Instance(role, 42, state, 0, 0.0, None) for role in running]
        load = Load(score=more.pop("score", 0.0))
        self.reported[number] += 1
        report = Report(
            self.reported[number],
            roles=ROLES,
            running=dict.fromkeys(running, 1.0),
            load=load.score,
            **more,
        )
        self.coordinator.receive(f"id{number}", report_to_wire(report, instances, load))

    def overview(self):
        return overview(self.membership, self.coordinator)

    def by_load(self):
        return [each["name"] for each in allocation_list(self.membership, self.coordinator)]

    def next(self):
        told = explanation(self.membership, self.coordinator, "a")
        assert told is not None
        return told["next"]


def states(node):
    return {each["name"]: each["state"] for each in node.overview()["members"]}


def test_every_node_is_listed_with_what_it_is():
    node = Node(member(2), member(3), member(4))
    node.membership.handle(events.LinkClosed(2), now=2.0)
    node.membership.handle(events.LeaveAnnounced(3), now=2.0)
    assert states(node) == {"n1": "alive", "n2": "alive", "n3": "suspect", "n4": "left"}


def test_a_node_that_is_down_is_not_called_alive_nor_given_roles():
    node = Node(member(2))
    node.report(2, running=["a"])
    node.membership.handle(events.LinkClosed(1), now=2.0)
    node.membership.handle(events.DialRefused(member(2).address), now=2.1)
    assert states(node) == {"n1": "alive", "n2": "down"}
    assert node.overview()["roles"]["a"]["instances"] == []


def test_a_node_that_is_to_go_with_its_machine_is_cordoned_by_its_own_word_or_another_ones():
    node = Node(member(2), member(3, machine="web_3"), member(4, machine="web_4"))
    node.report(2, is_cordoned=True, doomed=frozenset({"web_3"}))
    node.report(3)
    node.report(4)
    assert states(node) == {"n1": "alive", "n2": "cordoned", "n3": "cordoned", "n4": "alive"}
    node.report(2, is_cordoned=True, is_draining=True)
    assert states(node)["n2"] == "leaving"


def test_a_dead_node_is_not_among_the_least_busy():
    """Upstream goes on with the dead as the least busy (D19)."""
    node = Node(member(2), member(3))
    for number, score in ((1, 3.0), (2, 0.0), (3, 1.0)):
        node.report(number, score=score)
    assert node.by_load() == ["n2", "n3", "n1"]
    node.membership.handle(events.LinkClosed(1), now=2.0)
    node.membership.handle(events.DialRefused(member(2).address), now=2.1)
    assert node.by_load() == ["n3", "n1"]


def test_a_node_that_drains_is_shown_as_leaving():
    node = Node(member(2))
    node.report(2, is_draining=True)
    assert states(node)["n2"] == "leaving"


def test_a_node_is_shown_as_cordoned_by_its_own_word_or_by_that_of_another():
    node = Node(member(2), member(3, machine="web_3"), member(4, machine="web_4"))
    for number in (2, 3, 4):
        node.report(number)
    node.coordinator.receive("id2", report_to_wire(Report(2, roles=ROLES, is_cordoned=True)))
    node.coordinator.receive("id4", report_to_wire(Report(2, doomed=frozenset({"web_3", "x"}))))
    assert states(node) == {"n1": "alive", "n2": "cordoned", "n3": "cordoned", "n4": "alive"}
    assert [each["machine"] for each in node.overview()["members"]] == ["", "", "web_3", "web_4"]
    node.coordinator.receive("id4", report_to_wire(Report(3)))
    assert states(node)["n3"] == "alive"


def test_who_is_cordoned_and_leaves_is_shown_as_leaving_and_who_is_down_as_down():
    node = Node(member(2), member(3))
    node.report(2, is_cordoned=True, is_draining=True)
    node.report(3, is_cordoned=True)
    node.membership.handle(events.LinkClosed(2), now=2.0)
    assert states(node) == {"n1": "alive", "n2": "leaving", "n3": "suspect"}


def test_a_cordoned_node_counts_as_eligible_only_for_what_it_runs():
    node = Node(member(2), member(3, machine="web_3"))
    node.report(1)
    node.report(2, is_cordoned=True, doomed=frozenset({"web_3"}))
    node.report(3)
    assert node.overview()["roles"]["a"]["eligible"] == 1
    node = Node(member(2))
    node.report(1)
    node.report(2, is_cordoned=True, running=["a"])
    assert node.overview()["roles"]["a"]["eligible"] == 2


def test_instances_of_all_nodes_are_shown_in_the_order_of_their_nodes():
    node = Node(member(3), member(2))
    for number in (3, 2, 1):
        node.report(number, running=["a"])
    instances = node.overview()["roles"]["a"]["instances"]
    assert [each["node"] for each in instances] == ["n1", "n2", "n3"]


def test_only_nodes_that_could_run_a_role_count_as_eligible():
    node = Node(member(2), member(3), member(4))
    node.report(1)
    node.report(2, unable={"a": "no such module"})
    node.report(3, is_draining=True)
    assert node.overview()["roles"]["a"]["eligible"] == 1


def test_the_least_busy_node_comes_first_and_one_that_leaves_not_at_all():
    node = Node(member(2), member(3), member(4))
    for number, score in ((1, 0.5), (2, 0.1), (3, 0.3)):
        node.report(number, score=score)
    node.report(4, score=0.0, is_draining=True)
    assert node.by_load() == ["n2", "n3", "n1"]


def test_a_role_that_nobody_has_is_not_explained():
    node = Node()
    assert explanation(node.membership, node.coordinator, "b") is None


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ([(1, {"running": ["a"]}), (2, {"running": ["a"]})], "nothing: it runs as often as wanted"),
        ([(1, {"running": ["a"]})], "it waits for 1 more node(s) that can run it"),
        ([(1, {}), (2, {})], "it starts where it is to run"),
        (
            [(1, {"running": ["a"]}), (2, {"running": ["a"]}), (3, {"running": ["a"]})],
            "1 of its instances stop, once the others are confirmed",
        ),
        (
            [(1, {"running": ["a"], "state": "failed"})],
            "it failed on n1, and is tried again there or elsewhere",
        ),
        (
            [
                (1, {"running": ["a"], "state": "stopped"}),
                (2, {"running": ["a"], "state": "stopped"}),
            ],
            "nothing: it has done its work",
        ),
    ],
)
def test_what_happens_next_is_told(reports, expected):
    node = Node(member(2), member(3))
    for number, report in reports:
        node.report(number, **report)
    assert node.next() == expected


def test_a_report_tells_the_others_what_this_node_runs():
    node = Node(member(2))
    node.coordinator.roles_changed(RolesHere(running={"a": 3.0}, held=frozenset({"a"})))
    to, message = node.around.sent[-1]
    assert to == "all"
    assert dict(message.running) == {"a": 3.0}


def test_reports_number_themselves_upwards_also_in_another_life_of_the_process():
    numbers = []
    for _ in range(2):
        node = Node(member(2))
        for _ in range(2):
            node.coordinator.roles_changed(RolesHere())
            numbers.append(node.around.sent[-1][1].sequence)
    assert numbers == sorted(set(numbers))
