"""Handles that stop what they stand for at the end of a `with` block."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from beethoven.errors import CallError
from beethoven.runtime import owner
from beethoven.runtime.reason import NORMAL


class StoppedAtEnd(ABC):
    """A handle that may be used as a context manager; the block's own error wins over ours."""

    __slots__ = ()

    @abstractmethod
    def stop(self, reason: object = NORMAL, timeout: float | None = None) -> None:
        """End it, and return when it is gone."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        except CallError:
            # It is gone: what the block found out by itself is more than this could tell.
            owner.release()
