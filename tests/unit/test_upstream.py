"""Every defect of upstream is listed with tests that exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "upstream.md").read_text("utf-8")
ROWS = re.findall(r"^\| (D\d+) \| (.+) \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)


def functions_of(path):
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}


def test_every_defect_is_listed_once_and_in_order():
    assert [row[0] for row in ROWS] == [f"D{number}" for number in range(1, 32)]


def test_every_defect_is_provoked_by_tests_that_exist():
    for number, *_, cell in ROWS:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", cell)
        assert named, number
        for path, test in named:
            assert test in functions_of(path), f"{number}: {path}::{test}"


def test_a_test_that_is_named_for_a_defect_is_listed_with_it():
    cells = {row[0]: row[3] for row in ROWS}
    for path in (ROOT / "tests").rglob("test_*.py"):
        for test in functions_of(path.relative_to(ROOT)):
            for number in re.findall(r"(?<=_)d\d+(?=_)", test.removeprefix("test")):
                assert f"{path.name}::{test}`" in cells[number.upper()], test
