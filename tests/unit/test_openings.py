"""What was opened one way, and its end; lines are fakes."""

import errno
import gc
import socket
import threading

import pytest

from beethoven.cluster.messages import Purpose
from beethoven.errors import NodeError, NodeNotFound, NoProcess
from beethoven.remote import calls
from beethoven.remote.openings import Openings
from beethoven.remote.remote_ref import RemoteRef
from beethoven.remote.sealed_connection import SealedConnection
from beethoven.remote.way import LocalWay, local_way
from beethoven.runtime import connection, line
from beethoven.runtime.line import Connection
from beethoven.runtime.reference import Ref


class Line(Connection):
    """Stands for a connection."""

    def __init__(self):
        super().__init__(socket.socket(socket.AF_UNIX))
        self.told = []

    @property
    def is_closed(self):
        return self.stream.fileno() < 0

    def hang_up(self):
        self.told.append("hung up")


def test_each_way_has_connections_of_its_own_but_for_the_one_of_a_process_of_a_node():
    def identity(way=None):
        return RemoteRef("two", "id2", "127.0.0.1:1", Purpose.ROLE, "orders", way).identity

    one, other = LocalWay("/nowhere", "one"), LocalWay("/nowhere", "one")
    assert len({identity(), identity(one), identity(other)}) == 3
    # In a node all references share one, so that what a thread sends keeps its order.
    assert identity(local_way("/nowhere", "one")) == identity()


def test_who_closes_ends_what_was_opened_this_way_only():
    mine, other, ours, theirs = Openings(), Openings(), Line(), Line()
    for way, each, name in ((mine, ours, "a-mine"), (other, theirs, "a-theirs")):
        way.opened(each)
        connection.keep(Ref(name, "/nowhere"), each)
    mine.close()
    assert (ours.told, ours.is_closed) == (["hung up"], True)
    assert (theirs.told, theirs.is_closed) == ([], False)
    assert not connection.is_kept("a-mine")
    assert connection.is_kept("a-theirs")
    other.close()
    with pytest.raises(NodeError, match="a closed one"):
        mine.opened(Line())
    for use in (mine.check_open, lambda: mine.meet("anybody")):
        with pytest.raises(NodeError, match="a closed one"):
            use()


def test_a_closed_handle_says_so_whatever_is_known():
    way = LocalWay("/nowhere", "one")
    way.close()
    for use in (
        lambda: calls.call(way, "orders", "request", 1.0, None),
        lambda: calls.cast(way, "orders", "request", None),
        lambda: calls.cast_all(way, "orders", "request"),
        lambda: calls.multi_call(way, "orders", "request", 1.0),
        lambda: calls.ref(way, "orders", None),
        lambda: way.directory(1.0),
    ):
        with pytest.raises(NodeError, match="a closed one"):
            use()


def test_a_line_that_is_gone_is_not_kept_and_threads_may_open_while_one_closes():
    way = Openings()
    way.opened(Line())
    gc.collect()
    assert not way._lines
    lines, refused = [Line() for _ in range(300)], []
    begun = threading.Event()

    def work():
        for number, each in enumerate(lines):
            if number == len(lines) // 2:
                begun.set()
            try:
                way.opened(each)
            except NodeError:
                refused.append(each)

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    way.close()
    thread.join()
    # Each is ended by one of the two.
    assert all(each.told or each in refused for each in lines)


def test_processes_that_are_spoken_to_no_more_are_forgotten():
    way, kept = Openings(), Line()
    connection.keep(Ref("still-there", "/nowhere"), kept)
    way.meet("still-there")
    for number in range(1000):
        way.meet(f"gone-{number}")
    assert len(way._met.identities) < 200
    way.close()
    assert kept.is_closed


def test_a_connection_that_was_interrupted_while_it_was_made_ends_quietly():
    SealedConnection.__new__(SealedConnection).__del__()


def test_that_no_descriptor_is_free_is_not_taken_for_the_end_of_a_process(tmp_path, monkeypatch):
    def connect(path, timeout):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(line, "connect", connect)
    with pytest.raises(NoProcess, match="Too many open files"):
        Ref("a1", str(tmp_path)).call("request")
    way = LocalWay(str(tmp_path), "one")
    monkeypatch.setattr(way, "local", lambda _name: Ref("a1", str(tmp_path)))
    with pytest.raises(NodeNotFound, match="node 'one' cannot be asked: Too many open files"):
        way.directory(0.05)
