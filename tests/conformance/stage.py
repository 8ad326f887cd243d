"""
The stage: where a scene about a supervisor is played, with decisions only or with real processes.

A scene says what children do and asks what became of them. `PureStage` plays it around
`supervisor_state` in virtual time; `RealStage` around a real supervisor, whose children are actors.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from typing import Any

from beethoven import ChildSpec
from beethoven.runtime.reason import SHUTDOWN, ExitReason
from tests.supervision_world import CRASH, Defy, Obey, Outcome

# What a child does until something else happens to it.
SETTLED = {"running", "stopped", "failed"}


class Stage(ABC):
    """
    A supervisor and its children.

    Attributes:
        crowd: How many children are many here.
    """

    crowd: int

    @abstractmethod
    def child(self, child_id: str, **options: Any) -> ChildSpec:
        """Return the specification of an actor."""

    @abstractmethod
    def starts(self, child_id: str, *outcomes: Outcome) -> None:
        """Say what becomes of the next starts of a child; the last outcome stays."""

    @abstractmethod
    def stops(self, child_id: str, *answers: Obey | Defy) -> None:
        """Say how a child answers when it is told to stop; the last answer stays."""

    @abstractmethod
    def tree(self, *children: ChildSpec | str, **flags: Any) -> None:
        """Start a static supervisor, or raise what `Supervisor.start_link` does."""

    @abstractmethod
    def pool(self, **flags: Any) -> None:
        """Start a dynamic supervisor."""

    @abstractmethod
    def start(self, child: ChildSpec | str, **options: Any) -> str:
        """Call `start_child`; return "started" or "ignored"."""

    @abstractmethod
    def restart(self, child_id: str) -> str:
        """Call `restart_child`; return "started" or "ignored"."""

    @abstractmethod
    def terminate(self, child_id: str) -> None:
        """Call `terminate_child`."""

    @abstractmethod
    def terminate_process(self, process: Hashable) -> None:
        """Call `terminate_process`."""

    @abstractmethod
    def delete(self, child_id: str) -> None:
        """Call `delete_child`."""

    @abstractmethod
    def spec(self, child_id: str) -> ChildSpec:
        """Call `get_child_spec`."""

    @abstractmethod
    def which(self, child_id: str) -> Hashable | None:
        """Call `which_child`; return the process that it tells."""

    @abstractmethod
    def counts(self) -> tuple[int, int, int, int]:
        """Call `count_children`: specs, active, supervisors, workers."""

    @abstractmethod
    def listing(self) -> list[Any]:
        """Call `which_children`; nothing if the supervisor is gone."""

    @abstractmethod
    def process_of(self, entry: Any) -> Hashable | None:
        """Return the process of an entry of a listing."""

    @abstractmethod
    def foreigner(self) -> Hashable:
        """Return a process that is no child of the supervisor."""

    @abstractmethod
    def end(self, child_id: str, reason: ExitReason = CRASH) -> None:
        """Let a child end by itself, and the supervisor hear of it."""

    @abstractmethod
    def kill(self, *child_ids: str) -> None:
        """Let children be killed in that order, at the same moment for the supervisor."""

    @abstractmethod
    def stop(self, reason: ExitReason = SHUTDOWN) -> None:
        """Tell the supervisor to end, and wait for nothing."""

    @abstractmethod
    def elapse(self, seconds: float) -> None:
        """Let time pass."""

    @abstractmethod
    def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds; fail if that takes more than ten seconds."""

    @abstractmethod
    def is_alive(self) -> bool:
        """Whether the supervisor has not ended."""

    @abstractmethod
    def exit(self) -> str:
        """Wait for the end of the supervisor and return its reason."""

    @abstractmethod
    def ends(self) -> dict[str, str]:
        """Return why the last process of each child ended, as far as that is known."""

    @abstractmethod
    def told(self) -> list[str]:
        """Return the story so far. Kills are not in it."""

    def crash(self, *child_ids: str) -> None:
        """Let children fail one after another, each when all that followed has settled."""
        for child_id in child_ids:
            self.end(child_id)
            self.settle()

    def settle(self) -> None:
        """Wait until nothing starts or stops any more."""
        self.until(lambda: all(str(entry.status) in SETTLED for entry in self.listing()))

    def statuses(self) -> dict[str, str]:
        """Return what each child does, in start order."""
        return {entry.id: str(entry.status) for entry in reversed(self.listing())}

    def process(self, child_id: str) -> Hashable | None:
        """Return the present process of a child."""
        return self.process_of(self.entry(child_id))

    def processes(self) -> dict[str, Hashable | None]:
        """Return the present process of each child, in start order."""
        return {entry.id: self.process_of(entry) for entry in reversed(self.listing())}

    def reasons(self, *child_ids: str) -> list[str]:
        """Wait until these children have ended, and return why."""
        self.until(lambda: set(child_ids) <= set(self.ends()))
        ends = self.ends()
        return [ends[child_id] for child_id in child_ids]

    def entry(self, child_id: str) -> Any:
        """Return the entry of a child in the listing."""
        return next(entry for entry in self.listing() if entry.id == child_id)

    def story(self, *kinds: str) -> list[str]:
        """Return the lines of the story that hold one of these words, all if none is given."""
        return [line for line in self.told() if not kinds or set(kinds) & set(line.split())]
