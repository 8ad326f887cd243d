"""`scripts/load` and `scripts/leaks`: their smoke, and that they notice what they are to notice."""

import json
import subprocess
import sys
from typing import Any

import pytest

from scripts.leaks import WAYS, Weights, stayed
from scripts.leaks_role import Weight
from scripts.load import check
from scripts.load_role import Outcome, Told

process = pytest.mark.process


def run(script: str, *options: str) -> tuple[int, dict[str, Any], str]:
    command = [sys.executable, f"scripts/{script}.py", "--smoke", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


@process
@pytest.mark.parametrize("where", [[], ["--nodes"]])
def test_no_call_is_lost_doubled_or_answered_with_the_reply_to_another_while_the_role_dies(where):
    code, summary, said = run("load", *where)

    assert summary["violations"] == [], said
    assert code == 0
    assert summary["kills"] >= 3
    assert summary["calls"] == 8 * 1000
    interrupted = summary["interrupted"]["executed"] + summary["interrupted"]["not executed"]
    assert summary["replied"] + interrupted == summary["calls"]
    # Whoever is interrupted has had requests under way: 8 at most, and half of the clients only 1.
    assert interrupted <= summary["kills"] * (4 * 8 + 4)


@process
@pytest.mark.parametrize(
    "options",
    [*(["--only", way] for way in WAYS), ["--only", "call", "--nodes"]],
    ids=" ".join,
)
def test_nothing_stays_of_a_message_at_either_side(options):
    code, found, said = run("leaks", *options)

    assert not any(each["stayed"] for each in found.values()), (found, said)
    assert code == 0
    assert len(found) == (2 if "--nodes" in options else 1)
    for way, each in found.items():
        assert each["count"] == (200 if way == "large" else 20_000)
        # Where both sides hear of nodes now and then, a few objects come and go by themselves.
        few = 100 if "--nodes" in options else 0
        for side in ("caller", "role"):
            assert abs(each["after"][side]["objects"] - each["before"][side]["objects"]) <= few


def told(*outcomes: Outcome) -> list[Told]:
    return [Told(bytes(outcomes), 0)]


@pytest.mark.parametrize(
    ("records", "outcome", "kills", "said"),
    [
        ([(0, 0)], Outcome.REPLIED, 1, ""),
        ([(0, 0)], Outcome.INTERRUPTED, 1, ""),
        ([], Outcome.INTERRUPTED, 1, ""),
        ([], Outcome.REPLIED, 1, "a reply without an execution"),
        ([(0, 0), (0, 0)], Outcome.REPLIED, 1, "executed 2 times"),
        ([(0, 0), (0, 0)], Outcome.INTERRUPTED, 1, "executed 2 times"),
        ([(0, 0)], Outcome.WRONG, 1, "the reply to another request"),
        ([(0, 0)], Outcome.LATE, 1, "no reply"),
        ([], Outcome.INTERRUPTED, 0, "interrupted though nobody was killed"),
    ],
)
def test_the_proof_notices_what_must_not_be(records, outcome, kills, said):
    found = check(records, told(outcome), kills)

    assert len(found) == bool(said)
    assert all(said in each for each in found)


@pytest.mark.parametrize("field", Weight._fields)
@pytest.mark.parametrize("side", Weights._fields)
def test_whatever_stays_is_noticed_at_either_side(side, field):
    weight = Weight(1000, 1000, 10, 1, 20_000)
    before = Weights(weight, weight)
    more = weight._replace(**{field: getattr(weight, field) + 2000})

    assert stayed(before, before) == []
    (found,) = stayed(before, before._replace(**{side: more}))
    assert found.startswith(f"{side}: {field}")
