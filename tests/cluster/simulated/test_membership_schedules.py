"""Membership under schedules of faults. A failing seed is printed; `run(seed)` replays it."""

import random

import pytest

from beethoven.cluster.member import Cause, Status
from beethoven.cluster.timing import DEFAULT, FAST, WAN
from tests.cluster.simulated.network import Network

SCHEDULES = 200
BATCHES = 12


def formed(hosts, *, seed=1, **options) -> Network:
    """Return a network of nodes that know each other."""
    network = Network(seed, hosts, **options)
    for host in network.hosts:
        network.boot(host)
    assert network.until_converged(network.timing.convergence) is not None
    return network


def calm(network: Network):
    """End every fault; return how long it took until all views agreed."""
    network.heal()
    network.loss = 0.0
    for host in network.hosts:
        network.resume(host)
        if host.node is None:
            network.boot(host)
        network.restore_core(host)
    return network.until_converged(network.timing.convergence)


def hurt(network: Network, dice: random.Random):
    """Do something that nodes must bear."""
    host, other = dice.sample(network.hosts, 2)
    match dice.randrange(12):
        case 0:
            network.cut(host, other)
        case 1:
            network.cut(host, other)
            network.cut(other, host)
        case 2 | 3:
            middle = dice.randrange(1, len(network.hosts))
            shuffled = dice.sample(network.hosts, len(network.hosts))
            network.split(shuffled[:middle], shuffled[middle:])
        case 4:
            network.split(*([each] for each in network.hosts))
        case 5:
            network.heal()
        case 6:
            network.pause(host)
        case 7:
            network.resume(host)
        case 8:
            network.kill(host)
        case 9:
            network.cut_power(host)
        case 10:
            network.leave(host)
        case 11:
            network.lose_core(host)
    for each in network.hosts:
        if each.node is None and dice.random() < 0.4:
            network.boot(each)
        elif dice.random() < 0.3:
            network.restore_core(each)


def run(seed):
    """Run the schedule of a seed; return how long the views took to agree after it."""
    dice = random.Random(f"schedule {seed}")
    network = Network(
        seed,
        dice.choice([3, 3, 4, 5]),
        timing=dice.choice([DEFAULT, FAST, WAN]),
        loss=dice.choice([0.0, 0.0, 0.05]),
    )
    unit = network.timing.heartbeat
    is_storm = dice.random() < 0.5
    for host in network.hosts:
        network.boot(host)
        network.advance(0.0 if is_storm else dice.uniform(0, 3) * unit)
    network.advance(dice.uniform(0, 6) * unit)
    for _ in range(dice.randrange(2, 9)):
        hurt(network, dice)
        network.advance(dice.choice([0.0, 0.1, 1.0, 3.0, 6.0, 20.0]) * dice.random() * unit)
    took = calm(network)
    assert took is not None, f"no agreement after {network.timing.convergence:g} s"
    network.advance(2 * unit)
    assert network.has_converged()
    return took / unit


@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_schedule_ends_in_one_view(batch, record_property):
    times = []
    for seed in range(batch, SCHEDULES, BATCHES):
        try:
            times.append(run(seed))
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
    record_property("heartbeats until all views agree, at most", max(times))


@pytest.mark.parametrize("timing", [DEFAULT, FAST, WAN])
def test_nodes_that_start_at_once_find_each_other(timing):
    """Upstream forms two clusters (D14)."""
    network = Network(7, 12, timing=timing)
    for host in network.hosts:
        network.boot(host)
    assert network.until_converged(2.0) is not None
    network.advance(5.0)
    told = {kind for host in network.hosts for _, kind, _ in host.node.listener.story}
    assert told == {"NodeUp"}, "two that dial each other do not lose each other"


def test_a_killed_node_is_down_in_a_moment():
    network = formed(3)
    victim, *others = network.hosts
    network.kill(victim)
    network.advance(0.2)
    assert [(host, cause) for _, host, _, cause in network.downs] == [
        (host, Cause.REFUSED)
        for host in sorted(others, key=lambda host: network.downs[0][1] != host)
    ]


def test_a_node_without_power_is_down_after_the_silence():
    """Upstream takes 73 s (D15)."""
    network = formed(3)
    victim, other, _ = network.hosts
    began = network.now
    network.cut_power(victim)
    network.advance(DEFAULT.silence - DEFAULT.heartbeat - 0.1)
    assert network.view(other)["n1"] is Status.SUSPECT
    network.advance(DEFAULT.heartbeat + 0.5)
    assert network.view(other)["n1"] is Status.DOWN
    assert all(cause is Cause.SILENT for *_, cause in network.downs)
    assert max(moment for moment, *_ in network.downs) - began <= DEFAULT.silence + 0.1


def test_a_frozen_node_is_down_and_comes_back_with_no_verdict_of_its_own():
    """Upstream stays split for ever (D14)."""
    network = formed(4)
    frozen, *others = network.hosts
    network.pause(frozen)
    network.advance(20.0)
    assert {network.view(other)["n1"] for other in others} == {Status.DOWN}
    network.resume(frozen)
    assert network.until_converged(1.0 + DEFAULT.redial_most * 1.25) is not None
    assert {accuser for _, accuser, _, _ in network.downs} == set(others)


def test_a_short_freeze_is_borne():
    network = formed(4)
    network.pause(network.hosts[0])
    network.advance(DEFAULT.silence - DEFAULT.heartbeat - 0.1)
    network.resume(network.hosts[0])
    network.advance(5.0)
    assert network.downs == []
    assert network.has_converged()


@pytest.mark.parametrize("seed", range(10))
def test_islands_grow_together(seed):
    network = formed(5, seed=seed)
    network.has_locator = False
    a, b, c, d, e = network.hosts
    network.split([a, b], [c, d], [e])
    network.advance(30.0 + seed / 7)
    assert {name for name, status in network.view(a).items() if status == "alive"} == {"n2"}
    network.heal()
    took = network.until_converged(10.0)
    assert took is not None
    assert took <= DEFAULT.heal, took


def test_a_cut_between_two_costs_nobody():
    """One bad link must not cost a node (erlang/otp #6214): the third one vouches."""
    network = formed(3)
    a, b, _ = network.hosts
    network.cut(a, b)
    network.cut(b, a)
    network.advance(60.0)
    assert network.downs == []
    assert network.view(a)["n2"] is Status.SUSPECT
    network.kill(b)
    network.advance(DEFAULT.silence + DEFAULT.heartbeat)
    assert network.view(a)["n2"] is Status.DOWN, "nobody vouches for the dead"


def test_a_node_that_boots_anew_at_once_takes_its_own_place():
    network = formed(3)
    host, other, _ = network.hosts
    before = host.node.member
    network.cut_power(host)
    network.boot(host)
    assert network.until_converged(2.0) is not None
    told = [(kind, node_id) for _, kind, node_id in other.node.listener.story[-2:]]
    assert told == [("NodeDown", before.node_id), ("NodeUp", host.node.member.node_id)]
    assert {cause for *_, cause in network.downs} <= {Cause.REPLACED, Cause.REFUSED}


def test_a_core_server_that_is_gone_for_long_is_no_dead_node():
    network = formed(3)
    host = network.hosts[0]
    for _ in range(5):
        network.lose_core(host)
        network.advance(3 * DEFAULT.silence)
        assert network.view(network.hosts[1])["n1"] is Status.SUSPECT
        network.restore_core(host)
        assert network.until_converged(2.0) is not None
    assert network.downs == []


def test_a_node_that_leaves_is_gone_at_once_and_is_not_dialled():
    network = formed(3)
    host, other, _ = network.hosts
    network.leave(host)
    network.advance(0.1)
    assert network.view(other)["n1"] is Status.LEFT
    assert network.downs == []
    network.advance(5.0)
    assert other.node.core.statistics().dialled == 0
    network.boot(host)
    assert network.until_converged(2.0) is not None


def test_all_restart_at_once():
    network = formed(8)
    for host in network.hosts:
        network.kill(host)
    for host in network.hosts:
        network.boot(host)
    assert network.until_converged(2.0) is not None


def test_a_large_cluster_forms():
    network = Network(3, 30, timing=DEFAULT)
    for host in network.hosts:
        network.boot(host)
    assert network.until_converged(3.0) is not None
