"""What `import beethoven` gives, and what it imports for that."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import beethoven


def test_names_that_are_exported_late_are_those_that_type_checkers_see() -> None:
    seen: dict[str, str | None] = {}
    for node in ast.walk(ast.parse(Path(beethoven.__file__).read_text("utf-8"))):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for each in node.body:
                assert isinstance(each, ast.ImportFrom)
                seen |= {alias.name: each.module for alias in each.names}
    assert seen == beethoven._HOMES
    assert set(seen) <= set(beethoven.__all__)


def test_every_name_is_there() -> None:
    for name in beethoven.__all__:
        assert getattr(beethoven, name) is not None


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(AttributeError, match="module 'beethoven' has no attribute 'Roel'"):
        beethoven.Roel  # type: ignore[attr-defined]  # noqa: B018


def test_the_processes_of_a_tree_import_nothing_of_nodes() -> None:
    """Each program, node and test starts fork servers: what they import costs all of them."""
    code = """
import sys
import beethoven.runtime.forkserver
parts = {name.split(".")[1] for name in sys.modules if name.startswith("beethoven.")}
print(*sorted(parts & {"cluster", "engine", "groups", "node", "registry", "remote", "tasks"}))
print("asyncio" in sys.modules)
"""
    run = [sys.executable, "-c", code]
    assert subprocess.run(run, capture_output=True, check=True, text=True).stdout == "\nFalse\n"
