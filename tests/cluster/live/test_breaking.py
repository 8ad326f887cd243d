"""What hostile operators and bad luck did to clusters of real nodes, and must not do again."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from beethoven import clock
from tests.cluster.live.cluster import Cluster, Player, wait_until

pytestmark = pytest.mark.process

# Of a stop, and of an answer that never comes; in seconds.
_SLOW = 2.0
_PATIENCE = 2.0


def _cluster(folder: Path, module: str, *, slow: float = 0.0) -> Cluster:
    args = {"folder": str(folder), "role": "solo", "slow": slow}
    toml = f"""
        [beethoven]
        drain_timeout = 20.0
        [roles.solo]
        module = {json.dumps(module)}
        shutdown = 10.0
        args = {{ {", ".join(f"{key} = {json.dumps(value)}" for key, value in args.items())} }}
    """
    return Cluster(folder, {"solo": 1}, nodes=2, toml=toml)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Cluster]:
    with _cluster(tmp_path, "tests.cluster.live.ledger_role:LedgerRole", slow=_SLOW) as made:
        made.start()
        made.wait_counts()
        yield made


def _host(cluster: Cluster) -> Player:
    """Return the player whose node runs the role."""
    (node, _, _) = cluster.wait_counts()["roles"]["solo"][0]
    return next(player for player in cluster.running if player.name == node)


def _drain(player: Player) -> None:
    player.is_ending = True
    assert player.client is not None
    player.client.drain("")


def _told_at(cluster: Cluster, event: str) -> float:
    """Return when something was logged that is logged once."""
    (line,) = cluster.events(event)
    return datetime.fromisoformat(line.split()[1]).timestamp()


def _starts(cluster: Cluster) -> list[float]:
    return [line.at for line in cluster.ledger() if line.word == "start"]


def test_a_node_leaves_on_when_its_core_server_dies_meanwhile(slow: Cluster) -> None:
    leaver = _host(slow)
    _drain(leaver)
    wait_until(lambda: slow.events("role_stopping"), 20.0, "the role stops")
    slow.kill_process(slow.component(leaver.number, "core_server"))
    assert slow.wait(leaver.number) == 0
    assert not slow.events("drain_timed_out")
    slow.check(clock.elapsed())
    assert len(_starts(slow)) == 2


def test_a_slow_stop_is_told_once(slow: Cluster) -> None:
    leaver = _host(slow)
    _drain(leaver)
    assert slow.wait(leaver.number) == 0
    assert len(slow.events("role_stopping")) == 1


@pytest.mark.parametrize("kind", ["Mute", "Faint"])
def test_a_role_that_fails_at_its_snapshot_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    with _cluster(tmp_path, f"tests.cluster.live.breaking_roles:{kind}") as cluster:
        cluster.start()
        leaver = _host(cluster)
        _drain(leaver)
        assert cluster.wait(leaver.number) == 0
        assert _told_at(cluster, "role_stopping") - _told_at(cluster, "node_leaving") < _PATIENCE
        cluster.check(clock.elapsed())
        assert bool(cluster.events("snapshot_failed")) is (kind == "Mute")
