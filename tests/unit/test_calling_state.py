"""How a call by the name of a role finds an instance: every decision, without a network."""

import pytest

from beethoven.cluster.directory import Directory, NodeEntry, RoleEntry
from beethoven.remote.calling_state import LONGEST_DIAL, Ask, Calling, Deliver, GiveUp, Look, Pause

ONE = NodeEntry("id1", "one", "127.0.0.1:33000", 0.30)
TWO = NodeEntry("id2", "two", "127.0.0.2:33000", 0.10)
THREE = NodeEntry("id3", "three", "127.0.0.3:33000", 0.14)


def directory(states, nodes=(ONE, TWO, THREE)):
    return Directory(nodes, {"orders": RoleEntry(1, states)})


def calling(to=None, own="one", deadline=10.0, offered=None):
    def choose(among):
        if offered is not None:
            offered.append([each.name for each in among])
        return among[-1]

    return Calling("orders", to, own=own, deadline=deadline, choose=choose)


RUN_ON_TWO = directory({"id2": "running"})


@pytest.mark.parametrize(
    ("to", "own", "first"),
    [
        (None, "one", Look()),
        ("one", "one", Look()),
        ("two", "one", Ask(is_anew=False)),
        (None, "", Ask(is_anew=False)),
        ("one", "", Ask(is_anew=False)),
    ],
)
def test_the_instance_on_this_node_comes_first(to, own, first):
    assert calling(to, own).begin() == first


@pytest.mark.parametrize(
    ("own", "states", "first"),
    [
        ("one", {"id2": "running"}, Deliver(TWO)),
        ("", {"id2": "running"}, Deliver(TWO)),
        ("one", {"id1": "running", "id2": "running"}, Look()),
        ("one", {"id1": "starting"}, Look()),
    ],
)
def test_what_was_told_a_moment_ago_saves_a_look(own, states, first):
    assert calling(own=own).begin(directory(states), now=0.0) == first


def test_what_was_told_a_moment_ago_does_not_make_a_name_unknown():
    call = Calling("new", None, own="", deadline=10.0, choose=lambda among: among[0])
    assert call.begin(RUN_ON_TWO, now=0.0) == Ask(is_anew=True)
    told = Directory((TWO,), {"new": RoleEntry(1, {"id2": "running"})})
    assert call.told(told, now=0.1) == Deliver(TWO)
    other = Calling("orders", "four", own="", deadline=10.0, choose=lambda among: among[0])
    assert other.begin(RUN_ON_TWO, now=0.0) == Ask(is_anew=True)
    assert isinstance(other.told(RUN_ON_TWO, now=0.1), GiveUp)


@pytest.mark.parametrize(
    ("states", "among"),
    [
        ({"id2": "running"}, ["two"]),
        ({"id2": "running", "id3": "running"}, ["two", "three"]),
        ({"id3": "running"}, ["three"]),
        # That of this node was looked for and is not there, whatever the directory says.
        ({"id1": "running", "id2": "running"}, ["two"]),
        ({"id2": "starting", "id3": "running"}, ["three"]),
        ({"id2": "failed", "id3": "running", "gone": "running"}, ["three"]),
    ],
)
def test_then_one_of_the_least_busy_that_run_the_role(states, among):
    offered: list[list[str]] = []
    action = calling(offered=offered).told(directory(states), now=0.0)
    assert offered == [among]
    assert action == Deliver({"two": TWO, "three": THREE}[among[-1]])


def test_a_clear_difference_of_load_is_heeded_and_a_leaving_node_comes_last():
    offered: list[list[str]] = []
    nodes = (ONE, TWO, NodeEntry("id3", "three", "127.0.0.3:33000", 0.16))
    states = {"id2": "running", "id3": "running"}
    calling(offered=offered).told(directory(states, nodes), now=0.0)
    leaving = NodeEntry("id2", "two", "127.0.0.2:33000", 0.0, is_leaving=True)
    calling(offered=offered).told(directory(states, (ONE, leaving, THREE)), now=0.0)
    assert offered == [["two"], ["three"]]


def test_who_is_not_local_may_be_sent_to_any_node():
    assert calling(own="").told(directory({"id1": "running"}), now=0.0) == Deliver(ONE)


def test_what_was_not_delivered_goes_to_the_next_and_then_waits():
    call = calling()
    both = directory({"id2": "running", "id3": "running"})
    assert call.told(both, now=0.0) == Deliver(THREE)
    assert call.not_delivered(THREE, "it refuses") == Ask(is_anew=True)
    assert call.told(both, now=1.0) == Deliver(TWO)
    assert call.not_delivered(TWO, "it refuses") == Ask(is_anew=True)
    assert isinstance(call.told(both, now=2.0), Pause)
    # After a pause all may be tried again.
    assert call.paused(now=2.1) == Look()
    assert call.not_here() == Ask(is_anew=True)
    assert call.told(both, now=2.2) == Deliver(THREE)


@pytest.mark.parametrize(
    ("left", "running", "dials"),
    [
        # No more than its share, so that the others have theirs, and never more than a second.
        (2.0, ("id1", "id2", "id3"), [2 / 3, 2 / 3, 2 / 3]),
        (0.3, ("id2", "id3"), [0.15, 0.15]),
        (9.0, ("id1", "id2", "id3"), [LONGEST_DIAL] * 3),
        (9.0, ("id2",), [LONGEST_DIAL]),
    ],
)
def test_one_that_does_not_answer_leaves_time_for_the_others(left, running, dials):
    call, now, given = calling(own="", deadline=left), 0.0, []
    states = directory(dict.fromkeys(running, "running"))
    while isinstance(action := call.told(states, now=now), Deliver):
        given.append(action.dial)
        now += action.dial
        call.not_delivered(action.node, "did not answer in time")
    assert given == pytest.approx(dials)


def test_without_any_time_it_is_said_that_nobody_was_asked():
    action = calling(deadline=0.0).told(RUN_ON_TWO, now=0.0)
    text = "role 'orders' was not asked, for the time was up: running on two"
    assert action == GiveUp(text)


def test_pauses_grow_to_a_bound_and_never_pass_the_deadline():
    call = calling(deadline=1.0)
    nobody, pauses, now = directory({}), [], 0.0
    while isinstance(action := call.told(nobody, now=now), Pause):
        pauses.append(action.seconds)
        now += action.seconds
        if isinstance(call.paused(now=now), GiveUp):
            break
    assert pauses[:4] == [0.01, 0.02, 0.04, 0.08]
    assert max(pauses) == 0.1
    assert sum(pauses) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("states", "to", "text"),
    [
        ({}, None, "role 'orders' does not run: it has no instance"),
        ({"id2": "starting"}, None, "role 'orders' does not run: starting on two"),
        (
            {"id3": "failed", "id2": "starting"},
            None,
            "role 'orders' does not run: starting on two; failed on three",
        ),
        (
            {"id2": "running", "id3": "starting"},
            "three",
            "role 'orders' does not run on node 'three': starting on three",
        ),
        ({"id2": "running"}, "three", "role 'orders' does not run on node 'three': it has no inst"),
    ],
)
def test_when_the_time_is_up_the_state_is_told(states, to, text):
    action = calling(to=to, deadline=1.0).told(directory(states), now=1.0)
    assert isinstance(action, GiveUp)
    assert action.text.startswith(text)


def test_why_it_does_not_run_is_told():
    failed = RoleEntry(1, {"id2": "failed"}, {"id2": "RuntimeError: no database"})
    action = calling(deadline=1.0).told(Directory((ONE, TWO), {"orders": failed}), now=1.0)
    why = "failed on two, last exit: RuntimeError: no database"
    assert action == GiveUp(f"role 'orders' does not run: {why}")


def test_when_the_time_is_up_nothing_is_sent_and_the_last_cause_is_told():
    call = calling(deadline=1.0)
    assert call.told(RUN_ON_TWO, now=0.0) == Deliver(TWO)
    call.not_delivered(TWO, "127.0.0.2:33000 refuses")
    assert call.told(RUN_ON_TWO, now=1.0) == GiveUp(
        "role 'orders' was not reached: 127.0.0.2:33000 refuses"
    )


@pytest.mark.parametrize(
    ("role", "to", "told"),
    [
        ("order", None, GiveUp("the cluster has no role 'order', did you mean 'orders'?")),
        ("zzz", None, GiveUp("the cluster has no role 'zzz'")),
        (
            "orders",
            "tow",
            GiveUp("the cluster has no node 'tow', did you mean 'two'?", is_node=True),
        ),
    ],
)
def test_a_name_that_nobody_knows_is_told_at_once_with_the_nearest(role, to, told):
    call = Calling(role, to, own="", deadline=10.0, choose=lambda among: among[0])
    assert call.told(RUN_ON_TWO, now=0.0) == told


def test_only_the_first_directory_that_does_not_come_is_an_error():
    call = calling(deadline=5.0)
    assert call.not_told(now=0.0) is None
    call.told(directory({}), now=1.0)
    assert isinstance(call.not_told(now=2.0), Pause)
    assert isinstance(call.not_told(now=5.0), GiveUp)


@pytest.mark.parametrize(
    ("role", "to", "text"),
    [
        ("new", None, "the cluster has no role 'new', as far as was told; now no node tells it"),
        ("orders", "four", "the cluster has no node 'four', as far as was told"),
    ],
)
def test_what_is_not_told_anew_makes_no_name_unknown(role, to, text):
    call = Calling(role, to, own="", deadline=1.0, choose=lambda among: among[0])
    assert call.told(RUN_ON_TWO, now=0.0, is_new=False) == Ask(is_anew=True)
    assert isinstance(call.told(RUN_ON_TWO, now=0.5, is_new=False), Pause)
    action = call.told(RUN_ON_TWO, now=1.0, is_new=False)
    assert isinstance(action, GiveUp)
    assert action.text.startswith(text)
