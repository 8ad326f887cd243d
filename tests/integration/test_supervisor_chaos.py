"""Trees under attack: whatever is killed and asked at whatever moment, the promises hold."""

import contextlib
import os
import random
import threading

import psutil
import pytest

from beethoven import DynamicSupervisor, Supervisor, SupervisorRef, clock
from beethoven.errors import BeethovenError, CallTimeout, StartError, SupervisionError
from tests.integration.trees import Journal, pids, statuses
from tests.processes import is_running, wait_until

pytestmark = pytest.mark.process

PATIENT = 1_000_000


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path)


def below(supervisor):
    """Return every process of the tree but its root, those that roles started included."""
    fork_server = psutil.Process(supervisor.ref.pid).ppid()
    everybody = psutil.Process(fork_server).children(recursive=True)
    return [process for process in everybody if process.pid != supervisor.ref.pid]


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_is_killed_comes_back_and_never_twice(journal, seed):
    dice = random.Random(seed)
    innermost = Supervisor.child_spec(
        "innermost",
        [journal.worker("d", stop=0.3), journal.worker("e", stray=True)],
        strategy="one_for_all",
        max_restarts=PATIENT,
    )
    inner = Supervisor.child_spec(
        "inner",
        [journal.worker("b", stray=True), journal.worker("c", trap=False), innermost],
        strategy="rest_for_one",
        max_restarts=PATIENT,
    )
    other = Supervisor.child_spec(
        "other",
        [journal.worker("f", stop=60.0, shutdown=0.2), journal.worker("g")],
        max_restarts=PATIENT,
    )

    def is_whole():
        up = {line.id: line.pid for line in journal.lines() if line.event == "up"}
        is_up = set(up) == set("abcdefg") and all(map(is_running, up.values()))
        return is_up and set(statuses(tree).values()) == {"running"}

    with Supervisor.start_link([journal.worker("a"), inner, other], max_restarts=PATIENT) as tree:
        for _ in range(15):
            for _ in range(dice.choice([1, 2, 5, 20])):
                with contextlib.suppress(psutil.Error, IndexError):
                    dice.choice(below(tree)).kill()
            if dice.random() < 0.5:
                wait_until(is_whole, 30)
        wait_until(is_whole, 30)
        journal.check()


VERBS = ("start", "start", "terminate", "restart", "delete", "child", "which", "kill")


@pytest.mark.parametrize(
    "strategy", ["one_for_one", "one_for_all", "rest_for_one", "dynamic", "dynamic, kept"]
)
def test_calls_from_many_threads_during_crashes_are_all_answered(journal, strategy):
    supervisor: SupervisorRef
    if strategy.startswith("dynamic"):
        supervisor = DynamicSupervisor.start_link(
            keep_ended=strategy.endswith("kept"), max_restarts=PATIENT
        )
    else:
        children = journal.workers("ab")
        supervisor = Supervisor.start_link(children, strategy=strategy, max_restarts=PATIENT)
    # Ids repeat under a plain dynamic supervisor: there an overlap is none.
    may_overlap = strategy == "dynamic"
    end = clock.monotonic() + 2.0
    unexpected = []

    def act(dice):
        child_id = dice.choice("abcdef")
        match dice.choice(VERBS):
            case "start":
                kind = dice.choice(["permanent", "transient", "temporary"])
                patience = dice.choice([0, 1, "brutal_kill"])
                slow = dice.choice([0, 0, 0.05])
                spec = journal.worker(child_id, init=slow, restart=kind, shutdown=patience)
                supervisor.start_child(spec)
            case "child":
                supervisor.child(child_id, timeout=0.2)
            case "which":
                supervisor.which_children()
            case "kill":
                victims = [pid for pid in pids(supervisor).values() if pid]
                with contextlib.suppress(ProcessLookupError, IndexError):
                    os.kill(dice.choice(victims), 9)
            case verb:
                getattr(supervisor, f"{verb}_child")(child_id)

    def work(seed):
        dice = random.Random(seed)
        while clock.monotonic() < end:
            try:
                act(dice)
            except (SupervisionError, CallTimeout):
                pass
            except BaseException as error:
                unexpected.append(error)
                return

    threads = [threading.Thread(target=work, args=[seed]) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    supervisor.stop(timeout=30)
    assert not unexpected
    assert may_overlap or not journal.story("OVERLAP")


@pytest.mark.parametrize("seed", range(3))
def test_a_start_may_be_cut_short_at_any_moment(journal, seed):
    dice = random.Random(seed)
    inner = Supervisor.child_spec("inner", journal.workers("bc", init=0.02, stop=0.02))
    for _ in range(6):
        with contextlib.suppress(StartError):
            limit = dice.random() * 0.2
            Supervisor.start_link([journal.worker("a"), inner], timeout=limit).stop()
    journal.check()


@pytest.mark.parametrize("seed", range(3))
def test_a_stop_may_come_while_children_are_added(journal, seed):
    dice = random.Random(seed)
    supervisor = Supervisor.start_link(journal.workers("ab", stop=0.05))

    def add(number):
        with contextlib.suppress(BeethovenError):
            supervisor.start_child(journal.worker(f"x{number}", init=dice.choice([0, 0.1])))

    threads = [threading.Thread(target=add, args=[number]) for number in range(10)]
    for thread in threads:
        thread.start()
    assert supervisor.wait(dice.random() * 0.1) is None
    supervisor.stop(timeout=30)
    for thread in threads:
        thread.join()
    journal.check()
