"""When the locator looks where."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beethoven.cluster import locator_events as ev
from beethoven.cluster.addresses import Address, network_of
from beethoven.cluster.locator_events import Answer, HostName, LocatorSettings
from beethoven.cluster.locator_state import MOST_REMEMBERED, LocatorState
from beethoven.cluster.pace import BURST, Pace

PORT = 33000
SOON = 1e-9


def at(last, port=PORT) -> Address:
    return Address(f"10.0.0.{last}", port)


OWN = at(1)
FRIEND = Answer("f1", "orchestra", "friend")
NAME = HostName("nodes.example", 4000)


class World:
    """A locator, and a network in which most addresses are silent; time is virtual."""

    def __init__(self, net=None, *, own=OWN, chance=lambda: 0.5, answers=None, **options):
        networks = (network_of(net),) if net else ()
        self.settings = LocatorSettings(networks, PORT, **options)
        self.now = 50.0
        self.state = LocatorState(
            own, "me", "orchestra", self.settings, now=self.now, chance=chance
        )
        self.answers = dict(answers or {})
        self.hosts: tuple[str, ...] = ()
        self.pending: list[tuple[float, ev.Event]] = []
        self.probes: list[tuple[float, Address]] = []
        self.effects: list[tuple[float, ev.Effect]] = []

    def tell(self, event):
        self._perform(self.state.handle(event, now=self.now))

    def start(self, *remembered):
        self.tell(ev.Started(remembered))

    def _perform(self, effects):
        for effect in effects:
            self.effects.append((self.now, effect))
            match effect:
                case ev.Probe(address, timeout):
                    self.probes.append((self.now, address))
                    self.pending.append(self._fate(address, timeout))
                case ev.Resolve(name):
                    self.pending.append((self.now + 0.1, ev.Resolved(name, self.hosts)))

    def _fate(self, address, timeout):
        match self.answers.get(address):
            case None:
                return self.now + timeout, ev.ProbeTimedOut(address)
            case "refused":
                return self.now + 0.0001, ev.ProbeRefused(address)
            case "nothing":
                return float("inf"), ev.ProbeRefused(address)
            case answer:
                return self.now + 0.001, ev.ProbeAnswered(address, answer)

    def advance(self, seconds):
        end = self.now + seconds
        while True:
            self.pending.sort(key=lambda item: item[0])
            deadline = self.state.next_deadline()
            moments = [deadline] if deadline is not None else []
            moments += [self.pending[0][0]] if self.pending else []
            if not moments or min(moments) > end:
                break
            self.now = max(self.now, min(moments) + (SOON if min(moments) == deadline else 0.0))
            if self.pending and self.pending[0][0] <= self.now:
                self.tell(self.pending.pop(0)[1])
            else:
                self.tell(ev.Ticked())
            assert self.state.statistics().in_flight <= self.settings.most_in_flight
        self.now = end

    def asked(self, address):
        return [moment - 50.0 for moment, each in self.probes if each == address]

    def of(self, kind):
        return [effect for _, effect in self.effects if isinstance(effect, kind)]

    def pauses(self, address):
        moments = self.asked(address)
        return [round(b - a, 3) for a, b in itertools.pairwise(moments)]


def test_a_silent_24_takes_a_second_and_a_half_at_most():
    """Upstream takes 190 s (D30)."""
    world = World("10.0.0.0/24")
    world.start()
    world.advance(1.5)
    assert len({address for _, address in world.probes}) == 253
    (report,) = world.of(ev.ReportScan)
    assert report.probed == 253
    assert report.seconds <= 1.0


def test_a_silent_16_takes_a_minute_at_most():
    world = World("10.0.0.0/16")
    world.start()
    world.advance(60.0)
    assert len(world.probes) == len(set(world.probes)) == 65_533
    assert world.of(ev.ReportScan)[0].seconds <= 60.0
    for second in range(50):
        asked = sum(50.0 + second <= moment < 51.0 + second for moment, _ in world.probes)
        assert asked <= world.settings.per_second + BURST
    world.advance(20.0)
    assert len(world.probes) == 65_533, "it rests as long as it worked"


def test_a_huge_network_begins_at_once():
    world = World("10.0.0.0/8", own=at(1))
    world.start()
    assert len(world.probes) == BURST
    assert world.probes[0][1] == at(2)


def test_nothing_is_asked_before_the_start():
    world = World("10.0.0.0/29", seeds=(at(9),))
    assert world.state.next_deadline() is None
    world.tell(ev.NetworksChanged(world.settings.networks, 1280.0))
    assert world.probes == []
    world.start()
    assert world.probes[0][1] == at(9), "those that are known come first"


def test_a_small_network_is_asked_in_one_go():
    world = World("10.0.0.0/29")
    world.start()
    assert [address for _, address in world.probes] == [at(each) for each in (2, 3, 4, 5, 6)]


def test_while_alone_the_search_is_repeated_with_growing_pauses():
    world = World("10.0.0.0/29")
    world.start()
    world.advance(400.0)
    assert world.pauses(at(2)) == [1.5, 2.5, 4.5, 8.5, 16.5, 32.5, 60.5, 60.5, 60.5, 60.5, 60.5]


def test_in_a_cluster_the_search_is_rare():
    world = World("10.0.0.0/29")
    world.start()
    world.tell(ev.ClusterChanged(frozenset({at(2)})))
    world.advance(1000.0)
    assert world.pauses(at(3)) == [450.5, 450.5]


def test_who_is_alone_again_is_quick_again():
    world = World("10.0.0.0/29")
    world.start()
    world.tell(ev.ClusterChanged(frozenset({at(2)})))
    world.advance(100.0)
    world.tell(ev.ClusterChanged(frozenset()))
    world.advance(4.0)
    assert world.asked(at(3)) == pytest.approx([0.0, 100.5, 102.0])
    assert world.asked(at(2))[1] == pytest.approx(100.5)


def test_who_was_alone_for_long_before_is_quick_again_too():
    world = World("10.0.0.0/29", seeds=(at(9),))
    world.start()
    world.advance(100.0)
    world.tell(ev.ClusterChanged(frozenset({at(2)})))
    asked = len(world.asked(at(3)))
    world.advance(250.0)
    assert len(world.asked(at(3))) == asked, "who has company does not search"
    world.tell(ev.ClusterChanged(frozenset()))
    world.advance(5.0)
    assert world.asked(at(3))[asked:] == pytest.approx([350.5, 352.0, 354.5])
    assert world.asked(at(9))[-3:] == pytest.approx([350.5, 352.0, 354.5])


def test_an_address_is_not_asked_twice_at_a_time():
    world = World("10.0.0.0/29", names=(NAME,), answers={})
    world.hosts = ("10.0.0.3",)
    world.start()
    world.tell(ev.Resolved(HostName(NAME.name, PORT), ("10.0.0.3",)))
    assert len(world.asked(at(3))) == 1


def test_many_that_are_due_wait_for_their_turn():
    world = World()
    world.start(*(Address(f"10.0.1.{each}", PORT) for each in range(200)))
    assert len(world.probes) == BURST
    assert (world.state.next_deadline() or 0.0) > world.now
    assert world.state.statistics().watched == MOST_REMEMBERED
    world.advance(0.1)
    assert len(world.probes) == MOST_REMEMBERED


def test_a_rest_saves_no_more_than_a_burst():
    pace = Pace(100.0, now=0.0)
    assert pace.allows(now=60.0) == BURST
    for _ in range(BURST):
        pace.spend()
    assert pace.allows(now=60.0) == 0
    assert pace.allows(now=pace.next_at()) == 32


@pytest.mark.parametrize(("chance", "pause"), [(0.0, 0.75), (1.0, 1.25)])
def test_the_pauses_are_scattered(chance, pause):
    world = World("10.0.0.0/29", chance=lambda: chance)
    world.start()
    world.advance(2.0)
    assert world.pauses(at(2)) == [0.5 + pause]


def test_a_node_that_answers_is_found():
    world = World("10.0.0.0/29", answers={at(3): FRIEND})
    world.start()
    world.advance(0.1)
    assert world.of(ev.Found) == [ev.Found(at(3), FRIEND)]
    assert world.state.statistics().in_flight == 4, "its question is settled"
    world.tell(ev.ClusterChanged(frozenset({at(3)})))
    world.tell(ev.ProbeAnswered(at(3), FRIEND))
    assert len(world.of(ev.Found)) == 1, "it is linked"


def test_clusters_that_formed_apart_find_each_other():
    """Two that start at the same time ask each other (D14); later the slow search finds them."""
    world = World("10.0.0.0/29")
    world.start()
    world.tell(ev.ClusterChanged(frozenset({at(2)})))
    world.advance(10.0)
    world.answers[at(5)] = FRIEND
    world.advance(600.0)
    assert world.of(ev.Found)


def test_nodes_with_a_link_are_not_asked():
    world = World("10.0.0.0/29", seeds=(at(2), at(4)))
    world.tell(ev.ClusterChanged(frozenset({at(2), at(3)})))
    world.start()
    world.advance(600.0)
    assert world.asked(at(2)) == world.asked(at(3)) == []
    assert len(world.asked(at(4))) > 50


def test_a_node_does_not_ask_itself():
    """Upstream finds its own beacon, and dies (D6)."""
    other = at(5)
    world = World("10.0.0.0/29", seeds=(OWN, other), answers={other: Answer("me", "orchestra", "")})
    world.start(OWN)
    world.advance(200.0)
    assert world.asked(OWN) == []
    assert len(world.asked(other)) == 1, "another address of its own"
    assert world.of(ev.Found) == []


def test_a_stranger_is_reported_once_and_never_found():
    """Another cluster, or (D7) another program, is no reason to stop."""
    stranger = Answer("s1", "quartet", "cello")
    world = World("10.0.0.0/29", answers={at(3): stranger, at(4): "refused"})
    world.start()
    world.advance(200.0)
    assert world.of(ev.ReportStranger) == [ev.ReportStranger(at(3), stranger)]
    assert world.of(ev.Found) == []
    assert len(world.asked(at(3))) == len(world.asked(at(2)))


def test_seeds_are_asked_soon_then_every_two_seconds_while_alone():
    world = World(seeds=(at(9),), answers={at(9): "refused"})
    world.start()
    world.advance(10.0)
    assert world.pauses(at(9)) == [1.0, 2.0, 2.0, 2.0, 2.0]


def test_in_a_cluster_a_seed_that_is_not_linked_is_asked_every_ten_seconds():
    world = World(seeds=(at(9),), answers={at(9): "refused"})
    world.tell(ev.ClusterChanged(frozenset({at(2)})))
    world.start()
    world.advance(60.0)
    assert set(world.pauses(at(9))) == {10.0}


def test_what_names_stand_for_is_asked_as_long_as_they_do():
    seed, remembered = at(20, 4000), at(21, 4000)
    world = World(names=(NAME,), seeds=(seed,))
    world.hosts = ("10.0.0.7", "fd00::7", seed.host, remembered.host)
    world.start(remembered)
    assert world.of(ev.Resolve) == [ev.Resolve(NAME)]
    world.advance(0.2)
    assert [address for _, address in world.probes[2:]] == [at(7, 4000), Address("fd00::7", 4000)]
    world.hosts = ("10.0.0.8",)
    world.advance(60.0)
    assert world.asked(at(8, 4000))
    assert max(world.asked(at(7, 4000))) < 33.0
    assert min(max(world.asked(seed)), max(world.asked(remembered))) > 50.0
    world.tell(ev.Resolved(HostName("more.example", 4000), ("10.0.0.8",)))
    world.tell(ev.Resolved(HostName("more.example", 4000), ("10.0.0.9",)))
    world.hosts = ()
    world.advance(60.0)
    assert max(world.asked(at(8, 4000))) > 100.0, "a failure to resolve is no news"
    assert len(world.of(ev.Resolve)) > 5


def test_a_name_whose_resolution_never_ends_is_tried_again():
    world = World(names=(NAME,))
    world._perform = lambda effects: world.effects.extend((world.now, each) for each in effects)  # type: ignore[method-assign]
    world.start()
    world.advance(100.0)
    assert world.of(ev.Resolve) == [ev.Resolve(NAME)] * 2


def test_nodes_that_were_linked_are_remembered_and_asked_when_they_are_gone():
    world = World()
    world.start(at(9))
    world.tell(ev.ClusterChanged(frozenset({at(3), at(2)})))
    assert world.of(ev.Remember) == [ev.Remember((at(2), at(3), at(9)))]
    world.tell(ev.ClusterChanged(frozenset({at(3), at(9)})))
    assert len(world.of(ev.Remember)) == 1, "nothing new"
    world.advance(60.0)
    assert world.asked(at(3)) == []
    assert len(world.asked(at(2))) > 4


def test_not_too_many_are_remembered():
    world = World()
    world.start()
    for each in range(200):
        world.tell(ev.ClusterChanged(frozenset({Address(f"10.0.1.{each}", PORT)})))
    assert len(world.of(ev.Remember)[-1].addresses) == MOST_REMEMBERED
    assert world.state.statistics().watched == MOST_REMEMBERED
    assert world.of(ev.Remember)[-1].addresses[0] == Address("10.0.1.199", PORT)


def test_a_probe_whose_end_is_not_told_is_given_up():
    world = World(seeds=(at(9),), answers={at(9): "nothing"})
    world.start()
    world.advance(1.1)
    assert world.state.statistics().in_flight == 0
    world.advance(10.0)
    assert len(world.asked(at(9))) > 1


def test_the_room_is_kept_when_nobody_answers():
    world = World("10.0.0.0/22", most_in_flight=40)
    world.start()
    world.advance(20.0)
    assert len({address for _, address in world.probes}) == 1021


def test_other_networks_are_searched_when_they_become_known():
    world = World()
    world.start()
    assert world.probes == []
    world.tell(ev.NetworksChanged((network_of("10.0.0.0/30"), network_of("fd00::/64")), 1280.0))
    assert [address for _, address in world.probes] == [at(2)]


def test_networks_that_are_known_already_are_not_searched_anew():
    world = World("10.0.0.0/29")
    world.start()
    asked = len(world.probes)
    settings = world.settings
    world.tell(ev.NetworksChanged(settings.networks, settings.per_second))
    assert len(world.probes) == asked


def test_what_azure_keeps_of_its_subnets_is_left_out():
    world = World()
    world.start()
    news = ev.NetworksChanged((network_of("10.0.0.0/29"),), 1280.0, skip_azure_reserved=True)
    world.tell(news)
    assert [address for _, address in world.probes] == [at(4), at(5), at(6)]


def test_other_networks_may_have_to_be_searched_slowly():
    world = World()
    world.start()
    world.tell(ev.NetworksChanged((network_of("10.0.0.0/16"),), 64.0))
    world.advance(2.0)
    assert len(world.probes) <= BURST + 2 * 64


def test_a_network_of_ipv6_is_not_searched():
    world = World("fd00::/64", own=Address("fd00::1", PORT))
    world.start()
    world.advance(100.0)
    assert world.probes == []
    assert world.of(ev.ReportScan) == []


def test_it_shows_what_it_does():
    world = World("10.0.0.0/30")
    world.start()
    assert repr(world.state) == (
        "<LocatorState of 10.0.0.1:33000 LocatorStatistics(scans=0, watched=0, in_flight=1)>"
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_whatever_happens_it_keeps_looking_within_its_limits(seed):
    dice = random.Random(seed)
    seeds = (at(9), at(40))
    world = World("10.0.0.0/26", seeds=seeds, names=(NAME,), chance=dice.random, most_in_flight=9)
    world.hosts = ("10.0.0.50",)
    world.start(at(33), at(44))
    linked: frozenset[Address] = frozenset()
    for _ in range(20):
        address = at(dice.randrange(1, 63))
        world.answers[address] = dice.choice([None, "refused", "nothing", FRIEND])
        if dice.random() < 0.5:
            linked = frozenset(at(dice.randrange(2, 63)) for _ in range(dice.randrange(3)))
            world.tell(ev.ClusterChanged(linked))
        before = len(world.probes)
        world.advance(dice.choice([0.0, 0.3, 2.0, 30.0]))
        assert not {each for _, each in world.probes[before:]} & (linked | {OWN})
        assert world.state.next_deadline() is not None
    before = len(world.probes)
    world.advance(700.0)
    everybody = {at(each) for each in range(2, 63)} | {*seeds, at(33), at(50, 4000)}
    assert {each for _, each in world.probes[before:]} >= everybody - linked
