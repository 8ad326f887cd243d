"""Nothing but the folder of a tree is ever removed: an earlier form removed the current one."""

import os
from pathlib import Path

import pytest

from beethoven.errors import NodeError
from beethoven.runtime import owner
from beethoven.runtime.folder import (
    KEPT,
    is_tree_folder,
    let_go,
    make_folder,
    remove_folder,
    write_whole,
)

TREE = "0123abcd"


@pytest.fixture
def precious(tmp_path, monkeypatch):
    """A current folder, far from the base folder, that holds what must never be lost."""
    (tmp_path / "home" / TREE).mkdir(parents=True)
    (tmp_path / "home" / TREE / "letters").write_text("mine")
    (tmp_path / TREE).mkdir()
    (tmp_path / TREE / "letters").write_text("mine")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def base(tmp_path, monkeypatch):
    path = tmp_path / "base"
    path.mkdir(mode=0o700)
    monkeypatch.setattr("beethoven.runtime.folder._base_path", lambda: path)
    return path


@pytest.mark.parametrize("path", ["", ".", "..", "/", "home", TREE, f"home/{TREE}"])
@pytest.mark.parametrize("is_absolute", [True, False])
def test_what_lies_elsewhere_is_never_removed(precious, base, path, is_absolute):
    refused = precious / path if is_absolute else Path(path)
    assert not is_tree_folder(refused)
    with pytest.raises(NodeError, match="expected the folder of a tree under"):
        remove_folder(refused)
    assert (precious / TREE / "letters").read_text() == "mine"
    assert (precious / "home" / TREE / "letters").read_text() == "mine"


@pytest.mark.parametrize("name", ["letters", "0123ABCD", "0123abcd5", "node-alpha", ".git"])
def test_what_lies_beside_the_folders_of_trees_is_neither_removed_nor_swept(base, name):
    """A user may choose a folder that is not empty."""
    (base / name).mkdir()
    (base / name / "letters").write_text("mine")
    with pytest.raises(NodeError):
        remove_folder(base / name)
    folder, handle = make_folder()
    os.close(handle)
    assert (base / name / "letters").read_text() == "mine"
    assert is_tree_folder(folder)


def test_a_link_out_of_the_base_folder_is_not_followed(precious, base):
    (base / TREE).symlink_to(precious / "home")
    with pytest.raises(NodeError):
        remove_folder(base / TREE)
    folder, handle = make_folder()
    (folder / "out").symlink_to(precious / "home")
    os.close(handle)
    remove_folder(folder)
    assert (precious / "home" / TREE / "letters").read_text() == "mine"


def test_the_folder_of_a_dead_tree_is_swept_and_that_of_a_living_one_is_not(base):
    dead, dead_handle = make_folder()
    living, living_handle = make_folder()
    os.close(dead_handle)
    _, handle = make_folder()
    assert not dead.exists()
    assert living.exists()
    for each in (living_handle, handle):
        os.close(each)


def test_what_is_gone_already_can_be_removed(base):
    remove_folder(base / TREE)


def test_closing_when_there_is_no_tree_removes_nothing(precious):
    owner.close()
    owner.close()
    assert (precious / TREE / "letters").read_text() == "mine"


def test_a_folder_that_is_kept_is_removed_only_when_it_is_let_go(base):
    kept, handle = make_folder()
    (kept / KEPT).touch()
    os.close(handle)
    other, handle = make_folder()
    assert kept.exists()
    let_go(kept)
    assert not kept.exists()
    (other / KEPT).touch()
    let_go(other)
    assert other.exists(), "its owner lives"
    os.close(handle)
    let_go(other)
    let_go(other)
    assert not other.exists()


def test_what_is_no_folder_of_a_tree_is_not_let_go(precious, base):
    let_go(precious / TREE)
    let_go(Path())
    assert (precious / TREE / "letters").exists()


def test_a_file_is_written_whole_or_stays_as_it_was(tmp_path):
    path = tmp_path / "told"
    write_whole(path, b"one")
    write_whole(path, b"two")
    # Root may write to any file, but not to a folder.
    (tmp_path / "told.new").mkdir()
    with pytest.raises(OSError, match=r"told\.new"):
        write_whole(path, b"three")
    assert path.read_bytes() == b"two"
