"""
A small supervisor that works as OTP's does: one message after the other, each to its end.

Written from OTP's rules alone, to have something to compare ours with: it shares nothing with
`beethoven.supervision`. Starts and stops take no time here; a child is what its script says.
"""

from collections import deque
from dataclasses import dataclass, field

NORMAL_CLASS = {"normal", "shutdown"}


@dataclass
class ModelChild:
    """
    A child: `status` is "running", "undefined" or "restarting".

    `outcomes` has what its next starts come to, "up", "fail" or "ignore"; then "up" for ever.
    """

    id: str
    restart: str = "permanent"
    is_significant: bool = False
    outcomes: deque[str] = field(default_factory=deque)
    status: str = "undefined"
    # Why it has ended, while the supervisor has not been told yet.
    death: str | None = None


class Ended(Exception):
    """The supervisor has ended."""


class OtpModel:
    """
    A supervisor.

    Attributes:
        trace: What it did: "start a", "stop a".
        exit: Why it has ended, or None.
    """

    def __init__(
        self,
        children: list[ModelChild],
        *,
        strategy: str,
        max_restarts: int,
        max_seconds: float,
        auto_shutdown: str,
    ) -> None:
        self.strategy, self.auto_shutdown = strategy, auto_shutdown
        self.intensity, self.period = max_restarts, max_seconds
        self.children = children
        self.trace: list[str] = []
        self.exit: str | None = None
        self.now = 0.0
        self.restarts: list[float] = []
        self.mailbox: deque[tuple[str, str]] = deque()

    def begin(self) -> None:
        """Start all; if one fails, stop those before it."""
        for child in list(self.children):
            if self._start(child) == "fail":
                self._stop_all()
                self.exit = "failed to start"
                return
            if child.status == "undefined" and child.restart == "temporary":
                self.children.remove(child)

    def crash(self, *deaths: tuple[str, str]) -> None:
        """Let children end at the same moment, `(id, reason)`, and deal with all that follows."""
        for child_id, reason in deaths:
            self.child(child_id).death = reason
            self.mailbox.append(("exit", child_id))
        self._read()

    def _read(self) -> None:
        try:
            while self.mailbox:
                kind, child_id = self.mailbox.popleft()
                found = [child for child in self.children if child.id == child_id]
                if kind == "exit" and found and found[0].death is not None:
                    reason, found[0].death = found[0].death, None
                    self._exited(found[0], reason)
                elif kind == "again" and found and found[0].status == "restarting":
                    self._restart(found[0])
        except Ended:
            self._stop_all()
            self.exit = "shutdown"
            self.mailbox.clear()

    def child(self, child_id: str) -> ModelChild:
        return next(child for child in self.children if child.id == child_id)

    def has(self, child_id: str) -> bool:
        return any(child.id == child_id for child in self.children)

    def start_child(self, child: ModelChild) -> str:
        if self.has(child.id):
            is_running = self.child(child.id).status == "running"
            return "already_started" if is_running else "already_present"
        outcome = self._start(child)
        if outcome == "up" or (outcome == "ignore" and child.restart != "temporary"):
            self.children.append(child)
        return outcome

    def terminate_child(self, child_id: str) -> str:
        if not self.has(child_id):
            return "not_found"
        child = self.child(child_id)
        self._stop(child)
        child.status = "undefined"
        if child.restart == "temporary":
            self.children.remove(child)
        return "ok"

    def restart_child(self, child_id: str) -> str:
        if not self.has(child_id):
            return "not_found"
        if self.child(child_id).status != "undefined":
            return self.child(child_id).status
        return self._start(self.child(child_id))

    def delete_child(self, child_id: str) -> str:
        if not self.has(child_id):
            return "not_found"
        if self.child(child_id).status != "undefined":
            return self.child(child_id).status
        self.children.remove(self.child(child_id))
        return "ok"

    def shutdown(self) -> None:
        self._stop_all()
        self.exit = "shutdown"

    def _start(self, child: ModelChild) -> str:
        outcome = child.outcomes.popleft() if child.outcomes else "up"
        self.trace.append(f"start {child.id}")
        child.status = "running" if outcome == "up" else "undefined"
        child.death = None
        return outcome

    def _stop(self, child: ModelChild) -> None:
        if child.status == "running" and child.death is None:
            self.trace.append(f"stop {child.id}")
        child.death = None

    def _stop_all(self) -> None:
        for child in reversed(self.children):
            self._stop(child)
            child.status = "undefined"
        self.children = [child for child in self.children if child.restart != "temporary"]

    def _exited(self, child: ModelChild, reason: str) -> None:
        is_abnormal = reason not in NORMAL_CLASS
        if child.restart == "permanent" or (child.restart == "transient" and is_abnormal):
            child.status = "undefined"
            self._restart(child)
            return
        child.status = "undefined"
        if child.restart == "temporary":
            self.children.remove(child)
        if child.is_significant:
            self._significant_ended()

    def _significant_ended(self) -> None:
        others = [
            each for each in self.children if each.is_significant and each.status != "undefined"
        ]
        if self.auto_shutdown == "any_significant":
            raise Ended
        if self.auto_shutdown == "all_significant" and not others:
            raise Ended

    def _restart(self, child: ModelChild) -> None:
        self.restarts = [at for at in self.restarts if self.now - at <= self.period] + [self.now]
        if len(self.restarts) > self.intensity:
            child.status = "undefined"
            raise Ended
        match self.strategy:
            case "one_for_one":
                if self._start(child) == "fail":
                    self._try_again(child)
            case "rest_for_one":
                self._restart_group(self.children[self.children.index(child) :])
            case "one_for_all":
                self._restart_group(list(self.children))

    def _restart_group(self, group: list[ModelChild]) -> None:
        """Stop a group in reverse order and start it; what is temporary is not started again."""
        for each in reversed(group):
            self._stop(each)
            each.status = "undefined"
            if each.restart == "temporary":
                self.children.remove(each)
        for each in [each for each in group if each.restart != "temporary"]:
            if self._start(each) == "fail":
                self._try_again(each)
                return

    def _try_again(self, child: ModelChild) -> None:
        """Be told to try again, after whatever else is in the mailbox."""
        child.status = "restarting"
        self.mailbox.append(("again", child.id))
