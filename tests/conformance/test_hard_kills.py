"""
A supervisor is killed by SIGKILL at the worst moments; its own supervisor replaces it.

However far it had come with what it was doing: nobody of the old generation lives on, nobody of the
new one begins before, and in the end the whole subtree runs once.
"""

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from beethoven import ChildSpec, Supervisor, SupervisorRef
from beethoven.errors import BeethovenError, ProcessExited
from beethoven.runtime.reason import KILLED
from tests.conformance.hard import (
    PATIENT,
    entry,
    freeze,
    frozen,
    instances,
    is_whole,
    kill,
    latest,
    pid_of,
    running,
    story,
    times,
)
from tests.integration.trees import Journal, pids, statuses, tree
from tests.processes import is_running, wait_until

pytestmark = pytest.mark.process


@dataclass
class Scene:
    """
    A tree of a worker z and a supervisor of workers, in the middle of something.

    Attributes:
        journal: The record.
        children: The children of the supervisor.
        options: Its other options.
        flag: A file by which workers are told something.
    """

    journal: Journal
    children: list[ChildSpec]
    options: dict[str, Any]
    flag: Any
    root: SupervisorRef = field(init=False)

    def pid(self, child_id: str) -> int:
        return instances(self.journal, child_id)[-1]

    def inner(self) -> SupervisorRef:
        return SupervisorRef(self.root.child("inner"))

    def await_line(self, line: str, count: int = 1) -> None:
        wait_until(lambda: times(self.journal, line) >= count)


Script = Callable[[Scene], None]


def scene(journal: Journal, *children: dict[str, Any], **options: Any) -> Scene:
    """Set a scene: a worker with these options for each of a, b, c."""
    flag = journal.folder / "flag"
    told = {"fails", "hangs"}
    specs = [
        journal.worker(
            child_id, **{key: str(flag) if key in told else value for key, value in child.items()}
        )
        for child_id, child in zip("abc", children, strict=False)
    ]
    return Scene(journal, specs, {"max_restarts": PATIENT, **options}, flag)


def first_start(it: Scene) -> None:
    """It starts its children for the first time; b is slow."""
    kill(pids(it.root)["inner"])
    it.await_line("begin b", 2)


def hanging_restart(it: Scene) -> None:
    """It restarts b, which hangs."""
    it.flag.touch()
    kill(it.pid("b"))
    it.await_line("begin b", 2)


def failing_restarts(it: Scene) -> None:
    """It restarts b again and again, in vain."""
    it.flag.touch()
    kill(it.pid("b"))
    it.await_line("begin b", 4)


def group_stops(it: Scene) -> None:
    """It restarts a group, and awaits the end of b."""
    kill(it.pid("a"))
    it.await_line("stopping b")


def group_starts(it: Scene) -> None:
    """It restarts a group, and awaits the start of b."""
    kill(it.pid("a"))
    it.await_line("begin b", 2)


def frozen_member(it: Scene) -> None:
    """It restarts a group, and awaits the end of b, which is frozen."""
    freeze(it.pid("b"))
    kill(it.pid("a"))
    wait_until(lambda: statuses(it.inner())["b"] == "stopping")


def failed_first_start(it: Scene) -> None:
    """Its start has failed at b, and it undoes that of a."""
    it.flag.touch()
    kill(pids(it.root)["inner"])
    it.await_line("begin b", 2)
    it.await_line("stopping a", 2)


def everybody_dies(it: Scene) -> None:
    """All of its children have just died, and it has not heard of it."""
    freeze(pids(it.root)["inner"])
    for child_id in "abc":
        kill(it.pid(child_id))


def children_freeze(it: Scene) -> None:
    """Its children are frozen: they do not hear that it dies."""
    for child_id in "abc":
        freeze(it.pid(child_id))


SLOW, STUCK = {"stop": 0.4}, {"stop": 60.0, "shutdown": 60.0}
QUICK: dict[str, Any] = {}
MOMENTS: list[tuple[Script, list[dict[str, Any]], dict[str, Any]]] = [
    (first_start, [QUICK, {"init": 0.4}, QUICK], {}),
    (hanging_restart, [QUICK, {"hangs": "flag", "start_timeout": 60.0}, QUICK], {}),
    (failing_restarts, [QUICK, {"fails": "flag"}, QUICK], {}),
    (failing_restarts, [QUICK, {"fails": "flag"}, QUICK], {"strategy": "rest_for_one"}),
    (failing_restarts, [QUICK, {"fails": "flag"}, QUICK], {"strategy": "one_for_all"}),
    (group_stops, [QUICK, SLOW, QUICK], {"strategy": "one_for_all"}),
    (group_stops, [QUICK, STUCK, QUICK], {"strategy": "one_for_all"}),
    (group_stops, [QUICK, {"stop": 0.4, "stray": True}, QUICK], {"strategy": "rest_for_one"}),
    (group_starts, [QUICK, {"init": 0.4}, QUICK], {"strategy": "one_for_all"}),
    (group_starts, [QUICK, {"init": 0.4, "stray": True}, QUICK], {"strategy": "rest_for_one"}),
    (frozen_member, [QUICK, {"shutdown": 60.0}, QUICK], {"strategy": "one_for_all"}),
    (group_stops, [QUICK, SLOW, QUICK], {"max_restarts": 0}),
    (failed_first_start, [SLOW, {"fails": "flag"}], {}),
    (everybody_dies, [QUICK, {"stray": True}, QUICK], {"strategy": "one_for_all"}),
    (children_freeze, [QUICK, {"stray": True}, QUICK], {}),
]


@pytest.mark.parametrize(("script", "children", "options"), MOMENTS)
def test_a_supervisor_that_is_killed_in_the_middle_is_replaced_whole(
    journal, script, children, options
):
    it = scene(journal, *children, **options)
    inner = Supervisor.child_spec("inner", it.children, **it.options)
    with tree(journal.worker("z"), inner, max_restarts=PATIENT) as it.root:
        script(it)
        old = {pid for _, pid in running(journal)} - {it.pid("z")}
        replace_inner(it)
        assert not old & {pid for _, pid in running(journal)}
        assert len(instances(journal, "z")) == 1
        kill_slow_ones(it)


def is_settled(it: Scene, victim: int) -> bool:
    """Whether the successor and each of its children run, each once."""
    now = pids(it.root)["inner"]
    if now in {0, victim} or not is_whole(it.root) or running(it.journal) != latest(it.journal):
        return False
    return is_whole(it.inner()) and len(running(it.journal)) == 1 + len(it.children)


def kill_slow_ones(it: Scene) -> None:
    """Do not wait at the end for those that would take a minute to terminate."""
    for child in it.children:
        if child.shutdown == 60.0:
            kill(it.pid(child.id))


@pytest.mark.parametrize("strategy", ["one_for_one", "rest_for_one", "one_for_all"])
def test_a_supervisor_may_be_killed_after_every_single_step_of_a_restart(journal, strategy):
    it = scene(
        journal,
        {"stop": 0.05},
        {"stop": 0.05, "init": 0.05, "stray": True},
        {"stop": 0.05, "trap": False},
        strategy=strategy,
    )
    inner = Supervisor.child_spec("inner", it.children, **it.options)
    with tree(journal.worker("z"), inner, max_restarts=PATIENT) as it.root:
        steps = {"one_for_one": 2, "rest_for_one": 8, "one_for_all": 8}[strategy]
        for step in range(steps + 1):
            told = len(journal.lines())
            kill(it.pid("a"))
            await_lines(journal, told + step)
            replace_inner(it)
        assert len(instances(journal, "z")) == 1


def await_lines(journal, count):
    wait_until(lambda: len(journal.lines()) >= count)


def replace_inner(it: Scene) -> None:
    """Kill the supervisor and wait until all is well again."""
    victim = pid_of(it.root, "inner")
    kill(victim)
    it.flag.unlink(missing_ok=True)
    wait_until(lambda: is_settled(it, victim))


def in_background(function, *arguments):
    outcome: list[object] = []

    def run():
        try:
            outcome.append(function(*arguments))
        except BeethovenError as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def test_a_supervisor_that_is_killed_while_it_stops_is_stopped_and_stays_so(journal):
    slow = journal.worker("b", lingers=journal.flag("lingers"))
    inner = Supervisor.child_spec("inner", [journal.worker("a"), slow])
    with tree(journal.worker("z"), inner, max_restarts=0) as root:
        thread, outcome = in_background(root.terminate_child, "inner")
        wait_until(lambda: times(journal, "stopping b"))
        kill(pids(root)["inner"])
        journal.lower("lingers")
        thread.join()
        assert outcome == [None]
        assert statuses(root) == {"z": "running", "inner": "stopped"}
        assert entry(root, "inner").last_exit == KILLED
        assert [child_id for child_id, _ in running(journal)] == ["z"]
        root.restart_child("inner")
        assert [child_id for child_id, _ in running(journal)] == ["a", "b", "z"]


def test_a_child_that_is_added_when_its_supervisor_is_killed_goes_with_it(journal):
    inner = Supervisor.child_spec("inner", journal.workers("a"))
    with tree(inner) as root:
        ref = SupervisorRef(root.child("inner"))
        thread, outcome = in_background(ref.start_child, journal.worker("x", init=60.0))
        wait_until(lambda: times(journal, "begin x"))
        kill(ref.ref.pid)
        thread.join()
        assert isinstance(outcome[0], ProcessExited)
        assert outcome[0].reason == KILLED
        wait_until(lambda: pids(root)["inner"] not in {0, ref.ref.pid} and is_whole(root))
        assert [child_id for child_id, _ in running(journal)] == ["a"]


def test_a_killed_supervisor_is_replaced_before_the_group_of_its_own_goes_on(journal):
    """It is a member of a group: those after it stop, it is replaced, they start again."""
    inner = Supervisor.child_spec("inner", [journal.worker("b", stop=0.1, stray=True)])
    children = [journal.worker("a"), inner, journal.worker("c")]
    with tree(*children, strategy="rest_for_one") as root:
        kill(pids(root)["inner"])
        wait_until(lambda: times(journal, "up c") == 2)
        assert times(journal, "begin a") == 1
        assert story(journal, "up c").endswith(
            "stopping c, stopped c, begin b, up b, begin c, up c"
        )
        # It terminates as an orphan while the fork server waits for it.
        assert story(journal, "up c").startswith("stopping b, stopped b")


def test_a_supervisor_that_is_killed_while_one_below_it_gives_up_is_replaced_whole(journal):
    slow = journal.worker("i", lingers=journal.flag("lingers"), stray=True)
    children = [slow, journal.worker("w")]
    inner = Supervisor.child_spec("inner", children, max_restarts=0)
    middle = Supervisor.child_spec("middle", [journal.worker("m"), inner])
    with tree(journal.worker("r"), middle, max_restarts=1) as root:
        kill(instances(journal, "w")[-1])
        wait_until(lambda: times(journal, "stopping i"))
        kill(pids(root)["middle"])
        journal.lower("lingers")
        wait_until(lambda: times(journal, "up w") == 2 and is_whole(root))
        assert running(journal) == latest(journal)
        assert len(instances(journal, "r")) == 1


def test_three_supervisors_killed_at_once_are_replaced_from_the_top(journal):
    inner = Supervisor.child_spec("inner", [journal.worker("i", stray=True, stop=0.2)])
    middle = Supervisor.child_spec("middle", [journal.worker("m"), inner])
    top = Supervisor.child_spec("top", [journal.worker("t"), middle])
    with tree(journal.worker("r"), top, max_restarts=1) as root:
        highest = SupervisorRef(root.child("top"))
        middlemost = SupervisorRef(highest.child("middle"))
        victims = [
            middlemost.child("inner").pid,
            middlemost.ref.pid,
            highest.ref.pid,
        ]
        old = [pid for child_id, pid in running(journal) if child_id != "r"]
        with frozen(root.ref.pid):
            # None of them may act upon the death of another before its own.
            for victim in victims:
                freeze(victim)
            for victim in victims:
                kill(victim)
        wait_until(lambda: times(journal, "up i") == 2 and is_whole(root))
        assert not any(map(is_running, old))
        assert [child_id for child_id, _ in running(journal)] == ["i", "m", "r", "t"]
        assert journal.story("up") == [
            *("up r", "up t", "up m", "up i"),
            *("up t", "up m", "up i"),
        ]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_the_tree_of_a_killed_root_is_gone_with_those_that_are_stuck(journal, number):
    stuck = journal.worker("b", stop=60.0, stray=True)
    inner = Supervisor.child_spec("inner", [stuck, journal.worker("c")])
    with tree(journal.worker("a"), inner) as root:
        freeze(instances(journal, "c")[-1])
        os.kill(root.ref.pid, number)
        root.wait(10)
        wait_until(lambda: running(journal) == [])
