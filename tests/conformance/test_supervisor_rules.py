"""What supervisors are told, what they report, how long they wait: rules without a process."""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from beethoven import ChildSpec, DynamicSupervisor, Role, Supervisor, errors
from beethoven.runtime.reason import NORMAL, SHUTDOWN
from beethoven.supervision import events as ev
from beethoven.supervision.child_spec import DynamicFlags, SupervisorFlags
from tests.conformance.cases import proves
from tests.supervision_world import (
    CLEAN,
    CRASH,
    Defy,
    Obey,
    Server,
    Up,
    World,
    dynamic,
    spec,
    supervisor,
)

KINDS = ("permanent", "transient", "temporary")
STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")
LIMITS = (0, 1, 5.0, "infinity", "brutal_kill")


def stop(world: World) -> None:
    world.deliver(ev.ShutdownRequested(SHUTDOWN))


# Specifications and flags


@proves("S13")
def test_a_specification_has_the_defaults_of_otp() -> None:
    world = supervisor("a").begin()
    worker = world.ask(ev.GetChildSpecRequested, "a")
    assert worker == ChildSpec(
        "a", Server, None, restart="permanent", shutdown=5.0, type="worker", significant=False
    )
    assert spec("b", type="supervisor").shutdown == "infinity"
    assert isinstance(world.ask(ev.GetChildSpecRequested, "x"), errors.ChildNotFound)


@proves("E3", "E20")
def test_flags_have_the_defaults_of_elixir() -> None:
    flags = SupervisorFlags()
    assert (flags.strategy, flags.auto_shutdown) == ("one_for_one", "never")
    assert (flags.max_restarts, flags.max_seconds) == (3, 5.0)
    pool = DynamicFlags()
    assert (pool.max_restarts, pool.max_seconds, pool.max_children) == (3, 5.0, None)


@proves("S15")
def test_what_is_no_specification_is_refused_where_it_is_written() -> None:
    make: Any = ChildSpec
    for arguments in ((), ("a",)):
        with pytest.raises(TypeError, match="missing"):
            make(*arguments)
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        make("a", Server, colour="red")
    for children in ([spec("a"), {"id": "b"}], [spec("a"), Server], [spec("a"), ("b", Server)]):
        with pytest.raises(errors.SpecError, match=r"children\[1\] to be a ChildSpec"):
            supervisor(*children)  # type: ignore[arg-type]
    world = supervisor().begin()
    assert isinstance(world.ask(ev.StartChildRequested, "a"), errors.SpecError)


MALFORMED: list[tuple[dict[str, Any], str]] = [
    ({"id": ""}, "id"),
    ({"id": 5}, "id"),
    ({"role": "Server"}, "role"),
    ({"role": int}, "role"),
    ({"restart": "often"}, "restart"),
    ({"shutdown": -1}, "shutdown"),
    ({"shutdown": "soon"}, "shutdown"),
    ({"type": "boss"}, "type"),
    ({"significant": 1}, "significant"),
    ({"significant": True, "restart": "permanent"}, "significant"),
    ({"name": 5}, "name"),
    ({"name": ""}, "name"),
    ({"start_timeout": 0}, "start_timeout"),
]


@proves("S26", "S27", "E14", "E31", "E46")
@pytest.mark.parametrize(("wrong", "field"), MALFORMED, ids=str)
def test_each_malformed_field_is_refused_by_name_before_a_supervisor_is_asked(
    wrong: dict[str, Any], field: str
) -> None:
    with pytest.raises(errors.SpecError) as caught:
        ChildSpec(**{"id": "a", "role": Server, **wrong})
    assert caught.value.field == field


@proves("S26", "S27")
def test_every_legal_combination_passes() -> None:
    children = [
        spec(f"{restart} {limit} {kind} {significant}", restart=restart, shutdown=limit, type=kind)
        for restart in KINDS
        for limit in LIMITS
        for kind in ("worker", "supervisor")
        for significant in ({False, restart != "permanent"})
    ]
    assert len(supervisor(*children, auto_shutdown="any_significant").begin().listing()) == 50


@proves("S26", "S27", "E18")
def test_ids_are_unique_within_a_supervisor() -> None:
    with pytest.raises(errors.SpecError, match="child ids to be unique, got: 'a'"):
        supervisor("a", "b", "a")
    pool = DynamicSupervisor.child_spec("pool")
    with pytest.raises(errors.SpecError, match="child ids to be unique, got: 'pool'"):
        Supervisor.child_spec("inner", [pool, pool])
    other = DynamicSupervisor.child_spec("other", name="other")
    assert Supervisor.child_spec("inner", [pool, other]).is_supervisor


@proves("S27")
@pytest.mark.parametrize("kind", ["transient", "temporary"])
def test_a_significant_child_needs_an_automatic_shutdown(kind: str) -> None:
    child = spec("a", significant=True, restart=kind)
    with pytest.raises(errors.SpecError, match="auto_shutdown"):
        supervisor(child)
    for mode in ("any_significant", "all_significant"):
        supervisor(child, auto_shutdown=mode)


WRONG_FLAGS: list[dict[str, Any]] = [
    {"max_restarts": -1},
    {"max_restarts": 1.5},
    {"max_seconds": 0},
    {"max_seconds": -1},
    {"max_seconds": float("inf")},
]


@proves("S28")
@pytest.mark.parametrize(
    "flags", [*WRONG_FLAGS, {"strategy": "none_for_one"}, {"auto_shutdown": "always"}], ids=str
)
def test_wrong_flags_of_a_supervisor_are_refused_by_name(flags: dict[str, Any]) -> None:
    with pytest.raises(errors.SpecError, match=next(iter(flags))):
        Supervisor.start_link([], **flags)


@proves("E21")
@pytest.mark.parametrize("flags", [*WRONG_FLAGS, {"max_children": -1}], ids=str)
def test_wrong_options_of_a_dynamic_supervisor_are_refused_by_name(flags: dict[str, Any]) -> None:
    with pytest.raises(errors.SpecError, match=next(iter(flags))):
        DynamicSupervisor.start_link(**flags)


@proves("S28", "E21")
@pytest.mark.parametrize("option", ["colour", "extra_arguments"])
def test_options_that_do_not_exist_are_refused(option: str) -> None:
    options: dict[str, Any] = {option: 1}
    with pytest.raises(TypeError, match=option):
        Supervisor.start_link([], **options)
    for unknown in (option, "strategy", "auto_shutdown"):
        options = {unknown: "one_for_one"}
        with pytest.raises(TypeError, match=unknown):
            DynamicSupervisor.start_link(**options)


@proves("E1", "E19")
def test_a_supervisor_makes_its_own_specification_of_which_every_field_can_be_chosen() -> None:
    make: tuple[Callable[..., ChildSpec], ...] = (
        lambda **options: Supervisor.child_spec("inner", [], **options),
        lambda **options: DynamicSupervisor.child_spec("inner", **options),
    )
    for child_spec in make:
        plain = child_spec()
        assert (plain.id, plain.type, plain.restart) == ("inner", "supervisor", "permanent")
        assert plain.shutdown == "infinity"
        chosen = child_spec(restart="transient", shutdown=1, type="worker", name="x")
        assert (chosen.restart, chosen.shutdown) == ("transient", 1.0)
        assert (chosen.type, chosen.name) == ("worker", "x")


class Worker(Role):
    """Any role."""


@proves("E2", "E13", "E29")
def test_a_role_and_its_argument_make_a_specification_of_which_every_field_can_be_changed() -> None:
    for made, args in ((ChildSpec("a", Worker), None), (ChildSpec("a", Worker, 5), 5)):
        assert (made.role, made.args, made.restart, made.type) == (
            *(Worker, args, "permanent", "worker"),
        )
    changed = replace(ChildSpec("a", Worker, 5), id="b", restart="temporary", shutdown=1)
    assert (changed.id, changed.args, changed.restart) == ("b", 5, "temporary")
    assert changed.shutdown == 1.0
    for junk in ("Worker", 5, object()):
        with pytest.raises(errors.SpecError, match="child 'a': expected role to be a"):
            ChildSpec("a", junk)  # type: ignore[arg-type]


@proves("S39", "S75")
@pytest.mark.parametrize("strategy", [*STRATEGIES, "dynamic"])
def test_the_args_of_temporary_children_are_not_kept(strategy: str) -> None:
    world = dynamic() if strategy == "dynamic" else supervisor(strategy=strategy).begin()
    for number in range(3):
        for kind in KINDS:
            child = spec(f"{kind} {number}", args="large", restart=kind)
            world.ask(ev.StartChildRequested, child)
        world.crash(f"temporary {number}")
        world.ask(ev.StartChildRequested, spec(f"other {number}", args="large", restart=kind))
    kept = {name: world.ask(ev.GetChildSpecRequested, name).args for name in world.statuses()}
    assert kept == {
        name: None if name.startswith("other") else "large" for name in world.statuses()
    }


# How long


@proves("S16", "E48")
@pytest.mark.parametrize("options", [{"shutdown": "infinity"}, {"type": "supervisor"}], ids=str)
def test_infinity_has_no_end(options: dict[str, Any]) -> None:
    for world in (supervisor(spec("a", **options)).begin(), dynamic()):
        if not world.running():
            world.ask(ev.StartChildRequested, spec("a", **options))
        world.on_stop["a"] = [Obey(3600.0)]
        stop(world)
        world.advance(3599.0)
        assert world.exit is None
        world.advance(1.0)
        assert world.exit == SHUTDOWN
        assert not world.reported("shutdown_error")


@proves("S17", "E52")
def test_a_child_is_killed_when_its_time_is_over_and_not_before_and_that_is_reported() -> None:
    world = supervisor("a", spec("b", shutdown=1.0)).begin()
    world.on_stop["b"] = [Defy()]
    stop(world)
    world.advance(0.99)
    assert world.exit is None
    world.advance(0.02)
    assert world.cleared()[2:] == [
        *("stop b", "kill b", "b ended: killed"),
        *("stop a", "a ended: shutdown"),
    ]
    assert world.exit == SHUTDOWN
    assert world.reported("shutdown_error") == ["b"]


@proves("S18", "E52", "E54")
def test_of_dynamic_children_only_the_slow_one_is_killed_when_its_own_time_is_over() -> None:
    world = dynamic()
    for child_id, limit in (("a", 1.0), ("b", 1.0), ("c", "brutal_kill"), ("d", "infinity")):
        world.ask(ev.StartChildRequested, spec(child_id, shutdown=limit))
    world.on_stop["b"] = [Defy()]
    stop(world)
    world.advance(1.0)
    assert [line for line in world.trace if line.startswith("kill")] == ["kill c", "kill b"]
    assert world.exit == SHUTDOWN


@proves("S36")
def test_dynamic_children_take_as_long_to_stop_as_the_slowest() -> None:
    world = dynamic()
    for number in range(20):
        world.on_stop[str(number)] = [Obey(1.0)]
        world.ask(ev.StartChildRequested, spec(str(number)))
    stop(world)
    world.advance(0.99)
    assert world.exit is None
    world.advance(0.01)
    assert world.exit == SHUTDOWN


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_child_that_dies_while_a_later_one_starts_is_restarted_and_the_start_goes_on(
    strategy: str,
) -> None:
    """otp.md 1.5.5."""
    world = supervisor("a", "slow", strategy=strategy)
    world.init["slow"] = [Up(1.0)]
    world.begin()
    world.crash("a")
    assert not world.is_reported_started
    world.advance(1.0)
    assert world.is_reported_started
    world.advance(1.0)
    assert sorted(world.running()) == ["a", "slow"]


@pytest.mark.parametrize(("order", "spent"), [("ab", 1), ("ba", 2)])
def test_under_rest_for_one_two_dead_at_once_count_once_if_the_earlier_is_heard_of_first(
    order: str, spent: int
) -> None:
    """otp.md 1.7."""
    world = supervisor("a", "b", strategy="rest_for_one", max_restarts=spent).begin()
    world.crash(*order)
    assert sorted(world.running()) == ["a", "b"]
    world = supervisor("a", "b", strategy="rest_for_one", max_restarts=spent - 1).begin()
    world.crash(*order)
    assert world.exit == SHUTDOWN


# Reports


@proves("S19", "S20", "E47")
def test_killed_is_the_expected_answer_to_a_brutal_kill() -> None:
    world = supervisor("a", spec("b", shutdown="brutal_kill")).begin()
    stop(world)
    assert world.trace[2:] == ["kill b", "b ended: killed", "stop a", "a ended: shutdown"]
    assert not world.reported("shutdown_error")


@proves("S22", "E49", "E51", "E53")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN, CLEAN, CRASH], ids=str)
def test_an_unexpected_answer_to_shutdown_is_reported(kind: str, reason: Any) -> None:
    world = dynamic()
    world.ask(ev.StartChildRequested, spec("a", restart=kind))
    world.on_stop["a"] = [Obey(reason=reason)]
    stop(world)
    assert world.exit == SHUTDOWN
    is_expected = reason == SHUTDOWN or (not reason.is_abnormal and kind != "permanent")
    assert world.reported("shutdown_error") == ([] if is_expected else ["a"])


@proves("S30")
def test_an_intensity_that_is_exceeded_is_reported() -> None:
    world = supervisor("a", "b", max_restarts=0).begin()
    world.crash("a")
    assert world.reported("intensity_exceeded") == ["a"]


@proves("S44")
def test_a_start_by_start_child_is_reported_at_debug_level() -> None:
    world = supervisor("a").begin()
    world.ask(ev.StartChildRequested, spec("b"))
    levels = {r.fields["child"]: r.level for r in world.reports if r.event == "child_started"}
    assert levels == {"a": "info", "b": "debug"}


# Many children


def effort(action: Callable[[], object]) -> int:
    """Return how many lines of Beethoven an action runs."""
    lines = 0

    def count(frame: Any, event: str, _: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return count if "/beethoven/supervision/" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(count)
    try:
        action()
    finally:
        sys.settrace(before)
    return lines


def run_static(many: int) -> None:
    world = supervisor(*map(str, range(many)))
    world.begin()
    assert len(world.running()) == many
    stop(world)
    assert world.exit == SHUTDOWN


def run_dynamic(many: int) -> None:
    world = dynamic()
    for number in range(many):
        child = spec(str(number), restart="temporary")
        world.deliver(ev.StartChildRequested(number, child))
        world.asked.append(number)
    attempts = list(world.processes)
    for attempt in attempts[: many // 2]:
        world.ask(ev.TerminateDynamicChildRequested, attempt)
    stop(world)
    assert world.exit == SHUTDOWN


@proves("S77", "S88")
@pytest.mark.parametrize("run", [run_static, run_dynamic])
def test_ten_times_as_many_children_take_ten_times_the_effort(run: Callable[[int], None]) -> None:
    few, many = effort(lambda: run(100)), effort(lambda: run(1000))
    assert 9 * few < many < 11 * few
