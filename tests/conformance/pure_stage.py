"""The stage of decisions only: a supervisor's state in a world of fake processes."""

from collections.abc import Callable, Hashable
from typing import Any

from beethoven import ChildSpec, errors
from beethoven.runtime.reason import KILLED, SHUTDOWN, ExitReason
from beethoven.supervision import events as ev
from tests import supervision_world
from tests.conformance.stage import Stage
from tests.supervision_world import CRASH, Defy, Obey, Outcome, World


class PureStage(Stage):
    """Decisions only."""

    crowd = 1000
    world: World

    def __init__(self) -> None:
        self._inits: dict[str, list[Outcome]] = {}
        self._answers: dict[str, list[Obey | Defy]] = {}

    def child(self, child_id: str, **options: Any) -> ChildSpec:
        return supervision_world.spec(child_id, **options)

    def starts(self, child_id: str, *outcomes: Outcome) -> None:
        self._inits[child_id] = list(outcomes)
        if hasattr(self, "world"):
            self.world.init[child_id] = list(outcomes)

    def stops(self, child_id: str, *answers: Obey | Defy) -> None:
        self._answers[child_id] = list(answers)
        if hasattr(self, "world"):
            self.world.on_stop[child_id] = list(answers)

    def tree(self, *children: ChildSpec | str, **flags: Any) -> None:
        self._take(supervision_world.supervisor(*children, **flags))
        self.world.begin()
        self.until(lambda: self.world.is_reported_started or not self.is_alive())
        if not self.world.is_reported_started:
            raise errors.StartFailed(process="Supervisor", reason=self.world.exit)

    def pool(self, **flags: Any) -> None:
        self._take(supervision_world.dynamic(**flags))

    def _take(self, world: World) -> None:
        self.world = world
        world.init.update(self._inits)
        world.on_stop.update(self._answers)

    def _ask(self, kind: Callable[..., ev.Event], *args: Any) -> Any:
        request = self.world.request(kind, *args)
        self.until(lambda: request in self.world.replies)
        reply = self.world.replies[request]
        if isinstance(reply, errors.BeethovenError):
            raise reply
        return reply

    def start(self, child: ChildSpec | str, **options: Any) -> str:
        spec = self.child(child, **options) if isinstance(child, str) else child
        return type(self._ask(ev.StartChildRequested, spec)).__name__.lower()

    def restart(self, child_id: str) -> str:
        return type(self._ask(ev.RestartChildRequested, child_id)).__name__.lower()

    def terminate(self, child_id: str) -> None:
        self._ask(ev.TerminateChildRequested, child_id)

    def terminate_process(self, process: Hashable) -> None:
        self._ask(ev.TerminateDynamicChildRequested, process)

    def delete(self, child_id: str) -> None:
        self._ask(ev.DeleteChildRequested, child_id)

    def spec(self, child_id: str) -> ChildSpec:
        spec: ChildSpec = self._ask(ev.GetChildSpecRequested, child_id)
        return spec

    def which(self, child_id: str) -> Hashable | None:
        found = [entry for entry in self.listing() if entry.id == child_id]
        if not found:
            raise errors.ChildNotFound(child=repr(child_id))
        return self.process_of(found[0])

    def counts(self) -> tuple[int, int, int, int]:
        return self.world.counts()

    def listing(self) -> list[Any]:
        return list(self._ask(ev.WhichChildrenRequested)) if self.is_alive() else []

    def process_of(self, entry: Any) -> Hashable | None:
        attempt: int | None = entry.attempt
        return attempt

    def foreigner(self) -> Hashable:
        return 10**6

    def end(self, child_id: str, reason: ExitReason = CRASH) -> None:
        self.world.crash(child_id, reason=reason)

    def kill(self, *child_ids: str) -> None:
        self.world.crash(*child_ids, reason=KILLED)

    def stop(self, reason: ExitReason = SHUTDOWN) -> None:
        self.world.deliver(ev.ShutdownRequested(reason))

    def elapse(self, seconds: float) -> None:
        self.world.advance(seconds)

    def until(self, condition: Callable[[], object]) -> None:
        last = self.world.now + 10.0
        while not condition():
            due = self.world._next_due()
            assert due is not None, f"nothing will ever make it so: {condition}"
            assert due <= last, f"not within 10 s: {condition}"
            self.world.advance_to(due)

    def is_alive(self) -> bool:
        return self.world.exit is None

    def exit(self) -> str:
        self.until(lambda: not self.is_alive())
        return str(self.world.exit)

    def ends(self) -> dict[str, str]:
        ends = (line.partition(" ended: ") for line in self.world.trace)
        return {child_id: reason for child_id, is_end, reason in ends if is_end}

    def told(self) -> list[str]:
        return [
            line
            for line in self.world.trace
            if not (line.startswith("kill ") or line.endswith(" ended: killed"))
        ]
