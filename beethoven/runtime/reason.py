"""
Exit reasons: why a process ended, as a value that survives pickling.

Only the words live here; who learns of a death and how is in `bonds` and `launcher`.
"""

import os
import signal
import traceback as traceback_module
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Final

from beethoven.errors import ChildStartFailed, ProcessExited, StartFailed
from beethoven.runtime.patience import PATIENCE, TOO_SLOW, within


class ReasonKind(StrEnum):
    """
    The kinds of exit reason.

    `normal` and `shutdown` are not failures; every other kind is abnormal.
    """

    NORMAL = "normal"
    SHUTDOWN = "shutdown"
    KILLED = "killed"
    SIGNAL = "signal"
    EXIT_CODE = "exit_code"
    EXCEPTION = "exception"
    START_TIMEOUT = "start_timeout"
    ALREADY_STARTED = "already_started"
    OUT_OF_MEMORY = "out_of_memory"
    NO_PROCESS = "noproc"
    OTHER = "other"


# What a process says last must find room where nobody may be reading, or it could not end.
_LONGEST_DETAIL: Final = 8192
_LONGEST_TRACEBACK: Final = 32_768

# The modules that run what users write.
_OUR_STEPS: Final = ("beethoven.runtime.", "beethoven.tasks.")


def _plain(text: str, longest: int) -> str:
    """Return a text without its middle if it is long, and without the class that it may have."""
    text = str.__str__(text)
    if len(text) <= longest:
        return text
    half = (longest - 16) // 2
    return f"{text[:half]} … {text[-half:]}"


@dataclass(frozen=True, slots=True)
class ExitReason:
    """
    Why a process ended.

    Attributes:
        kind: What happened.
        detail: The particulars in words: the signal's name, the exit code, `ValueError: boom`,
            the detail of a shutdown. A very long one lacks its middle.
        traceback: The text of the traceback of an exception, else empty.
    """

    kind: ReasonKind
    detail: str = ""
    traceback: str = ""

    def __post_init__(self) -> None:
        # A reason travels to processes that must not run user code, not even to unpickle a text.
        object.__setattr__(self, "kind", ReasonKind(str(self.kind)))
        object.__setattr__(self, "detail", _plain(self.detail, _LONGEST_DETAIL))
        object.__setattr__(self, "traceback", _plain(self.traceback, _LONGEST_TRACEBACK))

    @property
    def is_abnormal(self) -> bool:
        """Whether it is a failure (OTP: neither normal, shutdown nor {shutdown, X})."""
        return self.kind not in {ReasonKind.NORMAL, ReasonKind.SHUTDOWN}

    def __str__(self) -> str:
        match self.kind:
            case ReasonKind.EXCEPTION | ReasonKind.OTHER | ReasonKind.ALREADY_STARTED:
                return self.detail
            case ReasonKind.SIGNAL:
                return f"signal {self.detail}"
            case ReasonKind.EXIT_CODE:
                return f"exit code {self.detail}"
            case ReasonKind.SHUTDOWN | ReasonKind.START_TIMEOUT if self.detail:
                return f"{self.kind}: {self.detail}"
        return str(self.kind)


NORMAL = ExitReason(ReasonKind.NORMAL)
SHUTDOWN = ExitReason(ReasonKind.SHUTDOWN)
KILLED = ExitReason(ReasonKind.KILLED)
NO_PROCESS = ExitReason(ReasonKind.NO_PROCESS)
OUT_OF_MEMORY = ExitReason(ReasonKind.OUT_OF_MEMORY)


def as_reason(value: object) -> ExitReason:
    """
    Return the reason that a user's value stands for.

    Args:
        value: An `ExitReason`; the words "normal", "shutdown" or "killed"; an exception; or
            anything else, which becomes an abnormal reason that shows the value's text.
    """
    match value:
        case ExitReason():
            return value
        case "normal" | "shutdown" | "killed":
            return ExitReason(ReasonKind(value))
        case BaseException():
            return from_exception(value)
    return ExitReason(ReasonKind.OTHER, value if isinstance(value, str) else text_of(value))


def text_of(value: object) -> str:
    """Return what a value says of itself, if it does so in time."""
    return within(PATIENCE, lambda: repr(value), f"{type(value).__qualname__} {TOO_SLOW}")


def told_by(error: BaseException) -> str:
    """Return the text of an exception, also of one that cannot tell it."""
    try:
        return str.__str__(str(error))
    except BaseException as fault:
        return f"({type(fault).__name__} in its text)"


def shutdown(detail: str) -> ExitReason:
    """Return a shutdown with particulars (OTP `{shutdown, Detail}`), which is not a failure."""
    return ExitReason(ReasonKind.SHUTDOWN, detail)


def from_exception(error: BaseException) -> ExitReason:
    """
    Return the reason of a process that ended by an exception, with its traceback as text.

    An exception that does not say in time what it is goes by its class.
    """
    beginning = _beginning(error.__traceback__)
    detail = f"{type(error).__qualname__}: {TOO_SLOW}"
    text = "".join([*traceback_module.format_tb(beginning), detail, "\n"])
    return within(
        PATIENCE,
        lambda: _described(error, beginning),
        ExitReason(ReasonKind.EXCEPTION, detail, text),
    )


def _described(error: BaseException, beginning: TracebackType | None) -> ExitReason:
    detail = "".join(traceback_module.format_exception_only(error)).strip()
    if isinstance(error, ProcessExited | StartFailed | ChildStartFailed):
        # The lines that follow are the traceback of the other process.
        detail = detail.partition("\n")[0]
    text = "".join(traceback_module.format_exception(type(error), error, beginning))
    return ExitReason(ReasonKind.EXCEPTION, detail, text)


def _beginning(traceback: TracebackType | None) -> TracebackType | None:
    """Return a traceback without our own steps to the user's code; all of it if it has no such."""
    return _of_users(traceback) or traceback


def _of_users(step: TracebackType | None) -> TracebackType | None:
    while step is not None:
        if not str(step.tb_frame.f_globals.get("__name__")).startswith(_OUR_STEPS):
            return step
        step = step.tb_next
    return None


def users_traceback(error: BaseException) -> str:
    """Return the text of an exception's traceback; empty if all its steps are our own."""
    found = _of_users(error.__traceback__)
    return from_exception(error).traceback if found is not None else ""


def from_wait_status(status: int, *, out_of_memory: bool = False) -> ExitReason:
    """
    Decode a wait status of a process that left no reason behind.

    Args:
        status: As `os.waitpid` gives it.
        out_of_memory: Whether the system told that it killed a process for want of memory.

    Returns:
        `killed` for SIGKILL, the signal's name, or the exit code, which is abnormal even when it
        is 0: the process did not leave through the library.
    """
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGKILL:
            return OUT_OF_MEMORY if out_of_memory else KILLED
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = str(number)
        return ExitReason(ReasonKind.SIGNAL, name)
    return ExitReason(ReasonKind.EXIT_CODE, str(os.waitstatus_to_exitcode(status)))
