"""
OTP's supervisor, by its own test suite: the cases that decisions alone can prove.

Numbers are those of otp.md §4.1 (S) and §4.3 (E). `tests/supervision_world.py` plays the processes.
"""

from collections.abc import Callable

import pytest

from beethoven import errors
from beethoven.runtime.reason import KILLED, NORMAL, SHUTDOWN, ExitReason
from beethoven.supervision import events as ev
from beethoven.supervision.child_spec import ChildSpec, DynamicFlags, SupervisorFlags
from beethoven.vocabulary import ChildType
from tests.supervision_world import (
    CLEAN,
    CRASH,
    OK,
    Defy,
    Fail,
    Ignore,
    Obey,
    Server,
    Up,
    World,
    dynamic,
    spec,
    supervisor,
)

Case = Callable[[], None]
CASES = []


def case(rule: str) -> Callable[[Case], Case]:
    """Add a function to the table, under the number and the sentence it proves."""

    def add(function: Case) -> Case:
        CASES.append(pytest.param(function, id=rule))
        return function

    return add


def start(world: World, child_id: str, **options: object) -> object:
    return world.ask(ev.StartChildRequested, spec(child_id, **options))


def attempt_of(reply: object) -> int:
    assert isinstance(reply, ev.Started)
    return reply.attempt


def stop(world: World, reason: ExitReason = SHUTDOWN) -> None:
    world.deliver(ev.ShutdownRequested(reason))


def terminate(world: World, child_id: str) -> object:
    return world.ask(ev.TerminateChildRequested, child_id)


def restart(world: World, child_id: str) -> object:
    return world.ask(ev.RestartChildRequested, child_id)


def delete(world: World, child_id: str) -> object:
    return world.ask(ev.DeleteChildRequested, child_id)


@case("S1 a supervisor without children starts, and its parent's shutdown ends it")
def _() -> None:
    world = supervisor().begin()
    assert world.is_reported_started
    stop(world)
    assert world.exit == SHUTDOWN


@case("S3 start_child that is ignored keeps the specification without a process")
def _() -> None:
    world = supervisor("a").begin()
    world.init["b"] = [Ignore()]
    assert start(world, "b") == ev.Ignored()
    assert world.statuses() == {"a": "running", "b": "stopped"}
    assert world.counts() == (2, 1, 0, 2)


@case("S4 a temporary child that ignores its start is dropped, and the start goes on")
def _() -> None:
    world = supervisor(spec("a", restart="temporary"), "b")
    world.init["a"] = [Ignore()]
    assert world.begin().statuses() == {"b": "running"}
    assert world.is_reported_started


@case("S5 start_child of a temporary child that is ignored keeps nothing")
def _() -> None:
    world = supervisor().begin()
    world.init["a"] = [Ignore()]
    assert start(world, "a", restart="temporary") == ev.Ignored()
    assert world.statuses() == {}


@case("S6 S7 E32 a dynamic child that ignores its start is not recorded")
def _() -> None:
    world = dynamic()
    world.init["a"] = [Ignore()]
    assert start(world, "a", restart="temporary") == ev.Ignored()
    assert start(world, "a", restart="permanent") == ev.Ignored()
    assert world.counts() == (0, 0, 0, 0)
    stop(world)
    assert world.exit == SHUTDOWN


@case("S10 start_child that fails yields the error, and the specification is discarded")
def _() -> None:
    world = supervisor().begin()
    world.init["a"] = [Fail()]
    reply = start(world, "a")
    assert isinstance(reply, errors.ChildStartFailed)
    assert reply.reason == CRASH
    assert world.statuses() == {}


@case("S11 restart_child that fails yields the error, and keeps the specification")
def _() -> None:
    world = supervisor("a").begin()
    terminate(world, "a")
    world.init["a"] = [Fail()]
    assert isinstance(restart(world, "a"), errors.ChildStartFailed)
    assert world.statuses() == {"a": "stopped"}


@case("S12 E33 a dynamic start that fails records nothing")
def _() -> None:
    world = dynamic()
    world.init["a"] = [Fail()]
    assert isinstance(start(world, "a"), errors.ChildStartFailed)
    assert world.counts() == (0, 0, 0, 0)


@case("S13 E3 E20 defaults: permanent, worker, 5 s; infinity for a supervisor; 3 in 5 s")
def _() -> None:
    world = supervisor("a").begin()
    worker = world.ask(ev.GetChildSpecRequested, "a")
    assert (worker.restart, worker.type, worker.shutdown) == ("permanent", "worker", 5.0)
    assert spec("b", type=ChildType.SUPERVISOR).shutdown == "infinity"
    assert isinstance(world.ask(ev.GetChildSpecRequested, "x"), errors.ChildNotFound)
    flags, dynamic_flags = SupervisorFlags(), DynamicFlags()
    assert (flags.max_restarts, flags.max_seconds, flags.auto_shutdown) == (3, 5.0, "never")
    assert (dynamic_flags.max_restarts, dynamic_flags.max_seconds) == (3, 5.0)
    assert dynamic_flags.max_children is None


@case("S15 what is no specification is refused")
def _() -> None:
    with pytest.raises(errors.SpecError, match=r"children\[1\] to be a ChildSpec"):
        supervisor("a", {"id": "b"})  # type: ignore[arg-type]
    world = supervisor().begin()
    assert isinstance(world.ask(ev.StartChildRequested, "a"), errors.SpecError)


@case("S16 E48 infinity is legal for workers and supervisors")
def _() -> None:
    children = [spec("a", shutdown="infinity"), spec("b", type="supervisor")]
    world = supervisor(*children).begin()
    world.on_stop["a"] = world.on_stop["b"] = [Obey(3600.0)]
    stop(world)
    world.advance(7200.0)
    assert world.exit == SHUTDOWN
    assert not world.reported("shutdown_error")


@case("S17 E52 a child that ignores shutdown is killed when its time is over, and reported")
def _() -> None:
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


@case("S18 E52 E54 of dynamic children only the slow one is killed")
def _() -> None:
    world = dynamic()
    for child_id, limit in (("a", 1.0), ("b", 1.0), ("c", "brutal_kill"), ("d", "infinity")):
        start(world, child_id, shutdown=limit)
    world.on_stop["b"] = [Defy()]
    stop(world)
    world.advance(1.0)
    assert [line for line in world.trace if line.startswith("kill")] == ["kill c", "kill b"]
    assert world.exit == SHUTDOWN


@case("S19 S20 E47 brutal_kill gives no time, and killed is the expected answer")
def _() -> None:
    world = supervisor("a", spec("b", shutdown="brutal_kill")).begin()
    stop(world)
    assert world.trace[2:] == ["kill b", "b ended: killed", "stop a", "a ended: shutdown"]
    assert not world.reported("shutdown_error")


@case("S21 children that end by themselves while the supervisor stops are not restarted")
def _() -> None:
    children = [
        spec(f"{kind} {reason}", restart=kind)
        for kind in ("permanent", "transient", "temporary")
        for reason in ("normal", "shutdown", "done", "crash")
    ]
    world = supervisor(*children, "slow").begin()
    world.on_stop["slow"] = [Obey(1.0)]
    stop(world)
    reasons = {"normal": NORMAL, "shutdown": SHUTDOWN, "done": CLEAN, "crash": CRASH}
    for child in children:
        world.crash(child.id, reason=reasons[child.id.split()[1]])
    world.advance(1.0)
    assert world.exit == SHUTDOWN
    assert len([line for line in world.trace if line.startswith("start")]) == len(children) + 1


@case("S22 E49 E51 E53 any answer to shutdown leaves the supervisor's own reason alone")
def _() -> None:
    for kind in ("permanent", "transient", "temporary"):
        for reason in (NORMAL, SHUTDOWN, CLEAN, CRASH):
            world = dynamic()
            start(world, "a", restart=kind)
            world.on_stop["a"] = [Obey(reason=reason)]
            stop(world)
            assert world.exit == SHUTDOWN
            is_expected = reason == SHUTDOWN or (not reason.is_abnormal and kind != "permanent")
            assert world.reported("shutdown_error") == ([] if is_expected else ["a"])


@case("S23 E16 the life of a child by hand: start, terminate, restart, delete")
def _() -> None:
    world = supervisor().begin()
    assert isinstance(start(world, "a"), ev.Started)
    assert world.counts() == (1, 1, 0, 1)
    assert isinstance(start(world, "a"), errors.ChildRunning)
    assert isinstance(restart(world, "a"), errors.ChildRunning)
    assert isinstance(delete(world, "a"), errors.ChildRunning)
    assert terminate(world, "a") == OK
    assert terminate(world, "a") == OK
    assert world.counts() == (1, 0, 0, 1)
    assert isinstance(start(world, "a"), errors.ChildAlreadyPresent)
    assert isinstance(restart(world, "a"), ev.Started)
    by_attempt = world.ask(ev.TerminateDynamicChildRequested, world.attempt("a"))
    assert isinstance(by_attempt, errors.ChildNotFound)
    assert terminate(world, "a") == OK
    assert delete(world, "a") == OK
    for verb in (terminate, restart, delete):
        assert isinstance(verb(world, "a"), errors.ChildNotFound)
    assert world.counts() == (0, 0, 0, 0)


@case("S24 E55 E56 a dynamic child is terminated by its process; what ended is not found")
def _() -> None:
    for limit in ("brutal_kill", 1.0):
        world = dynamic()
        attempt = attempt_of(start(world, "a", shutdown=limit))
        assert world.ask(ev.TerminateDynamicChildRequested, attempt) == OK
        gone = world.ask(ev.TerminateDynamicChildRequested, attempt)
        assert isinstance(gone, errors.ChildNotFound)
        assert world.counts() == (0, 0, 0, 0)
        assert isinstance(delete(world, "a"), errors.SupervisionError)


@case("S26 S27 E14 E46 malformed specifications, duplicates and bad combinations are refused")
def _() -> None:
    for options in (
        {"restart": "often"},
        {"shutdown": -1},
        {"type": "boss"},
        {"significant": 1},
        {"significant": True},
    ):
        with pytest.raises(errors.SpecError):
            spec("a", **options)
    with pytest.raises(errors.SpecError, match="unique"):
        supervisor("a", "a")
    with pytest.raises(errors.SpecError, match="auto_shutdown"):
        supervisor(spec("a", significant=True, restart="transient"))
    assert (spec("a", shutdown=0).shutdown, spec("a", shutdown=1).shutdown) == (0.0, 1.0)


@case("S28 E21 invalid flags are refused")
def _() -> None:
    for flags in (
        {"strategy": "none_for_one"},
        {"max_restarts": -1},
        {"max_seconds": 0},
        {"max_seconds": float("inf")},
        {"auto_shutdown": "always"},
    ):
        with pytest.raises(errors.SpecError):
            SupervisorFlags(**flags)
    with pytest.raises(errors.SpecError):
        DynamicFlags(max_children=-1)


@case("S29 crashes further apart than the window never end the supervisor")
def _() -> None:
    world = supervisor("a", max_restarts=1, max_seconds=1.0).begin()
    for _ in range(10):
        world.crash("a")
        world.advance(2.1)
    assert world.running() == ["a"]


@case("S30 one_for_one replaces only the crashed child, and ends at the third restart of two")
def _() -> None:
    world = supervisor("a", "b", max_restarts=2).begin()
    untouched = world.attempt("b")
    world.cleared()
    for _ in range(2):
        world.crash("a")
        assert world.cleared() == ["a ended: ValueError: boom", "start a"]
    assert world.attempt("b") == untouched
    world.crash("a")
    assert world.cleared() == ["a ended: ValueError: boom", "stop b", "b ended: shutdown"]
    assert world.exit == SHUTDOWN
    assert world.reported("intensity_exceeded") == ["a"]


@case("S31 S33 S42 a child that never starts again spends exactly the intensity, then all end")
def _() -> None:
    for strategy in ("one_for_one", "one_for_all", "rest_for_one"):
        world = supervisor("a", "b", strategy=strategy, max_restarts=4).begin()
        world.init["b"] = [Fail()]
        world.cleared()
        world.crash("b" if strategy == "one_for_one" else "a")
        assert world.trace.count("start b") == 4
        assert world.exit == SHUTDOWN


@case("S32 one_for_all replaces every child, and ends at the third restart of two")
def _() -> None:
    world = supervisor("a", "b", "c", strategy="one_for_all", max_restarts=2).begin()
    before = {world.attempt(child_id) for child_id in "abc"}
    world.crash("b")
    assert not before & {world.attempt(child_id) for child_id in "abc"}
    world.crash("a")
    world.crash("c")
    assert world.exit == SHUTDOWN


@case("S34 one_for_all: a sibling fails to restart, the fresh one is stopped, all start again")
def _() -> None:
    world = supervisor("a", "b", strategy="one_for_all").begin()
    world.init["b"] = [Fail(), Up()]
    world.cleared()
    world.crash("a")
    assert world.trace == [
        "a ended: ValueError: boom",
        *("stop b", "b ended: shutdown"),
        *("start a", "start b", "b ended: ValueError: boom"),
        *("stop a", "a ended: shutdown"),
        *("start a", "start b"),
    ]


@case("S35 E41 E43 dynamic intensity is counted over all children, and ends in shutdown")
def _() -> None:
    world = dynamic(max_restarts=2)
    for child_id in "abc":
        start(world, child_id, args=child_id)
    world.crash("a")
    world.crash("b")
    assert world.ask(ev.GetChildSpecRequested, "a").args == "a"
    world.crash("c")
    assert world.exit == SHUTDOWN


@case("S36 dynamic children stop in parallel: the slowest alone is waited for")
def _() -> None:
    world = dynamic()
    for number in range(20):
        world.on_stop[str(number)] = [Obey(1.0)]
        start(world, str(number))
    stop(world)
    world.advance(1.0)
    assert world.exit == SHUTDOWN


@case("S38 E44 a dynamic child that never starts again takes its siblings down")
def _() -> None:
    world = dynamic(max_restarts=4)
    start(world, "a")
    start(world, "b")
    world.init["b"] = [Fail()]
    world.cleared()
    world.crash("b")
    assert world.trace.count("start b") == 4
    assert world.exit == SHUTDOWN


@case("S40 E38 a dynamic child that ignores its restart is dropped")
def _() -> None:
    world = dynamic()
    start(world, "a")
    world.init["a"] = [Ignore()]
    world.crash("a")
    assert world.counts() == (0, 0, 0, 0)
    assert world.exit is None


@case("S41 rest_for_one restarts the later ones, and ends at the third restart of two")
def _() -> None:
    world = supervisor("a", "b", "c", strategy="rest_for_one", max_restarts=2).begin()
    world.cleared()
    world.crash("b")
    assert world.cleared() == [
        "b ended: ValueError: boom",
        *("stop c", "c ended: shutdown"),
        *("start b", "start c"),
    ]
    world.crash("b")
    world.crash("b")
    assert world.exit == SHUTDOWN


@case("S43 rest_for_one resumes at the child that failed to restart")
def _() -> None:
    world = supervisor("a", "b", "c", strategy="rest_for_one").begin()
    world.init["b"] = [Fail(), Up()]
    world.cleared()
    world.crash("a")
    starts = [line for line in world.trace if line.startswith("start")]
    assert starts == ["start a", "start b", "start b", "start c"]


@case("S44 a start by start_child is reported at debug level")
def _() -> None:
    world = supervisor("a").begin()
    start(world, "b")
    levels = {r.fields["child"]: r.level for r in world.reports if r.event == "child_started"}
    assert levels == {"a": "info", "b": "debug"}


def restart_type(kind: str, reason: ExitReason, expected: str | None) -> Case:
    def check() -> None:
        for world in (supervisor(spec("a", restart=kind), "b").begin(), dynamic()):
            if not world.running():
                start(world, "a", restart=kind)
            world.crash("a", reason=reason)
            is_dynamic = not world.unique_ids
            dropped = is_dynamic and expected == "stopped"
            assert world.statuses().get("a") == (None if dropped else expected)
            if not is_dynamic and expected == "stopped":
                assert isinstance(restart(world, "a"), ev.Started)
            elif expected is None:
                assert isinstance(start(world, "a", restart=kind), ev.Started)

    return check


for number, kind, reason, expected in [
    ("S45 E37", "permanent", NORMAL, "running"),
    ("S46 E36", "transient", NORMAL, "stopped"),
    ("S47 E35", "temporary", NORMAL, None),
    ("S48 E37", "permanent", SHUTDOWN, "running"),
    ("S48 E37", "permanent", CLEAN, "running"),
    ("S49 E36", "transient", SHUTDOWN, "stopped"),
    ("S49 E36", "transient", CLEAN, "stopped"),
    ("S50 E35", "temporary", SHUTDOWN, None),
    ("S50 E35", "temporary", CLEAN, None),
    ("S52 E37", "permanent", CRASH, "running"),
    ("S53 E36", "transient", CRASH, "running"),
    ("S53 E36", "transient", KILLED, "running"),
    ("S54 E35", "temporary", CRASH, None),
]:
    outcome = expected or "forgotten"
    CASES.append(
        pytest.param(
            restart_type(kind, reason, expected),
            id=f"{number} a {kind} child that ends with {reason} is {outcome}",
        )
    )


@case("S51 a failing start undoes the earlier ones and says which child and why")
def _() -> None:
    world = supervisor("a", "b", spec("c", restart="temporary"), "d")
    world.init["c"] = [Fail()]
    world.begin()
    assert world.trace[-4:] == ["stop b", "b ended: shutdown", "stop a", "a ended: shutdown"]
    assert world.exit is not None
    assert str(world.exit) == "shutdown: failed to start child 'c': ValueError: boom"
    assert world.exit.traceback == CRASH.traceback
    assert not world.is_reported_started


@case("S56 a group restart also starts the sibling that was terminated by hand")
def _() -> None:
    world = supervisor("a", "b", "c", strategy="one_for_all").begin()
    terminate(world, "b")
    world.crash("a")
    assert world.running() == ["a", "b", "c"]
    world = supervisor("a", "b", "c", strategy="rest_for_one").begin()
    terminate(world, "a")
    terminate(world, "c")
    world.crash("b")
    assert world.running() == ["b", "c"]


@case("S57 S58 children that are not significant never trigger an auto_shutdown")
def _() -> None:
    for mode in ("never", "any_significant", "all_significant"):
        for kind in ("temporary", "transient"):
            world = supervisor(spec("a", restart=kind), "b", auto_shutdown=mode).begin()
            world.crash("a", reason=NORMAL)
            assert world.exit is None


@case("S59 the own end of a significant temporary child triggers, terminate_child does not")
def _() -> None:
    children = [spec(i, restart="temporary", significant=True) for i in "ab"]
    for reason in (NORMAL, CRASH, KILLED):
        world = supervisor(*children, "c", auto_shutdown="any_significant").begin()
        terminate(world, "b")
        assert world.exit is None
        world.crash("a", reason=reason)
        assert world.exit == SHUTDOWN
    world = supervisor(*children, "c", auto_shutdown="all_significant").begin()
    world.crash("a")
    assert world.exit is None
    world.crash("b")
    assert world.exit == SHUTDOWN


@case("S60 a significant transient child triggers only when it is not restarted")
def _() -> None:
    child = spec("a", restart="transient", significant=True)
    world = supervisor(child, "b", auto_shutdown="any_significant").begin()
    world.crash("a")
    assert world.running() == ["b", "a"]
    world.crash("a", reason=NORMAL)
    assert world.exit == SHUTDOWN


@case("S61 E31 a dynamic supervisor has no significant children")
def _() -> None:
    reply = start(dynamic(), "a", restart="transient", significant=True)
    assert isinstance(reply, errors.SpecError)


@case("S62 significant children terminated because of a sibling do not trigger")
def _() -> None:
    for strategy in ("one_for_all", "rest_for_one"):
        world = supervisor(
            "a",
            spec("b", restart="temporary", significant=True),
            spec("c", restart="transient", significant=True),
            strategy=strategy,
            auto_shutdown="any_significant",
        ).begin()
        world.crash("a")
        assert world.statuses() == {"a": "running", "c": "running"}


@case("S63 the shutdown of a significant inner supervisor ends the outer one")
def _() -> None:
    for significant in (True, False):
        inner = spec("a", restart="transient", type="supervisor", significant=significant)
        world = supervisor(inner, "b", auto_shutdown="any_significant").begin()
        world.crash("a", reason=SHUTDOWN)
        assert (world.exit == SHUTDOWN) is significant


@case("S71 S72 counts follow the children, by type")
def _() -> None:
    for kind, expected in (("worker", (300, 300, 0, 300)), ("supervisor", (300, 300, 300, 0))):
        world = dynamic()
        for number in range(300):
            start(world, str(number), type=kind, restart="temporary")
        assert world.counts() == expected
        world.crash(*[str(number) for number in range(300)], reason=KILLED)
        assert world.counts() == (0, 0, 0, 0)


@case("S73 E39 E40 E57 a child stuck in restarts counts, but not as active, and can be ended")
def _() -> None:
    world = dynamic(max_restarts=1000, max_children=1)
    first = attempt_of(start(world, "a"))
    world.init["a"] = [Fail(1.0)]
    world.crash("a")
    world.advance(3.5)
    assert world.counts() == (1, 0, 0, 1)
    assert world.statuses() == {"a": "restarting"}
    assert isinstance(start(world, "b"), errors.MaxChildren)
    assert world.ask(ev.TerminateDynamicChildRequested, first) == OK
    assert world.counts() == (0, 0, 0, 0)


@case("S76 a temporary id is free after any end; other ids are present")
def _() -> None:
    for kind, expected in (
        ("permanent", errors.ChildAlreadyPresent),
        ("transient", errors.ChildAlreadyPresent),
        ("temporary", ev.Started),
    ):
        world = supervisor().begin()
        start(world, "a", restart=kind)
        assert isinstance(start(world, "a", restart=kind), errors.ChildRunning)
        terminate(world, "a")
        assert isinstance(start(world, "a", restart=kind), expected)


@case("S78 a temporary sibling is removed by a group restart, and does not disturb it")
def _() -> None:
    for strategy in ("one_for_all", "rest_for_one"):
        temporary = spec("t", restart="temporary")
        world = supervisor("a", temporary, "b", strategy=strategy, max_restarts=1).begin()
        world.crash("a")
        assert world.statuses() == {"a": "running", "b": "running"}
        assert world.exit is None


def hanging(world: World) -> None:
    """Let b fail to restart, over and over, until the case is done with it."""
    world.init["b"] = [Fail(1.0)]
    world.crash("b")
    world.advance(2.5)


@case("S80 while a restart keeps failing every call is answered, and a shutdown obeyed")
def _() -> None:
    for strategy in ("one_for_one", "one_for_all"):
        world = supervisor("a", "b", strategy=strategy, max_restarts=1000).begin()
        hanging(world)
        assert world.statuses()["b"] == "restarting"
        assert isinstance(start(world, "b"), errors.ChildAlreadyPresent)
        assert isinstance(restart(world, "b"), errors.ChildRestarting)
        assert isinstance(delete(world, "b"), errors.ChildRestarting)
        assert terminate(world, "b") == OK
        world.advance(0.0)
        assert world.statuses() == {"a": "running", "b": "stopped"}
        stop(world)
        assert world.exit == SHUTDOWN
        world = supervisor("a", "b", strategy=strategy, max_restarts=1000).begin()
        hanging(world)
        stop(world)
        world.advance(10.0)
        assert world.exit == SHUTDOWN


@case("S81 under rest_for_one the earlier child is untouched and the later one awaits its turn")
def _() -> None:
    world = supervisor("a", "b", "c", strategy="rest_for_one", max_restarts=1000).begin()
    untouched = world.attempt("a")
    hanging(world)
    assert world.statuses() == {"a": "running", "b": "restarting", "c": "restarting"}
    assert world.listing()["c"].attempt is None
    assert world.attempt("a") == untouched
    assert terminate(world, "b") == OK
    assert world.statuses() == {"a": "running", "b": "stopped", "c": "running"}


@case("S82 a dynamic child that keeps failing to restart can be ended")
def _() -> None:
    world = dynamic(max_restarts=1000)
    start(world, "b")
    hanging(world)
    assert world.statuses() == {"b": "restarting"}
    stop(world)
    assert world.exit == SHUTDOWN


@case("S87 children start in list order and stop in reverse, in part and in full")
def _() -> None:
    world = supervisor("d", "b", "e", "a", "c", strategy="rest_for_one").begin()
    assert world.cleared() == ["start d", "start b", "start e", "start a", "start c"]
    world.crash("b")
    trace = [line for line in world.cleared() if "ended" not in line]
    assert trace[:3] == ["stop c", "stop a", "stop e"]
    assert trace[3:] == ["start b", "start e", "start a", "start c"]
    stop(world)
    trace = [line for line in world.cleared() if "ended" not in line]
    assert trace == ["stop c", "stop a", "stop e", "stop b", "stop d"]


@case("S92 S93 listings show the newest first; what is deleted disappears")
def _() -> None:
    world = supervisor("a", "b").begin()
    start(world, "c")
    terminate(world, "b")
    infos = world.ask(ev.WhichChildrenRequested)
    assert [(info.id, str(info.status)) for info in infos] == [
        *(("c", "running"), ("b", "stopped"), ("a", "running"))
    ]
    assert infos[1].attempt is None
    delete(world, "b")
    assert list(world.statuses()) == ["a", "c"]


@case("E34 a limit of no children refuses the first")
def _() -> None:
    assert isinstance(start(dynamic(max_children=0), "a"), errors.MaxChildren)


@case("E42 one failed restart followed by a success fits into two")
def _() -> None:
    world = dynamic(max_restarts=2)
    start(world, "a")
    world.init["a"] = [Fail(), Up()]
    world.crash("a")
    assert world.statuses() == {"a": "running"}
    assert world.exit is None


@case("otp.md 1.5.5 a child that dies while a later one starts is restarted, the start goes on")
def _() -> None:
    for strategy in ("one_for_one", "one_for_all", "rest_for_one"):
        world = supervisor("a", "slow", strategy=strategy)
        world.init["slow"] = [Up(1.0)]
        world.begin()
        world.crash("a")
        assert not world.is_reported_started
        world.advance(1.0)
        assert world.is_reported_started
        world.advance(1.0)
        assert sorted(world.running()) == ["a", "slow"]


@case("otp.md 1.7 dead at once: one_for_all counts one, one_for_one one each")
def _() -> None:
    for strategy, most in (("one_for_all", 1), ("one_for_one", 2)):
        world = supervisor("a", "b", strategy=strategy, max_restarts=most).begin()
        world.crash("a", "b")
        assert sorted(world.running()) == ["a", "b"]
    world = supervisor("a", "b", strategy="one_for_one", max_restarts=1).begin()
    world.crash("a", "b")
    assert world.exit == SHUTDOWN


@case("otp.md 1.7 dead at once under rest_for_one: the earlier first counts one, else two")
def _() -> None:
    for order, most in (("ab", 1), ("ba", 2)):
        world = supervisor("a", "b", strategy="rest_for_one", max_restarts=most).begin()
        world.crash(*order)
        assert sorted(world.running()) == ["a", "b"]
    world = supervisor("a", "b", strategy="rest_for_one", max_restarts=1).begin()
    world.crash("b", "a")
    assert world.exit == SHUTDOWN


@pytest.mark.parametrize("check", CASES)
def test_supervisor_policy(check: Case) -> None:
    check()


def test_the_role_of_these_cases_is_a_class() -> None:
    assert ChildSpec("a", Server).role is Server
