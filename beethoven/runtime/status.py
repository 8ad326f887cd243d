"""
Status: what is shown of a server to people, while it lives and when it has crashed. Pure.

Whatever is shown has passed the server's own `format_status`; if that fails a fixed text is shown
instead, never the raw values. What leaves the process is text of bounded length, so that neither a
supervisor nor the log runs code of the server's values.
"""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from traceback import walk_tb
from typing import Any, Final, Protocol

from beethoven.runtime.reason import ExitReason, as_reason

FORMATTER_FAILED: Final = "(not shown: format_status failed)"

_LONGEST_TEXT: Final = 1024
_LONGEST_STATE: Final = 16_384


@dataclass(frozen=True, slots=True)
class DebugEvent:
    """
    Something that a server did while it was traced.

    Attributes:
        kind: "call", "cast", "info" or "continue": a message that a callback is to handle. Or
            "reply": the answer that it gave.
        value: The message or the answer; its text, once it has left the process.
        client: The pid of who calls, or None.
        at: When, in seconds since 1970-01-01 UTC.
    """

    kind: str
    value: Any
    client: int | None
    at: float


@dataclass(frozen=True, slots=True)
class Status:
    """
    What a server may rewrite of itself before it is shown, in `format_status`.

    Attributes:
        state: `{attribute: value}` of its public attributes.
        message: The message that it was handling when it failed, as `(kind, value)`, or None.
        reason: Why it ends; None while it lives.
        log: Its last debug events, oldest first, if they are kept.
    """

    state: Any
    message: Any = None
    reason: ExitReason | None = None
    log: tuple[Any, ...] = ()


class Server(Protocol):
    """Who can be shown."""

    def format_status(self, status: Status) -> Status: ...


@dataclass(frozen=True, slots=True)
class Shown:
    """
    A `Status` as texts: the state by attribute, or as one text if it is no dict.

    `fault` is where and by what error the formatter failed, without its words, or empty.
    """

    state: Mapping[str, str] | str
    message: str
    reason: ExitReason | None
    log: tuple[DebugEvent, ...]
    fault: str = ""


@dataclass(frozen=True, slots=True)
class CrashReport:
    """
    What a process that ends abnormally leaves behind for the log.

    Attributes:
        role: Its class.
        shown: What it shows of itself.
        client: The pid of the caller that it was serving, or None.
        label: What it called itself, or empty.
        facts: What else there is to tell, by name.
    """

    role: str
    shown: Shown
    client: int | None = None
    label: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)

    def fields(self) -> dict[str, object]:
        """Return what is known, as fields of a log event."""
        shown = self.shown
        known = {
            "role": self.role,
            "label": self.label,
            **self.facts,
            "last_message": shown.message,
            "client": self.client,
            "state": shown.state,
            "debug_log": [f"{event.kind} {event.value}" for event in shown.log],
            "traceback": shown.reason.traceback if shown.reason is not None else "",
        }
        return {name: value for name, value in known.items() if value}


class _Bounded(reprlib.Repr):
    """Texts of values of any size; those of large ones are not even made in full."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdeque = 16
        self.maxdict = 16
        self.maxstring = self.maxother = self.maxlong = 256

    def repr_bytes(self, value: bytes | bytearray, _level: int) -> str:
        if len(value) <= self.maxother:
            return repr(value)
        return f"{value[: self.maxother]!r}... ({len(value)} bytes)"

    repr_bytearray = repr_bytes


_bounded: Final = _Bounded()


def bounded(value: object) -> str:
    """Return a value as text of limited length, also if it cannot describe itself."""
    try:
        text = str.__str__(_bounded.repr(value))
    except BaseException as error:
        return f"<{type(value).__qualname__}: {type(error).__name__} in its repr>"
    return _cut(text)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."


def state_of(server: object) -> dict[str, Any]:
    """Return the public attributes of an object: its state."""
    return {name: value for name, value in vars(server).items() if not name.startswith("_")}


def name_of(server: type) -> str:
    """Return the name of a class, as the log has it."""
    return str.__str__(server.__qualname__)


def show(server: Server, raw: Status) -> Shown:
    """Return as texts what a server wants shown of its status; a fixed text if it fails."""
    try:
        status = server.format_status(raw)
        if not isinstance(status, Status):
            return _hidden(raw, f"it returned {name_of(type(status))}, which is no Status")
        reason = raw.reason if status.reason is None else as_reason(status.reason)
        events = tuple(map(_shown_event, status.log))
        return Shown(_shown_state(status.state), _shown_message(status.message), reason, events)
    except BaseException as error:
        # A formatter must not end its server, nor hide why that has ended.
        return _hidden(raw, _fault(error))


def _hidden(raw: Status, fault: str) -> Shown:
    message = "" if raw.message is None else FORMATTER_FAILED
    return Shown(FORMATTER_FAILED, message, raw.reason, (), fault)


def _fault(error: BaseException) -> str:
    """Return what an error is and where, but not its words, which may hold the state."""
    code, line = [(each.f_code, at) for each, at in walk_tb(error.__traceback__)][-1]
    return f"{name_of(type(error))} in {code.co_qualname}, {code.co_filename}:{line}"


def _shown_state(state: Any) -> Mapping[str, str] | str:
    if not isinstance(state, dict):
        return _shown_text(state)
    shown: dict[str, str] = {}
    room = _LONGEST_STATE
    for name, value in state.items():
        if room <= 0:
            shown["..."] = f"{len(state) - len(shown)} more"
            break
        shown[_shown_text(name)] = text = bounded(value)
        room -= len(_shown_text(name)) + len(text)
    return shown


def _shown_text(value: object) -> str:
    """Return a text as it is, and the text of anything else."""
    return _cut(str.__str__(value)) if isinstance(value, str) else bounded(value)


def _shown_message(message: Any) -> str:
    match message:
        case None:
            return ""
        case (str(kind), value):
            return f"{_shown_text(kind)} {bounded(value)}"
    return _shown_text(message)


def _shown_event(event: Any) -> DebugEvent:
    if not isinstance(event, DebugEvent):
        return DebugEvent("formatted", _shown_text(event), None, 0.0)
    return replace(event, kind=_shown_text(event.kind), value=bounded(event.value))
