"""What membership decides, event by event."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from beethoven.cluster import membership_events as ev
from beethoven.cluster.addresses import Address
from beethoven.cluster.member import Cause, Member, Status
from beethoven.cluster.membership import Membership
from beethoven.cluster.membership_events import CloseReason
from beethoven.cluster.timing import DEFAULT


def member(name, boot=1, *, address=None) -> Member:
    """Return a boot of a node; its id sorts by name."""
    host = address or f"10.0.0.{ord(name) - 96}"
    return Member(f"{name}{boot}", name, Address(host, 33000), boot)


OWN, B, C, D, E = (member(name) for name in "mbcde")


class World:
    """One membership; collects what it has done."""

    def __init__(self, **options):
        self.now = 100.0
        self.state = Membership(OWN, DEFAULT, now=100.0, chance=lambda: 0.5, **options)
        self.links = iter(range(1, 1000))
        self.numbers: dict[str, int] = {}
        self.tell(ev.Ticked())

    def tell(self, event):
        return self.state.handle(event, now=self.now)

    def link(self, peer, *, dials=False):
        number = next(self.links)
        self.numbers[peer.name] = number
        return self.tell(ev.LinkOpened(number, peer, peer.address if dials else None))

    def unlink(self, peer):
        return self.tell(ev.LinkClosed(self.numbers[peer.name]))

    def beat(self, peer, echo=None):
        return self.tell(ev.HeartbeatReceived(self.numbers[peer.name], self.now, echo))

    def tick(self, seconds, *heard):
        """Let time pass, with every tick in time; some nodes are heard with every heartbeat."""
        effects, end = [], self.now + seconds
        while (at := self.state.next_deadline()) is not None and at <= end:
            self.now = max(at, self.now)
            for peer in heard:
                effects += self.beat(peer)
            effects += self.tell(ev.Ticked())
        self.now = end
        return effects

    def status(self, peer):
        return {view.member.node_id: view.status for view in self.state.views()}.get(peer.node_id)


@pytest.fixture
def world():
    return World()


def news(effects):
    kinds = ev.NodeUp | ev.NodeDown | ev.NodeLeft | ev.NodeSuspected | ev.NodeRecovered
    return [effect for effect in effects if isinstance(effect, kinds)]


def of(kind, effects):
    return [effect for effect in effects if isinstance(effect, kind)]


def test_an_open_link_makes_a_member(world):
    assert world.link(B) == [
        ev.NodeUp(B),
        ev.SendHeartbeat(1, 100.0, None),
        ev.SendMembers(1, ()),
    ]
    assert world.link(C) == [
        ev.NodeUp(C),
        ev.SendHeartbeat(2, 100.0, None),
        ev.SendMembers(2, (B,)),
    ]
    assert world.state.members() == (B, C)
    assert world.state.link_to("b1") == 1
    assert world.state.link_to("x") is None


def test_an_address_that_is_found_is_dialled(world):
    assert world.tell(ev.AddressFound(B.address)) == [ev.Dial(B.address, DEFAULT.dial_timeout)]
    assert world.tell(ev.AddressFound(B.address)) == [], "it is under way"
    world.link(B, dials=True)
    assert world.state.statistics().dialled == 0
    assert world.tell(ev.AddressFound(B.address)) == [], "it is linked"


def test_those_whom_others_know_are_dialled(world):
    world.link(B)
    effects = world.tell(ev.MembersLearned((B, C, OWN, D)))
    assert effects == [ev.Dial(each.address, 1.0) for each in (C, D)]


def test_hearsay_makes_no_member_and_is_forgotten_in_the_end(world):
    world.tell(ev.MembersLearned((C,)))
    assert world.state.views() == ()
    assert world.state.statistics().dialled == 1
    world.tick(2000.0)
    assert world.state.statistics().dialled == 0


def test_hearsay_of_an_older_boot_is_ignored(world):
    world.link(member("b", 2))
    assert world.tell(ev.MembersLearned((B,))) == []
    assert world.tell(ev.MembersLearned((member("b", 3),))) == [ev.Dial(B.address, 1.0)]
    assert world.tell(ev.MembersLearned((member("m", 0), member("m", 9)))) == []


def test_a_closed_link_makes_a_suspect_that_is_dialled_at_once(world):
    world.link(B)
    assert world.unlink(B) == [
        ev.NodeSuspected(B, Cause.UNLINKED),
        ev.Dial(B.address, DEFAULT.dial_timeout),
    ]
    assert world.state.members() == (B,)


def test_a_suspect_whose_link_closes_is_not_waited_for(world):
    world.link(B)
    world.tick(2.0)
    for _ in range(3):
        world.tell(ev.DialTimedOut(B.address))
        world.tick(0.5)
    world.tell(ev.DialTimedOut(B.address))
    assert world.unlink(B) == [ev.Dial(B.address, 1.0)]


def test_a_closed_link_and_a_port_that_refuses_are_proof(world):
    world.link(B)
    world.unlink(B)
    assert news(world.tell(ev.DialRefused(B.address))) == [ev.NodeDown(B, Cause.REFUSED)]
    assert news(world.tell(ev.DialRefused(B.address))) == [], "once"


def test_a_port_that_refuses_while_a_link_is_open_is_no_proof(world):
    world.link(B)
    assert world.tell(ev.DialRefused(B.address)) == []
    assert world.status(B) is Status.ALIVE


def test_a_time_out_is_no_proof(world):
    world.link(B)
    world.unlink(B)
    assert world.tell(ev.DialTimedOut(B.address)) == []
    assert world.tell(ev.DialRejected(B.address)) == []
    assert world.status(B) is Status.SUSPECT


def test_a_beacon_without_a_core_server_is_a_sign_of_life(world):
    world.link(B)
    world.unlink(B)
    for _ in range(20):
        world.now += 1.0
        world.tell(ev.BeaconAnswered(B.address, "b1"))
        assert news(world.tick(0.5)) == []
    assert world.status(B) is Status.SUSPECT
    assert news(world.tick(DEFAULT.silence)) == [ev.NodeDown(B, Cause.SILENT)]


def test_a_link_that_opens_again_makes_a_suspect_well(world):
    world.link(B)
    world.unlink(B)
    assert news(world.link(B, dials=True)) == [ev.NodeRecovered(B)]


def test_silence_makes_suspect_then_down(world):
    world.link(B)
    assert news(world.tick(1.9)) == []
    effects = world.tick(0.1)
    assert news(effects) == [ev.NodeSuspected(B, Cause.QUIET)]
    assert of(ev.Dial, effects) == [ev.Dial(B.address, 1.0)]
    assert news(world.tick(1.9)) == []
    effects = world.tick(0.1)
    assert news(effects) == [ev.NodeDown(B, Cause.SILENT)]
    assert of(ev.CloseLink, effects) == [ev.CloseLink(1, CloseReason.GONE)]


def test_who_is_heard_stays(world):
    world.link(B)
    assert news(world.tick(60.0, B)) == []


def test_a_heartbeat_makes_a_suspect_well(world):
    world.link(B)
    world.tick(2.0)
    assert news(world.beat(B)) == [ev.NodeRecovered(B)]
    assert world.state.statistics().dialled == 0


def test_others_are_asked_about_a_suspect(world):
    for each in (B, C, D, E, member("f")):
        world.link(each)
    others = (C, D, E, member("f"))
    asked = of(ev.AskAbout, world.tick(3.0, *others))
    assert len(asked) == 6, "three at each of two heartbeats"
    assert {effect.node_id for effect in asked} == {"b1"}
    assert world.numbers["b"] not in {effect.link for effect in asked}


def test_a_witness_keeps_a_suspect_from_down(world):
    world.link(B)
    world.link(C)
    for _ in range(20):
        world.tick(1.0, C)
        world.tell(ev.Vouched("b1", 0.1))
    assert world.status(B) is Status.SUSPECT
    assert ev.NodeDown(B, Cause.SILENT) in world.tick(DEFAULT.silence, C)
    assert world.tell(ev.Vouched("b1", 0.1)) == []
    assert world.tell(ev.Vouched("unknown", 0.1)) == []


def test_a_witness_says_only_what_it_heard_itself_of_late(world):
    world.link(B)
    world.link(C)
    world.now += 0.5
    assert world.tell(ev.AskedAbout(2, "b1")) == [ev.Vouch(2, "b1", 0.5)]
    assert world.tell(ev.AskedAbout(2, "unknown")) == []
    world.tell(ev.Vouched("b1", 0.0))
    world.now += 1.5
    assert of(ev.Vouch, world.tell(ev.AskedAbout(2, "b1"))) == [], "hearsay is no testimony"
    world.unlink(B)
    assert of(ev.Vouch, world.tell(ev.AskedAbout(2, "b1"))) == []


MACHINE = replace(B, machine="web_1")


@pytest.mark.parametrize("is_known_before", [True, False])
def test_a_node_that_is_due_whose_link_closes_is_down_in_a_moment(world, is_known_before):
    world.link(MACHINE)
    world.link(C)
    effects = []
    if is_known_before:
        effects += world.tell(ev.Due(frozenset({"web_1", ""})))
        assert news(effects) == [], "it is well"
        effects += world.unlink(B)
    else:
        effects += world.unlink(B)
        effects += world.tell(ev.Due(frozenset({"web_1", ""})))
    assert news(effects) == [ev.NodeSuspected(MACHINE, Cause.UNLINKED)]
    moment = world.now + DEFAULT.last_chance
    assert world.state.next_deadline() <= moment
    world.now = moment - 0.001
    assert news(world.tell(ev.Ticked())) == []
    world.now = moment
    assert news(world.tell(ev.Ticked())) == [ev.NodeDown(MACHINE, Cause.DUE)]
    assert news(world.unlink(C)) == [ev.NodeSuspected(C, Cause.UNLINKED)], "no machine is known"
    assert news(world.tell(ev.Vouched("b1", 0.1))) == []
    assert news(world.link(MACHINE)) == [ev.NodeUp(MACHINE)]


def test_a_node_that_is_due_and_linked_again_in_time_is_not_down(world):
    world.link(MACHINE)
    world.tell(ev.Due(frozenset({"web_1"})))
    world.unlink(B)
    world.now += DEFAULT.last_chance / 2
    assert news(world.link(MACHINE)) == [ev.NodeRecovered(MACHINE)]
    world.now += DEFAULT.last_chance
    assert news(world.tell(ev.Ticked())) == []


def test_a_node_that_is_due_and_quiet_is_down_at_once(world):
    world.link(MACHINE)
    world.tell(ev.Due(frozenset({"web_1"})))
    assert news(world.tick(DEFAULT.suspicion)) == [
        ev.NodeSuspected(MACHINE, Cause.QUIET),
        ev.NodeDown(MACHINE, Cause.DUE),
    ]


def test_a_machine_that_is_to_stay_after_all_is_due_no_more(world):
    world.link(MACHINE)
    world.tell(ev.Due(frozenset({"web_1"})))
    world.tell(ev.Due(frozenset()))
    assert news(world.unlink(B)) == [ev.NodeSuspected(MACHINE, Cause.UNLINKED)]


MOVED = replace(
    B, address=Address("10.0.9.9", 33000), zone="2", labels=frozenset({"ssd"}), machine="web_9"
)


def test_a_member_that_says_something_else_of_itself_is_not_up_twice(world):
    world.link(B)
    effects = world.link(MOVED)
    assert [each for each in effects if isinstance(each, ev.MemberChanged | ev.NodeUp)] == [
        ev.MemberChanged(MOVED)
    ]
    assert world.state.members() == (MOVED,)
    assert not of(ev.MemberChanged, world.link(MOVED))


def test_a_suspect_that_comes_back_from_elsewhere_is_dialled_there_only(world):
    world.link(B)
    world.unlink(B)
    effects = world.link(MOVED)
    assert [each for each in effects if isinstance(each, ev.MemberChanged | ev.NodeRecovered)] == [
        ev.MemberChanged(MOVED),
        ev.NodeRecovered(MOVED),
    ]
    assert world.state.statistics().dialled == 0
    assert news(world.tell(ev.DialRefused(B.address))) == [], "it was still under way"
    world.unlink(MOVED)
    world.tell(ev.DialRefused(MOVED.address))
    assert {each.address for each in of(ev.Dial, world.tick(600.0))} == {MOVED.address}


def test_a_node_that_is_down_comes_back_from_elsewhere(world):
    world.link(B)
    world.unlink(B)
    world.tell(ev.DialRefused(B.address))
    assert news(world.link(MOVED)) == [ev.NodeUp(MOVED)]
    assert world.state.statistics().dialled == 0


def test_a_lost_node_is_looked_for_where_others_say_that_it_is(world):
    world.link(B)
    assert world.tell(ev.MembersLearned((MOVED,))) == [], "it is linked"
    world.unlink(B)
    assert of(ev.Dial, world.tell(ev.MembersLearned((MOVED,)))) == [ev.Dial(MOVED.address, 1.0)]
    world.tell(ev.LinkOpened(9, MOVED, MOVED.address))
    assert world.state.members() == (MOVED,)
    assert world.state.statistics().dialled == 0


def test_who_has_left_is_not_looked_for_elsewhere(world):
    world.link(B)
    world.tell(ev.LeaveAnnounced(1))
    assert world.tell(ev.MembersLearned((MOVED,))) == []


def test_an_address_that_a_node_has_moved_to_belonged_to_one_that_is_gone(world):
    world.link(C)
    world.unlink(C)
    world.tell(ev.DialRefused(C.address))
    world.link(B)
    world.link(replace(B, address=C.address))
    assert [view.member.node_id for view in world.state.views()] == ["b1"]


def test_a_late_tick_is_doubted(world):
    world.link(B)
    world.now += 30.0
    effects = world.tell(ev.Ticked())
    assert news(effects) == []
    assert of(ev.ReportLateness, effects) == [ev.ReportLateness(29.0)]
    assert news(world.tick(0.9)) == []
    assert news(world.tick(3.1)) == [
        ev.NodeSuspected(B, Cause.QUIET),
        ev.NodeDown(B, Cause.SILENT),
    ]


def test_a_tick_that_is_late_by_less_than_a_heartbeat_is_believed(world):
    world.link(B)
    world.tick(1.0)
    world.now += 1.9
    effects = world.tell(ev.Ticked())
    assert of(ev.ReportLateness, effects) == []
    assert news(effects) == [ev.NodeSuspected(B, Cause.QUIET)]


def test_a_watcher_that_is_always_late_still_watches(world):
    world.link(B)
    effects = []
    for _ in range(20):
        world.now += 2.5
        effects += world.tell(ev.Ticked())
    assert ev.NodeDown(B, Cause.SILENT) in effects


def test_after_a_late_tick_heartbeats_do_not_come_in_a_burst(world):
    world.link(B)
    world.now += 30.0
    world.tell(ev.Ticked())
    assert len(of(ev.SendHeartbeat, world.tick(3.0, B))) == 3


def test_the_down_are_dialled_for_ever_and_come_back(world):
    world.link(B)
    world.unlink(B)
    world.tell(ev.DialRefused(B.address))
    dials = []
    for _ in range(5000):
        world.now = world.state.next_deadline()
        effects = world.tell(ev.Ticked())
        dials += [world.now] * len(of(ev.Dial, effects))
        if of(ev.Dial, effects):
            world.tell(ev.DialTimedOut(B.address))
    assert max(dials) > world.now - 11.0
    early = [moment for moment in dials if moment < 700.0]
    assert max(b - a for a, b in itertools.pairwise(early)) <= DEFAULT.redial_most * 1.25
    assert news(world.link(B, dials=True)) == [ev.NodeUp(B)]


def test_a_heartbeat_carries_the_proof_of_a_round_trip(world):
    world.link(B)
    world.now = 100.5
    world.tell(ev.HeartbeatReceived(1, 7.25, 100.0))
    (view,) = world.state.views()
    assert (view.heard_at, view.acknowledged_at) == (100.5, 100.0)
    assert ev.SendHeartbeat(1, 101.0, 7.25) in world.tick(0.5)
    world.tell(ev.HeartbeatReceived(1, 8.25, 99.0))
    world.tell(ev.HeartbeatReceived(1, 8.25, 5000.0))
    assert world.state.views()[0].acknowledged_at == 100.0, "neither older nor from the future"


def test_a_newer_boot_takes_the_place_of_the_older(world):
    world.link(B)
    newer = member("b", 2)
    effects = world.link(newer)
    assert effects[:3] == [
        ev.NodeDown(B, Cause.REPLACED),
        ev.CloseLink(1, CloseReason.OUTDATED),
        ev.NodeUp(newer),
    ]
    assert [view.member for view in world.state.views()] == [newer]


@pytest.mark.parametrize(
    "newer",
    [
        pytest.param(member("b", 2, address="10.0.0.99"), id="the same name elsewhere"),
        pytest.param(replace(member("x", 2), address=B.address), id="the same address"),
    ],
)
def test_either_name_or_address_makes_it_the_same_node(world, newer):
    world.link(B)
    assert news(world.link(newer)) == [ev.NodeDown(B, Cause.REPLACED), ev.NodeUp(newer)]
    assert world.state.statistics().dialled == 0


def test_a_newer_boot_of_a_node_that_is_down_is_simply_up(world):
    world.link(B)
    world.unlink(B)
    world.tell(ev.DialRefused(B.address))
    assert news(world.link(member("b", 2))) == [ev.NodeUp(member("b", 2))]


def test_an_older_boot_is_refused_while_the_newer_is_well(world):
    world.link(member("b", 2))
    assert world.link(B) == [ev.CloseLink(2, CloseReason.OUTDATED)]
    world.tell(ev.LinkClosed(1))
    assert ev.CloseLink(3, CloseReason.OUTDATED) in world.link(B), "it may be a late handshake"


def test_a_suspect_is_dialled_on_when_an_older_boot_answered_in_its_place(world):
    newer = member("b", 2)
    world.link(newer)
    world.tick(2.0)
    assert ev.CloseLink(2, CloseReason.OUTDATED) in world.link(B, dials=True)
    assert of(ev.Dial, world.tick(0.5)) == [ev.Dial(B.address, 1.0)]


def test_an_older_boot_that_answers_where_the_newer_should_is_believed(world):
    """The clock of a machine may have been put back."""
    newer = member("b", 2)
    world.link(newer)
    world.unlink(newer)
    assert news(world.link(B, dials=True)) == [ev.NodeDown(newer, Cause.REPLACED), ev.NodeUp(B)]


def test_an_older_boot_takes_the_place_of_a_newer_that_is_gone(world):
    newer = member("b", 2)
    world.link(newer)
    world.unlink(newer)
    world.tell(ev.DialRefused(B.address))
    assert news(world.link(B)) == [ev.NodeUp(B)]


def test_a_node_does_not_take_itself_for_another(world):
    """Upstream dies of it (D6)."""
    assert world.tell(ev.AddressFound(OWN.address)) == []
    alias = Address("10.9.9.9", 33000)
    world.tell(ev.AddressFound(alias))
    assert world.tell(ev.LinkOpened(1, OWN, alias)) == [ev.CloseLink(1, CloseReason.SELF)]
    assert world.tell(ev.AddressFound(alias)) == []
    assert world.tell(ev.LinkOpened(2, OWN, None)) == [ev.CloseLink(2, CloseReason.SELF)]
    other = Address("10.9.9.8", 33000)
    world.tell(ev.AddressFound(other))
    world.tell(ev.BeaconAnswered(other, OWN.node_id))
    assert world.state.statistics().dialled == 0
    assert world.tell(ev.AddressFound(other)) == []


def test_another_node_of_our_own_name_is_refused_and_reported(world):
    twin = member("m", 7, address="10.0.0.77")
    assert world.link(twin) == [ev.CloseLink(1, CloseReason.TAKEN), ev.ReportConflict(twin)]
    assert world.state.views() == ()


def test_a_node_that_leaves_is_gone_at_once_and_for_good(world):
    world.link(B)
    effects = world.tell(ev.LeaveAnnounced(1))
    assert effects == [ev.NodeLeft(B), ev.CloseLink(1, CloseReason.GONE)]
    assert world.tell(ev.MembersLearned((B,))) == []
    assert world.link(B) == [ev.CloseLink(2, CloseReason.GONE)]
    assert news(world.tick(60.0)) == []
    assert world.state.statistics() == type(world.state.statistics())(0, 0, 0, 1, 0)
    assert news(world.link(member("b", 2))) == [ev.NodeUp(member("b", 2))]


def test_to_leave_is_to_tell_everybody(world):
    world.link(B)
    world.link(C)
    assert world.tell(ev.LeaveRequested()) == [
        ev.AnnounceLeave(1),
        ev.CloseLink(1, CloseReason.LEAVING),
        ev.AnnounceLeave(2),
        ev.CloseLink(2, CloseReason.LEAVING),
    ]
    assert world.state.next_deadline() is None
    assert world.tell(ev.AddressFound(D.address)) == []
    assert world.link(D) == [ev.CloseLink(3, CloseReason.LEAVING)]


def test_of_two_simultaneous_links_the_dialler_closes_the_one_that_is_not_kept(world):
    """`b` has the smaller id, so its dial is kept; `z` has the greater, so ours is."""
    world.link(B)
    assert of(ev.CloseLink, world.link(B, dials=True)) == [ev.CloseLink(2, CloseReason.SURPLUS)]
    z = member("z")
    world.link(z, dials=True)
    assert world.link(z) == [], "its dialler will close it"
    assert world.state.link_to("z1") == 3
    assert world.tell(ev.LinkClosed(4)) == []
    assert world.status(z) is Status.ALIVE


def test_a_surplus_link_that_its_dialler_does_not_close_is_closed_in_the_end(world):
    z = member("z")
    world.link(z, dials=True)
    world.link(z)
    effects = []
    for _ in range(4):
        world.now += 1.0
        world.tell(ev.HeartbeatReceived(1, 1.0, None))
        effects += world.tell(ev.Ticked())
    assert of(ev.CloseLink, effects) == [ev.CloseLink(2, CloseReason.SURPLUS)]
    assert news(effects) == []


def test_a_link_opened_much_later_replaces_one_that_the_other_end_has_lost(world):
    world.link(B)
    world.now += 3.0
    assert of(ev.CloseLink, world.link(B)) == [ev.CloseLink(1, CloseReason.SURPLUS)]
    assert world.state.link_to("b1") == 2


def test_what_comes_over_a_closed_link_is_ignored(world):
    world.link(B)
    world.unlink(B)
    for event in (
        ev.HeartbeatReceived(1, 1.0, None),
        ev.LinkClosed(1),
        ev.LeaveAnnounced(1),
        ev.AskedAbout(1, "b1"),
    ):
        assert world.tell(event) == []
    assert world.status(B) is Status.SUSPECT


def test_members_are_told_now_and_then(world):
    world.link(B)
    world.link(C)
    told = of(ev.SendMembers, world.tick(60.0, B, C))
    assert len(told) == 11 or len(told) == 12
    assert told[0] == ev.SendMembers(2, (B,))


def test_a_member_may_change_its_address(world):
    world.link(B)
    moved = replace(B, address=Address("10.0.0.50", 33000))
    assert news(world.link(moved)) == []
    assert world.state.members() == (moved,)


def test_those_that_are_gone_are_forgotten_when_there_are_too_many():
    world = World(most_gone=2)
    for each in (B, C, D):
        world.link(each)
        world.unlink(each)
        world.tell(ev.DialRefused(each.address))
        world.now += 0.01
    assert [view.member for view in world.state.views()] == [C, D]
    assert world.state.statistics().dialled == 2


def test_it_shows_what_it_knows(world):
    world.link(B)
    assert repr(world.state) == "<Membership of 'm' {'b': 'alive'}>"


BOOTS = [member(name, boot) for name in "bcz" for boot in (1, 2)]
BOOTS += [member("b", 3, address=C.address.host), member("m", 5)]
BOOTS += [replace(each, machine=f"web_{each.name}") for each in BOOTS]
# The same boots, after they have moved.
BOOTS += [member("b", 1, address="10.0.9.1"), member("c", 1, address=B.address.host)]


class AnyOrder(RuleBasedStateMachine):
    """Events that make sense and events that do not, in any order."""

    def __init__(self):
        super().__init__()
        self.begin()

    def begin(self):
        self.world = World()
        self.open: dict[int, Member] = {}
        self.up: dict[str, str] = {}
        self.ended: set[str] = set()

    def take(self, effects):
        for effect in effects:
            match effect:
                case ev.NodeUp(peer):
                    assert peer.node_id not in self.up, "two ups in a row"
                    assert peer.node_id not in self.ended, "up after it had left"
                    self.up[peer.node_id] = "alive"
                case ev.MemberChanged(peer):
                    assert peer.node_id in self.up
                case ev.NodeSuspected(peer):
                    assert self.up[peer.node_id] == "alive"
                    self.up[peer.node_id] = "suspect"
                case ev.NodeRecovered(peer):
                    assert self.up[peer.node_id] == "suspect"
                    self.up[peer.node_id] = "alive"
                case ev.NodeDown(peer):
                    assert self.up.pop(peer.node_id, None), "two downs in a row"
                case ev.NodeLeft(peer):
                    assert self.up.pop(peer.node_id, None), "left without being there"
                case ev.CloseLink(link):
                    del self.open[link]
                case ev.SendHeartbeat(link) | ev.SendMembers(link) | ev.AskAbout(link):
                    assert link in self.open, "spoke over a closed link"
                case ev.Vouch(link) | ev.AnnounceLeave(link):
                    assert link in self.open, "spoke over a closed link"
                case ev.Dial(address):
                    assert address != OWN.address

    @rule(peer=st.sampled_from(BOOTS), dials=st.booleans())
    def link(self, peer, dials):
        number = next(self.world.links)
        self.open[number] = peer
        dialled = peer.address if dials else None
        self.take(self.world.tell(ev.LinkOpened(number, peer, dialled)))

    @rule(index=st.integers(0, 9), kind=st.integers(0, 3), peer=st.sampled_from(BOOTS))
    def hear(self, index, kind, peer):
        if not self.open:
            return
        link = sorted(self.open)[index % len(self.open)]
        now = self.world.now
        events = (
            ev.LinkClosed(link),
            ev.HeartbeatReceived(link, now, now),
            ev.AskedAbout(link, peer.node_id),
            ev.LeaveAnnounced(link),
        )
        if kind == 0:
            del self.open[link]
        self.take(self.world.tell(events[kind]))

    @rule(peer=st.sampled_from(BOOTS), kind=st.integers(0, 6))
    def rumour(self, peer, kind):
        events = (
            ev.DialRefused(peer.address),
            ev.DialTimedOut(peer.address),
            ev.DialRejected(peer.address),
            ev.BeaconAnswered(peer.address, peer.node_id),
            ev.AddressFound(peer.address),
            ev.MembersLearned((peer,)),
            ev.Vouched(peer.node_id, 0.5),
        )
        self.take(self.world.tell(events[kind]))

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.5, 1.0, 2.5, 30.0]), in_time=st.booleans())
    def wait(self, seconds, in_time):
        if in_time:
            self.take(self.world.tick(seconds))
        else:
            self.world.now += seconds
            self.take(self.world.tell(ev.Ticked()))

    @rule(names=st.frozensets(st.sampled_from("bcz")))
    def become_due(self, names):
        machines = frozenset({"", *(f"web_{name}" for name in names)})
        self.take(self.world.tell(ev.Due(machines)))

    @rule()
    def leave(self):
        self.take(self.world.tell(ev.LeaveRequested()))
        self.begin()

    @invariant()
    def what_is_shown_is_what_was_told(self):
        views = self.world.state.views()
        up = {v.member.node_id: str(v.status) for v in views if v.status in {"alive", "suspect"}}
        assert up == self.up
        for key in ("name", "address"):
            assert len({getattr(view.member, key) for view in views}) == len(views)

    @invariant()
    def nobody_who_is_due_is_suspect_for_long(self):
        for peer in self.world.state._due_peers():
            moment = peer.health.due_at(DEFAULT)
            assert moment is None or moment > self.world.now

    @invariant()
    def links_belong_to_those_that_are_up(self):
        for peer in self.world.state._roll.peers():
            numbers = {link.number for link in peer.links}
            assert numbers <= set(self.open)
            assert bool(numbers) >= (peer.health.status is Status.ALIVE)
            assert not numbers or peer.health.is_up
        held = sum(len(peer.links) for peer in self.world.state._roll.peers())
        assert held == len(self.open), "a link is lost"

    @invariant()
    def somebody_dials_whoever_is_not_reached(self):
        dialler = self.world.state._roll.dialler
        for view in self.world.state.views():
            if view.status in {"suspect", "down"}:
                assert view.member.address in dialler

    @invariant()
    def there_is_always_a_next_tick(self):
        assert self.world.state.next_deadline() is not None


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)


def test_a_member_that_invents_nodes_has_only_so_many_dialled_at_a_time(world):
    for net in (0, 1):
        invented = [
            member(f"x{net}-{number}", 9, address=f"10.9.{net}.{number}")
            for number in range(1, 250)
        ]
        world.tell(ev.MembersLearned(tuple(invented)))
    assert world.state.statistics().dialled == 256
