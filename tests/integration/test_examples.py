"""The examples print what their README promises, and leave nothing."""

import re
from pathlib import Path

import pytest

from tests.processes import Program

pytestmark = pytest.mark.process

EXAMPLES = Path(__file__).parents[2] / "examples"
README = (EXAMPLES / "README.md").read_text("utf-8")
PROMISED = dict(re.findall(r"^## (\S+\.py)\n+```text\n(.*?)```", README, re.DOTALL | re.MULTILINE))
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("name", PROMISED)
def test_an_example_prints_what_is_promised(name):
    status, out, _ = Program(str(EXAMPLES / name)).finish(90)
    assert (status, timeless(out)) == (0, timeless(PROMISED[name]))


def timeless(text):
    """Return what is the same each time."""
    return re.sub(r"\b\d+ ms\b", "some ms", text)


def test_examples_with_nodes_may_run_at_the_same_time():
    names = ["06_two_nodes.py", "07_failover.py", "07_failover.py"]
    running = [Program(str(EXAMPLES / name)) for name in names]
    assert [program.finish(90)[0] for program in running] == [0, 0, 0]


@pytest.mark.parametrize(
    "name", ["09_calls.py", "10_tasks_in_a_cluster.py", "13_embedded_nodes.py"]
)
def test_an_example_with_nodes_heeds_no_surroundings(name):
    surroundings = {
        "BEETHOVEN_NAME": "somebody",
        "BEETHOVEN_CLUSTER": "another",
        "BEETHOVEN_CLUSTER_NET": "127.0.9.0",
        "BEETHOVEN_COOKIE": "short",
        "BEETHOVEN_LOG_LEVEL": "none",
    }
    assert Program(str(EXAMPLES / name), env=surroundings).finish(90)[0] == 0


def test_every_example_is_in_the_table():
    assert re.findall(r"^\| \[(\S+\.py)\]\(\1\)", README, re.MULTILINE) == SCRIPTS


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_is_short(name):
    lines = (EXAMPLES / name).read_text("utf-8").splitlines()
    assert len(lines) < 60
    assert lines[0].startswith('"""')
