"""
Scale sets whose machines are evicted, frozen and threatened, judged by what their roles write.

`LIVE_ALLOWANCE` says how many seconds a machine with too much to do may take beyond each bound.
"""

import contextlib
import os
import signal
import threading

import pytest

from beethoven import clock
from beethoven.testing import EventKind
from tests.cluster.cloud.scale_set import ScaleSet, Work
from tests.cluster.cloud.spans import Absence, Span
from tests.cluster.live.checker import overlaps
from tests.cluster.live.cluster import undisturbed, wait_until

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

ALLOWANCE = float(os.environ.get("LIVE_ALLOWANCE", "1.5"))
# From a notice to the roles of its machine on others.
GOAL = 5.0
# Two that must never run at once do not.
NEVER = 0.0
# A machine that stood still without a notice is linked again so soon, and stops what is surplus.
HEAL = 3.0
PACE = 2.4
SLOW = 2.0
# From the notice of a freeze to the freeze, and how long that lasts.
FREEZE, FROZEN = 4.0, 6.0
# So much later than announced may it begin and end.
LATE = 1.5
ONCE = {"solo": Work(), "slow": Work(slow=SLOW)}


@pytest.fixture(scope="module")
def figures(request):
    """Collects the longest of each kind, told at the end of the run of this file."""
    collected: dict[str, float] = {}
    yield collected
    plugins = request.config.pluginmanager
    reporter = plugins.get_plugin("terminalreporter")
    with plugins.get_plugin("capturemanager").global_and_fixture_disabled():
        reporter.ensure_newline()
        for what, seconds in sorted(collected.items()):
            reporter.write_line(f"evictions: {what}: {seconds:.2f} s")


@pytest.fixture
def note(figures):
    """Notes a figure, and checks its bound."""

    def note(what, seconds, bound, allowance=ALLOWANCE, why=""):
        what = f"{what} (<= {bound:g} s)"
        figures[what] = max(seconds, figures.get(what, 0.0))
        assert seconds <= bound + allowance, f"{what}: {seconds:.3f} s; {why}"

    return note


def judge(machines, note, what, since, *, surplus=NEVER):
    """
    Check that every role ran soon enough where it could, and never too often.

    Args:
        machines: The scale set.
        note: Takes the figures.
        what: What has happened to it.
        since: When that began.
        surplus: For how long more of a role than wanted may have run.
    """
    within = Span(since, clock.elapsed())
    why = machines.explain(f"{machines.absences}\n{machines.lives()}")
    for role, work in machines.work.items():
        kind = "a role that is slow to stop" if work.slow else "others"
        note(f"{what}: {kind}: again after", longest(machines.lacks(role, within)), GOAL, why=why)
        found = longest(machines.surpluses(role, within))
        note(f"{what}: surplus for", found, surplus, ALLOWANCE if surplus else 0.0, why)
    assert not overlaps(machines.ledger())


def longest(spans):
    return max((each.seconds for each in spans), default=0.0)


def missed(machines):
    """Return the nodes, those first that would be missed most."""
    wanted = [role for role, work in machines.work.items() if work.instances < len(machines.zones)]
    hosts = [each for role in wanted for each in sorted(machines.hosts(role))]
    return list(dict.fromkeys([machines.coordinator(), *hosts, *range(len(machines.zones))]))


def half(machines):
    """Return the half of the nodes that would be missed most; one of each zone stays."""
    found: list[int] = []
    for each in missed(machines):
        left = set(range(len(machines.zones))) - {*found, each}
        if {machines.zones[other] for other in left} == {"1", "2"}:
            found.append(each)
    return found[: len(machines.zones) // 2]


def back(machines):
    """Return once all machines are back, and their nodes are one cluster with the right roles."""
    count = len(machines.players)
    wait_until(lambda: len(machines.running) == count, 40.0, "the machines are back")
    machines.wait_sited()
    machines.wait_formed(count, 60.0)
    machines.wait_counts(60.0)
    machines.expect_all()


@pytest.fixture
def three(tmp_path):
    """Starts three nodes; the roles are those that run once, and others."""
    with contextlib.ExitStack() as stack:

        def begin(zones, **work):
            machines = ScaleSet(tmp_path, "127.0.21", {**ONCE, **work}, zones)
            return stack.enter_context(machines).begin()

        yield begin


@pytest.mark.parametrize(
    ("notices", "pace"),
    [
        pytest.param((30.0, 8.0), PACE, id="30 s, then 8 s"),
        pytest.param((0.0, 30.0), PACE, id="none, then 30 s"),
        pytest.param((8.0, 8.0), 0.0, id="8 s, both at once"),
    ],
)
def test_three_nodes_of_which_all_but_one_are_evicted(three, note, notices, pace):
    machines = three("122", zoned=Work(2, zone="2"), trio=Work(3))
    began = clock.elapsed()
    *victims, left = missed(machines)
    for victim, notice in zip(victims, notices, strict=True):
        machines.evict(victim, notice)
        threading.Event().wait(pace)
    for victim, notice in zip(victims, notices, strict=True):
        machines.wait_elsewhere(victim, *ONCE, timeout=GOAL + SLOW + ALLOWANCE)
        # A test need not wait 30 s for another one that does.
        if notice < 30.0:
            machines.wait(victim)
        if 0.0 < notice < 30.0:
            machines.wait_left(victim)
    assert machines.host("solo") == machines.host("slow") == left
    if 30.0 not in notices:
        machines.wait_exact()
    judge(machines, note, f"3, {notices[0]:g} and {notices[1]:g} s", began)
    assert machines.fabric.approvals == ()


def test_a_machine_that_vanishes_without_a_word_is_not_waited_for_as_others_are(three, note):
    machines = three("122", zoned=Work(1, zone="2"), trio=Work(3))
    victim, began = machines.host("solo"), clock.elapsed()
    machines.freeze(victim)
    machines.still.append(Absence(machines.name(victim), began))
    machines.evict(victim, 0.0, evicted_after=GOAL + ALLOWANCE, listed_for=60.0)
    machines.wait_elsewhere(victim, "solo", timeout=GOAL + ALLOWANCE)
    assert machines.players[victim].is_running, "it has said nothing, not even that it is gone"
    assert machines.wait(victim, 10.0) == -signal.SIGKILL
    machines.wait_exact()
    judge(machines, note, "3, vanished", began)
    assert machines.fabric.approvals == ()


def test_a_node_that_has_no_time_stops_all_that_it_runs_and_leaves(three, note):
    machines = three("122", zoned=Work(1, zone="2"), trio=Work(3))
    victim, began = machines.host("slow"), clock.elapsed()
    machines.evict(victim, 0.0, evicted_after=4.0)
    machines.wait_left(victim)
    machines.wait_exact()
    judge(machines, note, "3, no notice, killed after 4 s", began)


def test_what_only_machines_can_take_that_stand_still_later_is_handed_to_those_in_the_end(
    three, note
):
    machines = three("122")
    victim = machines.host("slow")
    others = {0, 1, 2} - {victim}
    for other in others:
        machines.announce(EventKind.FREEZE, other, notice=900.0, lasts=60.0)
    machines.wait_read(*others)
    began = clock.elapsed()
    machines.evict(victim, 8.0)
    machines.wait_left(victim)
    machines.wait_elsewhere(victim, *ONCE, timeout=GOAL + ALLOWANCE)
    judge(machines, note, "3, the others cordoned", began)


def test_a_core_server_that_dies_long_before_its_machine_goes_costs_nothing(three):
    machines = three("122")
    for number in range(3):
        machines.announce(EventKind.PREEMPT, number, notice=900.0)
    machines.wait_read()
    host = machines.host("solo")
    with undisturbed(machines, "role_starting", "role_stopping", "node_down"):
        former = machines.component(host, "core_server")
        machines.kill_process(former)
        machines.component(host, "core_server", but=former)
        machines.wait_read()
        wait_until(machines.one_story, 20.0, "all agree again")


def test_what_comes_to_nothing_costs_nothing(three, note):
    machines = three("122", zoned=Work(1, zone="2"), trio=Work(3))
    began = clock.elapsed()
    with undisturbed(machines, "role_stopping", "node_cordoned", "node_down"):
        machines.fabric.announce(EventKind.REBALANCE, f"web_{machines.host('solo')}")
        machines.wait_read()
    assert len(machines.events("notice_received")) == 1

    victim = machines.host("zoned")
    [other] = {1, 2} - {victim}
    event = machines.announce(EventKind.PREEMPT, victim, notice=30.0)
    machines.wait_elsewhere(victim, *ONCE, "zoned", timeout=GOAL + ALLOWANCE)
    # The others know it as well, and may be faster than the node itself.
    wait_until(lambda: machines.events("node_cordoned"), 10.0, "it has read the notice itself")
    machines.fabric.cancel(event)
    wait_until(lambda: machines.events("node_uncordoned"), 10.0, "the notice is gone")
    machines.expect_all()
    machines.evict(other, 8.0)
    machines.wait_elsewhere(other, *ONCE, "zoned", timeout=GOAL + ALLOWANCE)
    assert machines.host("zoned") == victim
    machines.wait_left(other)
    machines.wait_exact()
    judge(machines, note, "3, taken back", began)
    assert machines.fabric.approvals == ()


def test_a_termination_is_acknowledged_by_a_node_on_which_nothing_runs_and_by_no_other(three, note):
    machines = three("121", zoned=Work(1, zone="2"))
    began = clock.elapsed()
    event = machines.announce(EventKind.TERMINATE, 1, notice=300.0)
    machines.wait_elsewhere(1, *ONCE, timeout=GOAL + ALLOWANCE)
    machines.wait_read(1)
    assert machines.host("zoned") == 1, "nobody else can run it"
    assert machines.fabric.approvals == ()
    machines.fabric.cancel(event)

    victim = machines.host("slow")
    machines.players[victim].is_ending = True
    machines.announce(EventKind.TERMINATE, victim, notice=300.0, evicted_after=4.0)
    machines.wait_left(victim)
    [approval] = machines.fabric.approvals
    assert approval.by == f"web_{victim}"
    there = [each for each in machines.lives() if each.node == machines.name(victim)]
    assert max(each.ended for each in there) < approval.at
    machines.expect_all()
    machines.wait_exact()
    judge(machines, note, "3, terminated", began)


def test_what_ran_on_a_machine_that_is_frozen_runs_elsewhere_meanwhile(three, note):
    machines = three("122", zoned=Work(1, zone="2"), trio=Work(3))
    victim, began = machines.host("solo"), clock.elapsed()
    machines.announce(EventKind.FREEZE, victim, notice=FREEZE, lasts=FROZEN)
    machines.wait_elsewhere(victim, *ONCE, timeout=GOAL + ALLOWANCE)
    check_freeze(machines, victim, Span(began + FREEZE, began + FREEZE + FROZEN))
    judge(machines, note, "3, frozen", began)

    # Without a notice it is a silence as any other.
    victim, began = machines.host("solo"), clock.elapsed()
    machines.announce(EventKind.FREEZE, victim, is_started=True, lasts=FROZEN)
    check_freeze(machines, victim, Span(began, began + FROZEN))
    judge(machines, note, "3, frozen without a notice", began, surplus=HEAL + SLOW)
    assert machines.fabric.approvals == ()


def check_freeze(machines, victim, frozen):
    """Check that a node stood still, and that the right roles run now that it does not."""
    wait_until(lambda: not machines.fabric.document()["Events"], 20.0, "the freeze is over")
    node = machines.name(victim)
    machines.still.append(Absence(node, frozen.since, frozen.until))
    machines.expect_all()
    machines.wait_formed(3)
    machines.wait_counts()
    machines.wait_exact()
    assert machines.beats(victim, Span(frozen.since - 2.0, frozen.since))
    assert not machines.beats(victim, Span(frozen.since + LATE, frozen.until - LATE))
    others = {0, 1, 2} - {victim}
    assert all(machines.beats(each, frozen) for each in others)


def test_ten_nodes_of_which_half_are_evicted_in_turn_and_come_back_and_half_at_once(tmp_path, note):
    work = {**ONCE, "zoned": Work(3, zone="2"), "trio": Work(3), "each": Work(10)}
    with ScaleSet(tmp_path, "127.0.20", work, "1212121212") as machines:
        machines.begin()
        began = clock.elapsed()
        first, *others = half(machines)
        # The coordinator goes without a notice, and the others before the first has to go.
        for victim, notice in zip([*others, first], (30.0, 8.0, 0.0, 8.0, 0.0), strict=True):
            machines.evict(victim, notice, returns_after=1.0)
            threading.Event().wait(PACE)
        judge(machines, note, "10, in turn", began)
        back(machines)
        assert machines.codes[first] == machines.codes[others[2]] == -signal.SIGKILL
        assert len(machines.events("node_stopped")) == 3, "the others have left in good order"
        judge(machines, note, "10, in turn, and back", began)

        began = clock.elapsed()
        victims = half(machines)
        for each in victims:
            machines.evict(each, 8.0)
        for each in victims:
            machines.wait_left(each)
        machines.wait_formed(5)
        machines.wait_exact()
        judge(machines, note, "10, at once", began)
        assert machines.fabric.approvals == ()
