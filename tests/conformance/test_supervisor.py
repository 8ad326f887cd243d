"""OTP's supervisor, by its own test suite: every scene is played by decisions and by processes."""

from collections.abc import Callable

import pytest

from beethoven import errors
from beethoven.runtime.reason import KILLED, NORMAL, SHUTDOWN, ExitReason
from tests.conformance.cases import proves
from tests.conformance.stage import Stage
from tests.supervision_world import CLEAN, CRASH, Defy, Fail, Ignore, Obey, Up

STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")
GROUPS = ("one_for_all", "rest_for_one")
KINDS = ("permanent", "transient", "temporary")

strategies = pytest.mark.parametrize("strategy", STRATEGIES)
groups = pytest.mark.parametrize("strategy", GROUPS)

BOOM = "ValueError: boom"


# Starting


@proves("S1")
def test_a_supervisor_without_children_starts_and_ends_when_told(stage: Stage) -> None:
    stage.tree()
    assert stage.listing() == []
    stage.stop()
    assert stage.exit() == "shutdown"


@proves("S3")
def test_start_child_that_is_ignored_keeps_the_specification_without_a_process(
    stage: Stage,
) -> None:
    stage.tree("a")
    stage.starts("b", Ignore())
    assert stage.start("b") == "ignored"
    assert stage.statuses() == {"a": "running", "b": "stopped"}
    assert stage.process("b") is None
    assert stage.counts() == (2, 1, 0, 2)


@proves("S4")
def test_a_temporary_child_that_ignores_its_start_is_dropped_and_the_start_goes_on(
    stage: Stage,
) -> None:
    stage.starts("a", Ignore())
    stage.tree(stage.child("a", restart="temporary"), "b")
    assert stage.statuses() == {"b": "running"}


@proves("S5")
def test_start_child_of_a_temporary_child_that_is_ignored_keeps_nothing(stage: Stage) -> None:
    stage.tree()
    stage.starts("a", Ignore())
    assert stage.start("a", restart="temporary") == "ignored"
    assert stage.statuses() == {}


@proves("S10")
def test_start_child_that_fails_tells_why_and_discards_the_specification(stage: Stage) -> None:
    stage.tree()
    stage.starts("a", Fail())
    with pytest.raises(
        errors.ChildStartFailed, match="child 'a' could not start: ValueError: boom"
    ):
        stage.start("a")
    with pytest.raises(errors.SpecError):
        stage.start("junk", restart="often")
    assert stage.statuses() == {}


@proves("S11")
def test_restart_child_that_fails_tells_why_and_keeps_the_specification(stage: Stage) -> None:
    stage.tree("a")
    stage.terminate("a")
    stage.starts("a", Fail(), Up())
    with pytest.raises(errors.ChildStartFailed, match="boom"):
        stage.restart("a")
    assert stage.statuses() == {"a": "stopped"}
    assert stage.restart("a") == "started"


@proves("S51")
def test_a_failing_start_undoes_the_earlier_ones_and_says_which_child_and_why(
    stage: Stage,
) -> None:
    stage.starts("c", Fail())
    with pytest.raises(errors.StartFailed) as caught:
        stage.tree("a", "b", stage.child("c", restart="temporary"), "d")
    assert stage.story()[-4:] == ["stop b", "b ended: shutdown", "stop a", "a ended: shutdown"]
    assert "start d" not in stage.story()
    assert str(caught.value.reason) == f"shutdown: failed to start child 'c': {BOOM}"
    assert caught.value.reason.traceback


# Stopping


@proves("S16")
def test_infinity_is_legal_for_workers_and_supervisors(stage: Stage) -> None:
    for child_id in "ab":
        stage.stops(child_id, Obey(0.3))
    stage.tree(
        stage.child("a", shutdown="infinity"),
        stage.child("b", shutdown="infinity", type="supervisor"),
    )
    stage.stop()
    assert stage.exit() == "shutdown"
    assert stage.reasons("a", "b") == ["shutdown", "shutdown"]


@proves("S17")
def test_a_child_that_ignores_shutdown_is_killed_when_its_time_is_over(stage: Stage) -> None:
    stage.stops("b", Defy())
    stage.tree("a", stage.child("b", shutdown=0.2))
    stage.stop()
    assert stage.exit() == "shutdown"
    assert stage.reasons("a", "b") == ["shutdown", "killed"]
    assert stage.story()[2:] == ["stop b", "stop a", "a ended: shutdown"]


@proves("S19")
def test_a_brutal_kill_leaves_no_time_to_clean_up(stage: Stage) -> None:
    stage.tree("a", stage.child("b", shutdown="brutal_kill"))
    stage.stop()
    assert stage.exit() == "shutdown"
    assert stage.reasons("a", "b") == ["shutdown", "killed"]
    assert stage.story()[2:] == ["stop a", "a ended: shutdown"]


@proves("S21")
def test_children_that_end_by_themselves_while_the_supervisor_stops_are_not_restarted(
    stage: Stage,
) -> None:
    reasons = {"normal": NORMAL, "shutdown": SHUTDOWN, "done": CLEAN, "crash": CRASH}
    children = [
        stage.child(f"{kind} {reason}", restart=kind) for kind in KINDS for reason in reasons
    ]
    stage.stops("slow", Defy())
    stage.tree(*children, stage.child("slow", shutdown="infinity"))
    stage.stop()
    stage.until(lambda: "stop slow" in stage.story())
    for child in children:
        stage.end(child.id, reasons[child.id.split()[1]])
    stage.kill("slow")
    assert stage.exit() == "shutdown"
    assert len(stage.story("start")) == len(children) + 1
    own = [str(reasons[child.id.split()[1]]) for child in children]
    assert stage.reasons(*(child.id for child in children)) == own


@proves("S87")
def test_children_start_in_list_order_and_stop_in_reverse_in_part_and_in_full(
    stage: Stage,
) -> None:
    stage.tree(*"dbeac", strategy="rest_for_one")
    assert stage.story("start") == ["start d", "start b", "start e", "start a", "start c"]
    stage.crash("b")
    stage.stop()
    assert stage.exit() == "shutdown"
    assert stage.story("start", "stop")[5:] == [
        *("stop c", "stop a", "stop e"),
        *("start b", "start e", "start a", "start c"),
        *("stop c", "stop a", "stop e", "stop b", "stop d"),
    ]
    for child_id in "cae":
        first = stage.story().index(f"{child_id} ended: shutdown")
        assert stage.story()[first - 1] == f"stop {child_id}"


# Management


@proves("S23", "E16")
def test_the_life_of_a_child_by_hand(stage: Stage) -> None:
    stage.tree()
    assert stage.start("a") == "started"
    assert stage.counts() == (1, 1, 0, 1)
    for refused in (stage.start, stage.restart, stage.delete):
        with pytest.raises(errors.ChildRunning):
            refused("a")
    with pytest.raises(errors.ChildNotFound):
        stage.terminate_process(stage.process("a"))
    stage.terminate("a")
    stage.terminate("a")
    assert stage.counts() == (1, 0, 0, 1)
    with pytest.raises(errors.ChildAlreadyPresent):
        stage.start("a")
    assert stage.restart("a") == "started"
    stage.terminate("a")
    stage.delete("a")
    for unknown in (stage.terminate, stage.restart, stage.delete, stage.spec):
        with pytest.raises(errors.ChildNotFound):
            unknown("a")
    assert stage.counts() == (0, 0, 0, 0)


@proves("S25")
def test_start_and_restart_tell_the_process_and_a_child_so_started_is_restarted(
    stage: Stage,
) -> None:
    stage.tree()
    assert stage.start("a") == "started"
    stage.terminate("a")
    assert stage.restart("a") == "started"
    before = stage.process("a")
    stage.crash("a")
    assert stage.process("a") not in {before, None}


@proves("S76")
@pytest.mark.parametrize("kind", KINDS)
def test_a_temporary_id_is_free_after_any_end_and_others_are_present(
    stage: Stage, kind: str
) -> None:
    stage.tree(max_restarts=10)
    stage.start("a", restart=kind)
    with pytest.raises(errors.ChildRunning):
        stage.start("a", restart=kind)
    stage.terminate("a")
    if kind != "temporary":
        with pytest.raises(errors.ChildAlreadyPresent):
            stage.start("a", restart=kind)
        stage.restart("a")
        stage.end("a", NORMAL)
        stage.settle()
        present = errors.ChildAlreadyPresent if kind == "transient" else errors.ChildRunning
        with pytest.raises(present):
            stage.start("a", restart=kind)
        return
    for reason in (NORMAL, SHUTDOWN, CRASH, KILLED):
        assert stage.start("a", restart=kind) == "started"
        stage.end("a", reason)
        assert stage.statuses() == {}


@proves("S92")
def test_listings_show_the_newest_first_and_what_is_deleted_disappears(stage: Stage) -> None:
    stage.tree("a", "b")
    stage.start("c")
    stage.terminate("b")
    assert [(entry.id, str(entry.status)) for entry in stage.listing()] == [
        *(("c", "running"), ("b", "stopped"), ("a", "running"))
    ]
    assert stage.which("a") == stage.process("a")
    assert stage.which("b") is None
    stage.delete("b")
    assert list(stage.statuses()) == ["a", "c"]
    with pytest.raises(errors.ChildNotFound):
        stage.which("b")


# Strategies


@proves("S29")
def test_crashes_further_apart_than_the_window_never_end_the_supervisor(stage: Stage) -> None:
    stage.tree("a", max_restarts=1, max_seconds=0.2)
    for _ in range(4):
        stage.crash("a")
        assert stage.statuses() == {"a": "running"}
        stage.elapse(0.3)


@proves("S30")
def test_one_for_one_replaces_only_the_crashed_child_and_ends_at_the_third_of_two(
    stage: Stage,
) -> None:
    stage.tree("a", "b", max_restarts=2, max_seconds=60)
    untouched = stage.process("b")
    stage.crash("a", "a")
    assert stage.process("b") == untouched
    assert stage.story()[2:] == [f"a ended: {BOOM}", "start a", f"a ended: {BOOM}", "start a"]
    stage.end("a")
    assert stage.exit() == "shutdown"
    assert stage.story()[6:] == [f"a ended: {BOOM}", "stop b", "b ended: shutdown"]


@proves("S31", "S33", "S42")
@strategies
def test_a_child_that_never_starts_again_spends_exactly_the_intensity_then_all_end(
    stage: Stage, strategy: str
) -> None:
    stage.starts("b", Up(), Fail())
    stage.tree("a", "b", strategy=strategy, max_restarts=4, max_seconds=60)
    stage.end("b" if strategy == "one_for_one" else "a")
    assert stage.exit() == "shutdown"
    assert stage.story("start").count("start b") == 1 + 4
    assert stage.story()[-1] == "a ended: shutdown"


@proves("S32")
def test_one_for_all_replaces_every_child_and_ends_at_the_third_of_two(stage: Stage) -> None:
    stage.tree("a", "b", "c", strategy="one_for_all", max_restarts=2, max_seconds=60)
    before = set(stage.processes().values())
    stage.crash("b")
    assert not before & set(stage.processes().values())
    assert stage.statuses() == {"a": "running", "b": "running", "c": "running"}
    stage.crash("a")
    stage.end("c")
    assert stage.exit() == "shutdown"


@proves("S34")
def test_one_for_all_begins_again_when_a_sibling_fails_to_restart(stage: Stage) -> None:
    stage.starts("b", Up(), Fail(), Up())
    stage.tree("a", "b", strategy="one_for_all")
    stage.crash("a")
    assert stage.story()[2:] == [
        f"a ended: {BOOM}",
        *("stop b", "b ended: shutdown"),
        *("start a", "start b", f"b ended: {BOOM}"),
        *("stop a", "a ended: shutdown"),
        *("start a", "start b"),
    ]


@proves("S41")
def test_rest_for_one_restarts_the_later_ones_and_ends_at_the_third_of_two(stage: Stage) -> None:
    stage.tree("a", "b", "c", strategy="rest_for_one", max_restarts=2, max_seconds=60)
    untouched = stage.process("a")
    stage.crash("b")
    assert stage.story()[3:] == [
        f"b ended: {BOOM}",
        *("stop c", "c ended: shutdown"),
        *("start b", "start c"),
    ]
    assert stage.process("a") == untouched
    stage.crash("b")
    stage.end("b")
    assert stage.exit() == "shutdown"


@proves("S43")
def test_rest_for_one_goes_on_at_the_child_that_failed_to_restart(stage: Stage) -> None:
    stage.starts("b", Up(), Fail(), Up())
    stage.tree("a", "b", "c", strategy="rest_for_one")
    stage.crash("a")
    assert stage.story("start")[3:] == ["start a", "start b", "start b", "start c"]
    assert stage.story("stop") == ["stop c", "stop b"]


ENDS = [
    ("S45", "permanent", NORMAL, "running"),
    ("S46", "transient", NORMAL, "stopped"),
    ("S47", "temporary", NORMAL, None),
    ("S48", "permanent", SHUTDOWN, "running"),
    ("S48", "permanent", CLEAN, "running"),
    ("S49", "transient", SHUTDOWN, "stopped"),
    ("S49", "transient", CLEAN, "stopped"),
    ("S50", "temporary", SHUTDOWN, None),
    ("S50", "temporary", CLEAN, None),
    ("S52", "permanent", CRASH, "running"),
    ("S53", "transient", CRASH, "running"),
    ("S53", "transient", KILLED, "running"),
    ("S54", "temporary", CRASH, None),
]


@proves(*(number for number, *_ in ENDS))
@pytest.mark.parametrize(("number", "kind", "reason", "expected"), ENDS)
def test_what_becomes_of_a_child_follows_from_its_type_and_the_reason(
    stage: Stage, number: str, kind: str, reason: ExitReason, expected: str | None
) -> None:
    stage.tree(stage.child("a", restart=kind), "b", strategy="one_for_all")
    before = stage.processes()
    stage.end("a", reason)
    stage.settle()
    assert stage.statuses().get("a") == expected
    assert (stage.process("b") != before["b"]) is (expected == "running")
    if expected == "running":
        assert stage.process("a") != before["a"]
    elif expected == "stopped":
        assert stage.process("a") is None
        assert stage.restart("a") == "started"
    else:
        assert stage.start("a", restart=kind) == "started"


@proves("S56")
@groups
def test_a_group_restart_also_starts_the_sibling_that_was_terminated_by_hand(
    stage: Stage, strategy: str
) -> None:
    stage.tree("a", "b", "c", strategy=strategy)
    stage.terminate("a")
    stage.terminate("c")
    stage.crash("b")
    first = "running" if strategy == "one_for_all" else "stopped"
    assert stage.statuses() == {"a": first, "b": "running", "c": "running"}


@proves("S78")
@groups
def test_a_temporary_sibling_is_removed_by_a_group_restart_and_does_not_disturb_it(
    stage: Stage, strategy: str
) -> None:
    temporary = stage.child("t", restart="temporary")
    stage.tree("a", temporary, "b", strategy=strategy, max_restarts=1)
    stage.crash("a")
    assert stage.statuses() == {"a": "running", "b": "running"}
    assert stage.story("start").count("start t") == 1


def hangs(stage: Stage) -> None:
    """Let b fail to restart, over and over."""
    stage.starts("b", Fail(0.05))
    stage.end("b")
    stage.until(lambda: stage.entry("b").restarts > 2)


@proves("S80")
@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all"])
def test_while_a_restart_keeps_failing_every_call_is_answered_and_a_shutdown_obeyed(
    stage: Stage, strategy: str
) -> None:
    stage.tree("a", "b", strategy=strategy, max_restarts=1000)
    hangs(stage)
    assert stage.statuses()["b"] == "restarting"
    with pytest.raises(errors.ChildAlreadyPresent):
        stage.start("b")
    for refused in (stage.restart, stage.delete):
        with pytest.raises(errors.ChildRestarting):
            refused("b")
    stage.terminate("b")
    stage.settle()
    assert stage.statuses() == {"a": "running", "b": "stopped"}
    stage.starts("b", Up())
    stage.restart("b")
    hangs(stage)
    stage.stop()
    assert stage.exit() == "shutdown"


@proves("S81")
def test_under_rest_for_one_the_earlier_child_is_untouched_and_the_later_awaits_its_turn(
    stage: Stage,
) -> None:
    stage.tree("a", "b", "c", strategy="rest_for_one", max_restarts=1000)
    untouched = stage.process("a")
    hangs(stage)
    assert stage.statuses() == {"a": "running", "b": "restarting", "c": "restarting"}
    assert stage.process("c") is None
    assert stage.process("a") == untouched
    stage.terminate("b")
    stage.settle()
    assert stage.statuses() == {"a": "running", "b": "stopped", "c": "running"}


# Automatic shutdown


@proves("S57", "S58")
@pytest.mark.parametrize("mode", ["never", "any_significant", "all_significant"])
@pytest.mark.parametrize("kind", ["temporary", "transient"])
def test_children_that_are_not_significant_never_trigger_an_auto_shutdown(
    stage: Stage, kind: str, mode: str
) -> None:
    reasons = (NORMAL, SHUTDOWN, CLEAN, CRASH, KILLED)
    children = [stage.child(f"c{number}", restart=kind) for number in range(len(reasons))]
    stage.tree(*children, "z", auto_shutdown=mode, max_restarts=len(reasons))
    for child, reason in zip(children, reasons, strict=True):
        stage.end(child.id, reason)
        stage.settle()
    assert stage.is_alive()
    assert stage.statuses()["z"] == "running"


@proves("S59")
@pytest.mark.parametrize("reason", [NORMAL, CRASH, KILLED], ids=str)
def test_any_own_end_of_a_significant_temporary_child_triggers_but_terminate_child_does_not(
    stage: Stage, reason: ExitReason
) -> None:
    children = [stage.child(i, restart="temporary", significant=True) for i in "ab"]
    stage.tree(*children, "c", auto_shutdown="any_significant")
    stage.terminate("b")
    assert stage.is_alive()
    stage.end("a", reason)
    assert stage.exit() == "shutdown"
    assert stage.story()[-1] == "c ended: shutdown"


@proves("S59")
def test_all_significant_waits_for_the_last_one(stage: Stage) -> None:
    children = [stage.child(i, restart="temporary", significant=True) for i in "abd"]
    stage.tree(*children, "c", auto_shutdown="all_significant")
    stage.end("a", CRASH)
    stage.settle()
    stage.terminate("d")
    assert stage.statuses() == {"b": "running", "c": "running"}
    stage.end("b", NORMAL)
    assert stage.exit() == "shutdown"


@proves("S60")
@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN, CLEAN], ids=str)
def test_a_significant_transient_child_triggers_only_when_it_is_not_restarted(
    stage: Stage, reason: ExitReason
) -> None:
    child = stage.child("a", restart="transient", significant=True)
    stage.tree(child, "b", auto_shutdown="any_significant")
    stage.crash("a")
    assert stage.statuses() == {"a": "running", "b": "running"}
    stage.end("a", reason)
    assert stage.exit() == "shutdown"


@proves("S62")
@groups
def test_significant_children_terminated_because_of_a_sibling_do_not_trigger(
    stage: Stage, strategy: str
) -> None:
    stage.tree(
        "a",
        stage.child("b", restart="temporary", significant=True),
        stage.child("c", restart="transient", significant=True),
        strategy=strategy,
        auto_shutdown="any_significant",
    )
    stage.crash("a")
    assert stage.statuses() == {"a": "running", "c": "running"}


# Several deaths at once (otp.md 1.7)


@pytest.mark.parametrize(("strategy", "spent"), [("one_for_all", 1), ("one_for_one", 2)])
def test_children_dead_at_once_count_once_under_one_for_all_and_each_under_one_for_one(
    stage: Stage, strategy: str, spent: int
) -> None:
    stage.tree("a", "b", strategy=strategy, max_restarts=spent)
    stage.kill("a", "b")
    stage.settle()
    assert stage.statuses() == {"a": "running", "b": "running"}


def test_children_dead_at_once_may_exceed_the_intensity_together(stage: Stage) -> None:
    stage.tree("a", "b", max_restarts=1, max_seconds=60)
    stage.kill("a", "b")
    assert stage.exit() == "shutdown"


# Validation


@proves("E14")
def test_start_child_refuses_what_is_no_specification_and_the_supervisor_survives(
    stage: Stage,
) -> None:
    stage.tree("a")
    wrong: list[Callable[[], object]] = [
        lambda: stage.child(""),
        lambda: stage.child("b", shutdown="soon"),
        lambda: stage.child("b", shutdown=-1),
        lambda: stage.start({"id": "b"}),  # type: ignore[arg-type]
        lambda: stage.start(stage.child("b", restart="transient", significant=True)),
    ]
    for each in wrong:
        with pytest.raises(errors.SpecError):
            each()
    assert stage.statuses() == {"a": "running"}


@proves("E12", "E15")
@pytest.mark.parametrize("limit", [0, 1])
def test_start_child_takes_a_specification_with_a_short_shutdown(stage: Stage, limit: int) -> None:
    stage.tree()
    assert stage.start("a", shutdown=limit) == "started"
    assert stage.spec("a").shutdown == limit
    stage.stops("a", Defy())
    stage.terminate("a")
    assert stage.reasons("a") == ["killed"]
