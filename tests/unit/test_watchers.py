"""What is kept for those who want to know of other nodes, and what if it cannot be kept."""

from pathlib import Path

from beethoven.cluster.addresses import Address
from beethoven.cluster.member import Cause, Member
from beethoven.cluster.membership_events import NodeDown, NodeUp
from beethoven.node.watchers import Watchers

VIOLA = Member("1" * 16, "viola", Address("127.0.0.2", 33000), 1)


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
