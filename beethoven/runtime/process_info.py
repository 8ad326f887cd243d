"""What a living process tells of itself to anybody who asks."""

from dataclasses import dataclass

from beethoven.errors import NoProcess, ProcessExited
from beethoven.runtime import connection, framing
from beethoven.runtime.here import here, is_self
from beethoven.runtime.reference import DEFAULT_TIMEOUT, Ref, Target, check_timeout, resolve


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """
    One process of the tree at one moment.

    Attributes:
        ref: The process.
        name: Its registered name, or None.
        label: What it says that it is, by `Role.set_label`, or None.
        parent: The process that started it; None if a program outside the tree did.
        trap_exit: Whether exit signals arrive there as messages.
        links: The processes that it is linked to. Those below a supervisor are in its
            `which_children` instead.
        monitors: The processes that it monitors, once for each monitor.
    """

    ref: Ref
    name: str | None
    label: str | None
    parent: Ref | None
    trap_exit: bool
    links: tuple[Ref, ...]
    monitors: tuple[Ref, ...]


def process_info(target: Target, timeout: float | None = DEFAULT_TIMEOUT) -> ProcessInfo | None:
    """
    Ask a process about itself. Its user code is not run, but one that is busy answers afterwards.

    Args:
        target: A reference or a name; it may be the own one.
        timeout: Seconds to wait for the answer; None waits for ever.

    Returns:
        What it told, or None if it has ended.

    Raises:
        CallTimeout: No answer in time.
    """
    check_timeout(timeout, target)
    try:
        found = resolve(target)
        info: ProcessInfo
        if here.process is not None and is_self(found.identity):
            info = here.process.info()
        else:
            info = connection.request(found, framing.INSPECT, b"", timeout)
    except (NoProcess, ProcessExited):
        return None
    return info
