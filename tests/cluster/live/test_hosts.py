"""
Nodes on machines of their own: what becomes of a cluster when its network fails, and heals.

Needs root, for network namespaces. `LIVE_ROUNDS` says how often the cuts are repeated,
`LIVE_ALLOWANCE` how many seconds a machine with too much to do may take beyond each bound.
"""

import contextlib
import os
import random
import secrets
import select
import threading
from datetime import datetime

import pytest

from beethoven import clock
from beethoven.cluster.timing import DEFAULT, FAST
from tests.cluster.live.checker import overlaps
from tests.cluster.live.cluster import undisturbed, wait_until
from tests.cluster.live.hosts import HostCluster, host_name
from tests.cluster.live.machines import Machines, address, why_not
from tests.processes import is_running

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

ROUNDS = int(os.environ.get("LIVE_ROUNDS", "1"))
ALLOWANCE = float(os.environ.get("LIVE_ALLOWANCE", "1.5"))
ROLES = {"one": 1, "two": 2, "all": 3}
ALL = range(3)

# From the end of a cut to one cluster with the right roles, whatever the preset, in seconds.
HEAL = 3.0
# A port that refuses is proof: one round trip, and the start of a role.
AT_ONCE = 0.5
# A search of 253 addresses that are all silent.
SEARCH = 1.5


def takeover(timing):
    """Return within what the roles of a silent node run elsewhere, as `explain-timing` says."""
    return timing.silence + timing.heartbeat


@pytest.fixture(scope="module", autouse=True)
def permitted():
    if (reason := why_not()) is not None:
        pytest.skip(reason)


@pytest.fixture(params=range(ROUNDS), autouse=True)
def round_(request):
    return request.param


@pytest.fixture(scope="module")
def figures(request):
    """Collects `{what: [seconds]}`, told at the end of the run of this file."""
    collected: dict[str, list[float]] = {}
    yield collected
    plugins = request.config.pluginmanager
    reporter = plugins.get_plugin("terminalreporter")
    with plugins.get_plugin("capturemanager").global_and_fixture_disabled():
        reporter.ensure_newline()
        for what, seconds in sorted(collected.items()):
            told = " ".join(f"{each:.2f}" for each in seconds)
            reporter.write_line(f"across hosts: {what}: {told} s")


@pytest.fixture
def note(figures):
    """Notes a figure, and checks its bound."""

    def note(what, seconds, bound):
        figures.setdefault(f"{what} (<= {bound:g} s)", []).append(seconds)
        assert seconds <= bound + ALLOWANCE

    return note


@pytest.fixture
def cluster(tmp_path):
    with HostCluster(tmp_path, ROLES) as cluster:
        begin(cluster)
        yield cluster
        assert not overlaps(cluster.ledger())


def begin(cluster):
    cluster.start()
    cluster.wait_formed()
    cluster.wait_counts()


def places(cluster):
    """Return who runs what: `{(role, node, pid)}`, which all nodes agree on."""
    story = cluster.wait_counts()
    return {
        (role, node, pid)
        for role, instances in story["roles"].items()
        for node, pid, _ in instances
    }


def heal(cluster, note, what, since):
    """Wait until a cut that has just ended is forgotten."""
    seconds = cluster.settled(ALL, since, HEAL + ALLOWANCE)
    note(f"{what}: healed", seconds, HEAL)
    cluster.wait_formed(len(cluster.players))
    cluster.wait_counts()


def test_machines_reach_each_other_and_nothing_else():
    with Machines(3) as machines, contextlib.ExitStack() as stack:
        for number in ALL:
            assert machines.routes(number).splitlines() == [
                f"10.77.1.0/24 dev eth0 proto kernel scope link src {address(number)}"
            ]
        sockets = [stack.enter_context(machines.socket(number)) for number in ALL]
        every = {(one, other) for one in ALL for other in ALL if one != other}

        def reached():
            """Return who has received something from whom."""
            return {(one, other) for one, other in every if arrives(sockets[one], sockets[other])}

        # The first words are lost while addresses are still being learned.
        wait_until(lambda: reached() == every, 10, "all reach each other")
        machines.lose(0, 1)
        assert reached() == every - {(0, 1)}
        machines.lose_nothing()
        machines.split([0, 2], [1])
        assert reached() == {(0, 2), (2, 0)}
        machines.join()
        machines.unplug(2)
        assert reached() == {(0, 1), (1, 0)}
        machines.plug(2)
        wait_until(lambda: reached() == every, 10, "all reach each other")


def arrives(sender, receiver):
    """Whether a datagram arrives; what is on its way may take a while."""
    word = secrets.token_bytes(8)
    for _ in range(3):
        with contextlib.suppress(OSError):
            sender.sendto(word, receiver.getsockname())
        while select.select([receiver], [], [], 0.1)[0]:
            if receiver.recv(8) == word:
                return True
    return False


def test_a_host_whose_cable_is_pulled_is_replaced_and_gives_way_when_it_is_back(cluster, note):
    before = places(cluster)
    for cut in {*cluster.hosts_of("one"), cluster.coordinator()}:
        rest = [number for number in ALL if number != cut]
        since = clock.elapsed()
        cluster.machines.unplug(cut)
        bound = takeover(FAST)
        note("cable pulled, fast: taken over", cluster.settled(rest, since, 9), bound)
        # Available mode: the host that is alone plays everything, too.
        note("cable pulled, fast: cut-off host alone", cluster.settled([cut], since, 9), bound)
        cluster.wait_islands(rest, [cut])
        note("cable pulled, fast: noticed", noticed(cluster, cut, since), FAST.silence)
        since = clock.elapsed()
        cluster.machines.plug(cut)
        heal(cluster, note, "cable pulled, fast", since)
        # Whatever has been running the longest stays.
        assert places(cluster) == before


def noticed(cluster, number, since):
    """Return how many seconds after a moment the last of the others gave a node up."""
    past = clock.wall() - clock.elapsed() + since

    def found():
        told = [
            each for each in cluster.events("node_down") if f" node={host_name(number)} " in each
        ]
        seconds = [datetime.fromisoformat(each.split()[1]).timestamp() - past for each in told]
        return [each for each in seconds if each > 0]

    # What a node says may be known before its log.
    wait_until(lambda: len(found()) >= len(cluster.players) - 1, 10, "the others give it up")
    return max(found())


def test_the_default_timing_takes_over_and_heals_as_it_says(tmp_path, note):
    with HostCluster(tmp_path, ROLES, preset="default") as cluster:
        begin(cluster)
        before = places(cluster)
        (cut,) = cluster.hosts_of("one")
        rest = [number for number in ALL if number != cut]
        since = clock.elapsed()
        cluster.machines.unplug(cut)
        bound = takeover(DEFAULT)
        note("cable pulled, default: taken over", cluster.settled(rest, since, 15), bound)
        cluster.wait_islands(rest, [cut])
        note("cable pulled, default: noticed", noticed(cluster, cut, since), DEFAULT.silence)
        since = clock.elapsed()
        cluster.machines.plug(cut)
        heal(cluster, note, "cable pulled, default", since)
        assert places(cluster) == before
        assert not overlaps(cluster.ledger())


@pytest.mark.parametrize("both_ways", [False, True], ids=["one way", "both ways"])
def test_two_hosts_that_do_not_hear_each_other_lose_nothing_while_a_third_hears_both(
    cluster, both_ways
):
    coordinator = cluster.coordinator()
    other, _ = (number for number in ALL if number != coordinator)
    for speaker, hearer in [(other, coordinator), (coordinator, other)][both_ways:]:
        with undisturbed(cluster, "node_down", "node_left"):
            suspected = suspicions(cluster, hearer, speaker)
            since = clock.elapsed()
            cluster.machines.lose(speaker, hearer)
            if both_ways:
                cluster.machines.lose(hearer, speaker)
            # The third says that it lives.
            wait_for(since + 3 * FAST.silence)
            assert suspicions(cluster, hearer, speaker) == suspected + 1
            cluster.machines.lose_nothing()
            cluster.wait_formed(3)
            cluster.wait_counts()


def suspicions(cluster, number, other):
    """Return how often a node has suspected another."""
    told = [each for each in cluster.events("node_suspect") if each.startswith(f"{number}: ")]
    return sum(f" node={host_name(other)} " in each for each in told)


def wait_for(moment):
    wait_until(lambda: clock.elapsed() > moment, moment - clock.elapsed() + 5, "time passes")


def test_a_host_that_hears_but_is_not_heard_is_replaced(cluster, note):
    before = places(cluster)
    (mute,) = cluster.hosts_of("one")
    rest = [number for number in ALL if number != mute]
    since = clock.elapsed()
    for hearer in rest:
        cluster.machines.lose(mute, hearer)
    note("mute host: taken over", cluster.settled(rest, since, 9), takeover(FAST))
    # It hears that it was given up, for its links are closed, and can open no other.
    note("mute host: knows", cluster.settled([mute], since, 9), 2 * takeover(FAST))
    cluster.wait_islands(rest, [mute])
    since = clock.elapsed()
    cluster.machines.lose_nothing()
    heal(cluster, note, "mute host", since)
    assert places(cluster) == before


def test_three_islands_heal_twice_and_when_cut_meanwhile(cluster, note, round_):
    before = places(cluster)
    chance = random.Random(round_)
    for _ in range(2):
        since = clock.elapsed()
        cluster.machines.split([0], [1], [2])
        for number in ALL:
            seconds = cluster.settled([number], since, 9)
            note("three islands: each alone", seconds, takeover(FAST))
        cluster.wait_islands([0], [1], [2])
        since = clock.elapsed()
        cluster.machines.join()
        heal(cluster, note, "three islands", since)
    for islands in ([[0], [1], [2]], [[0, 1], [2]], [[0], [1, 2]]):
        cluster.machines.split(*islands)
        threading.Event().wait(chance.uniform(0.5, 2.0) * FAST.silence)
        since = clock.elapsed()
        cluster.machines.join()
        threading.Event().wait(chance.uniform(0.1, 1.0))
    heal(cluster, note, "cut while healing", since)
    assert places(cluster) == before


def test_five_hosts_in_islands_of_two_two_and_one_whose_clocks_differ_by_days(tmp_path, note):
    roles = {"one": 1, "two": 2, "four": 4}
    skews = {1: 3600, 2: 100_000, 4: 7}
    islands = [0, 1], [2, 3], [4]
    with HostCluster(tmp_path, roles, hosts=5, skews=skews) as cluster:
        begin(cluster)
        client = cluster.players[2].client
        assert client is not None
        assert client.presence.since > clock.wall() + 99_000
        since = clock.elapsed()
        cluster.machines.split(*islands)
        for island in islands:
            seconds = cluster.settled(island, since, 9)
            note("islands of 2, 2 and 1: each alone", seconds, takeover(FAST))
        cluster.wait_islands(*islands)
        since = clock.elapsed()
        cluster.machines.join()
        note("islands of 2, 2 and 1: healed", cluster.settled(range(5), since, 9), HEAL)
        cluster.wait_formed(5)
        cluster.wait_counts()
        assert not overlaps(cluster.ledger())


def test_a_node_of_which_every_process_is_killed_is_replaced_at_once_and_starts_again(
    cluster, note
):
    (killed,) = cluster.hosts_of("one")
    rest = [number for number in ALL if number != killed]
    with undisturbed(cluster, but=[killed]):
        pids = cluster.players[killed].processes()
        since = clock.elapsed()
        for pid in pids:
            cluster.kill_process(pid)
        note("all processes killed: taken over", cluster.settled(rest, since, 9), AT_ONCE)
        come_back(cluster, killed)
        # Its beacon has the port, too, and neither ends nor lets it go.
        cluster.freeze(killed)
        cluster.kill(killed)
        cluster.players[killed].is_frozen = False
        come_back(cluster, killed)


def test_a_host_that_loses_power_is_replaced_and_may_come_back(cluster, note):
    (lost,) = cluster.hosts_of("one")
    rest = [number for number in ALL if number != lost]
    with undisturbed(cluster, but=[lost]):
        since = clock.elapsed()
        cluster.machines.unplug(lost)
        note("power lost: taken over", cluster.settled(rest, since, 9), takeover(FAST))
        cluster.wait_islands(rest, [lost])
        # Nobody hears of its end. P2: its roles go with it.
        since = clock.elapsed()
        cluster.kill(lost)
        alone = [life for life in cluster.lives() if life.node == host_name(lost)]
        pids = {life.pid for life in alone if life.ended is None}
        wait_until(lambda: not any(map(is_running, pids)), 5, "its roles have ended")
        note("root killed: its roles gone", clock.elapsed() - since, 1.0)
        # It comes back before its cable does.
        cluster.wait(lost)
        cluster.start(lost)
        cluster.wait_islands(rest, [lost])
        cluster.settled([lost], clock.elapsed(), 9)
        since = clock.elapsed()
        cluster.machines.plug(lost)
        heal(cluster, note, "power lost, started alone", since)


def come_back(cluster, number):
    """Start a node whose processes have gone, and wait until it has its part."""
    cluster.wait(number)
    cluster.start(number)
    cluster.wait_formed(3)
    cluster.settled(ALL, clock.elapsed(), 9)
    cluster.wait_counts()


def test_a_host_alone_searches_a_silent_network_fast_and_finds_who_comes_later(tmp_path, note):
    with HostCluster(tmp_path, ROLES, level="debug") as cluster:
        # The cable of the second is not in yet: neither finds the other when it starts.
        cluster.machines.unplug(1)
        cluster.start(0, 1)
        wait_until(lambda: searches(cluster, 0) and searches(cluster, 1), 20, "both have searched")
        probed, seconds = searches(cluster, 0)[0]
        assert probed == 253
        note("first search of a silent /24", seconds, SEARCH)
        cluster.wait_islands([0], [1])
        cluster.machines.plug(1)
        cluster.wait_formed(2)
        cluster.start(2)
        cluster.wait_formed(3)
        cluster.wait_counts()


def searches(cluster, number):
    """Return what a locator says of its searches: how many were asked, and the seconds."""
    found = []
    for line in cluster.events("searched"):
        if line.startswith(f"{number}: "):
            fields = dict(each.split("=") for each in line.split() if "=" in each)
            found.append((int(fields["probed"]), float(fields["seconds"])))
    return found
