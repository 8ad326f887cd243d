"""Records: constant events, fields, one line each."""

import io
import json
import logging
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beethoven.log import (
    JsonFormatter,
    LineLog,
    LogFormat,
    LogLevel,
    TextFormatter,
    get_log,
    quoted,
    send_to,
)

NOON = 1795381740.123
START = "2026-11-22T21:09:00.123Z "


@pytest.fixture(autouse=True)
def beethoven_logger(monkeypatch):
    """Lends Beethoven's logger without the handlers of others, and gives it back as it was."""
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    logger = logging.getLogger("beethoven")
    before = (logger.handlers[:], logger.level, logger.propagate)
    logger.handlers.clear()
    yield logger
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


class Kept(logging.Handler):
    """Keeps the records that it gets."""

    def __init__(self):
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record):
        self.records.append(record)


@pytest.fixture
def kept(beethoven_logger):
    handler = Kept()
    beethoven_logger.addHandler(handler)
    beethoven_logger.setLevel("DEBUG")
    return handler.records


def record(event, level=logging.INFO, **fields):
    made = logging.LogRecord("beethoven.test", level, "", 0, "", None, None)
    made.created, made.event, made.fields = NOON, event, fields
    return made


def shown(event="event", **fields):
    return TextFormatter(journald=False).format(record(event, **fields)).removeprefix(START)


def sent(log, *, level="debug", form="text", **origin):
    """Return what a function that logs writes to a stream."""
    stream = io.StringIO()
    send_to(stream, level=level, format=form, **origin)
    log(get_log("test"))
    return stream.getvalue()


@pytest.mark.parametrize("level", LogLevel)
def test_a_record_has_its_event_and_fields(kept, level):
    getattr(get_log("part").bind(node="a"), level)("child_started", child="b", node="c")
    [made] = kept
    assert (made.name, made.levelname) == ("beethoven.part", level.upper())
    assert (made.event, made.fields) == ("child_started", {"node": "c", "child": "b"})
    assert made.getMessage() == "child_started node=c child=b"
    assert made.filename == "test_log.py"


def test_a_bound_logger_leaves_its_origin_alone(kept):
    log = get_log("part")
    log.bind(a=1)
    log.info("event")
    assert kept[0].fields == {}
    assert repr(log.bind(a=1, token="x")) == "Log('beethoven.part', {'a': 1, 'token': '***'})"


def test_a_level_that_is_not_written_costs_nothing(kept, beethoven_logger):
    class Explosive:
        def __str__(self):
            raise AssertionError("rendered")

    beethoven_logger.setLevel("WARNING")
    get_log("part").info("event", value=Explosive())
    assert kept == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("word", "word"),
        ("two words", '"two words"'),
        ("", '""'),
        ('say "x"', '"say \\"x\\""'),
        ("a=b", '"a=b"'),
        ("back\\slash", "back\\slash"),
        ("line\nbreak\x00\x1b", '"line\\nbreak\\x00\\x1b"'),
        ("\ud800", '"\\ud800"'),
        ("ü€😀", "ü€😀"),
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        (["a", 1], "\"['a', 1]\""),
        (LogLevel.INFO, "info"),
    ],
)
def test_a_value_is_one_word_quoted_only_where_it_must_be(value, text):
    assert shown(key=value) == f"info  event key={text}"


@given(st.dictionaries(st.text(), st.text()))
def test_a_record_is_one_line_whatever_is_in_it(fields):
    made = record("event")
    made.fields = fields
    for formatter in (TextFormatter(journald=False), JsonFormatter()):
        assert len(formatter.format(made).splitlines()) == 1


@given(st.text())
def test_quoted_text_is_printable(text):
    assert quoted(text).isprintable()


def test_a_value_that_cannot_be_shown_costs_no_record():
    class Broken:
        def __str__(self):
            raise ValueError

    assert "Broken object at" in shown(key=Broken())


@pytest.mark.parametrize(
    ("name", "is_masked"),
    [
        ("cookie", True),
        ("db_PASSWORD", True),
        ("token", True),
        ("secret_key", True),
        ("cookie_file", False),
        ("child", False),
    ],
)
def test_secrets_are_masked(kept, name, is_masked):
    get_log("part").info("event", **{name: "x", "inner": {name: "x"}})
    expected = "***" if is_masked else "x"
    assert kept[0].fields == {name: expected, "inner": {name: expected}}


def test_a_record_needs_no_module_that_was_not_loaded_before(monkeypatch):
    formatter = JsonFormatter()
    monkeypatch.setitem(sys.modules, "json", None)
    assert formatter.format(record("event")).endswith('"event": "event"}')


def test_json_has_time_level_event_and_fields():
    class Odd:
        def __str__(self):
            return "odd"

    fields = {"a": 1, "b": None, "c": [1.5, "x"], "d": {"e": True}, "f": Odd(), "g": float("nan")}
    text = JsonFormatter().format(record("event", logging.WARNING, **fields, time="late"))
    assert json.loads(text) == {
        "time": "2026-11-22T21:09:00.123Z",
        "level": "warning",
        "event": "event",
        "a": 1,
        "b": None,
        "c": [1.5, "x"],
        "d": {"e": True},
        "f": "odd",
        "g": "nan",
        "time_": "late",
    }


@pytest.mark.parametrize(
    ("level", "start"), [(10, "<7>debug"), (20, "<6>info"), (30, "<4>warning"), (40, "<3>error")]
)
def test_journald_gets_priorities_instead_of_times(monkeypatch, level, start):
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    assert TextFormatter().format(record("event", level)).split()[0] == start


def test_send_to_writes_the_level_and_above_with_the_origin():
    def all_levels(log):
        for level in LogLevel:
            getattr(log, level)("event", level=level)

    lines = sent(all_levels, level="warning", process="p", pid=7).splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == [
        "warning event level=warning process=p pid=7",
        "error event level=error process=p pid=7",
    ]


def test_send_to_replaces_the_stream_before_and_keeps_records_from_the_root_logger(
    beethoven_logger,
):
    first = io.StringIO()
    send_to(first)
    assert "again" in sent(lambda log: log.info("again"))
    assert first.getvalue() == ""
    assert not beethoven_logger.propagate


def test_a_long_value_lacks_its_middle():
    made = json.loads(sent(lambda log: log.info("event", text="a" * 9000 + "z"), form="json"))
    assert len(made["text"]) < 8300
    assert made["text"].startswith("aaaa")
    assert " … 809 characters … " in made["text"]
    assert made["text"].endswith("z")


def test_records_of_a_users_own_logger_are_shown_with_their_traceback():
    def fail(_):
        try:
            raise ValueError("boom")
        except ValueError:
            logging.getLogger("beethoven.mine").exception("it %s", "failed")

    made = json.loads(sent(fail, form="json"))
    assert (made["event"], made["logger"]) == ("message_logged", "beethoven.mine")
    assert made["message"] == "it failed"
    assert made["traceback"].endswith("ValueError: boom")


@pytest.mark.parametrize("form", LogFormat)
def test_a_printed_line_becomes_a_record(form):
    line = LineLog(form).printed(b"a \xff b", stream="stdout", process="p", pid=1).decode()
    if form == LogFormat.JSON:
        made = json.loads(line)
        assert (made["event"], made["line"], made["pid"]) == ("printed", "a \\xff b", 1)
    else:
        assert line.endswith('info  printed line="a \\\\xff b" stream=stdout process=p pid=1')


def test_importing_touches_neither_the_root_logger_nor_any_handler():
    code = (
        "import logging, beethoven.log; beethoven.log.get_log('x').info('y');"
        "assert not logging.getLogger().handlers;"
        "assert not logging.getLogger('beethoven').handlers"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
