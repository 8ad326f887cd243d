"""What is kept for those who want to know of other nodes, and what if it cannot be kept."""

from dataclasses import replace
from pathlib import Path

from beethoven.cluster.addresses import Address
from beethoven.cluster.member import Cause, Member
from beethoven.cluster.membership_events import NodeDown, NodeUp
from beethoven.node.watchers import Watchers

VIOLA = Member("1" * 16, "viola", Address("127.0.0.2", 33000), 1)
MOVED = replace(VIOLA, address=Address("127.0.0.9", 33000))


def test_a_successor_knows_whom_the_others_were_told_of(tmp_path):
    Watchers(str(tmp_path)).tell(NodeUp(VIOLA))
    assert Watchers(str(tmp_path))._told == {VIOLA.node_id: VIOLA}
    Watchers(str(tmp_path)).tell(NodeDown(VIOLA, Cause.SILENT))
    assert Watchers(str(tmp_path))._told == {}


def test_a_folder_that_takes_nothing_more_is_told_and_survived(tmp_path, caplog):
    # Root may write to any file, but not to a folder.
    Path(tmp_path, "members-told.new").mkdir()
    watchers = Watchers(str(tmp_path))
    watchers.tell(NodeUp(VIOLA))
    watchers.tell(NodeDown(VIOLA, Cause.SILENT))
    assert caplog.text.count("watchers_unwritable") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["members-told.new"]


def test_the_files_of_those_who_are_gone_are_removed(tmp_path):
    Path(tmp_path, "watcher-1-gone").touch()
    Watchers(str(tmp_path)).greet()
    assert not list(tmp_path.iterdir())


def test_what_a_node_says_of_itself_later_is_kept_and_nobody_is_told(tmp_path):
    watchers = Watchers(str(tmp_path))
    watchers.change(MOVED)
    assert watchers.nodes == ()
    watchers.tell(NodeUp(VIOLA))
    # Whoever is to be told is looked for, and whoever is gone is removed then.
    Path(tmp_path, "watcher-1-gone").touch()
    watchers.change(MOVED)
    assert watchers.nodes == Watchers(str(tmp_path)).nodes == (MOVED,)
    assert Path(tmp_path, "watcher-1-gone").exists()


def test_a_successor_that_meets_a_known_node_elsewhere_notes_that_and_tells_nobody(tmp_path):
    Watchers(str(tmp_path)).tell(NodeUp(VIOLA))
    Path(tmp_path, "watcher-1-gone").touch()
    successor = Watchers(str(tmp_path))
    successor.tell(NodeUp(MOVED))
    assert successor.nodes == Watchers(str(tmp_path)).nodes == (MOVED,)
    assert Path(tmp_path, "watcher-1-gone").exists()
