"""
The process of a task: it runs one function, and keeps what came of it until the owner has asked.

The function has the main thread. Another one drives the mailbox meanwhile, so that exit signals
and `stop` act at once and not when the function returns. What came of the function, be it a value
or a failure, waits for the owner's request: so nothing is lost between the start and the request,
and a value always wins over the end of the process that follows.
"""

import pickle
import select
import signal
import threading
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any, ClassVar, Final

from beethoven import clock
from beethoven.errors import ReplyNotPicklable
from beethoven.log import get_log, masked
from beethoven.runtime import birth, framing, names, start
from beethoven.runtime.client import Client
from beethoven.runtime.exit_signals import Down
from beethoven.runtime.life import failure
from beethoven.runtime.loop import Stop
from beethoven.runtime.patience import PATIENCE, TOO_SLOW, within
from beethoven.runtime.process import Process
from beethoven.runtime.reason import (
    NORMAL,
    SHUTDOWN,
    ExitReason,
    ReasonKind,
    as_reason,
    from_exception,
    told_by,
    users_traceback,
)
from beethoven.runtime.status import CrashReport, Shown, bounded
from beethoven.tasks.results import Raised
from beethoven.tasks.work import Call, Work, current
from beethoven.vocabulary import ChildType

log = get_log("task")

# What an owner asks for.
RESULT: Final = "the result of a task"
_ASKED: Final = pickle.dumps(RESULT, 5)

# What a function ends with that has taken longer than it may.
TIME_IS_OVER: Final = ExitReason(ReasonKind.OTHER, "timeout")
# The same if it let nobody else run: then the kernel has ended it, so many seconds later.
TIME_WAS_OVER: Final = ExitReason(ReasonKind.SIGNAL, "SIGALRM")
_GRACE: Final = 1.0

# How long the owner may take to ask before it is watched, in seconds.
_PATIENCE: Final = 1.0
# How long somebody elsewhere may take to ask; the way is longer, and nothing is run meanwhile.
_LONG_PATIENCE: Final = 5.0
# Longer waits do not fit into what the kernel takes, in seconds.
_LONGEST_WAIT: Final = 86_400.0
_LONGEST_LIMIT: Final = 1e9

# What the mailbox's thread is sent when the function has ended.
_WAKE: Final = "wake"


class TaskProcess:
    """Stands for the process of a task in specifications; its args are a `Work`."""

    child_type: ClassVar[ChildType] = ChildType.WORKER

    @classmethod
    def title_of(cls, work: Work) -> str:
        """Return what to call the process."""
        return work.label

    @classmethod
    def resolve(cls, work: Work) -> tuple[type, Any]:
        """Return what lives in the new process: the work, and its function or what is wrong."""
        try:
            return _Opened, (work, work.open())
        except Exception as error:
            return _Opened, (work, error)


class _Opened:
    """The behaviour of a task's process."""

    @classmethod
    def module_of(cls, args: tuple[Work, Call | Exception]) -> str:
        """Return what the process had to import."""
        call = args[1]
        return call.module if isinstance(call, Call) else cls.__module__

    @classmethod
    def live(cls, process: Process, args: tuple[Work, Call | Exception]) -> ExitReason:
        """Run the function and return when its result has been delivered."""
        work, call = args
        start.current.process = process
        parents = () if process.parent is None else (process.parent,)
        current.callers = parents if work.callers is None else work.callers
        process.say(birth.STARTED)
        desk = _Desk(process, work)
        if work.by_request:
            desk.wait_for_request()
        reason, payload = _outcome(work, call)
        process.end_copy()
        if reason.is_abnormal:
            process.crash_report = _report(process, work, call, reason)
        desk.close(payload)
        return reason


def _outcome(work: Work, call: Call | Exception) -> tuple[ExitReason, bytes | None]:
    """Run the function. Return the reason of the process's end, and the result, pickled."""
    try:
        if isinstance(call, Exception):
            raise call
        value = call.run()
        return NORMAL, _pickled(work, value) if work.answers else None
    except Stop as stop:
        return stop.reason, _raised(work, stop.reason)
    except BaseException as error:
        reason = from_exception(error)
        return reason, _raised(work, reason, error, is_opened=error is not call)


def _raised(
    work: Work, reason: ExitReason, error: BaseException | None = None, *, is_opened: bool = True
) -> bytes | None:
    """Return what is replied to who may be elsewhere; others hear of the end of the process."""
    if not work.by_request:
        return None
    pickled = b"" if error is None else failure(error).error
    if isinstance(error, ReplyNotPicklable) or not is_opened:
        # Where in our own files that came up helps nobody.
        origin = error.__cause__ if isinstance(error, ReplyNotPicklable) else error
        reason = replace(reason, traceback=users_traceback(origin) if origin else "")
    name = error.name if isinstance(error, ModuleNotFoundError) else None
    return pickle.dumps(Raised(reason, pickled, "" if is_opened else name or "", is_opened), 5)


def _pickled(work: Work, value: Any) -> bytes:
    try:
        payload = pickle.dumps(value, 5)
        if len(payload) > framing.LONGEST:
            raise ValueError(f"longer than {framing.LONGEST} bytes")
    except Exception as error:
        raise ReplyNotPicklable(
            target=f"task {work.label}", type_name=type(value).__qualname__, cause=told_by(error)
        ) from error
    return payload


def _report(
    process: Process, work: Work, call: Call | Exception, reason: ExitReason
) -> CrashReport:
    """Return what the log is told of a failure (Elixir: "Task ... terminating")."""
    facts = {"function": work.label}
    if isinstance(call, Call):
        facts["arguments"] = _text(call.args)
        if call.kwargs:
            facts["keywords"] = _text(masked(call.kwargs))
    if work.owner is not None:
        facts["started_from"] = str(work.owner)
    shown = Shown("", "", reason, ())
    return CrashReport("task", shown, label=process.label or "", facts=facts)


def _text(value: object) -> str:
    return within(PATIENCE, lambda: bounded(value), TOO_SLOW)


class _Desk:
    """The mailbox of a task, driven by a thread of its own."""

    def __init__(self, process: Process, work: Work) -> None:
        self._process = process
        self._work = work
        self._asker: tuple[Client, int] | None = None
        self._is_ready = False
        self._payload: bytes | None = None
        self._is_deserted = False
        # When something is to be done though nothing has arrived.
        patience = _LONG_PATIENCE if work.by_request else _PATIENCE
        self._due = clock.monotonic() + patience if work.answers else None
        self._requested = threading.Event()
        self._closed = threading.Event()
        threading.Thread(target=self._listen, name="beethoven-task", daemon=True).start()

    def wait_for_request(self) -> None:
        """Return when somebody has asked for the result."""
        self._requested.wait()

    def close(self, payload: bytes | None) -> None:
        """
        Wait until the owner has what it asks for.

        Args:
            payload: The pickled result; None if there is only the end of the process to tell.
        """
        if self._work.limit is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        with self._process.lock:
            self._payload, self._is_ready = payload, True
            self._answer()
        self._process.post(_WAKE)
        self._closed.wait()

    def _listen(self) -> None:
        ready = select.poll()
        ready.register(self._process.poller.fileno(), select.POLLIN)
        try:
            while not self._is_over():
                ready.poll(self._patience())
                with self._process.lock:
                    while (message := self._process.receive(wait=False)) is not None:
                        self._take(message)
                    if self._due is not None and clock.monotonic() >= self._due:
                        self._lose_patience()
                    if self._is_left():
                        self._process.leave(SHUTDOWN)
        finally:
            self._closed.set()

    def _patience(self) -> int | None:
        """Return how long to wait for messages, in milliseconds; None is for ever."""
        if self._due is None:
            return None
        return ceil(max(0.0, min(self._due - clock.monotonic(), _LONGEST_WAIT)) * 1000)

    def _lose_patience(self) -> None:
        """Nobody has asked in time, or the function has taken too long."""
        self._due = None
        if not self._work.by_request:
            self._watch_owner()
        elif not self._is_ready:
            self._process.leave(SHUTDOWN if self._asker is None else TIME_IS_OVER)

    def _watch_owner(self) -> None:
        """
        Be told of the end of an owner that does not ask.

        One that has asked is watched by its connection instead: whoever is busy with many tasks
        must not find a connection of each of them afterwards.
        """
        if self._work.owner is not None:
            self._process.monitor(self._work.owner)

    def _is_left(self) -> bool:
        """Whether a task that ends with its owner has none any more, and is still at work."""
        if self._is_ready or not self._work.ends_with_owner:
            return False
        return self._is_deserted or (self._asker is not None and self._asker[0].stream.fileno() < 0)

    def _is_over(self) -> bool:
        if not self._is_ready:
            return False
        if self._asker is None:
            return self._is_deserted or not self._work.answers
        client = self._asker[0]
        return client.stream.fileno() < 0 or not client.is_sending

    def _take(self, message: Any) -> None:
        match message:
            case (framing.STOP, _, _, payload):
                self._stop(payload)
            case (framing.CALL | framing.CALL_BY | framing.SYSTEM, client, number, payload):
                self._take_request(client, number, payload)
            case Down():
                self._is_deserted = True

    def _stop(self, payload: bytes | bytearray) -> None:
        try:
            reason = as_reason(pickle.loads(payload))
        except BaseException as error:
            # Also one that exits when it is unpickled ends nobody.
            cause = f"{type(error).__name__}: {told_by(error)}"
            log.warning("unreadable_message", role="task", cause=cause)
            return
        if reason.is_abnormal:
            log.warning("task_stopped", function=self._work.label, reason=str(reason))
        self._process.leave(reason)

    def _take_request(self, client: Client, number: int, payload: bytes) -> None:
        if self._asker is None and self._work.answers and payload == _ASKED:
            self._asker = (client, number)
            self._due = None
            self._limit(self._work.limit)
            self._requested.set()
            self._answer()
        else:
            client.refuse(number, "it is a task, which answers its owner only, and once")

    def _limit(self, limit: float | None) -> None:
        """Have the function end when it has taken so many seconds."""
        if limit is not None:
            limit = min(limit, _LONGEST_LIMIT)
            self._due = clock.monotonic() + limit
            signal.setitimer(signal.ITIMER_REAL, limit + _GRACE)

    def _answer(self) -> None:
        if self._is_ready and self._asker is not None and self._payload is not None:
            client, number = self._asker
            # Whoever has the result must not find the process alive: it no longer counts.
            own = self._process.ref
            Path(names.socket_path(own.folder, own.identity)).unlink(missing_ok=True)
            client.send(framing.REPLY, number, self._payload)
            self._payload = None
