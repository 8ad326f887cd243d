"""What a process lets others read without asking it."""

import pytest

from beethoven.runtime import published

TEXTS = ["4 pool", "0 a//b/../c", "x" * 4000, "schlüssel"]


@pytest.mark.parametrize("text", TEXTS)
def test_it_is_read_as_it_was_written(tmp_path, text):
    published.publish(str(tmp_path), "1-a", text)
    assert published.read(str(tmp_path), "1-a") == text


def test_it_is_replaced_also_after_a_write_that_was_cut_short(tmp_path):
    published.publish(str(tmp_path), "1-a", "old")
    (tmp_path / "1-a~.p").symlink_to("half")
    published.publish(str(tmp_path), "1-a", "new")
    assert published.read(str(tmp_path), "1-a") == "new"


def test_nothing_is_left_of_a_process_that_is_gone(tmp_path):
    published.publish(str(tmp_path), "1-a", "old")
    published.publish(str(tmp_path), "1-b", "other")
    (tmp_path / "1-a~.p").symlink_to("half")
    published.withdraw(str(tmp_path), "1-a")
    assert published.read(str(tmp_path), "1-a") is None
    published.withdraw(str(tmp_path), "1-a")
    published.withdraw(str(tmp_path), "1-b")
    assert not list(tmp_path.iterdir())
