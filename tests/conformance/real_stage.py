"""The stage of real processes: a supervisor, actors for children, and a witness of every end."""

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

from beethoven import ChildSpec, DynamicSupervisor, DynamicSupervisorRef, Ref, Supervisor
from beethoven.errors import CallError
from beethoven.runtime.reason import KILLED, SHUTDOWN, ExitReason
from beethoven.runtime.reference import ask_to_stop
from tests.conformance.actor import Actor, Part
from tests.conformance.hard import frozen, kill
from tests.conformance.stage import Stage
from tests.integration import roles
from tests.integration.trees import PERIOD
from tests.processes import end, is_running, wait_until
from tests.supervision_world import CRASH, Defy, Obey, Outcome


class RealStage(Stage):
    """A real supervisor, and a witness that is told of every end."""

    crowd = 20

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._witness = roles.Puppet.start_link()
        self._watched: dict[str, str] = {}
        self._supervisor: DynamicSupervisorRef | None = None

    def close(self) -> None:
        """End what is left of the scene."""
        if self._supervisor is not None:
            end(self._supervisor.ref)
        end(self._witness)

    @property
    def supervisor(self) -> DynamicSupervisorRef:
        """The supervisor; a static one refuses what only a dynamic one knows."""
        assert self._supervisor is not None
        return self._supervisor

    def child(self, child_id: str, **options: Any) -> ChildSpec:
        return ChildSpec(child_id, Actor, Part(self._folder, child_id), **options)

    def starts(self, child_id: str, *outcomes: Outcome) -> None:
        Part(self._folder, child_id).write("init", outcomes)

    def stops(self, child_id: str, *answers: Obey | Defy) -> None:
        Part(self._folder, child_id).write("stop", answers)

    def tree(self, *children: ChildSpec | str, **flags: Any) -> None:
        specs = [self.child(each) if isinstance(each, str) else each for each in children]
        self._take(Supervisor.start_link(specs, **{"max_seconds": PERIOD, **flags}).ref)

    def pool(self, **flags: Any) -> None:
        self._take(DynamicSupervisor.start_link(**{"max_seconds": PERIOD, **flags}).ref)

    def _take(self, ref: Ref) -> None:
        self._supervisor = DynamicSupervisorRef(ref)
        self._watch("the supervisor", ref)
        self.listing()

    def _watch(self, name: str, ref: Ref) -> None:
        """Have the witness told of the end of a process."""
        if ref.identity not in self._watched:
            self._watched[ref.identity] = name
            self._witness.call((roles.monitor, ref))

    def start(self, child: ChildSpec | str, **options: Any) -> str:
        spec = self.child(child, **options) if isinstance(child, str) else child
        return self._started(self.supervisor.start_child(spec))

    def restart(self, child_id: str) -> str:
        return self._started(self.supervisor.restart_child(child_id))

    def _started(self, ref: Ref | None) -> str:
        self.listing()
        return "ignored" if ref is None else "started"

    def terminate(self, child_id: str) -> None:
        self.supervisor.terminate_child(child_id)

    def terminate_process(self, process: Hashable) -> None:
        assert isinstance(process, Ref)
        self.supervisor.terminate_process(process)

    def delete(self, child_id: str) -> None:
        self.supervisor.delete_child(child_id)

    def spec(self, child_id: str) -> ChildSpec:
        return self.supervisor.get_child_spec(child_id)

    def which(self, child_id: str) -> Hashable | None:
        return self.supervisor.which_child(child_id).ref

    def counts(self) -> tuple[int, int, int, int]:
        counts = self.supervisor.count_children()
        return counts.specs, counts.active, counts.supervisors, counts.workers

    def listing(self) -> list[Any]:
        try:
            listing = self.supervisor.which_children()
        except CallError:
            return []
        for entry in listing:
            if entry.ref is not None and entry.status == "running":
                self._watch(entry.id, entry.ref)
        return listing

    def process_of(self, entry: Any) -> Hashable | None:
        ref: Ref | None = entry.ref
        return ref

    def foreigner(self) -> Hashable:
        return self._witness

    def end(self, child_id: str, reason: ExitReason = CRASH) -> None:
        if reason == KILLED:
            self.kill(child_id)
            return
        ref = self._ref(child_id)
        ref.cast(reason)
        self._until_heard(ref)

    def kill(self, *child_ids: str) -> None:
        victims = [self._ref(child_id) for child_id in child_ids]
        with frozen(self.supervisor.ref.pid):
            for victim in victims:
                kill(victim.pid)
                wait_until(lambda pid=victim.pid: not is_running(pid))  # type: ignore[misc]
        self._until_heard(*victims)

    def _ref(self, child_id: str) -> Ref:
        ref = self.entry(child_id).ref
        assert ref is not None, f"{child_id} does not run"
        return ref  # type: ignore[no-any-return]

    def _until_heard(self, *refs: Ref) -> None:
        """Wait until the supervisor takes none of these processes for running."""
        self.until(
            lambda: (
                not any(entry.ref in refs and entry.status == "running" for entry in self.listing())
            )
        )

    def stop(self, reason: ExitReason = SHUTDOWN) -> None:
        ask_to_stop(self.supervisor.ref, reason)

    def elapse(self, seconds: float) -> None:
        self.supervisor.wait(seconds)

    def until(self, condition: Callable[[], object]) -> None:
        wait_until(condition)

    def is_alive(self) -> bool:
        try:
            self.supervisor.count_children()
        except CallError:
            return False
        return True

    def exit(self) -> str:
        return self.reasons("the supervisor")[0]

    def ends(self) -> dict[str, str]:
        downs = self._witness.call((roles.seen,))
        return {self._watched[down.ref.identity]: str(down.reason) for down in downs}

    def told(self) -> list[str]:
        story = Part(self._folder, "").story
        return story.read_text("utf-8").splitlines() if story.exists() else []
