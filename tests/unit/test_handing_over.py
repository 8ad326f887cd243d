"""The states that roles hand over, and how they are kept on the way."""

import pytest

from beethoven.node import handing_over
from beethoven.node.handing_over import States, announce, is_to_be_asked, take_state
from beethoven.runtime.here import here


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(here, "folder", str(tmp_path))
    monkeypatch.setattr(here, "identity", "1-me")
    return str(tmp_path)


def test_a_state_is_used_once(folder):
    states = States(folder)
    states.receive("tally", 0, b"state")
    states.lay_out({"tally": 0})
    assert take_state("tally") == b"state"
    assert take_state("tally") is None


def test_a_state_goes_to_the_slot_that_it_is_of(folder):
    states = States(folder)
    states.receive("tally", 1, b"state")
    states.lay_out({"tally": 0})
    assert take_state("tally") is None
    states.lay_out({"tally": 1})
    assert take_state("tally") == b"state"


def test_the_latest_state_wins(folder):
    states = States(folder)
    states.receive("tally", 0, b"old")
    states.receive("tally", 0, b"new")
    states.lay_out({"tally": 0})
    assert take_state("tally") == b"new"


def test_a_state_of_another_time_is_dropped(folder, monkeypatch):
    states = States(folder)
    states.receive("tally", 0, b"state")
    monkeypatch.setattr(handing_over, "_LONGEST_LIFE", -1.0)
    states.lay_out({"tally": 0})
    assert take_state("tally") is None
    monkeypatch.undo()
    monkeypatch.setattr(here, "folder", folder)
    states.lay_out({"tally": 0})
    assert take_state("tally") is None


def test_only_a_process_that_has_said_so_is_asked_and_only_once(folder):
    states = States(folder)
    assert not states.ask("tally", "1-me")
    announce("tally")
    assert is_to_be_asked(folder, "tally", "1-me")
    assert not is_to_be_asked(folder, "tally", "1-another")
    assert states.ask("tally", "1-me")
    assert not states.ask("tally", "1-me")


def test_a_role_is_stopped_once_it_has_answered_or_did_not_in_time(folder, monkeypatch):
    announce("tally")
    states = States(folder)
    states.ask("tally", "1-me")
    assert states.is_awaited("tally", "1-me")
    states.answered("tally")
    assert not states.is_awaited("tally", "1-me")
    states.forget("tally")
    monkeypatch.setattr(handing_over, "_PATIENCE", -1.0)
    announce("tally")
    assert states.ask("tally", "1-me")
    assert not states.is_awaited("tally", "1-me")


def test_a_role_that_nobody_asked_is_not_waited_for(folder):
    states = States(folder)
    states.answered("tally")
    assert not states.is_awaited("tally", "1-me")


def test_a_process_that_has_ended_is_not_waited_for(folder):
    announce("tally")
    states = States(folder)
    states.ask("tally", "1-me")
    assert not states.is_awaited("tally", None)
    assert not states.is_awaited("tally", "1-its-successor")


def test_a_flood_of_states_does_not_pile_up(folder):
    states = States(folder)
    for slot in range(1000):
        states.receive("tally", slot, b"state")
    assert len(states._received) <= 64
    states.lay_out({"tally": 999})
    assert take_state("tally") == b"state"


def test_a_state_that_nobody_has_come_for_is_dropped(folder, monkeypatch):
    states = States(folder)
    states.receive("tally", 0, b"state")
    states.expire()
    assert states._received
    monkeypatch.setattr(handing_over, "_LONGEST_LIFE", -1.0)
    states.expire()
    assert not states._received
