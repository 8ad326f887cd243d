"""
What the end of a task on some node means to who has asked for it. Pure.

Whatever the function does is its own: what it returns, what it raises, that it takes too long, that
it cannot be opened. It would come to the same on another node. Everything else has happened to it:
the node was lost or has stopped, its process was killed, left by `os._exit` or had no memory. Only
such an end may be tried again elsewhere.
"""

import pickle
from dataclasses import dataclass
from typing import Any

from beethoven.errors import FunctionNotFound, NodeLost, NoProcess, ProcessExited, TaskTimeout
from beethoven.runtime.reason import ExitReason
from beethoven.runtime.requests import Reply, Response
from beethoven.tasks.results import Raised
from beethoven.tasks.task_process import TIME_IS_OVER, TIME_WAS_OVER


@dataclass(frozen=True, slots=True)
class End:
    """
    How a task has ended.

    Attributes:
        value: What the function has returned.
        error: Why there is no value; None if there is one.
        is_retriable: Whether it was not the function's own doing.
    """

    value: Any = None
    error: BaseException | None = None
    is_retriable: bool = False


def end_of(
    response: Response, task: str, node: str, *, limit: float | None, known: ExitReason | None
) -> End:
    """
    Return how a task has ended.

    Args:
        response: What has come of the request for its result.
        task: What it is called.
        node: The node that it ran on.
        limit: How long it might run, in seconds.
        known: How its process ended, as its node knows; None if that could not be asked.
    """
    target = f"task {task} on node {node!r}"
    if isinstance(response, Reply):
        value = response.value
        return End(error=_raised(value, task, node)) if isinstance(value, Raised) else End(value)
    match response.error:
        case ProcessExited() | NoProcess() if known in {TIME_IS_OVER, TIME_WAS_OVER}:
            seconds = limit or 0.0
            why = f"ended, for it took longer than the {seconds:g} s that it was given"
            late = TaskTimeout(target=f"{task} on node {node!r}", timeout=seconds, why=why)
            return End(error=late)
        case ProcessExited() | NoProcess() as error if known is None:
            lost = NodeLost(task=task, node=node, cause=str(error))
            return End(error=lost, is_retriable=True)
        case ProcessExited() | NoProcess():
            return End(error=ProcessExited(target=target, reason=known), is_retriable=True)
        case error:
            return End(error=error)


def _raised(raised: Raised, task: str, node: str) -> BaseException:
    """Return what the function has raised, with the traceback of its process as a note."""
    target = f"task {task} on node {node!r}"
    if not raised.is_opened:
        cause = str(raised.reason)
        error: BaseException = FunctionNotFound(
            task=task, node=node, module=raised.missing, cause=cause
        )
    else:
        try:
            error = pickle.loads(raised.error)
        except Exception:
            # Its class is not known here, or it never could be pickled: the text is all there is.
            return ProcessExited(target=target, reason=raised.reason)
    if raised.reason.traceback:
        error.add_note(f"on node {node!r}:\n{raised.reason.traceback.rstrip()}")
    return error
