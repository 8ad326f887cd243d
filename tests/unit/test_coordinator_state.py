"""What a coordinator decides, event by event. Whole clusters are in tests/cluster/simulated."""

from dataclasses import replace

import pytest

from beethoven.cluster.addresses import Address
from beethoven.cluster.member import Member
from beethoven.cluster.role_spec import Handover, RoleSpec
from beethoven.engine.authority import Authority
from beethoven.engine.avoidance import Avoidance
from beethoven.engine.commitment import Difference, commit, differences, merge
from beethoven.engine.coordinator_state import CoordinatorState
from beethoven.engine.events import (
    AdoptTable,
    DrainRequested,
    Effect,
    Emptied,
    Event,
    MembershipChanged,
    Note,
    OutlookChanged,
    PublishTable,
    Release,
    ReportReceived,
    SendReport,
    SendTable,
    SettledAlone,
    TableReceived,
    Ticked,
)
from beethoven.engine.handover import Turn, assign_places, take_turn
from beethoven.engine.table import (
    Committed,
    Epoch,
    Place,
    Report,
    Seniority,
    Stamp,
    Table,
)
from beethoven.supervision.backoff import Backoff

ROLE = RoleSpec("r", digest="1")


def member(name: str, incarnation: int) -> Member:
    return Member(name, name, Address("127.0.0.1", 33000), incarnation)


A, B, C = member("a", 1), member("b", 2), member("c", 3)


def stamp(counter: int, node_id: str, version: int = 1) -> Stamp:
    return Stamp(Epoch(counter, node_id), version)


class Node:
    """One coordinator, and what it is told in the course of a test."""

    def __init__(self, me: Member, *specs: RoleSpec, authority: Authority | None = None) -> None:
        self.state = CoordinatorState(me, authority=authority)
        self.me, self.specs, self.now, self.sequence = me, specs or (ROLE,), 0.0, 0

    def tell(self, event: Event, after: float = 0.0) -> list[Effect]:
        self.now += after
        return self.state.handle(event, now=self.now)

    def members(self, *others: Member, after: float = 0.0) -> list[Effect]:
        return self.tell(MembershipChanged((self.me, *others)), after)

    def report(self, who: Member | None = None, *running: str, **fields) -> list[Effect]:
        self.sequence += 1
        fields.setdefault("roles", {spec.name: spec for spec in self.specs})
        fields.setdefault("held", frozenset(running))
        if who is None:
            fields.setdefault("stamp", self.state.adopted)
        report = Report(self.sequence, running=dict.fromkeys(running, 5.0), **fields)
        if who is None:
            report = self.state.complete(report)
        return self.tell(ReportReceived((who or self.me).node_id, report))

    def table(self, sender: Member, table: Table) -> list[Effect]:
        return self.tell(TableReceived(sender.node_id, table))


def leading(*others: Member, authority: Authority | None = None) -> Node:
    """Return node a, which leads and is busy: the role is placed on another, if there is one."""
    node = Node(A, authority=authority)
    node.members(*others)
    node.report(load=5.0)
    for other in others:
        node.report(other)
    node.tell(Ticked(), after=2.5)
    assert node.state.is_leading
    return node


def published(effects: list[Effect]) -> list[Table]:
    return [effect.table for effect in effects if isinstance(effect, PublishTable)]


def kinds(effects: list[Effect]) -> list[type]:
    return [type(effect) for effect in effects if not isinstance(effect, Note)]


def table_of(counter: int, leader: Member, where: dict[str, list[str]], *members: Member) -> Table:
    at = stamp(counter, leader.node_id)
    return Table(
        at,
        {
            role: tuple(Place(node, slot, at, "why") for slot, node in enumerate(chosen))
            for role, chosen in where.items()
        },
        {"r": Committed(ROLE, 1)},
        frozenset(each.node_id for each in members),
    )


def test_alone_it_begins_when_the_first_search_is_over() -> None:
    node = Node(A)
    node.members()
    assert kinds(node.report()) == []
    assert kinds(node.tell(Ticked(), after=1.0)) == []
    effects = node.tell(SettledAlone())
    assert kinds(effects) == [PublishTable, AdoptTable]
    assert published(effects)[0].nodes_of("r") == ("a",)


def test_with_others_it_begins_when_nobody_has_come_for_a_while() -> None:
    node = Node(A)
    node.members(B)
    node.report()
    node.report(B)
    node.tell(SettledAlone())
    node.members(B, C, after=2.0)
    node.report(C)
    assert not node.state.is_leading
    assert published(node.tell(Ticked(), after=2.4)) == []
    assert len(published(node.tell(Ticked(), after=0.1))) == 1


def test_a_younger_node_waits_for_the_table_of_the_oldest() -> None:
    node = Node(B)
    node.members(A)
    node.report()
    node.report(A)
    assert kinds(node.tell(Ticked(), after=60)) == []
    assert node.state.coordinator == Seniority(1, "a")


def test_a_table_is_adopted_once_it_rests_on_the_own_report() -> None:
    node = Node(B)
    node.members(A)
    assert AdoptTable not in kinds(node.table(A, table_of(1, A, {"r": ["a"]}, A)))
    later = table_of(1, A, {"r": ["b"]}, A, B)
    later = Table(stamp(1, "a", 2), later.places, later.specs, later.members)
    assert kinds(node.table(A, later)) == [AdoptTable]
    assert node.state.adopted == later.stamp


def test_a_table_of_an_earlier_reign_is_not_adopted() -> None:
    node = Node(B)
    node.members(A)
    node.table(A, table_of(2, A, {"r": ["a"]}, A, B))
    assert kinds(node.table(C, table_of(1, C, {"r": ["b"]}, A, B))) == []
    assert node.state.table.stamp == stamp(2, "a")


def test_nothing_is_decided_while_the_word_of_a_newcomer_is_outstanding() -> None:
    node = leading(B)
    assert published(node.members(B, C)) == []
    assert published(node.tell(Ticked(), after=1.0)) == []
    assert published(node.report(C))[0].members == {"a", "b", "c"}


def test_the_word_of_a_newcomer_is_not_waited_for_for_ever() -> None:
    node = leading(B)
    node.report(B, "r")
    assert published(node.members(C)) == []
    assert published(node.tell(Ticked(), after=2.4)) == []
    assert published(node.tell(Ticked(), after=0.2))[0].nodes_of("r") == ("a",)


def test_a_hole_is_filled_in_the_step_in_which_the_death_is_known() -> None:
    node = leading(B)
    node.report(B, "r")
    effects = node.members()
    assert published(effects)[0].nodes_of("r") == ("a",)


def test_a_new_coordinator_keeps_the_places_that_are_still_starting() -> None:
    for holder in ("b", "c"):
        node = Node(B)
        node.members(A, C)
        for who in (None, A, C):
            node.report(who)
        node.table(A, table_of(1, A, {"r": [holder]}, A, B, C))
        (table,) = published(node.members(C))
        assert table.nodes_of("r") == (holder,)
        assert table.stamp == stamp(2, "b")
        assert table.places["r"][0].token == stamp(1, "a")


def test_a_coordinator_raises_its_epoch_above_any_that_it_hears_of() -> None:
    node = leading(B)
    node.now += 5
    (table,) = published(node.report(B, stamp=stamp(9, "z")))
    assert table.stamp == stamp(10, "a")


def test_two_coordinators_do_not_outbid_each_other_with_every_message() -> None:
    node = leading(B)
    node.now += 5
    assert published(node.report(B, stamp=stamp(9, "z")))
    assert not published(node.report(B, stamp=stamp(11, "z")))
    assert published(node.tell(Ticked(), after=1.0))[0].stamp == stamp(12, "a")


def test_the_older_coordinator_takes_over_what_the_other_one_knows() -> None:
    node = leading(B)
    node.report(B, "r")
    node.members(B, C, after=5)
    other = table_of(7, C, {"extra": ["c"]}, C)
    extra = RoleSpec("extra", digest="9")
    specs = {"r": Committed(RoleSpec("r", 2, digest="2"), 4), "extra": Committed(extra, 1)}
    node.table(C, Table(other.stamp, other.places, specs, other.members))
    mixed = {"r": RoleSpec("r", 2, digest="2"), "extra": extra}
    (table,) = published(node.report(C, roles=mixed))
    assert table.stamp.epoch == Epoch(8, "a")
    assert table.nodes_of("extra") == ("c",)
    assert table.specs["r"].version == 4
    assert len(table.nodes_of("r")) == 2


def test_the_younger_coordinator_sends_its_table_and_follows() -> None:
    node = Node(B)
    node.members()
    node.report()
    node.tell(SettledAlone())
    effects = node.members(A)
    assert kinds(effects) == [SendTable, SendReport]
    assert not node.state.is_leading


def test_a_node_cut_off_from_the_oldest_follows_it_if_others_reach_it() -> None:
    node = Node(B)
    node.members(A, C)
    node.table(A, table_of(1, A, {"r": ["c"]}, A, B, C))
    node.report()
    node.report(C, eldest=Seniority(1, "a"))
    assert published(node.members(C))[0].stamp.epoch == Epoch(2, "b")
    node.tell(Ticked(), after=2.5)
    assert not node.state.is_leading
    assert node.state.coordinator == Seniority(1, "a")
    relayed = table_of(3, A, {"r": ["c"]}, A, C)
    assert AdoptTable in kinds(node.table(C, relayed))


def test_a_member_that_lags_behind_gets_the_table_again() -> None:
    node = leading(B)
    assert kinds(node.tell(Ticked(), after=0.9)) == []
    assert kinds(node.tell(Ticked(), after=0.1)) == [SendTable]
    node.report(B, stamp=node.state.table.stamp)
    assert kinds(node.tell(Ticked(), after=1.0)) == []


def test_an_older_word_of_a_node_does_not_replace_a_newer_one() -> None:
    node = leading(B)
    node.tell(ReportReceived("b", Report(sequence=99, roles={})))
    node.tell(ReportReceived("b", Report(sequence=98, roles={"r": ROLE})))
    assert node.state.explain("r")["b"] == "not there because: role not configured there"


def test_a_draining_node_goes_when_nothing_is_left_on_it() -> None:
    node = Node(A)
    node.members()
    node.report()
    node.tell(SettledAlone())
    node.report(None, "r")
    assert kinds(node.tell(DrainRequested())) == [SendReport]
    effects = node.report(None, "r")
    assert published(effects)[0].nodes_of("r") == ()
    assert Release not in kinds(effects)
    assert Release in kinds(node.report(None))


def test_a_draining_node_stays_while_its_role_server_has_an_earlier_table() -> None:
    """It may just be about to start what that one gave it."""
    node = Node(A)
    node.members()
    node.report()
    node.tell(SettledAlone())
    former = node.state.adopted
    (table,) = published(node.tell(DrainRequested()) + node.report(None, stamp=former))
    assert Release not in kinds(node.report(None, stamp=former))
    assert Release in kinds(node.report(None, stamp=table.stamp))


def test_a_drain_can_be_taken_back() -> None:
    node = Node(A)
    node.members()
    node.report()
    node.tell(SettledAlone())
    node.tell(DrainRequested())
    node.tell(DrainRequested(is_wanted=False))
    assert Release not in kinds(node.report(None))
    assert node.state.table.nodes_of("r") == ("a",)


def test_a_role_that_has_ended_for_good_is_not_run_again_elsewhere() -> None:
    node = leading(B)
    node.report(B, finished=frozenset({"r"}))
    assert published(node.tell(Ticked(), after=120)) == []
    assert node.state.table.nodes_of("r") == ("b",)


def test_a_role_that_a_node_never_reports_as_running_goes_elsewhere() -> None:
    node = leading(B)
    for who in (None, B):
        node.report(who, stamp=node.state.table.stamp)
    notes: list[Effect] = []
    for _ in range(80):
        notes += node.tell(Ticked(), after=0.5)
    for who in (None, B):
        notes += node.report(who, stamp=node.state.table.stamp)
    assert node.state.table.nodes_of("r") == ("a",)
    names = {effect.event for effect in notes if isinstance(effect, Note)}
    assert names == {"role_avoided"}
    assert "failing there" in node.state.explain("r")["b"]


def test_who_has_another_configuration_is_named_once_with_one_who_has_what_holds() -> None:
    node = leading(B)
    other = {"r": RoleSpec("r", 5, digest="2")}
    notes = [each for each in node.report(B, roles=other) if isinstance(each, Note)]
    assert [(note.event, note.level) for note in notes] == [("config_differs", "warning")]
    assert notes[0].fields == {"role": "r", "node": "b", "holds": "a"}
    assert not [each for each in node.report(B, roles=other) if isinstance(each, Note)]
    assert node.state.table.specs["r"].spec == ROLE


def test_without_a_quorum_it_does_not_lead() -> None:
    authority = Authority(quorum=2, followed_within=3.0)
    node = leading(B, authority=authority)
    assert node.state.table.specs
    node.tell(Ticked(), after=3.0)
    assert not node.state.is_leading
    node.report(B)
    assert node.state.is_leading


OLD, NEW, NEWER = (
    RoleSpec("r", digest="old"),
    RoleSpec("r", digest="new"),
    RoleSpec("r", digest="newer", version=2),
)


@pytest.mark.parametrize(
    ("before", "offers", "expected"),
    [
        pytest.param(None, [OLD, NEW], (OLD, 1), id="first the eldest's"),
        pytest.param((OLD, 1), [NEW, OLD], (OLD, 1), id="what holds while somebody has it"),
        pytest.param((OLD, 1), [NEW, NEW], (NEW, 2), id="else the eldest's, as a new version"),
        pytest.param((OLD, 1), [OLD, NEWER], (NEWER, 2), id="a newer version at once"),
        pytest.param((NEWER, 2), [OLD, NEWER], (NEWER, 2), id="never an older version"),
        pytest.param((OLD, 1), [], None, id="nothing when nobody has the role"),
    ],
)
def test_which_configuration_holds(before, offers, expected) -> None:
    reports = [(f"n{index}", Report(1, {"r": spec})) for index, spec in enumerate(offers)]
    held = {"r": Committed(*before)} if before else {}
    assert commit(held, reports) == ({"r": Committed(*expected)} if expected else {})


def test_when_clusters_merge_the_higher_version_holds_and_mine_of_equal_ones() -> None:
    mine = {"r": Committed(OLD, 2), "s": Committed(OLD, 1)}
    theirs = {"r": Committed(NEW, 2), "s": Committed(NEW, 2), "t": Committed(NEW, 1)}
    merged = merge(mine, theirs)
    assert {role: each.spec for role, each in merged.items()} == {"r": OLD, "s": NEW, "t": NEW}


def test_a_difference_names_both_nodes() -> None:
    reports = [("a", Report(1, {"r": OLD})), ("b", Report(1, {"r": NEW})), ("c", Report(1))]
    assert differences({"r": Committed(OLD, 1)}, reports) == [Difference("r", "b", "new", "a")]


FIRST, SMOOTH = RoleSpec("r"), RoleSpec("r", handover=Handover.START_FIRST)


@pytest.mark.parametrize(
    ("spec", "target", "placed", "settled", "leavers", "stopping", "expected"),
    [
        pytest.param(SMOOTH, "b", "a", "a", "a", 0, ("b", "a"), id="start first: both for a while"),
        pytest.param(SMOOTH, "b", "ab", "ab", "a", 0, ("b", ""), id="start first: it runs, so go"),
        pytest.param(FIRST, "b", "a", "a", "a", 0, ("", ""), id="stop first: nobody for a while"),
        pytest.param(FIRST, "b", "", "", "", 1, ("", ""), id="stop first: it is not gone yet"),
        pytest.param(FIRST, "b", "", "", "", 0, ("b", ""), id="stop first: it is gone"),
        pytest.param(FIRST, "b", "ab", "a", "a", 0, ("b", "a"), id="surplus stays for a winner"),
        pytest.param(FIRST, "b", "ab", "ab", "a", 0, ("b", ""), id="surplus goes with a winner"),
    ],
)
def test_who_has_a_place_now(spec, target, placed, settled, leavers, stopping, expected) -> None:
    turn = take_turn(
        spec, tuple(target), frozenset(placed), frozenset(settled), tuple(leavers), stopping
    )
    assert turn == Turn(tuple(expected[0]), tuple(expected[1]))


def test_places_keep_slot_and_token_and_newcomers_take_the_lowest_free_slot() -> None:
    old, now = stamp(1, "a"), stamp(1, "a", 2)
    before = (Place("a", 0, old, "x"), Place("b", 1, old, "x"), Place("c", 2, old, "x"))
    places = assign_places(Turn(("b", "c", "d"), ("a",)), before, {"d": "new"}, now, 3)
    assert places == (before[0], before[1], before[2], Place("d", 0, now, "new"))


def test_of_two_places_with_one_slot_the_older_keeps_it() -> None:
    old, newer, now = stamp(1, "a"), stamp(1, "b"), stamp(2, "a")
    before = (Place("a", 0, newer, "x"), Place("b", 0, old, "x"))
    places = assign_places(Turn(("a", "b"), ()), before, {}, now, 2)
    assert places == (Place("a", 1, now, "x"), before[1])


def test_a_node_is_avoided_for_longer_each_time() -> None:
    avoidance = Avoidance(Backoff(initial=10, factor=2, maximum=30))
    pair = ("r", "a")
    assert avoidance.strike(pair, now=0.0) == 10
    assert avoidance.strike(pair, now=9.0) is None
    assert avoidance.strike(pair, now=10.0) == 20
    assert avoidance.left(now=20.0) == {pair: 10.0}
    assert avoidance.strike(pair, now=30.0, at_least=50) == 50
    avoidance.forgive(pair)
    assert avoidance.left(now=31.0) == {}
    assert avoidance.strike(pair, now=31.0) == 10


def test_what_a_role_is_avoided_for_survives_a_change_of_coordinators() -> None:
    avoidance = Avoidance(Backoff(initial=10, factor=2, maximum=30))
    avoidance.adopt({("r", "a"): 5.0, ("r", "b"): -1.0}, now=100.0)
    assert avoidance.left(now=101.0) == {("r", "a"): 4.0}
    avoidance.forget_all_but({"b"})
    assert avoidance.left(now=101.0) == {}


def emptied(effects: list[Effect]) -> list[bool]:
    return [effect.is_empty for effect in effects if isinstance(effect, Emptied)]


CORDON = OutlookChanged(is_cordoned=True)


def test_a_node_says_what_lies_ahead_when_that_changes() -> None:
    node = leading(B)
    doomed = frozenset({"web_1"})
    outlook = OutlookChanged(is_cordoned=True, is_at_risk=True, doomed=doomed)
    assert SendReport in kinds(node.tell(outlook))
    assert SendReport not in kinds(node.tell(outlook)), "once"
    report = node.state.complete(Report(1))
    assert (report.is_cordoned, report.is_at_risk, report.doomed) == (True, True, doomed)


def test_a_cordoned_coordinator_leads_on_and_hands_over_what_it_runs() -> None:
    node = leading(B)
    node.report(B, "r")
    (table,) = published(node.report(B, "r", is_cordoned=True))
    assert table.cordoned == {"b"}
    assert not table.places, "its process is told to stop first"
    (table,) = published(node.report(B, stamp=table.stamp, is_cordoned=True))
    assert table.nodes_of("r") == ("a",)
    node.report(None, "r")
    node.tell(CORDON)
    assert not published(node.report(None, "r"))[0].nodes_of("b")
    assert node.state.is_leading
    assert node.state.table.nodes_of("r") == ("a",), "no other can take it"


@pytest.mark.parametrize("machine", ["web_1", "web_2"])
def test_a_node_is_cordoned_if_anybody_knows_that_its_machine_is_about_to_go(machine: str) -> None:
    b = replace(B, machine="web_1")
    node = leading(b, C)
    effects = node.report(C, load=9.0, doomed=frozenset({machine, ""}))
    assert [table.cordoned for table in published(effects)] == (
        [{"b"}] if machine == b.machine else []
    )


def test_a_cordoned_node_is_empty_once_the_table_knows_and_its_processes_are_gone() -> None:
    node = Node(B)
    node.members(A)
    node.report(None)
    run = table_of(1, A, {"r": ["b"]}, A, B)
    node.table(A, run)
    assert not emptied(node.report(None, "r"))
    assert emptied(node.tell(CORDON)) == [False]
    assert not emptied(node.report(None, "r"))
    known = replace(run, stamp=stamp(1, "a", 2), places={}, cordoned=frozenset({"b"}))
    assert not emptied(node.table(A, known)), "it has a process yet"
    assert not emptied(node.report(None, "r"))
    assert emptied(node.report(None)) == [True]
    assert node.state.word.is_empty
    assert not emptied(node.table(A, replace(known, stamp=stamp(1, "a", 3)))), "still"
    again = replace(known, stamp=stamp(1, "a", 4), places=run.places)
    assert emptied(node.table(A, again)) == [False]
    node.table(A, replace(known, stamp=stamp(1, "a", 5)))
    assert emptied(node.report(None)) == [True]
    assert emptied(node.tell(OutlookChanged())) == [False]
    assert not emptied(node.report(None))


def test_a_move_is_taken_back_when_its_end_is_cordoned_as_well() -> None:
    """All that are able are cordoned now: nothing moves, nothing stops."""
    smooth = replace(ROLE, handover=Handover.START_FIRST)
    node = Node(A, smooth)
    node.members(B, C)
    node.report(None, load=5.0)
    node.report(B)
    node.report(C, roles={})
    node.tell(Ticked(), after=2.5)
    node.report(B, "r")
    node.tell(Ticked(), after=2.0)
    assert node.state.table.nodes_of("r") == ("b",)
    (table,) = published(node.report(B, "r", is_cordoned=True))
    assert table.nodes_of("r") == ("a", "b"), "it stays until its successor runs"
    node.tell(CORDON)
    node.report(None, held=frozenset({"r"}))
    assert node.state.table.nodes_of("r") == ("b",)


def test_an_idle_node_is_not_empty_before_the_coordinator_knows_of_the_cordon() -> None:
    node = leading(B)
    node.report(None)
    assert emptied(node.tell(CORDON)) == [False]
    assert emptied(node.report(None)) == [], "it has not found what the new table leaves it"
    assert emptied(node.report(None)) == [True]


def test_a_drained_node_is_released_though_it_is_cordoned() -> None:
    node = leading(B)
    node.report(B, "r")
    node.tell(CORDON)
    node.tell(DrainRequested())
    node.report(None)
    assert Release in kinds(node.report(None))


def test_what_another_member_says_of_itself_anew_counts_at_once() -> None:
    spec = RoleSpec("r", requires=frozenset({"ssd"}), digest="1")
    node = Node(A, spec)
    node.members(B)
    node.report(load=5.0)
    node.report(B)
    node.tell(Ticked(), after=2.5)
    assert node.state.table.nodes_of("r") == ()
    (table,) = published(node.members(replace(B, labels=frozenset({"ssd"}))))
    assert table.nodes_of("r") == ("b",)
    assert not published(node.members(replace(B, labels=frozenset({"ssd"})), after=0.1))


def test_when_a_cordon_is_taken_back_load_is_evened_out_after_a_while() -> None:
    specs = tuple(RoleSpec(f"role{index}", digest="1") for index in range(4))
    names = [spec.name for spec in specs]
    node = Node(A, *specs)
    node.members(B)
    node.report(None)
    node.report(B, is_cordoned=True)
    node.tell(Ticked(), after=2.5)
    node.report(None, *names)
    node.report(None, *names)
    node.tell(Ticked(), after=60.0)
    assert {place.node_id for (place,) in node.state.table.places.values()} == {"a"}
    node.report(B)
    assert not published(node.tell(Ticked(), after=29.0))
    (table,) = published(node.tell(Ticked(), after=2.0))
    assert len(table.places) == 3, "one is on its way"


@pytest.mark.parametrize(
    ("authority", "heard", "expected"),
    [
        (Authority(), [10.0], True),
        (Authority(quorum=2), [10.0], False),
        (Authority(quorum=2), [10.0, 0.0], True),
        (Authority(quorum=2, followed_within=3.0), [10.0, 7.1], True),
        (Authority(quorum=2, followed_within=3.0), [10.0, 7.0], False),
    ],
)
def test_authority(authority: Authority, heard: list[float], expected: bool) -> None:
    assert authority.holds(heard, now=10.0) is expected


def test_a_place_is_vacant_at_once_or_when_the_lease_and_the_margin_are_over() -> None:
    assert Authority().vacant_at(5.0) == 5.0
    assert Authority(lease=10.0, margin=0.5).vacant_at(5.0) == 15.5


def born_again() -> Node:
    """Return node a after its core server died: it is told the table that it followed."""
    node = Node(A)
    node.members()
    node.table(A, table_of(1, A, {"r": ["b"]}, A, B, C))
    node.report()
    node.tell(SettledAlone())
    return node


def test_who_has_a_table_but_not_its_members_yet_does_not_take_their_roles() -> None:
    node = born_again()
    assert not node.state.is_leading
    node.members(B)
    assert not published(node.report(B, "r")), "c has not been seen"
    node.members(B, C)
    (table,) = published(node.report(C))
    assert table.nodes_of("r") == ("b",)


def test_members_that_do_not_come_are_waited_for_no_longer_than_it_takes_to_settle() -> None:
    node = born_again()
    assert not published(node.tell(Ticked(), after=2.4))
    (table,) = published(node.tell(Ticked(), after=0.1))
    assert table.nodes_of("r") == ("a",)


def test_who_has_met_all_members_once_need_not_wait_when_they_go() -> None:
    node = born_again()
    node.members(B, C)
    node.report(B, "r")
    node.report(C)
    (table,) = published(node.members())
    assert table.nodes_of("r") == ("a",)


def test_a_newcomer_that_is_the_oldest_waits_until_it_has_met_all_members_of_the_table() -> None:
    node = Node(A)
    node.members(B)
    node.report()
    node.report(B)
    assert not published(node.table(B, table_of(1, B, {"r": ["c"]}, B, C)))
    node.members(B, C)
    (table,) = published(node.report(C, "r"))
    assert table.nodes_of("r") == ("c",)


def test_the_table_of_another_cluster_that_a_newcomer_brings_along_stops_nothing() -> None:
    """Its coordinator is not linked yet, and is not the one that decides for this node."""
    node = Node(B)
    node.members(A)
    node.report()
    assert AdoptTable in kinds(node.table(A, table_of(1, A, {"r": ["b"]}, A, B)))
    node.members(A, C)
    node.report(C, "r", eldest=Seniority(9, "d"))
    effects = node.table(C, table_of(2, member("d", 9), {"r": ["c"]}, C))
    assert AdoptTable not in kinds(effects)
