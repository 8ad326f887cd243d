"""The checker finds what breaks P3 and P4 in ledgers that are made up."""

import pytest

from tests.cluster.live.checker import (
    Line,
    counts,
    disturbed,
    lives,
    overlaps,
    parse,
    settled_at,
    unsettled,
)

MOVED = """\
start a work 10 1.0
start b work 11 1.1
start a rare 12 1.2
death a work 10 5.0
death a rare 12 5.0
start b rare 13 5.2
start c work 14 5.5
stop c work 14 9.0
death c work 14 9.1
"""
WANTED = {"work": 2, "rare": 1}


def test_lines_are_read():
    assert parse("start n1 work 7 1.5\n") == [Line("start", "n1", "work", 7, 1.5)]
    with pytest.raises(ValueError, match="expected start, stop, overlap or death, got: 'begin"):
        parse("begin n1 work 7 1.5")


def test_an_instance_runs_from_its_start_to_the_first_of_stop_and_death():
    instances = lives(parse(MOVED))
    assert [life.ended for life in instances] == [5.0, None, 5.0, None, 9.0]
    assert counts(instances, 0.9) == {}
    assert counts(instances, 1.2) == WANTED
    assert counts(instances, 5.0) == {"work": 1}
    assert counts(instances, 9.0) == {"work": 1, "rare": 1}


def test_a_pid_that_comes_again_is_another_life():
    text = "start a x 7 1\ndeath a x 7 2\nstart a x 7 3\nstop a x 7 4\n"
    assert [(life.began, life.ended) for life in lives(parse(text))] == [(1, 2), (3, 4)]


def test_roles_are_settled_from_the_last_change_that_made_them_right():
    instances = lives(parse(MOVED))
    assert settled_at(instances, WANTED, since=5.0, until=8.0) == 5.5
    assert settled_at(instances, WANTED, since=6.0, until=8.0) == 6.0
    assert settled_at(instances, WANTED, since=5.0, until=5.3) is None
    assert settled_at(instances, WANTED, since=5.0, until=9.5) is None


def test_a_break_counts_although_the_roles_are_right_before_and_after():
    text = "start a x 1 1\nstart b x 2 4\ndeath b x 2 4.5\n"
    assert settled_at(lives(parse(text)), {"x": 1}, since=2, until=9) == 4.5


def test_a_role_that_nobody_wants_must_not_run():
    instances = lives(parse("start a x 1 1\nstart a y 2 1\n"))
    assert settled_at(instances, {"x": 1}, since=2, until=3) is None
    assert settled_at(instances, {"x": 1, "y": 1, "z": 0}, since=2, until=3) == 2


def test_too_few_too_many_too_late_and_a_ledger_that_is_too_short_break_p4():
    instances = lives(parse(MOVED))
    good = {"since": 5.0, "until": 8.0, "within": 1.0}
    assert unsettled(instances, WANTED, **good) == []
    [late] = unsettled(instances, WANTED, **{**good, "within": 0.4})
    assert late == "expected the roles to be right within 0.4 s, got: 0.500 s"
    [wrong] = unsettled(instances, WANTED, **{**good, "until": 9.5})
    assert wrong.endswith("in the end, got: {'rare': 1, 'work': 1}")
    [many] = unsettled(instances, {"work": 1, "rare": 1}, **good)
    assert many.endswith("in the end, got: {'rare': 1, 'work': 2}")
    [short] = unsettled(instances, WANTED, **{**good, "until": 5.9})
    assert short == "expected a ledger that reaches to 6.0, got: 5.9"


def test_two_instances_on_two_nodes_are_no_overlap():
    assert overlaps(parse(MOVED)) == []


def test_a_held_lock_breaks_p3():
    [found] = overlaps(parse("start a x 1 1\noverlap a x 2 2\nstart a x 2 2\n"))
    assert found.startswith("it found the lock held: Line(word='overlap', node='a'")


def test_a_start_before_the_last_stop_breaks_p3():
    [found] = overlaps(parse("start a x 1 1\nstart a x 2 2\nstop a x 1 3\n"))
    assert "began before the last stopped" in found


def test_a_death_that_was_seen_late_breaks_nothing():
    assert overlaps(parse("start a x 1 1\nstart a x 2 2\ndeath a x 1 2.01\n")) == []


def test_instances_that_ended_are_told_but_for_those_of_some_nodes():
    instances = lives(parse(MOVED))
    assert [life.pid for life in disturbed(instances, since=4, until=8)] == [10, 12]
    assert disturbed(instances, since=4, until=8, but=["a"]) == []
