"""
Changes each line of the supervisors' policy once, and runs the tests that decisions alone can fail.

A change that no test notices is a survivor. Each must be in harmless_mutations.toml, with the
reason why it is harmless; exits 1 if one is not. Changes are made in memory only, each in a process
of its own; the tests are collected once.
"""

import argparse
import importlib
import os
import resource
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType

PROJECT = Path(__file__).parent.parent
sys.path.insert(0, str(PROJECT))

import pytest  # noqa: E402
import tomli  # noqa: E402
from hypothesis import Phase, settings  # noqa: E402

from scripts.mutations import Mutation, mutations  # noqa: E402

MODULES = [
    "intensity",
    "backoff",
    "restart",
    "checks",
    "child_spec",
    "plan",
    "backlog",
    "children",
    "supervisor_state",
    "dynamic_supervisor_state",
]
TESTS = [
    "tests/unit/test_intensity.py",
    "tests/unit/test_backoff.py",
    "tests/unit/test_child_spec.py",
    "tests/unit/test_sealing.py",
    "tests/unit/test_supervisor_state.py",
    "tests/unit/test_dynamic_supervisor_state.py",
    "tests/unit/test_supervision_reports.py",
    "tests/conformance/test_supervisor.py",
    "tests/conformance/test_dynamic_supervisor.py",
    "tests/conformance/test_supervisor_rules.py",
    "tests/conformance/test_model.py",
]
HARMLESS = PROJECT / "scripts" / "harmless_mutations.toml"
# A change that makes an endless loop is noticed, too.
PATIENCE = 60  # seconds
MEMORY = 2**30  # bytes

Trial = tuple[str, Mutation]


def main() -> int:
    """Try all changes; see above."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0].strip())
    parser.add_argument("modules", nargs="*", default=MODULES, metavar="FILE")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    phases = [Phase.explicit, Phase.generate]
    settings.register_profile("mutate", phases=phases, derandomize=True, database=None)
    settings.load_profile("mutate")
    trials = [(name, each) for name in options.modules for each in mutations(source(name))]
    plugin = Plugin(trials, options.jobs)
    arguments = ["-x", "-q", "-s", "-m", "not process", "-p", "no:cacheprovider"]
    arguments += ["-p", "no:randomly", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    failed = pytest.main([*arguments, *(str(PROJECT / each) for each in TESTS)], plugins=[plugin])
    return int(failed) or plugin.code


class Plugin:
    """Runs the tests once for each change, instead of once."""

    def __init__(self, trials: list[Trial], jobs: int) -> None:
        self.trials, self.jobs, self.code = trials, jobs, 2
        self.harmless = tomli.loads(HARMLESS.read_text("utf-8"))
        self.under_way: dict[int, Trial] = {}
        self.noticed = self.unknown = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Take the place of pytest's own loop."""
        # Those that try many examples come last: most changes are noticed by a plain one.
        items = sorted(session.items, key=lambda item: hasattr(item.obj, "hypothesis"))  # type: ignore[attr-defined]
        if os.waitpid(begin(partial(passes, session, items)), 0)[1]:
            print("the tests fail without any change")
            return True
        for trial in self.trials:
            if len(self.under_way) == self.jobs:
                self.end()
            work = partial(notices_nothing, trial, session, items)
            self.under_way[begin(work)] = trial
        while self.under_way:
            self.end()
        harmless = len(self.trials) - self.noticed - self.unknown
        print(f"{len(self.trials)} changes, {self.noticed} noticed, ", end="")
        print(f"{harmless} harmless, {self.unknown} neither")
        self.code = int(bool(self.unknown))
        return True

    def end(self) -> None:
        """Wait for the end of one trial, and tell if it was survived."""
        pid, status = os.wait()
        name, each = self.under_way.pop(pid)
        if status:
            self.noticed += 1
            return
        reason = self.harmless.get(name, {}).get(key(name, each))
        self.unknown += reason is None
        print(f"{name}.py:{each.line}: {key(name, each)}: {reason or 'NOT NOTICED'}", flush=True)


def begin(work: Callable[[], bool]) -> int:
    """Do something in a process of its own, and return its pid; it ends with 0 for true."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(PATIENCE)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            silence = os.open(os.devnull, os.O_RDWR)
            os.dup2(silence, 1)
            os.dup2(silence, 2)
            code = 0 if work() else 1
        finally:
            os._exit(code)
    return pid


def notices_nothing(trial: Trial, session: pytest.Session, items: list[pytest.Item]) -> bool:
    """Return whether all tests pass with a change."""
    change(*trial)
    return passes(session, items)


def passes(session: pytest.Session, items: list[pytest.Item]) -> bool:
    """Return whether all tests pass; stop at the first that does not."""
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return False
    return True


def path_of(name: str) -> Path:
    """Return the file of a module."""
    return PROJECT / "beethoven" / "supervision" / f"{name}.py"


def source(name: str) -> str:
    """Return its text."""
    return path_of(name).read_text("utf-8")


def key(name: str, each: Mutation) -> str:
    """Return by what a change is known: the function, what the line says, and what it said then."""
    line = source(name).splitlines()[each.line - 1].strip()
    return f"{each.function}: {line} -> {each.text}"


def change(name: str, each: Mutation) -> None:
    """Put the changed code in the place of a function's own."""
    module = importlib.import_module(f"beethoven.supervision.{name}")
    code = compile(each.tree, str(path_of(name)), "exec", dont_inherit=True)
    place: object = module
    for part in each.function.split("."):
        code = next(
            const
            for const in code.co_consts
            if isinstance(const, CodeType) and const.co_name == part
        )
        place = vars(place)[part]
    if isinstance(place, property):
        place = place.fget
    function = getattr(place, "__func__", place)
    assert isinstance(function, FunctionType), each.function
    function.__code__ = code


if __name__ == "__main__":
    sys.exit(main())
