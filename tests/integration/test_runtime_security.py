"""What nobody else may read, and what no bytes may break."""

import os
import secrets
import socket
import stat
from pathlib import Path

import pytest

from beethoven import whereis
from beethoven.errors import NodeError
from beethoven.runtime import framing
from beethoven.runtime.framing import HEADER
from beethoven.runtime.here import here
from beethoven.runtime.names import socket_path
from tests.integration import roles
from tests.integration.roles import Puppet
from tests.processes import end, fork_servers

pytestmark = pytest.mark.process


@pytest.fixture
def puppet():
    ref = Puppet.start_link(name="puppet")
    yield ref
    end(ref)


@pytest.fixture
def base(monkeypatch):
    """A base folder that is still to be made; its address is short."""
    path = Path(os.environ["BEETHOVEN_RUNTIME_DIR"] + secrets.token_hex(2))
    monkeypatch.setenv("BEETHOVEN_RUNTIME_DIR", str(path))
    yield path
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        (path / "lock").unlink(missing_ok=True)
        path.rmdir()


def mode(path):
    return stat.S_IMODE(Path(path).stat().st_mode)


def test_folders_and_sockets_are_open_to_their_user_only(puppet):
    folder = Path(puppet.folder)
    assert mode(folder.parent) == mode(folder) == mode(folder / "names") == 0o700
    sockets = [each for each in folder.iterdir() if each.is_socket()]
    assert len(sockets) == 2
    for each in sockets:
        assert mode(each) == 0o600


def test_the_umask_of_the_program_opens_nothing(base):
    before = os.umask(0)
    try:
        ref = Puppet.start_link()
    finally:
        os.umask(before)
    assert mode(ref.folder) == mode(base) == 0o700
    assert mode(socket_path(ref.folder, ref.identity)) == 0o600
    ref.stop()


@pytest.mark.parametrize("fault", ["symlink", "open to the group", "open to all", "file"])
def test_a_base_folder_that_others_can_touch_is_refused(base, tmp_path, fault):
    match fault:
        case "symlink":
            base.symlink_to(tmp_path)
        case "file":
            base.touch(0o600)
        case _:
            base.mkdir()
            base.chmod(0o770 if "group" in fault else 0o777)
    with pytest.raises(NodeError, match=r"expected a folder of this user with mode 0700, got"):
        Puppet.start_link()


def test_a_base_folder_too_deep_for_a_socket_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setenv("BEETHOVEN_RUNTIME_DIR", str(tmp_path / ("deep" * 30)))
    ref = Puppet.start_link()
    assert ref.folder.startswith(f"/tmp/beethoven-{os.geteuid()}/")
    ref.stop()


GARBAGE = {
    "noise": bytes(range(1, 256)) * 20,
    "text": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "zeros": bytes(1000),
    "nothing": b"",
    "half a header": HEADER.pack(100, 1, framing.CALL)[:7],
    "half a frame": framing.pack(framing.CALL, 1, bytes(1000))[:500],
    "half a large frame": HEADER.pack(framing.LONGEST, 1, framing.CALL) + bytes(100_000),
    "a frame of all memory": HEADER.pack(2**64 - 1, 1, framing.CALL),
    "a frame of terabytes": HEADER.pack(2**43, 1, framing.CALL) + bytes(100),
    "unknown kinds": b"".join(
        framing.pack(kind, 1, b"\x80\x05N.") for kind in (0, *range(framing.MONITOR, 256))
    ),
    "unreadable payloads": b"".join(
        framing.pack(kind, 1, b"no pickle") for kind in range(1, framing.MONITOR + 1)
    ),
    "a link that is none": framing.pack(framing.LINK, 0, b"\x80\x05N."),
}


def send_garbage(path, garbage):
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(path)
        stream.settimeout(5)
        try:
            stream.sendall(garbage)
            stream.shutdown(socket.SHUT_WR)
            while stream.recv(65536):
                pass
        except ConnectionError:
            return


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_no_bytes_end_a_process_or_fill_its_memory(puppet, garbage):
    before = puppet.call((roles.peak_memory,))
    send_garbage(socket_path(puppet.folder, puppet.identity), garbage)
    assert puppet.call((roles.answer, "alive")) == "alive"
    assert puppet.call((roles.peak_memory,)) - before < 5_000_000
    assert puppet.call((roles.open_descriptors,)) < 15


def test_no_bytes_end_the_fork_server(puppet):
    (server,) = fork_servers()
    for garbage in GARBAGE.values():
        send_garbage(f"{here.folder}/{here.fork_server}.f", garbage)
    assert fork_servers() == [server]
    other = Puppet.start_link()
    assert other.call((roles.answer, "alive")) == "alive"
    assert whereis("puppet") == puppet
    end(other)


def test_a_child_inherits_no_descriptor_but_its_own():
    with Path(os.devnull).open("rb") as keeper:
        os.set_inheritable(keeper.fileno(), True)
        ref = Puppet.start_link()
        assert ref.call((roles.open_descriptors,)) < 15
    end(ref)
