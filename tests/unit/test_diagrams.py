"""The diagrams of the documents are those that the code gives."""

import pytest

from scripts.diagrams import DRAWINGS, PAGE, redrawn


def test_the_diagrams_are_up_to_date():
    text = PAGE.read_text("utf-8")
    assert redrawn(text) == text, "run scripts/diagrams"


def test_a_diagram_without_its_place_is_an_error():
    name = next(iter(DRAWINGS))
    with pytest.raises(ValueError, match=name):
        redrawn(PAGE.read_text("utf-8").replace(f"<!-- {name} -->", ""))


def test_every_status_and_every_sign_is_drawn():
    page = PAGE.read_text("utf-8")
    for word in ("alive", "suspect", "down", "left", "awaiting_hello", "awaiting_proof", "ended"):
        assert word in page
