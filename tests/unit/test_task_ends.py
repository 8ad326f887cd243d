"""Rules of `node.task_ends`: what the end of a task on some node means to its owner."""

import pickle

import pytest

from beethoven.errors import (
    FunctionNotFound,
    NodeLost,
    NoProcess,
    ProcessExited,
    ReplyNotPicklable,
    TaskTimeout,
)
from beethoven.node.task_ends import end_of
from beethoven.runtime.reason import KILLED, NORMAL, SHUTDOWN, ExitReason, ReasonKind
from beethoven.runtime.requests import Failure, Reply
from beethoven.tasks.results import Raised
from beethoven.tasks.task_process import TIME_IS_OVER, TIME_WAS_OVER

BOOM = ExitReason(
    ReasonKind.EXCEPTION, "ValueError: boom", "Traceback:\n  line 1\nValueError: boom\n"
)
LATE = "task jobs.f on node 'b': ended, for it took longer than the 2.5 s that it was given"
LOST = ExitReason(ReasonKind.OTHER, "closed its connection")


def end(response, known=None):
    return end_of(response, "jobs.f", "b", limit=2.5, known=known)


def failed(error, known=None):
    found = end(Failure(error), known)
    assert found.value is None
    return type(found.error), str(found.error), found.is_retriable


def exited(reason):
    return ProcessExited(target="the process", reason=reason)


def test_a_value_is_the_result():
    assert end(Reply(7)).value == 7
    assert end(Reply(None)).error is None
    assert not end(Reply(7)).is_retriable


def test_an_exception_comes_with_its_own_type_and_the_traceback_of_its_process():
    found = end(Reply(Raised(BOOM, pickle.dumps(ValueError("boom")))))
    assert type(found.error) is ValueError
    assert found.error.args == ("boom",)
    assert found.error.__notes__ == ["on node 'b':\nTraceback:\n  line 1\nValueError: boom"]
    assert not found.is_retriable


@pytest.mark.parametrize("error", [b"", b"cnosuchmodule\nThing\n."])
def test_an_exception_that_is_not_known_here_is_told_as_text(error):
    found = end(Reply(Raised(BOOM, error)))
    assert type(found.error) is ProcessExited
    assert "task jobs.f on node 'b': exited: ValueError: boom\nTraceback" in str(found.error)
    assert not found.is_retriable


def test_a_missing_module_is_told_with_its_node_and_what_to_do():
    found = end(Reply(Raised(BOOM, b"", missing="jobs", is_opened=False)))
    assert type(found.error) is FunctionNotFound
    assert (found.error.node, found.error.module) == ("b", "jobs")
    assert str(found.error) == (
        "task jobs.f on node 'b': it has no module 'jobs'; install it there, "
        "or put it beside the configuration file of that node"
    )
    assert not found.is_retriable


def test_another_version_of_the_module_is_told_as_such():
    found = end(Reply(Raised(BOOM, b"", is_opened=False)))
    assert "it cannot be opened there: ValueError: boom; the modules" in str(found.error)


@pytest.mark.parametrize(
    ("error", "known", "expected"),
    [
        (
            exited(TIME_IS_OVER),
            TIME_IS_OVER,
            (TaskTimeout, LATE, False),
        ),
        (
            exited(LOST),
            TIME_WAS_OVER,
            (TaskTimeout, LATE, False),
        ),
        (
            exited(KILLED),
            KILLED,
            (ProcessExited, "task jobs.f on node 'b': exited: killed", True),
        ),
        (
            exited(SHUTDOWN),
            SHUTDOWN,
            (ProcessExited, "task jobs.f on node 'b': exited: shutdown", True),
        ),
        (
            exited(LOST),
            ExitReason(ReasonKind.EXIT_CODE, "3"),
            (ProcessExited, "task jobs.f on node 'b': exited: exit code 3", True),
        ),
        (
            NoProcess(target="x"),
            KILLED,
            (ProcessExited, "task jobs.f on node 'b': exited: killed", True),
        ),
        (
            exited(LOST),
            None,
            (
                NodeLost,
                "task jobs.f: node 'b' was lost before it had a result: "
                "the process: exited: closed its connection",
                True,
            ),
        ),
    ],
)
def test_what_was_not_its_own_doing_may_be_tried_again(error, known, expected):
    assert failed(error, known) == expected


def test_a_result_that_cannot_be_read_here_is_told_and_not_tried_again():
    error = ReplyNotPicklable(target="t", type_name="unreadable", cause="no module")
    assert end(Failure(error)).error is error
    assert not end(Failure(error)).is_retriable


def test_a_function_that_stops_itself_has_no_result():
    found = end(Reply(Raised(NORMAL, b"")))
    assert str(found.error) == "task jobs.f on node 'b': exited: normal"
