"""Tasks for whoever asks: what `ClusterHandle.run` starts on a node, here without one."""

import os
import pickle
import threading
from importlib import import_module
from pathlib import Path

import pytest

from beethoven import ChildSpec, DynamicSupervisor, Reply, Stop, send_request
from beethoven.errors import ProcessExited
from beethoven.runtime import connection
from beethoven.tasks.portable import portable_work
from beethoven.tasks.results import Raised
from beethoven.tasks.task_process import RESULT, TIME_IS_OVER, TaskProcess
from tests.processes import wait_until

pytestmark = [pytest.mark.process, pytest.mark.shared_tree]


def leave_a_mark(folder):
    Path(folder, f"ran-{os.getpid()}").touch()
    return os.getpid()


def linger(folder):
    leave_a_mark(folder)
    threading.Event().wait(60)


def boom(*_):
    raise ValueError("boom")


def give_in(_):
    raise Stop("too hard")


def answer_of(task):
    response = send_request(task, RESULT).receive_response(20)
    assert response is not None
    return response.unwrap()


@pytest.fixture
def supervisor():
    with DynamicSupervisor.start_link() as running:
        yield running


@pytest.fixture
def begin(supervisor, tmp_path):
    def begin(function, limit=None):
        work = portable_work(function, (str(tmp_path),), {}, limit)
        return supervisor.start_child(ChildSpec("t", TaskProcess, work, restart="temporary"))

    return begin


def marks(folder):
    return list(folder.glob("ran-*"))


def test_nothing_is_run_before_somebody_asks(begin, tmp_path):
    task = begin(leave_a_mark)
    assert task.is_alive()
    assert not marks(tmp_path)
    assert send_request(task, RESULT).receive_response(20) == Reply(task.pid)
    assert len(marks(tmp_path)) == 1
    assert task.wait(10)


def test_a_task_for_which_nobody_asks_ends_without_having_run(begin, tmp_path):
    task = begin(leave_a_mark)
    assert task.wait(20)
    assert not marks(tmp_path)


def test_it_ends_when_the_connection_of_who_has_asked_does(begin, tmp_path):
    task = begin(linger)
    request = send_request(task, RESULT)
    wait_until(lambda: marks(tmp_path))
    request.abandon()
    connection.drop(task.identity)
    assert task.wait(10)


def test_one_that_takes_too_long_ends_and_says_so(begin):
    task = begin(linger, 0.2)
    with pytest.raises(ProcessExited) as caught:
        answer_of(task)
    assert caught.value.reason == TIME_IS_OVER


def test_what_it_raises_is_the_reply(begin):
    raised = answer_of(begin(boom))
    assert isinstance(raised, Raised)
    assert repr(pickle.loads(raised.error)) == "ValueError('boom')"
    assert "in boom" in raised.reason.traceback
    assert raised.is_opened


def test_one_that_stops_itself_says_why(begin):
    raised = answer_of(begin(give_in))
    assert (str(raised.reason), raised.error) == ("too hard", b"")


def test_one_that_cannot_be_opened_names_what_is_missing(begin, tmp_path, monkeypatch):
    (tmp_path / "gone_soon.py").write_text("def f(_): return 1\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    gone_soon = import_module("gone_soon")

    (tmp_path / "gone_soon.py").unlink()
    raised = answer_of(begin(gone_soon.f))
    assert (raised.is_opened, raised.missing) == (False, "gone_soon")
