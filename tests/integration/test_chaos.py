"""The smoke of `scripts/chaos`: every process of a node killed twice, the root included."""

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]


def test_a_node_survives_the_death_of_each_of_its_processes():
    # How soon all is gone is measured elsewhere, up to three times; here other tests may run too.
    options = ["--smoke", "--seed", "7", "--gone-within", "10"]
    command = [sys.executable, "scripts/chaos.py", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.stdout, done.stderr
    summary = json.loads(done.stdout)
    assert summary["violations"] == [], done.stderr
    assert done.returncode == 0
    assert set(summary["kills"].values()) == {2}
    assert {"root", "fork server", "the program", "alpha"} < set(summary["kills"])
    assert {"role_supervisor", "role_server"} < set(summary["kills"])
