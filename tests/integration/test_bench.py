"""
`scripts/bench` measures every row and says so in JSON.

That it leaves nothing behind is checked after the first of these tests, as after every other.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]

KEYS = {
    "casts",
    "start_link",
    "restart",
    "first_import",
    "first_start",
    "memory",
    "memory_private",
    "crowd_in_order",
    "crowd_at_once",
    "crowd_stop",
    "node",
}

# What each peer of a smoke run is asked for.
ORDERS = {
    *(f"echo_{size}_{clients}" for size in (100, 10**4, 10**6, 5 * 10**7) for clients in (1, 2)),
    "cast",
    "start",
    "restart",
}

CLUSTER_KEYS = {
    "alone",
    "join",
    "join_located",
    "kill_1",
    "kill_6",
    "drain",
    "drain_gap",
    "freeze_default",
    "freeze_fast",
    "heal_default",
    "heal_fast",
    "scan_24",
    "scan_16",
    "scan_refusing",
    "node_memory",
}


def bench(file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/bench.py", *options, "--smoke", "--json", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    file = tmp_path_factory.mktemp("bench") / "result.json"
    run = bench(file)
    assert run.returncode == 0, run.stderr
    return run.stdout, json.loads(file.read_text())


def test_every_row_is_measured_or_skipped_with_a_reason(done):
    """No row of the design's table is silently missing."""
    _, result = done
    measured = {figure["key"] for figure in result["figures"]}
    skipped = {row["key"] for row in result["skipped"]}

    assert measured | skipped >= KEYS
    for kind in ("call_", "remote_name_", "remote_reference_"):
        assert any(key.startswith(kind) and key.endswith("_p50") for key in measured)
    assert not measured & skipped
    assert all(row["reason"] for row in result["skipped"])


def test_a_figure_tells_its_unit_baselines_and_goals(done):
    """Each figure can be read without the program that wrote it."""
    _, result = done
    for figure in result["figures"]:
        assert figure["median"] > 0
        assert figure["unit"] in {"µs", "ms", "s", "k/s", "MB"}
        assert figure["rounds"] >= 1
        assert all(value > 0 for value in figure["baselines"].values())
        assert all(set(goal) == {"text", "actual", "limit", "reached"} for goal in figure["goals"])


def test_the_result_names_the_machine(done):
    """Ratios travel, absolute numbers do not: so the machine stands beside them."""
    _, result = done

    assert set(result["machine"]) == {"cores", "cpu", "kernel", "python"}
    assert result["machine"]["cores"] >= 1
    assert result["smoke"] is True


def test_the_table_shows_every_row(done):
    """What stands in the JSON stands in the table too."""
    table, result = done
    for row in result["figures"] + result["skipped"]:
        assert row["what"] in table


def test_every_row_of_a_cluster_is_measured_or_skipped_with_a_reason(tmp_path):
    """Nodes join, die, freeze, leave, search and rest; a smoke run leaves out what takes long."""
    run = bench(tmp_path / "result.json", "cluster")
    assert run.returncode == 0, run.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    figures = {figure["key"]: figure for figure in result["figures"]}
    skipped = {row["key"]: row["reason"] for row in result["skipped"]}

    assert figures.keys() | skipped.keys() >= CLUSTER_KEYS
    assert figures.keys() >= {"alone", "join", "kill_1", "drain", "freeze_fast", "heal_fast"}
    assert all(skipped.values())
    # An idle node may use less of a core than the kernel counts in the seconds of a smoke run.
    nothing = {key for key, figure in figures.items() if figure["median"] <= 0}
    assert {key for key in nothing if not key.startswith("idle_cpu")} == set()
    assert all(load >= 0 for load in result["load"])
    assert all(row["what"] in run.stdout for row in result["figures"] + result["skipped"])


def test_a_group_of_the_other_kind_is_refused(tmp_path):
    """A cluster has rows of its own."""
    run = bench(tmp_path / "result.json", "cluster", "--only", "casts")

    assert run.returncode == 2
    assert "expected --only with one of alone, join" in run.stderr


def test_peers_do_the_same_work_and_say_what_they_have_not(tmp_path):
    """Beethoven and what comes with Python; the others are not installed by a test."""
    page = (ROOT / "docs" / "performance.md").read_bytes()
    run = bench(tmp_path / "result.json", "peers")
    assert run.returncode == 0, run.stderr
    peers = json.loads((tmp_path / "result.json").read_text())["peers"]

    assert peers.keys() == {"beethoven", "pipe", "managers"}
    for peer in peers.values():
        assert not peer["unavailable"]
        assert peer["left"] == []
        assert peer["answers"].keys() == ORDERS
    missing = {
        (name, key): answer["missing"]
        for name, peer in peers.items()
        for key, (answer,) in peer["answers"].items()
        if "missing" in answer
    }
    assert missing.keys() == {("pipe", "restart"), ("managers", "restart"), ("managers", "cast")}
    figures = [
        answer
        for name, peer in peers.items()
        for key, (answer,) in peer["answers"].items()
        if (name, key) not in missing
    ]
    assert all(each.get("p50", each.get("rate", 0)) > 0 for each in figures)
    assert all(why in run.stdout for why in missing.values())
    assert (ROOT / "docs" / "performance.md").read_bytes() == page


def test_an_unknown_peer_is_refused(tmp_path):
    run = bench(tmp_path / "result.json", "peers", "--only", "nobody")

    assert run.returncode == 2
    assert "beethoven" in run.stderr
