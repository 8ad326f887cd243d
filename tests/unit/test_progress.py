"""The progress bar: for people who look, and nobody else."""

import io
import sys

import pytest

from beethoven.node.progress import progress_bar


class Screen(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, screen, *, is_wanted, total=3):
    monkeypatch.setattr(sys, "stderr", screen)
    with progress_bar("jobs.f", total, is_wanted=is_wanted) as advance:
        for _ in range(3):
            advance()
    return screen.getvalue()


def test_it_shows_how_many_are_done(monkeypatch):
    text = shown(monkeypatch, Screen(), is_wanted=True)
    assert "jobs.f" in text
    assert "3/3" in text


def test_it_shows_how_many_are_done_of_nobody_knows_how_many(monkeypatch):
    assert "3/?" in shown(monkeypatch, Screen(), is_wanted=True, total=None)


@pytest.mark.parametrize(("screen", "is_wanted"), [(Screen(), False), (io.StringIO(), True)])
def test_it_shows_nothing_unasked_or_to_a_file(monkeypatch, screen, is_wanted):
    assert shown(monkeypatch, screen, is_wanted=is_wanted) == ""
