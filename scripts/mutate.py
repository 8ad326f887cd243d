"""
Changes each line of the supervisors' policy once, and runs the tests that decisions alone can fail.

A change that no test notices is a survivor. Each must be listed below, with the reason why it is
harmless; exits 1 if one is not. Changes are made in memory only.
"""

import argparse
import importlib
import os
import resource
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
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


def main() -> int:
    """Try all changes; see above."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0].strip())
    parser.add_argument("modules", nargs="*", default=MODULES, metavar="FILE")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    harmless = tomli.loads(HARMLESS.read_text("utf-8"))
    if not survives(None):
        print("the tests fail without any change")
        return 2
    trials = [(name, each) for name in options.modules for each in mutations(source(name))]
    noticed = unknown = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for (name, each), survived in zip(trials, pool.map(survives, trials), strict=True):
            noticed += not survived
            if survived:
                reason = harmless.get(name, {}).get(key(name, each))
                unknown += reason is None
                print(f"{name}.py:{each.line}: {key(name, each)}: {reason or 'NOT NOTICED'}")
    print(f"{len(trials)} changes, {noticed} noticed, ", end="")
    print(f"{len(trials) - noticed - unknown} harmless, {unknown} neither")
    return int(bool(unknown))


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


def survives(trial: tuple[str, Mutation] | None) -> bool:
    """Return whether the tests pass, in a process of their own, with a change."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(run(trial))
        except BaseException:
            os._exit(1)
    try:
        _, status = os.waitpid(child, 0)
    except KeyboardInterrupt:
        os.kill(child, signal.SIGKILL)
        raise
    return status == 0


def run(trial: tuple[str, Mutation] | None) -> int:
    """Run the tests."""
    silence = os.open(os.devnull, os.O_RDWR)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    signal.alarm(PATIENCE)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    phases = [Phase.explicit, Phase.generate]
    settings.register_profile("mutate", phases=phases, derandomize=True, database=None)
    settings.load_profile("mutate")
    if trial is not None:
        change(*trial)
    arguments = ["-x", "-q", "-m", "not process", "-p", "no:cacheprovider", "-p", "no:randomly"]
    arguments += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return int(pytest.main([*arguments, *(str(PROJECT / each) for each in TESTS)]))


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
