"""Which of several links is kept: both ends say the same."""

from hypothesis import given
from hypothesis import strategies as st

from beethoven.cluster.links import Link, keep


def kept(links, *, dials_win=True):
    return keep(tuple(links), dials_win=dials_win, simultaneous=2.0).number


def test_of_two_simultaneous_links_that_of_the_smaller_id_is_kept():
    ours, theirs = Link(1, True, 10.0), Link(2, False, 10.5)
    assert kept([ours, theirs], dials_win=True) == kept([theirs, ours], dials_win=True) == 1
    assert kept([ours, theirs], dials_win=False) == 2
    ours, theirs = Link(2, True, 10.5), Link(1, False, 10.0)
    assert kept([ours, theirs], dials_win=True) == 2
    assert kept([ours, theirs], dials_win=False) == 1


def test_a_link_that_is_opened_much_later_is_kept():
    """One end has lost the older one."""
    assert kept([Link(1, True, 10.0), Link(2, False, 12.1)], dials_win=True) == 2


def test_of_two_links_of_one_dialler_the_newer_is_kept():
    assert kept([Link(1, True, 10.0), Link(2, True, 10.1)]) == 2
    assert kept([Link(1, False, 10.0), Link(2, False, 10.1)]) == 2


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 99)), min_size=1, max_size=5),
    st.booleans(),
)
def test_both_ends_keep_the_same(links, wins):
    ours = [Link(each, dialled, at / 10) for each, (dialled, at) in enumerate(links)]
    theirs = [Link(link.number, not link.is_dialled, link.opened_at) for link in ours]
    assert kept(ours, dials_win=wins) == kept(reversed(theirs), dials_win=not wins)
