"""A root that is handed another socket gives that out, and keeps the former for a while."""

import contextlib
import socket
from pathlib import Path

import psutil
import pytest

from beethoven.cluster.listener import fetch_listener, replace_listener, retire_listener
from beethoven.runtime.unixsocket import connect
from tests.integration.cluster.beacon_parts import PortHolder
from tests.processes import end, wait_until

pytestmark = pytest.mark.process


@pytest.fixture
def holder():
    ref = PortHolder.start_link()
    yield ref
    end(ref)


def port_of(folder):
    with fetch_listener(folder) as listener:
        return listener.getsockname()[1]


def is_open(port):
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def another(holder):
    """Hand in another socket; return its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        replace_listener(holder.folder, listener)
        return listener.getsockname()[1]


def descriptors(holder):
    return psutil.Process(holder.pid).num_fds()


def test_another_socket_takes_the_place_of_the_former_which_stays_open(holder):
    former = holder.call("port")
    port = another(holder)
    assert port_of(holder.folder) == port
    assert is_open(former)
    assert is_open(port)
    retire_listener(holder.folder)
    assert not is_open(former)
    assert is_open(port)
    retire_listener(holder.folder)
    assert port_of(holder.folder) == port


def test_at_most_one_former_socket_is_kept(holder):
    first, second, third = holder.call("port"), another(holder), another(holder)
    assert not is_open(first)
    assert is_open(second)
    assert port_of(holder.folder) == third


def test_whoever_says_nothing_or_something_else_changes_nothing(holder):
    port, before = holder.call("port"), descriptors(holder)
    silent = connect(f"{holder.folder}/next-listener")
    for said in (b"x", b"+", b""):
        with contextlib.closing(connect(f"{holder.folder}/next-listener")) as stream:
            stream.sendall(said)
            stream.shutdown(socket.SHUT_WR)
            assert stream.recv(1) == b""
    with contextlib.closing(connect(f"{holder.folder}/next-listener")) as stream:
        socket.send_fds(stream, [b"x"], [silent.fileno()])
        assert stream.recv(1) == b""
    assert port_of(holder.folder) == port
    silent.close()
    wait_until(lambda: descriptors(holder) <= before)


def test_without_a_root_it_is_an_error(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(OSError):  # noqa: PT011
        replace_listener(str(tmp_path), listener)
    assert list(Path(tmp_path).iterdir()) == []
