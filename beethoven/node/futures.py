"""Futures: what comes of functions that run somewhere in the cluster."""

import contextlib
from collections.abc import Callable, Generator
from typing import Any, Generic, NoReturn, TypeVar

from beethoven.errors import NotOwner, TaskCancelled, TaskTimeout
from beethoven.node.errand import Errand, Terms, end_all
from beethoven.node.task_ends import End
from beethoven.node.task_starts import GLANCE
from beethoven.remote.way import Way
from beethoven.runtime.reference import check_timeout
from beethoven.tasks.arrival import arrival
from beethoven.tasks.portable import portable_work

T = TypeVar("T")


class Future(Generic[T]):
    """
    One function that runs on some node, and its result; made by `run`.

    Only the thread that has made it may use it; others get `NotOwner`. It costs no thread: what
    there is to do, such as a retry, is done while somebody looks. If it is dropped the function
    runs on. It ends with the program, or the process, that has made it.
    """

    def __init__(self, errand: Errand) -> None:
        self._errand = errand

    @property
    def node(self) -> str:
        """The name of the node that it runs on, or ran on last."""
        return self._errand.node.name

    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._errand.look() is not None

    def result(self, timeout: float | None = None) -> T:
        """
        Wait for the end of the function, and return what it has returned; as often as you like.

        Args:
            timeout: Seconds; None waits for ever. It ends nobody: wait again, or `cancel`.

        Raises:
            TaskTimeout: It is still at work; or it was ended, for it took longer than it may.
            TaskCancelled: It was cancelled.
            NodeLost: Its node was lost.
            NodeError: The connection of this program to the cluster was closed.
            FunctionNotFound: Its node has not the module of the function, or another one.
            ProcessExited: It ended without a result, or with an exception that is not known here.
            ReplyNotPicklable: Its result cannot be sent, or not be read here.
            Exception: What the function has raised, with the traceback of its process as a note.
        """
        end = self._wait(timeout)
        if end.error is not None:
            raise end.error
        value: T = end.value
        return value

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """
        Wait for the end of the function, and return what `result` would raise, or None.

        Raises:
            TaskTimeout: It is still at work after `timeout` seconds.
        """
        return self._wait(timeout).error

    def _wait(self, timeout: float | None) -> End:
        check_timeout(timeout, self)
        end = self._errand.look(timeout)
        if end is None:
            target = f"{self._errand.task} on node {self.node!r}"
            seconds = timeout or 0.0
            why = f"still at work after {seconds:g} s; wait again, or cancel it"
            raise TaskTimeout(target=target, timeout=seconds, why=why)
        return end

    def cancel(self) -> bool:
        """
        End the function in the middle of what it does, and return when its process is gone.

        Returns:
            Whether it was still at work.
        """
        end_all([self._errand])
        return self.cancelled()

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        end = self._errand.end
        return end is not None and isinstance(end.error, TaskCancelled)

    def __await__(self) -> Generator[Any, None, T]:
        return self._arrive().__await__()

    async def _arrive(self) -> T:
        while self._errand.look() is None:
            await arrival(self._errand.fileno(), GLANCE)
        return self.result()

    def __repr__(self) -> str:
        errand = self._errand
        match errand.end:
            case None:
                state = f"pid {errand.ref.pid}"
            case End(error=None):
                state = "done"
            case End(error=error):
                state = type(error).__name__
        return f"<Future {errand.task} on node {self.node!r}, {state}>"

    def __reduce__(self) -> NoReturn:
        raise NotOwner(what=repr(self), owner="who has made it", user="another process")

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self._errand.forget()


def run(
    way: Way,
    function: Callable[..., T],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    terms: Terms,
) -> Future[T]:
    """Have a node run a function; see `ClusterHandle.run`."""
    return Future(Errand(way, portable_work(function, args, kwargs, terms.limit), terms))
