"""
Structured logging: the only caller of `logging`.

An event is a constant name, everything variable is a field. Importing this module adds no handler
and never touches the root logger: an embedding program keeps its own logging, and a node calls
`send_to` once. docs/operations.md lists the events.
"""

import logging
import os
import re
from collections.abc import Mapping
from enum import StrEnum
from math import isfinite
from typing import Any, Final, Protocol

from beethoven.clock import utc

_ROOT: Final = "beethoven"
_MASK: Final = "***"
# What needs no escape where nothing is quoted.
_UNHARMED: Final = '"\\'
# A record has to fit into what carries it to the log; longer values are cut in the middle.
_LONGEST_VALUE: Final = 8192

# The path of a file that holds a secret is no secret.
_SECRET: Final = re.compile(r"(?i)(?!.*_file$).*(cookie|secret|token|password)")

# Severities of syslog(3), which journald reads from a prefix such as `<6>`.
_COLOURS: Final = {logging.DEBUG: 2, logging.WARNING: 33, logging.ERROR: 31}
_PRIORITIES: Final = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


class LogLevel(StrEnum):
    """How much is logged: the events of a level and of those after it."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """
    How a record is written: for people or for programs.

    One line each; but "pretty", which "text" is on a terminal, unfolds tracebacks and states.
    """

    TEXT = "text"
    JSON = "json"
    PRETTY = "pretty"


class Log:
    """A logger with fields bound to it. Immutable: `bind` returns another one."""

    __slots__ = ("_fields", "_logger")

    def __init__(self, logger: logging.Logger, fields: Mapping[str, object]) -> None:
        self._logger = logger
        self._fields = fields

    def bind(self, **fields: object) -> "Log":
        """Return a logger that adds these fields to each of its records."""
        return Log(self._logger, {**self._fields, **fields})

    def debug(self, event: str, **fields: object) -> None:
        """Log a message exchanged."""
        self._emit(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        """Log a step of a life that an operator planned."""
        self._emit(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Log something that failed and was handled."""
        self._emit(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Log something that failed and was given up."""
        self._emit(logging.ERROR, event, fields)

    def _emit(self, level: int, event: str, fields: Mapping[str, object]) -> None:
        if self._logger.isEnabledFor(level):
            shown = masked({**self._fields, **fields})
            message = _Message(event, shown)
            extra = {"event": event, "fields": shown}
            # The caller of `info` stands two frames above this one.
            self._logger.log(level, message, extra=extra, stacklevel=3)

    def __repr__(self) -> str:
        return f"Log({self._logger.name!r}, {masked(self._fields)!r})"


class _Message:
    """The text of a record for handlers that are not ours; rendered only if one asks."""

    __slots__ = ("event", "fields")

    def __init__(self, event: str, fields: Mapping[str, object]) -> None:
        self.event = event
        self.fields = fields

    def __str__(self) -> str:
        return _logfmt(self.event, self.fields)


class TextFormatter(logging.Formatter):
    """
    Renders `2026-11-22T21:09:00.123Z info  child_started child=beacon`: time, level, event, fields.

    Args:
        journald: Whether the lines go to journald, which knows the time and wants `<6>` in front.
            By default they do if JOURNAL_STREAM is set.
    """

    def __init__(self, *, journald: bool | None = None) -> None:
        super().__init__()
        self._journald = "JOURNAL_STREAM" in os.environ if journald is None else journald

    def format(self, record: logging.LogRecord) -> str:
        event, fields = _event_of(record)
        start = f"<{_priority(record.levelno)}>" if self._journald else f"{utc(record.created)} "
        return f"{start}{self._level(record)} {self._text(event, fields)}"

    def _level(self, record: logging.LogRecord) -> str:
        return f"{record.levelname.lower():<5}"

    def _text(self, event: str, fields: Mapping[str, object]) -> str:
        return _logfmt(event, fields)


class PrettyFormatter(TextFormatter):
    """
    Renders for a terminal: as text, with what has several lines indented below, and in colour.

    Args:
        colour: Whether levels are coloured. By default they are unless NO_COLOR is set.
    """

    def __init__(self, *, colour: bool | None = None) -> None:
        super().__init__(journald=False)
        self._colour = "NO_COLOR" not in os.environ if colour is None else colour

    def _level(self, record: logging.LogRecord) -> str:
        level = super()._level(record)
        code = _COLOURS.get(record.levelno) if self._colour else None
        return level if code is None else f"\x1b[{code}m{level}\x1b[0m"

    def _text(self, event: str, fields: Mapping[str, object]) -> str:
        blocks = {name: _lines(value) for name, value in fields.items()}
        line = {name: value for name, value in fields.items() if not blocks[name]}
        shown = [_logfmt(event, line)]
        for name, lines in blocks.items():
            if lines:
                shown += [f"    {_word(name)}:", *(f"        {each}" for each in lines)]
        return "\n".join(shown)


class JsonFormatter(logging.Formatter):
    """Renders one JSON object: `time`, `level`, `event`, then the fields."""

    def __init__(self) -> None:
        super().__init__()
        # A process that logs text need not pay for this import, and one without a free descriptor
        # could not make it.
        import json

        self._dumps = json.dumps

    def format(self, record: logging.LogRecord) -> str:
        event, fields = _event_of(record)
        head = {"time": utc(record.created), "level": record.levelname.lower(), "event": event}
        rest = {f"{name}_" if name in head else name: _plain(fields[name]) for name in fields}
        return self._dumps(head | rest)


class Sink(Protocol):
    """Where records go: a text stream, or as much of one as they need."""

    def write(self, text: str, /) -> int: ...
    def flush(self) -> None: ...


class _NodeHandler(logging.StreamHandler[Sink]):
    """The handler that `send_to` put there, so that the next `send_to` finds it."""

    def __init__(self, stream: Sink) -> None:
        super().__init__(stream)
        self._format = ""
        self._origin: Mapping[str, object] = {}

    def become(self, stream: Sink, format: str, origin: Mapping[str, object]) -> None:  # noqa: A002
        """Write to another stream, in another form, with other fields."""
        self.acquire()
        try:
            self.stream, self._origin = stream, origin
            if format != self._format:
                self._format = format
                self.setFormatter(_formatter(format))
        finally:
            self.release()

    def format(self, record: logging.LogRecord) -> str:
        event, fields = _event_of(record)
        cut = {name: _cut(value) for name, value in fields.items()}
        record.event, record.fields = event, {**cut, **self._origin}
        return super().format(record)


class LineLog:
    """Renders what other processes print, line by line, as records."""

    def __init__(self, format: str = LogFormat.TEXT) -> None:  # noqa: A002 (the setting's name)
        self._formatter = _formatter(format)

    def printed(self, line: bytes, **fields: object) -> bytes:
        """Return the record of a printed line; bytes that are no UTF-8 are shown escaped."""
        record = logging.LogRecord(_ROOT, logging.INFO, "", 0, "", None, None)
        record.event = "printed"
        record.fields = {"line": line.decode(errors="backslashreplace"), **fields}
        return self._formatter.format(record).encode()


def _formatter(format: str) -> logging.Formatter:  # noqa: A002 (the setting's name)
    if format == LogFormat.PRETTY:
        return PrettyFormatter()
    return JsonFormatter() if format == LogFormat.JSON else TextFormatter()


def format_for(format: str, *, terminal: bool) -> str:  # noqa: A002 (the setting's name)
    """Return the format to write in, given the one that was asked for: text unfolds on a screen."""
    return LogFormat.PRETTY if format == LogFormat.TEXT and terminal else format


def get_log(name: str) -> Log:
    """Return the logger `beethoven.<name>`, without fields."""
    return Log(logging.getLogger(f"{_ROOT}.{name}"), {})


def let_through(log: Log) -> None:
    """Write what a logger says from `info` on, whatever the level: somebody has asked for it."""
    log._logger.setLevel(logging.INFO)  # noqa: SLF001 - same file


def send_to(
    stream: Sink,
    *,
    level: str = LogLevel.INFO,
    format: str = LogFormat.TEXT,  # noqa: A002 (the setting's name)
    **origin: object,
) -> None:
    """
    Write Beethoven's records to a stream, instead of to wherever they went before.

    Args:
        stream: Written to and flushed once per record, never closed.
        level: The lowest level to write, one of `LogLevel`.
        format: One of `LogFormat`.
        origin: Fields that every record gets: which process it is from.
    """
    logger, number = logging.getLogger(_ROOT), getattr(logging, level.upper())
    handler = next((each for each in logger.handlers if isinstance(each, _NodeHandler)), None)
    if handler is None:
        handler = _NodeHandler(stream)
        logger.addHandler(handler)
    handler.become(stream, format, origin)
    # What is so already is not touched: to set it makes `logging` go through all loggers, which
    # costs a forked process a copy of the memory that they lie in.
    if logger.level != number:
        logger.setLevel(number)
    logger.propagate = False


def quoted(text: str) -> str:
    """Return text in double quotes, on one line: what cannot be printed is escaped."""
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    # The codec `unicode_escape` is a file, which a process without a free descriptor cannot load.
    return ascii(character)[1:-1]


def _event_of(record: logging.LogRecord) -> tuple[str, Mapping[str, object]]:
    """Return the event and fields of a record, also of one that a user's own logger made."""
    if hasattr(record, "event") and hasattr(record, "fields"):
        return record.event, record.fields
    fields = {"logger": record.name, "message": record.getMessage()}
    if record.exc_info:
        fields["traceback"] = logging.Formatter().formatException(record.exc_info)
    return "message_logged", fields


def _logfmt(event: str, fields: Mapping[str, object]) -> str:
    return " ".join([_word(event), *(f"{_word(key)}={_word(fields[key])}" for key in fields)])


def _lines(value: object) -> list[str]:
    """Return the lines of a value that is shown in several: a table, a list or a long text."""
    match value:
        case dict():
            lines = [f"{_text(name)}: {_text(each)}" for name, each in value.items()]
        case list():
            lines = [_text(each) for each in value]
        case str() if "\n" in value:
            lines = value.rstrip().split("\n")
        case _:
            return []
    return ["".join(c if c in _UNHARMED else _escaped(c) for c in line) for line in lines]


def _word(value: object) -> str:
    """Return a value as one logfmt word, quoted only if it would not be one otherwise."""
    text = _text(value)
    if text and text.isprintable() and not set(text) & set(' "='):
        return text
    return quoted(text)


def _text(value: object) -> str:
    match value:
        case str():
            return str(value)
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
    try:
        return str(value)
    except Exception:
        # A field that cannot describe itself must not cost us the record.
        return object.__repr__(value)


def _cut(value: object) -> object:
    """Return a value as it is, or as text without its middle if it is too long."""
    if isinstance(value, bool | int | float | None):
        return value
    text = _text(value)
    if len(text) <= _LONGEST_VALUE:
        return value
    half = _LONGEST_VALUE // 2
    return f"{text[:half]} … {len(text) - 2 * half} characters … {text[-half:]}"


def _plain(value: object) -> Any:
    """Return a value that JSON can carry."""
    match value:
        case None | bool() | int() | str():
            return value
        case float() if isfinite(value):
            return value
        case list() | tuple():
            return [_plain(item) for item in value]
        case Mapping():
            return {_text(key): _plain(item) for key, item in value.items()}
    return _text(value)


def masked(fields: Mapping[str, object]) -> dict[str, object]:
    """Return fields with `***` for each whose name tells that it is a secret."""
    return {name: _masked_value(name, value) for name, value in fields.items()}


def _masked_value(name: object, value: object) -> object:
    if isinstance(name, str) and _SECRET.match(name):
        return _MASK
    return masked(value) if isinstance(value, dict) else value


def _priority(level: int) -> int:
    return next((priority for lowest, priority in _PRIORITIES if level >= lowest), 7)
