import pickle
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven import Role
from beethoven.errors import ProcessExited
from beethoven.runtime import reason
from beethoven.runtime.reason import (
    KILLED,
    NO_PROCESS,
    NORMAL,
    OUT_OF_MEMORY,
    SHUTDOWN,
    ExitReason,
    ReasonKind,
    as_reason,
    from_exception,
    from_wait_status,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("normal", NORMAL),
        ("shutdown", SHUTDOWN),
        ("killed", KILLED),
        (KILLED, KILLED),
        ("any other text", ExitReason(ReasonKind.OTHER, "any other text")),
        (("a", 1), ExitReason(ReasonKind.OTHER, "('a', 1)")),
        (None, ExitReason(ReasonKind.OTHER, "None")),
    ],
)
def test_any_value_stands_for_a_reason(value, expected):
    assert as_reason(value) == expected


@given(st.sampled_from(ReasonKind), st.text())
def test_only_normal_and_shutdown_are_no_failures(kind, detail):
    is_clean = kind in {ReasonKind.NORMAL, ReasonKind.SHUTDOWN}
    assert ExitReason(kind, detail).is_abnormal == (not is_clean)


@given(st.sampled_from(ReasonKind), st.text(), st.text())
def test_a_reason_survives_pickling(kind, detail, traceback):
    value = ExitReason(kind, detail, traceback)
    assert pickle.loads(pickle.dumps(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (NORMAL, "normal"),
        (SHUTDOWN, "shutdown"),
        (reason.shutdown("drained"), "shutdown: drained"),
        (KILLED, "killed"),
        (NO_PROCESS, "noproc"),
        (OUT_OF_MEMORY, "out_of_memory"),
        (ExitReason(ReasonKind.SIGNAL, "SIGSEGV"), "signal SIGSEGV"),
        (ExitReason(ReasonKind.EXIT_CODE, "3"), "exit code 3"),
        (ExitReason(ReasonKind.OTHER, "disk full"), "disk full"),
        (ExitReason(ReasonKind.START_TIMEOUT, "5 s"), "start_timeout: 5 s"),
    ],
)
def test_a_reason_reads_as_words(value, text):
    assert str(value) == text


@pytest.mark.parametrize(
    ("status", "out_of_memory", "expected"),
    [
        pytest.param(9, False, KILLED, id="SIGKILL is killed"),
        pytest.param(9, True, OUT_OF_MEMORY, id="SIGKILL by the kernel is out of memory"),
        pytest.param(11, True, ExitReason(ReasonKind.SIGNAL, "SIGSEGV"), id="a signal"),
        pytest.param(11 | 0x80, False, ExitReason(ReasonKind.SIGNAL, "SIGSEGV"), id="with a core"),
        pytest.param(15, False, ExitReason(ReasonKind.SIGNAL, "SIGTERM"), id="SIGTERM"),
        pytest.param(
            int(signal.SIGRTMIN) + 3, False, ExitReason(ReasonKind.SIGNAL, "37"), id="no name"
        ),
        pytest.param(3 << 8, False, ExitReason(ReasonKind.EXIT_CODE, "3"), id="an exit code"),
        pytest.param(0, False, ExitReason(ReasonKind.EXIT_CODE, "0"), id="exit code 0"),
    ],
)
def test_a_wait_status_becomes_a_reason_and_is_always_abnormal(status, out_of_memory, expected):
    found = from_wait_status(status, out_of_memory=out_of_memory)
    assert found == expected
    assert found.is_abnormal


def test_an_exception_that_tells_of_another_process_gives_the_first_line_of_its_text():
    inner = from_exception(ValueError("boom"))
    assert "\n" in str(ProcessExited(target="task", reason=inner))
    found = from_exception(ProcessExited(target="task", reason=inner))
    assert found.detail.endswith("ProcessExited: task: exited: ValueError: boom")
    assert found.traceback.count("ValueError: boom") == 2
    assert from_exception(ValueError("one\ntwo")).detail == "ValueError: one\ntwo"


def test_a_traceback_begins_with_the_step_of_the_user_if_there_is_one():
    with pytest.raises(NotImplementedError) as caught:
        Role().handle_cast(1)
    error = caught.value
    whole = error.__traceback__
    assert whole is not None
    assert __file__ in from_exception(error).traceback.splitlines()[1]
    ours = from_exception(error.with_traceback(whole.tb_next)).traceback
    assert "role.py" in ours.splitlines()[1]


def test_an_exception_gives_its_text_and_its_traceback():
    try:
        raise KeyError("missing")
    except KeyError as error:
        found = from_exception(error)
    assert found.kind is ReasonKind.EXCEPTION
    assert str(found) == "KeyError: 'missing'"
    assert "test_an_exception_gives_its_text" in found.traceback
    assert as_reason(KeyError("missing")).detail == found.detail
