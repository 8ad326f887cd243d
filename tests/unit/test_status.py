"""What is shown of a server: small, as its formatter wants it, and text only."""

import re
from dataclasses import replace

import pytest

from beethoven.runtime.reason import ExitReason, ReasonKind, from_exception
from beethoven.runtime.status import (
    FORMATTER_FAILED,
    CrashReport,
    DebugEvent,
    Shown,
    Status,
    bounded,
    show,
    state_of,
)

CRASH = ExitReason(ReasonKind.EXCEPTION, "ValueError: boom", "Traceback ...")


class Server:
    """Shows itself as it is, unless it is told how."""

    def __init__(self, formatter=lambda status: status):
        self.format_status = formatter


class Text(str):
    __slots__ = ()


class Shy:
    def __init__(self, error):
        self.error = error

    def __repr__(self):
        raise self.error


@pytest.mark.parametrize(
    "value",
    ["x" * 10**6, b"x" * 10**6, bytearray(10**6), list(range(10**6)), {i: i for i in range(10**5)}],
)
def test_the_text_of_a_large_value_is_small(value):
    assert len(bounded(value)) < 1100


def test_the_text_of_a_small_value_is_its_repr():
    for value in (None, 1, "it", b"it", bytearray(b"it"), [1, "a"], {"a": (1, 2)}, {3}):
        assert bounded(value) == repr(value)


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(), KeyboardInterrupt()])
def test_a_value_that_cannot_describe_itself_is_named(error):
    assert "Shy" in bounded(Shy(error))


def test_the_state_of_an_object_is_its_public_attributes():
    server = Server()
    vars(server).update(pin=1, _private=2)
    assert state_of(server).keys() == {"format_status", "pin"}


def test_a_status_is_shown_as_texts():
    event = DebugEvent("call", [1], 7, 0.5)
    raw = Status({"pin": 1, 2: "x"}, ("call", {"a": 1}), CRASH, (event,))
    shown = show(Server(), raw)
    assert shown.state == {"pin": "1", "2": "'x'"}
    assert shown.message == "call {'a': 1}"
    assert (shown.reason, shown.log) == (CRASH, (replace(event, value="[1]"),))


def test_a_large_state_is_shown_in_part():
    state = {f"attribute{number}": "x" * 200 for number in range(1000)}
    shown = show(Server(), Status(state)).state
    assert isinstance(shown, dict)
    assert sum(map(len, shown.values())) < 20_000
    assert shown["..."] == f"{1000 - len(shown) + 1} more"


def test_a_formatted_status_may_be_of_any_kind():
    odd = Status(Text("state"), Text("message"), "shutdown", ("event", 7))  # type: ignore[arg-type]
    shown = show(Server(lambda _: odd), Status({}, None, CRASH))
    assert (shown.state, shown.message) == ("state", "message")
    assert type(shown.state) is type(shown.message) is str
    assert shown.reason is not None
    assert shown.reason.kind is ReasonKind.SHUTDOWN
    assert [event.value for event in shown.log] == ["event", "7"]


@pytest.mark.parametrize("error", [ValueError("4711"), SystemExit("4711"), KeyboardInterrupt()])
def test_a_formatter_that_fails_shows_nothing_but_the_reason(error):
    def fail(_):
        raise error

    event = DebugEvent("call", "4711", None, 0.0)
    shown = show(Server(fail), Status({"pin": "4711"}, ("call", "4711"), CRASH, (event,)))
    assert replace(shown, fault="") == Shown(FORMATTER_FAILED, FORMATTER_FAILED, CRASH, ())
    assert re.fullmatch(rf"{type(error).__name__} in .*fail, {__file__}:\d+", shown.fault)


@pytest.mark.parametrize(
    "junk",
    [None, {"state": 1}, Status({}, log=7)],  # type: ignore[arg-type]
)
def test_what_is_no_status_counts_as_a_failure(junk):
    shown = show(Server(lambda _: junk), Status({"pin": "4711"}))
    assert shown.state == FORMATTER_FAILED
    assert shown.fault


def test_a_report_leaves_out_what_it_does_not_know():
    shown = Shown({}, "", CRASH, ())
    assert CrashReport("Cell", shown).fields() == {"role": "Cell", "traceback": "Traceback ..."}
    facts = {"function": "work"}
    full = CrashReport("task", replace(shown, message="call 1"), 7, "mine", facts).fields()
    assert full == {
        "role": "task",
        "label": "mine",
        "function": "work",
        "last_message": "call 1",
        "client": 7,
        "traceback": "Traceback ...",
    }


def test_a_very_long_reason_lacks_its_middle_and_stays_equal_to_itself():
    long = "a" * 10**6 + "b" * 10**6
    reason = from_exception(ValueError(long))
    assert len(reason.detail) <= 8192
    assert len(reason.traceback) <= 32_768
    assert reason.detail.startswith("ValueError: a")
    assert reason.detail.endswith("b")
    cut = ExitReason(ReasonKind.OTHER, long)
    assert cut == ExitReason(ReasonKind.OTHER, long) == replace(cut)
