"""What docs/supervision.md and docs/glossary.md say is so."""

import re
from pathlib import Path

import pytest

import beethoven
from beethoven.runtime.reason import ReasonKind
from beethoven.supervision.events import ChildStatus
from beethoven.vocabulary import AutoShutdown, ChildType, Restart, Strategy
from tests.processes import program

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "supervision.md").read_text("utf-8")
GLOSSARY = (DOCS / "glossary.md").read_text("utf-8")
TERMS = re.findall(r"^\| ([^|]+) \|", GLOSSARY, re.MULTILINE)[2:]


@pytest.mark.process
@pytest.mark.parametrize("source", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_the_code_in_the_page_runs(source, tmp_path):
    with program(source, tmp_path) as running:
        assert running.finish() == (0, "", "")


def test_the_terms_are_in_order():
    assert sorted(TERMS, key=str.casefold) == TERMS


@pytest.mark.parametrize("word", [*Restart, *Strategy, *ChildType, "brutal_kill"])
def test_the_words_of_the_vocabulary_are_terms(word):
    assert str(word) in TERMS


@pytest.mark.parametrize("name", [*beethoven.__all__, *AutoShutdown, *ChildStatus, *ReasonKind])
def test_what_is_public_is_explained(name):
    """By a term of its own, or in the line of another."""
    assert str(name) in re.findall(r"[A-Za-z_]+", GLOSSARY)
