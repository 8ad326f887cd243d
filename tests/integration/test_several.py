"""Several nodes in one terminal: `beethoven run FILE --nodes N`."""

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from beethoven.node.presence import running_nodes
from tests.nodes import PYTHON, all_gone, beethoven, port_of, write
from tests.processes import wait_until

pytestmark = pytest.mark.process

NODES = 3
CONFIG = """
[beethoven]
name = "player"

[roles.it]
module = "tests.integration.node_roles:Obedient"
args = { slow = 0.3 }
shutdown = 30
instances = 3
"""
NAMES = [f"player-{number}" for number in range(1, NODES + 1)]


class Players:
    """The program that plays nodes, and all that it has started."""

    def __init__(self, folder: Path, *options: str) -> None:
        config = write(folder, CONFIG)
        self.out, self.err = folder / "out", folder / "err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [*PYTHON, "run", str(config), "--nodes", str(NODES), *options],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, "BEETHOVEN_LISTENER_PORT": str(port_of(config))},
            )
        wait_until(self.all_run, 30.0)
        self.everything = [
            child.pid for child in psutil.Process(self.process.pid).children(recursive=True)
        ]

    def all_run(self) -> bool:
        assert self.process.poll() is None, self.err.read_text()
        started = re.findall(r"(\d)\| .* role_started role=it", self.out.read_text())
        started += re.findall(r'"from_node": (\d), .* "role_started", "role": "it"', self.text())
        return set(started) == {"1", "2", "3"}

    def text(self) -> str:
        return self.out.read_text("utf-8")

    def root(self, number: int) -> int:
        """Return the pid of a node's root."""
        return {node.name: node.pid for node in running_nodes()}[f"player-{number}"]


@contextlib.contextmanager
def played(folder: Path, *options: str) -> Iterator[Players]:
    players = Players(folder, *options)
    try:
        yield players
    finally:
        if players.process.poll() is None:
            players.process.kill()
            players.process.wait()
        wait_until(lambda: all_gone(players.everything))
        for path in Path(os.environ["BEETHOVEN_RUNTIME_DIR"]).glob("node-player-*"):
            path.unlink()


def test_several_nodes_run_and_each_line_tells_whose_it_is(tmp_path):
    with played(tmp_path) as players:
        assert [node.name for node in running_nodes()] == NAMES
        for name in NAMES:
            assert beethoven("call", "it", '"pid"', "--node", name).code == 0
        players.process.send_signal(signal.SIGTERM)
        assert players.process.wait(20) == 0
        assert all_gone(players.everything)
        lines = players.text().splitlines()
        assert all(re.match(r"[123]\| \d{4}-\d\d-\d\dT", line) for line in lines), lines
        for event in ("node_started", "node_stopped"):
            assert sorted(line[0] for line in lines if f" {event} " in line) == ["1", "2", "3"]
        assert players.err.read_text() == ""


def test_lines_of_json_stay_json_and_tell_whose_they_are(tmp_path):
    with played(tmp_path, "--log-format", "json") as players:
        players.process.send_signal(signal.SIGINT)
        assert players.process.wait(20) == 0
        records = [json.loads(line) for line in players.text().splitlines()]
        assert {record["from_node"] for record in records} == {1, 2, 3}


def test_a_second_interrupt_kills_all_nodes(tmp_path):
    with played(tmp_path) as players:
        os.kill(players.root(2), signal.SIGSTOP)
        players.process.send_signal(signal.SIGINT)
        wait_until(lambda: players.text().count("stop_requested") == 2)
        players.process.send_signal(signal.SIGINT)
        assert players.process.wait(20) == 130
        wait_until(partial(all_gone, players.everything))


def test_all_nodes_die_with_the_program_that_plays_them(tmp_path):
    with played(tmp_path) as players:
        players.process.kill()
        players.process.wait()
        wait_until(partial(all_gone, players.everything))


def test_a_node_that_dies_leaves_the_others_and_its_code_is_told_in_the_end(tmp_path):
    with played(tmp_path) as players:
        os.kill(players.root(2), signal.SIGKILL)
        wait_until(lambda: "node 2 has ended, killed by SIGKILL" in players.err.read_text())
        assert [node.name for node in running_nodes()] == ["player-1", "player-3"]
        players.process.send_signal(signal.SIGTERM)
        assert players.process.wait(20) == 128 + signal.SIGKILL


def test_a_wrong_configuration_is_told_once(tmp_path):
    config = write(tmp_path, "[roles.x]\nmodul = 1\n")
    done = beethoven("run", config, "--nodes", NODES)
    assert done.code == 3
    assert done.err.count("unknown key") == 1
    assert beethoven("run", config, "--nodes", "0").code == 2
