"""
Requests: calls whose answers are waited for later, one by one or whichever comes first.

They share the connection of their thread with its calls and casts, so the order of messages is
kept, and thousands of them cost one descriptor. An answer waits in its request until it is asked
for; that of a request which was abandoned, or is garbage, is dropped where it arrives.
"""

import os
import threading
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol
from weakref import ref as weak

from beethoven import clock
from beethoven.errors import CallError, NotOwner, ProcessExited, SpecError
from beethoven.runtime import connection, framing
from beethoven.runtime.connection import CAST_TIMEOUT
from beethoven.runtime.line import Connection
from beethoven.runtime.reference import (
    DEFAULT_TIMEOUT,
    Reference,
    Target,
    check_timeout,
    pickled,
    reach,
)

if TYPE_CHECKING:
    # The default makes a bare `Request` one of `Any`; only type checkers know it on every Python.
    from typing_extensions import TypeVar

    R_co = TypeVar("R_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Reply(Generic[R_co]):
    """The reply to a request."""

    value: R_co

    def unwrap(self) -> R_co:
        """Return the reply."""
        return self.value


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no reply to a request: what `call` would have raised."""

    error: CallError

    def unwrap(self) -> NoReturn:
        """Raise the error."""
        raise self.error


Response = Reply[R_co] | Failure


class Taker(Protocol):
    """Who is told when a request is over, so that nobody need wait for it alone."""

    def finish(self, request: "Request") -> None:
        """The answer is there."""

    def forget(self, request: "Request") -> None:
        """The request was abandoned."""


class Request(Generic[R_co]):
    """
    A request that has been sent, and its answer. Only the thread that has sent it may use it.

    Attributes:
        target: The process that was asked; None if nobody held the name.
        is_over: Whether the answer is there, or the request abandoned.
        line: Where the answer will come or has come; None once it is known.
    """

    __slots__ = (
        "__weakref__",
        "_frame",
        "_number",
        "_owner",
        "_response",
        "_taker",
        "is_over",
        "line",
        "target",
    )

    def __init__(
        self,
        target: Target,
        request: Any,
        patience: float = CAST_TIMEOUT,
        deadline: float | None = None,
    ) -> None:
        """
        Send a request.

        Args:
            target: Whom to ask.
            request: Any value that can be pickled.
            patience: Whoever takes nothing for so many seconds is overloaded.
            deadline: When the work must not start any more, by `clock.elapsed`; None for never.
        """
        self.target: Reference | None = target if isinstance(target, Reference) else None
        self.line: Connection | None = None
        self._owner = me()
        self.is_over = False
        self._frame: framing.Frame | None = None
        self._response: Response[R_co] | None = None
        self._taker: weak[Taker] | None = None
        try:
            self.target = reach(target)
            payload = pickled(request, "request", self.target)
            self.line, self._number = connection.begin(
                self.target, payload, self, patience, deadline
            )
        except CallError as error:
            self.is_over, self._response = True, Failure(error.with_traceback(None))

    def receive_response(self, timeout: float | None = DEFAULT_TIMEOUT) -> Response[R_co] | None:
        """
        Wait for the answer; give the request up if it does not come in time.

        Args:
            timeout: Seconds; 0 takes an answer that is there; None waits for ever.

        Returns:
            The answer, or None: then it is dropped when it comes.

        Raises:
            NotOwner: Another thread has sent the request.
            SpecError: The request is in a collection, or its answer goes to `handle_info`.
        """
        response = self.wait_response(timeout)
        if response is None:
            self.abandon()
        return response

    def wait_response(self, timeout: float | None = DEFAULT_TIMEOUT) -> Response[R_co] | None:
        """As `receive_response`, but keep the request, so that it can be waited for again."""
        self.check_owner()
        check_timeout(timeout, self)
        self._check_untaken()
        deadline = None if timeout is None else clock.monotonic() + timeout
        while not self.is_over:
            assert self.line is not None
            if not self.line.take_in(timeout):
                return None
            if deadline is not None:
                timeout = max(deadline - clock.monotonic(), 0.0)
        return self.response()

    def __await__(self) -> Generator[Any, None, Response[R_co]]:
        return self._arrive().__await__()

    async def _arrive(self) -> Response[R_co]:
        import asyncio

        from beethoven.runtime.awaiting import Arrival

        self.check_owner()
        arrival = Arrival()
        self.hand_to(arrival)
        try:
            if self.line is not None and not self.is_over:
                await arrival.come(self.line)
        finally:
            self.hand_back()
        if self.is_unexplained:
            assert self.line is not None
            assert self.target is not None
            await asyncio.to_thread(self.line.explain, self.target)
        response = self.response()
        assert response is not None
        return response

    def abandon(self) -> None:
        """Wait no more: the answer is dropped when it comes. The request may still be executed."""
        self.check_owner()
        if (taker := self._taken_by()) is not None:
            taker.forget(self)
        if self.line is not None:
            self.line.waiters.pop(self._number, None)
        self.is_over = True
        self.line = self._frame = self._response = self._taker = None

    def hang_up(self) -> None:
        """Tell the process, from any thread, that nobody takes the answer."""
        if (line := self.line) is not None:
            line.hang_up()

    def hand_to(self, taker: Taker) -> None:
        """
        Tell somebody when the answer comes. One that is there already is not told.

        Raises:
            SpecError: Somebody else is told, or the request was abandoned.
        """
        self._check_untaken()
        if self.is_over and self.line is None and self._response is None:
            rule = "waited for"
            raise SpecError(subject=str(self), field="answer", expected=rule, got="abandoned")
        self._taker = weak(taker)

    def hand_back(self) -> None:
        """Tell nobody any more."""
        self._taker = None

    def _check_untaken(self) -> None:
        if (taker := self._taken_by()) is not None:
            rule, name = "taken by nobody else", type(taker).__name__
            raise SpecError(subject=str(self), field="answer", expected=rule, got=name)

    def _taken_by(self) -> Taker | None:
        return None if self._taker is None else self._taker()

    @property
    def is_unexplained(self) -> bool:
        """Whether the process is gone, and nobody has been asked for the reason yet."""
        line = self.line
        return line is not None and self.is_over and self._frame is None and line.reason is None

    def fileno(self) -> int:
        """Return the descriptor on which the answer will arrive; -1 if nothing will."""
        return -1 if self.is_over or self.line is None else self.line.stream.fileno()

    @property
    def identity(self) -> str:
        """The identity of the process that was asked."""
        return "" if self.target is None else self.target.identity

    def response(self) -> Response[R_co] | None:
        """Return the answer if it is there."""
        if self.line is not None and self.is_over:
            self._response = self._open(self.line)
            self.line = self._frame = None
        return self._response

    def _open(self, line: Connection) -> Response[R_co]:
        assert self.target is not None
        try:
            if self._frame is None:
                raise ProcessExited(target=str(self.target), reason=line.explain(self.target))
            kind, _, body = self._frame
            return Reply(connection.open_answer(self.target, kind, body))
        except CallError as error:
            return Failure(error.with_traceback(None))

    def taken(self) -> Response[R_co]:
        """Return the answer to who has been told of it, and is told no more."""
        self.hand_back()
        response = self.response()
        assert response is not None
        return response

    def take(self, frame: framing.Frame | None) -> None:
        """Get the answer from the connection."""
        if self.is_over:
            return
        taker = self._taken_by()
        self.is_over, self._frame = True, frame
        if taker is not None:
            taker.finish(self)

    def check_owner(self) -> None:
        """
        Refuse to be used by anybody but who has sent it.

        Raises:
            NotOwner: Another thread, or the process that this one is a copy of, has sent it.
        """
        check_owner(self, self._owner)

    def __str__(self) -> str:
        return f"request to {self.target or 'nobody'}"

    def __repr__(self) -> str:
        return f"<{self}>"

    def __reduce__(self) -> NoReturn:
        raise NotOwner(what=str(self), owner=_text(self._owner), user="another process")


Owner = tuple[int, int]


def me() -> Owner:
    """Return who is asking: this thread of this process."""
    return os.getpid(), threading.get_ident()


def check_owner(what: object, owner: Owner) -> None:
    """Raise NotOwner if this thread is not the owner."""
    user = me()
    if user != owner:
        raise NotOwner(what=str(what), owner=_text(owner), user=_text(user))


def _text(owner: Owner) -> str:
    return f"thread {owner[1]} of process {owner[0]}"


def send_request(target: Target, request: Any) -> Request:
    """
    Send a request to a process by reference or name, and return at once.

    A process that is gone, or takes nothing for 5 s, is a response and no exception.

    Args:
        target: Whom to ask.
        request: Any value that can be pickled.

    Raises:
        SpecError: The request cannot be pickled.
    """
    return Request(target, request)
