"""
Dynamic supervisors, by the test suites of OTP and Elixir.

Every scene is played by decisions and by processes.
"""

import pytest

from beethoven import errors
from beethoven.runtime.reason import KILLED, NORMAL, SHUTDOWN, ExitReason
from tests.conformance.cases import proves
from tests.conformance.stage import Stage
from tests.supervision_world import CLEAN, CRASH, Defy, Fail, Ignore, Obey, Up

KINDS = ("permanent", "transient", "temporary")


# Starting


@proves("S6", "S7", "E32")
@pytest.mark.parametrize("kind", KINDS)
def test_a_child_that_ignores_its_start_is_not_recorded(stage: Stage, kind: str) -> None:
    stage.pool()
    stage.starts("a", Ignore())
    assert stage.start("a", restart=kind) == "ignored"
    assert stage.counts() == (0, 0, 0, 0)
    stage.stop()
    assert stage.exit() == "shutdown"


@proves("S12", "E32", "E33")
def test_a_start_that_fails_tells_why_and_records_nothing(stage: Stage) -> None:
    stage.pool()
    odd = ExitReason(CRASH.kind.OTHER, "odd")
    for reason in (CRASH, odd, SHUTDOWN, NORMAL):
        stage.starts("a", Fail(reason=reason))
        with pytest.raises(errors.ChildStartFailed) as caught:
            stage.start("a")
        assert str(caught.value.reason) == str(reason)
        assert stage.counts() == (0, 0, 0, 0)
    with pytest.raises(errors.SpecError):
        stage.start({"id": "a"})  # type: ignore[arg-type]
    stage.starts("a", Up())
    assert stage.start("a") == "started"
    assert stage.counts() == (1, 1, 0, 1)


@proves("S14", "E28", "E29")
def test_a_child_is_started_by_a_specification_which_can_be_looked_up_by_its_id(
    stage: Stage,
) -> None:
    stage.pool()
    spec = stage.child("a", restart="transient", shutdown=1)
    assert stage.start(spec) == "started"
    assert stage.spec("a") == spec
    with pytest.raises(errors.ChildNotFound):
        stage.spec("x")
    stage.terminate("a")
    with pytest.raises(errors.ChildNotFound):
        stage.spec("a")


@proves("S61", "E31")
def test_a_pool_has_no_significant_children_and_no_auto_shutdown(stage: Stage) -> None:
    with pytest.raises(TypeError, match="auto_shutdown"):
        stage.pool(auto_shutdown="any_significant")
    stage.pool()
    with pytest.raises(errors.SpecError, match="significant"):
        stage.start("a", restart="transient", significant=True)
    assert stage.counts() == (0, 0, 0, 0)


@proves("E34")
def test_a_limit_of_no_children_refuses_the_first(stage: Stage) -> None:
    stage.pool(max_children=0)
    with pytest.raises(errors.MaxChildren, match="at most 0 children"):
        stage.start("a")
    assert stage.counts() == (0, 0, 0, 0)


@proves("E45")
@pytest.mark.parametrize("limit", [0, 1])
def test_a_short_shutdown_is_legal(stage: Stage, limit: int) -> None:
    stage.pool()
    assert stage.start("a", shutdown=limit) == "started"
    assert stage.spec("a").shutdown == limit


@proves("E46")
def test_a_negative_shutdown_is_refused(stage: Stage) -> None:
    stage.pool()
    with pytest.raises(errors.SpecError, match="expected shutdown to be seconds >= 0"):
        stage.start("a", shutdown=-1)
    assert stage.counts() == (0, 0, 0, 0)


# Management


@proves("S24", "E55", "E56")
@pytest.mark.parametrize("limit", ["brutal_kill", 30.0])
def test_a_child_is_terminated_by_its_process_and_what_has_ended_is_not_found(
    stage: Stage, limit: object
) -> None:
    stage.pool()
    stage.start("a", shutdown=limit)
    stage.start("b", shutdown=limit)
    first = stage.process("a")
    stage.terminate_process(first)
    assert stage.reasons("a") == ["killed" if limit == "brutal_kill" else "shutdown"]
    assert stage.counts() == (1, 1, 0, 1)
    for gone in (first, stage.foreigner()):
        with pytest.raises(errors.ChildNotFound):
            stage.terminate_process(gone)
    with pytest.raises(errors.ChildNotFound):
        stage.terminate("a")
    with pytest.raises(errors.ChildNotFound):
        stage.restart("a")
    with pytest.raises(errors.ChildRunning):
        stage.restart("b")
    for child_id in "ab":
        with pytest.raises(errors.SupervisionError):
            stage.delete(child_id)
    assert stage.statuses() == {"b": "running"}


@proves("S24")
def test_a_child_may_be_terminated_by_its_id_where_only_one_has_it(stage: Stage) -> None:
    stage.pool()
    stage.start("a")
    stage.start("a")
    with pytest.raises(errors.SupervisionError, match="one child of id 'a', got: 2"):
        stage.terminate("a")
    stage.terminate_process(stage.process("a"))
    stage.terminate("a")
    assert stage.counts() == (0, 0, 0, 0)


@proves("S71", "S72")
@pytest.mark.parametrize("kind", ["worker", "supervisor"])
def test_counts_follow_the_children_by_type(stage: Stage, kind: str) -> None:
    stage.pool()
    for number in range(2 * stage.crowd):
        stage.start(f"c{number}", type=kind, restart="temporary")
        if number + 1 in {stage.crowd, 2 * stage.crowd}:
            each = (number + 1, 0) if kind == "supervisor" else (0, number + 1)
            assert stage.counts() == (number + 1, number + 1, *each)
    stage.kill(*[f"c{number}" for number in range(2 * stage.crowd)])
    assert stage.counts() == (0, 0, 0, 0)


@proves("S93")
def test_listings_show_the_newest_first_and_a_child_that_ended_is_gone(stage: Stage) -> None:
    stage.pool()
    for child_id in "abc":
        stage.start(child_id)
    assert [entry.id for entry in stage.listing()] == ["c", "b", "a"]
    processes = stage.processes()
    assert len(set(processes.values())) == 3
    for child_id, process in processes.items():
        assert stage.which(child_id) == process
    stage.terminate_process(processes["b"])
    assert [entry.id for entry in stage.listing()] == ["c", "a"]
    with pytest.raises(errors.ChildNotFound):
        stage.which("b")


# Restarting


ENDS = [
    ("E35", "temporary", NORMAL, None),
    ("E35", "temporary", SHUTDOWN, None),
    ("E35", "temporary", CLEAN, None),
    ("E35", "temporary", CRASH, None),
    ("E36", "transient", NORMAL, None),
    ("E36", "transient", SHUTDOWN, None),
    ("E36", "transient", CLEAN, None),
    ("E36", "transient", CRASH, "running"),
    ("E36", "transient", KILLED, "running"),
    ("E37", "permanent", NORMAL, "running"),
    ("E37", "permanent", SHUTDOWN, "running"),
    ("E37", "permanent", CLEAN, "running"),
    ("E37", "permanent", CRASH, "running"),
]


@proves(*(number for number, *_ in ENDS))
@pytest.mark.parametrize(("number", "kind", "reason", "expected"), ENDS)
def test_what_becomes_of_a_child_follows_from_its_type_and_the_reason(
    stage: Stage, number: str, kind: str, reason: ExitReason, expected: str | None
) -> None:
    stage.pool()
    stage.start("a", restart=kind)
    stage.start("b")
    before = stage.processes()
    stage.end("a", reason)
    stage.settle()
    assert stage.statuses().get("a") == expected
    assert stage.process("b") == before["b"]
    if expected == "running":
        assert stage.process("a") != before["a"]


@proves("S35", "E41", "E43")
def test_children_restart_as_they_were_and_the_intensity_is_counted_over_all(
    stage: Stage,
) -> None:
    stage.pool(max_restarts=2)
    specs = {child_id: stage.child(child_id) for child_id in "abc"}
    for spec in specs.values():
        stage.start(spec)
    stage.crash("a", "b")
    assert all(stage.spec(child_id) == spec for child_id, spec in specs.items())
    assert stage.story("start")[3:] == ["start a", "start b"]
    stage.end("c")
    assert stage.exit() == "shutdown"
    assert stage.story("start").count("start c") == 1


@proves("S37", "E32", "E38")
def test_what_a_start_tells_is_the_process_and_a_child_so_started_is_restarted(
    stage: Stage,
) -> None:
    stage.pool()
    assert stage.start("a") == "started"
    before = stage.process("a")
    stage.crash("a")
    assert stage.statuses() == {"a": "running"}
    assert stage.process("a") != before


@proves("S38", "E44")
def test_a_child_that_never_starts_again_takes_its_siblings_down(stage: Stage) -> None:
    stage.starts("b", Up(), Fail())
    stage.pool(max_restarts=4)
    stage.start("a")
    stage.start("b")
    stage.end("b")
    assert stage.exit() == "shutdown"
    assert stage.story("start").count("start b") == 1 + 4
    assert stage.story()[-2:] == ["stop a", "a ended: shutdown"]


@proves("E43")
def test_a_restart_that_fails_exceeds_an_intensity_of_one(stage: Stage) -> None:
    stage.starts("a", Up(), Fail())
    stage.pool(max_restarts=1)
    stage.start("a")
    stage.end("a")
    assert stage.exit() == "shutdown"
    assert stage.story("start") == ["start a", "start a"]


@proves("S40", "E38")
def test_a_child_that_ignores_its_restart_is_dropped(stage: Stage) -> None:
    stage.starts("a", Up(), Ignore())
    stage.pool()
    stage.start("a")
    stage.start("b")
    stage.crash("a")
    assert stage.statuses() == {"b": "running"}
    assert stage.counts() == (1, 1, 0, 1)


@proves("E40")
def test_a_restarted_child_still_occupies_its_place(stage: Stage) -> None:
    stage.pool(max_children=1)
    stage.start("a")
    stage.crash("a")
    with pytest.raises(errors.MaxChildren):
        stage.start("b")


@proves("E42")
def test_one_failed_restart_followed_by_a_success_fits_into_two(stage: Stage) -> None:
    stage.starts("a", Up(), Fail(), Up())
    stage.pool(max_restarts=2)
    stage.start("a")
    stage.crash("a")
    assert stage.statuses() == {"a": "running"}
    assert stage.story("start").count("start a") == 3


def hangs(stage: Stage, child_id: str) -> None:
    """Let a child fail to restart, over and over."""
    stage.starts(child_id, Fail(0.05))
    stage.end(child_id)
    stage.until(lambda: stage.entry(child_id).restarts > 2)


@proves("S73", "E38", "E39")
def test_a_child_stuck_in_restarts_counts_but_not_as_active_and_recovers(stage: Stage) -> None:
    stage.pool(max_restarts=1000, max_children=2)
    stage.start("a")
    stage.start("b")
    hangs(stage, "a")
    assert stage.statuses() == {"a": "restarting", "b": "running"}
    assert stage.counts() == (2, 1, 0, 2)
    with pytest.raises(errors.MaxChildren):
        stage.start("c")
    stage.starts("a", Up())
    stage.settle()
    assert stage.statuses() == {"a": "running", "b": "running"}
    assert stage.counts() == (2, 2, 0, 2)


@proves("S73", "S82", "E57")
def test_a_child_stuck_in_restarts_is_terminated_under_its_old_process(stage: Stage) -> None:
    stage.pool(max_restarts=1000)
    stage.start("a")
    before = stage.process("a")
    hangs(stage, "a")
    with pytest.raises(errors.ChildRestarting):
        stage.restart("a")
    stage.terminate_process(before)
    assert stage.counts() == (0, 0, 0, 0)
    attempts = len(stage.story("start"))
    stage.start("b")
    assert len(stage.story("start")) == attempts + 1


@proves("S82")
def test_a_child_stuck_in_restarts_does_not_keep_the_pool_from_ending(stage: Stage) -> None:
    stage.pool(max_restarts=1000)
    stage.start("a")
    hangs(stage, "a")
    stage.stop()
    assert stage.exit() == "shutdown"


# Stopping


@proves("S36")
def test_children_stop_in_parallel_and_the_slowest_alone_is_waited_for(stage: Stage) -> None:
    stage.pool()
    for child_id in "abcdefgh":
        stage.stops(child_id, Obey(1.0))
        stage.start(child_id)
    stage.stop()
    assert stage.exit() == "shutdown"
    words = [line.split()[0] for line in stage.story()[8:]]
    assert words[:8] == ["stop"] * 8
    assert stage.reasons(*"abcdefgh") == ["shutdown"] * 8


@proves("S18", "E52")
def test_only_the_child_that_ignores_shutdown_is_killed(stage: Stage) -> None:
    stage.pool()
    stage.stops("b", Defy())
    for child_id, limit in (("a", 30.0), ("b", 0.3), ("c", 30.0)):
        stage.start(child_id, shutdown=limit)
    stage.stop()
    assert stage.exit() == "shutdown"
    assert stage.reasons(*"abc") == ["shutdown", "killed", "shutdown"]


@proves("S20", "E47")
def test_children_with_a_brutal_kill_are_all_killed(stage: Stage) -> None:
    stage.pool()
    for number in range(10):
        stage.start(str(number), shutdown="brutal_kill")
    stage.stop()
    assert stage.exit() == "shutdown"
    assert stage.reasons(*map(str, range(10))) == ["killed"] * 10
    assert stage.story("stop", "ended:") == []


@proves("S22", "E49", "E51", "E53")
@pytest.mark.parametrize("limit", [30.0, "infinity"])
def test_any_answer_to_shutdown_leaves_the_supervisor_s_own_reason_alone(
    stage: Stage, limit: object
) -> None:
    answers = {"normal": NORMAL, "shutdown": SHUTDOWN, "done": CLEAN, "crash": CRASH}
    stage.pool()
    for kind in KINDS:
        for answer, reason in answers.items():
            stage.stops(f"{kind} {answer}", Obey(reason=reason))
            stage.start(f"{kind} {answer}", restart=kind, shutdown=limit)
    stage.stop()
    assert stage.exit() == "shutdown"
    for kind in KINDS:
        ended = stage.reasons(*(f"{kind} {answer}" for answer in answers))
        assert ended == [str(reason) for reason in answers.values()]


@proves("E48", "E50")
@pytest.mark.parametrize("limit", ["infinity", 30.0])
def test_children_with_time_to_stop_all_end_by_shutdown(stage: Stage, limit: object) -> None:
    stage.pool()
    for child_id in "abc":
        stage.stops(child_id, Obey(0.2))
        stage.start(child_id, shutdown=limit)
    stage.stop()
    assert stage.exit() == "shutdown"
    assert stage.reasons(*"abc") == ["shutdown"] * 3


@proves("E54")
def test_children_are_stopped_each_in_its_own_way(stage: Stage) -> None:
    stage.pool()
    limits = {"a": 0.2, "b": 30.0, "c": "brutal_kill", "d": "infinity"}
    stage.stops("a", Defy())
    stage.stops("d", Obey(0.4))
    for child_id, limit in limits.items():
        stage.start(child_id, shutdown=limit)
    stage.stop()
    assert stage.exit() == "shutdown"
    assert stage.reasons(*"abcd") == ["killed", "shutdown", "killed", "shutdown"]
