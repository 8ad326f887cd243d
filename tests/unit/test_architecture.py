"""The package is read, and imports, from top to bottom; docs/architecture.md has the order."""

import ast
import re
from pathlib import Path

import pytest

import beethoven

ROOT = Path(beethoven.__file__).parent
DOCS = ROOT.parent / "docs"
PACKAGES = {"__init__.py", "__main__.py"}

# The floors of the house, from the ground up.
FLOORS = [
    "words",
    "testing",
    "runtime",
    "supervision",
    "registry",
    "tasks",
    "cluster",
    "cloud",
    "remote",
    "groups",
    "engine",
    "roles",
    "node",
    "cli",
]

# Modules that decide: they import nothing that acts.
DECISIONS = [
    "runtime.exit_signals",
    "runtime.forkserver_state",
    "runtime.status",
    "runtime.timers",
    "testing.azure_document",
    "testing.azure_events",
    "testing.azure_events_state",
    "testing.azure_faults",
    "testing.azure_answers",
    "cloud.static",
    "cloud.azure",
    "cloud.azure_json",
    "cloud.azure_instance",
    "cloud.azure_events",
    "cloud.azure_versions",
    "cloud.azure_pace",
    "cloud.azure_summary",
    "cloud.http_answer",
    "cloud.notices_state",
    "engine.own_word",
    "node.role_server_state",
    "supervision.child_spec",
    "supervision.intensity",
    "supervision.backoff",
    "supervision.restart",
    "supervision.plan",
    "supervision.backlog",
    "supervision.routing",
    "supervision.children",
    "supervision.events",
    "supervision.supervisor_state",
    "supervision.dynamic_supervisor_state",
    "tasks.stream_state",
    "registry.locks",
    "registry.registry_state",
    "cluster.fields",
    "cluster.wire",
    "cluster.messages",
    "cluster.keyring",
    "cluster.session",
    "cluster.sealed",
    "cluster.handshake",
    "cluster.role_spec",
    "cluster.placement",
    "cluster.explanation",
    "engine.table",
    "engine.records",
    "engine.messages",
    "engine.authority",
    "engine.avoidance",
    "engine.commitment",
    "engine.handover",
    "engine.view",
    "engine.events",
    "engine.settings",
    "engine.assigner",
    "engine.coordinator_state",
    "cluster.addresses",
    "cluster.timing",
    "cluster.member",
    "cluster.failure_detector",
    "cluster.links",
    "cluster.dialler",
    "cluster.membership_events",
    "cluster.link_messages",
    "cluster.roll",
    "cluster.membership",
    "cluster.pace",
    "cluster.locator_events",
    "cluster.locator_state",
    "cluster.beacon_state",
    "cluster.quarrels",
    "cluster.signal_board",
    "groups.roster",
    "groups.messages",
    "groups.events",
    "groups.groups_state",
    "cluster.load",
    "cluster.task_placement",
    "node.task_ends",
    "cluster.directory",
    "remote.calling_state",
]
ACTS = {
    "logging",
    "multiprocessing",
    "os",
    "random",
    "select",
    "signal",
    "socket",
    "subprocess",
    "threading",
    "time",
}

LONGEST_FILE = 400
LONGEST_FUNCTION = 40


def reading_order() -> list[str]:
    text = (DOCS / "architecture.md").read_text("utf-8")
    paths = re.findall(r"^- `([a-z_/]+)\.py`:", text, re.MULTILINE)
    return [path.replace("/", ".") for path in paths]


def modules() -> list[str]:
    files = [path for path in ROOT.rglob("*.py") if path.name not in PACKAGES]
    return sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files)


def source(module: str) -> ast.Module:
    return ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text("utf-8"))


def imported(module: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(source(module)):
        match node:
            case ast.Import():
                names |= {alias.name for alias in node.names}
            case ast.ImportFrom():
                # `from beethoven.runtime import names` imports a module, not a name of one.
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
                names.add(str(node.module))
    return names


def ours(module: str) -> set[str]:
    known = set(modules())
    plain = {name.removeprefix("beethoven.") for name in imported(module)}
    return plain & known


def floor(module: str) -> str:
    head, _, tail = module.partition(".")
    return head if tail and head != "errors" else "words"


def test_every_file_has_its_place_in_the_reading_order() -> None:
    assert sorted(reading_order()) == modules()


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_what_stands_above_it(module: str) -> None:
    order = reading_order()
    above = set(order[: order.index(module)])
    assert ours(module) <= above


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_from_its_own_floor_and_those_below(module: str) -> None:
    below = set(FLOORS[: FLOORS.index(floor(module)) + 1])
    assert {floor(name) for name in ours(module)} <= below


@pytest.mark.parametrize("module", modules())
def test_no_module_imports_the_package_itself(module: str) -> None:
    if module != "cli.version":
        assert not {f"beethoven.{name}" for name in beethoven.__all__} & imported(module)


@pytest.mark.parametrize("module", DECISIONS)
def test_a_decision_imports_nothing_that_acts(module: str) -> None:
    assert not {name.partition(".")[0] for name in imported(module)} & ACTS


@pytest.mark.parametrize(("name", "owner"), [("time", "clock"), ("logging", "log")])
def test_some_modules_have_one_importer(name: str, owner: str) -> None:
    importers = [module for module in modules() if name in imported(module)]
    assert importers == [owner]


@pytest.mark.parametrize("module", modules())
def test_no_file_is_longer_than_its_idea(module: str) -> None:
    lines = (ROOT / f"{module.replace('.', '/')}.py").read_text("utf-8").count("\n")
    assert lines <= LONGEST_FILE


@pytest.mark.parametrize("module", modules())
def test_no_function_is_longer_than_a_screen(module: str) -> None:
    functions = [
        node
        for node in ast.walk(source(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    # Signature and docstring are the caller's; the body is ours.
    too_long = [
        node.name
        for node in functions
        if (node.end_lineno or 0) - node.body[0].lineno - _docstring_lines(node) > LONGEST_FUNCTION
    ]
    assert too_long == []


def _docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    if ast.get_docstring(node) is None:
        return 0
    return (first.end_lineno or 0) - first.lineno + 1


@pytest.mark.parametrize("name", beethoven.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    value = getattr(beethoven, name)
    if name not in {"Ignore", "NoReply"}:
        assert value.__doc__


def test_public_names_are_sorted_and_unique() -> None:
    assert sorted(set(beethoven.__all__)) == beethoven.__all__
