"""What is made of the lives of instances that are made up."""

from tests.cluster.cloud.spans import Absence, Span, lacks, surpluses
from tests.cluster.live.checker import lives, parse

ALL = Span(0.0, 20.0)
# It moves from a to b at 5, a little too late; then a second one runs on c for two seconds.
MOVED = lives(
    parse(
        "start a x 1 1\nstop a x 1 5\nstart b x 2 6\n"
        "start c x 3 10\nstop c x 3 11.5\ndeath c x 3 12\n"
    )
)


def lacking(*absences, wanted=1, able="abc", within=ALL):
    return lacks(MOVED, wanted=wanted, able=able, absences=absences, within=within)


def test_what_does_not_run_although_it_could_is_lacking():
    assert lacking() == [Span(0.0, 1.0), Span(5.0, 6.0)]


def test_what_runs_on_a_node_that_is_to_go_is_lacking_elsewhere():
    assert lacking(Absence("a", 3.0)) == [Span(0.0, 1.0), Span(3.0, 6.0)]


def test_nothing_is_lacking_that_nobody_can_run():
    assert lacking(Absence("a", 1.0), able="a") == [Span(0.0, 1.0)]
    assert lacking(wanted=3, able="a", within=Span(1.0, 5.0)) == []


def test_a_node_is_absent_until_it_is_back():
    assert lacking(Absence("b", 7.0, 8.0)) == [Span(0.0, 1.0), Span(5.0, 6.0), Span(7.0, 8.0)]


def test_what_runs_more_often_than_wanted_is_surplus():
    assert surpluses(MOVED, wanted=1, still=(), within=ALL) == [Span(10.0, 11.5)]
    assert surpluses(MOVED, wanted=2, still=(), within=ALL) == []


def test_what_stands_still_is_no_surplus():
    still = [Absence("b", 9.0, 11.0)]
    assert surpluses(MOVED, wanted=1, still=still, within=ALL) == [Span(11.0, 11.5)]


def test_what_starts_on_a_machine_that_has_come_back_counts():
    assert lacking(Absence("b", 2.0, again=5.5), able="ab") == [Span(0.0, 1.0), Span(5.0, 6.0)]
    assert lacking(Absence("b", 2.0, again=6.5), able="ab") == [
        Span(0.0, 1.0),
        Span(5.0, 10.0),
        Span(11.5, 20.0),
    ]
