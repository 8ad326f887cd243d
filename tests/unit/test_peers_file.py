"""What a node remembers of others, and what it makes of a file that is none of its own."""

import json
import os
import stat
from pathlib import Path

import pytest

from beethoven.cluster.addresses import Address
from beethoven.cluster.peers_file import MOST_PEERS, PeersFile

FOUR = Address("10.0.0.1", 33000)
SIX = Address("fd00::1", 4000)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "beethoven" / "peers.json"


@pytest.fixture
def records(caplog):
    def read():
        return [(each.event, each.fields) for each in caplog.records]

    return read


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_what_was_written_is_read(path, records):
    PeersFile(str(path)).write([FOUR, SIX])
    assert PeersFile(str(path)).read() == (FOUR, SIX)
    PeersFile(str(path)).write([SIX])
    assert PeersFile(str(path)).read() == (SIX,)
    assert records() == []


def test_the_file_and_the_folders_made_for_it_are_for_this_user_alone(path, tmp_path):
    tmp_path.chmod(0o755)
    before = os.umask(0)
    try:
        PeersFile(str(path)).write([FOUR])
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert mode(path.parent) == mode(path.parent.parent) == 0o700
    assert mode(tmp_path) == 0o755, "this one was there"


def test_a_file_that_is_not_there_is_no_news(path, records):
    assert PeersFile(str(path)).read() == ()
    assert not path.parent.exists()
    assert records() == []


def test_without_a_path_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    PeersFile(None).write([FOUR])
    assert PeersFile(None).read() == ()
    assert list(tmp_path.iterdir()) == []


def test_not_too_many_are_written_or_read(path):
    many = [Address(f"10.0.{each}.1", 33000) for each in range(200)]
    PeersFile(str(path)).write(iter(many))
    assert PeersFile(str(path)).read() == tuple(many[:MOST_PEERS])
    put(path, json.dumps({"peers": [str(each) for each in many]}).encode())
    assert PeersFile(str(path)).read() == tuple(many[:MOST_PEERS])


def test_an_address_that_is_there_twice_is_read_once(path):
    put(path, b'{"peers": ["10.0.0.1:33000", "10.0.0.1:33000", "[fd00::1]:4000"], "more": 1}')
    assert PeersFile(str(path)).read() == (FOUR, SIX)


WRONG = {
    "empty": (b"", "expected JSON"),
    "not JSON": (b"{peers", "expected JSON"),
    "not text": (b"\xff\xfe\x00", "expected JSON"),
    "zeros": (bytes(4096), "expected JSON"),
    "nested too deeply": (b"[" * 50_000, "expected JSON"),
    "a number too long": (b'{"peers": ' + b"9" * 5000 + b"}", "expected JSON"),
    "a list": (b'["10.0.0.1:33000"]', "an object with a list of peers"),
    "no peers": (b"{}", "an object with a list of peers"),
    "peers that are no list": (b'{"peers": "10.0.0.1:33000"}', "an object with a list of peers"),
    "a peer that is no string": (b'{"peers": [33000]}', "the address and port of one node"),
    "a list in the list": (b'{"peers": [["10.0.0.1:33000"]]}', "the address and port"),
    "a name": (b'{"peers": ["localhost:33000"]}', "the address and port of one node"),
    "no port": (b'{"peers": ["10.0.0.1"]}', "the address and port of one node"),
    "all interfaces": (b'{"peers": ["0.0.0.0:33000"]}', "the address and port of one node"),
    "too large": (b'{"peers": []}' + b" " * 65536, "at most 65536 bytes"),
}


@pytest.mark.parametrize(("content", "problem"), WRONG.values(), ids=WRONG.keys())
def test_a_file_that_is_not_fit_is_ignored_and_named(path, records, content, problem):
    put(path, content)
    assert PeersFile(str(path)).read() == ()
    ((event, fields),) = records()
    assert event == "peers_file_ignored"
    assert fields["file"] == str(path)
    assert problem in fields["problem"]
    assert len(fields["problem"]) < 400
    assert path.read_bytes() == content


def make_folder(path):
    path.mkdir(parents=True)


def make_pipe(path):
    path.parent.mkdir(parents=True)
    os.mkfifo(path)


def make_device(path):
    path.parent.mkdir(parents=True)
    path.symlink_to("/dev/zero")


def make_foreign(path):
    put(path, b'{"peers": ["10.0.0.1:33000"]}')
    os.chown(path, 12345, 12345)


def make_open(path):
    put(path, b'{"peers": ["10.0.0.1:33000"]}')
    path.chmod(0o662)


def make_file_for_folder(path):
    path.parent.parent.mkdir(parents=True)
    path.parent.write_text("")


def make_loop(path):
    path.parent.mkdir(parents=True)
    path.symlink_to(path)


THINGS = {
    "a folder": (make_folder, "expected a regular file, got: d"),
    "a pipe": (make_pipe, "expected a regular file, got: p"),
    "a device": (make_device, "expected a regular file, got: c"),
    "somebody else's": (make_foreign, "expected a file of uid 0, got: uid 12345"),
    "open to all": (make_open, "got: mode 0662"),
    "below a file": (make_file_for_folder, "Not a directory"),
    "a circle": (make_loop, "Too many levels of symbolic links"),
}


@pytest.mark.parametrize(("make", "problem"), THINGS.values(), ids=THINGS.keys())
def test_what_is_no_file_of_ours_is_ignored_and_named(path, records, make, problem):
    if make is make_foreign and os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    make(path)
    assert PeersFile(str(path)).read() == ()
    ((event, fields),) = records()
    assert (event, fields["file"]) == ("peers_file_ignored", str(path))
    assert problem in fields["problem"]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable for root")
def test_a_file_that_cannot_be_read_is_ignored_and_named(path, records):
    put(path, b"{}")
    path.chmod(0)
    assert PeersFile(str(path)).read() == ()
    assert records()[0][1]["problem"] == "Permission denied"


def test_a_file_that_cannot_be_written_is_named_once(path, records):
    make_file_for_folder(path)
    file = PeersFile(str(path))
    for _ in range(3):
        file.write([FOUR])
    ((event, fields),) = records()
    assert event == "peers_file_unwritable"
    assert fields["file"] == str(path)
    path.parent.unlink()
    file.write([FOUR])
    assert file.read() == (FOUR,)
    assert len(records()) == 1


def test_nothing_is_left_of_a_write_that_failed(path, records):
    make_folder(path)
    PeersFile(str(path)).write([FOUR])
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert records()[0][0] == "peers_file_unwritable"


def test_a_reader_never_sees_half_a_file(path):
    first = [Address(f"10.0.0.{each}", 33000) for each in range(1, 101)]
    PeersFile(str(path)).write(first)
    with Path(path).open("rb") as before:
        PeersFile(str(path)).write([SIX])
        assert len(json.loads(before.read())["peers"]) == 100
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208 (names only)
