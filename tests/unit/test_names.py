import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.errors import SpecError
from beethoven.runtime import names
from beethoven.runtime.unixsocket import listen


@pytest.fixture
def folder(tmp_path_factory, monkeypatch):
    """A folder of names with a short address: a socket's has little room."""
    path = tmp_path_factory.mktemp("n")
    (path / "names").mkdir()
    monkeypatch.chdir(path)
    return "."


def test_a_name_leads_to_its_holder_while_that_listens(folder):
    with listen(names.socket_path(folder, "1-a")):
        assert names.register(folder, "clock", "1-a", 17) is None
        assert names.lookup(folder, "clock") == ("1-a", 17)
    assert names.lookup(folder, "clock") is None


def test_a_taken_name_is_refused_and_tells_its_holder(folder):
    with listen(names.socket_path(folder, "1-a")):
        names.register(folder, "clock", "1-a", 17)
        assert names.register(folder, "clock", "1-b", 18) == ("1-a", 17)
        assert names.lookup(folder, "clock") == ("1-a", 17)


def test_the_name_of_a_dead_holder_is_free(folder):
    listen(names.socket_path(folder, "1-a")).close()
    names.register(folder, "clock", "1-a", 17)
    assert names.register(folder, "clock", "1-b", 18) is None


def test_only_its_holder_frees_a_name(folder):
    with listen(names.socket_path(folder, "1-b")):
        names.register(folder, "clock", "1-b", 18)
        names.unregister(folder, "clock", "1-a")
        assert names.lookup(folder, "clock") == ("1-b", 18)
        names.unregister(folder, "clock", "1-b")
        assert names.lookup(folder, "clock") is None
        names.unregister(folder, "clock", "1-b")


@pytest.mark.parametrize("name", ["", None, 3, b"bytes", "x" * 201, "ü" * 100])
def test_a_name_is_a_text_of_limited_length(name):
    with pytest.raises(SpecError, match="expected name to be a text"):
        names.check_name(name)


@given(st.text(min_size=1, max_size=30))
def test_any_text_becomes_one_plain_file_name(name):
    quoted = names._quote(name)
    assert os.sep not in quoted
    assert "\0" not in quoted
    assert not quoted.startswith(".")


@given(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8))
def test_different_names_never_become_the_same_file(one, other):
    assert (names._quote(one) == names._quote(other)) == (one == other)


def test_a_socket_is_open_to_its_user_only(folder):
    path = names.socket_path(folder, "1-a")
    with listen(path):
        assert Path(path).stat().st_mode & 0o777 == 0o600
