"""What a scope of groups decides, event by event; schedules of faults are in tests/cluster."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.cluster.addresses import Address
from beethoven.cluster.member import Member
from beethoven.cluster.wire import LONGEST
from beethoven.errors import SpecError, WireError
from beethoven.groups import groups_state, roster
from beethoven.groups.events import (
    AskForNodes,
    Broadcast,
    Demonitor,
    Ended,
    Heard,
    Join,
    Leave,
    Monitor,
    NodeLinked,
    NodesTold,
    Record,
    Send,
    Settled,
    Tell,
    Ticked,
    Unwatch,
    Watch,
    Wish,
)
from beethoven.groups.groups import check_group
from beethoven.groups.groups_state import PATIENCE, GroupsState
from beethoven.groups.journal import Journal
from beethoven.groups.messages import (
    GROUPS,
    LONGEST_NAME,
    GroupsChange,
    GroupsPart,
    GroupsVersion,
    GroupsWanted,
)
from beethoven.groups.roster import MOST_TOLD, Roster, listed
from beethoven.runtime.reference import Ref

ANN, BOB = Ref("1-a", "/tree", 11, "ann"), Ref("1-b", "/tree", 12)
VIOLA = Member("v" * 16, "viola", Address("127.0.0.2", 33000), 1)
CELLO = Member("c" * 16, "cello", Address("127.0.0.3", 33000), 1)


class Scope(GroupsState):
    """A scope that is spoken to in few words."""

    def __init__(self, name="0-own"):
        super().__init__(name)
        self.count = 0
        self.now = 0.0

    def take(self, event):
        return self.handle(event, now=self.now)

    def wish(self, kind, group, ref):
        self.count += 1
        return self.take(kind(f"n{self.count}", group, ref))

    def hear(self, message, node=VIOLA):
        return self.take(Heard(node.node_id, message))


def ask(node=VIOLA):
    return Send(node.node_id, GroupsWanted())


@pytest.fixture
def scope():
    made = Scope()
    made.take(Settled())
    return made


@pytest.fixture
def told(scope):
    """Return a scope that knows that on viola x has joined the group red."""
    scope.take(NodesTold((VIOLA,)))
    scope.hear(GroupsPart("0-v", 7, 0, 1, {"red": ("x",)}))
    return scope


def distant(scope, group):
    return {node.name: members for node, members in scope.distant_members(group)}


def test_a_join_is_recorded_before_it_is_told_and_its_process_is_monitored(scope):
    wish = Join("1", "red", ANN)
    change = GroupsChange("0-own", 1, {"red": ("1-a",)}, {})
    assert scope.take(wish) == [Record(wish), Broadcast(change), Monitor(ANN)]
    assert scope.local_members("red") == (ANN,)
    assert scope.groups() == ["red"]
    assert scope.result("1")


def test_whoever_joins_twice_is_in_it_twice_and_must_leave_twice(scope):
    scope.wish(Join, "red", ANN)
    assert not [each for each in scope.wish(Join, "red", ANN) if isinstance(each, Monitor)]
    assert scope.local_members("red") == (ANN, ANN)
    assert Demonitor("1-a") not in scope.wish(Leave, "red", ANN)
    wish = Leave("9", "red", ANN)
    change = GroupsChange("0-own", 4, {}, {"red": ("1-a",)})
    assert scope.take(wish) == [Record(wish), Broadcast(change), Demonitor("1-a")]
    assert scope.groups() == []
    assert scope.wish(Leave, "red", ANN) == []
    assert not scope.result(f"n{scope.count}")


def test_a_process_that_ends_leaves_all_groups_as_often_as_it_has_joined(scope):
    for group in ("red", "blue", "red"):
        scope.wish(Join, group, ANN)
    scope.wish(Join, "red", BOB)
    left = {"blue": ("1-a",), "red": ("1-a", "1-a")}
    assert scope.take(Ended("1-a")) == [Broadcast(GroupsChange("0-own", 5, {}, left))]
    assert scope.local_members("red") == (BOB,)
    assert scope.take(Ended("1-a")) == []


def test_nothing_is_kept_of_those_who_are_gone(scope):
    for kind in (Join, Leave, Watch, Unwatch, Leave, Join, Watch):
        scope.wish(kind, "red", ANN)
    scope.wish(Watch, "red", BOB)
    scope.take(Ended("1-a"))
    scope.wish(Unwatch, "red", BOB)
    assert scope.size == 0
    assert scope._refs == {}
    assert scope.take(Settled()) == []


def test_a_wish_is_fulfilled_once_however_often_it_is_asked_for(scope, monkeypatch):
    monkeypatch.setattr(groups_state, "_MOST_FULFILLED", 2)
    wish = Join("1", "red", ANN)
    scope.take(wish)
    assert scope.take(wish) == []
    successor = Scope("0-new")
    successor.restore([wish])
    assert successor.take(wish) == []
    assert successor.result("1")
    successor.take(Join("2", "red", ANN))
    successor.take(Join("3", "red", ANN))
    # By then nobody asks for the first one any more.
    assert successor.take(wish)


def test_there_is_room_for_so_many_memberships_and_no_more(scope, monkeypatch):
    monkeypatch.setattr(groups_state, "MOST_MEMBERSHIPS", 2)
    scope.wish(Join, "red", ANN)
    scope.wish(Join, "blue", ANN)
    assert scope.wish(Join, "red", BOB) == []
    assert not scope.result("n3")
    scope.wish(Leave, "red", ANN)
    scope.wish(Join, "red", BOB)
    assert scope.result("n5")


def test_a_successor_has_what_was_recorded(scope):
    wishes: list[Wish] = [
        Join("1", "red", ANN),
        Join("2", "blue", ANN),
        Join("3", "red", BOB),
        Join("4", "red", ANN),
        Leave("5", "blue", ANN),
        Watch("6", "red", BOB),
        Watch("7", "blue", ANN),
        Unwatch("8", "blue", ANN),
    ]
    for wish in wishes:
        scope.take(wish)
    for known in (wishes, scope.wishes()):
        successor = Scope("0-new")
        assert successor.restore(known) == [Monitor(ANN), Monitor(BOB)]
        assert successor.wishes() == scope.wishes()
        assert successor.size == scope.size == 4
        assert successor.local_members("red") == scope.local_members("red")


def test_who_watches_is_told_of_every_change_wherever_it_is(scope):
    scope.take(NodesTold((VIOLA,)))
    assert scope.wish(Watch, "red", BOB)[-1] == Monitor(BOB)
    assert scope.wish(Watch, "red", BOB) == []
    assert Tell(BOB, "red") in scope.wish(Join, "red", ANN)
    assert Tell(BOB, "red") not in scope.wish(Join, "blue", ANN)
    assert scope.hear(GroupsPart("0-v", 7, 0, 1, {"red": ("x",)})) == [Tell(BOB, "red")]
    assert scope.hear(GroupsChange("0-v", 8, {"blue": ("x",)}, {})) == []
    assert scope.hear(GroupsChange("0-v", 9, {}, {"red": ("x",)})) == [Tell(BOB, "red")]
    scope.hear(GroupsChange("0-v", 10, {"red": ("x",)}, {}))
    assert scope.take(NodesTold(())) == [Tell(BOB, "red")]
    assert Tell(BOB, "red") in scope.take(Ended("1-a"))
    assert scope.wish(Unwatch, "red", BOB)[-1] == Demonitor("1-b")
    assert Tell(BOB, "red") not in scope.wish(Join, "red", ANN)


def test_who_watches_is_told_everything_when_a_successor_is_settled():
    scope = Scope()
    scope.restore([Watch("1", "red", BOB)])
    scope.take(NodesTold((VIOLA,)))
    assert scope.hear(GroupsPart("0-v", 7, 0, 1, {"red": ("x",)})) == []
    assert scope.take(Settled()) == [Tell(BOB, "red")]


def test_a_scope_is_ready_when_every_node_has_told_it_everything():
    scope = Scope()
    assert not scope.is_ready
    scope.take(NodesTold((VIOLA, CELLO)))
    scope.hear(GroupsPart("0-v", 7, 0, 1, {}))
    assert not scope.is_ready
    scope.hear(GroupsPart("0-c", 1, 0, 1, {}), CELLO)
    assert scope.is_ready
    scope.take(NodesTold((VIOLA, CELLO, Member("b" * 16, "bass", Address("127.0.0.4", 1), 1))))
    assert scope.is_ready


def test_a_node_that_is_new_is_asked_for_everything_and_told_where_this_one_is(scope):
    own = GroupsVersion("0-own", 0)
    assert scope.take(NodesTold((VIOLA,))) == [Send(VIOLA.node_id, own), ask()]
    assert scope.take(NodesTold((VIOLA, CELLO))) == [Send(CELLO.node_id, own), ask(CELLO)]
    assert scope.take(NodeLinked(VIOLA.node_id)) == [Send(VIOLA.node_id, own)]
    assert scope.take(Ticked()) == [AskForNodes(), Broadcast(own)]


def test_the_members_of_a_node_go_with_it(told):
    assert distant(told, "red") == {"viola": ("x",)}
    assert told.groups() == ["red"]
    told.take(NodesTold(()))
    assert distant(told, "red") == {}
    assert told.groups() == []
    assert told.hear(GroupsChange("0-v", 8, {"red": ("y",)}, {})) == []
    assert ask() in told.take(NodesTold((VIOLA,)))
    assert distant(told, "red") == {}


def test_the_members_of_a_node_that_has_moved_are_found_where_it_is_now(told):
    for group in ("red", "blue"):
        told.wish(Watch, group, BOB)
    moved = replace(VIOLA, address=Address("127.0.0.9", 33000))
    assert told.take(NodesTold((moved,))) == [Tell(BOB, "red")]
    assert told.distant_members("red") == ((moved, ("x",)),)
    moved = replace(moved, zone="westeurope-1")
    assert told.take(NodesTold((moved,))) == []
    # What it has told is not asked for again.
    assert told.hear(GroupsChange("0-v", 8, {"blue": ("x",)}, {})) == [Tell(BOB, "blue")]
    assert told.distant_members("blue") == ((moved, ("x",)),)


def test_changes_are_applied_in_order_and_once(told):
    change = GroupsChange("0-v", 8, {"red": ("x", "y")}, {})
    told.hear(change)
    assert told.hear(change) == []
    assert distant(told, "red") == {"viola": ("x", "x", "y")}
    told.hear(GroupsChange("0-v", 9, {}, {"red": ("x",)}))
    assert distant(told, "red") == {"viola": ("x", "y")}


def test_a_change_that_was_missed_is_asked_for_with_all_others_once_in_a_while(told):
    late = [GroupsChange("0-v", number, {"red": ("z",)}, {}) for number in (9, 10, 11)]
    assert told.hear(late[0]) == [ask()]
    assert told.hear(late[1]) == []
    told.now = PATIENCE
    assert told.hear(late[2]) == [ask()]
    assert distant(told, "red") == {"viola": ("x",)}
    told.hear(GroupsPart("0-v", 11, 0, 1, {"red": ("z",)}))
    assert distant(told, "red") == {"viola": ("z",)}
    assert told.hear(GroupsChange("0-v", 13, {}, {})) == [ask()]


@pytest.mark.parametrize(
    ("version", "answer"),
    [(("0-v", 7), []), (("0-v", 8), [ask()]), (("0-v", 6), [ask()]), (("0-other", 7), [ask()])],
)
def test_another_version_than_the_own_copy_is_asked_for(told, version, answer):
    assert told.hear(GroupsVersion(*version)) == answer
    # Whoever says it again may not have heard the question.
    assert told.hear(GroupsVersion(*version)) == answer


def test_everything_is_told_in_parts_and_put_together_again(scope):
    scope.take(NodesTold((VIOLA,)))
    for number in range(MOST_TOLD + 1):
        scope.wish(Join, f"g{number % 3}", Ref(f"1-{number}", "/tree"))
    parts = [each.message for each in scope.hear(GroupsWanted())]
    assert [(each.part, each.parts) for each in parts] == [(0, 2), (1, 2)]
    other = Scope("0-other")
    other.take(NodesTold((VIOLA,)))
    for part in parts:
        assert distant(other, "g0") == {}
        other.hear(part)
    for group in ("g0", "g1", "g2"):
        assert distant(other, group) == {
            "viola": tuple(each.identity for each in scope.local_members(group))
        }


def test_parts_of_different_versions_make_nothing(scope):
    def part(changes, number):
        return GroupsPart("0-v", changes, number, 2, {"red": (f"{changes}-{number}",)})

    scope.take(NodesTold((VIOLA,)))
    for each in (part(1, 0), part(2, 1), part(1, 1)):
        scope.hear(each)
    # The second one did not fit, the third one did.
    assert distant(scope, "red") == {"viola": ("1-0", "1-1")}
    for each in (part(3, 0), part(4, 0), part(3, 1)):
        scope.hear(each)
    assert distant(scope, "red") == {"viola": ("1-0", "1-1")}
    scope.hear(part(4, 1))
    assert distant(scope, "red") == {"viola": ("4-0", "4-1")}


def test_nobody_is_asked_for_everything_twice_while_the_answer_comes(told):
    told.hear(GroupsChange("0-v", 9, {}, {}))
    told.hear(GroupsPart("0-v", 9, 0, 2, {"red": ("a",)}))
    assert told.hear(GroupsChange("0-v", 10, {}, {})) == []


def test_a_stranger_is_not_listened_to(scope):
    assert scope.hear(GroupsWanted()) == []
    assert scope.hear(GroupsVersion("0-v", 1)) == []


@given(st.lists(st.tuples(st.sampled_from("+-x"), st.sampled_from("ab"), st.sampled_from("mno"))))
def test_a_roster_is_a_bag_of_memberships(steps):
    roster, bag = Roster(), []
    for step, group, member in steps:
        match step:
            case "+":
                roster.add(group, member)
                bag.append((group, member))
            case "-":
                assert roster.remove(group, member) is ((group, member) in bag)
                if (group, member) in bag:
                    bag.remove((group, member))
            case "x":
                gone = [each for each in bag if each[1] == member]
                assert sorted(roster.forget(member)) == sorted(gone)
                bag = [each for each in bag if each[1] != member]
        assert sorted(roster.memberships()) == sorted(bag)
        assert roster.size == len(bag)
        assert roster.groups() == sorted({group for group, _ in bag})
        assert [roster.has(each) for each in "mno"] == [
            any(member == each for _, member in bag) for each in "mno"
        ]
    for group in "ab":
        assert roster.members(group) == tuple(each[1] for each in bag if each[0] == group)


def test_the_longest_messages_fit_into_a_frame():
    assert listed([]) == []
    longest = [(chr(0x20000 + each) * LONGEST_NAME, "m" * 64) for each in range(MOST_TOLD)]
    (groups,) = listed(longest)
    for message in (
        GroupsPart("s" * 64, 2**62, 0, 1, groups),
        GroupsChange("s" * 64, 2**62, groups, {}),
    ):
        assert len(GROUPS.encode(message)) < LONGEST
        assert GROUPS.decode(GROUPS.encode(message)) == message
    quoted = [("\\" * (LONGEST_NAME - 3) + f"{each:03}", "m" * 64) for each in range(MOST_TOLD)]
    assert len(GROUPS.encode(GroupsPart("s", 1, 0, 1, listed(quoted)[0]))) < LONGEST


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("part", 1),
        ("part", -1),
        ("parts", 0),
        ("scope", ""),
        ("scope", "../x"),
        ("changes", -1),
        ("groups", {"": ["x"]}),
        ("groups", {"g" * 129: ["x"]}),
        ("groups", {"a\nb": ["x"]}),
        ("groups", {"red": ["x"] * (MOST_TOLD + 1)}),
        ("groups", {"red": ["a/b"]}),
        ("groups", {"red": "x"}),
    ],
)
def test_what_is_no_such_message_is_refused(field, value):
    fields = {"type": "groups_part", "scope": "s", "changes": 1, "part": 0, "parts": 1}
    fields["groups"] = {"red": ["x"]}
    GROUPS.from_wire(fields)
    with pytest.raises(WireError, match=field):
        GROUPS.from_wire({**fields, field: value})


@pytest.mark.parametrize("name", ["red", "a b/c", "ü" * 128, "."])
def test_any_printable_text_is_a_name(name):
    assert check_group(name) == name


@pytest.mark.parametrize("name", ["", "x" * 129, "a\nb", "\ud800", 7, None, b"red"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(SpecError, match="group: expected name to be a text of 1 to 128 printable"):
        check_group(name)


def test_a_journal_gives_back_what_was_written_down(tmp_path):
    folder = str(tmp_path)
    ann = Ref("1-a", folder, 11, "ann")
    name = "a\u2028b 'x'"
    wishes: list[Wish] = [
        Join("0", name, ann),
        Leave("1", name, ann),
        Watch("2", name, ann),
        Unwatch("3", name, ann),
    ]
    journal = Journal(folder)
    assert journal.read() == []
    for wish in wishes:
        journal.add(wish)
    successor = Journal(folder)
    assert successor.read() == wishes
    successor.replace(wishes[:1])
    successor.add(wishes[2])
    assert Journal(folder).read() == [wishes[0], wishes[2]]
    assert [path.name for path in tmp_path.iterdir()] == ["groups"]
    for each in (journal, successor):
        each.close()


def test_a_journal_survives_whatever_lies_in_it(tmp_path):
    folder = str(tmp_path)
    wish = Join("1", "red", Ref("1-a", folder))
    journal = Journal(folder)
    journal.add(wish)
    journal.close()
    with (tmp_path / "groups").open("a") as file:
        file.write('nonsense\n[]\n{}\n["join"]\n["sing","1","red","1-a",0,null]\n["joi')
    assert Journal(folder).read() == [wish]
    (tmp_path / "groups").write_bytes(b"\xff")
    assert Journal(folder).read() == []


def test_a_journal_that_cannot_be_written_is_told_once_and_survived(tmp_path, caplog):
    (tmp_path / "groups").mkdir()
    journal = Journal(str(tmp_path))
    assert journal.read() == []
    journal.add(Join("1", "red", ANN))
    journal.add(Join("2", "red", ANN))
    journal.replace([])
    assert caplog.text.count("groups_unwritable") == 1


def test_a_journal_is_overgrown_when_most_of_it_is_dead(tmp_path, monkeypatch):
    journal = Journal(str(tmp_path))
    for number in range(roster.MOST_TOLD * 9):
        journal.add(Join(str(number), "red", ANN))
    assert journal.is_overgrown(1)
    assert not journal.is_overgrown(roster.MOST_TOLD * 9)
    journal.replace([Join("1", "red", ANN)])
    assert not journal.is_overgrown(1)
    journal.close()


def test_the_lines_of_a_journal_are_json(tmp_path):
    journal = Journal(str(tmp_path))
    journal.add(Join("1", "red", ANN))
    journal.close()
    line = (tmp_path / "groups").read_text("utf-8")
    assert json.loads(line) == ["join", "1", "red", "1-a", 11, "ann"]
