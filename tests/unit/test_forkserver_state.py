import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from beethoven.runtime.forkserver_state import (
    ORPHAN_GRACE,
    Announce,
    Finish,
    ForkServerState,
    Kill,
    Terminate,
)


@pytest.fixture
def state():
    """A family: grandparent a, its children b and c, and d, a child of b."""
    state = ForkServerState()
    for identity, pid, parent in (("a", 1, ""), ("b", 2, "a"), ("c", 3, "a"), ("d", 4, "b")):
        state.born(identity, pid, parent=parent, linked=True)
    return state


def test_a_death_without_children_is_over_at_once(state):
    state.ended("d", now=0.0)
    assert state.settle(set()) == [Announce("d")]
    assert state.settle(set()) == []


def test_a_death_is_over_only_when_its_whole_subtree_is_gone(state):
    state.ended("a", now=0.0)
    assert state.settle(set()) == []
    state.ended("b", now=0.1)
    state.ended("c", now=0.1)
    assert state.settle(set()) == [Announce("c")]
    state.ended("d", now=0.2)
    assert state.settle(set()) == [Announce("d"), Announce("b"), Announce("a")]


def test_a_death_is_not_over_while_it_left_strays(state):
    state.ended("d", now=0.0)
    assert state.settle({"d"}) == []
    assert state.settle(set()) == [Announce("d")]


def test_orphans_are_killed_when_their_time_is_over(state):
    state.ended("a", now=10.0)
    assert state.next_deadline() == 10.0 + ORPHAN_GRACE
    assert state.due(now=10.0 + ORPHAN_GRACE / 2) == []
    assert state.due(now=10.0 + ORPHAN_GRACE) == [Kill(2), Kill(3), Kill(4)]
    assert state.due(now=11.0) == []
    assert state.next_deadline() is None


def test_an_orphan_that_ended_by_itself_is_not_killed(state):
    state.ended("a", now=10.0)
    state.ended("b", now=10.1)
    assert state.due(now=20.0) == [Kill(3), Kill(4)]


def test_an_unlinked_child_is_no_orphan(state):
    state.born("free", 5, parent="c", linked=False)
    state.ended("c", now=0.0)
    assert state.settle(set()) == [Announce("c")]
    assert state.next_deadline() is None


def test_the_end_of_the_owner_takes_everything_along(state):
    state.born("free", 5, parent="c", linked=False)
    assert state.owner_ended(now=10.0) == [Terminate(5)]
    assert state.due(now=10.0 + ORPHAN_GRACE) == [Kill(pid) for pid in (1, 2, 3, 4, 5)]
    for identity in ("a", "b", "c", "d", "free"):
        state.ended(identity, now=11.0)
    assert state.settle(set())[-1] == Finish()


def test_it_finishes_only_after_its_owner():
    state = ForkServerState()
    assert state.settle(set()) == []
    state.owner_ended(now=0.0)
    assert state.settle(set()) == [Finish()]


def test_a_parent_may_have_a_child_killed_while_it_lives(state):
    assert state.kill_requested("b") == [Kill(2)]
    state.ended("b", now=0.0)
    assert state.kill_requested("b") == []
    assert state.kill_requested("nobody") == []


def test_whom_this_fork_server_has_killed_has_not_died_for_want_of_memory(state):
    """However many the system has killed meanwhile: it tells no names."""
    state.kill_requested("c")
    state.ended("b", now=0.0)
    state.kill_requested("b")
    state.due(now=ORPHAN_GRACE)
    assert [each for each in "abcd" if state.lives[each].was_killed] == ["c", "d"]


class Family(RuleBasedStateMachine):
    """Births, deaths and the passing of time in any order."""

    lives = Bundle("lives")

    def __init__(self):
        super().__init__()
        self.state = ForkServerState()
        self.now = 0.0
        self.last = 0
        self.parent: dict[str, str] = {}
        self.linked: dict[str, bool] = {}
        self.running: dict[str, float | None] = {}
        self.announced: list[str] = []
        self.is_finished = False
        self.is_owned = True

    def perform(self, effects):
        for effect in effects:
            match effect:
                case Announce(identity):
                    assert identity not in self.running, "announced while it runs"
                    assert identity not in self.announced, "announced twice"
                    heirs = [each for each, parent in self.parent.items() if parent == identity]
                    over = {each for each in heirs if self.linked[each]} <= set(self.announced)
                    assert over, "announced before its subtree was gone"
                    self.announced.append(identity)
                case Kill(pid):
                    assert str(pid) in self.running, "killed although it is gone"
                    self.running[str(pid)] = None
                case Finish():
                    self.is_finished = True

    @rule(target=lives, parent=lives, linked=st.booleans())
    def start_under(self, parent, linked):
        return self._born(parent if parent in self.running else "", linked)

    @rule(target=lives)
    def start(self):
        return self._born("", linked=True)

    def _born(self, parent, linked):
        self.last += 1
        identity = str(self.last)
        if self.is_owned:
            self.state.born(identity, self.last, parent=parent, linked=linked)
            self.running[identity] = None
            self.parent[identity], self.linked[identity] = parent, linked
        return identity

    @rule(identity=consumes(lives), has_strays=st.booleans())
    def end(self, identity, has_strays):
        if identity not in self.running:
            return
        del self.running[identity]
        self.state.ended(identity, now=self.now)
        latest = self.now + ORPHAN_GRACE
        for each in self._linked_below(identity) & set(self.running):
            known = self.running[each]
            self.running[each] = latest if known is None else min(known, latest)
        if has_strays:
            self.perform(self.state.settle({identity}))
            assert identity not in self.announced, "announced while strays ran"
        self.perform(self.state.settle(set()))

    def _linked_below(self, identity):
        heirs = {each for each, parent in self.parent.items() if parent == identity}
        linked = {each for each in heirs if self.linked[each]}
        return linked.union(*(self._linked_below(each) for each in linked))

    @rule(seconds=st.floats(0, 1))
    def wait(self, seconds):
        self.now += seconds
        self.perform(self.state.due(now=self.now))

    @rule()
    def lose_owner(self):
        if self.is_owned:
            self.is_owned = False
            self.perform(self.state.owner_ended(now=self.now))
            for each in self.running:
                self.running[each] = self.now + ORPHAN_GRACE
            self.perform(self.state.settle(set()))

    @invariant()
    def every_deadline_is_kept_or_to_come(self):
        deadlines = [at for at in self.running.values() if at is not None]
        assert self.state.next_deadline() == min(deadlines, default=None)

    @invariant()
    def it_finishes_when_nothing_is_left(self):
        over = not self.is_owned and not self.state.lives
        assert self.is_finished == over


TestFamily = Family.TestCase
TestFamily.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_only_a_living_process_gives_birth() -> None:
    """A request may outlive its sender; a child of nobody would outlive its generation."""
    state = ForkServerState()
    state.born("1-a", 10, parent="", linked=True)
    assert state.can_bear("", "1-b")
    assert state.can_bear("1-a", "1-b")
    assert state.can_bear("2-z", "1-b"), "of another fork server's nothing is known here"
    state.ended("1-a", now=0.0)
    assert not state.can_bear("1-a", "1-b")
    state.settle(set())
    assert not state.can_bear("1-a", "1-b")
