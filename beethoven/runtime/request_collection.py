"""Collections of requests: many answers are waited for at once, and taken as they come."""

from collections import deque
from collections.abc import Iterator
from typing import Any

from beethoven import clock
from beethoven.errors import NoRequests, SpecError
from beethoven.runtime.poller import Poller
from beethoven.runtime.reference import DEFAULT_TIMEOUT, check_timeout
from beethoven.runtime.requests import Request, Response
from beethoven.runtime.watch import Watch


class RequestCollection:
    """
    Requests with labels. Only the thread that has sent them may use it.

    Iterating yields pairs of a request and its label, in the order in which they were added.
    """

    def __init__(self) -> None:
        self._labels: dict[Request, Any] = {}
        self._ready: deque[Request] = deque()
        self._poller = Poller()
        self._watch = Watch(self._poller)

    def add(self, request: Request, label: Any) -> None:
        """
        Wait for a request together with the others.

        Args:
            request: A request that is in no collection.
            label: Returned with its answer.

        Raises:
            SpecError: It is none, is in a collection already, or was abandoned.
            NotOwner: Another thread has sent it.
        """
        if not isinstance(request, Request):
            rule = "what send_request returns"
            raise SpecError(subject="requests", field="a request", expected=rule, got=request)
        request.check_owner()
        request.hand_to(self)
        self._labels[request] = label
        if request.is_over:
            self._ready.append(request)
        else:
            self._watch.add(request.line)

    def __len__(self) -> int:
        return len(self._labels)

    def __iter__(self) -> Iterator[tuple[Request, Any]]:
        return iter(list(self._labels.items()))

    def receive_response(
        self, timeout: float | None = DEFAULT_TIMEOUT
    ) -> tuple[Response, Any] | None:
        """
        Wait for the next answer; give all requests up if none comes in time.

        Args:
            timeout: Seconds; 0 takes an answer that is there; None waits for ever.

        Returns:
            An answer and the label of its request, which is then no longer in the collection, or
            None: then the collection is empty, and the answers are dropped when they come.

        Raises:
            NoRequests: The collection is empty.
            NotOwner: Another thread has sent the requests.
        """
        found = self.wait_response(timeout)
        if found is None:
            for request, _ in self:
                request.abandon()
        return found

    def wait_response(self, timeout: float | None = DEFAULT_TIMEOUT) -> tuple[Response, Any] | None:
        """As `receive_response`, but keep all requests, so that they can be waited for again."""
        check_timeout(timeout, "requests")
        for request in self._labels:
            request.check_owner()
            break
        else:
            raise NoRequests
        deadline = None if timeout is None else clock.monotonic() + timeout
        while not self._ready:
            remaining = None if deadline is None else max(deadline - clock.monotonic(), 0.0)
            if not self._poller.poll(remaining) and remaining == 0:
                return None
        request = self._ready.popleft()
        return request.taken(), self._labels.pop(request)

    def finish(self, request: Request) -> None:
        """Note an answer."""
        self._watch.remove(request.line)
        self._ready.append(request)

    def forget(self, request: Request) -> None:
        """Note that a request was abandoned."""
        del self._labels[request]
        if request.is_over:
            self._ready.remove(request)
        else:
            self._watch.remove(request.line)
