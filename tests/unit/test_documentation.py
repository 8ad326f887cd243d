"""The documents list what the code has: every log event with its fields, every setting."""

import ast
import dataclasses
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import beethoven
from beethoven.cli import exit_codes
from beethoven.cli.main import VERBS
from beethoven.cloud.settings import AzureSettings, Endpoint
from beethoven.node.overrides import _VARIABLES
from beethoven.node.settings import LogSettings, NodeSettings, RoleSettings

ROOT = Path(beethoven.__file__).parent
DOCS = ROOT.parent / "docs"
LEVELS = {"debug", "info", "warning", "error"}

# Written by the formatters, not by a call.
OWN = {
    "printed": {"line", "stream", "cut"},
    "message_logged": {"logger", "message", "traceback"},
}
# Every record has these, from its process or its supervisor's logger.
EVERYWHERE = {"process", "pid", "supervisor"}


def sources() -> Iterator[ast.AST]:
    for path in ROOT.rglob("*.py"):
        yield from ast.walk(ast.parse(path.read_text("utf-8")))


def events_of_the_code() -> dict[str, set[str]]:
    """Return `{event: fields}`."""
    found: dict[str, set[str]] = {event: set(fields) for event, fields in OWN.items()}
    for each in sources():
        match each:
            case ast.Call(
                func=ast.Attribute(value=ast.Name("log") | ast.Attribute(attr="_log"), attr=verb),
                args=[ast.Constant(str(event))],
            ) if verb in LEVELS:
                fields = set()
            case ast.Call(func=ast.Attribute(attr="report"), args=[ast.Constant(str(event)), *_]):
                # The children's report names the child; the runner adds what people want to know.
                fields = {"child"}
            case ast.Call(func=ast.Attribute(attr="_note"), args=[ast.Constant(str(event)), *_]):
                # The coordinator's decisions become records where they are performed.
                fields = set()
            case ast.Call(func=ast.Name("Note"), args=[ast.Constant(str(event)), _, *told]):
                # So do those of a provider.
                names = [key for one in told if isinstance(one, ast.Dict) for key in one.keys]
                fields = {str(key.value) for key in names if isinstance(key, ast.Constant)}
            case _:
                continue
        fields |= {keyword.arg for keyword in each.keywords if keyword.arg}
        found.setdefault(event, set()).update(fields)
    return found


def tables(document: str) -> Iterator[list[str]]:
    """Yield the rows of all tables of a document."""
    for line in (DOCS / document).read_text("utf-8").splitlines():
        if line.startswith("| ") and not line.startswith("|--"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def events_of_the_document() -> dict[str, set[str]]:
    rows = [row for row in tables("operations.md") if len(row) == 4 and row[0].startswith("`")]
    return {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[2])) for row in rows}


def test_every_log_event_is_documented_and_no_other():
    assert sorted(events_of_the_document()) == sorted(events_of_the_code())


def test_every_field_of_an_event_is_documented():
    documented = events_of_the_document()
    # What `**fields` carries is not seen here, so a document may have more.
    for event, fields in events_of_the_code().items():
        assert fields - EVERYWHERE <= documented[event], event


def section(heading: str) -> str:
    text = (DOCS / "configuration.md").read_text("utf-8")
    return text.partition(f"## `{heading}`")[2].partition("\n## ")[0]


def keys_of(heading: str) -> dict[str, str]:
    """Return `{key: default}` as a section of the document has it."""
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \| .*\|$", section(heading), re.MULTILINE)
    return {key: default.strip("`") for key, default in rows}


def toml(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case StrEnum() | str():
            return f'"{value}"'
        case dict():
            return "{}"
        case frozenset() | tuple():
            return f"[{', '.join(sorted(map(toml, value)))}]"
        case Endpoint():
            return toml(str(value))
    return str(value)


def settings_of(settings: Any, *but: str) -> dict[str, str]:
    names = [each.name for each in dataclasses.fields(settings) if each.name not in but]
    return {name: toml(getattr(settings, name)) for name in names}


def test_every_setting_is_documented_with_its_default():
    node = settings_of(
        NodeSettings(Path()), "path", "seed_names", "logging", "azure", "roles", "notes"
    )
    node |= {"name": "after its place", "bind": "the first that is free", "timing": '"default"'}
    assert keys_of("[beethoven]") == node
    assert keys_of("[timing]") == settings_of(NodeSettings(Path()).timing)
    assert keys_of("[logging]") == settings_of(LogSettings())
    assert keys_of("[azure]") == settings_of(AzureSettings())
    role = settings_of(RoleSettings(""), "name", "place", "folder")
    role |= {"working_directory": "where the node runs", "stop_signal": '"TERM"'}
    assert keys_of("[roles.NAME]") == role


def test_every_override_is_documented():
    text = (DOCS / "configuration.md").read_text("utf-8")
    documented = re.findall(r"^\| `(BEETHOVEN_\w+)` \| `([\w.]+)` \|", text, re.MULTILINE)
    assert documented == [(name, f"{at[0]}.{at[1]}") for name, at in _VARIABLES.items()]


def test_every_verb_and_exit_code_is_documented():
    rows = [row[0] for row in tables("operations.md")]
    verbs = {row.strip("`").split()[0] for row in rows if row.startswith("`")}
    assert set(VERBS) <= verbs
    codes = {value for name, value in vars(exit_codes).items() if isinstance(value, int)}
    assert {str(code) for code in codes} | {"130"} == {row for row in rows if row.isdigit()}


def test_there_is_one_sentence_a_line():
    for document in ("clustering.md", "configuration.md", "operations.md"):
        text = re.sub(r"```.*?```", "", (DOCS / document).read_text("utf-8"), flags=re.DOTALL)
        for line in text.splitlines():
            if not line.startswith("|"):
                assert not re.search(r"[a-z`)]\. [A-Z]", line), line
