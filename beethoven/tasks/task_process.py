"""
The process of a task: it runs one function, and keeps what came of it until the owner has asked.

The function has the main thread. Another one drives the mailbox meanwhile, so that exit signals
and `stop` act at once and not when the function returns. What came of the function, be it a value
or a failure, waits for the owner's request: so nothing is lost between the start and the request,
and a value always wins over the end of the process that follows.
"""

import pickle
import select
import threading
from pathlib import Path
from typing import Any, ClassVar, Final

from beethoven.errors import ReplyNotPicklable
from beethoven.log import get_log, masked
from beethoven.runtime import birth, framing, names, start
from beethoven.runtime.client import Client
from beethoven.runtime.exit_signals import Down
from beethoven.runtime.loop import Stop
from beethoven.runtime.patience import PATIENCE, TOO_SLOW, within
from beethoven.runtime.process import Process
from beethoven.runtime.reason import NORMAL, SHUTDOWN, ExitReason, as_reason, from_exception
from beethoven.runtime.status import CrashReport, Shown, bounded
from beethoven.tasks.work import Call, Work, current
from beethoven.vocabulary import ChildType

log = get_log("task")

# What an owner asks for.
RESULT: Final = "the result of a task"
_ASKED: Final = pickle.dumps(RESULT, 5)

# How long the owner may take to ask before it is watched, in milliseconds.
_PATIENCE: Final = 1000

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
        return stop.reason, None
    except BaseException as error:
        return from_exception(error), None


def _pickled(work: Work, value: Any) -> bytes:
    try:
        payload = pickle.dumps(value, 5)
        if len(payload) > framing.LONGEST:
            raise ValueError(f"longer than {framing.LONGEST} bytes")
    except Exception as error:
        raise ReplyNotPicklable(
            target=f"task {work.label}", type_name=type(value).__qualname__, cause=str(error)
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
        self._is_watching = False
        self._closed = threading.Event()
        threading.Thread(target=self._listen, name="beethoven-task", daemon=True).start()

    def close(self, payload: bytes | None) -> None:
        """
        Wait until the owner has what it asks for.

        Args:
            payload: The pickled result; None if there is only the end of the process to tell.
        """
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
                is_quiet = not ready.poll(self._patience())
                with self._process.lock:
                    if is_quiet:
                        self._watch_owner()
                    while (message := self._process.receive(wait=False)) is not None:
                        self._take(message)
                    if self._is_left():
                        self._process.leave(SHUTDOWN)
        finally:
            self._closed.set()

    def _patience(self) -> int | None:
        """Return how long the owner may take to ask, in milliseconds; None: nobody is to ask."""
        is_awaited = self._work.answers and self._asker is None and not self._is_watching
        return _PATIENCE if is_awaited else None

    def _watch_owner(self) -> None:
        """
        Be told of the end of an owner that does not ask.

        One that has asked is watched by its connection instead: whoever is busy with many tasks
        must not find a connection of each of them afterwards.
        """
        self._is_watching = True
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
            case (framing.CALL | framing.SYSTEM, client, number, payload):
                self._take_request(client, number, payload)
            case Down():
                self._is_deserted = True

    def _stop(self, payload: bytes | bytearray) -> None:
        try:
            reason = as_reason(pickle.loads(payload))
        except BaseException as error:
            # Also one that exits when it is unpickled ends nobody.
            cause = f"{type(error).__name__}: {error}"
            log.warning("unreadable_message", role="task", cause=cause)
            return
        if reason.is_abnormal:
            log.warning("task_stopped", function=self._work.label, reason=str(reason))
        self._process.leave(reason)

    def _take_request(self, client: Client, number: int, payload: bytes) -> None:
        if self._asker is None and self._work.answers and payload == _ASKED:
            self._asker = (client, number)
            self._answer()
        else:
            client.refuse(number, "it is a task, which answers its owner only, and once")

    def _answer(self) -> None:
        if self._is_ready and self._asker is not None and self._payload is not None:
            client, number = self._asker
            # Whoever has the result must not find the process alive: it no longer counts.
            own = self._process.ref
            Path(names.socket_path(own.folder, own.identity)).unlink(missing_ok=True)
            client.send(framing.REPLY, number, self._payload)
            self._payload = None
