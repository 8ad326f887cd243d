"""Answers: what a process finds in its mailbox for requests that it does not wait for."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from beethoven.runtime.bonds import await_death
from beethoven.runtime.line import Connection
from beethoven.runtime.poller import Poller
from beethoven.runtime.reason import ExitReason
from beethoven.runtime.reference import Ref, Target
from beethoven.runtime.requests import Request, Response, check_owner, me, send_request
from beethoven.runtime.watch import Watch


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request of `Role.send_request`, with its label."""

    label: Any
    response: Response


class Due:
    """An answer that lies in the mailbox; its request can still be abandoned."""

    __slots__ = ("_answers", "_request")

    def __init__(self, answers: "Answers", request: Request) -> None:
        self._answers = answers
        self._request = request

    def open(self) -> Answer | None:
        """Return the answer, or None if it is not wanted any more."""
        return self._answers.open(self._request)


class Answers:
    """The requests of one process whose answers come as messages."""

    def __init__(self, poller: Poller, deliver: Callable[[Due], object]) -> None:
        self._poller = poller
        self._deliver = deliver
        self._owner = me()
        self._watch = Watch(poller)
        self._labels: dict[Request, Any] = {}
        self._unexplained: dict[Connection, list[Request]] = {}
        # How many answers are to come from each process, by identity.
        self._due: Counter[str] = Counter()

    def is_due(self, ref: Ref) -> bool:
        """Whether an answer of that process is to come, be it that it has ended."""
        return ref.identity in self._due

    def request(self, target: Target, request: Any, label: Any) -> Request:
        """
        Send a request, and deliver its answer when it comes.

        Raises:
            NotOwner: This is not the thread of the callbacks.
        """
        check_owner("mailbox of a role", self._owner)
        sent = send_request(target, request)
        sent.hand_to(self)
        self._labels[sent] = label
        if sent.is_over:
            self._deliver(Due(self, sent))
        else:
            self._watch.add(sent.line)
            self._due[sent.identity] += 1
        return sent

    def finish(self, request: Request) -> None:
        """Deliver an answer that has come."""
        self._watch.remove(request.line)
        if request.is_unexplained:
            self._ask_why(request)
        else:
            self._pass_on(request)

    def _ask_why(self, request: Request) -> None:
        """Ask for the reason without waiting for the burial: this process serves others."""
        line, target = request.line, request.target
        assert line is not None
        # Of a process on another node nobody is asked: the line itself has the reason.
        assert isinstance(target, Ref)
        waiting = self._unexplained.setdefault(line, [])
        waiting.append(request)
        if len(waiting) == 1:
            await_death(target, None, self._poller, lambda _, why: self._explain(line, why))

    def _explain(self, line: Connection, reason: ExitReason) -> None:
        line.reason = reason
        for request in self._unexplained.pop(line):
            self._pass_on(request)

    def _pass_on(self, request: Request) -> None:
        self._is_no_longer_due(request)
        self._deliver(Due(self, request))

    def _is_no_longer_due(self, request: Request) -> None:
        self._due[request.identity] -= 1
        if not self._due[request.identity]:
            del self._due[request.identity]

    def forget(self, request: Request) -> None:
        """Deliver no answer to a request that was abandoned."""
        del self._labels[request]
        if not request.is_over:
            self._watch.remove(request.line)
            self._is_no_longer_due(request)

    def open(self, request: Request) -> Answer | None:
        """Return the answer to a request, unless that was abandoned."""
        if request not in self._labels:
            return None
        return Answer(self._labels.pop(request), request.taken())
